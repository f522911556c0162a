"""The engine as a hub for functions of this program: a run whose steps ask over a socket, one at a time.

Must not decide what comes next: the engine does. Linux and macOS only (Unix sockets).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from plue._canonical import data
from plue._words import Plan

_MAX_ANSWER = 1 << 20
"""Bytes of an output, as for every step."""

_END = b"end\n"
"""The last message, when the run has ended."""


class WorkerFailed(Exception):
    """Raised by a worker: its step has failed."""


class Call:
    """One attempt of one step that asks for its worker."""

    SOURCE = """\
import json, os, socket, sys

names = ("PLUE_RUN_ID", "PLUE_STEP_ID", "PLUE_VISIT", "PLUE_ATTEMPT")
with socket.socket(socket.AF_UNIX) as hub:
    try:
        hub.connect(os.environ["HUB_SOCKET"])
    except OSError as error:
        sys.exit(f"the program that holds the workers does not answer: {error}")
    hub.sendall(json.dumps([os.environ[name] for name in names]).encode() + b"\\n")
    with hub.makefile("rb") as answers:
        line = answers.readline()
if not line:
    sys.exit("the program that holds the workers went away")
answer = json.loads(line)
if "error" in answer:
    sys.exit(answer["error"])
with open(os.environ["PLUE_OUTPUT"], "w") as file:
    json.dump({"output": answer["output"]}, file)
"""
    """What the step runs."""

    def __init__(self, run: str, step: str, visit: str, attempt: str) -> None:
        self.run = run
        self.step = step
        self.visit = int(visit)
        self.attempt = int(attempt)

    @staticmethod
    def check(output: Any) -> None:
        """Raises ``TypeError`` or ``ValueError`` for what no step can put out."""
        data(output, "the output of a worker", False)
        if len(json.dumps(output)) > _MAX_ANSWER // 2:
            raise ValueError("the output of a worker is over 512 KiB")


class Engine:
    """The command ``plue``."""

    def __init__(self, program: str, state_dir: str | Path | None) -> None:
        self._program = program
        self._options = [] if state_dir is None else ["--state-dir", str(Path(state_dir).absolute())]

    def check(self, plan: Plan) -> None:
        """Raises ``ValueError`` with all that the engine finds wrong."""
        with tempfile.TemporaryDirectory(prefix="plue-") as folder:
            results = self.call(["validate", self._write(plan, folder)], folder)
        if results.returncode != 0:
            raise ValueError(results.stderr.strip())

    def run(self, plan: Plan, goal: str, serve: Callable[[Call], Any]) -> Mapping[str, Any]:
        """Runs a plan whose steps ask ``serve``, and returns the document of ``plue status --output json``."""
        with tempfile.TemporaryDirectory(prefix="plue-") as folder, socket.socket(socket.AF_UNIX) as hub:
            file = self._write(plan, folder)
            address = str(Path(folder) / "hub")
            hub.bind(address)
            hub.listen()
            results: list[subprocess.CompletedProcess[str]] = []

            def drive() -> None:
                options = ["--input", f"hub={json.dumps(address)}", "--output", "json", "--no-input"]
                try:
                    results.append(self.call(["run", file, "--goal", goal, *options], folder))
                finally:
                    # No step asks any more: this ends the loop below.
                    with socket.socket(socket.AF_UNIX) as end:
                        end.connect(address)
                        end.sendall(_END)

            driver = threading.Thread(target=drive, daemon=True)
            driver.start()
            while _answer_one(hub, serve):
                pass
            driver.join()
            return self._status(results, folder)

    def _status(self, results: list[subprocess.CompletedProcess[str]], folder: str) -> Mapping[str, Any]:
        if not results:
            raise RuntimeError(f"`{self._program}` cannot be started")
        try:
            run = json.loads(results[0].stdout)["run"]
        except ValueError:
            raise RuntimeError(results[0].stderr.strip()) from None
        return self.status(run, folder)

    def status(self, run: str, folder: str) -> Mapping[str, Any]:
        """The document that ``plue status --output json`` prints of a run."""
        status = self.call(["status", run, "--output", "json"], folder)
        if status.returncode != 0:
            raise RuntimeError(status.stderr.strip())
        found: Mapping[str, Any] = json.loads(status.stdout)
        return found

    @staticmethod
    def _write(plan: Plan, folder: str) -> str:
        file = Path(folder) / "workflow.plue.json"
        file.write_text(plan.to_json(), encoding="utf-8")
        return str(file)

    def call(self, arguments: list[str], folder: str) -> subprocess.CompletedProcess[str]:
        """Runs ``plue`` with these arguments in a folder."""
        program = shutil.which(self._program)
        if program is None:
            raise FileNotFoundError(f"there is no program `{self._program}`; install plue or pass program=")
        command = [os.path.abspath(program), *self._options, *arguments]
        return subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )


def _answer_one(hub: socket.socket, serve: Callable[[Call], Any]) -> bool:
    """Answers one step; ``False`` when the run has ended."""
    peer, _ = hub.accept()
    with peer, peer.makefile("rb") as lines:
        line = lines.readline()
        if line == _END:
            return False
        if not line:
            # A step that was killed before it had asked.
            return True
        try:
            answer = {"output": serve(Call(*json.loads(line)))}
        except Exception as error:
            answer = {"error": str(error) or type(error).__name__}
        try:
            peer.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            # The step was stopped meanwhile; its attempt has ended without this answer.
            return True
    return True

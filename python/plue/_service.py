"""From a goal to a workflow: Claude chooses the workers and their order, the engine checks and runs it.

Must not run a workflow before its caller has its plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plue._hub import Engine

_WAITS = 6
"""Exit code of ``plue plan --goal``: the plan is valid and waits for its approval."""


class Pipeline:
    """A workflow for a goal: valid, not approved, not yet in the repository."""

    def __init__(self, engine: Engine, question: list[str], repo: str, plan: bytes) -> None:
        self.plan: Mapping[str, Any] = json.loads(plan)
        """The plan, as ``plue plan --output json`` prints it."""
        self.hash = f"sha256:{hashlib.sha256(plan).hexdigest()}"
        """The hash of the plan, which an approval names."""
        self._engine = engine
        self._question = question
        self._repo = repo
        self._path: str | None = None

    @property
    def name(self) -> str:
        """The name of the workflow."""
        return str(self.plan["name"])

    @property
    def workers(self) -> list[tuple[str, str]]:
        """Step and role of each worker in the order of the plan; of a command its kind, such as ``bash``."""
        return [(step["id"], step.get("role") or step["kind"]) for step in self.plan["steps"]]

    def approve(self) -> str:
        """Writes the workflow into the repository, and returns its path there."""
        if self._path is None:
            done = self._engine.call([*self._question, "--approve", self.hash], self._repo)
            if done.returncode != 0:
                raise RuntimeError(done.stderr.strip())
            self._path = done.stderr.rsplit("plue run ", 1)[1].strip()
        return self._path

    def execute(self) -> Mapping[str, Any]:
        """Approves the workflow, runs it, and returns what ``plue status --output json`` prints.

        A failed run is no exception: see ``["run"]["status"]``.
        """
        ended = self._engine.call(["run", self.approve(), "--no-input", "--output", "json"], self._repo)
        try:
            run = json.loads(ended.stdout)["run"]
        except ValueError:
            raise RuntimeError(ended.stderr.strip()) from None
        return self._engine.status(run, self._repo)


class OrchestrationService:
    """Makes workflows for goals."""

    @staticmethod
    def create(
        goal: str,
        *,
        repo: str | Path = ".",
        answer: str | Path | None = None,
        budget: float | None = None,
        program: str = "plue",
        state_dir: str | Path | None = None,
    ) -> Pipeline:
        """Asks Claude for a workflow of workers for ``goal``; runs and writes nothing.

        ``answer`` is a file with a recorded answer, instead of the question; ``budget`` bounds the question, in
        dollars (1 by default). ``program`` is the command ``plue``, ``state_dir`` where it keeps runs. Raises
        ``RuntimeError`` with the words of ``plue`` if there is no answer, or no valid one.
        """
        engine = Engine(program, state_dir)
        question = ["plan", "--goal", goal]
        if answer is not None:
            question += ["--answer", str(Path(answer).absolute())]
        bound = [] if budget is None else ["--budget", str(budget)]
        asked = engine.call([*question, *bound, "--output", "json"], str(repo))
        if asked.returncode != _WAITS:
            raise RuntimeError(asked.stderr.strip())
        return Pipeline(engine, question, str(repo), asked.stdout.encode())

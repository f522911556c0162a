"""``python3 -m plue FILE``: the canonical plan of a workflow file, without the engine."""

from __future__ import annotations

import argparse
import builtins
import inspect
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import plue
from plue._context import Context
from plue._functions import remember

_NAMES = [
    "Artifacts",
    "Budget",
    "Cache",
    "Checkout",
    "Concurrency",
    "Goto",
    "Hooks",
    "Input",
    "Key",
    "Mcp",
    "Plan",
    "Prompt",
    "Retry",
    "Service",
    "Step",
    "Trigger",
    "ref",
    "secret",
    "template",
]


def plans(path: Path, root: Path, event: dict[str, Any] | None, inputs: dict[str, Any]) -> list[plue.Plan]:
    """Runs a workflow file, which is trusted, and takes its plans."""
    source = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    remember(str(path), source)
    for name in _NAMES:
        setattr(builtins, name, getattr(plue, name))
    sys.path.insert(0, str(root / ".plue" / "lib"))
    sys.dont_write_bytecode = True
    module = sys.modules["workflow"] = ModuleType("workflow")
    space = module.__dict__
    exec(compile(source, str(path), "exec", dont_inherit=True), space)
    workflow = space["workflow"]
    wants = len(inspect.signature(workflow).parameters)
    made = workflow(Context(root, event, inputs)) if wants else workflow()
    return [made] if isinstance(made, plue.Plan) else list(made)


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python3 -m plue", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--repo", type=Path, help="the repository [default: the one around the file]")
    parser.add_argument("--event", type=Path, help="the event as a JSON file")
    parser.add_argument("--input", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--hash", action="store_true", help="print the hash instead")
    arguments = parser.parse_args()
    file = arguments.file.resolve()
    around = [folder for folder in file.parents if (folder / ".git").exists()]
    root = arguments.repo or (around[0] if around else file.parent)
    event = json.loads(arguments.event.read_text()) if arguments.event else None
    inputs = {}
    for pair in arguments.input:
        key, _, value = pair.partition("=")
        try:
            inputs[key] = json.loads(value)
        except ValueError:
            inputs[key] = value
    # What the file itself prints is no plan.
    shown, sys.stdout = sys.stdout, sys.stderr
    made = plans(file, root.resolve(), event, inputs)
    lines = [plan.hash() if arguments.hash else plan.to_json() for plan in made]
    end = "" if len(lines) == 1 and not arguments.hash else "\n"
    shown.buffer.write("".join(line + end for line in lines).encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

# expect: ok
"""CI of a monorepo."""
from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Iterable, Optional

VERSIONS: tuple[str, ...] = ("3.10", "3.11", "3.12")


@dataclass(frozen=True)
class Job:
    name: str
    script: str
    needs: list[str] = field(default_factory=list)
    timeout: Optional[str] = None

    def step(self) -> Step:
        return Step.bash(self.name, self.script, depends_on=self.needs, timeout=self.timeout or "10m")


def jobs(versions: Iterable[str]) -> list[Job]:
    lint = Job("lint", "ruff check .")
    return [lint] + [Job(f"test-py{v.replace('.', '')}", f"tox -e py{v}", ["lint"]) for v in versions]


def workflow() -> Plan:
    return Plan(
        name="python-ci",
        triggers=[Trigger.on_push(branch="main"), Trigger.on_pull_request()],
        steps=[job.step() for job in jobs(VERSIONS)],
    )

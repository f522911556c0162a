"""Places of the repository and its tools, and how they are read."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "charts" / "checks"
CHART = ROOT / "charts" / "plue"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
HELM = TARGET / "tools" / "chart" / "helm"
# The oldest and the newest version whose schemas are checked, and all between.
KUBERNETES = ("1.33", "1.34", "1.35", "1.36", "1.37")

Object = dict[str, Any]


@dataclass
class Report:
    """Problems found so far, and counts for the summary."""

    problems: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, where: str, problem: str) -> None:
        self.problems.append(f"{where}: {problem}")

    def expect(self, holds: bool, where: str, problem: str) -> None:
        if not holds:
            self.add(where, problem)

    def count(self, what: str, number: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + number


@dataclass(frozen=True)
class ValueSet:
    """A file of values; comments at its top name release, namespace or the message of a refusal."""

    path: Path
    release: str
    namespace: str
    message: str

    @property
    def name(self) -> str:
        return self.path.stem

    @classmethod
    def read(cls, path: Path) -> ValueSet:
        text = path.read_text(encoding="utf-8")
        header = dict(re.findall(r"^# (release|namespace|message): (.+)$", text, flags=re.MULTILINE))
        return cls(path, header.get("release", "ci"), header.get("namespace", "default"), header.get("message", ""))


def value_sets(folder: str) -> list[ValueSet]:
    return [ValueSet.read(path) for path in sorted((HERE / folder).glob("*.yaml"))]


def helm(chart: Path, values: ValueSet, verb: str = "template") -> subprocess.CompletedProcess[str]:
    """Renders or lints with the Helm program, without a cluster or a network."""
    common = ["--namespace", values.namespace, "--values", str(values.path)]
    if verb == "lint":
        command = [str(HELM), "lint", str(chart), "--strict", *common]
    else:
        command = [str(HELM), "template", values.release, str(chart), *common]
        # The client of Helm 3.10 takes itself for an older cluster than the chart supports.
        command += ["--kube-version", f"{KUBERNETES[-1]}.0"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def objects(text: str) -> list[Object]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [one for one in yaml.load_all(text, Loader=loader) if one]


def title(one: Object) -> str:
    return f"{one.get('kind')}/{one.get('metadata', {}).get('name')}"


def pod_of(one: Object) -> tuple[Object, Object] | None:
    """Metadata and specification of the pods that an object makes."""
    if one["kind"] == "Pod":
        return one["metadata"], one["spec"]
    if one["kind"] in ("Deployment", "DaemonSet", "StatefulSet", "Job"):
        template = one["spec"]["template"]
        return template["metadata"], template["spec"]
    return None


def containers(spec: Object) -> list[tuple[str, Object]]:
    """Init containers and containers, each with its kind."""
    return [(kind, one) for kind in ("initContainers", "containers") for one in spec.get(kind, [])]


def written(path: Path, text: str, report: Report, write: bool) -> None:
    """Compares a file with what it should be, or writes it."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    if write:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return
    before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    line = next((at for at, pair in enumerate(zip(before, text.splitlines(), strict=False), 1) if pair[0] != pair[1]), 0)
    where = f"{path.relative_to(ROOT)}:{line or len(before) + 1}"
    report.add(where, "differs from what the chart gives now; `make chart-write` writes it")


def schema_of(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


Check = Callable[[Report], None]

"""Breaks a copy of the chart in one place at a time: the checks must find each break."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from . import documents, policy, rendered
from .files import CHART, Report, ValueSet, value_sets

# File, text in it, what it becomes, a part of the problem that must be found.
MUTATIONS = (
    ("values.yaml", "  allowPrivilegeEscalation: false", "  allowPrivilegeEscalation: true", "may gain privileges"),
    ("values.yaml", "    drop: [ALL]", "    drop: [NET_RAW]", "keeps capabilities"),
    ("values.yaml", "  readOnlyRootFilesystem: true", "  readOnlyRootFilesystem: false", "writes its root"),
    ("values.yaml", "    type: RuntimeDefault", "    type: Unconfined", "seccomp profile"),
    ("templates/_engine.tpl", "enableServiceLinks: false", "enableServiceLinks: true", "enableServiceLinks"),
    ("templates/runners/rbac.yaml", "kind: Role\n", "kind: ClusterRole\n", "no cluster roles"),
    ("templates/runners/rbac.yaml", "resources: [pods]", "resources: [pods, secrets]", "secrets"),
    ("templates/engine/deployment.yaml", "  replicas:", "  replica:", "replica"),
    ("templates/engine/deployment.yaml", '"liveness" "/healthz"', '"liveness" "/readyz"', "lives by another path"),
    ("templates/engine/deployment.yaml", "maxUnavailable: 0", "maxUnavailable: 1", "rolls with"),
    ("templates/engine/deployment.yaml", "checksum/config: ", "checksum/other: ", "does not restart"),
    ("templates/engine/service.yaml", '(list . "engine") | nindent 4', '(list . "engin") | nindent 4', "selects nothing"),
    ("templates/_names.tpl", "| trunc 40", "| trunc 60", "characters"),
    ("templates/_names.tpl", "app.kubernetes.io/instance: {{ $root", "app.kubernetes.io/instance: x{{ $root", "but were"),
    ("templates/engine/routes.yaml", "backendRefs:", "backends:", "backends"),
    ("templates/monitoring/monitors.yaml", "port: http", "portName: http", "portName"),
    ("templates/_config.tpl", 'set $config "state_dir"', 'set $config "database" .Values.masterKey.value }}{{ $_ := set '
     '$config "state_dir"', "shows a secret"),
    ("alerts.yaml", "plue_disk_low{", "plue_disk_full{", "no metric plue_disk_full"),
    ("alerts.yaml", "[15m])) > 0.05", "[15m]) > 0.05", "is no PromQL"),
    ("templates/_validate.tpl", 'if include "plue.isMany" .', "if false", "is accepted"),
    ("values.schema.json", '"additionalProperties": false', '"additionalProperties": true', "is accepted"),
)
# Values that a mutation must not let through.
REFUSED = ("replicas-of-sqlite", "unknown-key")
# Sets that together render every template that is mutated.
SETS = ("default", "long-names", "postgres-bucket", "http-route", "service-monitor", "alerts", "inline-secrets")


def check(report: Report) -> None:
    sets = [one for one in value_sets("values") if one.name in SETS]
    untouched = problems(CHART, sets, "is accepted")
    report.expect(not untouched, "mutations", f"the chart has problems without any: {untouched[:3]}")
    for path, old, new, expected in MUTATIONS:
        with tempfile.TemporaryDirectory() as folder:
            chart = Path(folder) / "plue"
            shutil.copytree(CHART, chart)
            file = chart / path
            text = file.read_text(encoding="utf-8")
            where = f"mutation of {path}, {old.strip()!r}"
            if old not in text:
                report.add(where, "changes nothing: name a text that is there")
                continue
            file.write_text(text.replace(old, new), encoding="utf-8")
            found = problems(chart, sets, expected)
            report.expect(any(expected in one for one in found), where, f"is not found ({expected!r})")
            report.count("mutations")


def problems(chart: Path, sets: list[ValueSet], expected: str) -> list[str]:
    report = Report()
    output = rendered.by_helm_4(chart, sets)
    rendered.fits_kubernetes(output, report)
    policy.check(output, report)
    policy.selectors(output, report, write=False)
    documents.metrics(output, report)
    if expected == "is accepted":
        rendered.refusals(chart, [one for one in value_sets("refused") if one.name in REFUSED], report)
    return report.problems

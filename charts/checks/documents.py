"""Texts that follow from others: README and descriptions of the schema from values.yaml, alerts and panels from
the metrics that there are, sections of the manual from the alerts."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import promql_parser
import yaml

from .files import CHART, HERE, ROOT, Object, Report, objects, schema_of, written
from .rendered import Rendered

NAMES = ROOT / "engine" / "runtime" / "src" / "metrics" / "names.rs"
GUIDE = ROOT / "docs" / "how-to" / "kubernetes-troubleshooting.md"
# Tables whose keys are those of Kubernetes or of plue, and are documented there.
FOREIGN = ("config", "resources", "auxiliaryResources", "podSecurityContext", "securityContext", "probes", "labels")


@dataclass(frozen=True)
class Value:
    """A key of values.yaml."""

    path: str
    comment: str
    default: Any


def values(text: str) -> list[Value]:
    """Every key with its comment, tables included, in the order of the file."""
    found: list[Value] = []
    walk(yaml.compose(text), text.splitlines(), "", found)
    return found


def walk(node: Any, lines: list[str], above: str, found: list[Value]) -> None:
    for key, value in node.value:
        path = f"{above}{key.value}"
        comment: list[str] = []
        at = key.start_mark.line - 1
        while at >= 0 and lines[at].strip().startswith("#"):
            comment.insert(0, lines[at].strip().removeprefix("#").strip())
            at -= 1
        is_table = isinstance(value, yaml.MappingNode) and bool(value.value)
        default = None if is_table else yaml.SafeLoader("").construct_object(value, deep=True)
        found.append(Value(path, " ".join(comment), default))
        if is_table:
            walk(value, lines, f"{path}.", found)


def check(report: Report, write: bool) -> None:
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    all_values = values(text)
    by_path = {one.path: one for one in all_values}
    for one in all_values:
        parent, _, name = one.path.rpartition(".")
        is_foreign = any(part in FOREIGN for part in parent.split("."))
        report.expect(bool(one.comment) or is_foreign, f"values.yaml: {one.path}", "has no comment above it")
    schema = schema_of(CHART / "values.schema.json")
    closed(schema, "", report)
    described(schema, by_path, report)
    written(CHART / "values.schema.json", json.dumps(schema, indent=2, ensure_ascii=False) + "\n", report, write)
    written(CHART / "README.md", readme(all_values), report, write)


def closed(schema: Object, where: str, report: Report) -> None:
    """Every table of the schema refuses unknown keys, except those that are Kubernetes' own."""
    if schema.get("type") == "object" and where != "/$defs/kubernetes":
        is_closed = schema.get("additionalProperties", True) is not True
        report.expect(is_closed, f"values.schema.json{where}", "accepts any key")
    report.expect(not schema.get("$ref", "#").startswith("http"), f"values.schema.json{where}", "refers to the network")
    for key, inner in schema.items():
        if isinstance(inner, dict):
            closed(inner, f"{where}/{key}", report)
        for at, one in enumerate(inner if isinstance(inner, list) else []):
            if isinstance(one, dict):
                closed(one, f"{where}/{key}/{at}", report)


def described(schema: Object, by_path: dict[str, Value], report: Report, above: str = "") -> None:
    """Puts the comments of values.yaml into the schema, which knows exactly the keys of that file."""
    for key, inner in schema["properties"].items():
        path = f"{above}{key}"
        if path == "global" or path.startswith("config."):
            continue
        one = by_path.get(path)
        if one is None:
            report.expect(above.rstrip(".").split(".")[-1] in ("resources", "auxiliaryResources", "startup", "liveness",
                          "readiness"), f"values.schema.json: {path}", "is no key of values.yaml")
            continue
        schema["properties"][key] = inner = {"description": one.comment, **inner} if one.comment else inner
        if one.comment:
            inner["description"] = one.comment
        if "properties" in inner:
            described(inner, by_path, report, f"{path}.")
    for path in by_path:
        name = path.removeprefix(above)
        if path.startswith(above) and "." not in name and name not in schema["properties"]:
            report.add(f"values.yaml: {path}", "is unknown to the schema")


def readme(all_values: list[Value]) -> str:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    head = (HERE / "readme.md").read_text(encoding="utf-8")
    head = re.sub(r"^<!--.*?-->\n", "", head, flags=re.DOTALL)
    head = head.replace("KUBE_VERSION", chart["kubeVersion"].removesuffix("-0")).replace("VERSION", chart["appVersion"])
    lines = [
        "<!-- Written from values.yaml and charts/checks/readme.md: make chart-write -->",
        head.rstrip(),
        "",
        "## Values",
        "",
        "| key | default | meaning |",
        "|---|---|---|",
    ]
    tables = {one.path for one in all_values if one.default is None and f"{one.path}." in {
        other.path[: len(one.path) + 1] for other in all_values}}
    for one in all_values:
        meaning = one.comment.replace("|", "\\|")
        if one.path in tables:
            if one.comment:
                lines.append(f"| **`{one.path}`** | | {meaning} |")
            continue
        default = json.dumps(one.default, ensure_ascii=False).replace("|", "\\|")
        lines.append(f"| `{one.path}` | `{default}` | {meaning} |")
    return "\n".join(lines) + "\n"


def metrics(rendered: Rendered, report: Report) -> None:
    """Alerts and panels are PromQL over metrics that exist; each alert has a section in the manual."""
    names = set(re.findall(r'name: "(plue_\w+)"', NAMES.read_text(encoding="utf-8")))
    report.expect(len(names) > 20, str(NAMES), f"has only {len(names)} metrics")
    guide = GUIDE.read_text(encoding="utf-8") if GUIDE.exists() else ""
    alerts = [rule for one in of_kind(rendered, "PrometheusRule") for rule in one["spec"]["groups"][0]["rules"]]
    report.expect(len(alerts) > 5, "alerts.yaml", "there are no alerts")
    for rule in alerts:
        query(f"alert {rule['alert']}", rule["expr"], names, report)
        report.expect("SELECTOR" not in rule["expr"], f"alert {rule['alert']}", "selects nothing")
        report.expect("severity" in rule["labels"], f"alert {rule['alert']}", "has no severity")
        report.expect(f"### {rule['alert']}\n" in guide, f"alert {rule['alert']}", f"has no section in {GUIDE.name}")
    boards = [one["data"]["plue.json"] for one in of_kind(rendered, "ConfigMap") if "plue.json" in one["data"]]
    report.expect(bool(boards), "dashboard", "is in no value set")
    for board in map(json.loads, boards[:1]):
        numbers = [panel["id"] for panel in board["panels"]]
        report.expect(len(numbers) == len(set(numbers)), "dashboard", "two panels have one id")
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                query(f"panel {panel['title']}", target["expr"].replace("$__rate_interval", "5m"), names, report)


def of_kind(rendered: Rendered, kind: str) -> list[Object]:
    return [one for all_objects in rendered.values() for one in all_objects if one["kind"] == kind]


def query(where: str, text: str, names: set[str], report: Report) -> None:
    try:
        promql_parser.parse(text)
    except ValueError as error:
        report.add(where, f"is no PromQL: {error}")
    used = set(re.findall(r"\bplue_\w+", text))
    report.expect(bool(used), where, "asks for no metric of plue")
    for name in sorted(used):
        report.expect(re.sub(r"_(bucket|sum|count)$", "", name) in names, where, f"there is no metric {name}")
    report.count("queries")


def golden(rendered: Rendered, report: Report, write: bool) -> None:
    """Some sets in full, so that a change of a template shows in its diff."""
    for name in ("default", "postgres-bucket", "every-key"):
        if name in rendered:
            text = yaml.safe_dump_all(rendered[name], sort_keys=False, width=120, allow_unicode=True)
            report.expect(objects(text) == rendered[name], name, "does not survive YAML")
            written(HERE / "golden" / f"{name}.yaml", text, report, write)

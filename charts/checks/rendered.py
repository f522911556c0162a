"""Objects that the chart gives for each value set, by two generations of Helm."""

from __future__ import annotations

import functools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import helm_python.chart
import jsonschema
import kubernetes_validate
import kubernetes_validate.utils
import yaml

from .files import HERE, KUBERNETES, Object, Report, ValueSet, helm, objects, schema_of, title

# The library reads its files anew for each object.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)

Rendered = dict[str, list[Object]]


def render(chart: Path, sets: list[ValueSet], report: Report) -> Rendered:
    """All value sets, rendered and linted. A set that cannot be rendered is a problem and left out."""
    with ThreadPoolExecutor(2) as pool:
        outputs = list(pool.map(lambda one: (one, helm(chart, one), helm(chart, one, "lint")), sets))
    found: Rendered = {}
    for one, output, lint in outputs:
        report.expect(lint.returncode == 0, one.name, f"helm lint: {(lint.stdout + lint.stderr).strip()}")
        if output.returncode != 0:
            report.add(one.name, f"helm template: {output.stderr.strip()}")
            continue
        found[one.name] = objects(output.stdout)
        report.count("value sets")
        report.count("objects", len(found[one.name]))
    return found


def same_by_helm_4(chart: Path, sets: list[ValueSet], rendered: Rendered, report: Report) -> None:
    """Helm 4 gives the same objects as Helm 3, and accepts the chart."""
    for name, all_objects in by_helm_4(chart, [one for one in sets if one.name in rendered]).items():
        old, new = (sorted(map(canonical, both)) for both in (rendered[name], all_objects))
        report.expect(old == new, name, "Helm 4 gives other objects than Helm 3")
    lint = helm_python.chart.lint(chart, strict=True, kube_version=f"v{KUBERNETES[-1]}.0")
    for message in lint["messages"]:
        report.expect(message["severity"] < 2, "helm 4 lint", str(message["error"]))


def by_helm_4(chart: Path, sets: list[ValueSet]) -> Rendered:
    """All value sets, rendered by the library of Helm 4 in this process."""
    found: Rendered = {}
    with helm_python.chart.Chart.load(chart) as loaded:
        for one in sets:
            values = yaml.safe_load(one.path.read_text(encoding="utf-8")) or {}
            manifests = loaded.render(values=values, name=one.release, namespace=one.namespace)
            found[one.name] = [
                each for path, text in manifests.items() if path.endswith(".yaml") for each in objects(text)
            ]
    return found


def canonical(one: Object) -> str:
    return json.dumps(one, sort_keys=True)


def fits_kubernetes(rendered: Rendered, report: Report) -> None:
    """Every object fits its schema, unknown fields included, in every version of Kubernetes."""
    own = {(schema["x-kind"], schema["x-api-version"]): schema for schema in map(schema_of, (HERE / "crds").glob("*.json"))}
    seen: set[str] = set()
    for name, all_objects in rendered.items():
        for one in all_objects:
            text = canonical(one)
            if text in seen:
                continue
            seen.add(text)
            where = f"{name}: {title(one)}"
            schema = own.get((one["kind"], one["apiVersion"]))
            if schema is not None:
                for error in jsonschema.Draft202012Validator(schema).iter_errors(one):
                    report.add(where, f"{error.json_path}: {error.message}")
                continue
            for version in KUBERNETES:
                fits_version(one, version, where, report)
    report.count("different objects", len(seen))


def fits_version(one: Object, version: str, where: str, report: Report) -> None:
    try:
        validated = kubernetes_validate.validate(one, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        path = ".".join(map(str, error.path))
        report.add(where, f"Kubernetes {version}: {path}: {error.message}")
    except kubernetes_validate.SchemaNotFoundError as error:
        report.add(where, f"Kubernetes {version}: {error.message}")
    else:
        report.expect(validated == version, where, f"checked against {validated} instead of {version}")


def refusals(chart: Path, sets: list[ValueSet], report: Report) -> None:
    """Values that cannot work are refused, with the message that their file names."""
    with ThreadPoolExecutor(2) as pool:
        outputs = list(pool.map(lambda one: (one, helm(chart, one)), sets))
    for one, output in outputs:
        report.count("refusals")
        if output.returncode == 0:
            report.add(f"refused/{one.name}", "is accepted")
            continue
        message = output.stderr.lower()
        missing = [part for part in one.message.lower().split(" | ") if part not in message]
        report.expect(bool(one.message), f"refused/{one.name}", "names no message")
        report.expect(not missing, f"refused/{one.name}", f"the message lacks {missing}: {output.stderr.strip()}")

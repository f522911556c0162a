"""Rules that every rendered object keeps: isolation, permissions, names, selectors, secrets."""

from __future__ import annotations

import json
import re

from .files import HERE, Object, Report, containers, pod_of, title, written
from .rendered import Rendered

LABELS = ("name", "instance", "component", "part-of", "version", "managed-by")
CLUSTER_KINDS = {"Namespace", "PriorityClass"}
# Volume types of the restricted pod security standard.
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
# All that the engine may do in the namespace of the runners.
PERMISSIONS = {
    ("pods", ""): {"create", "get", "list", "watch", "patch", "delete"},
    ("configmaps", "one"): {"get"},
    ("events", ""): {"create"},
}
# Texts of the value sets that are secrets.
SECRETS = ("geheim", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff")
NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")


def check(rendered: Rendered, report: Report) -> None:
    for name, all_objects in rendered.items():
        seen: set[tuple[str, str, str]] = set()
        for one in all_objects:
            where = f"{name}: {title(one)}"
            key = (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"])
            report.expect(key not in seen, where, "stands twice in the release")
            seen.add(key)
            named(one, where, report)
            permitted(one, where, report)
            silent(one, where, report)
            pod = pod_of(one)
            if pod is not None:
                report.count("pods")
                restricted(pod[1], where, report)
                complete(one, pod, where, report)
        selecting(name, all_objects, report)


def named(one: Object, where: str, report: Report) -> None:
    """Names and labels that Kubernetes takes, and labels that tools look for."""
    metadata = one["metadata"]
    name = metadata["name"]
    report.expect(len(name) <= 63 and NAME.match(name) is not None, where, f"{len(name)} characters or a bad name")
    is_of_cluster = one["kind"] in CLUSTER_KINDS
    report.expect(is_of_cluster != ("namespace" in metadata), where, "has no namespace, or one that it cannot have")
    if one["metadata"]["name"].endswith(("-extra", "-text")):
        return
    for label in LABELS:
        report.expect(f"app.kubernetes.io/{label}" in metadata.get("labels", {}), where, f"lacks the label {label}")
    for label, value in metadata.get("labels", {}).items():
        report.expect(len(value) <= 63 and not value.endswith("-"), where, f"the label {label} is {value!r}")


def permitted(one: Object, where: str, report: Report) -> None:
    """No permission of the cluster, and no other one in the namespace than those listed."""
    report.expect(one["kind"] not in ("ClusterRole", "ClusterRoleBinding"), where, "the chart has no cluster roles")
    for rule in one.get("rules", []) if one["kind"] == "Role" else []:
        for resource in rule["resources"]:
            names = "one" if len(rule.get("resourceNames", [])) == 1 else ""
            allowed = PERMISSIONS.get((resource, names), set())
            extra = set(rule["verbs"]) - allowed
            report.expect(not extra, where, f"may {sorted(extra)} {resource}")


def silent(one: Object, where: str, report: Report) -> None:
    if one["kind"] == "Secret":
        return
    text = json.dumps(one)
    for secret in SECRETS:
        # A digest of an image in two value sets has the same digits.
        text = text.replace(f"sha256:{secret}", "")
        report.expect(secret not in text, where, "shows a secret")


def restricted(spec: Object, where: str, report: Report) -> None:
    """The pod security standard `restricted`, and what plue asks for in addition."""
    for key in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        report.expect(not spec.get(key), where, f"{key} is set")
    for volume in spec.get("volumes", []):
        kinds = set(volume) - {"name"}
        report.expect(kinds <= VOLUMES, where, f"volume {volume['name']} is {sorted(kinds)}")
        if "emptyDir" in volume:
            report.expect("sizeLimit" in volume["emptyDir"], where, f"volume {volume['name']} has no limit")
    pod = spec.get("securityContext", {})
    report.expect(pod.get("runAsUser") != 0, where, "runs as root")
    report.expect(spec.get("enableServiceLinks") is False, where, "enableServiceLinks is not off")
    for _, one in containers(spec):
        at = f"{where}: container {one['name']}"
        own = one.get("securityContext", {})
        seccomp = {**pod, **own}.get("seccompProfile", {}).get("type")
        report.expect(seccomp in ("RuntimeDefault", "Localhost"), at, f"seccomp profile {seccomp}")
        report.expect({**pod, **own}.get("runAsNonRoot") is True, at, "runAsNonRoot is not set")
        report.expect(own.get("runAsUser") != 0, at, "runs as root")
        report.expect(own.get("allowPrivilegeEscalation") is False, at, "may gain privileges")
        report.expect(own.get("readOnlyRootFilesystem") is True, at, "writes its root")
        report.expect(not own.get("privileged"), at, "is privileged")
        capabilities = own.get("capabilities", {})
        report.expect(capabilities.get("drop") == ["ALL"] and not capabilities.get("add"), at, "keeps capabilities")
        report.expect(not any("hostPort" in port for port in one.get("ports", [])), at, "has a port of the host")


def complete(one: Object, pod: tuple[Object, Object], where: str, report: Report) -> None:
    """Resources on every container, probes on those that stay, tokens only where they are needed."""
    metadata, spec = pod
    component = metadata["labels"]["app.kubernetes.io/component"]
    for kind, container in containers(spec):
        at = f"{where}: container {container['name']}"
        resources = container.get("resources", {})
        report.expect({"cpu", "memory"} <= set(resources.get("requests", {})), at, "requests no cpu or memory")
        if container["name"] != "wait" or component == "engine":
            report.expect("memory" in resources.get("limits", {}), at, "has no limit of memory")
        if kind == "containers" and component == "engine":
            probes = {"livenessProbe", "readinessProbe"} - set(container)
            report.expect(not probes, at, f"lacks {sorted(probes)}")
        report.expect(not container["image"].endswith(":latest") and ":" in container["image"], at, "image of no version")
    needs_token = component == "engine"
    report.expect(needs_token or spec.get("automountServiceAccountToken") is False, where, "mounts a token")
    if one["kind"] == "Deployment" and component == "engine":
        upgrade(one, where, report)


def upgrade(one: Object, where: str, report: Report) -> None:
    """An upgrade takes no engine away before the next one is ready, or shares no volume of one node."""
    strategy = one["spec"]["strategy"]
    if strategy["type"] == "RollingUpdate":
        expected = {"maxSurge": 1, "maxUnavailable": 0}
        report.expect(strategy["rollingUpdate"] == expected, where, f"rolls with {strategy['rollingUpdate']}")
    else:
        report.expect(one["spec"].get("replicas") == 1, where, "several engines are recreated at once")
    annotations = one["spec"]["template"]["metadata"]["annotations"]
    report.expect("checksum/config" in annotations, where, "does not restart when its configuration changes")
    engine = next(each for each in one["spec"]["template"]["spec"]["containers"] if each["name"] == "engine")
    report.expect("lifecycle" in engine, where, "is ended before endpoints forget it")
    if engine.get("command") == ["/bin/sleep", "infinity"]:
        report.expect(engine["readinessProbe"] == {"exec": {"command": ["/bin/false"]}}, where, "serves nothing, but gets ready")
        return
    report.expect(engine["readinessProbe"]["httpGet"]["path"] == "/readyz", where, "is ready by another path")
    report.expect(engine["livenessProbe"]["httpGet"]["path"] == "/healthz", where, "lives by another path")


def selecting(name: str, all_objects: list[Object], report: Report) -> None:
    """Every selector of the release finds pods of the release."""
    pods = [pod[0]["labels"] for pod in map(pod_of, all_objects) if pod is not None]
    for one in all_objects:
        spec = one.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector")
        if not isinstance(selector, dict) or one["kind"] in ("PersistentVolumeClaim", "ServiceMonitor"):
            continue
        wanted = selector.get("matchLabels", selector)
        found = any(wanted.items() <= labels.items() for labels in pods)
        # With no tests there is no pod of a runner in the release itself.
        is_of_runners = wanted.get("app.kubernetes.io/component") == "runner"
        report.expect(found or is_of_runners, f"{name}: {title(one)}", f"selects nothing: {wanted}")
        report.expect("app.kubernetes.io/instance" in wanted, f"{name}: {title(one)}", "selects other releases too")


def selectors(rendered: Rendered, report: Report, write: bool) -> None:
    """Selectors of controllers cannot be changed by an upgrade, so they stay as they are in the golden file."""
    found: dict[str, dict[str, object]] = {}
    for name, all_objects in rendered.items():
        for one in all_objects:
            if one["kind"] in ("Deployment", "DaemonSet", "StatefulSet"):
                found.setdefault(name, {})[title(one)] = one["spec"]["selector"]["matchLabels"]
    path = HERE / "golden" / "selectors.json"
    if write:
        written(path, json.dumps(found, indent=1, sort_keys=True) + "\n", report, write)
    golden = json.loads(path.read_text(encoding="utf-8"))
    for name, by_title in found.items():
        report.expect(golden.get(name) == by_title, name, f"selectors are {by_title}, but were {golden.get(name)}")

"""The built program accepts what the chart gives it: configuration, arguments, probes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import tomllib
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from .files import CHART, TARGET, Object, Report, schema_of
from .rendered import Rendered

PLUE = TARGET / "debug" / "plue"
# Keys that the chart sets itself, or that make no sense for a server in a pod.
NOT_OFFERED = {
    "color",
    "database",
    "login.client_secret_file",
    "metrics_file",
    "objects.access_key_file",
    "objects.secret_key_file",
    "server",
    "state_dir",
    "token",
    "traces.headers_file",
}
# Keys that the chart offers under another name.
OF_POOLS = {"kubernetes", "pools.kubernetes"}
SERVE_WITHIN = 60
# An API server that does not answer: the engine serves without it.
NO_CLUSTER = """
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:9"}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
users: [{name: none, user: {}}]
current-context: none
"""


def check(rendered: Rendered, report: Report) -> None:
    if not PLUE.exists():
        report.add(str(PLUE), "is not built; `make bins` builds it")
        return
    known = configuration({})
    offered(known, report)
    for name, all_objects in rendered.items():
        for one in all_objects:
            if one["kind"] == "ConfigMap" and "config.toml" in one["data"]:
                accepted(name, one["data"]["config.toml"], report)
    for name in ("default", "load-balancer", "inline-secrets"):
        if name in rendered:
            serves(name, rendered[name], report)


def environment(folder: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": folder, "XDG_CONFIG_HOME": folder, "NO_COLOR": "1"}


def configuration(files: dict[str, str]) -> dict[str, tuple[Any, str]]:
    """`plue config show` with these files in the place of config.toml: values and origins."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder) / "plue" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        command = [str(PLUE), "config", "show", "--output", "json"]
        output = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=environment(folder), cwd=folder
        )
        if output.returncode != 0:
            raise ValueError(output.stderr.strip())
        return {one["key"]: (one["value"], one["origin"]) for one in json.loads(output.stdout)["config"]}


def accepted(name: str, text: str, report: Report) -> None:
    """The program reads the file, and has every value of it in force."""
    try:
        shown = configuration({"config.toml": text})
    except ValueError as error:
        report.add(f"{name}: config.toml", f"plue refuses it: {error}")
        return
    for key, value in flat(tomllib.loads(text)).items():
        found, origin = shown.get(key, (None, "nowhere"))
        report.expect(holds(found, value), f"{name}: config.toml", f"{key} is {found!r} in plue, {value!r} in the file")
        report.expect(origin.endswith("/config.toml"), f"{name}: config.toml", f"{key} is set by {origin}")
        report.count("configured values")


def holds(found: Any, value: Any) -> bool:
    """The program has the value; tables of a list may have more keys, with their defaults."""
    if isinstance(found, list) and isinstance(value, list):
        return len(found) == len(value) and all(map(holds, found, value))
    if isinstance(found, dict) and isinstance(value, dict):
        return all(key in found and holds(found[key], inner) for key, inner in value.items())
    return bool(found == value)


def flat(table: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{above}{key}"
        if isinstance(value, dict):
            found.update(flat(value, f"{name}."))
        else:
            found[name] = value
    return found


def offered(known: dict[str, tuple[Any, str]], report: Report) -> None:
    """The schema offers every key of the program, and no other one."""
    names = set(schema_keys(schema_of(CHART / "values.schema.json")["properties"]["config"]))
    of_pools = {key for key in known if any(key == one or key.startswith(f"{one}.") for one in OF_POOLS)}
    for key in sorted(set(known) - names - NOT_OFFERED - of_pools):
        report.add("values.schema.json", f"config lacks the key {key} of plue; offer it, or list it in NOT_OFFERED")
    for key in sorted(names - set(known)):
        report.add("values.schema.json", f"config has the key {key}, which plue does not know")


def schema_keys(schema: Object, above: str = "") -> list[str]:
    keys: list[str] = []
    for key, inner in schema["properties"].items():
        name = f"{above}{key}"
        keys += schema_keys(inner, f"{name}.") if "properties" in inner else [name]
    return keys


def serves(name: str, all_objects: list[Object], report: Report) -> None:
    """A server with the arguments of the pod, in a folder of its own, answers its probes and ends."""
    pod = next(one for one in all_objects if one["kind"] == "Deployment" and one["spec"]["template"])["spec"]["template"]
    engine = next(one for one in pod["spec"]["containers"] if one["name"] == "engine")
    text = next(one["data"]["config.toml"] for one in all_objects if "config.toml" in one.get("data", {}))
    arguments = ["--listen=127.0.0.1:0" if one.startswith("--listen") else one for one in engine["args"]]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "plue" / "config.toml"
        config.parent.mkdir()
        config.write_text(re.sub(r"/var/lib/plue", folder, text), encoding="utf-8")
        cluster = Path(folder) / "kubeconfig"
        cluster.write_text(NO_CLUSTER, encoding="utf-8")
        variables = environment(folder) | {"PLUE_KUBERNETES_KUBECONFIG": str(cluster)}
        migrated = subprocess.run(
            [str(PLUE), "migrate"], capture_output=True, text=True, timeout=60, check=False, env=variables
        )
        report.expect(migrated.returncode == 0, name, f"plue migrate: {migrated.stderr.strip()}")
        with (
            open(Path(folder) / "log", "w", encoding="utf-8") as log,
            subprocess.Popen(
                [str(PLUE), *arguments], stdout=subprocess.PIPE, stderr=log, text=True, env=variables
            ) as server,
        ):
            try:
                answers(name, server, engine, report)
            finally:
                server.send_signal(signal.SIGTERM)
                code = server.wait(SERVE_WITHIN)
            said = (Path(folder) / "log").read_text(encoding="utf-8").strip()
            report.expect(code == 0, name, f"plue {' '.join(arguments)} ended with {code}: {said}")
    report.count("servers")


def answers(name: str, server: subprocess.Popen[str], engine: Object, report: Report) -> None:
    line = server.stdout.readline() if server.stdout else ""
    found = re.search(r"http://\S+", line)
    if found is None:
        report.add(name, f"the server does not start: {line!r}")
        return
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = engine[probe]["httpGet"]["path"]
        try:
            with urllib.request.urlopen(found[0] + path, timeout=SERVE_WITHIN) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
        report.expect(status == 200, name, f"{probe}: {path} answers {status}")

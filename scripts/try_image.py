#!/usr/bin/env python3
"""Unpacks an archive of `cargo xtask image` and runs a command in it with runc: the user of the image, no capability,
no new privileges, a root that cannot be written, no network. What Kubernetes does with a restricted pod, without one.

usage: scripts/try_image.py ARCHIVE [--shell] ARGUMENT…    (needs root, runc and zstd)
"""

import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile


def main(archive: str, arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        bundle = pathlib.Path(folder)
        root = bundle / "rootfs"
        root.mkdir()
        image = tarfile.open(archive)
        config = unpack(image, root)
        command = arguments[1:] if arguments[:1] == ["--shell"] else config["Entrypoint"] + arguments
        (bundle / "config.json").write_text(json.dumps(specification(config, command)), encoding="utf-8")
        return subprocess.run(["runc", "run", "--bundle", folder, f"plue-image-{os.getpid()}"], check=False).returncode


def unpack(image: tarfile.TarFile, root: pathlib.Path) -> dict:
    """Writes the layers into a folder, and gives the configuration of the image."""
    index = json.loads(read(image, "index.json"))
    manifest = json.loads(blob(image, index["manifests"][0]))
    for layer in manifest["layers"]:
        plain = subprocess.run(["zstd", "-dc"], input=blob(image, layer), stdout=subprocess.PIPE, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
            tar.extractall(root, numeric_owner=True, filter="fully_trusted")
    return json.loads(blob(image, manifest["config"]))["config"]


def blob(image: tarfile.TarFile, descriptor: dict) -> bytes:
    return read(image, "blobs/sha256/" + descriptor["digest"].removeprefix("sha256:"))


def read(image: tarfile.TarFile, name: str) -> bytes:
    file = image.extractfile(name)
    if file is None:
        raise SystemExit(f"{name} is no file")
    return file.read()


def specification(config: dict, command: list[str]) -> dict:
    user, group = map(int, config["User"].split(":"))
    writable = [
        {"destination": path, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", f"mode={mode}", f"uid={user}"]}
        for path, mode in (("/tmp", "1777"), ("/var/lib/plue", "0700"), ("/workspace", "0700"))
    ]
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    ]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": user, "gid": group},
            "args": command,
            "env": [*config["Env"], "PLUE_STATE_DIR=/var/lib/plue/state"],
            "cwd": config["WorkingDir"],
            "capabilities": {},
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "mounts": mounts + writable,
        "linux": {"namespaces": [{"type": one} for one in ("pid", "ipc", "uts", "mount", "network")]},
    }


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    raise SystemExit(main(sys.argv[1], sys.argv[2:]))

#!/usr/bin/env bash
# Builds the evaluator that needs no Python where it runs: CPython from Debian's libpython3.11-pic.a
# and its library are inside. Prints where the program is, its size and what it still loads.
#
# usage: scripts/dist-evaluator.sh [test]   (`test` also runs the evaluator's tests in that build)
set -euo pipefail

readonly PYTHON=${PYO3_PYTHON:-/usr/bin/python3.11}

# The configuration for pyo3: the static library, which Debian builds as position-independent code
# under another name. Without it, pyo3 would link the shared one.
write_config() {
    "$PYTHON" -I -S - <<'PYTHON'
import pathlib, sys, sysconfig

folder = pathlib.Path(sysconfig.get_config_var("LIBPL"))
library = folder / "libpython3.11-pic.a"
if sys.version_info[:2] != (3, 11) or not library.exists():
    sys.exit(f"dist: {sys.executable} has no {library} (Debian's libpython3.11-dev has)")
print("implementation=CPython", "version=3.11", "shared=false", "target_abi=CPython-gil_enabled-3.11",
      "lib_name=python3.11-pic", f"lib_dir={folder}", f"executable={sys.executable}",
      "pointer_width=64", "build_flags=", "suppress_build_script_link_lines=false", sep="\n")
PYTHON
}

main() {
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    local target
    # A target folder of its own: the two kinds of build would only push each other out.
    target=$(realpath -m -- "${CARGO_TARGET_DIR:-target}")/static
    mkdir -p -- "$target"
    write_config >"$target/pyo3.new"
    # Only when it changed, or all that depends on pyo3 is built again.
    cmp -s "$target/pyo3.new" "$target/pyo3.config" || mv -- "$target/pyo3.new" "$target/pyo3.config"
    export CARGO_TARGET_DIR=$target PYO3_CONFIG_FILE=$target/pyo3.config PYO3_PYTHON=$PYTHON
    if [[ ${1:-} == test ]]; then
        # The container tests look next to their own build.
        mkdir -p -- "$target/tools"
        cp -- "$target/../tools/docker-seccomp.json" "$target/tools/"
        cargo nextest run --locked -p plue-evaluator --features static-python
    fi
    cargo build --profile dist --locked -p plue-evaluator --features static-python
    local program=$target/dist/plue-evaluator
    "$PYTHON" --version
    ls -l -- "$program"
    ldd "$program"
}

main "$@"

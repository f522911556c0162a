#!/usr/bin/env bash
# Fuzzes what takes foreign bytes: every target of FOLDERS for SECONDS_EACH seconds (60), beginning
# with its committed seeds. What was found stays in $CARGO_TARGET_DIR/fuzz; the exit status is 1 and the
# path of the file that does it is printed.
#
# usage: scripts/fuzz.sh [TARGET…]
set -euo pipefail

# Each holds a package with targets, `fuzz`.
readonly FOLDERS=(evaluator engine/spec engine/wire prompts)
readonly FUZZ_VERSION=0.13.2
readonly SECONDS_EACH=${SECONDS_EACH:-60}
# A file that needs longer than this is a finding. The jail's second of CPU time is not there.
readonly SECONDS_A_FILE=10
readonly MEMORY_MB=4000
readonly LONGEST_FILE=4096

log() { printf 'fuzz: %s\n' "$*" >&2; }

# The tool, with the other tools of the build (see Makefile).
need_cargo_fuzz() {
    local root=$1
    if cargo fuzz --version >/dev/null 2>&1; then return; fi
    log "cargo-fuzz is missing; building version $FUZZ_VERSION from crates.io into $root"
    CARGO_TARGET_DIR=$root/build cargo install cargo-fuzz --quiet --locked \
        --version "$FUZZ_VERSION" --root "$root"
    rm -rf -- "$root/build"
}

# Instrumentation needs compiler flags that only a nightly compiler takes, or a stable one that is
# allowed to act as one. No sanitizer: all memory the targets touch is CPython's, which is not
# instrumented, and stable does not ship one for each version.
fuzz_command() {
    if rustup run nightly cargo --version >/dev/null 2>&1 && [[ -z ${FUZZ_STABLE:-} ]]; then
        printf '%s\n' rustup run nightly cargo
    else
        printf '%s\n' env RUSTC_BOOTSTRAP=1 cargo
    fi
}

run_target() {
    local name=$1 out=$2 status=0
    mkdir -p -- "$out/corpus/$name" "$out/artifacts/$name"
    log "$name for $SECONDS_EACH s"
    "${cargo[@]}" fuzz run "$name" --fuzz-dir fuzz --target-dir "$out/build" --sanitizer none \
        "$out/corpus/$name" "fuzz/seeds/$name" -- \
        -max_total_time="$SECONDS_EACH" -timeout="$SECONDS_A_FILE" -rss_limit_mb="$MEMORY_MB" \
        -max_len="$LONGEST_FILE" -artifact_prefix="$out/artifacts/$name/" -print_final_stats=1 \
        >"$out/$name.log" 2>&1 || status=$?
    if ((status != 0)); then
        tail -n 40 -- "$out/$name.log" >&2
        local found
        found=$(find "$out/artifacts/$name" -type f -newer "$out/started" | head -n 1)
        log "$name FAILED; the file that does it: ${found:-none, see the log} (log: $out/$name.log)"
        return 1
    fi
    log "$name: $(grep -o 'stat::number_of_executed_units: *[0-9]*' "$out/$name.log" | grep -o '[0-9]*$' || echo 0) runs, nothing found"
}

main() {
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    local root target out
    root=$PWD
    target=$(realpath -m -- "${CARGO_TARGET_DIR:-target}")
    out=$target/fuzz
    export PATH=$target/tools/bin:$PATH
    need_cargo_fuzz "$target/tools"
    mkdir -p -- "$out"
    touch -- "$out/started"
    mapfile -t cargo < <(fuzz_command)
    # CPython keeps memory until the process ends.
    export ASAN_OPTIONS=detect_leaks=0
    local failed=0 folder name seeds
    for folder in "${FOLDERS[@]}"; do
        cd "$root/$folder"
        for seeds in fuzz/seeds/*; do
            name=$(basename "$seeds")
            if (($# > 0)) && [[ " $* " != *" $name "* ]]; then continue; fi
            run_target "$name" "$out" || failed=1
        done
    done
    return "$failed"
}

main "$@"

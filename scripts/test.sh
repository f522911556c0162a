#!/usr/bin/env bash
# Runs all unit and integration tests with cargo-nextest, or with `cargo test` where there is none.
# The summary of the run comes last. The argument is a profile of .config/nextest.toml.
set -euo pipefail

profile=${1:-default}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if cargo nextest --version >/dev/null 2>&1; then
    exec cargo nextest run --workspace --locked --profile "$profile"
fi

echo 'test: cargo-nextest is missing, using cargo test (no time limits, no groups)' >&2
log=$(mktemp)
trap 'rm -f -- "$log"' EXIT
status=0
cargo test --workspace --tests --locked --no-fail-fast 2>&1 | tee "$log" || status=$?
# One line a test program is no summary: add them up.
awk '/^test result:/ { passed += $4; failed += $6; skipped += $8 }
    END { printf "Summary: %d tests run: %d passed, %d failed, %d skipped\n",
        passed + failed, passed, failed, skipped }' "$log"
exit "$status"

#!/usr/bin/env bash
# Runs all unit and integration tests with cargo-nextest, or with `cargo test` where there is none.
# Whatever ran prints its summary last. The argument is a profile of .config/nextest.toml.
set -euo pipefail

profile=${1:-default}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if cargo nextest --version >/dev/null 2>&1; then
    exec cargo nextest run --workspace --locked --profile "$profile"
fi
echo 'test: cargo-nextest is missing, using cargo test' >&2
exec cargo test --workspace --lib --bins --tests --locked --no-fail-fast

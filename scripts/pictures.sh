#!/usr/bin/env bash
# Writes the pictures of the README from those that the browser tests made (`cargo nextest run -p plue-e2e
# --test browser -E 'test(wide)'`). Needs pngquant, which Debian has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly FROM=${CARGO_TARGET_DIR:-target}/screenshots
readonly TO=docs/pictures

for pair in run-matrix:dashboard-run log:dashboard-log; do
    source=$FROM/${pair%%:*}-wide-light.png
    [[ -f $source ]] || { echo "pictures: $source is missing; run the browser tests first" >&2; exit 1; }
    pngquant --force --strip --speed 1 --quality 60-90 --output "$TO/${pair#*:}.png" 64 "$source"
done

#!/usr/bin/env bash
# Checks with the YAML language server, which editors use, that the published schema of workflow files
# accepts the valid files of the tests and the examples, and refuses those that are wrong in form.
# Installs the npm package yaml-language-server into $CARGO_TARGET_DIR/tools/yls if it is not there.
#
# usage: scripts/check_yaml_schema.sh
set -euo pipefail

readonly VERSION=1.25.0

cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=$(realpath -m -- "${CARGO_TARGET_DIR:-target}")/tools/yls
if [[ ! -d $tools/node_modules/yaml-language-server ]]; then
    printf 'check_yaml_schema: installing yaml-language-server %s from npm into %s\n' "$VERSION" "$tools" >&2
    npm install --silent --no-audit --no-fund --prefix "$tools" "yaml-language-server@$VERSION"
fi
check() { node scripts/check_yaml_schema.cjs "$tools/node_modules" docs/schemas/workflow.json "$@"; }

files=engine/spec/tests/workflow
# Whole plans are of another schema; ids of other scripts are refused by design.
accepted=(examples/in-yaml/*.yaml)
for file in "$files"/valid/*.yaml "$files"/shared/valid/*.yaml; do
    case $file in */plan.yaml | */14_unicode_ids.yaml) ;; *) accepted+=("$file") ;; esac
done
refused=()
for name in a_list no_name no_tasks no_id no_kind two_kinds unknown_top_key unknown_nested_keys \
    wrong_types bad_values version_two triggers inputs; do
    refused+=("$files/invalid/$name.yaml")
done
check accept "${accepted[@]}"
check refuse "${refused[@]}"
printf 'check_yaml_schema: %d files accepted, %d refused, as they should be\n' "${#accepted[@]}" "${#refused[@]}" >&2

#!/usr/bin/env bash
# Runs an example as `make run` does: shows its plan, runs it, and prints where to look afterwards. Without a
# key for Claude the steps that need one get scripted answers, and this script prints so.
set -euo pipefail

readonly plue=$1 state=$2 example=$3 workflow=${4:-}
here=$(dirname -- "$0")
scripted=
# The answers of Claude without a key: the example's own answers for this workflow, or one review.
answers=$example/claude/${workflow//-/_}.json
[[ -n $workflow && -f $answers ]] || answers=$here/scripted_review.json

# Starts the scripted Claude of this repository and points plue at it.
use_scripted_claude() {
    local address
    address=$(mktemp)
    python3 "$here/scripted_claude.py" --script "$answers" --port-file "$address" \
        >/dev/null &
    scripted=$!
    trap 'kill "$scripted" 2>/dev/null || true' EXIT
    for _ in {1..100}; do
        [[ -s $address ]] && break
        sleep 0.1
    done
    if [[ ! -s $address ]]; then
        echo 'The scripted Claude does not start; set ANTHROPIC_API_KEY for Claude.' >&2
        return
    fi
    ANTHROPIC_BASE_URL=$(<"$address")
    rm -f -- "$address"
    export ANTHROPIC_BASE_URL ANTHROPIC_API_KEY=no-key-scripted-claude
    echo '>>> Scripted answers; set ANTHROPIC_API_KEY for Claude. <<<'
    echo
}

"$plue" plan ${workflow:+"$workflow"} --repo "$example" --state-dir "$state"
echo
if [[ -z ${ANTHROPIC_API_KEY:-} && -z ${ANTHROPIC_AUTH_TOKEN:-} ]]; then
    use_scripted_claude
fi
status=0
"$plue" run ${workflow:+"$workflow"} --repo "$example" --state-dir "$state" || status=$?
echo
if [[ ${ANTHROPIC_API_KEY:-} == no-key-scripted-claude ]]; then
    printf '>>> The answers of Claude steps above were scripted: %s. <<<\n' "${answers#"$PWD/"}"
fi
echo "Look around:  $plue --state-dir $state status"
echo "              $plue --state-dir $state logs last"
echo "              $plue --state-dir $state explain last"
exit "$status"

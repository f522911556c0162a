#!/usr/bin/env bash
# Runs an example as `make run` does: shows its plan, runs it, and says where to look afterwards.
set -euo pipefail

readonly plue=$1 state=$2 example=$3

"$plue" plan --repo "$example" --state-dir "$state"
echo
status=0
"$plue" run --repo "$example" --state-dir "$state" || status=$?
echo
if [[ $example == examples/seed && $status -eq 1 ]]; then
    echo 'As it should be: test and build ran; review is a Claude step, and this build of plue says'
    echo 'what to configure instead of pretending (EXAMPLE=examples/hello ends well).'
    status=0
fi
echo "Look around:  $plue --state-dir $state status"
echo "              $plue --state-dir $state logs last"
echo "              $plue --state-dir $state explain last"
exit "$status"

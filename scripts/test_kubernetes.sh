#!/usr/bin/env bash
# Runs the pool manager against a real cluster: PLUE_TEST_KUBECONFIG names it, PLUE_TEST_IMAGE an image on its nodes
# whose /usr/bin/plue-runner stays (the test plays its session).
# Makes the namespace plue-l4 there and removes it afterwards.
set -euo pipefail
: "${PLUE_TEST_KUBECONFIG:?name a kubeconfig}" "${PLUE_TEST_IMAGE:?name an image whose runner stays}"
kubectl() { command "${KUBECTL:-kubectl}" --kubeconfig "$PLUE_TEST_KUBECONFIG" "$@"; }
trap 'kubectl delete namespace plue-l4 --wait=false' EXIT
kubectl create namespace plue-l4
kubectl label namespace plue-l4 pod-security.kubernetes.io/enforce=restricted
kubectl -n plue-l4 create configmap plue-owner
cargo nextest run -p plue-pool-kube --test cluster -E 'test(real)' --no-capture

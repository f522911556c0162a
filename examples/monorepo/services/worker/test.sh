echo "worker: 3 tests passed"

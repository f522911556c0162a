echo "api: 3 tests passed"

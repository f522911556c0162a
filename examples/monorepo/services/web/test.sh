echo "web: 3 tests passed"

# expect: ok
MATRIX = {"os": ["linux", "mac"], "py": ["3.10", "3.12"], "db": ["pg", "sqlite"]}
EXCLUDE = [{"os": "mac", "db": "pg"}]


def combos(matrix):
    keys = list(matrix)
    rows = [{}]
    for key in keys:
        rows = [{**row, key: value} for row in rows for value in matrix[key]]
    return [r for r in rows if not any(all(r[k] == v for k, v in ex.items()) for ex in EXCLUDE)]


def workflow():
    rows = combos(MATRIX)
    ids = ["-".join(str(v).replace(".", "") for v in row.values()) for row in rows]
    lookup = dict(zip(ids, rows))
    biggest = max(lookup, key=lambda i: (len(i), i))
    return Plan(
        name=f"matrix of {len(rows)} ({biggest})",
        steps=[Step.bash(i, "tox", env={k.upper(): str(v) for k, v in lookup[i].items()}) for i in sorted(ids)],
    )

-- Pools whose runners are pods. `spec` is for people, as JSON. `min_idle` and `max_total` override the configuration when set.
CREATE TABLE pool (
    name TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('kubernetes')),
    spec TEXT NOT NULL,
    template TEXT NOT NULL,
    min_idle INTEGER,
    max_total INTEGER,
    draining INTEGER NOT NULL,
    degraded TEXT,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The engine that manages a pool. `fence` grows with each holder and makes an earlier one harmless.
CREATE TABLE pool_lease (
    pool TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    fence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The pod of a runner. `scope` is the repository and trust of its runs so far, `uses` their number.
CREATE TABLE runner_pod (
    runner_id TEXT NOT NULL PRIMARY KEY,
    template TEXT NOT NULL,
    pod_uid TEXT,
    scope TEXT,
    uses INTEGER NOT NULL,
    taken_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX runner_pod_taken ON runner_pod (taken_at) WHERE taken_at IS NOT NULL;

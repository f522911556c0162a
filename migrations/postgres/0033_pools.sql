-- Pools whose runners are pods. `spec` is for people, as JSON. `min_idle` and `max_total` override the configuration when set.
CREATE TABLE pool (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('kubernetes')),
    spec TEXT COLLATE "C" NOT NULL,
    template TEXT COLLATE "C" NOT NULL,
    min_idle BIGINT,
    max_total BIGINT,
    draining BIGINT NOT NULL,
    degraded TEXT COLLATE "C",
    updated_at BIGINT NOT NULL
);

-- The engine that manages a pool. `fence` grows with each holder and makes an earlier one harmless.
CREATE TABLE pool_lease (
    pool TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    fence BIGINT NOT NULL
);

-- The pod of a runner. `scope` is the repository and trust of its runs so far, `uses` their number.
CREATE TABLE runner_pod (
    runner_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    template TEXT COLLATE "C" NOT NULL,
    pod_uid TEXT COLLATE "C",
    scope TEXT COLLATE "C",
    uses BIGINT NOT NULL,
    taken_at BIGINT
);
CREATE INDEX runner_pod_taken ON runner_pod (taken_at) WHERE taken_at IS NOT NULL;

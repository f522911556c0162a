-- The first tables. Times are microseconds since 1970 (UTC), JSON is text, statuses are the texts of
-- closed sets of the program. A file of migrations never changes once it was released.

CREATE TABLE plan (
    hash TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    canonical BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

-- The row that every transition of a run rewrites; hence small, and apart from run_source.
CREATE TABLE run (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workflow TEXT COLLATE "C" NOT NULL,
    plan_hash TEXT COLLATE "C" NOT NULL REFERENCES plan (hash),
    repo TEXT COLLATE "C",
    sha TEXT COLLATE "C",
    branch TEXT COLLATE "C",
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('queued', 'running', 'waiting', 'success', 'failed', 'cancelled', 'timed_out')),
    reason TEXT COLLATE "C",
    seq BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT
) WITH (fillfactor = 70);
CREATE INDEX run_by_workflow ON run (workflow, id);
CREATE INDEX run_by_status ON run (status, id);
CREATE INDEX run_by_plan ON run (plan_hash);

-- What a run was made from. Never changes.
CREATE TABLE run_source (
    run_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    source TEXT COLLATE "C" NOT NULL,
    event TEXT COLLATE "C" NOT NULL,
    inputs TEXT COLLATE "C" NOT NULL,
    origin TEXT COLLATE "C" NOT NULL
);

CREATE TABLE journal (
    run_id TEXT COLLATE "C" NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    fact TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (run_id, seq)
);

CREATE TABLE step (
    run_id TEXT COLLATE "C" NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    step_id TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('pending', 'queued', 'running', 'waiting', 'success', 'failed', 'skipped', 'cancelled', 'timed_out')),
    reason TEXT COLLATE "C",
    visit BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    ready_at BIGINT,
    started_at BIGINT,
    ended_at BIGINT,
    output TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (run_id, step_id)
) WITH (fillfactor = 70);

CREATE TABLE runner (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    pool TEXT COLLATE "C" NOT NULL,
    token_hash TEXT COLLATE "C" NOT NULL,
    boot TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('warming', 'ready', 'claimed', 'draining', 'gone')),
    epoch BIGINT NOT NULL,
    group_key TEXT COLLATE "C",
    registered_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    state_since BIGINT NOT NULL,
    reason TEXT COLLATE "C"
) WITH (fillfactor = 70);
CREATE INDEX runner_alive ON runner (pool, state_since) WHERE state <> 'gone';

CREATE TABLE attempt (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    run_id TEXT COLLATE "C" NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    step_id TEXT COLLATE "C" NOT NULL,
    visit BIGINT NOT NULL,
    number BIGINT NOT NULL,
    pool TEXT COLLATE "C" NOT NULL,
    priority BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('queued', 'assigned', 'running', 'done', 'lost', 'cancelled')),
    fence BIGINT NOT NULL,
    runner_id TEXT COLLATE "C",
    queued_at BIGINT NOT NULL,
    assigned_at BIGINT,
    started_at BIGINT,
    ended_at BIGINT,
    pid BIGINT,
    ack_seq BIGINT NOT NULL,
    log_bytes BIGINT NOT NULL,
    log_newlines BIGINT NOT NULL,
    outcome TEXT COLLATE "C",
    detail TEXT COLLATE "C",
    to_pack BIGINT NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX attempt_of_run ON attempt (run_id, step_id, visit, number);
CREATE INDEX attempt_queued ON attempt (pool, priority, not_before, id) WHERE state = 'queued';
CREATE INDEX attempt_to_pack ON attempt (id) WHERE to_pack = 1;
CREATE INDEX attempt_held ON attempt (runner_id) WHERE state IN ('assigned', 'running');

-- One row for each event with bytes or a remark; after compaction one row for many of them, under the
-- number of the last, so that "after event n" finds the same bytes before and after.
CREATE TABLE log_chunk (
    attempt_id TEXT COLLATE "C" NOT NULL REFERENCES attempt (id) ON DELETE CASCADE,
    first_seq BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    stream TEXT COLLATE "C" NOT NULL CHECK (stream IN ('stdout', 'stderr', 'gap', 'note', 'block')),
    first_byte BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    first_line BIGINT NOT NULL,
    newlines BIGINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (attempt_id, seq)
);
CREATE INDEX log_by_byte ON log_chunk (attempt_id, first_byte);
CREATE INDEX log_by_line ON log_chunk (attempt_id, first_line);

CREATE TABLE engine (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    host TEXT COLLATE "C" NOT NULL,
    pid BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);

-- What an evaluation gave: key = hash of (sources, context, evaluator build).
CREATE TABLE plan_cache (
    key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    plans TEXT COLLATE "C" NOT NULL,
    read_set TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL
);

-- Requests for runs to stop, until the journal has them.
CREATE TABLE cancel_request (
    run_id TEXT NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    requested_by TEXT NOT NULL,
    forced BIGINT NOT NULL,
    requested_at BIGINT NOT NULL
);

-- What must be told to others, written in the transaction that made it true.
CREATE TABLE outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    payload TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    delivered_at BIGINT
);
CREATE INDEX outbox_open ON outbox (id) WHERE delivered_at IS NULL;

-- Fences are given out in blocks of 64; see plue-store's fence.rs.
CREATE SEQUENCE fence_seq INCREMENT BY 64 START WITH 64;
-- Log bytes are not compressed in place: blocks are, after the attempt ended.
ALTER TABLE log_chunk ALTER COLUMN data SET STORAGE EXTERNAL;

-- The first tables. Times are microseconds since 1970 (UTC), JSON is text, statuses are the texts of
-- closed sets of the program. A file of migrations never changes once it was released.

CREATE TABLE plan (
    hash TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    canonical BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- The row that every transition of a run rewrites; hence small, and apart from run_source.
CREATE TABLE run (
    id TEXT NOT NULL PRIMARY KEY,
    workflow TEXT NOT NULL,
    plan_hash TEXT NOT NULL REFERENCES plan (hash),
    repo TEXT,
    sha TEXT,
    branch TEXT,
    status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'waiting', 'success', 'failed', 'cancelled', 'timed_out')),
    reason TEXT,
    seq INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX run_by_workflow ON run (workflow, id);
CREATE INDEX run_by_status ON run (status, id);
CREATE INDEX run_by_plan ON run (plan_hash);

-- What a run was made from. Never changes.
CREATE TABLE run_source (
    run_id TEXT NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    source TEXT NOT NULL,
    event TEXT NOT NULL,
    inputs TEXT NOT NULL,
    origin TEXT NOT NULL
) STRICT;

CREATE TABLE journal (
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    fact TEXT NOT NULL,
    PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE step (
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    step_id TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'queued', 'running', 'waiting', 'success', 'failed', 'skipped', 'cancelled', 'timed_out')),
    reason TEXT,
    visit INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    ready_at INTEGER,
    started_at INTEGER,
    ended_at INTEGER,
    output TEXT NOT NULL,
    PRIMARY KEY (run_id, step_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE runner (
    id TEXT NOT NULL PRIMARY KEY,
    pool TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    boot TEXT,
    state TEXT NOT NULL CHECK (state IN ('warming', 'ready', 'claimed', 'draining', 'gone')),
    epoch INTEGER NOT NULL,
    group_key TEXT,
    registered_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    state_since INTEGER NOT NULL,
    reason TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX runner_alive ON runner (pool, state_since) WHERE state <> 'gone';

CREATE TABLE attempt (
    id TEXT NOT NULL PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    step_id TEXT NOT NULL,
    visit INTEGER NOT NULL,
    number INTEGER NOT NULL,
    pool TEXT NOT NULL,
    priority INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'assigned', 'running', 'done', 'lost', 'cancelled')),
    fence INTEGER NOT NULL,
    runner_id TEXT,
    queued_at INTEGER NOT NULL,
    assigned_at INTEGER,
    started_at INTEGER,
    ended_at INTEGER,
    pid INTEGER,
    ack_seq INTEGER NOT NULL,
    log_bytes INTEGER NOT NULL,
    log_newlines INTEGER NOT NULL,
    outcome TEXT,
    detail TEXT,
    to_pack INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_of_run ON attempt (run_id, step_id, visit, number);
CREATE INDEX attempt_queued ON attempt (pool, priority, not_before, id) WHERE state = 'queued';
CREATE INDEX attempt_to_pack ON attempt (id) WHERE to_pack = 1;
CREATE INDEX attempt_held ON attempt (runner_id) WHERE state IN ('assigned', 'running');

-- One row for each event with bytes or a remark; after compaction one row for many of them, under the
-- number of the last, so that "after event n" finds the same bytes before and after.
CREATE TABLE log_chunk (
    attempt_id TEXT NOT NULL REFERENCES attempt (id) ON DELETE CASCADE,
    first_seq INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    stream TEXT NOT NULL CHECK (stream IN ('stdout', 'stderr', 'gap', 'note', 'block')),
    first_byte INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    first_line INTEGER NOT NULL,
    newlines INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (attempt_id, seq)
) STRICT;
CREATE INDEX log_by_byte ON log_chunk (attempt_id, first_byte);
CREATE INDEX log_by_line ON log_chunk (attempt_id, first_line);

CREATE TABLE engine (
    id TEXT NOT NULL PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;

-- What an evaluation gave: key = hash of (sources, context, evaluator build).
CREATE TABLE plan_cache (
    key TEXT NOT NULL PRIMARY KEY,
    plans TEXT NOT NULL,
    read_set TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL
) STRICT;

-- Requests for runs to stop, until the journal has them.
CREATE TABLE cancel_request (
    run_id TEXT NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    requested_by TEXT NOT NULL,
    forced INTEGER NOT NULL,
    requested_at INTEGER NOT NULL
) STRICT;

-- What must be told to others, written in the transaction that made it true.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    delivered_at INTEGER
) STRICT;
CREATE INDEX outbox_open ON outbox (id) WHERE delivered_at IS NULL;

-- Fences are given out in blocks of 64; see plue-store's fence.rs.
CREATE TABLE fence (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    next INTEGER NOT NULL
) STRICT;
INSERT INTO fence (id, next) VALUES (1, 64);

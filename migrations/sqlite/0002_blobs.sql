-- Content by its SHA-256, and what refers to it. A blob that nothing refers to is swept some time after
-- it was used last.

CREATE TABLE blob (
    hash TEXT NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL,
    data BLOB,
    file TEXT,
    used_at INTEGER NOT NULL
) STRICT;
CREATE INDEX blob_by_use ON blob (used_at);

CREATE TABLE artifact (
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    attempt_id TEXT NOT NULL,
    step_id TEXT NOT NULL,
    visit INTEGER NOT NULL,
    number INTEGER NOT NULL,
    path TEXT NOT NULL,
    hash TEXT NOT NULL,
    size INTEGER NOT NULL,
    executable INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expired_at INTEGER,
    PRIMARY KEY (run_id, attempt_id, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_by_age ON artifact (created_at) WHERE expired_at IS NULL;
CREATE INDEX artifact_of_attempt ON artifact (attempt_id);

-- An entry that was evicted stays for a while without its archive, so that a miss can be explained.
CREATE TABLE cache_entry (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    archive TEXT,
    size INTEGER NOT NULL,
    files INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    step_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    evicted_at INTEGER,
    evicted_for TEXT,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX cache_by_use ON cache_entry (used_at) WHERE archive IS NOT NULL;

CREATE TABLE checkpoint (
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('step', 'skipped', 'restored')),
    attempt_id TEXT,
    steps TEXT NOT NULL,
    changes TEXT,
    files INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    note TEXT,
    at INTEGER NOT NULL,
    PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE pure_result (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    attempt_id TEXT NOT NULL,
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX pure_of_run ON pure_result (run_id);

-- What the engine has to say about an attempt beside its outcome.
CREATE TABLE attempt_note (
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    attempt_id TEXT NOT NULL,
    step_id TEXT NOT NULL,
    text TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (run_id, attempt_id, text)
) STRICT, WITHOUT ROWID;

-- Runs that came from a file. They are only read.
CREATE TABLE imported_run (
    run_id TEXT NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    imported_at INTEGER NOT NULL,
    manifest TEXT NOT NULL
) STRICT;

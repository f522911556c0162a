-- Content by its SHA-256, and what refers to it. A blob that nothing refers to is swept some time after
-- it was used last.

CREATE TABLE blob (
    hash TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    size BIGINT NOT NULL,
    data BYTEA,
    file TEXT COLLATE "C",
    used_at BIGINT NOT NULL
);
CREATE INDEX blob_by_use ON blob (used_at);

CREATE TABLE artifact (
    run_id TEXT COLLATE "C" NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    attempt_id TEXT COLLATE "C" NOT NULL,
    step_id TEXT COLLATE "C" NOT NULL,
    visit BIGINT NOT NULL,
    number BIGINT NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    size BIGINT NOT NULL,
    executable BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expired_at BIGINT,
    PRIMARY KEY (run_id, attempt_id, path)
);
CREATE INDEX artifact_by_age ON artifact (created_at) WHERE expired_at IS NULL;
CREATE INDEX artifact_of_attempt ON artifact (attempt_id);

-- An entry that was evicted stays for a while without its archive, so that a miss can be explained.
CREATE TABLE cache_entry (
    scope TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    archive TEXT COLLATE "C",
    size BIGINT NOT NULL,
    files BIGINT NOT NULL,
    run_id TEXT COLLATE "C" NOT NULL,
    step_id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    evicted_at BIGINT,
    evicted_for TEXT COLLATE "C",
    PRIMARY KEY (scope, key)
);
CREATE INDEX cache_by_use ON cache_entry (used_at) WHERE archive IS NOT NULL;

CREATE TABLE checkpoint (
    run_id TEXT COLLATE "C" NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('step', 'skipped', 'restored')),
    attempt_id TEXT COLLATE "C",
    steps TEXT COLLATE "C" NOT NULL,
    changes TEXT COLLATE "C",
    files BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    note TEXT COLLATE "C",
    at BIGINT NOT NULL,
    PRIMARY KEY (run_id, seq)
);

CREATE TABLE pure_result (
    scope TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    attempt_id TEXT COLLATE "C" NOT NULL,
    run_id TEXT COLLATE "C" NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (scope, key)
);
CREATE INDEX pure_of_run ON pure_result (run_id);

-- What the engine has to say about an attempt beside its outcome.
CREATE TABLE attempt_note (
    run_id TEXT COLLATE "C" NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    attempt_id TEXT COLLATE "C" NOT NULL,
    step_id TEXT COLLATE "C" NOT NULL,
    text TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (run_id, attempt_id, text)
);

-- Runs that came from a file. They are only read.
CREATE TABLE imported_run (
    run_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    imported_at BIGINT NOT NULL,
    manifest TEXT COLLATE "C" NOT NULL
);

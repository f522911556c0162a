-- The scopes that may name a blob: their runs have sent it, or the engine gave it to them.
CREATE TABLE blob_scope (
    hash TEXT COLLATE "C" NOT NULL REFERENCES blob (hash) ON DELETE CASCADE,
    scope TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (hash, scope)
);

-- The texts of secrets that a run was given, sealed: what its logs mask.
CREATE TABLE run_mask (
    run_id TEXT COLLATE "C" NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    id TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    wrapped BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (run_id, id)
);

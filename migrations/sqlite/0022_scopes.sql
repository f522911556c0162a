-- The scopes that may name a blob: their runs have sent it, or the engine gave it to them.
CREATE TABLE blob_scope (
    hash TEXT NOT NULL REFERENCES blob (hash) ON DELETE CASCADE,
    scope TEXT NOT NULL,
    PRIMARY KEY (hash, scope)
) STRICT, WITHOUT ROWID;

-- The texts of secrets that a run was given, sealed: what its logs mask.
CREATE TABLE run_mask (
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (run_id, id)
) STRICT;

-- Secrets, sealed. `sealed` is the text under a key of its own, `wrapped` that key under the master
-- key `key_id`, which is never in the database. `scope`: the repository; empty: all of them.
CREATE TABLE secret (
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    key_id TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;

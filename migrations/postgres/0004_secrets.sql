-- Secrets, sealed. `sealed` is the text under a key of its own, `wrapped` that key under the master
-- key `key_id`, which is never in the database. `scope`: the repository; empty: all of them.
CREATE TABLE secret (
    scope TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    wrapped BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (scope, name)
);

-- Runners of other machines. A registered one goes back to 'warming' when its run is over, and is leased again.
ALTER TABLE runner ADD COLUMN kind TEXT NOT NULL DEFAULT 'process' CHECK (kind IN ('process', 'pod', 'registered'));
-- For people.
ALTER TABLE runner ADD COLUMN name TEXT;
-- Names that `runner=` of a step may ask for beside the pool's, as a JSON list.
ALTER TABLE runner ADD COLUMN labels TEXT NOT NULL DEFAULT '[]';
-- 1: it gets no further run.
ALTER TABLE runner ADD COLUMN draining INTEGER NOT NULL DEFAULT 0;

-- Tokens with which one machine each registers a runner. Used ones stay until they expire.
CREATE TABLE runner_token (
    id TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL,
    pool TEXT NOT NULL,
    labels TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    runner_id TEXT
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX runner_token_by_hash ON runner_token (hash);

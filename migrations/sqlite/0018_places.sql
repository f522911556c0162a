-- The pull request of a fork that a run is for, 0 if its number is unknown; NULL: the change is by people
-- who may write to the repository.
ALTER TABLE run ADD COLUMN fork INTEGER;
-- Another run started it, in whose place it runs.
ALTER TABLE run ADD COLUMN is_child INTEGER NOT NULL DEFAULT 0;
UPDATE run SET fork = COALESCE((SELECT json_extract(s.event, '$.pull_request.number')
    FROM run_source s WHERE s.run_id = run.id), 0)
    WHERE EXISTS (SELECT 1 FROM run_source s WHERE s.run_id = run.id
        AND (json_extract(s.origin, '$.untrusted') = 1
            OR json_extract(s.event, '$.pull_request.fork') = 1));
UPDATE run SET is_child = 1 WHERE EXISTS (SELECT 1 FROM run_source s WHERE s.run_id = run.id
    AND json_extract(s.origin, '$.parent.run') IS NOT NULL);

-- Runs to be driven, by whose bounds they count against.
CREATE INDEX run_undriven_own ON run (COALESCE(repo, ''), id)
    WHERE driver IS NULL AND status IN ('queued', 'running', 'waiting') AND fork IS NULL;
CREATE INDEX run_undriven_fork ON run (COALESCE(repo, ''), id)
    WHERE driver IS NULL AND status IN ('queued', 'running', 'waiting') AND fork IS NOT NULL;
CREATE INDEX run_of_fork ON run (fork, repo, id) WHERE fork IS NOT NULL;

-- The bounds of each engine that drives runs, for whoever asks why a run does not start. `disk` says how
-- full its disk is while that holds runs of forks.
CREATE TABLE engine_places (
    engine TEXT NOT NULL PRIMARY KEY,
    quotas TEXT NOT NULL,
    disk TEXT,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Bytes of content that the runners of a run have sent: artifacts, caches, checkpoints.
CREATE TABLE run_bytes (
    run_id TEXT NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    kept INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

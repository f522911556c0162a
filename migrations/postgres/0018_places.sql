-- The pull request of a fork that a run is for, 0 if its number is unknown; NULL: the change is by people
-- who may write to the repository.
ALTER TABLE run ADD COLUMN fork BIGINT;
-- Another run started it, in whose place it runs.
ALTER TABLE run ADD COLUMN is_child BIGINT NOT NULL DEFAULT 0;
UPDATE run SET fork = COALESCE((s.event::json -> 'pull_request' ->> 'number')::bigint, 0)
    FROM run_source s WHERE s.run_id = run.id AND (s.origin::json ->> 'untrusted' = 'true'
        OR s.event::json -> 'pull_request' ->> 'fork' = 'true');
UPDATE run SET is_child = 1 FROM run_source s
    WHERE s.run_id = run.id AND s.origin::json -> 'parent' ->> 'run' IS NOT NULL;

-- Runs to be driven, by whose bounds they count against.
CREATE INDEX run_undriven_own ON run (COALESCE(repo, ''), id)
    WHERE driver IS NULL AND status IN ('queued', 'running', 'waiting') AND fork IS NULL;
CREATE INDEX run_undriven_fork ON run (COALESCE(repo, ''), id)
    WHERE driver IS NULL AND status IN ('queued', 'running', 'waiting') AND fork IS NOT NULL;
CREATE INDEX run_of_fork ON run (fork, repo, id) WHERE fork IS NOT NULL;

-- The bounds of each engine that drives runs, for whoever asks why a run does not start. `disk` says how
-- full its disk is while that holds runs of forks.
CREATE TABLE engine_places (
    engine TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    quotas TEXT COLLATE "C" NOT NULL,
    disk TEXT COLLATE "C",
    seen_at BIGINT NOT NULL
);

-- Bytes of content that the runners of a run have sent: artifacts, caches, checkpoints.
CREATE TABLE run_bytes (
    run_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    kept BIGINT NOT NULL
);

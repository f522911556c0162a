-- Workflows and schedules of a repository that a maintainer has paused. The row stays after the resume: what
-- was due before `resumed_at` does not run.
CREATE TABLE pause (
    repo TEXT NOT NULL REFERENCES repo (name) ON DELETE CASCADE,
    workflow TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('workflow', 'schedule')),
    paused_by TEXT NOT NULL,
    paused_at INTEGER NOT NULL,
    reason TEXT,
    resumed_at INTEGER,
    PRIMARY KEY (repo, workflow, scope)
) STRICT, WITHOUT ROWID;

-- What a delivery did for each workflow, as JSON.
ALTER TABLE delivery ADD COLUMN dispatch TEXT;

-- What keeps an engine from driving a run, and when it last did.
CREATE TABLE run_obstacle (
    run_id TEXT NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    obstacle TEXT NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

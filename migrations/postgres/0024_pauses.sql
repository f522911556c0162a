-- Workflows and schedules of a repository that a maintainer has paused. The row stays after the resume: what
-- was due before `resumed_at` does not run.
CREATE TABLE pause (
    repo TEXT COLLATE "C" NOT NULL REFERENCES repo (name) ON DELETE CASCADE,
    workflow TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL CHECK (scope IN ('workflow', 'schedule')),
    paused_by TEXT COLLATE "C" NOT NULL,
    paused_at BIGINT NOT NULL,
    reason TEXT COLLATE "C",
    resumed_at BIGINT,
    PRIMARY KEY (repo, workflow, scope)
);

-- What a delivery did for each workflow, as JSON.
ALTER TABLE delivery ADD COLUMN dispatch TEXT COLLATE "C";

-- What keeps an engine from driving a run, and when it last did.
CREATE TABLE run_obstacle (
    run_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    obstacle TEXT COLLATE "C" NOT NULL,
    seen_at BIGINT NOT NULL
);

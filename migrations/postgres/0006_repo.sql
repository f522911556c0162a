-- Repositories that a server watches.
CREATE TABLE repo (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    forge TEXT COLLATE "C" NOT NULL CHECK (forge IN ('local', 'github', 'gitlab', 'gitea', 'forgejo')),
    url TEXT COLLATE "C" NOT NULL,
    hook TEXT COLLATE "C" NOT NULL,
    default_branch TEXT COLLATE "C" NOT NULL,
    added_by TEXT COLLATE "C" NOT NULL,
    added_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX repo_by_hook ON repo (hook);

-- The plans of the head of each default branch: what schedules, issues and manual runs may start.
CREATE TABLE registered (
    repo TEXT COLLATE "C" NOT NULL REFERENCES repo (name) ON DELETE CASCADE,
    file TEXT COLLATE "C" NOT NULL,
    workflow TEXT COLLATE "C" NOT NULL,
    sha TEXT COLLATE "C" NOT NULL,
    plan_hash TEXT COLLATE "C" NOT NULL,
    triggers TEXT COLLATE "C" NOT NULL,
    registered_at BIGINT NOT NULL,
    PRIMARY KEY (repo, file, workflow)
);

-- Ticks of schedules that somebody has taken: of several engines one makes the run.
CREATE TABLE tick (
    repo TEXT COLLATE "C" NOT NULL REFERENCES repo (name) ON DELETE CASCADE,
    file TEXT COLLATE "C" NOT NULL,
    workflow TEXT COLLATE "C" NOT NULL,
    cron TEXT COLLATE "C" NOT NULL,
    tz TEXT COLLATE "C" NOT NULL,
    due_at BIGINT NOT NULL,
    taken_at BIGINT NOT NULL,
    PRIMARY KEY (repo, file, workflow, cron, tz, due_at)
);

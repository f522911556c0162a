-- Repositories that a server watches.
CREATE TABLE repo (
    name TEXT NOT NULL PRIMARY KEY,
    forge TEXT NOT NULL CHECK (forge IN ('local', 'github', 'gitlab', 'gitea', 'forgejo')),
    url TEXT NOT NULL,
    hook TEXT NOT NULL,
    default_branch TEXT NOT NULL,
    added_by TEXT NOT NULL,
    added_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX repo_by_hook ON repo (hook);

-- The plans of the head of each default branch: what schedules, issues and manual runs may start.
CREATE TABLE registered (
    repo TEXT NOT NULL REFERENCES repo (name) ON DELETE CASCADE,
    file TEXT NOT NULL,
    workflow TEXT NOT NULL,
    sha TEXT NOT NULL,
    plan_hash TEXT NOT NULL,
    triggers TEXT NOT NULL,
    registered_at INTEGER NOT NULL,
    PRIMARY KEY (repo, file, workflow)
) STRICT;

-- Ticks of schedules that somebody has taken: of several engines one makes the run.
CREATE TABLE tick (
    repo TEXT NOT NULL REFERENCES repo (name) ON DELETE CASCADE,
    file TEXT NOT NULL,
    workflow TEXT NOT NULL,
    cron TEXT NOT NULL,
    tz TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    taken_at INTEGER NOT NULL,
    PRIMARY KEY (repo, file, workflow, cron, tz, due_at)
) STRICT;

-- Where a server tells the forge of a repository how its commits fare.
CREATE TABLE outlet (
    repo TEXT NOT NULL PRIMARY KEY REFERENCES repo (name) ON DELETE CASCADE,
    api TEXT NOT NULL,
    allow_http INTEGER NOT NULL,
    form TEXT NOT NULL CHECK (form IN ('status', 'check'))
) STRICT;

-- What is to be told of a commit, and what was told: an outbox of which only the newest state counts.
CREATE TABLE report (
    repo TEXT NOT NULL REFERENCES repo (name) ON DELETE CASCADE,
    sha TEXT NOT NULL,
    pull_request INTEGER NOT NULL,
    content TEXT NOT NULL,
    told TEXT NOT NULL,
    version INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    done INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (repo, sha, pull_request)
) STRICT;
CREATE INDEX report_due ON report (next_at) WHERE done = 0;

-- Where a server tells the forge of a repository how its commits fare.
CREATE TABLE outlet (
    repo TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES repo (name) ON DELETE CASCADE,
    api TEXT COLLATE "C" NOT NULL,
    allow_http BIGINT NOT NULL,
    form TEXT COLLATE "C" NOT NULL CHECK (form IN ('status', 'check'))
);

-- What is to be told of a commit, and what was told: an outbox of which only the newest state counts.
CREATE TABLE report (
    repo TEXT COLLATE "C" NOT NULL REFERENCES repo (name) ON DELETE CASCADE,
    sha TEXT COLLATE "C" NOT NULL,
    pull_request BIGINT NOT NULL,
    content TEXT COLLATE "C" NOT NULL,
    told TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    done BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (repo, sha, pull_request)
);
CREATE INDEX report_due ON report (next_at) WHERE done = 0;

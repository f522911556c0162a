-- Deliveries whose plans do not run before a maintainer lets the commit run.
CREATE TABLE held (
    repo TEXT COLLATE "C" NOT NULL REFERENCES repo (name) ON DELETE CASCADE,
    sha TEXT COLLATE "C" NOT NULL,
    forge TEXT COLLATE "C" NOT NULL,
    hook TEXT COLLATE "C" NOT NULL,
    delivery TEXT COLLATE "C" NOT NULL,
    held_at BIGINT NOT NULL,
    PRIMARY KEY (repo, sha, delivery)
);

-- Commits of strangers that a maintainer lets run, without secrets.
CREATE TABLE allowed (
    repo TEXT COLLATE "C" NOT NULL REFERENCES repo (name) ON DELETE CASCADE,
    sha TEXT COLLATE "C" NOT NULL,
    allowed_by TEXT COLLATE "C" NOT NULL,
    allowed_at BIGINT NOT NULL,
    PRIMARY KEY (repo, sha)
);

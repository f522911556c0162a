-- Deliveries whose plans do not run before a maintainer lets the commit run.
CREATE TABLE held (
    repo TEXT NOT NULL REFERENCES repo (name) ON DELETE CASCADE,
    sha TEXT NOT NULL,
    forge TEXT NOT NULL,
    hook TEXT NOT NULL,
    delivery TEXT NOT NULL,
    held_at INTEGER NOT NULL,
    PRIMARY KEY (repo, sha, delivery)
) STRICT;

-- Commits of strangers that a maintainer lets run, without secrets.
CREATE TABLE allowed (
    repo TEXT NOT NULL REFERENCES repo (name) ON DELETE CASCADE,
    sha TEXT NOT NULL,
    allowed_by TEXT NOT NULL,
    allowed_at INTEGER NOT NULL,
    PRIMARY KEY (repo, sha)
) STRICT;

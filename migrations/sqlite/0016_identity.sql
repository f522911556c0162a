-- The forge's immutable id of each watched repository, as its first verified delivery had it, and its
-- name there. `other_id`: another repository that came under the same name and was refused.
CREATE TABLE repo_identity (
    repo TEXT NOT NULL PRIMARY KEY REFERENCES repo (name) ON DELETE CASCADE,
    forge_id TEXT NOT NULL,
    forge_name TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    other_id TEXT,
    other_at INTEGER
) STRICT;

-- The digests of signed bodies, by the hook of the repository that they are about: the same body under
-- another id is the same delivery. They outlive the delivery itself.
CREATE TABLE delivery_body (
    forge TEXT NOT NULL,
    hook TEXT NOT NULL,
    digest TEXT NOT NULL,
    came_by TEXT NOT NULL,
    delivery TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (forge, hook, digest)
) STRICT;

-- The hook of the repository that a delivery is about, if it came by the hook of another one.
ALTER TABLE delivery ADD COLUMN routed_to TEXT;
CREATE INDEX delivery_routed ON delivery (routed_to, received_at, id) WHERE routed_to IS NOT NULL;

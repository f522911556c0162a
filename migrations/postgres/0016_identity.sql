-- The forge's immutable id of each watched repository, as its first verified delivery had it, and its
-- name there. `other_id`: another repository that came under the same name and was refused.
CREATE TABLE repo_identity (
    repo TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES repo (name) ON DELETE CASCADE,
    forge_id TEXT COLLATE "C" NOT NULL,
    forge_name TEXT COLLATE "C" NOT NULL,
    seen_at BIGINT NOT NULL,
    other_id TEXT COLLATE "C",
    other_at BIGINT
);

-- The digests of signed bodies, by the hook of the repository that they are about: the same body under
-- another id is the same delivery. They outlive the delivery itself.
CREATE TABLE delivery_body (
    forge TEXT COLLATE "C" NOT NULL,
    hook TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    came_by TEXT COLLATE "C" NOT NULL,
    delivery TEXT COLLATE "C" NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (forge, hook, digest)
);

-- The hook of the repository that a delivery is about, if it came by the hook of another one.
ALTER TABLE delivery ADD COLUMN routed_to TEXT COLLATE "C";
CREATE INDEX delivery_routed ON delivery (routed_to, received_at, id) WHERE routed_to IS NOT NULL;

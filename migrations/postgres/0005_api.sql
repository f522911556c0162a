-- Who may use the API. The token itself is never stored, only its SHA-256.
CREATE TABLE token (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    hash TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL CHECK (role IN ('reader', 'writer', 'maintainer', 'admin')),
    repo TEXT COLLATE "C",
    created_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    used_at BIGINT
);

CREATE UNIQUE INDEX token_by_hash ON token (hash);

-- What a forge delivered, as it came; it is answered only when it is here.
CREATE TABLE delivery (
    forge TEXT COLLATE "C" NOT NULL,
    hook TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    headers TEXT COLLATE "C" NOT NULL,
    body BYTEA NOT NULL,
    received_at BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('new', 'done', 'ignored', 'failed')),
    note TEXT COLLATE "C",
    PRIMARY KEY (forge, hook, id)
);
CREATE INDEX delivery_new ON delivery (received_at) WHERE state = 'new';

-- What requests with an Idempotency-Key make: the id is fixed before the thing is made, so that a
-- repeated request, also after a crash, makes the same thing or finds it.
CREATE TABLE idempotency (
    principal TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    request TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (principal, key)
);

-- Who changed what. Append-only.
CREATE TABLE audit (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    principal TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    repo TEXT COLLATE "C",
    detail TEXT COLLATE "C" NOT NULL
);

-- Who may use the API. The token itself is never stored, only its SHA-256.
CREATE TABLE token (
    id TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('reader', 'writer', 'maintainer', 'admin')),
    repo TEXT,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    used_at INTEGER
) STRICT;

CREATE UNIQUE INDEX token_by_hash ON token (hash);

-- What a forge delivered, as it came; it is answered only when it is here.
CREATE TABLE delivery (
    forge TEXT NOT NULL,
    hook TEXT NOT NULL,
    id TEXT NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('new', 'done', 'ignored', 'failed')),
    note TEXT,
    PRIMARY KEY (forge, hook, id)
) STRICT;
CREATE INDEX delivery_new ON delivery (received_at) WHERE state = 'new';

-- What requests with an Idempotency-Key make: the id is fixed before the thing is made, so that a
-- repeated request, also after a crash, makes the same thing or finds it.
CREATE TABLE idempotency (
    principal TEXT NOT NULL,
    key TEXT NOT NULL,
    request TEXT NOT NULL,
    subject TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (principal, key)
) STRICT;

-- Who changed what. Append-only.
CREATE TABLE audit (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    principal TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    repo TEXT,
    detail TEXT NOT NULL
) STRICT;

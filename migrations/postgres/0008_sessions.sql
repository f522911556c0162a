-- Sessions of browsers. What a browser shows is never stored, only its SHA-256. A session is good for
-- what its token is good for at that moment, and ends with it.
CREATE TABLE session (
    hash TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    token_id TEXT COLLATE "C" NOT NULL REFERENCES token (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX session_by_end ON session (expires_at);
CREATE INDEX session_by_token ON session (token_id);

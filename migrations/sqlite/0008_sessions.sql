-- Sessions of browsers. What a browser shows is never stored, only its SHA-256. A session is good for
-- what its token is good for at that moment, and ends with it.
CREATE TABLE session (
    hash TEXT NOT NULL PRIMARY KEY,
    token_id TEXT NOT NULL REFERENCES token (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_by_end ON session (expires_at);
CREATE INDEX session_by_token ON session (token_id);

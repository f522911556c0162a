-- Logins that have begun: a browser was sent to the issuer with a state, and has ten minutes to come
-- back with it, to any server. Neither state nor what the browser keeps is stored, only their SHA-256.
CREATE TABLE login (
    state_hash TEXT NOT NULL PRIMARY KEY,
    browser_hash TEXT NOT NULL,
    return_to TEXT,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX login_by_end ON login (expires_at);

-- Sessions of people who logged in. What they may is looked up in the rules each time; here is only who
-- they are: name, and what rules could name them by.
CREATE TABLE person_session (
    hash TEXT NOT NULL PRIMARY KEY,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    name TEXT NOT NULL,
    claims TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX person_session_by_end ON person_session (expires_at);

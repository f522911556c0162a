-- Logins that have begun: a browser was sent to the issuer with a state, and has ten minutes to come
-- back with it, to any server. Neither state nor what the browser keeps is stored, only their SHA-256.
CREATE TABLE login (
    state_hash TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    browser_hash TEXT COLLATE "C" NOT NULL,
    return_to TEXT COLLATE "C",
    expires_at BIGINT NOT NULL
);
CREATE INDEX login_by_end ON login (expires_at);

-- Sessions of people who logged in. What they may is looked up in the rules each time; here is only who
-- they are: name, and what rules could name them by.
CREATE TABLE person_session (
    hash TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    issuer TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    claims TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX person_session_by_end ON person_session (expires_at);

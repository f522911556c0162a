-- Who is told of what happens to runs. The secrets that messages are signed with are sealed in `secret`.
CREATE TABLE webhook (
    id TEXT NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    -- Names of events between spaces, also before the first and behind the last.
    events TEXT NOT NULL,
    -- None: of all repositories.
    repo TEXT,
    description TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- Until then messages are signed with the secret before this one too.
    both_until INTEGER,
    failing_since INTEGER,
    disabled_at INTEGER,
    disabled_reason TEXT
) STRICT;

-- What is to be told to whom, written in the transaction that made it true. No reference to `webhook`: a
-- run goes on whatever becomes of those who are told of it.
CREATE TABLE webhook_delivery (
    webhook TEXT NOT NULL,
    message TEXT NOT NULL,
    event TEXT NOT NULL,
    run_id TEXT REFERENCES run (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'delivered', 'failed')),
    version INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    tried_at INTEGER,
    status INTEGER,
    note TEXT,
    PRIMARY KEY (webhook, message)
) STRICT;
CREATE INDEX webhook_delivery_due ON webhook_delivery (webhook, next_at) WHERE state = 'open';
CREATE INDEX webhook_delivery_newest ON webhook_delivery (webhook, created_at, message);
CREATE INDEX webhook_delivery_of_run ON webhook_delivery (run_id);

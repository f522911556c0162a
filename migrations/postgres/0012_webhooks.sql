-- Who is told of what happens to runs. The secrets that messages are signed with are sealed in `secret`.
CREATE TABLE webhook (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    url TEXT COLLATE "C" NOT NULL,
    -- Names of events between spaces, also before the first and behind the last.
    events TEXT COLLATE "C" NOT NULL,
    -- None: of all repositories.
    repo TEXT COLLATE "C",
    description TEXT COLLATE "C" NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    -- Until then messages are signed with the secret before this one too.
    both_until BIGINT,
    failing_since BIGINT,
    disabled_at BIGINT,
    disabled_reason TEXT COLLATE "C"
);

-- What is to be told to whom, written in the transaction that made it true. No reference to `webhook`: a
-- run goes on whatever becomes of those who are told of it.
CREATE TABLE webhook_delivery (
    webhook TEXT COLLATE "C" NOT NULL,
    message TEXT COLLATE "C" NOT NULL,
    event TEXT COLLATE "C" NOT NULL,
    run_id TEXT COLLATE "C" REFERENCES run (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('open', 'delivered', 'failed')),
    version BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    tried_at BIGINT,
    status BIGINT,
    note TEXT COLLATE "C",
    PRIMARY KEY (webhook, message)
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (webhook, next_at) WHERE state = 'open';
CREATE INDEX webhook_delivery_newest ON webhook_delivery (webhook, created_at, message);
CREATE INDEX webhook_delivery_of_run ON webhook_delivery (run_id);

-- Transcripts of Claude steps: the facts of each attempt's agent, in order, as JSON.
CREATE TABLE transcript (
    attempt_id TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    run_id TEXT COLLATE "C" NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    at BIGINT NOT NULL,
    fact TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (attempt_id, seq)
);
CREATE INDEX transcript_of_run ON transcript (run_id);

-- Calls of the model: what was reserved before, and what they cost. Without `cost` the reservation stays.
CREATE TABLE claude_call (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    run_id TEXT COLLATE "C" NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    step_id TEXT COLLATE "C" NOT NULL,
    attempt_id TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    scopes TEXT COLLATE "C" NOT NULL,
    reserved BIGINT NOT NULL,
    cost BIGINT,
    usage TEXT COLLATE "C",
    begun_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX claude_call_of_run ON claude_call (run_id, step_id);

-- Money spent and reserved, in picodollars, of a step, a run, or a repository in a day or month.
CREATE TABLE spend (
    scope TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    run_id TEXT COLLATE "C" REFERENCES run (id) ON DELETE CASCADE,
    amount BIGINT NOT NULL CHECK (amount >= 0)
);
CREATE INDEX spend_of_run ON spend (run_id);

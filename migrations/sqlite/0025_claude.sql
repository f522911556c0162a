-- Transcripts of Claude steps: the facts of each attempt's agent, in order, as JSON.
CREATE TABLE transcript (
    attempt_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    fact TEXT NOT NULL,
    PRIMARY KEY (attempt_id, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX transcript_of_run ON transcript (run_id);

-- Calls of the model: what was reserved before, and what they cost. Without `cost` the reservation stays.
CREATE TABLE claude_call (
    id TEXT NOT NULL PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    step_id TEXT NOT NULL,
    attempt_id TEXT NOT NULL,
    model TEXT NOT NULL,
    scopes TEXT NOT NULL,
    reserved INTEGER NOT NULL,
    cost INTEGER,
    usage TEXT,
    begun_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX claude_call_of_run ON claude_call (run_id, step_id);

-- Money spent and reserved, in picodollars, of a step, a run, or a repository in a day or month.
CREATE TABLE spend (
    scope TEXT NOT NULL PRIMARY KEY,
    run_id TEXT REFERENCES run (id) ON DELETE CASCADE,
    amount INTEGER NOT NULL CHECK (amount >= 0)
) STRICT, WITHOUT ROWID;
CREATE INDEX spend_of_run ON spend (run_id);

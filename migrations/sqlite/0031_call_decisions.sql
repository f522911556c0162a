-- Decisions of people about single calls of agents; the first about a call counts. They stay until their run is deleted: an
-- agent that is started again reads them again.
CREATE TABLE call_decision (
    attempt_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    answer TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (attempt_id, call_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX call_decision_of_run ON call_decision (run_id);

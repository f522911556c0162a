-- What was done with the packed log of an ended attempt: which blob has its bytes; none: they are in
-- the database, to be moved (done = 0) or too few to be worth it (done = 1).
CREATE TABLE log_shelf (
    attempt_id TEXT NOT NULL PRIMARY KEY REFERENCES attempt (id) ON DELETE CASCADE,
    blob TEXT,
    done INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX log_to_shelve ON log_shelf (attempt_id) WHERE done = 0;

-- Logs that were packed before.
INSERT INTO log_shelf (attempt_id, done)
SELECT id, 0 FROM attempt
WHERE to_pack = 0 AND log_bytes >= 65536 AND state NOT IN ('queued', 'assigned', 'running');

-- The files that a run begins with, as one archive, for engines of other machines; and which machine has
-- them as its steps have left them.
CREATE TABLE run_workspace (
    run_id TEXT NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    blob TEXT,
    holder TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Several engines on one database: who is there, and who drives which run.

-- `beats` counts signs of life: who sees no other number for a whole lease, by his own watch, may bury the
-- engine. `place` names the lock file that the kernel answers for: two engines of one place can tell at
-- once whether the other one lives.
ALTER TABLE engine ADD COLUMN version TEXT NOT NULL DEFAULT '';
ALTER TABLE engine ADD COLUMN place TEXT NOT NULL DEFAULT '';
ALTER TABLE engine ADD COLUMN beats INTEGER NOT NULL DEFAULT 0;

-- The engine that drives a run, and the number that makes an earlier one harmless: it grows whenever a
-- run gets a driver and when a driver is given up as dead.
ALTER TABLE run ADD COLUMN driver TEXT;
ALTER TABLE run ADD COLUMN drive_fence INTEGER NOT NULL DEFAULT 0;
CREATE INDEX run_undriven ON run (COALESCE(repo, ''), id)
    WHERE driver IS NULL AND status IN ('queued', 'running', 'waiting');
CREATE INDEX run_driven ON run (driver) WHERE driver IS NOT NULL;

-- The engine that works on a delivery.
ALTER TABLE delivery ADD COLUMN taken_by TEXT;

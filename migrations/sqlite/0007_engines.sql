-- Several engines on one database: who is there, and who drives which run.

-- `lease_until` is this database's time. `place` names the lock file that the kernel answers for: two
-- engines of one place can tell at once whether the other one lives.
ALTER TABLE engine ADD COLUMN version TEXT NOT NULL DEFAULT '';
ALTER TABLE engine ADD COLUMN place TEXT NOT NULL DEFAULT '';
ALTER TABLE engine ADD COLUMN lease_until INTEGER NOT NULL DEFAULT 0;

-- The engine that drives a run, and the number that makes an earlier one harmless: it grows whenever a
-- run gets a driver and when a driver is given up as dead. Not before `drive_after` it is given out.
ALTER TABLE run ADD COLUMN driver TEXT;
ALTER TABLE run ADD COLUMN drive_fence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN drive_after INTEGER NOT NULL DEFAULT 0;
-- No indexes here: a file is used by one machine, whose kernel knows who drives.

-- The engine that works on a delivery.
ALTER TABLE delivery ADD COLUMN taken_by TEXT;

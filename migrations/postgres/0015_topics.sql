-- A message for the runs of one repository; NULL: for all.
ALTER TABLE topic_event ADD COLUMN repo TEXT COLLATE "C";

-- Whether a plan starts when a run of another one ends.
ALTER TABLE registered ADD COLUMN follows BIGINT NOT NULL DEFAULT 0;
UPDATE registered SET follows = 1 WHERE triggers LIKE '%"on":"workflow"%';

-- What came for a repository, the newest first.
CREATE INDEX delivery_of_hook ON delivery (hook, received_at, id);

-- The number of the last piece of the log, where the engine adds to it as well; 0: pieces have the numbers
-- of the runner's events.
ALTER TABLE attempt ADD COLUMN log_seq BIGINT NOT NULL DEFAULT 0;

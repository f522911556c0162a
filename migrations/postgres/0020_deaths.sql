-- Whether an engine that drives the run has work in hand for it.
ALTER TABLE run ADD COLUMN in_hand BIGINT NOT NULL DEFAULT 0;

-- How many times in a row an engine died with the run in hand.
ALTER TABLE run ADD COLUMN deaths BIGINT NOT NULL DEFAULT 0;

-- The part of `amount` that is reserved and not spent, and the end of the period that the row is of: old periods are
-- deleted. Rows of before have none and stay.
ALTER TABLE spend ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE spend ADD COLUMN ends_at INTEGER;
CREATE INDEX spend_ends ON spend (ends_at) WHERE ends_at IS NOT NULL;

-- Tokens of `usage`, to be summed.
ALTER TABLE claude_call ADD COLUMN input_tokens INTEGER;
ALTER TABLE claude_call ADD COLUMN output_tokens INTEGER;
ALTER TABLE claude_call ADD COLUMN cache_read_tokens INTEGER;
ALTER TABLE claude_call ADD COLUMN cache_write_tokens INTEGER;
UPDATE claude_call SET
    input_tokens = MIN(COALESCE(json_extract(usage, '$.input_tokens'), 0), 1000000000000),
    output_tokens = MIN(COALESCE(json_extract(usage, '$.output_tokens'), 0), 1000000000000),
    cache_read_tokens = MIN(COALESCE(json_extract(usage, '$.cache_read_input_tokens'), 0), 1000000000000),
    cache_write_tokens = MIN(COALESCE(json_extract(usage, '$.cache_creation_input_tokens'), 0), 1000000000000)
WHERE usage IS NOT NULL;

-- The part of `amount` that is reserved and not spent, and the end of the period that the row is of: old periods are
-- deleted. Rows of before have none and stay.
ALTER TABLE spend ADD COLUMN reserved BIGINT NOT NULL DEFAULT 0;
ALTER TABLE spend ADD COLUMN ends_at BIGINT;
CREATE INDEX spend_ends ON spend (ends_at) WHERE ends_at IS NOT NULL;

-- Tokens of `usage`, to be summed.
ALTER TABLE claude_call ADD COLUMN input_tokens BIGINT;
ALTER TABLE claude_call ADD COLUMN output_tokens BIGINT;
ALTER TABLE claude_call ADD COLUMN cache_read_tokens BIGINT;
ALTER TABLE claude_call ADD COLUMN cache_write_tokens BIGINT;
UPDATE claude_call SET
    input_tokens = LEAST(COALESCE((usage::jsonb ->> 'input_tokens')::NUMERIC, 0), 1000000000000),
    output_tokens = LEAST(COALESCE((usage::jsonb ->> 'output_tokens')::NUMERIC, 0), 1000000000000),
    cache_read_tokens = LEAST(COALESCE((usage::jsonb ->> 'cache_read_input_tokens')::NUMERIC, 0), 1000000000000),
    cache_write_tokens = LEAST(COALESCE((usage::jsonb ->> 'cache_creation_input_tokens')::NUMERIC, 0), 1000000000000)
WHERE usage IS NOT NULL;

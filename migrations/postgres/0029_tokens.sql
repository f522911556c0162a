-- Budgets of tokens that a call draws from, as a JSON list of names in `spend`, and what it reserves there. Calls of
-- before draw from none.
ALTER TABLE claude_call ADD COLUMN token_scopes TEXT;
ALTER TABLE claude_call ADD COLUMN reserved_tokens BIGINT NOT NULL DEFAULT 0;

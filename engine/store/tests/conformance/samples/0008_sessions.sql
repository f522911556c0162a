INSERT INTO session (hash, token_id, created_at, expires_at) VALUES ('cc', 't1', 1000000, 9000000);

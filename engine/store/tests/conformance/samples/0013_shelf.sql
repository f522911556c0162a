INSERT INTO log_shelf (attempt_id, blob, done) VALUES ('r1:build:1:1', NULL, 1) ON CONFLICT (attempt_id) DO UPDATE SET done = 1;
INSERT INTO run_workspace (run_id, blob, holder) VALUES ('r1', '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824', 'm1');

INSERT INTO call_decision (attempt_id, call_id, run_id, answer, made_at) VALUES ('r1:build:1:1', 'toolu_A', 'r1', '{"by":"ada","approve":true}', 3000000);

INSERT INTO transcript (attempt_id, seq, run_id, at, fact) VALUES ('r1:a:1:1', 1, 'r1', 1000, '{"fact":"ended","end":{"reason":"done"}}');
INSERT INTO claude_call (id, run_id, step_id, attempt_id, model, scopes, reserved, cost, usage, begun_at, ended_at) VALUES ('c1', 'r1', 'a', 'r1:a:1:1', 'claude-opus-5-5', '["run r1"]', 100, 60, '{"input_tokens":10,"output_tokens":5}', 1000, 2000);
INSERT INTO spend (scope, run_id, amount) VALUES ('run r1', 'r1', 60);

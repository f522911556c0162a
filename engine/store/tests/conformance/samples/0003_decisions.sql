INSERT INTO decision (attempt_id, answered_by, run_id, answer, made_at) VALUES ('r1:build:1:1', 'ada', 'r1', '{"approve":true}', 3000000);
INSERT INTO callback (token_hash, run_id, attempt_id, expires_at) VALUES ('aa', 'r1', 'r1:build:1:1', 9000000);
INSERT INTO topic_event (topic, data, emitted_by, emitted_at) VALUES ('t', '{}', 'r1', 3000000);
INSERT INTO group_member (run_id, group_key, asked_at, turn_at, seen_at) VALUES ('r2', 'deploy', 4000000, NULL, 4000000);

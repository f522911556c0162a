INSERT INTO runner_token (id, hash, pool, labels, created_by, created_at, expires_at, used_at, runner_id)
VALUES ('k1', 'ee', 'registered', '["gpu"]', 'ada', 1800000000000000, 1800003600000000, NULL, NULL);

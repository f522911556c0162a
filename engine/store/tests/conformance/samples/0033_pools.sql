INSERT INTO pool (name, kind, spec, template, min_idle, max_total, draining, degraded, updated_at)
VALUES ('warm', 'kubernetes', '{"min_idle":2}', 't1', 3, NULL, 0, 'ErrImagePull', 1800000000000000);
INSERT INTO pool_lease (pool, holder, fence) VALUES ('warm', 'e1', 1);
INSERT INTO runner_pod (runner_id, template, pod_uid, scope, uses, taken_at)
VALUES ('w1', 't1', 'uid-1', 'own:acme/app', 1, 1800000000000000);

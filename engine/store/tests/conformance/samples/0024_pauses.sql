INSERT INTO pause (repo, workflow, scope, paused_by, paused_at, reason, resumed_at) VALUES ('acme/app', 'CI', 'workflow', 'ada', 1000, 'release day', NULL);
INSERT INTO run_obstacle (run_id, obstacle, seen_at) VALUES ('r1', 'the key `k` is not known here', 1000);

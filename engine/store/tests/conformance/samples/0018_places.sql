INSERT INTO engine_places (engine, quotas, disk, seen_at) VALUES ('e1', '{"max_runs":16,"per_repo":8,"per_pull_request":2,"untrusted":4}', NULL, 5000000);
INSERT INTO run_bytes (run_id, kept) VALUES ('r1', 5);

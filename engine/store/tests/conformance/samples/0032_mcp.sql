INSERT INTO mcp_pin (repo, workflow, step, server, hash, toolset, run_id, accepted_at) VALUES
    ('acme/app', 'CI', 'review', 'docs', 'sha256:00', '{"is_all":true,"tools":{"search":{"name":"search"}}}', 'r1', 1000000);

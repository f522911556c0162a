INSERT INTO repo (name, forge, url, hook, default_branch, added_by, added_at) VALUES ('acme/app', 'github', 'https://github.example/acme/app.git', 'h', 'main', 'ada', 1000000);
INSERT INTO registered (repo, file, workflow, sha, plan_hash, triggers, registered_at) VALUES ('acme/app', '.plue.py', 'CI', 'abc', 'sha256:0000000000000000000000000000000000000000000000000000000000000001', '[]', 1000000);
INSERT INTO tick (repo, file, workflow, cron, tz, due_at, taken_at) VALUES ('acme/app', '.plue.py', 'CI', '0 4 * * *', 'UTC', 1000000, 1000000);

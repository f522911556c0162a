INSERT INTO held (repo, sha, forge, hook, delivery, held_at) VALUES ('acme/app', 'abc', 'github', 'h', 'd1', 1000000);
INSERT INTO allowed (repo, sha, allowed_by, allowed_at) VALUES ('acme/app', 'abc', 'ada', 2000000);

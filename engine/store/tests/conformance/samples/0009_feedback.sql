INSERT INTO outlet (repo, api, allow_http, form) VALUES ('acme/app', 'https://api.github.example', 0, 'status');
INSERT INTO report (repo, sha, pull_request, content, told, version, next_at, done, created_at) VALUES ('acme/app', 'abc', 0, '{}', '{}', 1, 1000000, 1, 1000000);

INSERT INTO login (state_hash, browser_hash, return_to, expires_at) VALUES ('s1', 'b1', '/runs/r1', 9000000);
INSERT INTO person_session (hash, issuer, subject, name, claims, created_at, expires_at) VALUES ('pp', 'https://id.example', '1', 'ada', '{"groups":["dev"]}', 1000000, 9000000);

INSERT INTO token (id, hash, name, role, repo, created_by, created_at) VALUES ('t1', 'bb', 'me', 'admin', NULL, 'ada', 1000000);
INSERT INTO delivery (forge, hook, id, headers, body, received_at, state, note) VALUES ('github', 'h', 'd1', '{}', {7b7d}, 1000000, 'new', NULL);
INSERT INTO idempotency (principal, key, request, subject, created_at) VALUES ('t1', 'k', 'x', 'r1', 1000000);
INSERT INTO audit (at, principal, action, subject, repo, detail) VALUES (1000000, 'ada', 'token.create', 't1', NULL, '{}');

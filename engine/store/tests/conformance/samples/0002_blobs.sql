INSERT INTO blob (hash, size, data, file, used_at) VALUES ('2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824', 5, {68656c6c6f}, NULL, 1000000);
INSERT INTO artifact (run_id, attempt_id, step_id, visit, number, path, hash, size, executable, created_at) VALUES ('r1', 'r1:build:1:1', 'build', 1, 1, 'out.txt', '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824', 5, 0, 3000000);
INSERT INTO cache_entry (scope, key, archive, size, files, run_id, step_id, created_at, used_at) VALUES ('s', 'k', '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824', 5, 1, 'r1', 'build', 3000000, 3000000);
INSERT INTO checkpoint (run_id, seq, kind, attempt_id, steps, changes, files, bytes, note, at) VALUES ('r1', 1, 'step', 'r1:build:1:1', '["build"]', NULL, 0, 0, 'nothing', 3000000);
INSERT INTO pure_result (scope, key, attempt_id, run_id, created_at) VALUES ('s', 'k', 'r1:build:1:1', 'r1', 3000000);
INSERT INTO attempt_note (run_id, attempt_id, step_id, text, at) VALUES ('r1', 'r1:build:1:1', 'build', 'a note', 3000000);
INSERT INTO imported_run (run_id, imported_at, manifest) VALUES ('r1', 6000000, '{}');

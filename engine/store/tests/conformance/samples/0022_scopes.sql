INSERT INTO blob_scope (hash, scope) VALUES ('2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824', 'trusted acme/app');
INSERT INTO run_mask (run_id, id, key_id, wrapped, sealed) VALUES ('r1', 'ab', 'k', {6162}, {6364});

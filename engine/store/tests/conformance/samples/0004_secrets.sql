INSERT INTO secret (scope, name, key_id, wrapped, sealed, created_at, updated_at) VALUES ('acme/app', 'TOKEN', 'k1', {0102}, {0304}, 1000000, 2000000);

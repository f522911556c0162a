INSERT INTO engine (id, host, pid, started_at, seen_at, version, place, beats) VALUES ('e2', 'host', 8, 1000000, 2000000, '0.1.0', 'p', 3);
UPDATE run SET driver = 'e2', drive_fence = 4 WHERE id = 'r2';
UPDATE delivery SET taken_by = 'e2' WHERE id = 'd1';

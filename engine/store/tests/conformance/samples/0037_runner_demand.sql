INSERT INTO runner_demand (engine, names, waiting) VALUES ('e1', '["gpu"]', 2);

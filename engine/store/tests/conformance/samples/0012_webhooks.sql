INSERT INTO webhook (id, url, events, repo, description, created_by, created_at) VALUES ('w1', 'https://hooks.example/plue', ' run.ended ', 'acme/app', 'chat', 'ada', 1000000);
INSERT INTO webhook_delivery (webhook, message, event, run_id, seq, state, version, tries, next_at, created_at) VALUES ('w1', 'msg_r1_2', 'run.ended', 'r1', 2, 'open', 1, 0, 2000000, 2000000);

INSERT INTO saved_view (principal, name, query, created_at) VALUES ('token:ada', 'failed on main', 'branch=main&state=failed', 1000);

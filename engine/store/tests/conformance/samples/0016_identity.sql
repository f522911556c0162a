INSERT INTO repo_identity VALUES ('acme/app', '1296269', 'acme/application', 7, '9871123', 8);
INSERT INTO delivery_body VALUES ('github', 'hook', 'ab', 'hook', 'd1', 7);

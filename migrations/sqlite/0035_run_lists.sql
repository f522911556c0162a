-- Columns of an event that lists of runs show and filter by: its type, its author, and the title of its
-- pull request or issue. NULL: none, or the run came from a file.
ALTER TABLE run_source ADD COLUMN event_type TEXT;
ALTER TABLE run_source ADD COLUMN actor TEXT;
ALTER TABLE run_source ADD COLUMN title TEXT;
UPDATE run_source SET event_type = json_extract(event, '$.type'), actor = json_extract(event, '$.actor'),
    title = substr(COALESCE(json_extract(event, '$.pull_request.title'), json_extract(event, '$.issue.title')), 1, 200);
CREATE INDEX run_source_by_event ON run_source (event_type, run_id);
CREATE INDEX run_source_by_actor ON run_source (actor, run_id);

CREATE INDEX run_by_repo ON run (repo, id);
CREATE INDEX run_by_branch ON run (branch, id);
-- The run before another one of the same workflow.
CREATE INDEX run_before ON run (workflow, COALESCE(repo, ''), id);

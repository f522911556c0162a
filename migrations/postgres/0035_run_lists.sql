-- Columns of an event that lists of runs show and filter by: its type, its author, and the title of its
-- pull request or issue. NULL: none, or the run came from a file.
ALTER TABLE run_source ADD COLUMN event_type TEXT COLLATE "C";
ALTER TABLE run_source ADD COLUMN actor TEXT COLLATE "C";
ALTER TABLE run_source ADD COLUMN title TEXT COLLATE "C";
-- An event with the character 0 has no such texts: the database refuses to read them out of it.
UPDATE run_source SET event_type = event::json ->> 'type', actor = event::json ->> 'actor',
    title = substr(COALESCE(event::json #>> '{pull_request,title}', event::json #>> '{issue,title}'), 1, 200)
    WHERE position('\u0000' IN event::text) = 0;
CREATE INDEX run_source_by_event ON run_source (event_type, run_id);
CREATE INDEX run_source_by_actor ON run_source (actor, run_id);

CREATE INDEX run_by_repo ON run (repo, id);
CREATE INDEX run_by_branch ON run (branch, id);
-- The run before another one of the same workflow.
CREATE INDEX run_before ON run (workflow, COALESCE(repo, ''), id);

-- Tools of MCP servers that were accepted for a Claude step, as JSON, with the hash of what was offered last. `repo` is empty for
-- runs without a repository.
CREATE TABLE mcp_pin (
    repo TEXT NOT NULL,
    workflow TEXT NOT NULL,
    step TEXT NOT NULL,
    server TEXT NOT NULL,
    hash TEXT NOT NULL,
    toolset TEXT NOT NULL,
    run_id TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    PRIMARY KEY (repo, workflow, step, server)
) STRICT, WITHOUT ROWID;

-- Test results of attempts, read from their artifacts once, when the attempt ends. `repo` is empty for runs without a repository;
-- `fork` is that of the run. `passed` and `failed` are keys of tests: 8 bytes each, big-endian, ascending.
CREATE TABLE test_report (
    attempt_id TEXT NOT NULL PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    step_id TEXT NOT NULL,
    visit INTEGER NOT NULL,
    number INTEGER NOT NULL,
    repo TEXT NOT NULL,
    workflow TEXT NOT NULL,
    branch TEXT NOT NULL,
    fork INTEGER,
    sha TEXT,
    counts TEXT NOT NULL,
    duration_us INTEGER NOT NULL,
    files TEXT NOT NULL,
    left_out INTEGER NOT NULL,
    passed BLOB NOT NULL,
    failed BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX test_report_of_run ON test_report (run_id, step_id);
CREATE INDEX test_report_history ON test_report (repo, workflow, step_id, at);

-- Failed and flaky tests of an attempt, the most interesting first.
CREATE TABLE test_result (
    attempt_id TEXT NOT NULL REFERENCES test_report (attempt_id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    suite TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('skipped', 'passed', 'flaky', 'failed')),
    is_new INTEGER NOT NULL,
    is_flaky INTEGER NOT NULL,
    duration_us INTEGER,
    message TEXT NOT NULL,
    output TEXT NOT NULL,
    file TEXT,
    line INTEGER,
    PRIMARY KEY (attempt_id, seq)
) STRICT, WITHOUT ROWID;

-- What runs wait for: answers of people, callbacks of systems, messages on topics, turns in a group.

-- Answers to approvals, until the journal has them.
CREATE TABLE decision (
    attempt_id TEXT NOT NULL,
    answered_by TEXT NOT NULL,
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    answer TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (attempt_id, answered_by)
) STRICT, WITHOUT ROWID;
CREATE INDEX decision_of_run ON decision (run_id);

-- One-time tokens that calls were sent with, as hashes, and what was answered with them.
CREATE TABLE callback (
    token_hash TEXT NOT NULL PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    attempt_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    answered_at INTEGER,
    answer TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX callback_of_run ON callback (run_id, attempt_id);

-- Messages on topics.
CREATE TABLE topic_event (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    data TEXT NOT NULL,
    emitted_by TEXT NOT NULL,
    emitted_at INTEGER NOT NULL
) STRICT;
CREATE INDEX topic_event_by_topic ON topic_event (topic, id);

-- Runs of a concurrency group that have not ended. One of a group has the turn.
CREATE TABLE group_member (
    run_id TEXT NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    group_key TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    turn_at INTEGER,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX group_member_in_order ON group_member (group_key, asked_at, run_id);

-- What runs wait for: answers of people, callbacks of systems, messages on topics, turns in a group.

-- Answers to approvals, until the journal has them.
CREATE TABLE decision (
    attempt_id TEXT COLLATE "C" NOT NULL,
    answered_by TEXT COLLATE "C" NOT NULL,
    run_id TEXT COLLATE "C" NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    answer TEXT COLLATE "C" NOT NULL,
    made_at BIGINT NOT NULL,
    PRIMARY KEY (attempt_id, answered_by)
);
CREATE INDEX decision_of_run ON decision (run_id);

-- One-time tokens that calls were sent with, as hashes, and what was answered with them.
CREATE TABLE callback (
    token_hash TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    run_id TEXT COLLATE "C" NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    attempt_id TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    answered_at BIGINT,
    answer TEXT COLLATE "C"
);
CREATE INDEX callback_of_run ON callback (run_id, attempt_id);

-- Messages on topics.
CREATE TABLE topic_event (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic TEXT COLLATE "C" NOT NULL,
    data TEXT COLLATE "C" NOT NULL,
    emitted_by TEXT COLLATE "C" NOT NULL,
    emitted_at BIGINT NOT NULL
);
CREATE INDEX topic_event_by_topic ON topic_event (topic, id);

-- Runs of a concurrency group that have not ended. One of a group has the turn.
CREATE TABLE group_member (
    run_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    group_key TEXT COLLATE "C" NOT NULL,
    asked_at BIGINT NOT NULL,
    turn_at BIGINT,
    seen_at BIGINT NOT NULL
);
CREATE INDEX group_member_in_order ON group_member (group_key, asked_at, run_id);

-- Runs that wait for a runner of another machine, by the names they ask for as a JSON list: each engine writes its own.
CREATE TABLE runner_demand (
    engine TEXT NOT NULL,
    names TEXT NOT NULL,
    waiting INTEGER NOT NULL,
    PRIMARY KEY (engine, names)
) STRICT, WITHOUT ROWID;

-- What kind of obstacle keeps a run from being driven: programs read it beside the words.
ALTER TABLE run_obstacle ADD COLUMN kind TEXT COLLATE "C" NOT NULL DEFAULT 'engine';

-- Which database this is: a bucket names the one whose objects it holds, and no other sweeps there.
CREATE TABLE place (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL
) STRICT;

-- Whether a file on the shelf has a row.
CREATE INDEX blob_by_file ON blob (file) WHERE file IS NOT NULL;

-- Deliveries that are too old to keep.
CREATE INDEX webhook_delivery_age ON webhook_delivery (created_at);

-- How often work on a delivery failed for a passing reason, and when it is tried again.
ALTER TABLE delivery ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN next_at BIGINT NOT NULL DEFAULT 0;
-- How often work on it began since it last came to an end: more than once means that a process died.
ALTER TABLE delivery ADD COLUMN begun BIGINT NOT NULL DEFAULT 0;
CREATE INDEX delivery_waiting ON delivery (COALESCE(routed_to, hook), received_at, id)
    WHERE state = 'new';

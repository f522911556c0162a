-- contract: 0017_intake
-- Everything that choosing the next delivery reads. In SQLite these columns stand behind the body in the row: for
-- each delivery that waits, all pages of the body would be read first.
CREATE INDEX delivery_queue
    ON delivery (COALESCE(routed_to, hook), received_at, id, taken_by, next_at, tries)
    WHERE state = 'new';
DROP INDEX delivery_waiting;

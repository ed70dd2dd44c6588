-- +goose Up
ALTER TABLE bundles ADD COLUMN quarantined INTEGER;
ALTER TABLE bundles ADD COLUMN ended INTEGER;
UPDATE bundles SET quarantined = received WHERE held = 1 AND state IN ('quarantined', 'approved', 'imported', 'rejected');
UPDATE bundles SET ended = changed WHERE state IN ('imported', 'rejected', 'abandoned', 'refused');
CREATE INDEX bundles_by_quarantine ON bundles (quarantined);
CREATE INDEX bundles_by_end ON bundles (ended) WHERE quarantined IS NOT NULL;

-- +goose Down
DROP INDEX bundles_by_end;
DROP INDEX bundles_by_quarantine;
ALTER TABLE bundles DROP COLUMN ended;
ALTER TABLE bundles DROP COLUMN quarantined;

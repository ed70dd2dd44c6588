-- +goose Up
ALTER TABLE bundles ADD COLUMN begun INTEGER NOT NULL DEFAULT 0; -- it has ended, and something was begun at a destination that may be there
CREATE INDEX bundles_by_begun ON bundles (begun) WHERE begun = 1;

-- +goose Down
DROP INDEX bundles_by_begun;
ALTER TABLE bundles DROP COLUMN begun;

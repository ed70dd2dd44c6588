-- +goose Up
ALTER TABLE bundles ADD COLUMN counted INTEGER;
ALTER TABLE bundles ADD COLUMN cleared INTEGER;
UPDATE bundles SET counted = finished WHERE state IN ('sent', 'confirmed');
CREATE INDEX bundles_by_counted ON bundles (counted);

CREATE TABLE link (
    bundle TEXT NOT NULL,
    month  TEXT NOT NULL,
    wire   INTEGER NOT NULL,
    nanos  INTEGER NOT NULL,
    PRIMARY KEY (bundle, month)
) WITHOUT ROWID;
CREATE INDEX link_by_month ON link (month);

-- +goose Down
DROP TABLE link;
DROP INDEX bundles_by_counted;
ALTER TABLE bundles DROP COLUMN cleared;
ALTER TABLE bundles DROP COLUMN counted;

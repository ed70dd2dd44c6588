-- +goose Up
ALTER TABLE absent ADD COLUMN told INTEGER NOT NULL DEFAULT 0; -- the last sequence of which the audit log tells

-- +goose Down
ALTER TABLE absent DROP COLUMN told;

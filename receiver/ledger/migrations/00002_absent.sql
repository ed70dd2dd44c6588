-- +goose Up
CREATE TABLE absent (
    sender TEXT NOT NULL,
    tenant TEXT NOT NULL,
    epoch  TEXT NOT NULL,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL,
    since  INTEGER NOT NULL,
    PRIMARY KEY (sender, tenant, epoch, first)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE absent;

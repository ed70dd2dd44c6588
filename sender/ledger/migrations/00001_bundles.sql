-- +goose Up
CREATE TABLE bundles (
    bundle      TEXT PRIMARY KEY,
    tenant      TEXT NOT NULL,
    epoch       TEXT NOT NULL,
    sequence    INTEGER,
    name        TEXT NOT NULL,
    state       TEXT NOT NULL,
    reason      TEXT,
    priority    TEXT NOT NULL,
    files       INTEGER,
    bytes       INTEGER,
    sent_bytes  INTEGER NOT NULL,
    passes_done INTEGER NOT NULL,
    created     INTEGER NOT NULL,
    finished    INTEGER
) WITHOUT ROWID;
CREATE INDEX bundles_by_created ON bundles (created, bundle);
CREATE INDEX bundles_by_state ON bundles (state, created);
CREATE INDEX bundles_by_finished ON bundles (state, finished);
CREATE INDEX bundles_by_sequence ON bundles (tenant, epoch, sequence);

-- +goose Down
DROP TABLE bundles;

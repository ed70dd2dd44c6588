-- +goose Up
CREATE TABLE bundles (
    bundle        TEXT PRIMARY KEY,
    tenant        TEXT NOT NULL,
    sender        TEXT NOT NULL,
    epoch         TEXT NOT NULL,
    sequence      INTEGER,
    name          TEXT,
    state         TEXT NOT NULL,
    verdict       TEXT,
    reason        TEXT,
    files         INTEGER,
    bytes         INTEGER,
    missing_bytes INTEGER,
    created       INTEGER,
    received      INTEGER,
    changed       INTEGER NOT NULL,
    digest        TEXT,
    previous      TEXT,
    held          INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX bundles_by_received ON bundles (received, bundle);
CREATE INDEX bundles_by_state ON bundles (state, received);
CREATE INDEX bundles_by_change ON bundles (state, changed);
CREATE INDEX bundles_by_reason ON bundles (reason, state, changed);
CREATE INDEX bundles_by_place ON bundles (sender, tenant, epoch, sequence);
CREATE INDEX bundles_by_digest ON bundles (digest) WHERE held = 1;

CREATE TABLE heads (
    sender   TEXT NOT NULL,
    tenant   TEXT NOT NULL,
    epoch    TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    digest   TEXT NOT NULL,
    changed  INTEGER NOT NULL,
    PRIMARY KEY (sender, tenant, epoch)
) WITHOUT ROWID;

CREATE TABLE floors (
    sender TEXT NOT NULL,
    tenant TEXT NOT NULL,
    epoch  TEXT NOT NULL,
    floor  INTEGER NOT NULL,
    PRIMARY KEY (sender, tenant, epoch)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE floors;
DROP TABLE heads;
DROP TABLE bundles;

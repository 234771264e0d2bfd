-- What version 2 adds to `schema.sql`.

-- How the compared rows stood at the first completed scan of an attempt.
CREATE TABLE openings (
    incident INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    place    TEXT NOT NULL,
    timeline INTEGER,
    in_doubt BLOB NOT NULL,                -- JSON list of the rows under way, packed
    PRIMARY KEY (incident, attempt)
) STRICT, WITHOUT ROWID;

-- Its rows: hashes of keys and digests of columns, many to a piece; a later piece is the later word on a row.
CREATE TABLE opening_rows (
    no       INTEGER PRIMARY KEY,
    incident INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    entity   TEXT NOT NULL,
    nth      INTEGER NOT NULL,
    columns  TEXT NOT NULL,                -- JSON list
    whole    INTEGER NOT NULL,
    body     BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX opening_piece ON opening_rows (incident, attempt, entity, nth);

-- The case as the opening saw it, where rows of it moved since.
ALTER TABLE found ADD COLUMN opening BLOB;

-- Columns that people ignore, beside those of the configuration.
CREATE TABLE ignores (
    incident INTEGER NOT NULL,
    entity   TEXT NOT NULL,
    name     TEXT NOT NULL,
    reason   TEXT NOT NULL,
    by       TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (incident, entity, name)
) STRICT, WITHOUT ROWID;

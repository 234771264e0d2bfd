-- One ledger, many incidents. Instants are microseconds since 1970 UTC.

CREATE TABLE incidents (
    no   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE attempts (
    incident    INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    restored_to INTEGER,
    PRIMARY KEY (incident, attempt)
) STRICT, WITHOUT ROWID;

-- What the queue needs of a case. The whole of it, as the scan found it, is in `found`.
CREATE TABLE cases (
    no         INTEGER PRIMARY KEY,
    incident   INTEGER NOT NULL,
    id         TEXT NOT NULL,
    place      BLOB NOT NULL,              -- its place in the queue: memcmp order
    state      TEXT NOT NULL CHECK (state IN ('open', 'to_do', 'applied', 'unconfirmed', 'parked', 'escalated', 'proven', 'gone')),
    kinds      INTEGER NOT NULL,           -- one bit a kind
    label      TEXT NOT NULL,
    action     TEXT NOT NULL,
    show       TEXT NOT NULL,              -- JSON list
    dies_at    INTEGER,
    waits      INTEGER NOT NULL,           -- how many rows `waits` has for it
    waited_for INTEGER NOT NULL DEFAULT 0,
    verb       TEXT,
    disproven  INTEGER NOT NULL DEFAULT 0,
    decision   TEXT,                       -- key of the decision that counts now
    digest     BLOB NOT NULL               -- of the body in `found`
) STRICT;
CREATE UNIQUE INDEX case_id    ON cases (incident, id);
CREATE INDEX        case_place ON cases (incident, place);
CREATE INDEX        case_state ON cases (incident, state, kinds);
CREATE INDEX        case_label ON cases (incident, label);
CREATE INDEX        case_waited ON cases (incident) WHERE waited_for > 0;

CREATE TABLE found (
    no   INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;

-- Case `no` waits for case `for_id` of the same incident.
CREATE TABLE waits (
    no       INTEGER NOT NULL,
    nth      INTEGER NOT NULL,
    incident INTEGER NOT NULL,
    for_id   TEXT NOT NULL,
    PRIMARY KEY (no, nth)
) STRICT, WITHOUT ROWID;
CREATE INDEX waits_for ON waits (incident, for_id);

-- A row stays after its lease ended: the fence must outlive it.
CREATE TABLE claims (
    no    INTEGER PRIMARY KEY,
    by    TEXT NOT NULL,
    until INTEGER NOT NULL,
    fence INTEGER NOT NULL
) STRICT;

CREATE TABLE decisions (
    key       TEXT PRIMARY KEY,
    incident  INTEGER NOT NULL,
    attempt   INTEGER NOT NULL,
    digest    BLOB NOT NULL,               -- of everything that was asked for
    verb      TEXT NOT NULL,
    reason    TEXT NOT NULL,
    by        TEXT NOT NULL,
    at        INTEGER NOT NULL,
    reference TEXT,
    target    TEXT,
    evidence  TEXT,
    until     INTEGER,
    result    TEXT NOT NULL                -- JSON: [[case, state], …]
) STRICT, WITHOUT ROWID;

-- The cases that a decision decided, each with its to-do.
CREATE TABLE decided (
    key      TEXT NOT NULL,
    no       INTEGER NOT NULL,
    findings TEXT NOT NULL,                -- JSON: what was found when it was decided
    steps    TEXT NOT NULL,                -- JSON list
    assignee TEXT,
    wanted   TEXT,
    evidence TEXT,
    held     INTEGER,                      -- the last proof
    read     TEXT,
    PRIMARY KEY (key, no)
) STRICT, WITHOUT ROWID;
CREATE INDEX decided_case ON decided (no);

CREATE TABLE notes (
    no   INTEGER NOT NULL,
    at   INTEGER NOT NULL,
    by   TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX note_case ON notes (no);

CREATE TABLE rejects (
    incident INTEGER NOT NULL,
    source   TEXT NOT NULL,
    position TEXT NOT NULL,
    reason   TEXT NOT NULL,
    excerpt  TEXT NOT NULL
) STRICT;
CREATE INDEX reject_incident ON rejects (incident);

CREATE TABLE scans (
    no       INTEGER PRIMARY KEY,
    incident INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    by       TEXT NOT NULL,
    report   TEXT NOT NULL
) STRICT;
CREATE INDEX scan_incident ON scans (incident, no);

CREATE TABLE phases (
    incident  INTEGER NOT NULL,
    phase     TEXT NOT NULL,
    state     TEXT NOT NULL,
    since     INTEGER,
    took      INTEGER,
    evidence  TEXT NOT NULL,
    per_mille INTEGER,
    PRIMARY KEY (incident, phase)
) STRICT, WITHOUT ROWID;

-- Small things about an incident, as JSON.
CREATE TABLE facts (
    incident INTEGER NOT NULL,
    name     TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (incident, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    incident    INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    who         TEXT NOT NULL,
    system_user TEXT NOT NULL,
    ssh         TEXT,
    action      TEXT NOT NULL,
    case_id     TEXT,
    verb        TEXT,
    key         TEXT,
    outcome     TEXT NOT NULL,
    why         TEXT,
    hash        TEXT NOT NULL,
    PRIMARY KEY (incident, seq)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER audit_is_append_only_u BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_is_append_only_d BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'the audit trail is append-only'); END;

-- The newest line of each chain, so that a cut tail shows.
CREATE TABLE heads (
    incident INTEGER PRIMARY KEY,
    seq      INTEGER NOT NULL,
    hash     TEXT NOT NULL
) STRICT;

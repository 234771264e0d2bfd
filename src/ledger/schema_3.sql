-- What version 3 adds. A PostgreSQL ledger has views of the same names.

-- Effects: what leaves restitch after a decision, or to take one back. `key` is the decision's own, so that whoever tries
-- again tries the same thing; an effect that takes a decision back has one of its own.
CREATE TABLE effects (
    key          TEXT PRIMARY KEY,
    incident     INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    of           TEXT NOT NULL,              -- key of the decision
    does         TEXT NOT NULL CHECK (does IN ('sql', 'kafka', 'http')),
    cases        TEXT NOT NULL,              -- JSON list of ids
    plan         TEXT NOT NULL,              -- JSON: all that is needed to do it, but for secrets
    leaves_at    INTEGER NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'unknown', 'cancelled')),
    leased_until INTEGER,                    -- while somebody runs it
    ended_at     INTEGER,
    outcome      TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX effect_of      ON effects (of);
CREATE INDEX effect_pending ON effects (incident) WHERE state IN ('queued', 'running', 'unknown');

-- Who lost the case to its holder by a takeover, when, and why.
ALTER TABLE claims ADD COLUMN taken_from TEXT;
ALTER TABLE claims ADD COLUMN taken_at INTEGER;
ALTER TABLE claims ADD COLUMN taken_why TEXT;

-- A line of the queue, with the unsettled cases that it waits for: JSON [[id, label], …].
CREATE VIEW queue AS
SELECT c.no, c.incident, c.id, c.label, c.action, c.kinds, c.state, c.verb, c.waited_for, c.show, c.disproven, c.dies_at,
       c.place,
       CASE WHEN c.state IN ('parked', 'escalated') THEN (SELECT d.until FROM decisions d WHERE d.key = c.decision) END
           AS until,
       CASE c.waits WHEN 0 THEN '[]' ELSE (
           SELECT json_group_array(json_array(w.for_id, coalesce(b.label, w.for_id)) ORDER BY w.nth)
           FROM waits w LEFT JOIN cases b ON b.incident = w.incident AND b.id = w.for_id
           WHERE w.no = c.no AND coalesce(b.state, 'open') NOT IN ('proven', 'gone')) END AS blocked_by
FROM cases c;

-- Everything on one case.
CREATE VIEW files AS
SELECT c.no, c.incident, c.id, c.place, c.kinds, c.state, c.disproven, f.body,
       l.by AS holder, l.until AS held_until, l.fence,
       c.decision, d.verb, d.reason, d.by AS decided_by, d.at AS decided_at, d.reference, d.target,
       coalesce(t.evidence, d.evidence) AS evidence, d.until, t.steps, t.assignee, t.wanted, t.held, t.read,
       (SELECT json_group_array(json_array(n.by, n.at, n.text) ORDER BY n.rowid) FROM notes n WHERE n.no = c.no) AS notes,
       (SELECT json_group_array(json_array(b.id, b.label) ORDER BY b.place) FROM waits w JOIN cases b ON b.no = w.no
        WHERE w.incident = c.incident AND w.for_id = c.id AND b.state NOT IN ('proven', 'gone')) AS waited_for_by,
       -- Its effect; the one that takes it back while that is under way.
       (SELECT json_array(e.key, e.does, e.state, e.leaves_at, e.ended_at, e.outcome) FROM effects e WHERE e.of = c.decision
        ORDER BY CASE WHEN e.key <> e.of AND e.state IN ('queued', 'running', 'unknown') THEN 0 WHEN e.key = e.of THEN 1 ELSE 2 END
        LIMIT 1) AS effect
FROM cases c JOIN found f ON f.no = c.no
LEFT JOIN claims l ON l.no = c.no
LEFT JOIN decided t ON t.key = c.decision AND t.no = c.no
LEFT JOIN decisions d ON d.key = t.key;

-- What people sign: decisions and bulks that wait for another person, hand-overs, the end.
CREATE TABLE papers (
    no          INTEGER PRIMARY KEY,
    incident    INTEGER NOT NULL,
    key         TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('decision', 'bulk', 'handover', 'signoff')),
    case_id     TEXT,
    digest      TEXT NOT NULL,               -- of everything that is signed, hex
    content     TEXT NOT NULL,               -- JSON
    by          TEXT NOT NULL,
    at          INTEGER NOT NULL,
    for_whom    TEXT,
    state       TEXT NOT NULL CHECK (state IN ('waits', 'signed', 'declined', 'withdrawn')),
    answered_by TEXT CHECK (answered_by <> by OR state = 'withdrawn'),
    answered_at INTEGER,
    answer      TEXT
) STRICT;
CREATE UNIQUE INDEX paper_key  ON papers (incident, key);
CREATE INDEX        paper_case ON papers (incident, case_id) WHERE state = 'waits';

-- The same decision for many cases.
CREATE TABLE bulks (
    no       INTEGER PRIMARY KEY,
    incident INTEGER NOT NULL,
    id       TEXT NOT NULL,
    ask      TEXT NOT NULL,                  -- JSON: what is decided on each
    scope    TEXT NOT NULL,
    by       TEXT NOT NULL,
    at       INTEGER NOT NULL,
    excluded TEXT NOT NULL,                  -- JSON list
    stopped  TEXT
) STRICT;
CREATE UNIQUE INDEX bulk_id ON bulks (incident, id);

-- Its frozen set.
CREATE TABLE bulk_items (
    bulk  INTEGER NOT NULL,
    nth   INTEGER NOT NULL,
    id    TEXT NOT NULL,
    seen  TEXT NOT NULL,                     -- digest of the case when the set was frozen
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'failed', 'skipped')),
    why   TEXT,
    PRIMARY KEY (bulk, nth)
) STRICT, WITHOUT ROWID;

CREATE VIEW bulk_list AS
SELECT b.no, b.incident, b.id, b.ask, b.scope, b.by, b.at, b.excluded, b.stopped,
       (SELECT count(*) FROM bulk_items i WHERE i.bulk = b.no) AS total,
       (SELECT count(*) FROM bulk_items i WHERE i.bulk = b.no AND i.state = 'done') AS done,
       (SELECT count(*) FROM bulk_items i WHERE i.bulk = b.no AND i.state = 'failed') AS failed,
       (SELECT count(*) FROM bulk_items i WHERE i.bulk = b.no AND i.state = 'skipped') AS skipped,
       (SELECT count(*) FROM bulk_items i WHERE i.bulk = b.no AND i.state = 'pending') AS pending
FROM bulks b;

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

-- A line of the queue, with the unsettled cases that it waits for: JSON [[id, label], …].
CREATE VIEW queue AS
SELECT c.no, c.incident, c.id, c.label, c.action, c.kinds, c.state, c.verb, c.waited_for, c.show, c.disproven, c.dies_at,
       c.place,
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

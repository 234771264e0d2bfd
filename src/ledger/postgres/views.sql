-- What everyone may read: views named and shaped as the tables and views of the SQLite ledger, so that a reading is written
-- once for both.

CREATE VIEW version      AS SELECT n FROM kept_version;
CREATE VIEW incidents    AS SELECT no, name FROM kept_incidents;
CREATE VIEW attempts     AS SELECT incident, attempt, restored_to FROM kept_attempts;
CREATE VIEW cases        AS SELECT * FROM kept_cases;
CREATE VIEW found        AS SELECT no, body, opening FROM kept_found;
CREATE VIEW waits        AS SELECT no, nth, incident, for_id FROM kept_waits;
CREATE VIEW claims       AS SELECT * FROM kept_claims;
CREATE VIEW decisions    AS SELECT * FROM kept_decisions;
CREATE VIEW decided      AS SELECT * FROM kept_decided;
CREATE VIEW effects      AS SELECT * FROM kept_effects;
CREATE VIEW notes        AS SELECT n AS rowid, no, at, by, text FROM kept_notes;
CREATE VIEW rejects      AS SELECT n AS rowid, incident, source, position, reason, excerpt FROM kept_rejects;
CREATE VIEW scans        AS SELECT no, incident, attempt, at, by, report FROM kept_scans;
CREATE VIEW openings     AS SELECT * FROM kept_openings;
CREATE VIEW opening_rows AS SELECT * FROM kept_opening_rows;
CREATE VIEW ignores      AS SELECT * FROM kept_ignores;
CREATE VIEW phases       AS SELECT * FROM kept_phases;
CREATE VIEW facts        AS SELECT * FROM kept_facts;
CREATE VIEW audit        AS SELECT * FROM kept_audit;
CREATE VIEW heads        AS SELECT * FROM kept_heads;
CREATE VIEW lookers      AS SELECT * FROM kept_lookers;

CREATE VIEW queue AS
SELECT c.no, c.incident, c.id, c.label, c.action, c.kinds, c.state, c.verb, c.waited_for, c.show, c.disproven, c.dies_at,
       c.place,
       CASE WHEN c.state IN ('parked', 'escalated') THEN (SELECT d.until FROM kept_decisions d WHERE d.key = c.decision) END
           AS until,
       CASE c.waits WHEN 0 THEN '[]' ELSE coalesce((
           SELECT json_agg(json_build_array(w.for_id, coalesce(b.label, w.for_id)) ORDER BY w.nth)::text
           FROM kept_waits w LEFT JOIN kept_cases b ON b.incident = w.incident AND b.id = w.for_id
           WHERE w.no = c.no AND coalesce(b.state, 'open') NOT IN ('proven', 'gone')), '[]') END AS blocked_by
FROM kept_cases c;

CREATE VIEW files AS
SELECT c.no, c.incident, c.id, c.place, c.kinds, c.state, c.disproven, f.body,
       l.by AS holder, l.until AS held_until, l.fence,
       c.decision, d.verb, d.reason, d.by AS decided_by, d.at AS decided_at, d.reference, d.target,
       coalesce(t.evidence, d.evidence) AS evidence, d.until, t.steps, t.assignee, t.wanted, t.held, t.read,
       coalesce((SELECT json_agg(json_build_array(n.by, n.at, n.text) ORDER BY n.n)::text
                 FROM kept_notes n WHERE n.no = c.no), '[]') AS notes,
       coalesce((SELECT json_agg(json_build_array(b.id, b.label) ORDER BY b.place)::text
                 FROM kept_waits w JOIN kept_cases b ON b.no = w.no
                 WHERE w.incident = c.incident AND w.for_id = c.id AND b.state NOT IN ('proven', 'gone')), '[]')
           AS waited_for_by,
       -- Its effect; the one that takes it back while that is under way.
       (SELECT json_build_array(e.key, e.does, e.state, e.leaves_at, e.ended_at, e.outcome)::text
        FROM kept_effects e WHERE e.of = c.decision
        ORDER BY CASE WHEN e.key <> e.of AND e.state IN ('queued', 'running', 'unknown') THEN 0 WHEN e.key = e.of THEN 1 ELSE 2 END
        LIMIT 1) AS effect
FROM kept_cases c JOIN kept_found f ON f.no = c.no
LEFT JOIN kept_claims l ON l.no = c.no
LEFT JOIN kept_decided t ON t.key = c.decision AND t.no = c.no
LEFT JOIN kept_decisions d ON d.key = t.key;

-- A text that differs whenever anyone changed anything: what a console asks for as often as it dares.
CREATE VIEW revision AS
SELECT i.no AS incident,
       md5(concat_ws('|', h.seq,
           (SELECT string_agg(l.no || ' ' || l.until, ' ' ORDER BY l.no) FROM kept_claims l
            JOIN kept_cases c ON c.no = l.no
            WHERE c.incident = i.no
              AND l.until > micros()),
           (SELECT string_agg(k.login || ' ' || coalesce(k.case_id, '') , ' ' ORDER BY k.console) FROM kept_lookers k
            WHERE k.incident = i.no AND k.at > micros() - 30000000),
           (SELECT string_agg(md5(concat_ws(' ', p.phase, p.state, p.per_mille, p.evidence)), ' ' ORDER BY p.phase)
            FROM kept_phases p WHERE p.incident = i.no),
           (SELECT string_agg(md5(f.name || f.value), ' ' ORDER BY f.name) FROM kept_facts f
            -- Megabytes, and nothing that a screen shows.
            WHERE f.incident = i.no AND f.name NOT LIKE 'hold-seen %')
       )) AS mark
FROM kept_incidents i LEFT JOIN kept_heads h ON h.incident = i.no;

CREATE VIEW papers       AS SELECT * FROM kept_papers;
CREATE VIEW bulks        AS SELECT * FROM kept_bulks;
CREATE VIEW bulk_items   AS SELECT * FROM kept_bulk_items;
CREATE VIEW bulk_list AS
SELECT b.no, b.incident, b.id, b.ask, b.scope, b.by, b.at, b.excluded, b.stopped,
       (SELECT count(*) FROM kept_bulk_items i WHERE i.bulk = b.no) AS total,
       (SELECT count(*) FROM kept_bulk_items i WHERE i.bulk = b.no AND i.state = 'done') AS done,
       (SELECT count(*) FROM kept_bulk_items i WHERE i.bulk = b.no AND i.state = 'failed') AS failed,
       (SELECT count(*) FROM kept_bulk_items i WHERE i.bulk = b.no AND i.state = 'skipped') AS skipped,
       (SELECT count(*) FROM kept_bulk_items i WHERE i.bulk = b.no AND i.state = 'pending') AS pending
FROM kept_bulks b;

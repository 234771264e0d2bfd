-- What must hold of a ledger whatever happened to it: a row for each rule that something breaks, its name and how often.
WITH lines AS (
    SELECT a.*, c.no AS case_no,
           lag(a.hash, 1, '') OVER chain AS before,
           row_number() OVER chain AS nth,
           -- When the server committed it; a console's clock has no say in that.
           (extract(epoch FROM pg_xact_commit_timestamp(a.xmin)) * 1000000)::bigint AS committed
    FROM restitch.kept_audit a LEFT JOIN restitch.kept_cases c ON c.incident = a.incident AND c.id = a.case_id
    WINDOW chain AS (PARTITION BY a.incident ORDER BY a.seq)
), taken AS (
    SELECT l.*, CASE action WHEN 'claim' THEN substring(why FROM '^for (.*) until ') WHEN 'takeover' THEN who END AS holder,
           CASE action WHEN 'claim' THEN (extract(epoch FROM substring(why FROM ' until (.*)$')::timestamptz) * 1000000)::bigint END AS until
    FROM lines l WHERE action IN ('claim', 'takeover', 'drop', 'decide') AND outcome = 'ok'
), held AS (
    SELECT t.*, lag(holder) OVER one AS last_holder, lag(until) OVER one AS last_until
    FROM taken t WHERE action <> 'decide' WINDOW one AS (PARTITION BY case_no ORDER BY seq)
), holders AS (
    SELECT h.case_no, count(*) FILTER (WHERE h.holder IS DISTINCT FROM h.last) AS n FROM (
        SELECT t.case_no, t.holder, lag(t.holder) OVER (PARTITION BY case_no ORDER BY seq) AS last
        FROM taken t WHERE t.holder IS NOT NULL
    ) h GROUP BY h.case_no
), decided AS (
    SELECT t.*, d.verb, d.reason, d."by", c.id, c.incident,
           d.verb NOT IN ('park', 'escalate') AND NOT EXISTS (
               SELECT 1 FROM lines l WHERE l.case_no = t.no AND l.key = t.key AND l.action IN ('undo', 'reopen') AND l.outcome = 'ok'
           ) AS stands
    FROM restitch.kept_decided t JOIN restitch.kept_decisions d ON d.key = t.key JOIN restitch.kept_cases c ON c.no = t.no
), broken AS (
    SELECT 'a decision without its line' AS rule, count(*) AS n FROM decided d
    WHERE (SELECT count(*) FROM lines l WHERE l.case_no = d.no AND l.key = d.key AND l.action = 'decide' AND l.outcome = 'ok') <> 1
    UNION ALL
    SELECT 'a line without its decision', count(*) FROM lines l
    WHERE l.action = 'decide' AND l.outcome = 'ok' AND NOT EXISTS (SELECT 1 FROM decided d WHERE d.no = l.case_no AND d.key = l.key)
    UNION ALL
    SELECT 'a line with another reason than its decision', count(*) FROM lines l JOIN decided d ON d.no = l.case_no AND d.key = l.key
    WHERE l.action = 'decide' AND l.outcome = 'ok' AND l.why IS DISTINCT FROM d.reason
    UNION ALL
    SELECT 'two decisions that stand on one case', count(*) FROM (SELECT no FROM decided WHERE stands GROUP BY no HAVING count(*) > 1) twice
    UNION ALL
    SELECT 'a case that disagrees with its decision', count(*) FROM restitch.kept_cases c
    WHERE CASE WHEN c.state = 'open' AND NOT c.disproven THEN c.decision IS NOT NULL OR EXISTS (SELECT 1 FROM decided d WHERE d.no = c.no AND d.stands)
               ELSE NOT EXISTS (SELECT 1 FROM decided d WHERE d.no = c.no AND d.key = c.decision AND d.verb = c.verb) END
    UNION ALL
    SELECT 'a torn chain', count(*) FROM lines l JOIN restitch.kept_incidents i ON i.no = l.incident
    JOIN restitch.kept_audit a ON a.incident = l.incident AND a.seq = l.seq
    WHERE l.seq <> l.nth OR l.hash <> restitch.seal(i.name, a, l.before)
    UNION ALL
    SELECT 'a head that is not the last line', count(*) FROM restitch.kept_heads h
    WHERE NOT EXISTS (SELECT 1 FROM lines l WHERE l.incident = h.incident AND l.seq = h.seq AND l.hash = h.hash)
       OR EXISTS (SELECT 1 FROM lines l WHERE l.incident = h.incident AND l.seq > h.seq)
    UNION ALL
    SELECT 'a fence that is not the number of holders', count(*) FROM restitch.kept_claims k LEFT JOIN holders h ON h.case_no = k.no
    WHERE k.fence IS DISTINCT FROM h.n
    UNION ALL
    SELECT 'decided by who did not hold the case', count(*) FROM taken d JOIN decided e ON e.no = d.case_no AND e.key = d.key
    WHERE d.action = 'decide' AND e."by" IS DISTINCT FROM (
        SELECT h.holder FROM held h WHERE h.case_no = d.case_no AND h.seq < d.seq ORDER BY h.seq DESC LIMIT 1)
    UNION ALL
    SELECT 'held by two at once', count(*) FROM held h
    WHERE h.action = 'claim' AND h.holder <> h.last_holder AND h.last_until > h.committed
    UNION ALL
    SELECT 'a line of another time than the server''s', count(*) FROM lines l WHERE abs(l.at - l.committed) > 60000000
    UNION ALL
    SELECT 'a decision whose effect is missing', count(*) FROM decided d
    WHERE d.assignee = 'restitch' AND NOT EXISTS (SELECT 1 FROM restitch.kept_effects e WHERE e.key = d.key)
    UNION ALL
    SELECT 'an effect that nobody decided', count(*) FROM restitch.kept_effects e
    WHERE NOT EXISTS (SELECT 1 FROM decided d WHERE d.key = e.of AND d.assignee = 'restitch')
    UNION ALL
    SELECT 'a signature that disagrees with the decision', count(*) FROM restitch.kept_papers p
    WHERE p.kind = 'decision' AND (p.state = 'signed') <> EXISTS (SELECT 1 FROM restitch.kept_decisions d WHERE d.key = p.key)
    UNION ALL
    SELECT 'a call that was never answered', count(*) FROM restitch.kept_answers WHERE answer = 'null'
)
SELECT rule, n FROM broken WHERE n > 0 ORDER BY rule;

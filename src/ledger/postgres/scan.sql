-- Taking in what a scan found. It is staged piece by piece, each piece a deed of its own that holds nobody up, then taken in
-- as a whole by one: a scan that fails or is stopped leaves the ledger as it was.

-- A piece of what was found: cases, and rows of the opening. The same piece again takes the place of itself.
CREATE FUNCTION do_scan_stage(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    the_scan text := args->>'scan';
    the_piece bigint := (args->>'piece')::bigint;
    twice text;
BEGIN
    DELETE FROM kept_staged s WHERE s.scan = the_scan AND s.piece = the_piece;
    BEGIN
        INSERT INTO kept_staged (scan, piece, id, place, kinds, label, action, show, dies_at, waits, digest, body, since, opens, by, at)
        SELECT the_scan, the_piece, c.id, decode(c.place, 'hex'), c.kinds, c.label, c.action, c.show, c.dies_at, c.waits,
               decode(c.digest, 'hex'), decode(c.body, 'base64'), coalesce(c.since, false), c.opens, a.who, a.now
        FROM jsonb_to_recordset(args->'cases') AS c(id text, place text, kinds bigint, label text, action text, show text,
            dies_at bigint, waits jsonb, digest text, body text, since boolean, opens text);
    EXCEPTION WHEN unique_violation THEN
        SELECT c.id INTO twice FROM jsonb_to_recordset(args->'cases') AS c(id text)
        LEFT JOIN kept_staged s ON s.scan = the_scan AND s.id = c.id
        GROUP BY c.id HAVING count(*) > 1 OR count(s.id) > 0 LIMIT 1;
        RAISE EXCEPTION USING ERRCODE = 'RS001', MESSAGE = format('the scan found case %s twice', twice);
    END;
    INSERT INTO kept_staged_rows
    SELECT the_scan, the_piece, r.entity, r.columns, r.whole, decode(r.body, 'base64'), a.who, a.now
    FROM jsonb_to_record(args->'rows') AS r(entity text, columns text, whole boolean, body text)
    WHERE r.entity IS NOT NULL
    ON CONFLICT DO NOTHING;
    RETURN 'null';
END $$;

-- What a scan leaves behind that was stopped or cut off.
CREATE FUNCTION do_scan_forget(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM kept_staged s WHERE (s.scan = args->>'scan' AND s."by" = a.who) OR s.at < a.now - 86400000000;
    DELETE FROM kept_staged_rows s WHERE (s.scan = args->>'scan' AND s."by" = a.who) OR s.at < a.now - 86400000000;
    RETURN 'null';
END $$;

-- The same attempt with another restore point is another restore; an older one is not read again.
CREATE FUNCTION enter_attempt(a act) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    known bigint;
    newest bigint;
BEGIN
    SELECT restored_to INTO known FROM kept_attempts t WHERE t.incident = a.incident AND t.attempt = a.attempt;
    IF known <> a.restored_to THEN
        PERFORM refuse(format('attempt %s was restored to %s, the configuration says %s', a.attempt, rfc3339(known), rfc3339(a.restored_to)),
            format('a second restore of the incident is a new attempt: set `incident.attempt = %s`; else put the time right', a.attempt + 1));
    END IF;
    SELECT max(t.attempt) INTO newest FROM kept_attempts t WHERE t.incident = a.incident;
    IF newest > a.attempt THEN
        PERFORM refuse(format('attempt %s was scanned already; attempt %s is over', newest, a.attempt),
            format('set `incident.attempt = %s`', newest));
    END IF;
    INSERT INTO kept_attempts VALUES (a.incident, a.attempt, a.restored_to)
    ON CONFLICT (incident, attempt) DO UPDATE SET restored_to = coalesce(kept_attempts.restored_to, excluded.restored_to);
END $$;

-- The first scan of an attempt that is not the first.
CREATE FUNCTION is_first_of_another(a act) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM kept_scans s WHERE s.incident = a.incident AND s.attempt < a.attempt)
       AND NOT EXISTS (SELECT 1 FROM kept_scans s WHERE s.incident = a.incident AND s.attempt = a.attempt)
$$;

-- What was written into the database before is gone with it, so every proof is asked for again. Cases, notes and reasons
-- stay; what was decided to stay as restored stands.
CREATE FUNCTION begin_again(a act) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    asked bigint;
BEGIN
    PERFORM forget_effects(a);
    UPDATE kept_found f SET opening = '' FROM kept_cases c WHERE c.no = f.no AND c.incident = a.incident;
    WITH again AS (
        UPDATE kept_cases c SET state = 'applied' FROM kept_decisions d
        WHERE c.incident = a.incident AND c.state = 'proven' AND c.verb <> 'keep' AND d.key = c.decision AND d.attempt < a.attempt
        RETURNING c.no, c.decision
    ), unproven AS (
        UPDATE kept_decided t SET held = NULL, read = NULL FROM again WHERE t.key = again.decision AND t.no = again.no
    )
    SELECT count(*) INTO asked FROM again;
    PERFORM audit(a, 'attempt', NULL, NULL, NULL, 'ok', format('attempt %s%s: %s proven %s to be proven again; what was kept as restored stands',
        a.attempt, ', restored to ' || rfc3339(a.restored_to), asked, CASE asked WHEN 1 THEN 'case is' ELSE 'cases are' END));
END $$;

CREATE FUNCTION store_rejects(a act, rejects jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM kept_rejects r WHERE r.incident = a.incident;
    INSERT INTO kept_rejects (incident, source, position, reason, excerpt)
    SELECT a.incident, r->>'source', r->>'position', r->>'reason', r->>'excerpt'
    FROM jsonb_array_elements(rejects) WITH ORDINALITY AS e(r, n) ORDER BY n;
END $$;

CREATE FUNCTION do_keep_rejects(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM store_rejects(a, args->'rejects');
    PERFORM audit(a, 'scan', NULL, NULL, NULL, 'refused', args->>'why');
    RETURN 'null';
END $$;

-- Says of every case how many unsettled ones wait for it, and moves it in the queue where that changed: bytes 10 to 13 of
-- its place, counted from 0, are that number taken from 2^32 - 1.
CREATE FUNCTION count_waiting(a act) RETURNS void LANGUAGE sql AS $$
    WITH waiting AS (
        SELECT w.for_id, count(*) AS n FROM kept_waits w JOIN kept_cases b ON b.no = w.no
        WHERE w.incident = a.incident AND b.state NOT IN ('proven', 'gone') GROUP BY w.for_id
    ), changed AS (
        SELECT c.no, coalesce(w.n, 0) AS n FROM kept_cases c LEFT JOIN waiting w ON w.for_id = c.id
        WHERE c.incident = a.incident AND c.waited_for <> coalesce(w.n, 0)
    )
    UPDATE kept_cases c SET waited_for = g.n, place = overlay(c.place PLACING int4send((-1 - g.n)::integer) FROM 11)
    FROM changed g WHERE c.no = g.no
$$;

CREATE FUNCTION take_in_opening(a act, scan text, o jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    at bigint := (o->>'at')::bigint;
    known bigint;
BEGIN
    IF at IS NULL THEN
        RETURN;
    END IF;
    SELECT p.at INTO known FROM kept_openings p WHERE p.incident = a.incident AND p.attempt = a.attempt;
    -- Of two scans that both took it at once the first that ends counts.
    IF known <> at THEN
        RETURN;
    END IF;
    INSERT INTO kept_openings VALUES (a.incident, a.attempt, at, o->>'place', (o->>'timeline')::bigint, decode(o->>'in_doubt', 'base64'))
    ON CONFLICT DO NOTHING;
    INSERT INTO kept_opening_rows
    SELECT a.incident, a.attempt, s.entity,
           coalesce((SELECT max(k.nth) FROM kept_opening_rows k
                     WHERE k.incident = a.incident AND k.attempt = a.attempt AND k.entity = s.entity), 0)
               + row_number() OVER (PARTITION BY s.entity ORDER BY s.piece),
           s.columns, s.whole, s.body
    FROM kept_staged_rows s WHERE s.scan = take_in_opening.scan;
END $$;

CREATE FUNCTION do_scan_take_in(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    the_scan text := args->>'scan';
    total bigint;
    opened bigint;
    reopened bigint;
    updated bigint;
    gone bigint;
    line kept_staged;
BEGIN
    PERFORM enter_attempt(a);
    -- Of two scans that end at once, the second waits here, and decisions do not.
    PERFORM 1 FROM kept_attempts t WHERE t.incident = a.incident AND t.attempt = a.attempt FOR UPDATE;
    IF (SELECT count(*) FROM kept_staged s WHERE s.scan = the_scan) <> (args->>'cases')::bigint
       OR (SELECT count(*) FROM kept_staged_rows s WHERE s.scan = the_scan) <> (args->>'rows')::bigint THEN
        RAISE EXCEPTION USING ERRCODE = 'RS001', MESSAGE = 'what the scan found was lost on the way: did the server restart?',
            HINT = 'scan again; the ledger is as it was before';
    END IF;
    IF is_first_of_another(a) <> (args->>'again')::boolean THEN
        RAISE EXCEPTION USING ERRCODE = 'RS001', MESSAGE = 'another scan of this attempt ended meanwhile',
            HINT = 'scan again; the ledger has what the other found';
    END IF;
    -- In one order for everybody; what was found as it was known is not touched.
    PERFORM 1 FROM kept_cases c JOIN kept_staged s ON s.id = c.id
    WHERE c.incident = a.incident AND s.scan = the_scan AND s.body IS NOT NULL ORDER BY c.no FOR UPDATE OF c;
    IF (args->>'again')::boolean THEN
        PERFORM begin_again(a);
        UPDATE kept_found f SET opening = NULL FROM kept_cases c JOIN kept_staged s ON s.id = c.id
        WHERE c.no = f.no AND c.incident = a.incident AND s.scan = the_scan;
    END IF;

    UPDATE kept_staged s SET no = c.no, was = c.state, decided = c.decision, changed = c.digest <> s.digest,
        reopens = c.state = 'gone' OR (c.state = 'proven' AND s.opens IS NOT NULL AND s.opens = coalesce(c.decision, ''))
    FROM kept_cases c
    WHERE c.incident = a.incident AND s.scan = the_scan AND s.id = c.id AND s.body IS NOT NULL;
    UPDATE kept_cases c SET place = s.place, kinds = s.kinds, label = s.label, action = s.action, show = s.show, dies_at = s.dies_at,
        waits = jsonb_array_length(s.waits), waited_for = 0, digest = s.digest,
        state = CASE WHEN s.reopens THEN 'open' ELSE c.state END, verb = CASE WHEN s.reopens THEN NULL ELSE c.verb END,
        decision = CASE WHEN s.reopens THEN NULL ELSE c.decision END, disproven = c.disproven AND NOT s.reopens
    FROM kept_staged s WHERE s.scan = the_scan AND s.no = c.no;
    -- The body before is how the opening saw it, where rows moved since, unless that one is kept already.
    UPDATE kept_found f SET body = s.body,
        opening = CASE WHEN s.since THEN coalesce(f.opening, f.body) ELSE nullif(f.opening, '') END
    FROM kept_staged s WHERE s.scan = the_scan AND s.no = f.no;
    DELETE FROM kept_waits w USING kept_staged s WHERE s.scan = the_scan AND s.no = w.no;
    SELECT count(*) FILTER (WHERE s.reopens), count(*) FILTER (WHERE s.changed AND NOT s.reopens) INTO reopened, updated
    FROM kept_staged s WHERE s.scan = the_scan AND s.no IS NOT NULL;

    INSERT INTO kept_cases (incident, id, place, state, kinds, label, action, show, dies_at, waits, digest)
    SELECT a.incident, s.id, s.place, 'open', s.kinds, s.label, s.action, s.show, s.dies_at, jsonb_array_length(s.waits), s.digest
    FROM kept_staged s WHERE s.scan = the_scan AND s.body IS NOT NULL AND s.no IS NULL ORDER BY s.place;
    GET DIAGNOSTICS opened = ROW_COUNT;
    INSERT INTO kept_found (no, body)
    SELECT c.no, s.body FROM kept_staged s JOIN kept_cases c ON c.incident = a.incident AND c.id = s.id
    WHERE s.scan = the_scan AND s.body IS NOT NULL AND s.no IS NULL;
    INSERT INTO kept_waits (no, nth, incident, for_id)
    SELECT c.no, w.n - 1, a.incident, w.id
    FROM kept_staged s JOIN kept_cases c ON c.incident = a.incident AND c.id = s.id,
         LATERAL jsonb_array_elements_text(s.waits) WITH ORDINALITY AS w(id, n)
    WHERE s.scan = the_scan AND s.body IS NOT NULL;

    -- Open cases that this scan did not find any more are gone.
    UPDATE kept_cases c SET state = 'gone', verb = NULL, decision = NULL, disproven = false
    WHERE c.incident = a.incident AND c.state = 'open'
      AND NOT EXISTS (SELECT 1 FROM kept_staged s WHERE s.scan = the_scan AND s.id = c.id);
    GET DIAGNOSTICS gone = ROW_COUNT;
    PERFORM count_waiting(a);
    PERFORM store_rejects(a, args->'rejects');
    PERFORM take_in_opening(a, the_scan, args->'opening');
    INSERT INTO kept_scans (incident, attempt, at, by, report) VALUES (a.incident, a.attempt, a.now, a.who, args->>'report');
    SELECT count(*) INTO total FROM kept_cases c WHERE c.incident = a.incident;
    FOR line IN SELECT * FROM kept_staged s WHERE s.scan = the_scan AND s.reopens AND s.was = 'proven' ORDER BY s.no LOOP
        PERFORM audit(a, 'open', line.id, NULL, line.decided, 'ok', 'found again, with findings that its decision did not cover');
    END LOOP;
    PERFORM audit(a, 'scan', NULL, NULL, NULL, 'ok', format('attempt %s: %s cases in all, %s opened, %s updated, %s gone',
        a.attempt, total, opened + reopened, updated, gone));
    DELETE FROM kept_staged s WHERE s.scan = the_scan;
    DELETE FROM kept_staged_rows s WHERE s.scan = the_scan;
    DELETE FROM kept_answers k WHERE k.at < a.now - 604800000000;
    RETURN jsonb_build_object('total', total, 'opened', opened + reopened, 'updated', updated, 'gone', gone);
END $$;

SELECT publish('scan_stage', 'restitch_operator');
SELECT publish('scan_forget', 'restitch_operator');
SELECT publish('scan_take_in', 'restitch_operator');
SELECT publish('keep_rejects', 'restitch_operator');

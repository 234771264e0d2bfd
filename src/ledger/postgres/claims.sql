-- Claims: leases on the database's clock, with a fence that rises when the holder changes.

CREATE FUNCTION live_claim(a act, no bigint) RETURNS kept_claims LANGUAGE sql STABLE AS $$
    SELECT l FROM kept_claims l WHERE l.no = live_claim.no AND l.until > a.now
$$;

CREATE FUNCTION refuse_held(a act, id text, l kept_claims) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF l.taken_from = a.who THEN
        PERFORM refuse(format('%s took %s over from you at %s: %s', l."by", id, rfc3339(l.taken_at), l.taken_why),
                       'talk to them; the case is theirs until they drop it');
    END IF;
    PERFORM refuse(format('%s holds %s until %s', l."by", id, rfc3339(l.until)), 'ask them to drop it, or wait until the lease ends');
END $$;

CREATE FUNCTION refuse_held_by_others(a act, id text, no bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    l kept_claims := live_claim(a, no);
BEGIN
    IF l."by" <> a.who THEN
        PERFORM refuse_held(a, id, l);
    END IF;
END $$;

-- Gives the holder the case, which is locked, until then.
CREATE FUNCTION claim_one(a act, id text, holder text, until bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    its_no bigint := case_no(a, id);
    last kept_claims;
    live boolean;
BEGIN
    SELECT * INTO last FROM kept_claims l WHERE l.no = its_no FOR UPDATE;
    live := coalesce(last.until > a.now, false);
    IF live AND last."by" <> holder THEN
        PERFORM refuse_held(a, id, last);
    END IF;
    IF last."by" = holder THEN
        UPDATE kept_claims l SET until = claim_one.until WHERE l.no = its_no;
    ELSE
        last.fence := coalesce(last.fence, 0) + 1;
        INSERT INTO kept_claims (no, by, until, fence) VALUES (its_no, holder, until, last.fence)
        ON CONFLICT ON CONSTRAINT kept_claims_pkey DO UPDATE SET by = excluded."by", until = excluded.until, fence = excluded.fence,
            taken_from = NULL, taken_at = NULL, taken_why = NULL;
    END IF;
    -- A renewal is no deed: a console renews every few seconds.
    IF NOT live THEN
        PERFORM audit(a, 'claim', id, NULL, NULL, 'ok', format('for %s until %s', holder, rfc3339(until)));
    END IF;
    RETURN jsonb_build_object('by', holder, 'until', until, 'fence', last.fence);
END $$;

CREATE FUNCTION do_claim(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    ids text[] := ARRAY(SELECT jsonb_array_elements_text(args->'cases'));
    lease_end bigint := a.now + (args->>'lease')::bigint;
    mine jsonb;
    id text;
    claims jsonb := '[]';
BEGIN
    -- What is held already is renewed without a lock on its case: a heartbeat waits for nobody.
    WITH held AS (
        SELECT l.no FROM kept_claims l JOIN kept_cases c ON c.no = l.no
        WHERE c.incident = a.incident AND c.id = ANY (ids) AND l."by" = a.who AND l.until > a.now ORDER BY l.no FOR UPDATE OF l
    ), renewed AS (
        UPDATE kept_claims l SET until = lease_end FROM held WHERE l.no = held.no RETURNING l.no, l.fence
    )
    SELECT jsonb_object_agg(c.id, r.fence) INTO mine FROM renewed r JOIN kept_cases c ON c.no = r.no;
    PERFORM lock_cases(a, ARRAY(SELECT u FROM unnest(ids) u WHERE NOT coalesce(mine ? u, false)));
    FOREACH id IN ARRAY ids LOOP
        IF mine ? id THEN
            claims := claims || jsonb_build_object('by', a.who, 'until', lease_end, 'fence', mine->id);
        ELSE
            claims := claims || claim_one(a, id, a.who, lease_end);
        END IF;
    END LOOP;
    RETURN claims;
END $$;

-- The case and the undecided cases it waits for, directly or by way of others.
CREATE FUNCTION chain_of(a act, first text) RETURNS text[] LANGUAGE sql STABLE AS $$
    WITH RECURSIVE chain(id) AS (
        SELECT first COLLATE "C"
        UNION
        SELECT b.id FROM chain
        JOIN kept_cases c ON c.incident = a.incident AND c.id = chain.id
        JOIN kept_waits w ON w.no = c.no
        JOIN kept_cases b ON b.incident = a.incident AND b.id = w.for_id AND b.state IN ('open', 'parked', 'escalated')
    )
    SELECT array_agg(id) FROM chain
$$;

-- Opens the next case that nobody holds, and claims it with all it waits for, in one step. `among`: only one of these, in
-- their order; `pass`: none of these.
CREATE FUNCTION do_claim_next(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    ids text[];
    passed text[] := ARRAY(SELECT jsonb_array_elements_text(args->'pass'));
    among text[] := ARRAY(SELECT jsonb_array_elements_text(args->'among'));
    candidate text;
    locked bigint;
BEGIN
    LOOP
        -- A CTE: else the planner may take more rows than it is asked for. (The order of a list would cost a queue its index.)
        IF cardinality(among) > 0 THEN
            WITH next AS MATERIALIZED (
                SELECT c.id FROM unnest(among) WITH ORDINALITY AS wanted (id, nth) JOIN kept_cases c ON c.incident = a.incident AND c.id = wanted.id
                WHERE c.state = 'open' AND c.id <> ALL (passed)
                  AND NOT EXISTS (SELECT 1 FROM kept_claims l WHERE l.no = c.no AND l.until > a.now)
                ORDER BY wanted.nth LIMIT 1 FOR NO KEY UPDATE OF c SKIP LOCKED
            )
            SELECT id INTO candidate FROM next;
        ELSE
            WITH next AS MATERIALIZED (
                SELECT c.id FROM kept_cases c
                WHERE c.incident = a.incident AND c.state = 'open' AND c.id <> ALL (passed)
                  AND NOT EXISTS (SELECT 1 FROM kept_claims l WHERE l.no = c.no AND l.until > a.now)
                ORDER BY c.place, c.no LIMIT 1 FOR NO KEY UPDATE OF c SKIP LOCKED
            )
            SELECT id INTO candidate FROM next;
        END IF;
        IF candidate IS NULL THEN
            RETURN 'null';
        END IF;
        ids := chain_of(a, candidate);
        SELECT count(*) INTO locked FROM (
            SELECT 1 FROM kept_cases c WHERE c.incident = a.incident AND c.id = ANY (ids) ORDER BY c.no FOR NO KEY UPDATE SKIP LOCKED
        ) got;
        -- Somebody has a part of the chain, or got the case between the look and the lock: the next one, then.
        IF locked = cardinality(ids) AND NOT EXISTS (
            SELECT 1 FROM kept_cases c JOIN kept_claims l ON l.no = c.no
            WHERE c.incident = a.incident AND c.id = ANY (ids) AND l.until > a.now AND (l."by" <> a.who OR c.id = candidate))
           AND EXISTS (SELECT 1 FROM kept_cases c WHERE c.incident = a.incident AND c.id = candidate AND c.state = 'open') THEN
            EXIT;
        END IF;
        passed := passed || candidate;
    END LOOP;
    PERFORM claim_one(a, id, a.who, a.now + (args->>'lease')::bigint) FROM unnest(ids) id;
    RETURN jsonb_build_object('case', candidate, 'chain', to_jsonb(ids));
END $$;

CREATE FUNCTION do_give_back(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    ids text[] := ARRAY(SELECT jsonb_array_elements_text(args->'cases'));
    id text;
    no bigint;
    l kept_claims;
BEGIN
    PERFORM lock_cases(a, ids);
    FOREACH id IN ARRAY ids LOOP
        no := case_no(a, id);
        l := live_claim(a, no);
        IF l.no IS NULL THEN
            CONTINUE;
        END IF;
        PERFORM refuse_held_by_others(a, id, no);
        UPDATE kept_claims k SET until = a.now WHERE k.no = l.no;
        PERFORM audit(a, 'drop', id, NULL, NULL, 'ok', NULL);
    END LOOP;
    RETURN 'null';
END $$;

CREATE FUNCTION do_takeover(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    id text := args->>'case';
    its_no bigint;
    lease_end bigint := a.now + (args->>'lease')::bigint;
    l kept_claims;
BEGIN
    PERFORM lock_cases(a, ARRAY[id]);
    its_no := case_no(a, id);
    SELECT * INTO l FROM kept_claims k WHERE k.no = its_no FOR UPDATE;
    IF coalesce(l.until <= a.now, true) THEN
        PERFORM refuse(format('nobody holds %s', id), format('`restitch claim %s`', id));
    END IF;
    IF l."by" = a.who THEN
        PERFORM refuse(format('%s is yours already', id));
    END IF;
    UPDATE kept_claims k SET by = a.who, until = lease_end, fence = l.fence + 1,
        taken_from = l."by", taken_at = a.now, taken_why = args->>'reason' WHERE k.no = l.no;
    PERFORM audit(a, 'takeover', id, NULL, NULL, 'ok', format('from %s: %s', l."by", args->>'reason'));
    RETURN jsonb_build_object('by', a.who, 'until', lease_end, 'fence', l.fence + 1);
END $$;

SELECT publish('claim', 'restitch_operator');
SELECT publish('claim_next', 'restitch_operator');
SELECT publish('give_back', 'restitch_operator');
SELECT publish('takeover', 'restitch_lead', 'to take a case over');

-- Effects: `unconfirmed` is written before one starts, and what came of it afterwards.

-- Stores the effect of a decision, or of taking one back.
CREATE FUNCTION queue_effect(a act, effect jsonb, decision text, cases jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO kept_effects (key, incident, attempt, of, does, cases, plan, leaves_at, state)
    VALUES (effect->>'key', a.incident, a.attempt, decision, effect->>'does', cases::text, effect->>'plan',
            a.now + (effect->>'grace')::bigint, 'queued')
$$;

-- The effect of a decision; the one that takes it back while that is under way.
CREATE FUNCTION effect_of(decision text) RETURNS kept_effects LANGUAGE sql STABLE AS $$
    SELECT e FROM kept_effects e WHERE e.of = decision
    ORDER BY CASE WHEN e.key <> e.of AND e.state IN ('queued', 'running', 'unknown') THEN 0 WHEN e.key = e.of THEN 1 ELSE 2 END
    LIMIT 1
$$;

CREATE FUNCTION set_course(a act, its_key text, course text, words text) RETURNS void LANGUAGE sql AS $$
    UPDATE kept_effects e SET state = course, leased_until = NULL, outcome = words,
        ended_at = CASE WHEN course IN ('done', 'failed', 'cancelled') THEN a.now END
    WHERE e.key = its_key
$$;

CREATE FUNCTION case_ids(cases text) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY(SELECT jsonb_array_elements_text(cases::jsonb))
$$;

-- A line for each case of an effect.
CREATE FUNCTION audit_effect(a act, e kept_effects, outcome text, why text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    its_verb text;
    id text;
BEGIN
    SELECT d.verb INTO its_verb FROM kept_decisions d WHERE d.key = e.of;
    FOREACH id IN ARRAY case_ids(e.cases) LOOP
        PERFORM audit(a, 'apply', id, its_verb, e.key, outcome, why);
    END LOOP;
END $$;

CREATE FUNCTION cases_of_effect(a act, its_key text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_array(c.id, c.state) ORDER BY n.n), '[]')
    FROM kept_effects e, unnest(case_ids(e.cases)) WITH ORDINALITY AS n(id, n)
    JOIN kept_cases c ON c.incident = a.incident AND c.id = n.id WHERE e.key = its_key
$$;

-- An effect that is not over, locked with its cases.
CREATE FUNCTION pending_effect(a act, its_key text) RETURNS kept_effects LANGUAGE plpgsql AS $$
DECLARE
    e kept_effects;
BEGIN
    SELECT * INTO e FROM kept_effects k WHERE k.key = its_key;
    PERFORM lock_cases(a, case_ids(coalesce(e.cases, '[]')));
    SELECT * INTO e FROM kept_effects k
    WHERE k.key = its_key AND k.incident = a.incident AND k.state IN ('queued', 'running', 'unknown') FOR UPDATE;
    RETURN e;
END $$;

-- `again`: whether it may be tried once more after its answer was lost.
CREATE FUNCTION do_start_effect(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    e kept_effects := pending_effect(a, args->>'key');
    first boolean := e.state = 'queued';
    undoes boolean := e.key <> e.of;
    case_id text;
    c kept_cases;
    stale text;
BEGIN
    IF e.key IS NULL THEN
        RETURN 'false';
    END IF;
    IF e.attempt <> a.attempt THEN
        stale := 'the incident was restored again';
    END IF;
    FOREACH case_id IN ARRAY case_ids(e.cases) LOOP
        SELECT * INTO c FROM kept_cases k WHERE k.no = case_no(a, case_id);
        IF stale IS NULL AND (c.decision IS DISTINCT FROM e.of OR NOT CASE
            WHEN NOT first THEN c.state = 'unconfirmed'
            WHEN undoes THEN c.state IN ('applied', 'proven')
            ELSE c.state = 'to_do' END) THEN
            stale := format('%s is %s now', case_id, words_of(c.state));
        END IF;
    END LOOP;
    IF stale IS NOT NULL THEN
        stale := format('%s: not done, %s', e.does, stale);
        PERFORM set_course(a, e.key, 'cancelled', stale);
        PERFORM audit_effect(a, e, 'refused', stale);
        RETURN 'false';
    END IF;
    -- Rows that two write under one key are written once: there is no need to wait until the other must be dead.
    IF (first AND e.leaves_at > a.now) OR (e.does <> 'sql' AND coalesce(e.leased_until > a.now, false)) THEN
        RETURN 'false';
    END IF;
    IF NOT first AND NOT (args->>'again')::boolean THEN
        IF e.state = 'running' THEN
            stale := e.does || ': whoever sent it is gone, and nobody knows what was answered';
            PERFORM set_course(a, e.key, 'unknown', stale);
            PERFORM audit_effect(a, e, 'unconfirmed', stale);
        END IF;
        RETURN 'false';
    END IF;
    UPDATE kept_effects k SET state = 'running', leased_until = a.now + (args->>'lease')::bigint WHERE k.key = e.key;
    UPDATE kept_cases k SET state = 'unconfirmed' WHERE k.incident = a.incident AND k.id = ANY (case_ids(e.cases));
    PERFORM audit_effect(a, e, 'unconfirmed',
        format('%s: %s', e.does, CASE WHEN first THEN 'begins' ELSE 'once more, under the same key' END));
    RETURN 'true';
END $$;

CREATE FUNCTION do_end_effect(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    e kept_effects := pending_effect(a, args->>'key');
    course text := args->>'state';
    undoes boolean := e.key <> e.of;
    case_id text;
    c kept_cases;
BEGIN
    IF e.key IS NULL THEN
        RETURN cases_of_effect(a, args->>'key');
    END IF;
    PERFORM set_course(a, e.key, course, args->>'words');
    FOREACH case_id IN ARRAY case_ids(e.cases) LOOP
        SELECT * INTO c FROM kept_cases k WHERE k.no = case_no(a, case_id);
        IF c.decision IS DISTINCT FROM e.of OR c.state <> 'unconfirmed' THEN
            CONTINUE;
        END IF;
        IF course = 'done' AND undoes THEN
            PERFORM open_again(c.no, false);
        ELSIF course = 'done' THEN
            UPDATE kept_cases k SET state = 'applied' WHERE k.no = c.no;
        ELSIF course = 'failed' AND undoes THEN
            -- It stands as it did, proven where it was.
            UPDATE kept_cases k SET state = CASE WHEN (SELECT t.held FROM kept_decided t WHERE t.key = e.of AND t.no = c.no)
                THEN 'proven' ELSE 'applied' END WHERE k.no = c.no;
        ELSIF course = 'failed' THEN
            UPDATE kept_decided t SET held = false, read = args->>'words' WHERE t.key = e.of AND t.no = c.no;
            PERFORM open_to_decider(a, c.id, c.no, e.of);
        END IF;
    END LOOP;
    PERFORM audit_effect(a, e, CASE course WHEN 'done' THEN 'ok' WHEN 'failed' THEN 'refused' ELSE 'unconfirmed' END, args->>'words');
    RETURN cases_of_effect(a, e.key);
END $$;

-- Before a decision is taken back: what has not left does not leave any more, and what was written is written back, by
-- `back`. True where the decision stands until that is done.
CREATE FUNCTION take_effect_back(a act, decision text, back jsonb, cases text[]) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    e kept_effects := effect_of(decision);
BEGIN
    IF e.key IS NULL OR e.state IN ('failed', 'cancelled') THEN
        RETURN false;
    ELSIF e.key <> e.of THEN
        PERFORM refuse('it is being taken back already');
    ELSIF e.state = 'queued' THEN
        PERFORM set_course(a, decision, 'cancelled', 'taken back before it left');
        RETURN false;
    ELSIF e.state = 'done' THEN
        IF coalesce(back, 'null') = 'null' THEN
            PERFORM refuse(format('%s is one-way: it has left, and nothing takes it back', e.does),
                'a lead may `reopen` the case; what was sent stays sent');
        END IF;
        PERFORM queue_effect(a, back, decision, to_jsonb(cases));
        RETURN true;
    END IF;
    PERFORM refuse('nobody knows yet whether it was done', '`restitch prove` reads it back');
END $$;

-- Whether this decision wrote rows, which undo writes back.
CREATE FUNCTION wrote_rows(e kept_effects) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(e.does = 'sql' AND (e.key <> e.of OR e.state = 'done'), false)
$$;

-- Whether what was sent may still be on its way: that it is not there within five minutes says nothing.
CREATE FUNCTION is_on_its_way(a act, e kept_effects) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(e.does <> 'sql' AND e.state = 'done' AND e.ended_at + 300000000 > a.now, false)
$$;

-- The decision came true: an effect that waits need not leave, one whose answer was lost was done.
CREATE FUNCTION effect_came_true(a act, decision text, read text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e kept_effects := effect_of(decision);
BEGIN
    IF e.key <> e.of THEN
        RETURN;
    ELSIF e.state = 'queued' THEN
        PERFORM set_course(a, decision, 'cancelled', 'not needed: ' || read);
    ELSIF e.state IN ('running', 'unknown') THEN
        PERFORM set_course(a, decision, 'done', format('%s: read back: %s', e.does, read));
    END IF;
END $$;

-- A lead opens the case again: what has not left does not leave any more, and of what only the receiver could tell, the
-- lead's word counts. False where the same can still be done again, to know.
CREATE FUNCTION give_effect_up(a act, decision text, why text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    e kept_effects := effect_of(decision);
BEGIN
    IF e.state = 'queued' THEN
        PERFORM set_course(a, e.key, 'cancelled', why);
    ELSIF e.state = 'unknown' AND e.does = 'http' THEN
        PERFORM set_course(a, e.key, 'failed', 'http: did not take place, a lead says: ' || why);
    ELSIF e.state IN ('running', 'unknown') THEN
        RETURN false;
    END IF;
    RETURN true;
END $$;

-- At another restore of the incident: what was to be written into the database before is not written into this one. Its
-- cases are open again.
CREATE FUNCTION forget_effects(a act) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e kept_effects;
    words text;
BEGIN
    FOR e IN SELECT * FROM kept_effects k
        WHERE k.incident = a.incident AND k.attempt < a.attempt AND k.state IN ('queued', 'running', 'unknown') ORDER BY k.key LOOP
        words := e.does || ': the incident was restored again';
        PERFORM set_course(a, e.key, 'cancelled', words);
        PERFORM open_again(c.no, false) FROM kept_cases c
        WHERE c.incident = a.incident AND c.id = ANY (case_ids(e.cases)) AND c.decision = e.of AND c.state IN ('to_do', 'unconfirmed');
        PERFORM audit_effect(a, e, 'refused', words);
    END LOOP;
END $$;

SELECT publish('start_effect', 'restitch_relay');
SELECT publish('end_effect', 'restitch_relay');

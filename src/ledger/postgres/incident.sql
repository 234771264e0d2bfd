-- How far the restore is, what is ignored, and small facts.

CREATE FUNCTION put_phase(a act, line jsonb, why text, every boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    known kept_phases;
    same boolean;
BEGIN
    SELECT * INTO known FROM kept_phases p WHERE p.incident = a.incident AND p.phase = line->>'phase' FOR UPDATE;
    -- Two consoles see the same change at two moments: the state began when the first said so.
    same := coalesce(known.state = line->>'state', false);
    INSERT INTO kept_phases VALUES (a.incident, line->>'phase', line->>'state',
                                    coalesce(CASE WHEN same THEN known.since END, (line->>'since')::bigint), (line->>'took')::bigint,
                                    line->>'evidence', (line->>'per_mille')::bigint)
    ON CONFLICT (incident, phase) DO UPDATE SET state = excluded.state, since = excluded.since, took = excluded.took,
        evidence = excluded.evidence, per_mille = excluded.per_mille;
    -- Every change of its state goes into the trail, or only to failed and back.
    IF NOT same AND (every OR line->>'state' = 'failed' OR known.state = 'failed') THEN
        PERFORM audit(a, 'phase', NULL, NULL, NULL, 'ok', format('%s %s: %s', line->>'phase', line->>'state', why));
    END IF;
END $$;

CREATE FUNCTION put_fact(a act, name text, value text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO kept_facts VALUES (a.incident, name, value)
    ON CONFLICT ON CONSTRAINT kept_facts_pkey DO UPDATE SET value = excluded.value
$$;

CREATE FUNCTION do_set_phase(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF args->'line'->>'phase' = 'ready' AND args->'line'->>'state' = 'done' THEN
        PERFORM require_role(a, 'restitch_lead', 'to say that workers may start');
    END IF;
    PERFORM put_phase(a, args->'line', args->>'why', true);
    RETURN 'null';
END $$;

CREATE FUNCTION do_keep_gate(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    by_person boolean := (args->>'by_person')::boolean;
    at bigint := CASE WHEN by_person THEN (args->'gate'->>'at')::bigint ELSE a.now END;
    same kept_phases;
BEGIN
    IF args->>'despite' IS NOT NULL THEN
        PERFORM require_role(a, 'restitch_lead', 'to scan despite a red gate');
    END IF;
    PERFORM put_fact(a, 'gate', jsonb_set(args->'gate', '{at}', to_jsonb(at))::text);
    SELECT * INTO same FROM kept_phases p WHERE p.incident = a.incident AND p.phase = 'gate' AND p.state = args->>'state';
    PERFORM put_phase(a, jsonb_build_object('phase', 'gate', 'state', args->'state',
        'since', CASE WHEN same.phase IS NULL THEN at ELSE same.since END, 'took', same.took, 'evidence', args->'words'),
        args->>'words', by_person);
    IF args->>'despite' IS NOT NULL THEN
        PERFORM audit(a, 'phase', NULL, NULL, NULL, 'ok', args->>'despite');
    END IF;
    RETURN 'null';
END $$;

-- What takes another person is a fact that only this deed sets.
CREATE FUNCTION do_set_policy(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM put_fact(a, 'approve', (args->'policy')::text);
    PERFORM audit(a, 'policy', NULL, NULL, NULL, 'ok', args->>'words');
    RETURN 'null';
END $$;

CREATE FUNCTION refuse_policy(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF name = 'approve' THEN
        PERFORM refuse('what takes another person is no fact of anybody');
    END IF;
END $$;

CREATE FUNCTION do_keep_fact(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM refuse_policy(args->>'name');
    PERFORM put_fact(a, args->>'name', args->>'value');
    IF args->'said' <> 'null' THEN
        PERFORM audit(a, args->'said'->>'action', NULL, NULL, NULL, 'ok', args->'said'->>'why');
    END IF;
    RETURN 'null';
END $$;

-- Of several who would keep a fact under the same name, the first does.
CREATE FUNCTION do_first_fact(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM refuse_policy(args->>'name');
    INSERT INTO kept_facts VALUES (a.incident, args->>'name', args->>'value') ON CONFLICT DO NOTHING;
    RETURN to_jsonb(FOUND);
END $$;

CREATE FUNCTION do_ignore(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    what text := format('%s.%s', args->>'entity', args->>'column');
BEGIN
    INSERT INTO kept_ignores VALUES (a.incident, args->>'entity', args->>'column', args->>'reason', a.who, a.now)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        PERFORM refuse(what || ' is ignored already');
    END IF;
    PERFORM audit(a, 'ignore', NULL, NULL, NULL, 'ok', format('%s: %s', what, args->>'reason'));
    RETURN 'null';
END $$;

CREATE FUNCTION do_compare_again(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    what text := format('%s.%s', args->>'entity', args->>'column');
BEGIN
    DELETE FROM kept_ignores i WHERE i.incident = a.incident AND i.entity = args->>'entity' AND i.name = args->>'column';
    IF NOT FOUND THEN
        PERFORM refuse(format('nobody ignored %s in this incident', what),
            '`restitch ignore` lists what is ignored; what the configuration ignores is changed there');
    END IF;
    PERFORM audit(a, 'undo', NULL, NULL, NULL, 'ok', format('%s is compared again: %s', what, args->>'reason'));
    RETURN 'null';
END $$;

-- Says which case a console looks at: nothing of it is a deed, and the trail says nothing of it.
CREATE FUNCTION do_look(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    -- Looking on is no news.
    IF NOT EXISTS (SELECT 1 FROM kept_lookers k WHERE k.console = args->>'console' AND k.at > a.now - 30000000
                   AND k.case_id IS NOT DISTINCT FROM args->>'case') THEN
        PERFORM pg_notify('restitch', '');
    END IF;
    DELETE FROM kept_lookers k WHERE k.at < a.now - 60000000;
    INSERT INTO kept_lookers VALUES (args->>'console', a.incident, a.who, args->>'case', a.now)
    ON CONFLICT (console) DO UPDATE SET incident = excluded.incident, login = excluded.login, case_id = excluded.case_id, at = excluded.at;
    RETURN 'null';
END $$;

SELECT publish('set_phase', 'restitch_operator');
SELECT publish('keep_gate', 'restitch_operator');
SELECT publish('keep_fact', 'restitch_operator');
SELECT publish('set_policy', 'restitch_lead', 'to say what takes another person');
SELECT publish('first_fact', 'restitch_operator');
SELECT publish('ignore', 'restitch_lead', 'to ignore a column');
SELECT publish('compare_again', 'restitch_lead', 'to compare a column again');
SELECT publish('look', 'restitch_operator');

-- Deciding: the plan, made by the rules of what was read, is checked again under lock and written.

-- Refuses where whoever decides does not hold the case.
CREATE FUNCTION require_claim(a act, who text, id text, no bigint, fence bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    l kept_claims;
BEGIN
    SELECT * INTO l FROM kept_claims k WHERE k.no = require_claim.no;
    IF l.until > a.now AND l."by" <> who THEN
        PERFORM refuse_held(a, id, l);
    ELSIF coalesce(l.until <= a.now, true) THEN
        PERFORM refuse(format('nobody holds %s', id), format('`restitch claim %s` first', id));
    ELSIF l.fence <> fence THEN
        PERFORM refuse(format('somebody else held %s in between', id), 'look at the case again, then decide');
    END IF;
END $$;

-- Writes a plan as the decision of `who`; NULL where it was made of what is not so any more.
CREATE FUNCTION decide_for(a act, who text, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    known kept_decisions;
    digest bytea := decode(args->>'digest', 'hex');
    sight jsonb;
    item jsonb;
    c kept_cases;
    result jsonb := '[]';
    nth integer := 0;
BEGIN
    PERFORM lock_cases(a, ARRAY(
        SELECT s->>'id' FROM jsonb_array_elements((args->'seen') || (args->'cases')) s));
    SELECT * INTO known FROM kept_decisions d WHERE d.key = args->>'key';
    IF FOUND THEN
        IF known.digest <> digest THEN
            PERFORM refuse(format('the key %s was used for another decision', known.key), 'a new decision needs a new key');
        END IF;
        RETURN known.result::jsonb;
    END IF;
    FOR sight IN SELECT jsonb_array_elements(args->'seen') LOOP
        SELECT * INTO c FROM kept_cases k WHERE k.incident = a.incident AND k.id = sight->>'id';
        IF FOUND <> (sight->'was' <> 'null') OR (FOUND AND (
               c.state <> sight->'was'->>'state' OR encode(c.digest, 'hex') <> sight->'was'->>'digest'
               OR c.decision IS DISTINCT FROM sight->'was'->>'decision')) THEN
            RETURN NULL;
        END IF;
    END LOOP;
    FOR item IN SELECT jsonb_array_elements(args->'cases') LOOP
        result := result || jsonb_build_array(jsonb_build_array(item->'id', item->'next'));
    END LOOP;
    INSERT INTO kept_decisions (key, incident, attempt, digest, verb, reason, by, at, reference, target, evidence, until, result)
    VALUES (args->>'key', a.incident, a.attempt, digest, args->>'verb', args->>'reason', who, a.now, args->>'reference',
            args->>'to', args->>'evidence', (args->>'until')::bigint, result::text);
    PERFORM require_written(FOUND);
    FOR item IN SELECT jsonb_array_elements(args->'cases') LOOP
        SELECT * INTO c FROM kept_cases k WHERE k.no = case_no(a, item->>'id');
        PERFORM require_claim(a, who, c.id, c.no, CASE nth WHEN 0 THEN (args->>'fence')::bigint END);
        IF c.state NOT IN ('open', 'parked', 'escalated') THEN
            PERFORM refuse(format('%s: it is %s already: undo that first', c.id, words_of(c.state)));
        END IF;
        INSERT INTO kept_decided (key, no, findings, steps, assignee, wanted)
        VALUES (args->>'key', c.no, item->>'findings', item->>'steps', item->>'assignee', item->>'wanted');
        PERFORM require_written(FOUND);
        UPDATE kept_cases k SET state = item->>'next', verb = args->>'verb', decision = args->>'key', disproven = false
        WHERE k.no = c.no;
        PERFORM require_written(FOUND);
        -- What was asked for before and waits is overtaken.
        UPDATE kept_papers p SET state = 'withdrawn', answered_by = who, answered_at = a.now, answer = 'decided otherwise'
        WHERE p.incident = a.incident AND p.case_id = c.id AND p.state = 'waits' AND p.key <> args->>'key';
        nth := nth + 1;
    END LOOP;
    IF args->'effect' <> 'null' THEN
        PERFORM queue_effect(a, args->'effect', args->>'key',
            (SELECT jsonb_agg(i->'id' ORDER BY n) FROM jsonb_array_elements(args->'cases') WITH ORDINALITY AS e(i, n)));
    END IF;
    PERFORM audit(a, 'decide', i->>'id', args->>'verb', args->>'key', 'ok', args->>'reason')
    FROM jsonb_array_elements(args->'cases') i;
    RETURN result;
END $$;

-- Refuses a decision that takes another person's approval, but for one of a bulk that somebody else signed: what was signed
-- counts, this decision, on these cases, asked for by whoever decides.
CREATE FUNCTION require_approval(a act, args jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    policy jsonb;
    size bigint;
    waits boolean;
BEGIN
    SELECT f.value::jsonb INTO policy FROM kept_facts f WHERE f.incident = a.incident AND f.name = 'approve';
    waits := coalesce(policy->'verbs' ? (args->>'verb'), false);
    IF args->>'bulk' IS NOT NULL THEN
        SELECT count(*) INTO size FROM kept_bulk_items i JOIN kept_bulks b ON b.no = i.bulk
        WHERE b.incident = a.incident AND b.id = args->>'bulk';
        waits := (waits OR coalesce(size >= (policy->>'bulk')::bigint, false)) AND NOT EXISTS (
            SELECT 1 FROM kept_papers p
            WHERE p.incident = a.incident AND p.key = args->>'bulk' AND p.kind = 'bulk' AND p.state = 'signed' AND p."by" = a.who
              AND p.content::jsonb->'ask'->'verb' = args->'verb' AND p.content::jsonb->'ask'->'reason' = args->'reason'
              AND p.content::jsonb->'ask'->>'ref' IS NOT DISTINCT FROM args->>'reference'
              AND p.content::jsonb->'ask'->>'to' IS NOT DISTINCT FROM args->>'to'
              AND p.content::jsonb->'cases' ? (args->'cases'->0->>'id'));
    END IF;
    IF waits THEN
        PERFORM refuse(format('%s takes another person''s approval: the ledger says so',
                              coalesce('the bulk ' || (args->>'bulk'), args->>'verb')),
                       'start restitch again: it then asks for approval');
    END IF;
END $$;

CREATE FUNCTION do_decide(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_approval(a, args);
    RETURN decide_for(a, a.who, args);
END $$;

SELECT publish('decide', 'restitch_operator');

-- What takes many cases or two people: papers that people sign, and bulks.

-- A paper is written and signed; written again under the same key it is the same paper.
CREATE FUNCTION do_write_paper(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    known kept_papers;
    action text := CASE args->>'kind' WHEN 'decision' THEN 'ask' WHEN 'bulk' THEN 'ask' ELSE args->>'kind' END;
BEGIN
    -- By what it is, not by what a client says of it.
    IF args->>'kind' = 'signoff' THEN
        PERFORM require_role(a, 'restitch_lead', 'to sign off');
    END IF;
    IF args->>'case' IS NOT NULL THEN
        PERFORM lock_cases(a, ARRAY[args->>'case']);
    END IF;
    SELECT * INTO known FROM kept_papers p WHERE p.incident = a.incident AND p.key = args->>'key';
    IF FOUND THEN
        IF known.digest <> args->>'digest' THEN
            PERFORM refuse(format('the key %s was used for something else', known.key), 'a new decision needs a new key');
        ELSIF known.state NOT IN ('waits', 'signed') THEN
            PERFORM refuse(format('%s was %s', known.key, known.state), 'a new decision needs a new key');
        END IF;
        RETURN 'null';
    END IF;
    -- The newer word of whoever holds the case counts.
    UPDATE kept_papers p SET state = 'withdrawn', answered_by = p."by", answered_at = a.now, answer = 'asked for anew'
    WHERE p.incident = a.incident AND p.case_id = args->>'case' AND p.state = 'waits';
    INSERT INTO kept_papers (incident, key, kind, case_id, digest, content, by, at, for_whom, state)
    VALUES (a.incident, args->>'key', args->>'kind', args->>'case', args->>'digest', args->>'content', a.who, a.now,
            args->>'to', CASE args->>'kind' WHEN 'signoff' THEN 'signed' ELSE 'waits' END);
    PERFORM audit(a, action, args->>'case', args->>'verb', args->>'key', 'ok', args->>'why');
    RETURN 'null';
END $$;

-- A paper is signed, declined or taken back; false where its plan was made of what is not so any more.
CREATE FUNCTION do_answer_paper(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    p kept_papers;
    item jsonb;
    own boolean;
    asked jsonb;
    plan jsonb := nullif(args->'plan', 'null');
    action text := CASE args->>'state' WHEN 'declined' THEN 'decline' WHEN 'withdrawn' THEN 'withdraw'
                   ELSE CASE args->>'kind' WHEN 'handover' THEN 'handover' ELSE 'approve' END END;
BEGIN
    IF plan IS NOT NULL THEN
        PERFORM lock_cases(a, ARRAY(SELECT s->>'id' FROM jsonb_array_elements((plan->'seen') || (plan->'cases')) s));
    END IF;
    SELECT * INTO p FROM kept_papers k WHERE k.incident = a.incident AND k.key = args->>'key' FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM mistake(format('there is no paper "%s"', args->>'key'), '`restitch approve` lists what waits');
    END IF;
    own := p."by" = a.who;
    IF p.state <> 'waits' THEN
        PERFORM refuse(format('it is %s already', p.state));
    ELSIF p.digest <> args->>'digest' OR coalesce(plan->>'digest' <> p.digest OR plan->>'key' <> p.key, plan IS NOT NULL) THEN
        PERFORM refuse('it is not what was read', 'look at it again, then sign');
    ELSIF args->>'state' = 'withdrawn' AND NOT own THEN
        PERFORM refuse(format('%s wrote it, and takes it back', p."by"), 'decline it');
    ELSIF args->>'state' <> 'withdrawn' AND own THEN
        PERFORM refuse(format('%s asked for it: it takes another person', p."by"), 'ask somebody else to look at it');
    ELSIF args->>'state' = 'signed' AND p.for_whom <> a.who THEN
        PERFORM refuse(format('it is for %s to sign', p.for_whom));
    ELSIF (args->>'state' = 'signed' AND p.kind = 'decision') <> (plan IS NOT NULL) THEN
        PERFORM refuse('a decision, and nothing else, is signed with what it comes to');
    END IF;
    -- It is written as the decision of whoever asked: what they asked for, and nothing else.
    asked := p.content::jsonb;
    IF plan IS NOT NULL AND (plan->'cases'->0->>'id' IS DISTINCT FROM p.case_id
        OR plan->'verb' IS DISTINCT FROM asked->'verb' OR plan->'reason' IS DISTINCT FROM asked->'reason'
        OR plan->>'reference' IS DISTINCT FROM asked->>'reference' OR plan->>'to' IS DISTINCT FROM asked->>'to'
        OR plan->>'evidence' IS DISTINCT FROM asked->>'evidence') THEN
        PERFORM refuse('it is not what was asked for', 'look at it again, then sign');
    END IF;
    IF plan IS NOT NULL THEN
        FOR item IN SELECT jsonb_array_elements(plan->'cases') LOOP
            PERFORM claim_one(a, item->>'id', p."by", a.now + 60000000);
        END LOOP;
        IF decide_for(a, p."by", plan) IS NULL THEN
            RETURN to_jsonb(false);
        END IF;
    END IF;
    UPDATE kept_papers k SET state = args->>'state', answered_by = a.who, answered_at = a.now, answer = args->>'why'
    WHERE k.no = p.no;
    PERFORM audit(a, action, args->>'case', plan->>'verb', p.key, 'ok',
        CASE WHEN own OR args->>'why' = '' THEN format('asked by %s', p."by") ELSE format('asked by %s: %s', p."by", args->>'why') END);
    RETURN to_jsonb(true);
END $$;

CREATE FUNCTION do_freeze_bulk(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    bulk bigint;
BEGIN
    INSERT INTO kept_bulks (incident, id, ask, scope, by, at, excluded)
    VALUES (a.incident, args->>'id', (args->'ask')::text, args->>'scope', a.who, a.now, (args->'excluded')::text)
    ON CONFLICT DO NOTHING RETURNING no INTO bulk;
    -- Frozen before, and the answer was lost.
    IF bulk IS NULL THEN
        RETURN 'null';
    END IF;
    INSERT INTO kept_bulk_items (bulk, nth, id, seen)
    SELECT bulk, i.nth, i.item->>0, i.item->>1
    FROM jsonb_array_elements(args->'items') WITH ORDINALITY AS i(item, nth);
    PERFORM audit(a, 'bulk', NULL, args->'ask'->>'verb', args->>'id', 'ok', format('%s cases, %s left out; %s: %s',
        jsonb_array_length(args->'items'), jsonb_array_length(args->'excluded'), args->>'scope', args->'ask'->>'reason'));
    RETURN 'null';
END $$;

-- The decision has its own line in the trail, and a refused one too.
CREATE FUNCTION do_mark_bulk(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    UPDATE kept_bulk_items i SET state = args->>'state', why = args->>'why'
    FROM kept_bulks b WHERE b.no = i.bulk AND b.incident = a.incident AND b.id = args->>'id' AND b."by" = a.who
      AND i.nth = (args->>'nth')::bigint AND i.state = 'pending';
    RETURN 'null';
END $$;

CREATE FUNCTION do_turn_bulk(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    UPDATE kept_bulks b SET stopped = args->>'stopped'
    WHERE b.incident = a.incident AND b.id = args->>'id' AND b."by" = a.who;
    PERFORM audit(a, 'bulk', NULL, NULL, args->>'id', 'ok', args->>'why');
    RETURN 'null';
END $$;

SELECT publish('write_paper', 'restitch_operator');
SELECT publish('answer_paper', 'restitch_operator');
SELECT publish('freeze_bulk', 'restitch_operator');
SELECT publish('mark_bulk', 'restitch_operator');
SELECT publish('turn_bulk', 'restitch_operator');

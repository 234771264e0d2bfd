-- What follows a decision: done, undo, proof; and notes.

-- The case, locked.
CREATE FUNCTION standing(a act, id text) RETURNS kept_cases LANGUAGE plpgsql AS $$
DECLARE
    c kept_cases;
BEGIN
    PERFORM lock_cases(a, ARRAY[id]);
    SELECT * INTO c FROM kept_cases k WHERE k.no = case_no(a, standing.id);
    RETURN c;
END $$;

-- Opens a case; after a failed proof it still shows what was decided.
CREATE FUNCTION open_again(its_no bigint, was_disproven boolean) RETURNS void LANGUAGE sql AS $$
    UPDATE kept_cases c SET state = 'open', disproven = was_disproven,
        verb = CASE WHEN was_disproven THEN c.verb END, decision = CASE WHEN was_disproven THEN c.decision END
    WHERE c.no = its_no
$$;

-- Opens a case whose decision did not come true, for its decider first: it waits five minutes for them.
CREATE FUNCTION open_to_decider(a act, id text, its_no bigint, its_decision text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    decider text;
BEGIN
    PERFORM open_again(its_no, true);
    IF (live_claim(a, its_no)).no IS NULL THEN
        SELECT d."by" INTO decider FROM kept_decisions d WHERE d.key = its_decision;
        PERFORM claim_one(a, id, decider, a.now + 300000000);
    END IF;
END $$;

CREATE FUNCTION do_done(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    c kept_cases := standing(a, args->>'case');
    given text := args->>'evidence';
    confirms boolean;
    next text := 'applied';
    why text := given;
BEGIN
    PERFORM refuse_held_by_others(a, c.id, c.no);
    IF c.decision IS NOT NULL AND c.state IN ('parked', 'escalated') THEN
        -- The answer that it waited for: it stays with the decision and among the notes.
        UPDATE kept_decided t SET evidence = given WHERE t.key = c.decision AND t.no = c.no;
        INSERT INTO kept_notes (no, at, by, text) VALUES (c.no, a.now, a.who, 'answer: ' || given);
        PERFORM open_again(c.no, false);
        PERFORM audit(a, 'done', c.id, c.verb, c.decision, 'ok', 'answered: ' || given);
        RETURN to_jsonb('open'::text);
    END IF;
    IF (effect_of(c.decision)).state = 'queued' THEN
        PERFORM refuse(format('%s: restitch does it itself', c.id), '`restitch undo` takes it back as long as it has not left');
    END IF;
    -- What the order of states cannot show for `complete`, a lead may confirm.
    confirms := c.state = 'applied' AND c.verb = 'complete' AND is_lead();
    -- Where an answer was lost, a person may know what became of it.
    IF c.decision IS NULL OR NOT (c.state IN ('to_do', 'unconfirmed') OR confirms) THEN
        PERFORM refuse(format('%s is %s, not to do', c.id, words_of(c.state)));
    END IF;
    IF confirms THEN
        next := 'proven';
        why := 'confirmed: ' || given;
    END IF;
    UPDATE kept_decided t SET evidence = given WHERE t.key = c.decision AND t.no = c.no;
    IF c.state = 'unconfirmed' THEN
        PERFORM effect_came_true(a, c.decision, given);
    END IF;
    UPDATE kept_cases k SET state = next WHERE k.no = c.no;
    PERFORM audit(a, 'done', c.id, c.verb, c.decision, 'ok', why);
    RETURN to_jsonb(next);
END $$;

CREATE FUNCTION do_note(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO kept_notes (no, at, by, text) VALUES (case_no(a, args->>'case'), a.now, a.who, args->>'text');
    PERFORM audit(a, 'note', args->>'case', NULL, NULL, 'ok', args->>'text');
    RETURN 'null';
END $$;

CREATE FUNCTION do_undo(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    c kept_cases;
    linked kept_cases;
    many kept_cases[];
    wrote boolean;
    written_back_first boolean;
BEGIN
    SELECT * INTO c FROM kept_cases k WHERE k.no = case_no(a, args->>'case');
    PERFORM lock_cases(a, ARRAY(SELECT k.id FROM kept_cases k WHERE k.no = c.no OR (k.decision = c.decision AND k.incident = a.incident)));
    SELECT * INTO c FROM kept_cases k WHERE k.no = c.no;
    wrote := wrote_rows(effect_of(c.decision));
    IF c.decision IS NULL OR NOT (c.state IN ('to_do', 'applied', 'parked', 'escalated')
                                  OR (c.state = 'proven' AND (c.verb = 'keep' OR wrote))) THEN
        PERFORM refuse(format('%s is %s: there is nothing to undo', c.id, words_of(c.state)));
    END IF;
    SELECT array_agg(k ORDER BY k.no <> c.no, k.no) INTO many FROM kept_decided t JOIN kept_cases k ON k.no = t.no
    WHERE t.key = c.decision AND k.incident = a.incident AND k.decision = c.decision AND (k.no = c.no OR k.state <> 'proven' OR wrote);
    FOREACH linked IN ARRAY many LOOP
        PERFORM refuse_held_by_others(a, linked.id, linked.no);
    END LOOP;
    written_back_first := take_effect_back(a, c.decision, args->'back', ARRAY(SELECT (m).id FROM unnest(many) m));
    FOREACH linked IN ARRAY many LOOP
        IF NOT written_back_first THEN
            PERFORM open_again(linked.no, false);
        END IF;
        PERFORM audit(a, 'undo', linked.id, c.verb, c.decision, 'ok', args->>'reason');
    END LOOP;
    RETURN to_jsonb(CASE WHEN written_back_first THEN c.state ELSE 'open' END);
END $$;

CREATE FUNCTION do_prove(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    c kept_cases := standing(a, args->>'case');
    holds boolean := (args->>'holds')::boolean;
    said text := args->>'read';
    next text := c.state;
    before kept_decided;
    e kept_effects := effect_of(c.decision);
    why text;
BEGIN
    IF c.decision IS NULL OR c.state IN ('open', 'parked', 'escalated', 'gone') THEN
        PERFORM refuse(format('%s is %s: nothing is decided', c.id, words_of(c.state)));
    END IF;
    -- Until it is taken back, nothing is to be read of it.
    IF e.key <> e.of AND e.state IN ('queued', 'running', 'unknown') THEN
        RETURN to_jsonb(c.state);
    END IF;
    SELECT * INTO before FROM kept_decided t WHERE t.key = c.decision AND t.no = c.no;
    IF holds THEN
        next := 'proven';
    -- What has yet to be done, or may have been: that it is not there says nothing.
    ELSIF NOT holds AND c.state NOT IN ('to_do', 'unconfirmed') AND c.verb <> 'keep'
          AND NOT (c.state = 'applied' AND is_on_its_way(a, e)) THEN
        next := 'open';
    END IF;
    -- The same reading again is no news, and a proof may run every few seconds.
    IF next = c.state AND before.held IS NOT DISTINCT FROM holds AND before.read IS NOT DISTINCT FROM said THEN
        RETURN to_jsonb(next);
    END IF;
    UPDATE kept_decided t SET held = holds, read = said WHERE t.key = c.decision AND t.no = c.no;
    IF holds THEN
        PERFORM effect_came_true(a, c.decision, said);
    END IF;
    IF next = 'open' THEN
        PERFORM open_to_decider(a, c.id, c.no, c.decision);
    ELSE
        UPDATE kept_cases k SET state = next WHERE k.no = c.no;
    END IF;
    why := CASE WHEN holds THEN 'holds' WHEN NOT holds AND next IN ('to_do', 'unconfirmed', 'applied') THEN 'not yet' WHEN NOT holds THEN 'does not hold'
                ELSE 'cannot tell' END || ': ' || said;
    PERFORM audit(a, 'prove', c.id, c.verb, c.decision, CASE WHEN holds IS NULL THEN 'unconfirmed' ELSE 'ok' END, why);
    RETURN to_jsonb(next);
END $$;

-- Nothing that was done is taken back by it.
CREATE FUNCTION do_reopen(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    c kept_cases := standing(a, args->>'case');
BEGIN
    PERFORM refuse_held_by_others(a, c.id, c.no);
    IF c.state = 'open' THEN
        PERFORM refuse(format('%s is open', c.id));
    ELSIF NOT give_effect_up(a, c.decision, args->>'reason') THEN
        PERFORM refuse(format('%s is unconfirmed: nobody knows yet whether its effect took place', c.id),
            format('`restitch prove %s` reads it back first', c.id));
    END IF;
    IF EXISTS (SELECT 1 FROM kept_effects e WHERE e.of = c.decision AND e.state IN ('queued', 'running', 'unknown')) THEN
        PERFORM refuse(format('the effect of %s is still on its way', c.id), '`restitch undo` takes it back before it leaves');
    END IF;
    PERFORM open_again(c.no, false);
    PERFORM audit(a, 'reopen', c.id, c.verb, c.decision, 'ok', format('was %s: %s', words_of(c.state), args->>'reason'));
    RETURN to_jsonb('open'::text);
END $$;

-- Nothing changes but the trail, which has who saw what of a masked field, and why.
CREATE FUNCTION do_unmask(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM case_no(a, args->>'case');
    PERFORM audit(a, 'unmask', args->>'case', NULL, NULL, 'ok', args->>'why');
    RETURN 'null';
END $$;

SELECT publish('unmask', 'restitch_operator');
SELECT publish('reopen', 'restitch_lead', 'to open a case again');
SELECT publish('done', 'restitch_operator');
SELECT publish('note', 'restitch_operator');
SELECT publish('undo', 'restitch_operator');
SELECT publish('prove', 'restitch_relay');

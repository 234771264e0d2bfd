-- What every deed goes through. A deed NAME is a function `do_NAME(a act, args jsonb) RETURNS jsonb`, which nobody may call,
-- and a function NAME(origin jsonb, args jsonb) made by `publish`, which runs as the owner, for those who have the role.
-- It answers {"ok": …}, or {"refused": …, "cure": …}: a refusal is a value, since an error would take its line of the audit
-- trail back. Inside, `refuse` ends a deed and undoes what it did so far.

-- (`by` is a word of PL/pgSQL: as a field of a variable it stands in quotes.)

-- Who does it, to which incident, when.
CREATE TYPE act AS (
    incident    bigint,
    name        text,
    attempt     bigint,
    restored_to bigint,
    who         text,
    system_user text,
    ssh         text,
    now         bigint
);

CREATE FUNCTION micros() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$;

CREATE FUNCTION refuse(why text, cure text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'RS004', MESSAGE = why, HINT = cure;
END $$;

-- A row that a trigger of somebody else's keeps out without a word is not written: then nothing is.
CREATE FUNCTION require_written(written boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT written THEN
        RAISE EXCEPTION 'a trigger that is none of the ledger''s keeps rows out of it';
    END IF;
END $$;

-- A mistake in what was asked, which the trail does not keep.
CREATE FUNCTION mistake(why text, cure text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'RS002', MESSAGE = why, HINT = cure;
END $$;

-- As RFC 3339 in UTC, with as many digits of the second as it has.
CREATE FUNCTION rfc3339(instant bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT to_char(timestamp '1970-01-01' + (instant / 1000000) * interval '1 second', 'YYYY-MM-DD"T"HH24:MI:SS')
        || CASE instant % 1000000 WHEN 0 THEN '' ELSE '.' || lpad((instant % 1000000)::text, 6, '0') END || 'Z'
$$;

-- A value of a line of the audit trail, as JSON.
CREATE FUNCTION quoted(value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(to_json(value)::text, 'null')
$$;

-- SHA-256 over the hash before it and the line as a JSON list: byte for byte what a SQLite ledger seals.
CREATE FUNCTION seal(incident text, l kept_audit, before text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(convert_to(before || chr(10)
        || '[[' || quoted(incident) || ',' || l.seq || ',' || l.at
        || '],[' || quoted(l.who) || ',' || quoted(l.system_user) || ',' || quoted(l.ssh)
        || '],[' || quoted(l.action) || ',' || quoted(l.case_id) || ',' || quoted(l.verb) || ',' || quoted(l.key)
        || '],[' || quoted(l.outcome) || ',' || quoted(l.why) || ']]', 'UTF8')), 'hex')
$$;

-- Adds a line to the chain of the incident. Its head is locked until the deed ends: call it last. Consoles that listen hear
-- when the deed is committed that there is something new.
CREATE FUNCTION audit(a act, action text, case_id text, verb text, key text, outcome text, why text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    line kept_audit;
    head kept_heads;
BEGIN
    INSERT INTO kept_heads VALUES (a.incident, 0, '') ON CONFLICT DO NOTHING;
    SELECT * INTO head FROM kept_heads h WHERE h.incident = a.incident FOR UPDATE;
    line := ROW(a.incident, head.seq + 1, a.now, a.who, a.system_user, a.ssh, audit.action, audit.case_id, audit.verb,
                audit.key, audit.outcome, audit.why, '');
    line.hash := seal(a.name, line, head.hash);
    INSERT INTO kept_audit SELECT line.*;
    PERFORM require_written(FOUND);
    UPDATE kept_heads h SET seq = line.seq, hash = line.hash WHERE h.incident = a.incident;
    PERFORM pg_notify('restitch', '');
END $$;

CREATE FUNCTION is_operator() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT pg_has_role(session_user, 'restitch_operator', 'MEMBER')
$$;

CREATE FUNCTION is_lead() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT pg_has_role(session_user, 'restitch_lead', 'MEMBER')
$$;

-- Asked at every deed: a role that was taken away counts at once.
CREATE FUNCTION require_role(a act, role text, purpose text DEFAULT 'for this') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF pg_has_role(session_user, role, 'MEMBER') THEN
        RETURN;
    END IF;
    IF role = 'restitch_lead' AND is_operator() THEN
        PERFORM refuse(format('%s is no lead, and it takes one %s', a.who, purpose),
                       format('a DBA runs: GRANT restitch_lead TO %I', a.who));
    END IF;
    IF pg_has_role(session_user, 'restitch_relay', 'MEMBER') THEN
        PERFORM refuse(format('%s is a relay, which carries out what others decided and does nothing else', a.who),
                       format('a DBA runs: GRANT %I TO %I', role, a.who));
    END IF;
    PERFORM refuse(format('%s is a viewer, who may look but not act', a.who), format('a DBA runs: GRANT %I TO %I', role, a.who));
END $$;

-- Nothing is decided where the answer could be lost after it was given.
CREATE FUNCTION require_safety() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean THEN
        RAISE EXCEPTION USING ERRCODE = 'RS001', MESSAGE = 'the ledger''s server only reads: nothing can be written down',
            HINT = '`ledger.url` must name the writer, not a standby or reader endpoint';
    END IF;
    IF NOT current_setting('fsync')::boolean THEN
        RAISE EXCEPTION USING ERRCODE = 'RS001', MESSAGE = 'the ledger''s server runs with fsync = off: a decision could be lost after it was acknowledged',
            HINT = 'a DBA sets fsync = on and reloads the server';
    END IF;
    IF current_setting('synchronous_commit') IN ('off', 'local') THEN
        RAISE EXCEPTION USING ERRCODE = 'RS001', MESSAGE = format('the ledger''s sessions run with synchronous_commit = %s: a decision could be lost after it was acknowledged',
            current_setting('synchronous_commit')),
            HINT = format('a DBA runs: ALTER ROLE %I SET synchronous_commit = on', session_user);
    END IF;
END $$;

CREATE FUNCTION enter(origin jsonb) RETURNS act LANGUAGE plpgsql AS $$
DECLARE
    a act;
BEGIN
    PERFORM require_safety();
    -- A deed that waits for another says so instead of making its person wait.
    PERFORM set_config('lock_timeout', '2s', true);
    a.name := origin->>'incident';
    SELECT no INTO a.incident FROM kept_incidents WHERE name = a.name;
    IF NOT FOUND THEN
        INSERT INTO kept_incidents (name) VALUES (a.name) ON CONFLICT DO NOTHING;
        SELECT no INTO a.incident FROM kept_incidents WHERE name = a.name;
    END IF;
    a.attempt := origin->>'attempt';
    a.restored_to := origin->>'restored_to';
    a.who := session_user;
    a.system_user := origin->>'system_user';
    a.ssh := origin->>'ssh';
    a.now := micros();
    RETURN a;
END $$;

-- `origin`: incident, attempt, restored_to, system_user, ssh; `call`, the key of this call; and `deed`, what the trail says
-- of it where it is refused.
CREATE FUNCTION deed(name text, role text, purpose text, origin jsonb, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a act;
    what bytea := sha256(convert_to(jsonb_build_array(name, session_user, origin->'incident', args)::text, 'UTF8'));
    this_call text := origin->>'call';
    known kept_answers;
    said jsonb;
    why text;
    cure text;
BEGIN
    a := enter(origin);
    IF this_call IS NOT NULL THEN
        -- Of the same call twice at once, the second waits for the first here.
        INSERT INTO kept_answers VALUES (this_call, what, a.now, 'null') ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            SELECT * INTO known FROM kept_answers k WHERE k.call = this_call;
            IF known.asked <> what THEN
                RAISE EXCEPTION USING ERRCODE = 'RS001', MESSAGE = format('the call %s was used for something else', this_call);
            END IF;
            RETURN known.answer;
        END IF;
    END IF;
    BEGIN
        PERFORM require_role(a, role, purpose);
        EXECUTE format('SELECT %I($1, $2)', 'do_' || name) INTO said USING a, args;
        said := jsonb_build_object('ok', said);
    EXCEPTION WHEN SQLSTATE 'RS004' THEN
        GET STACKED DIAGNOSTICS why = MESSAGE_TEXT, cure = PG_EXCEPTION_HINT;
        PERFORM write_refusal(a, origin->'deed', why);
        said := jsonb_build_object('refused', why, 'cure', nullif(cure, ''));
    END;
    IF this_call IS NOT NULL THEN
        UPDATE kept_answers k SET answer = said WHERE k.call = this_call;
    END IF;
    RETURN said;
END $$;

CREATE FUNCTION write_refusal(a act, deed jsonb, why text) RETURNS void LANGUAGE sql AS $$
    SELECT audit(a, 'refuse', deed->>'case', deed->>'verb', deed->>'key', 'refused',
                 coalesce(deed->>'action', 'deed') || ': ' || why)
$$;

-- Somebody was refused by a rule before the database was asked to act.
CREATE FUNCTION do_refused(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM write_refusal(a, args->'deed', args->>'why');
    RETURN 'null';
END $$;

-- `purpose`: what it takes a lead for, in words, as in "it takes one to ignore a column".
-- Whom the database did not let call a function is told why, and the trail keeps it.
CREATE FUNCTION do_denied(a act, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    p kept_published;
BEGIN
    SELECT * INTO p FROM kept_published k WHERE k.name = args->>'function';
    PERFORM require_role(a, coalesce(p.role, 'restitch_owner'), coalesce(p.purpose, 'for this'));
    RETURN 'null';
END $$;

CREATE FUNCTION publish(name text, role text, purpose text DEFAULT 'for this') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO kept_published VALUES (name, role, purpose);
    EXECUTE format($f$
        CREATE FUNCTION %1$I(origin jsonb, args jsonb) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = restitch, pg_temp AS $b$ BEGIN RETURN deed(%1$L, %2$L, %3$L, origin, args); END $b$;
        REVOKE ALL ON FUNCTION %1$I(jsonb, jsonb) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION %1$I(jsonb, jsonb) TO %2$I $f$, name, role, purpose);
END $$;

-- The number of a case that must be there.
CREATE FUNCTION case_no(a act, id text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    no bigint;
BEGIN
    SELECT c.no INTO no FROM kept_cases c WHERE c.incident = a.incident AND c.id = case_no.id;
    IF NOT FOUND THEN
        PERFORM mistake(format('there is no case "%s" in incident %s', id, a.name), '`restitch cases` lists them');
    END IF;
    RETURN no;
END $$;

-- A state as people read it.
CREATE FUNCTION words_of(state text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE state WHEN 'to_do' THEN 'to do' ELSE state END
$$;

-- Locks cases for this deed, in one order for everybody.
CREATE FUNCTION lock_cases(a act, ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM kept_cases c WHERE c.incident = a.incident AND c.id = ANY (ids) ORDER BY c.no FOR NO KEY UPDATE;
END $$;

TRUNCATE kept_published;
SELECT publish('denied', 'restitch_viewer');
SELECT publish('refused', 'restitch_viewer');

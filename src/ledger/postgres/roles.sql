-- Who may what. Needs CREATEROLE, and CREATE on the database; `restitch ledger grants` prints it for whoever has them.
-- Persons are LOGIN roles of their own, members of one of these: a lead is an operator too, an operator a relay, a relay a
-- viewer. Consoles carry out what is decided at them, so that no decision waits for a process that may be down; a relay is
-- for one that runs unattended, and may carry out and prove what others decided, nothing else.
DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['restitch_owner', 'restitch_viewer', 'restitch_operator', 'restitch_lead', 'restitch_relay'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
    END LOOP;
    IF NOT pg_has_role('restitch_relay', 'restitch_viewer', 'MEMBER') THEN
        GRANT restitch_viewer TO restitch_relay;
    END IF;
    IF NOT pg_has_role('restitch_operator', 'restitch_relay', 'MEMBER') THEN
        GRANT restitch_relay TO restitch_operator;
    END IF;
    IF NOT pg_has_role('restitch_lead', 'restitch_operator', 'MEMBER') THEN
        GRANT restitch_operator TO restitch_lead;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'restitch') THEN
        -- Only who is a member may give something to the owner.
        IF NOT pg_has_role(current_user, 'restitch_owner', 'MEMBER') THEN
            EXECUTE format('GRANT restitch_owner TO %I', current_user);
        END IF;
        CREATE SCHEMA restitch AUTHORIZATION restitch_owner;
    END IF;
END $$;

//! "Decided" is said only where the server committed it: whatever happens to the statement, the connection or the wait for
//! it, the answer is no, or it is found out.

use crate::contract::{Kind, Verb, asking, claim, order, state, store};
use crate::room::{Room, server};
use restitch::domain::ErrorKind;
use restitch::domain::case::State;
use restitch::ledger::Ledger;
use std::thread;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_mins(1);

/// A room with so many claimed cases, `order:0` and on.
fn claimed(n: usize) -> (Room, Ledger) {
    let room = Room::on_time();
    let mut ana = room.open("ana");
    store(&mut ana, (0..n).map(|k| order(&k.to_string(), &[Kind::Lost])).collect());
    for k in 0..n {
        claim(&mut ana, &[&format!("order:{k}")]);
    }
    (room, ana)
}

/// Runs this whenever a decision is written; `nextval('public.calls')` counts the times, rolled back or not.
fn meddle(room: &Room, when: &str, each: &str, body: &str) {
    room.sql(&format!(
        "CREATE SEQUENCE public.calls; GRANT ALL ON SEQUENCE public.calls TO PUBLIC;
         CREATE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$;
         CREATE {when} INSERT ON restitch.kept_decided {each} FOR EACH ROW EXECUTE FUNCTION public.meddle()"
    ));
}

/// Everything that belongs to the decisions that were written.
fn written(room: &Room) -> String {
    room.sql(
        "SELECT (SELECT count(*) FROM restitch.kept_decided), (SELECT count(*) FROM restitch.kept_decisions),
                (SELECT count(*) FROM restitch.kept_cases WHERE state = 'proven'),
                (SELECT count(*) FROM restitch.kept_audit WHERE action = 'decide' AND outcome = 'ok')",
    )
}

/// Ends the sessions of a ledger in this state; how many.
fn terminate(room: &Room, which: &str) -> usize {
    let ended = server().psql(
        "postgres",
        &format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = '{}' AND application_name LIKE 'restitch ledger %' AND {which}",
            room.db
        ),
    );
    ended.parse().unwrap()
}

#[test]
fn what_fails_only_at_the_commit_is_not_done() {
    let (room, mut ana) = claimed(1);
    meddle(
        &room,
        "CONSTRAINT TRIGGER meddle AFTER",
        "DEFERRABLE INITIALLY DEFERRED",
        "IF nextval('public.calls') <= 5 THEN RAISE EXCEPTION 'not today'; END IF;",
    );
    let asked = asking("order:0", Verb::Keep);
    for _ in 0..5 {
        let error = ana.decide(&asked).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Failed, "{error}");
        assert_eq!(written(&room), "0|0|0|0");
    }
    ana.decide(&asked).unwrap();
    assert_eq!(written(&room), "1|1|1|1");
}

/// An error that a trigger keeps to itself takes what it swallowed with it: nothing may pass for written that is not.
#[test]
fn what_a_trigger_swallows_is_not_done() {
    let (room, mut ana) = claimed(1);
    room.sql(
        "CREATE FUNCTION public.swallow() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN PERFORM 1 / 0; RETURN NEW; EXCEPTION WHEN OTHERS THEN RETURN NULL; END $$",
    );
    for table in ["kept_decisions", "kept_decided", "kept_audit"] {
        room.sql(&format!(
            "CREATE TRIGGER swallow BEFORE INSERT ON restitch.{table} FOR EACH ROW EXECUTE FUNCTION public.swallow()"
        ));
        let error = ana.decide(&asking("order:0", Verb::Keep)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Failed, "{table}: {error}");
        assert_eq!(written(&room), "0|0|0|0", "{table}");
        room.sql(&format!("DROP TRIGGER swallow ON restitch.{table}"));
    }
    ana.decide(&asking("order:0", Verb::Keep)).unwrap();
    assert_eq!(written(&room), "1|1|1|1");
}

#[test]
fn a_session_ended_while_it_was_idle_is_opened_again() {
    const ROUNDS: usize = 20;
    let (room, mut ana) = claimed(ROUNDS);
    let mut ended = 0;
    for k in 0..ROUNDS {
        ended += terminate(&room, "true");
        ana.decide(&asking(&format!("order:{k}"), Verb::Keep)).unwrap();
    }
    assert!(ended >= ROUNDS, "{ended} sessions were ended");
    assert_eq!(written(&room), format!("{ROUNDS}|{ROUNDS}|{ROUNDS}|{ROUNDS}"));
}

#[test]
fn a_session_ended_in_mid_decision_is_found_out() {
    const ROUNDS: usize = 10;
    let (room, mut ana) = claimed(ROUNDS);
    // The first try of each decision stands still until it is ended; the next passes.
    meddle(
        &room,
        "TRIGGER meddle BEFORE",
        "",
        "IF nextval('public.calls') % 2 = 1 THEN PERFORM pg_sleep(60); END IF;",
    );
    for k in 0..ROUNDS {
        thread::scope(|scope| {
            let deciding = scope.spawn(|| ana.decide(&asking(&format!("order:{k}"), Verb::Keep)));
            let begun = Instant::now();
            while terminate(&room, "wait_event = 'PgSleep'") == 0 {
                assert!(begun.elapsed() < LIMIT, "it is never seen waiting");
            }
            deciding.join().unwrap().unwrap();
        });
        assert_eq!(state(&ana, &format!("order:{k}")), State::Proven);
    }
    assert_eq!(
        room.sql("SELECT last_value FROM public.calls"),
        (2 * ROUNDS).to_string()
    );
    assert_eq!(written(&room), format!("{ROUNDS}|{ROUNDS}|{ROUNDS}|{ROUNDS}"));
}

/// The server ends it before anybody gives up waiting: there is nothing to find out.
#[test]
fn a_statement_that_takes_too_long_is_ended_and_leaves_nothing() {
    let (room, mut ana) = claimed(1);
    meddle(
        &room,
        "TRIGGER meddle BEFORE",
        "",
        // Longer than a session's statement may take.
        "IF nextval('public.calls') = 1 THEN PERFORM pg_sleep(18); END IF;",
    );
    let asked = asking("order:0", Verb::Keep);
    let error = ana.decide(&asked).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed, "{error}");
    assert!(error.what.contains("took too long"), "{error}");
    assert_eq!(written(&room), "0|0|0|0");
    ana.decide(&asked).unwrap();
    assert_eq!(state(&ana, "order:0"), State::Proven);
    assert_eq!(written(&room), "1|1|1|1");
    ana.verify().unwrap();
}

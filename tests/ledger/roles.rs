//! The database itself enforces who may what: every role against every table, view and function, by raw SQL.

use crate::contract::{Kind, MINUTE, Tap, Verb, asking, claim, order, refused, state, store, trail};
use crate::raw::Raw;
use crate::room::Room;
use restitch::domain::ErrorKind;
use restitch::domain::case::State;

/// Persons, from those who may nothing to those who may most.
const PEOPLE: [&str; 5] = ["nobody", "bo", "pat", "ana", "sam"];

/// What a role may call, beside what the one before may.
const CALLS: [(&str, &[&str]); 4] = [
    ("bo", &["denied", "micros", "refused"]),
    ("pat", &["end_effect", "prove", "start_effect"]),
    (
        "ana",
        &[
            "answer_paper",
            "claim",
            "claim_next",
            "decide",
            "done",
            "first_fact",
            "freeze_bulk",
            "give_back",
            "keep_fact",
            "keep_gate",
            "keep_rejects",
            "look",
            "mark_bulk",
            "note",
            "scan_forget",
            "scan_stage",
            "scan_take_in",
            "set_phase",
            "turn_bulk",
            "undo",
            "unmask",
            "write_paper",
        ],
    ),
    ("sam", &["compare_again", "ignore", "reopen", "set_policy", "takeover"]),
];

fn names(room: &Room, sql: &str) -> Vec<String> {
    let out = room.sql(sql);
    out.lines().map(str::to_owned).collect()
}

fn may_call(person: &str, function: &str) -> bool {
    let rank = |p: &str| PEOPLE.iter().position(|q| *q == p).unwrap();
    CALLS
        .iter()
        .any(|(from, calls)| rank(person) >= rank(from) && calls.contains(&function))
}

#[test]
fn no_role_may_more_or_less_than_it_should() {
    let room = Room::on_time();
    let tables = names(
        &room,
        "SELECT relname FROM pg_class WHERE relnamespace = 'restitch'::regnamespace AND relkind = 'r'",
    );
    let views = names(
        &room,
        "SELECT relname FROM pg_class WHERE relnamespace = 'restitch'::regnamespace AND relkind = 'v'",
    );
    let functions = names(
        &room,
        "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'restitch'::regnamespace",
    );
    assert!(tables.len() > 20 && views.len() > 20 && functions.len() > 60);
    let column = |relation: &str| {
        room.sql(&format!(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'restitch.{relation}'::regclass AND attnum > 0 ORDER BY attnum DESC LIMIT 1"
        ))
    };
    let mut cells = 0;
    for person in PEOPLE {
        let raw = Raw::new(&room, person);
        for (relations, is_view) in [(&tables, false), (&views, true)] {
            for relation in relations {
                let column = column(relation);
                for (verb, sql) in [
                    ("select", format!("SELECT count(*) FROM restitch.{relation}")),
                    ("insert", format!("INSERT INTO restitch.{relation} DEFAULT VALUES")),
                    ("update", format!("UPDATE restitch.{relation} SET {column} = {column}")),
                    ("delete", format!("DELETE FROM restitch.{relation}")),
                    ("truncate", format!("TRUNCATE restitch.{relation}")),
                ] {
                    let may = is_view && verb == "select" && person != "nobody";
                    let answer = raw.sql(&sql);
                    if may {
                        assert!(answer.is_ok(), "{person} must {verb} {relation}: {answer:?}");
                    } else {
                        let code = answer.expect_err(&format!("{person} must not {verb} {relation}")).0;
                        // Into a view that is computed nobody can write, whoever they are: that is said first.
                        let computed = is_view && ["42809", "0A000", "55000"].contains(&code.as_str());
                        assert!(code == "42501" || computed, "{code}: {sql}");
                    }
                    cells += 1;
                }
            }
        }
        for function in &functions {
            let has = room.sql(&format!(
                "SELECT bool_or(has_function_privilege('{person}', oid, 'EXECUTE') AND has_schema_privilege('{person}', 'restitch', 'USAGE'))
                 FROM pg_proc WHERE pronamespace = 'restitch'::regnamespace AND proname = '{function}'"
            ));
            assert_eq!(has == "t", may_call(person, function), "{person}: {function}");
            if functions.contains(&format!("do_{function}")) {
                // What is not forbidden fails for another reason: nothing was asked.
                let call = format!("SELECT restitch.{function}('{{}}', '{{}}')");
                assert_eq!(
                    raw.is_forbidden(&call),
                    !may_call(person, function),
                    "{call} as {person}"
                );
            }
            cells += 1;
        }
        for sql in [
            "ALTER TABLE restitch.kept_audit DISABLE TRIGGER ALL",
            "DROP TABLE restitch.kept_audit",
            "CREATE TABLE restitch.mine (a int)",
            "CREATE FUNCTION restitch.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "SET session_replication_role = replica",
            "SET ROLE restitch_owner",
            "GRANT restitch_lead TO bo",
        ] {
            assert!(raw.is_forbidden(sql), "{person}: {sql}");
            cells += 1;
        }
    }
    assert!(cells > 1_000, "{cells} cells");
}

#[test]
fn no_function_that_runs_as_its_owner_can_be_led_astray() {
    let room = Room::on_time();
    let unpinned = room.sql(
        "SELECT count(*) FROM pg_proc WHERE pronamespace = 'restitch'::regnamespace AND prosecdef
           AND (proconfig IS NULL OR NOT 'search_path=restitch, pg_temp' = ANY (proconfig))",
    );
    assert_eq!(unpinned, "0");
    let definers = room.sql("SELECT count(*) FROM pg_proc WHERE pronamespace = 'restitch'::regnamespace AND prosecdef");
    assert!(definers.parse::<u32>().unwrap() >= 20);
    let public = room.sql(
        "SELECT (SELECT count(*) FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
                 WHERE p.pronamespace = 'restitch'::regnamespace AND x.grantee = 0)
              + (SELECT count(*) FROM pg_class c, aclexplode(c.relacl) x
                 WHERE c.relnamespace = 'restitch'::regnamespace AND x.grantee = 0)",
    );
    assert_eq!(public, "0");
    let owners = room.sql(
        "SELECT string_agg(DISTINCT pg_get_userbyid(o), ' ') FROM (
             SELECT proowner o FROM pg_proc WHERE pronamespace = 'restitch'::regnamespace UNION
             SELECT relowner FROM pg_class WHERE relnamespace = 'restitch'::regnamespace) t",
    );
    assert_eq!(owners, "restitch_owner");
}

#[test]
fn tables_of_ones_own_shadow_nothing() {
    let room = Room::on_time();
    let mut sam = room.open("sam");
    store(&mut sam, vec![order("1", &[Kind::Lost])]);
    let raw = Raw::new(&room, "ana");
    // What the functions name without a schema, and functions they call.
    raw.sql(
        "CREATE TEMP TABLE kept_cases (no bigint, incident bigint, id text); CREATE TEMP TABLE kept_claims (no bigint);
         CREATE TEMP TABLE kept_audit (incident bigint); CREATE TEMP TABLE kept_heads (incident bigint);
         CREATE FUNCTION pg_temp.is_operator() RETURNS boolean LANGUAGE sql AS 'SELECT true';
         CREATE FUNCTION pg_temp.require_role(a restitch.act, role text, purpose text) RETURNS void LANGUAGE sql AS 'SELECT';
         SET search_path = pg_temp, restitch",
    )
    .unwrap();
    let origin = r#"{"incident": "2026-11-22-prod", "attempt": 1, "system_user": "ana", "deed": {"action": "claim"}}"#;
    let args = r#"{"cases": ["order:1"], "lease": 60000000}"#;
    let answer = raw
        .sql(&format!("SELECT restitch.claim('{origin}', '{args}')"))
        .unwrap();
    assert!(answer[0].contains("\"ok\""), "{answer:?}");
    assert_eq!(sam.case("order:1").unwrap().unwrap().claim.unwrap().by, "ana");
    assert_eq!(raw.sql("SELECT count(*) FROM pg_temp.kept_claims").unwrap(), ["0"]);
    assert_eq!(sam.verify().unwrap(), 2);
}

#[test]
fn nobody_writes_a_line_of_the_trail_for_somebody_else() {
    let room = Room::on_time();
    let mut ledger = room.open("ana");
    store(&mut ledger, vec![order("1", &[Kind::Lost])]);
    let raw = Raw::new(&room, "li");
    assert!(raw.is_forbidden("INSERT INTO restitch.audit SELECT incident, 2, at, 'ana', system_user, ssh, 'decide', 'order:1', 'keep', 'k', 'ok', 'forged', 'x' FROM restitch.audit"));
    assert!(raw.is_forbidden("SELECT restitch.audit(ROW(1, '2026-11-22-prod', 1, NULL, 'ana', 'ana', NULL, 1)::restitch.act, 'decide', 'order:1', 'keep', 'k', 'ok', 'forged')"));
    // Whatever a client says of itself, who acts is the login.
    let origin = r#"{"incident": "2026-11-22-prod", "attempt": 1, "who": "ana", "user": "ana", "system_user": "ana"}"#;
    let note = r#"{"case": "order:1", "text": "forged", "who": "ana"}"#;
    raw.sql(&format!("SELECT restitch.note('{origin}', '{note}')")).unwrap();
    assert_eq!(trail(&ledger).pop().unwrap().who, "li");
    ledger.verify().unwrap();
}

#[test]
fn a_role_taken_away_counts_at_the_next_key_press() {
    let room = Room::on_time();
    let server = crate::room::server();
    server.psql("postgres", "CREATE ROLE temp LOGIN");
    let mut lead = room.open("sam");
    store(
        &mut lead,
        (0..50).map(|k| order(&k.to_string(), &[Kind::Lost])).collect(),
    );
    let mut decided = 0;
    for k in 0..50 {
        server.psql("postgres", "GRANT restitch_operator TO temp");
        let id = format!("order:{k}");
        let mut temp = room.open("temp");
        claim(&mut temp, &[&id]);
        let before = trail(&lead).len();
        server.psql(
            "postgres",
            "REVOKE restitch_operator FROM temp; GRANT restitch_viewer TO temp",
        );
        let refusal = temp.decide(&asking(&id, Verb::Keep)).unwrap_err();
        assert_eq!(refusal.kind, ErrorKind::Refused, "{refusal}");
        decided += usize::from(state(&lead, &id) != State::Open);
        let line = trail(&lead).pop().unwrap();
        assert_eq!((line.who.as_str(), line.action.as_str()), ("temp", "refuse"));
        assert_eq!(trail(&lead).len(), before + 1, "one line a refusal");
    }
    assert_eq!(decided, 0);
}

#[test]
fn who_has_no_role_is_told_so() {
    let room = Room::on_time();
    let error = room.try_open("nobody", false).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.cure.unwrap().contains("GRANT restitch_operator TO \"nobody\""));
}

#[test]
fn a_takeover_is_told_to_who_lost_the_case() {
    let room = Room::new();
    let (mut ana, mut sam) = (room.open("ana"), room.open("sam"));
    store(&mut ana, vec![order("1", &[Kind::Lost])]);
    claim(&mut ana, &["order:1"]);
    let fence = ana.case("order:1").unwrap().unwrap().claim.unwrap().fence;
    assert!(refused(room.open("li").take_over("order:1", "mine", MINUTE)).contains("takes one to take a case over"));
    let claim = sam.take_over("order:1", "ana went home", MINUTE).unwrap();
    assert_eq!((claim.by.as_str(), claim.fence), ("sam", fence + 1));
    let why = refused(ana.claim(&["order:1".to_owned()], MINUTE));
    assert_eq!(
        why,
        "sam took order:1 over from you at 2026-11-22T14:05:00Z: ana went home"
    );
    let late = asking("order:1", Verb::Keep).tap(|d| d.fence = Some(fence));
    assert!(refused(ana.decide(&late)).contains("sam holds order:1"));
    let lines = trail(&sam);
    let line = lines.iter().find(|l| l.action == "takeover").unwrap();
    assert_eq!(line.why.as_deref(), Some("from ana: ana went home"));
}

//! Order data that attacks: NULs, escape sequences, bidi controls, values of 10,000 characters. Every command shows
//! them, none obeys them.

use crate::night::Night;
use rusqlite::Connection;
use std::process::Command;

/// Clears a screen, sets a title, writes a clipboard, turns text round, hides, breaks lines, rings.
const ATTACK: &str =
    "A\x1b[2J\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x07\u{202e}\u{2066}\u{200b}\u{9b}31m\r\n\t\x08\u{feff}Z";

fn bad(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[track_caller]
fn harmless(night: &Night, args: &[&str]) -> String {
    let output = night.command(args).output().unwrap();
    for (where_, text) in [("stdout", output.stdout), ("stderr", output.stderr.clone())] {
        let text = String::from_utf8(text).unwrap();
        let plain = text.replace('\t', if args.contains(&"--plain") { " " } else { "\t" });
        assert!(!plain.contains(bad), "{args:?} {where_}: {text:?}");
    }
    String::from_utf8(output.stderr).unwrap()
}

/// An incident with the attack in every value of the database, the log, and what people write.
fn attacked() -> Night {
    let night = Night::new();
    let db = Connection::open(night.path("restored.db")).unwrap();
    for table in ["orders", "plans", "inventory_items"] {
        let column = if table == "plans" { "state" } else { "status" };
        let sql = format!("update {table} set {column} = ?1 where {column} <> 'Running'");
        db.execute(&sql, [ATTACK]).unwrap();
    }
    db.execute("update orders set external_id = ?1 || id", [ATTACK])
        .unwrap();
    let json = serde_json::to_string(ATTACK).unwrap();
    let long = "x".repeat(10_000);
    let nul = "\\u0000";
    let events = [
        format!(
            r#"{{"pos":1,"ts":"2026-11-22T14:07:00Z","entity":"order","key":2,"op":"upsert","state":{{"status":"{nul}","qty":7}}}}"#
        ),
        format!(
            r#"{{"pos":2,"ts":"2026-11-22T14:07:00Z","entity":"order","key":3,"op":"insert","state":{{"status":{json},"external_id":{json},"prior_order_id":99}}}}"#
        ),
        format!(
            r#"{{"pos":3,"ts":"2026-11-22T14:07:00Z","entity":"order","key":1,"op":"upsert","state":{{"status":"{long}"}}}}"#
        ),
        format!(
            r#"{{"pos":4,"ts":"2026-11-22T14:07:00Z","entity":"order","key":4,"op":"upsert","state":{{{json}:1}}}}"#
        ),
        format!(r#"{{"pos":5,"ts":"2026-11-22T14:07:00Z","entity":{json},"key":4,"op":"upsert","state":{{}}}}"#),
        format!(r#"{{"pos":6,"ts":"2026-11-22T14:07:00Z","entity":"order","key":{json},"op":"upsert","state":{{}}}}"#),
        ATTACK.to_owned(),
    ];
    night.write("log.ndjson", events.join("\n"));
    let config = crate::night::CONFIG.replace(
        "refs = { prior_order_id = \"order\" }",
        "show = [\"status\", \"qty\"]\nrank = \"status\"\nrefs = { prior_order_id = \"order\" }",
    );
    night.write("restitch.toml", format!("{config}\n[scan]\nreject_limit = \"90%\"\n"));
    night
}

#[test]
fn no_command_prints_what_could_act_on_a_terminal() {
    let night = attacked();
    harmless(&night, &["scan"]);
    assert_eq!(
        night.run(&["scan", "--json"]).ended(3).json()["log"]["rejected"],
        4,
        "no PostgreSQL text holds a NUL; a key that is no number; two lines of nonsense"
    );
    night.run(&["claim", "order:2", "order:1"]).ended(0);
    let decided = ["resolve", "order:2", "reapply", "--reason", ATTACK];
    for args in [
        &["note", "order:2", ATTACK][..],
        &["note", "order:2", ATTACK, "--json"],
        &["resolve", "order:2", "reapply", "--reason", ATTACK, "--dry-run"],
        &[
            "resolve",
            "order:2",
            "reapply",
            "--reason",
            ATTACK,
            "--dry-run",
            "--json",
        ],
        &["resolve", "order:1", "escalate", "--reason", ATTACK, "--to", ATTACK],
        &["resolve", ATTACK, "keep", "--reason", "x"],
        &decided,
        &["done", "order:2", "--evidence", ATTACK],
        &["prove"],
        &["prove", "--json"],
        &["cases"],
        &["cases", "--json"],
        &["cases", "--plain"],
        &["cases", "--order", ATTACK],
        &["cases", "--state", ATTACK],
        &["show", "order:1"],
        &["show", "order:2"],
        &["show", "order:2", "--json"],
        &["show", "order:3"],
        &["show", "order:3", "--json"],
        &["show", ATTACK],
        &["claim", ATTACK],
        &["claim", "order:3", "--for", ATTACK],
        &["undo", "order:2", "--reason", ATTACK],
        &["phase", "gate", "done", "--reason", ATTACK],
        &["phase", ATTACK, "done", "--reason", ATTACK],
        &["audit", "list"],
        &["audit", "list", "--json"],
        &["audit", "list", "--plain"],
        &["doctor"],
        &["scan", "--config", ATTACK],
        &["scan", "--ledger", ATTACK],
        &["scan", "--incident", ATTACK],
        &[ATTACK],
        &["scan", "--plain"],
    ] {
        harmless(&night, args);
    }
    // What was written is kept to the letter, and the trail is whole.
    let trail = night.run(&["audit", "list", "--json"]).lines();
    assert!(trail.iter().any(|l| l["why"] == ATTACK), "{trail:#?}");
    night.run(&["audit", "verify"]).ended(0);
}

#[test]
fn values_are_kept_to_the_letter_in_json() {
    let night = attacked();
    night.run(&["scan"]).ended(3);
    let cases = night.run(&["cases", "--json"]).lines();
    let case = |id: &str| cases.iter().find(|c| c["case"] == id).unwrap();
    let field = |id: &str| case(id)["findings"][0]["fields"][0].clone();
    assert_eq!(field("order:1")["log"], "x".repeat(10_000));
    assert_eq!(field("order:1")["restored"], ATTACK);
    assert_eq!(case("order:3")["label"], ATTACK);
}

#[test]
fn configuration_texts_cannot_act_either() {
    let night = attacked();
    let json = serde_json::to_string(ATTACK).unwrap();
    for (old, new) in [
        ("table = \"orders\"", format!("table = {json}")),
        ("identity = [\"external_id\"]", format!("identity = [{json}]")),
        ("name = \"cdc\"", format!("name = {json}")),
        ("id = \"night\"", format!("id = {json}")),
        ("path = \"log.ndjson\"", format!("path = {json}")),
        ("format = \"native\"", format!("format = {json}")),
        ("label = \"external_id\"", format!("{json} = \"external_id\"")),
        (
            "owner = \"order_id\"\nrefs",
            format!("owner = {{ order_id = {json} }}\nrefs"),
        ),
    ] {
        night.configure(old, &new);
        let said = harmless(&night, &["scan"]);
        assert!(!said.is_empty(), "{new}");
        harmless(&night, &["doctor"]);
    }
}

#[test]
fn without_a_terminal_the_console_says_what_to_use_instead() {
    let night = Night::scanned();
    for args in [&[][..], &["console"], &["console", "--no-input"]] {
        night.run(args).ended(2).says(&["terminal", "do:", "cases"]);
    }
    // No variables at all, as from cron.
    let output = Command::new(env!("CARGO_BIN_EXE_restitch"))
        .env_clear()
        .current_dir(night.path(""))
        .args(["cases", "--json"])
        .output()
        .unwrap();
    assert_eq!(Night::finish(output).ended(0).lines().len(), 5);
}

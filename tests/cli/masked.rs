//! Personal data: masked in everything that commands print, unless somebody says why they must see it.

use crate::night::{CONFIG, LOG, Night};
use serde_json::json;
use std::fs;

/// Values that may be seen nowhere.
const PII: [&str; 4] = ["PII-restored", "PII-log", "PII-lost", "PII-key"];

/// A night with personal data in a masked column, in a masked reference, in an event that is none, and in text.
fn night() -> Night {
    let night = Night::new();
    let config = CONFIG
        .replace(
            "state = \"status\"\nrefs = { prior_order_id = \"order\" }",
            "state = \"status\"\nrank = \"msisdn\"\nshow = [\"msisdn\", \"qty\"]\nmask = [\"msisdn\", \"contact_ref\"]\n\
             refs = { prior_order_id = \"order\", contact_ref = \"contact.email\" }",
        )
        .replace("[incident]", "[scan]\nreject_limit = \"50%\"\n\n[incident]")
        + "[schema.contact]\ntable = \"contacts\"\nkey = \"id\"\nmask = [\"email\"]\n";
    night.write("restitch.toml", config);
    night.sql(
        "alter table orders add column msisdn text; alter table orders add column contact_ref text;
         create table contacts (id bigint primary key, email text);
         update orders set msisdn = 'PII-restored'",
    );
    let mut log = LOG
        .replace(r#""qty":7"#, r#""qty":7,"msisdn":"PII-log","contact_ref":"PII-key""#)
        .replace(r#""qty":3"#, r#""qty":3,"msisdn":"PII-lost""#);
    log += "{\"pos\":9,\"ts\":\"2026-11-22T14:12:00Z\",\"entity\":\"order\",\"key\":2,\"op\":\"upsert\",\"state\":\"{msisdn:PII-log}\"}\n";
    log += "{\"pos\":10,\"ts\":\"2026-11-22T14:12:00Z\",\"entity\":\"order\",\"key\":2,\"msisdn\":\"PII-log\n";
    night.write("log.ndjson", log);
    night.run(&["scan"]).ended(3);
    night
}

#[test]
fn no_command_prints_a_masked_value() {
    let night = night();
    // It is there to be found: the ledger needs it for a decision.
    let seen = night
        .run(&["show", "order:2", "--unmask", "msisdn", "--reason", "a test"])
        .ended(0);
    assert!(
        seen.out.contains("PII-log") && seen.out.contains("PII-restored"),
        "{}",
        seen.out
    );
    night.run(&["claim", "order:2"]).ended(0);
    night.run(&["claim", "order:3"]).ended(0);
    let commands: &[&[&str]] = &[
        &["scan"],
        &["scan", "--json", "-v", "-v"],
        &["cases"],
        &["cases", "--plain"],
        &["cases", "--json"],
        &["show", "order:2"],
        &["show", "order:2", "--json"],
        &["show", "order:3", "--json"],
        &["show", "order:3"],
        &["resolve", "order:2", "reapply", "--reason", "x", "--dry-run"],
        &["resolve", "order:2", "reapply", "--reason", "x", "--json"],
        &["resolve", "order:3", "reapply", "--reason", "x"],
        &["done", "order:2", "--evidence", "x"],
        &["prove", "--json"],
        &["prove"],
        &["audit", "list", "--json"],
        &["audit", "list"],
        &["preview", "--json"],
        &["gate", "--json"],
        &["doctor"],
        &["report"],
        &["report", "--json"],
        &["report", "--format", "html"],
        &["report", "--format", "csv"],
        &["report", "--brief"],
    ];
    for args in commands {
        let ran = night.run(args);
        assert!([0, 3, 4].contains(&ran.code), "{args:?}: {}", ran.err);
        for pii in PII {
            assert!(!ran.out.contains(pii), "{args:?} prints {pii}: {}", ran.out);
            assert!(!ran.err.contains(pii), "{args:?} says {pii}: {}", ran.err);
        }
    }
    assert!(night.run(&["show", "order:2", "--json"]).out.contains("****"));
    // Nor is it kept where nobody needs it: of a rejected line nobody can tell what is personal.
    let db = rusqlite::Connection::open(night.path("restitch.db")).unwrap();
    let rejects: Vec<String> = db
        .prepare("select reason || excerpt from rejects")
        .unwrap()
        .query_map([], |r| r.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(rejects.len(), 2, "{rejects:?}");
    for reject in rejects {
        assert!(!reject.contains("PII"), "{reject}");
    }
}

#[test]
fn too_many_rejects_name_no_value_either() {
    let night = night();
    let config = fs::read_to_string(night.path("restitch.toml")).unwrap();
    night.write("restitch.toml", config.replace("\"50%\"", "\"1%\""));
    let ran = night.run(&["scan"]).ended(1).says(&["malformed"]);
    assert!(!ran.err.contains("PII"), "{}", ran.err);
}

#[test]
fn unmasking_takes_a_reason_and_leaves_a_line_each() {
    let night = night();
    let unmasks = || {
        let lines = night.run(&["audit", "list", "--json"]).lines();
        lines
            .into_iter()
            .filter(|l| l["action"] == "unmask")
            .collect::<Vec<_>>()
    };
    night
        .run(&["show", "order:2", "--unmask", "msisdn"])
        .ended(2)
        .says(&["--reason"]);
    night
        .run(&["show", "order:2", "--unmask", "qty", "--reason", "x"])
        .ended(2)
        .says(&["masked are", "order.msisdn"]);
    night
        .run(&["--readonly", "show", "order:2", "--unmask", "msisdn", "--reason", "x"])
        .ended(4);
    assert_eq!(unmasks().len(), 0);
    let shown = night
        .run(&[
            "show",
            "order:2",
            "--json",
            "--unmask",
            "order.msisdn",
            "--reason",
            "customer calls",
        ])
        .ended(0);
    assert!(
        shown.out.contains("PII-log") && !shown.out.contains("PII-key"),
        "{}",
        shown.out
    );
    let lines = unmasks();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&lines[0]["case"], &lines[0]["why"]),
        (&json!("order:2"), &json!("order.msisdn: customer calls"))
    );
    assert_eq!(unmasks().len(), 1);
    let config = fs::read_to_string(night.path("restitch.toml")).unwrap();
    night.write(
        "restitch.toml",
        format!("[roles]\nlead = [\"somebody-else\"]\n{config}"),
    );
    let refused = night
        .run(&["show", "order:2", "--unmask", "msisdn", "--reason", "x"])
        .ended(4);
    assert!(!refused.out.contains("PII"));
    assert_eq!(unmasks().len(), 1);
}

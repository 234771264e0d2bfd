use crate::night::{Night, Ran, keys};
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

/// A night on which something was decided, and something refused.
fn worked() -> Night {
    let night = Night::new();
    night.configure(
        "state = \"status\"\nrefs",
        "state = \"status\"\nshow = [\"external_id\", \"qty\"]\nmask = [\"qty\"]\nrefs",
    );
    night.run(&["scan"]).ended(3);
    night.run(&["claim", "order:4"]).ended(0);
    night
        .run(&["resolve", "order:4", "keep", "--reason", "it may stay"])
        .ended(0);
    night.run(&["claim", "order:2"]).ended(0);
    night
        .run(&["resolve", "order:2", "reapply", "--reason", "billing confirms"])
        .ended(0);
    night
        .run(&["resolve", "order:3", "keep", "--reason", "not mine"])
        .ended(4);
    night
}

fn report(night: &Night, args: &[&str]) -> Ran {
    let mut all = vec!["report"];
    all.extend(args);
    night.run(&all).ended(0)
}

#[test]
fn json_tells_everything_under_its_documented_keys() {
    let night = worked();
    let told = report(&night, &["--format", "json"]).json();
    assert_eq!(
        told,
        report(&night, &["--json"])
            .json()
            .as_object()
            .map(|o| {
                let mut o = o.clone();
                o.insert("made_at".to_owned(), told["made_at"].clone());
                Json::Object(o)
            })
            .unwrap()
    );
    assert_eq!(
        keys(&told),
        [
            "incident",
            "attempt",
            "restored_to",
            "stopped_at",
            "made_at",
            "made_by",
            "version",
            "bad",
            "gate",
            "phases",
            "scanned_at",
            "scan",
            "rejected_kept",
            "preview",
            "preview_unknown",
            "found",
            "figures",
            "accounts",
            "audit",
            "cases",
            "deeds",
            "effects",
            "bulks",
            "papers",
            "queries"
        ]
    );
    // Order 1 stands restored as the log has it, but the log does not show how it stood at T, and foretells a change.
    for kind in ["lost", "undeleted", "orphaned"] {
        assert_eq!(told["preview"][kind], told["found"][kind], "{kind}");
    }
    assert_eq!(
        (&told["preview"]["orders"], &told["found"]["orders"]),
        (&json!(5), &json!(4))
    );
    assert_eq!(told["figures"]["total"], 5);
    assert_eq!(told["figures"]["states"]["proven"], 1);
    assert_eq!(told["audit"]["whole"], true);
    let decided: Vec<&Json> = told["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| !c["decision"].is_null())
        .collect();
    assert_eq!(decided.len(), 2);
    for case in decided {
        assert!(!case["decision"]["reason"].as_str().unwrap().is_empty());
        assert!(case["decision"]["at"].as_str().unwrap().ends_with('Z'));
        assert!(!case["queries"].as_array().unwrap().is_empty());
    }
    let refused = told["deeds"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|d| d["outcome"] == "refused")
        .count();
    assert_eq!(refused, 1);
}

#[test]
fn every_statement_shows_what_it_says() {
    let night = worked();
    let told = report(&night, &["--json"]).json();
    let restored = Connection::open(night.path("restored.db")).unwrap();
    let mut kinds = Vec::new();
    let of_cases = told["cases"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|c| c["queries"].as_array().unwrap());
    for query in told["queries"].as_array().unwrap().iter().chain(of_cases) {
        let sql = query["sql"].as_str().unwrap();
        let mut statement = restored.prepare(sql).unwrap();
        assert!(statement.readonly(), "{sql}");
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        assert!(!columns.contains(&"qty".to_owned()), "{sql} names a masked column");
        let rows = statement.query_map([], |_| Ok(())).unwrap().count();
        let shows = query["shows"].as_str().unwrap();
        let wanted = match shows.split(' ').next().unwrap() {
            "no" => 0,
            "one" => 1,
            n => n.parse().unwrap(),
        };
        assert_eq!(rows, wanted, "{sql}: {shows}");
        kinds.push(query["kind"].as_str().unwrap().to_owned());
    }
    for kind in ["lost", "regressed", "undeleted", "in_doubt", "orphaned"] {
        assert!(kinds.iter().any(|k| k == kind), "{kind} has no statement: {kinds:?}");
    }
}

#[test]
fn brief_is_five_lines_and_csv_one_a_case() {
    let night = worked();
    let brief = report(&night, &["--brief"]).out;
    assert_eq!(brief.lines().count(), 5, "{brief}");
    assert!(brief.contains("1 proven") && brief.contains("1 to do"), "{brief}");
    let brief = report(&night, &["--brief", "--json"]).json();
    assert_eq!(brief["brief"].as_array().unwrap().len(), 5);
    let csv = report(&night, &["--format", "csv"]).out;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let heads = reader.headers().unwrap().clone();
    assert_eq!(&heads[0], "case");
    assert!(heads.iter().any(|h| h == "show external_id"));
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), 5);
    let at = |name: &str| heads.iter().position(|h| h == name).unwrap();
    let kept = rows.iter().find(|r| &r[0] == "order:4").unwrap();
    assert_eq!((&kept[at("verb")], &kept[at("reason")]), ("keep", "it may stay"));
    assert!(rows.iter().all(|r| matches!(&r[at("show qty")], "****" | "")));
}

#[test]
fn a_file_is_private_whole_and_no_link_is_followed() {
    let night = worked();
    night.write("precious", "precious");
    symlink(night.path("precious"), night.path("report.html")).unwrap();
    report(&night, &["--format", "html", "--out", "report.html"]);
    assert_eq!(fs::read_to_string(night.path("precious")).unwrap(), "precious");
    let meta = fs::symlink_metadata(night.path("report.html")).unwrap();
    assert!(meta.is_file());
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    let html = fs::read_to_string(night.path("report.html")).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.trim_end().ends_with("</html>"));
    let left: Vec<_> = fs::read_dir(night.path("."))
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with(".report"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    night
        .run(&["report", "--out", "nowhere/report.md"])
        .ended(1)
        .says(&["cannot write the file", "nowhere/report.md"]);
    night.run(&["report", "--format", "csv", "--json"]).ended(2);
    night.run(&["report", "--format", "csv", "--brief"]).ended(2);
}

#[test]
fn without_a_scan_it_says_so() {
    let night = Night::new();
    night.run(&["report"]).ended(1).says(&["there is no ledger yet"]);
    night.run(&["phase", "org-told", "done", "--reason", "mail"]).ended(0);
    let md = report(&night, &[]).out;
    assert!(md.contains("Nothing was scanned yet."), "{md}");
    fs::remove_file(night.path("log.ndjson")).unwrap();
    let told = report(&night, &["--json"]).json();
    assert_eq!(told["preview"], json!(null));
    assert!(told["preview_unknown"].as_str().is_some_and(|why| !why.is_empty()));
}

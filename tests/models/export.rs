//! What `audit list --json` prints is the trail, whole: from it alone every line and the chain of their hashes can be made
//! again.

use crate::support::dice::Dice;
use restitch::config::{Config, DbUrl};
use restitch::domain::{queue::AuditLine, time};
use restitch::ledger::{Ledger, Who};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

const LINES: usize = 10_000;

/// A text that wants to be more than a text.
fn text(dice: &mut Dice) -> String {
    const LETTERS: [char; 12] = [
        'a',
        'b',
        ' ',
        '"',
        '\\',
        '\'',
        '\n',
        '\r',
        '\u{1b}',
        '\u{202e}',
        '\u{2028}',
        '\u{10ffff}',
    ];
    (0..=dice.roll(30)).map(|_| dice.pick(&LETTERS)).collect::<String>() + "x"
}

/// The hash of a printed line, as the contract says it is made.
fn sealed(incident: &str, before: &str, line: &Json) -> String {
    let at = time::parse(line["at"].as_str().unwrap()).unwrap();
    let bytes = json!([
        [incident, line["seq"], at],
        [line["who"], line["system_user"], line["ssh"]],
        [line["action"], line["case"], line["verb"], line["key"]],
        [line["outcome"], line["why"]],
    ]);
    let hash = Sha256::digest(format!("{before}\n{bytes}"));
    hash.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

#[test]
fn ten_thousand_exported_lines_make_the_same_chain_again() {
    let folder = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let mut config = Config::default();
    "night-1".clone_into(&mut config.incident.id);
    config.ledger.database.url = DbUrl::Sqlite(folder.path().join("restitch.db"));
    let who = Who {
        user: "ana".to_owned(),
        system_user: "root".to_owned(),
        ssh: Some("10.0.0.7 51514".to_owned()),
    };
    let mut ledger = Ledger::open_as(&config, false, who).unwrap();
    let mut dice = Dice::new(20_261_128);
    for _ in 0..LINES {
        // Nobody knows such a case: each of these is refused, and written down.
        let refused = restitch::domain::Error::refused(text(&mut dice));
        let decide = restitch::domain::queue::Decide {
            case: text(&mut dice),
            key: text(&mut dice),
            verb: None,
            reason: String::new(),
            reference: None,
            to: None,
            evidence: None,
            until: None,
            confirm: None,
            fence: None,
            seen: None,
        };
        ledger.refuse_decision(&decide, refused);
    }
    let mut printed = String::new();
    let mut print = |line: AuditLine| {
        writeln!(printed, "{}", serde_json::to_string(&line).unwrap()).unwrap();
    };
    ledger
        .audit(&mut |line| {
            print(line);
            Ok(())
        })
        .unwrap();
    assert_eq!(ledger.verify().unwrap(), LINES as u64);
    drop(ledger);

    let mut before = String::new();
    let mut seen = 0;
    for (n, line) in (1_u64..).zip(printed.lines()) {
        let line: Json = serde_json::from_str(line).unwrap();
        assert_eq!(line["seq"], n);
        assert_eq!(line["hash"], sealed("night-1", &before, &line), "line {n}: {line}");
        line["hash"].as_str().unwrap().clone_into(&mut before);
        seen += 1;
    }
    assert_eq!(seen, LINES);
    let file = rusqlite::Connection::open(folder.path().join("restitch.db")).unwrap();
    let head: String = file.query_row("SELECT hash FROM heads", [], |row| row.get(0)).unwrap();
    assert_eq!(before, head, "nothing is missing at the end");
}

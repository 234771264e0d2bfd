//! What holds for every log.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const COLUMNS: [&str; 3] = ["status", "amount", "note"];

/// An event of one of few keys: what it does and, for some columns, which of few values.
#[derive(Debug, Clone)]
struct Made {
    key: u8,
    delete: bool,
    version: i64,
    values: [Option<u8>; 3],
}

fn made() -> impl Strategy<Value = Made> {
    let value = prop::option::of(0..3_u8);
    (
        0..4_u8,
        prop::bool::weighted(0.25),
        0..6_i64,
        [value.clone(), value.clone(), value],
    )
        .prop_map(|(key, delete, version, values)| Made {
            key,
            delete,
            version,
            values,
        })
}

fn line(at: usize, made: &Made, versions: bool) -> String {
    let mut state = String::new();
    for (name, value) in COLUMNS.iter().zip(made.values) {
        if let Some(value) = value {
            write!(
                state,
                "{}\"{name}\":\"{value}\"",
                if state.is_empty() { "" } else { "," }
            )
            .unwrap();
        }
    }
    let op = if made.delete { "delete" } else { "upsert" };
    let version = if versions {
        format!(r#""version":{},"#, made.version)
    } else {
        String::new()
    };
    format!(
        r#"{{"pos":{at},"entity":"order","key":{},"op":"{op}",{version}"state":{{{state}}}}}"#,
        made.key
    )
}

/// The newest value of each column with its position, and the delete, if that came last.
type Applied = (BTreeMap<&'static str, (u8, usize)>, Option<usize>);

/// The rows as if the events had been applied one after the other: the contract's own words.
fn applied(events: &[(usize, Made)]) -> BTreeMap<u8, Applied> {
    let mut rows: BTreeMap<u8, Applied> = BTreeMap::new();
    for (at, made) in events {
        let (fields, deleted) = rows.entry(made.key).or_default();
        if !made.delete && deleted.is_some() {
            fields.clear();
        }
        for (name, value) in COLUMNS.iter().zip(made.values) {
            if let Some(value) = value {
                fields.insert(name, (value, *at));
            }
        }
        *deleted = made.delete.then_some(*at);
    }
    rows
}

fn shown(folded: &Folded) -> Vec<String> {
    (0..4).map(|key| show(folded, 0, &key.to_string())).collect()
}

/// The same lines in several files, in this order.
fn in_files(format: FormatKind, lines: &[String], files: usize) -> Folded {
    let mut logs = Logs::new().with("cdc", format, b"");
    std::fs::remove_file(logs.path().join("cdc.ndjson")).unwrap();
    for (n, part) in lines.chunks(lines.len().div_ceil(files)).enumerate() {
        std::fs::write(logs.path().join(format!("{n}.log")), part.join("\n")).unwrap();
    }
    logs.configs[0].path = Some(logs.path().join("*.log").display().to_string());
    logs.read()
}

fn shuffled(lines: &[String], order: u64) -> Vec<String> {
    let mut lines = lines.to_vec();
    let mut seed = order | 1;
    for at in (1..lines.len()).rev() {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        lines.swap(at, usize::try_from(seed >> 33).unwrap() % (at + 1));
    }
    lines
}

/// What a table goes through, and what wal2json says of it: rows come, change in part, move to another key, go.
fn table(steps: &[(u8, u8, u8)], reuse: bool) -> (Vec<String>, BTreeMap<u8, BTreeMap<&'static str, usize>>) {
    let mut rows: BTreeMap<u8, BTreeMap<&'static str, usize>> = BTreeMap::new();
    let mut lines = Vec::new();
    let mut left = BTreeSet::new();
    for (at, (key, to, what)) in steps.iter().enumerate() {
        if !reuse && (left.contains(key) || left.contains(to)) {
            continue;
        }
        let columns: Vec<&str> = COLUMNS
            .into_iter()
            .enumerate()
            .filter(|(n, _)| what >> n & 1 == 1)
            .map(|(_, c)| c)
            .collect();
        let action = match rows.get(key) {
            None => "I",
            Some(_) if what >> 3 == 0 => "D",
            Some(_) => "U",
        };
        let new = if action == "U" && what >> 3 == 1 && !rows.contains_key(to) {
            to
        } else {
            key
        };
        let columns = if action == "I" { COLUMNS.to_vec() } else { columns };
        let value = |name: &&str| format!(r#",{{"name":"{name}","type":"text","value":"{at}"}}"#);
        let values: String = columns.iter().map(value).collect();
        lines.push(format!(
            r#"{{"action":"{action}","lsn":"0/{:X}","schema":"om","table":"orders","columns":[{{"name":"id","type":"bigint","value":{new}}}{values}],"identity":[{{"name":"id","type":"bigint","value":{key}}}]}}"#,
            at + 1
        ));
        let mut row = rows.remove(key).unwrap_or_default();
        if action != "D" {
            row.extend(columns.into_iter().map(|name| (name, at)));
            rows.insert(*new, row);
        }
        if new != key {
            left.insert(*key);
        }
    }
    (lines, rows)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn folding_is_applying_in_order_however_the_log_is_split_and_shuffled(
        events in prop::collection::vec(made(), 1..40),
        order in any::<u64>(),
        files in 1..4_usize,
        versions in any::<bool>(),
    ) {
        let lines: Vec<String> = events.iter().enumerate().map(|(at, made)| line(at, made, versions)).collect();
        let shuffled = shuffled(&lines, order);
        let one = in_files(FormatKind::Native, &lines, 1);
        prop_assert_eq!(shown(&one), shown(&in_files(FormatKind::Native, &lines, files)));
        prop_assert_eq!(shown(&one), shown(&in_files(FormatKind::Native, &shuffled, files)));
        let mut ordered: Vec<(usize, Made)> = events.into_iter().enumerate().collect();
        if versions {
            ordered.sort_by_key(|(at, made)| (made.version, *at));
        }
        let expected = applied(&ordered);
        for (key, (fields, deleted)) in &expected {
            let row = one.get(0, &key.to_string()).unwrap();
            let position = |event| one.evidence(event).position;
            let got: BTreeMap<String, (String, String)> = row
                .fields()
                .map(|(column, value, by)| {
                    let name = COLUMNS[usize::from(column) - 1].to_owned();
                    (name, (value.text.into_owned(), position(by)))
                })
                .collect();
            let expected: BTreeMap<String, (String, String)> = fields
                .iter()
                .map(|(name, (value, at))| ((*name).to_owned(), (value.to_string(), at.to_string())))
                .collect();
            prop_assert_eq!(got, expected);
            prop_assert_eq!(row.deleted_by().map(position), deleted.map(|at| at.to_string()));
        }
        prop_assert_eq!(one.len(0), expected.len());
    }

    #[test]
    fn moved_rows_keep_what_their_moves_omit(
        steps in prop::collection::vec((0..6_u8, 0..6_u8, 0..32_u8), 1..24),
        order in any::<u64>(),
        files in 1..3_usize,
    ) {
        let (in_order, all_rows) = table(&steps, true);
        let (lines, rows) = table(&steps, false);
        prop_assume!(!lines.is_empty());
        for (lines, rows, files) in [(in_order, &all_rows, 1), (shuffled(&lines, order), &rows, files)] {
            let folded = in_files(FormatKind::Wal2json, &lines, files);
            for key in 0..6_u8 {
                let row = folded.get(0, &key.to_string()).filter(|row| row.exists());
                let got = row.map(|row| {
                    let field = |(column, value): (u16, String)| (COLUMNS[usize::from(column) - 1], value.parse().unwrap());
                    row.fields().map(|(c, v, _)| (c, v.text.into_owned())).filter(|(c, _)| *c > 0).map(field).collect()
                });
                prop_assert_eq!(got.as_ref(), rows.get(&key), "key {} of {:#?}", key, lines);
            }
        }
    }

    #[test]
    fn any_bytes_are_accepted_rejected_or_skipped_line_by_line(
        parts in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            Just(br#"{"pos":1,"entity":"order","key":1,"op":"insert","state":{"note":"x"}}"#.to_vec()),
            Just(br#"{"action":"I","schema":"om","table":"orders","columns":[{"name":"id","value":1}]}"#.to_vec()),
            Just(br#"{"op":"c","after":{"id":1},"source":{"schema":"om","table":"orders"}}"#.to_vec()),
        ], 1..12),
        end in any::<bool>(),
    ) {
        let mut bytes = parts.join(&b'\n');
        if end {
            bytes.push(b'\n');
        }
        let lines = bytes.split(|b| *b == b'\n').count() - usize::from(bytes.ends_with(b"\n"));
        for format in [FormatKind::Native, FormatKind::Wal2json, FormatKind::Debezium] {
            match Logs::new().with("cdc", format, &bytes).limit(1.0).try_read() {
                Ok(folded) => {
                    let stats = folded.stats;
                    prop_assert_eq!(stats.events + stats.rejected + stats.skipped, lines as u64);
                    prop_assert_eq!(stats.bytes, bytes.len() as u64);
                    prop_assert_eq!(folded.rejects.len() as u64, stats.rejected);
                }
                // Bytes that happen to begin like a compressed file, or nothing but empty lines.
                Err(e) => prop_assert!(e.error.what.contains("empty"), "{}", e.error),
            }
        }
    }
}

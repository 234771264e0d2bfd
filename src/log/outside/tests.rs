use super::*;
use std::io::Write as _;
use std::path::Path;

fn export(path: &Path) -> OutsideConfig {
    OutsideConfig {
        name: "billing".to_owned(),
        path: path.display().to_string(),
        order: "order_no".to_owned(),
        item: Some("item".to_owned()),
        effect: Some("activity".to_owned()),
        state: "result".to_owned(),
        done: vec!["Activated".to_owned()],
        none: vec!["Not requested".to_owned()],
        at: Some("at".to_owned()),
    }
}

fn all(export: &OutsideConfig) -> Result<(Vec<Word>, Noticed)> {
    let mut words = Vec::new();
    let noticed = read(std::slice::from_ref(export), false, &Progress::default(), &mut |w| {
        words.push(w);
    })?;
    Ok((words, noticed))
}

fn of(name: &str, text: &[u8]) -> Result<(Vec<Word>, Noticed)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    all(&export(&path))
}

fn said(words: &[Word]) -> Vec<(&str, &str, Happened, Option<&str>)> {
    words
        .iter()
        .map(|w| (w.order.as_str(), w.effect.as_str(), w.state, w.item.as_deref()))
        .collect()
}

#[test]
fn csv_and_ndjson_say_the_same() {
    let csv = "order_no,activity,result,at,item\nSFO-1,billing.activate,Activated,2026-11-22T14:08:59Z,9\n\
               SFO-2, billing.activate , Not requested ,,\n\"SFO,3\",,Queued,2026-11-22 15:09:00+01,\n";
    let semicolons = "order_no;activity;result;at;item\nSFO-1;billing.activate;Activated;2026-11-22T14:08:59Z;9\n\
               SFO-2; billing.activate ; Not requested ;;\nSFO,3;;Queued;2026-11-22 15:09:00+01;\n";
    let ndjson = r#"{"order_no":"SFO-1","activity":"billing.activate","result":"Activated","at":"2026-11-22T14:08:59Z","item":9}

{"order_no":"SFO-2","activity":"billing.activate","result":"Not requested","at":null,"item":null}
{"order_no":"SFO,3","activity":"","result":"Queued","at":"2026-11-22 15:09:00+01","item":null,"more":{}}"#;
    let wanted = [
        ("SFO-1", "billing.activate", Happened::Done, Some("9")),
        ("SFO-2", "billing.activate", Happened::None, None),
        // Without a name of its own an effect is called as its export is.
        ("SFO,3", "billing", Happened::Unknown, None),
    ];
    let bom = format!("\u{feff}{csv}");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(csv.as_bytes()).unwrap();
    for (name, text) in [
        ("b.csv", csv.as_bytes()),
        ("b.csv", bom.as_bytes()),
        ("b.csv.gz", &gz.finish().unwrap()),
        ("b.txt", semicolons.as_bytes()),
        ("b.ndjson", ndjson.as_bytes()),
        ("b.out", ndjson.as_bytes()),
    ] {
        let (words, noticed) = of(name, text).unwrap();
        assert_eq!(said(&words), wanted, "{name}");
        assert!(noticed.rejects.is_empty() && noticed.warnings.is_empty(), "{noticed:?}");
        assert_eq!(words[0].evidence.ts.as_deref(), Some("2026-11-22T14:08:59Z"));
        assert_eq!(words[2].at, time::parse("2026-11-22T14:09:00Z"));
        assert_eq!(words[2].evidence.position, format!("{name}:4"));
    }
}

#[test]
fn bad_lines_are_kept_with_place_and_reason_and_stop_nothing() {
    let csv = b"order_no,activity,result,at,item\nSFO-1,a,Activated,yesterday,\nSFO-2,a\n,a,Activated,,\n\xff,a,x,,\nSFO-5,a,Activated,,";
    let (words, noticed) = of("b.csv", csv).unwrap();
    assert_eq!(
        said(&words),
        [
            ("SFO-1", "a", Happened::Done, None),
            ("SFO-5", "a", Happened::Done, None)
        ]
    );
    let why: Vec<(&str, &str)> = noticed
        .rejects
        .iter()
        .map(|r| (r.position.as_str(), r.reason.as_str()))
        .collect();
    assert_eq!(
        why,
        [
            ("b.csv:2", "\"yesterday\" is no time; the rest of the line counts"),
            ("b.csv:3", "2 cells, the header has 5"),
            ("b.csv:4", "order_no is empty: whose line is it?"),
            ("b.csv:5", "order_no is not UTF-8"),
        ]
    );
    assert!(noticed.warnings[0].starts_with("outside billing: 4 malformed lines were rejected, the first at b.csv:2"));
    let (words, noticed) = of("b.ndjson", b"{\"order_no\":1}\n[1]\nno\n").unwrap();
    assert!(words.is_empty());
    assert_eq!(noticed.rejects.len(), 3);
    assert_eq!(noticed.rejects[0].reason, "no result");
}

#[test]
fn a_stream_that_was_cut_off_says_what_it_held_and_that_it_ended() {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gz.write_all(b"order_no,activity,result,at,item\n").unwrap();
    for n in 0..2_000 {
        writeln!(gz, "SFO-{n},a,Activated,,").unwrap();
    }
    let whole = gz.finish().unwrap();
    let (words, noticed) = of("b.csv.gz", &whole[..whole.len() / 2]).unwrap();
    assert!(words.len() > 500 && words.len() < 1_500, "{}", words.len());
    assert!(noticed.rejects[0].reason.contains("ends early"));
}

#[test]
fn several_files_have_a_header_each() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("1.csv"),
        "order_no,activity,result,at,item\nA,x,Activated,,\n",
    )
    .unwrap();
    std::fs::write(
        folder.path().join("2.csv"),
        "item,at,result,activity,order_no\n,,Activated,x,B\n",
    )
    .unwrap();
    let (words, noticed) = all(&export(&folder.path().join("*.csv"))).unwrap();
    assert_eq!(words.iter().map(|w| w.order.as_str()).collect::<Vec<_>>(), ["A", "B"]);
    assert_eq!(words[1].evidence.position, "2.csv:2");
    assert!(noticed.warnings.is_empty());
}

#[test]
fn a_file_that_is_not_there_and_a_column_that_is_not_are_errors_with_a_cure() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bills.csv"), "order_nr,activity,result,at,item\n").unwrap();
    let missing = all(&export(&folder.path().join("bill.csv"))).unwrap_err();
    assert_eq!(missing.place.as_deref(), Some("[[outside]] billing: path"));
    assert!(missing.cure.unwrap().contains("bills.csv"));
    let column = all(&export(&folder.path().join("bills.csv"))).unwrap_err();
    assert_eq!(column.what, "bills.csv has no column \"order_no\"");
    assert_eq!(column.place.as_deref(), Some("[[outside]] billing: order"));
    assert!(column.cure.unwrap().contains("order_nr"));
}

//! Files as they come in bad nights: compressed, cut off, of another kind, not there.

use super::*;
use crate::domain::ErrorKind;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

fn lines(n: u64) -> String {
    (0..n).fold(String::new(), |text, key| {
        text + &format!(r#"{{"pos":{key},"entity":"order","key":{key},"op":"insert","state":{{"note":"{key}"}}}}"#)
            + "\n"
    })
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn native(bytes: &[u8]) -> Logs {
    Logs::new().with("cdc", FormatKind::Native, bytes)
}

#[test]
fn compressed_files_read_like_plain_ones() {
    let text = lines(20_000);
    let plain = native(text.as_bytes()).read();
    for bytes in [gzip(&text), zstd::encode_all(text.as_bytes(), 1).unwrap()] {
        let folded = native(&bytes).read();
        assert_eq!(folded.stats, plain.stats);
        assert_eq!(show(&folded, 0, "19999"), "note=19999@19999");
    }
    assert_eq!((plain.stats.events, plain.stats.bytes), (20_000, text.len() as u64));
    // Several members, as rotated logs put together with cat have them.
    let two = [
        gzip(&lines(10)),
        gzip("{\"entity\":\"order\",\"key\":77,\"op\":\"insert\"}"),
    ]
    .concat();
    assert_eq!(native(&two).read().len(0), 11);
}

#[test]
fn a_glob_is_read_in_the_order_of_its_names() {
    let mut logs = native(b"");
    let line = |status: &str| format!(r#"{{"entity":"order","key":1,"op":"upsert","state":{{"status":"{status}"}}}}"#);
    std::fs::write(logs.path().join("b.log"), line("late")).unwrap();
    std::fs::write(logs.path().join("a.log.gz"), gzip(&line("early"))).unwrap();
    std::fs::create_dir(logs.path().join("c.log")).unwrap();
    logs.configs[0].path = Some(logs.path().join("*.log*").display().to_string());
    let folded = logs.read();
    assert_eq!(show(&folded, 0, "1"), "status=late@b.log:1");
    assert_eq!(folded.stats.events, 2);
}

#[test]
fn a_path_that_is_not_there_names_its_neighbours() {
    let mut logs = native(b"");
    std::fs::write(logs.path().join("orders.ndjson"), "").unwrap();
    for wanted in ["ordres.ndjson", "ordres*.ndjson", "ordres.ndjson/deeper/x"] {
        logs.configs[0].path = Some(logs.path().join(wanted).display().to_string());
        let error = logs.try_read().unwrap_err().error;
        assert_eq!(error.kind, ErrorKind::Usage);
        assert_eq!(error.place.as_deref(), Some("[[log]] cdc: path"));
        assert!(error.cure.as_deref().unwrap().contains(": orders.ndjson"), "{error}");
    }
}

#[test]
fn an_empty_log_is_an_error() {
    for bytes in [&b""[..], b"\n\n  \n", &gzip("")] {
        let error = native(bytes).try_read().unwrap_err().error;
        assert!(error.what.contains("cdc is empty"), "{error}");
        assert!(error.cure.is_some());
    }
}

#[test]
fn a_log_that_ends_in_mid_line_keeps_the_rest() {
    let text = lines(300);
    let folded = native(&text.as_bytes()[..text.len() - 10]).read();
    assert_eq!((folded.stats.events, folded.stats.rejected), (299, 1));
    assert!(
        folded.rejects[0].reason.contains("the file ends within this line"),
        "{:?}",
        folded.rejects
    );
    assert_eq!(folded.rejects[0].position, "cdc.ndjson:300");
    // A last line that is whole needs no newline.
    assert_eq!(native(text.trim_end().as_bytes()).read().stats.events, 300);
}

#[test]
fn a_truncated_or_damaged_stream_is_used_as_far_as_it_goes() {
    let text = lines(50_000);
    let mut damaged = zstd::encode_all(text.as_bytes(), 1).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    let zipped = gzip(&text);
    for (bytes, reason) in [
        (&zipped[..zipped.len() / 2], "gzip stream ends early"),
        (&damaged[..], "zstd stream"),
    ] {
        let folded = native(bytes).read();
        assert!(
            folded.stats.events > 5_000 && folded.stats.events < 50_000,
            "{}",
            folded.stats.events
        );
        assert_eq!(folded.stats.rejected, 1);
        let reject = &folded.rejects[0];
        assert!(reject.reason.contains(reason), "{}", reject.reason);
        assert_eq!(reject.position, format!("cdc.ndjson:{}", folded.stats.events + 1));
        assert_eq!(folded.warnings.len(), 1, "{:?}", folded.warnings);
    }
}

#[test]
fn lines_that_are_not_utf_8_are_rejected_alone() {
    let mut bytes = lines(500).into_bytes();
    let at = bytes.len() / 2;
    bytes[at] = 0xff;
    let folded = native(&bytes).read();
    assert_eq!((folded.stats.events, folded.stats.rejected), (499, 1));
    assert!(folded.rejects[0].reason.contains("not UTF-8 at byte"));
}

#[test]
fn a_line_that_is_too_long_is_passed_over() {
    let mut bytes = lines(150).into_bytes();
    let long = bytes.len() + 100_000_000;
    bytes.extend_from_slice(br#"{"entity":"order","key":1,"op":"insert","state":{"note":""#);
    bytes.resize(long, b'x');
    bytes.extend_from_slice(b"\"}}\n");
    bytes.extend_from_slice(lines(151).lines().last().unwrap().as_bytes());
    let folded = native(&bytes).read();
    assert_eq!(
        (folded.stats.events, folded.stats.rejected, folded.len(0)),
        (151, 1, 151)
    );
    assert_eq!(folded.rejects[0].position, "cdc.ndjson:151");
    assert!(folded.rejects[0].reason.contains("bytes, more than"));
    assert!(folded.rejects[0].excerpt.starts_with("{\"entity\""));
    // One that is merely long is an event.
    let note = "y".repeat(3_000_000);
    let line = format!(r#"{{"pos":1,"entity":"order","key":1,"op":"insert","state":{{"note":"{note}"}}}}"#);
    let folded = native(format!("{}{line}\n{}", lines(10), lines(12)).as_bytes()).read();
    assert_eq!(folded.stats.events, 23);
}

#[test]
fn another_format_than_configured_is_named() {
    let text = lines(10);
    let logs = Logs::new().with("cdc", FormatKind::Wal2json, text.as_bytes());
    let ReadError { error, rejects } = logs.try_read().unwrap_err();
    assert!(error.what.contains("10 of 10 lines"), "{error}");
    assert!(
        error.cure.as_deref().unwrap().contains("look like format native"),
        "{error}"
    );
    assert!(error.place.as_deref().unwrap().starts_with("cdc.ndjson:1: "), "{error}");
    assert_eq!(rejects.len(), 10);
    let wal = r#"{"action":"I","schema":"om","table":"orders","columns":[]}"#;
    let error = native(wal.as_bytes()).try_read().unwrap_err().error;
    assert!(
        error.cure.as_deref().unwrap().contains("look like format wal2json"),
        "{error}"
    );
}

#[test]
fn more_rejects_than_the_limit_fail_and_are_handed_over() {
    let text = lines(98) + "junk\n";
    let failed = native(text.as_bytes()).try_read().unwrap_err();
    assert!(
        failed
            .error
            .what
            .contains("1 of 99 lines are malformed, more than the limit of 1 %")
    );
    assert_eq!(failed.rejects.len(), 1);
    let folded = native((lines(99) + "junk\n").as_bytes()).read();
    assert_eq!(folded.stats.rejected, 1, "exactly the limit is allowed");
}

#[test]
fn a_cancelled_read_stops() {
    let logs = native(lines(10).as_bytes());
    let (schema, catalogue) = site();
    let input = LogInput {
        logs: &logs.configs,
        schema: &schema,
        catalogue: &catalogue,
        reject_limit: 0.0,
        wants: Wants::default(),
    };
    let progress = Progress::default();
    progress.cancel();
    assert!(read(&input, &progress).unwrap_err().error.what.contains("stopped"));
}

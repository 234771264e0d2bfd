//! Spoiled lines of every format: whatever was done to them, each is an event, rejected or skipped, and nothing falls over.
//!
//! `RESTITCH_SEED=N` replays one file of lines, `RESTITCH_SOAK=1` reads ten times as many and more.

use super::*;
use crate::dice::{Dice, seeds};
use std::io::{Read, Write};

/// Lines of one file.
const LINES: usize = 20_000;

const FORMATS: [FormatKind; 5] = [
    FormatKind::Native,
    FormatKind::Wal2json,
    FormatKind::Debezium,
    FormatKind::OmPlus,
    FormatKind::SalesforceCdc,
];

/// Sound lines of a format, about the tables of [`site`].
const fn sound(format: FormatKind) -> &'static [&'static str] {
    match format {
        FormatKind::Native => &[
            r#"{"pos":12,"ts":"2026-11-22T14:09:11Z","entity":"order","key":12,"op":"upsert","state":{"status":"New","amount":12.50,"note":"\u00e4 \"b\"","due_at":"2026-11-22 14:00+01","data":{"a":[1,{"b":null}]},"raw":"\\x00ff"}}"#,
            r#"{"pos":"13","entity":"om.order_items","key":"12/a","op":"insert","version":3,"state":{"product":"x"}}"#,
            r#"{"pos":14,"ts":"2026-11-22T14:09:11.123456Z","entity":"order","key":12,"op":"delete","state":null}"#,
        ],
        FormatKind::Wal2json => &[
            r#"{"action":"U","xid":570,"timestamp":"2026-11-22 14:09:11.123+00","lsn":"0/16B3748","schema":"om","table":"orders","columns":[{"name":"id","type":"bigint","value":12},{"name":"amount","type":"numeric(12,2)","value":12.50},{"name":"data","type":"jsonb","value":"{\"a\": 1}"}],"identity":[{"name":"id","type":"bigint","value":11}]}"#,
            r#"{"action":"D","lsn":"0/16B3750","schema":"om","table":"order_items","identity":[{"name":"order_id","type":"bigint","value":12},{"name":"line","type":"text","value":"a"}]}"#,
            r#"{"action":"T","lsn":"0/16B3758","schema":"om","table":"orders"}"#,
            r#"{"action":"B","xid":570,"timestamp":"2026-11-22 14:09:11+00"}"#,
        ],
        FormatKind::Debezium => &[
            r#"{"schema":{"type":"struct","fields":[{"type":"int64","optional":false,"field":"id"},{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"},"field":"amount"}]},"payload":{"before":null,"after":{"id":12,"status":"New","amount":"BN4="},"source":{"schema":"om","table":"orders","lsn":24023240,"ts_ms":1795356551123},"op":"c","ts_ms":1795356551123}}"#,
            r#"{"before":{"id":12},"after":null,"source":{"schema":"om","table":"orders","lsn":24023241},"op":"d","ts_ms":1795356551124}"#,
            r#"{"op":"u","before":{"order_id":1,"line":"a"},"after":{"order_id":1,"line":"b","product":"__debezium_unavailable_value"},"source":{"schema":"om","table":"order_items","lsn":"24023242"}}"#,
            "null",
        ],
        FormatKind::OmPlus => &[
            r#"{"_action":"update","Object Type":"Order","Modified":"2026-11-22 14:07:00.5+00","id":12,"Status":"x","Amount":1.5,"Note":null}"#,
            r#"{"_action":"insert","Object Type":"Order Item","order_id":12,"line":"a","Product":"y"}"#,
            r#"{"_action":"delete","Object Type":"Order","id":77405618597879921}"#,
        ],
        FormatKind::SalesforceCdc => &[
            r#"{"data":{"payload":{"ChangeEventHeader":{"entityName":"Order","recordIds":["12","13"],"changeType":"UPDATE","commitTimestamp":1795356420000,"transactionKey":"t-1","commitUser":"0052x00000AbCdEAAV"},"Status":"Activated","BillingAddress":{"City":null}},"event":{"replayId":7}},"channel":"/data/ChangeEvents"}"#,
            r#"{"ChangeEventHeader":{"entityName":"Order","recordIds":["12"],"changeType":"CREATE","commitTimestamp":1795356420000},"Amount":12.5,"Note":"a","Data":"{}"}"#,
            r#"{"ChangeEventHeader":{"entityName":"Order","recordIds":["12"],"changeType":"GAP_OVERFLOW","commitTimestamp":1795356420000}}"#,
            r#"{"ChangeEventHeader":{"entityName":"Contact","recordIds":["9"],"changeType":"DELETE"}}"#,
        ],
    }
}

/// A piece that is put into a line or in the place of a part of it.
fn piece(dice: &mut Dice) -> Vec<u8> {
    match dice.roll(12) {
        0 => b"\xff\xfe".to_vec(),
        1 => b"\xed\xa0\x80".to_vec(),
        2 => b"\0".to_vec(),
        3 => b"\\u0000\\ud800".to_vec(),
        4 => "[".repeat(1 + dice.roll(200)).into_bytes(),
        5 => b"1e999999".to_vec(),
        6 => "9".repeat(1 + dice.roll(60)).into_bytes(),
        7 => "\u{202e}\u{feff}".as_bytes().to_vec(),
        8 => b"\r".to_vec(),
        9 => b"\n".to_vec(),
        10 => b"null".to_vec(),
        _ => (0..dice.roll(8))
            .map(|_| u8::try_from(dice.roll(256)).unwrap())
            .collect(),
    }
}

/// Spoils a line in one way or a few.
fn spoil(dice: &mut Dice, line: &mut Vec<u8>, others: &[&str]) {
    for _ in 0..=dice.roll(3) {
        let at = dice.roll(line.len() + 1);
        let to = (at + 1 + dice.roll(24)).min(line.len());
        match dice.roll(7) {
            0 if at < line.len() => line[at] ^= 1 << dice.roll(8),
            1 => line.truncate(at),
            2 if at < to => _ = line.drain(at..to),
            3 if at < to => {
                let again = line[at..to].to_vec();
                line.splice(at..at, again);
            }
            // Where two lines ran into each other.
            4 => {
                let other = dice.pick(others).as_bytes();
                let from = dice.roll(other.len() + 1);
                line.splice(at.., other[from..].iter().copied());
            }
            5 if at < to => _ = line.splice(at..to, piece(dice)),
            _ => _ = line.splice(at..at, piece(dice)),
        }
    }
}

/// A file of lines, nine of ten spoiled; the last has its newline or not.
fn file(seed: u64, format: FormatKind, lines: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut bytes = Vec::new();
    for _ in 0..lines {
        let mut line = dice.pick(sound(format)).as_bytes().to_vec();
        if dice.percent(90) {
            // Now and then a line of another format.
            let others = if dice.percent(10) { dice.pick(&FORMATS) } else { format };
            spoil(&mut dice, &mut line, sound(others));
        }
        bytes.append(&mut line);
        bytes.push(b'\n');
    }
    if dice.percent(50) {
        bytes.pop();
    }
    bytes
}

fn lines_of(bytes: &[u8]) -> u64 {
    let whole = memchr::memchr_iter(b'\n', bytes).count();
    (whole + usize::from(!bytes.is_empty() && !bytes.ends_with(b"\n"))) as u64
}

/// Events, rejected and skipped lines.
fn told(format: FormatKind, bytes: &[u8]) -> (u64, u64, u64) {
    let folded = Logs::new().with("cdc", format, bytes).limit(1.0).read();
    let stats = folded.stats;
    assert!(folded.rejects.len() as u64 <= stats.rejected);
    (stats.events, stats.rejected, stats.skipped)
}

#[test]
fn every_spoiled_line_is_an_event_or_rejected_or_skipped() {
    // A million lines, or twenty.
    for seed in seeds(50, 1_000) {
        let format = FORMATS[usize::try_from(seed).unwrap() % FORMATS.len()];
        let bytes = file(seed, format, LINES);
        let (events, rejected, skipped) = told(format, &bytes);
        let all = format!("RESTITCH_SEED={seed}: {events} events, {rejected} rejected, {skipped} skipped");
        assert_eq!(events + rejected + skipped, lines_of(&bytes), "{all}");
        // Some were still events, many were not: the lines were spoiled, and not all of them beyond reading.
        let some = LINES as u64 / 50;
        assert!(events > some && rejected > 10 * some && skipped > 0, "{all}");
    }
}

/// A stream that breaks off: what was read before counts line by line, and the break is one rejected line more.
#[test]
fn a_compressed_log_cut_anywhere_is_read_up_to_there() {
    type Unpack = fn(&[u8]) -> Vec<u8>;
    let gzip = |bytes: &[u8]| {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(bytes).unwrap();
        gz.finish().unwrap()
    };
    // Whatever comes before the error.
    let gunzip: Unpack = |bytes| {
        let mut all = Vec::new();
        _ = flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut all);
        all
    };
    let unzstd: Unpack = |bytes| {
        let mut all = Vec::new();
        _ = zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut all);
        all
    };
    let mut cuts_within = 0;
    for seed in seeds(200, 5_000) {
        let mut dice = Dice::new(seed);
        let format = dice.pick(&FORMATS);
        let bytes = file(seed, format, 300);
        let (packed, unpack) = if dice.percent(50) {
            (gzip(&bytes), gunzip)
        } else {
            (zstd::encode_all(&bytes[..], 1).unwrap(), unzstd)
        };
        let cut = &packed[..4 + dice.roll(packed.len() - 4)];
        let before = unpack(cut);
        let whole = memchr::memchr_iter(b'\n', &before).count() as u64;
        let (events, rejected, skipped) = told(format, cut);
        assert_eq!(events + rejected + skipped, whole + 1, "RESTITCH_SEED={seed}");
        cuts_within += u64::from(whole > 0);
    }
    assert!(
        cuts_within > 10 || std::env::var_os("RESTITCH_SEED").is_some(),
        "{cuts_within}"
    );
}

//! The rescue file against crashes at any byte and damage anywhere.

use super::*;
use proptest::prelude::*;
use std::fs;

fn origin() -> Origin {
    Origin {
        id: "0199a1f0-0000-7000-8000-00000000002a".to_owned(),
        topic: "held".to_owned(),
        brokers: vec!["b:9092".to_owned()],
        begun: "2026-11-22T14:31:00Z".to_owned(),
    }
}

fn message(partition: i32, offset: i64) -> Entry {
    Entry::Message(Saved {
        partition,
        offset,
        from: offset,
        stamp: Stamp::CreateTime(1_795_356_300_000 + offset),
        key: (offset % 3 > 0).then(|| format!("SFH-{offset}").into_bytes()),
        // A value may look like a record.
        value: (offset % 5 > 0).then(|| [b"RSCU\0\0\0\0", &[0xff_u8; 10][..]].concat()),
        headers: vec![("h".to_owned(), None), ("i".to_owned(), Some(vec![0, 1, 2]))],
    })
}

/// A file of so many messages, and where each record ends.
fn written(path: &Path, messages: i64) -> Vec<u64> {
    let (mut writer, _) = Writer::open(path, origin).unwrap();
    let mut ends = vec![writer.end];
    for offset in 0..messages {
        writer.add(&message(0, offset));
        writer.sync().unwrap();
        ends.push(writer.end);
    }
    ends
}

fn entries(path: &Path) -> (Vec<Entry>, Contents) {
    let mut all = Vec::new();
    let contents = read(path, |e| {
        all.push(e);
        Ok(())
    });
    (all, contents.unwrap())
}

#[test]
fn a_message_comes_back_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rescue");
    written(&path, 12);
    let (all, contents) = entries(&path);
    assert_eq!(all, (0..12).map(|n| message(0, n)).collect::<Vec<_>>());
    assert_eq!((contents.messages, contents.torn, contents.damaged), (12, 0, 0));
    assert_eq!(contents.offsets[&0].0, [(0, 12)]);
    assert_eq!(contents.origin, origin());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_crash_at_any_byte_loses_no_record_that_was_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rescue");
    let ends = written(&path, 6);
    let bytes = fs::read(&path).unwrap();
    for cut in 0..=bytes.len() {
        for fill in [None, Some(0), Some(0xff)] {
            let mut torn = bytes[..cut].to_vec();
            if let (Some(fill), true) = (fill, cut > 4) {
                torn.resize(bytes.len(), fill);
            }
            fs::write(&path, &torn).unwrap();
            let whole = ends.iter().filter(|e| **e <= cut as u64).count();
            let (mut writer, contents) = Writer::open(&path, origin).unwrap();
            assert_eq!(contents.messages, whole.saturating_sub(1) as u64, "cut at {cut}");
            // What comes behind is whole again.
            writer.add(&message(1, 77));
            writer.sync().unwrap();
            drop(writer);
            let (all, contents) = entries(&path);
            assert_eq!(all.last(), Some(&message(1, 77)));
            assert_eq!((contents.torn, contents.damaged), (0, 0), "cut at {cut}");
        }
    }
}

proptest! {
    #[test]
    fn damage_spoils_only_the_records_that_it_hits(from in 100_usize..900, len in 1_usize..80, with in any::<u8>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rescue");
        let ends = written(&path, 12);
        let mut bytes = fs::read(&path).unwrap();
        let to = (from + len).min(bytes.len());
        prop_assume!(from > usize::try_from(ends[0]).unwrap() && from < to);
        let before = bytes.clone();
        bytes[from..to].iter_mut().for_each(|b| *b = b.wrapping_add(with));
        fs::write(&path, &bytes).unwrap();
        let hit = |n: usize| {
            let (begin, end) = (usize::try_from(ends[n]).unwrap(), usize::try_from(ends[n + 1]).unwrap());
            before[begin..end] != bytes[begin..end]
        };
        let wanted: Vec<Entry> = (0..12).filter(|n| !hit(*n)).map(|n| message(0, i64::try_from(n).unwrap())).collect();
        let (all, _) = entries(&path);
        prop_assert_eq!(all, wanted);
    }
}

#[test]
fn a_file_of_others_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes");
    for text in ["notes of ana", "RSC? no", "R\nestore"] {
        fs::write(&path, text).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&path, open).unwrap();
        let error = Writer::open(&path, origin).unwrap_err();
        assert!(error.what.contains("no rescue file"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert!(read(&path, |_| Ok(())).is_err());
    }
}

#[test]
fn one_writes_and_the_other_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rescue");
    let first = Writer::open(&path, origin).unwrap();
    let second = Writer::open(&path, origin).unwrap_err();
    assert!(second.what.contains("another rescue"), "{second}");
    drop(first);
    Writer::open(&path, origin).unwrap();
}

//! Where a case stands in the queue: what will fire by itself, what expires unrescued, what blocks most, then the
//! site's rank, then the label. After the orders come undeleted rows of catalogue and metadata, table by table, and last what
//! the restore undid on purpose. One byte string that compares as the queue is ordered, so that an index serves it.

use crate::domain::case::FoundCase;
use crate::domain::finding::Kind;
use crate::domain::time;

/// Where [`waited_for`]'s bytes stand in a place.
pub(super) const WAITED: std::ops::Range<usize> = 10..14;

/// The place of a case for which nobody waits.
pub(super) fn of(case: &FoundCase) -> Vec<u8> {
    let mut place = Vec::with_capacity(64);
    let fires = case.findings.iter().any(|f| f.kind == Kind::InDoubt);
    place.push(if case.is_undone() { 2 } else { u8::from(!fires) });
    let table = case.undeleted_row();
    match dies_at(case) {
        Some(at) => {
            place.push(0);
            place.extend(ordered(at));
        }
        None => place.extend([if table.is_some() { 2 } else { 1 }; 9]),
    }
    place.extend(waited_for(0));
    if let Some(table) = table {
        text_into(table, &mut place);
    }
    match case.rank.as_deref().map(|r| (r, r.trim().parse::<f64>())) {
        Some((_, Ok(number))) if !number.is_nan() => {
            // The bits of an IEEE 754 number order as the number does, once negatives are turned round.
            let bits = number.to_bits();
            let bits = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
            place.push(0);
            place.extend(bits.to_be_bytes());
        }
        Some((text, _)) => {
            place.push(1);
            text_into(text, &mut place);
        }
        None => place.push(2),
    }
    text_into(&case.label, &mut place);
    text_into(&case.id, &mut place);
    place
}

/// The part of a place that says how many wait for the case: more come first.
pub(super) fn waited_for(cases: u32) -> [u8; 4] {
    (u32::MAX - cases).to_be_bytes()
}

/// When the hold may lose the order, microseconds since 1970.
pub(super) fn dies_at(case: &FoundCase) -> Option<i64> {
    case.dies_at.as_deref().and_then(time::parse)
}

fn ordered(number: i64) -> [u8; 8] {
    (number ^ i64::MIN).to_be_bytes()
}

/// Text, cut where it would bloat the index, with an end that sorts before any other byte.
fn text_into(text: &str, place: &mut Vec<u8>) {
    place.extend(text.bytes().filter(|b| *b != 0).take(64));
    place.push(0);
}

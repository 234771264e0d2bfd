//! The report in five lines: for a phone call, a chat, the top of a mail.

use super::told::Told;
use crate::domain::case::State;
use crate::domain::gate::Gate;
use crate::domain::time;
use crate::safe;
use crate::text::Safe;
use serde_json::Value as Json;

/// Why T; what was found; what is settled; what is open and with whom; what proves it.
pub fn lines(told: &Told) -> [Safe<'static>; 5] {
    let figures = &told.figures;
    let optional = |at: Option<i64>| own(&at.map_or_else(|| "not configured".to_owned(), time::format));
    let gate = told
        .gate
        .as_ref()
        .map_or_else(|| "nobody asked".to_owned(), Gate::words);
    let held: Vec<String> = figures.held.iter().map(|(who, n)| format!("{who} {n}")).collect();
    let holders = if held.is_empty() {
        "nobody".to_owned()
    } else {
        held.join(", ")
    };
    let chain = match &told.trail.broken {
        None => safe!("the trail of {} lines is whole", told.trail.lines),
        Some(why) => own(why),
    };
    let coverage = coverage(told);
    [
        safe!(
            "{}, attempt {}: restored to {}; gate {}",
            Safe::id(&told.incident.id).into_owned(),
            told.incident.attempt,
            optional(told.incident.restored_to),
            own(&gate)
        ),
        safe!(
            "{} cases: {} orders with lost, changed or undeleted rows, {} in doubt, {} orphaned; {}",
            figures.total(),
            told.found.orders,
            told.found.in_doubt,
            told.found.orphaned,
            coverage
        ),
        safe!(
            "settled {}: {} proven, {} gone by themselves",
            figures.of(State::Proven) + figures.of(State::Gone),
            figures.of(State::Proven),
            figures.of(State::Gone)
        ),
        safe!(
            "left {}: {} open, {} to do, {} applied, {} unconfirmed, {} parked, {} escalated; held by {}",
            figures.unsettled(),
            figures.of(State::Open),
            figures.of(State::ToDo),
            figures.of(State::Applied),
            figures.of(State::Unconfirmed),
            figures.of(State::Parked),
            figures.of(State::Escalated),
            own(&holders)
        ),
        safe!(
            "{}; {} refused deeds; report of {} by {}",
            chain,
            told.trail.refused(),
            own(&time::format(told.made.1)),
            own(&told.made.0)
        ),
    ]
}

/// What of the night the log does not cover, in a few words.
pub fn coverage(told: &Told) -> Safe<'static> {
    let Some((_, report)) = &told.scan else {
        return Safe::ours("nothing was scanned yet");
    };
    let gap = |side: &str| report.get("not_known").and_then(|n| n.get(side)).and_then(Json::as_str);
    match (gap("before"), gap("after")) {
        (None, None) => Safe::ours("the log covers the window"),
        (Some(before), None) => safe!("not known before {}", own(before)),
        (None, Some(after)) => safe!("not known after {}", own(after)),
        (Some(before), Some(after)) => safe!("not known before {} and after {}", own(before), own(after)),
    }
}

fn own(text: &str) -> Safe<'static> {
    Safe::of(text).into_owned()
}

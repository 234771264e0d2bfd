//! Is it another server than the old instance, on another timeline, and out of recovery?

use super::Old;
use crate::domain::gate::{Check, Light, Question};
use crate::domain::time;
use crate::restored::facts::{Facts, Known};

/// Address, timeline and recovery.
pub(super) fn checks(facts: &Facts, old: &[Old]) -> Vec<Check> {
    let address = address(facts, old);
    let timeline = timeline(facts, old, address.light == Light::Red);
    vec![address, timeline, recovery(facts)]
}

/// How the restored database compares with an old instance.
enum Same {
    /// The same database on the same server.
    Yes(String),
    /// Another server, and what shows it.
    No(String),
    /// Not decided.
    Open(String),
}

fn against(facts: &Facts, name: &str, old: &Facts) -> Same {
    let said = |f: &Facts| match &f.address {
        Ok(address) => format!("{} (sees itself as {address})", f.place),
        Err(_) => f.place.clone(),
    };
    let both = format!("restored {}, old instance ({name}) {}", said(facts), said(old));
    // By the name it was asked for under, or as the server sees itself: a name may lead to the same server twice.
    let server = |place: &str| place.split('/').next().unwrap_or_default().to_owned();
    let addressed = server(&facts.place) == server(&old.place) || equal(&facts.address, &old.address) == Some(true);
    if !addressed {
        // A server that answers under two names started at the same microsecond on the same timeline.
        return match (
            equal(&facts.started, &old.started),
            equal(&facts.timeline, &old.timeline),
        ) {
            (Some(true), Some(true)) => {
                Same::Open(format!("{both}: two addresses, but both started at the same instant"))
            }
            _ => Same::No(both),
        };
    }
    let started = facts
        .started
        .as_ref()
        .map_or_else(|_| "not known".to_owned(), |at| time::format(*at));
    if equal(&facts.started, &old.started) == Some(false) {
        return Same::No(format!(
            "{both}: the same address, but another server: this one started {started}"
        ));
    }
    if equal(&facts.database, &old.database) == Some(false) {
        return Same::Open(format!("{both}: the same server, another database of it"));
    }
    match equal(&facts.timeline, &old.timeline) {
        Some(true) => Same::Yes(format!(
            "this is the old instance: address, port and timeline are its own; {both}, started {started}"
        )),
        Some(false) => Same::No(format!("{both}: the same address, another timeline")),
        None => Same::Open(format!("{both}: the same address, and the timelines cannot be read")),
    }
}

/// Whether two facts are the same; `None` where one is not known.
fn equal<T: PartialEq>(a: &Known<T>, b: &Known<T>) -> Option<bool> {
    Some(a.as_ref().ok()? == b.as_ref().ok()?)
}

fn address(facts: &Facts, old: &[Old]) -> Check {
    let new = |light, what: String| Check::new("address", Question::Database, light, what);
    let mut unread = Vec::new();
    let mut open = Vec::new();
    let mut others = Vec::new();
    for old in old {
        match old.facts.as_ref().map(|f| against(facts, &old.name, f)) {
            Ok(Same::Yes(what)) => {
                return new(Light::Red, what)
                    .cure("point [restored] url at the restored instance: this is the old one");
            }
            Ok(Same::No(what)) => others.push(what),
            Ok(Same::Open(what)) => open.push(what),
            Err(why) => unread.push(format!("the old instance ({}) cannot be asked: {why}", old.name)),
        }
    }
    if open.is_empty() && unread.is_empty() && !others.is_empty() {
        return new(Light::Green, others.join("; "));
    }
    if old.is_empty() {
        let here = match (&facts.address, &facts.started) {
            (Ok(address), Ok(at)) => format!(
                "{}, sees itself as {address}, started {}",
                facts.place,
                time::format(*at)
            ),
            _ => facts.place.clone(),
        };
        return new(Light::CannotTell, format!("{here}; the old instance is not configured"))
            .cure("name the old instance in a [[log]] with source = \"database\", or compare host and port by hand");
    }
    open.extend(unread);
    new(Light::CannotTell, open.join("; ")).cure("compare host, port and start of both instances by hand")
}

fn timeline(facts: &Facts, old: &[Old], same: bool) -> Check {
    let new = |light, what: String| Check::new("timeline", Question::Database, light, what);
    let here = match &facts.timeline {
        Ok(here) => *here,
        Err(why) => return new(Light::CannotTell, format!("the timeline cannot be read: {why}")),
    };
    let olds: Vec<i64> = old
        .iter()
        .filter_map(|o| o.facts.as_ref().ok()?.timeline.as_ref().ok().copied())
        .collect();
    // PostgreSQL manual, Continuous Archiving: a recovery that ends in a promotion begins a new timeline.
    match olds.iter().max() {
        Some(old) if here > *old => new(
            Light::Green,
            format!("timeline {here}, the old instance is on {old}: this one was promoted out of a recovery"),
        ),
        Some(old) if same && here == *old => new(Light::Red, format!("timeline {here}, the old instance's")),
        Some(old) => new(
            Light::CannotTell,
            format!(
                "timeline {here}, the old instance is on {old}: a promotion out of a recovery would have raised it"
            ),
        )
        .cure("a copy by dump or snapshot keeps the timeline; else check which instance this is"),
        None if here == 1 => new(
            Light::CannotTell,
            "timeline 1: this server was never promoted out of a recovery".to_owned(),
        )
        .cure("a copy by dump or snapshot keeps the timeline; else check which instance this is"),
        None if facts.replayed.is_ok() => new(
            Light::Green,
            format!("timeline {here}: this server was promoted out of a recovery"),
        ),
        None => new(
            Light::CannotTell,
            format!("timeline {here}: some recovery raised it; that of the old instance is not known"),
        )
        .cure("name the old instance in a [[log]] with source = \"database\" to compare"),
    }
}

fn recovery(facts: &Facts) -> Check {
    let new = |light, what: String| Check::new("recovery", Question::Besides, light, what);
    match &facts.in_recovery {
        Ok(false) => new(Light::Green, "over: the server takes writes".to_owned()),
        Ok(true) => new(
            Light::CannotTell,
            "the server still recovers, or is a standby: it is not at its final point".to_owned(),
        )
        .doubted()
        .cure("wait until it is promoted, or use the writer endpoint"),
        Err(why) => new(Light::CannotTell, format!("not known: {why}")),
    }
}

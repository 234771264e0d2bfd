//! What came back with the restore besides orders: one list, each with its cure. Values of settings are never shown.

use crate::config::Config;
use crate::domain::back::CameBack;
use crate::domain::case::FoundCase;
use crate::domain::finding::{Finding, Kind};
use crate::domain::schema::Catalogue;
use crate::domain::time;
use crate::restore::gate::Old;
use crate::restored::facts::{Facts, Known, Shape};
use std::collections::{BTreeMap, BTreeSet};

/// So many of a kind are listed one by one.
const MOST: usize = 50;
/// The entity that stands for a system that orders are sent to.
const SYSTEM: &str = "system_instance";
/// Where the old instance would have to be named.
const NAME_IT: &str = "name the old instance in a [[log]] with source = \"database\" to compare, or compare by hand";

/// What a scan found that the list is made of.
pub struct Found<'a> {
    /// What the restored database says of itself.
    pub facts: &'a Facts,
    /// The old instances.
    pub old: &'a [Old],
    /// All tables, or why they cannot be listed.
    pub shapes: Known<Vec<Shape>>,
    /// The mapped ones.
    pub catalogue: &'a Catalogue,
    /// The cases.
    pub cases: &'a [FoundCase],
}

/// The list.
pub fn list(config: &Config, found: &Found<'_>) -> Vec<CameBack> {
    let mut all = systems(config, found.cases);
    all.extend(undeleted(found.cases));
    all.extend(prepared(found.facts));
    // Without a server there is nothing to drift.
    if found.facts.started.is_ok() {
        let old = found.old.iter().find_map(|old| old.facts.as_ref().ok());
        all.extend(slots(found.facts, old));
        all.extend(drifted(found.facts, old));
    }
    all.extend(unmapped(found));
    all
}

/// The findings of rows that no order owns.
fn ownerless(cases: &[FoundCase]) -> impl Iterator<Item = (&FoundCase, &Finding)> {
    let alone = cases.iter().filter(|case| case.order.is_none());
    alone.flat_map(|case| case.findings.iter().map(move |finding| (case, finding)))
}

fn named(case: &FoundCase, finding: &Finding) -> String {
    if case.label.is_empty() || case.label == finding.key {
        format!("{} {}", finding.entity, finding.key)
    } else {
        format!("{} {} ({})", finding.entity, case.label, finding.key)
    }
}

/// Systems that were taken DOWN after T and are UP again: they get traffic the moment workers start.
fn systems(config: &Config, cases: &[FoundCase]) -> Vec<CameBack> {
    let Some(mapped) = config.schema.entities.iter().find(|e| e.name == SYSTEM) else {
        return Vec::new();
    };
    let Some(state) = &mapped.state else {
        return vec![CameBack::new(
            "system",
            "system instances that are UP again: not known, no column is named that says so",
            format!("add state = \"<column>\" to [schema.{SYSTEM}]"),
        )];
    };
    let is = |value: &serde_json::Value, word: &str| value.as_str().is_some_and(|v| v.eq_ignore_ascii_case(word));
    let up = ownerless(cases).filter(|(_, f)| f.entity == SYSTEM && f.kind == Kind::Regressed);
    let up = up.filter(|(_, f)| {
        let mut fields = f.fields.iter();
        fields.any(|field| field.name == *state && is(&field.restored, "up") && !is(&field.log, "up"))
    });
    up.map(|(case, finding)| {
        CameBack::new(
            "system",
            format!(
                "{} is UP again, the log says otherwise: it gets traffic the moment workers start",
                named(case, finding)
            ),
            "take it DOWN before workers start",
        )
    })
    .collect()
}

fn undeleted(cases: &[FoundCase]) -> Vec<CameBack> {
    let mut by_entity: BTreeMap<&str, Vec<(&FoundCase, &Finding)>> = BTreeMap::new();
    for (case, finding) in ownerless(cases).filter(|(_, f)| f.kind == Kind::Undeleted) {
        by_entity.entry(&finding.entity).or_default().push((case, finding));
    }
    let mut all = Vec::new();
    for (entity, rows) in by_entity {
        for (case, finding) in rows.iter().take(MOST) {
            let by = finding.evidence.first().and_then(|e| e.ts.as_deref());
            let when = by.map_or(String::new(), |at| format!(" at {at}"));
            let (what, cure) = if finding.undone {
                (
                    format!("{} is back: the bad change deleted it{when}", named(case, finding)),
                    "nothing: the restore was made for it".to_owned(),
                )
            } else {
                (
                    format!("{} is back: it was deleted{when}", named(case, finding)),
                    format!("delete it again: case {}, verb reapply", case.id),
                )
            };
            all.push(CameBack::new("undeleted", what, cure));
        }
        if let Some(more) = rows.len().checked_sub(MOST).filter(|n| *n > 0) {
            let what = format!("{more} more rows of {entity} are back that were deleted");
            all.push(CameBack::new(
                "undeleted",
                what,
                "`restitch cases --kind undeleted` lists them",
            ));
        }
    }
    all
}

fn prepared(facts: &Facts) -> Vec<CameBack> {
    let Ok(prepared) = &facts.prepared else {
        return Vec::new();
    };
    let one = |(gid, owner, at): &(String, String, i64)| {
        let gid = gid.replace('\'', "''");
        CameBack::new(
            "prepared",
            format!(
                "transaction '{gid}' of {owner}, prepared at {}, is in doubt again: its rows are hidden and it holds its locks",
                time::format(*at)
            ),
            format!("COMMIT PREPARED '{gid}' where it was committed after T, else ROLLBACK PREPARED '{gid}'"),
        )
    };
    prepared.iter().map(one).collect()
}

fn slots(facts: &Facts, old: Option<&Facts>) -> Vec<CameBack> {
    let cure = "create it again and have its reader start anew: its stored position is of another timeline";
    let here = match &facts.slots {
        Ok(here) => here,
        Err(why) => {
            return vec![CameBack::new(
                "slot",
                format!("replication slots: not known: {why}"),
                cure,
            )];
        }
    };
    match old.map(|old| &old.slots) {
        Some(Ok(old)) => {
            let gone = old.iter().filter(|name| !here.contains(name));
            gone.map(|name| CameBack::new("slot", format!("replication slot {name} is gone"), cure))
                .collect()
        }
        // PostgreSQL manual, Continuous Archiving: a base backup leaves the slots out.
        _ => vec![CameBack::new(
            "slot",
            format!(
                "replication slots: {} here; those of the old instance are not known",
                here.len()
            ),
            NAME_IT,
        )],
    }
}

/// Settings, users and hosts that are not as on the old instance.
fn drifted(facts: &Facts, old: Option<&Facts>) -> Vec<CameBack> {
    let Some(old) = old else {
        let what = "settings, users and hosts that changed since T: not known, for the old instance is not";
        return vec![CameBack::new("setting", what, NAME_IT)];
    };
    let mut all = pairs(
        "setting",
        ("setting", "its value differs (masked)"),
        "compare the parameter groups: RDS gives a restored instance the default one",
        (&facts.settings, &old.settings),
    );
    all.extend(pairs(
        "user",
        ("role", "its rights differ"),
        "compare with \\du; passwords are those of T, whatever was changed since",
        (&facts.roles, &old.roles),
    ));
    match (&facts.hosts, &old.hosts) {
        (Ok(here), Ok(there)) => {
            let (here, there): (BTreeSet<_>, BTreeSet<_>) = (here.iter().collect(), there.iter().collect());
            let (more, less) = (here.difference(&there).count(), there.difference(&here).count());
            if more + less > 0 {
                all.push(CameBack::new(
                    "host",
                    format!("who may connect from where differs: {less} rules are gone, {more} are there again"),
                    "compare pg_hba.conf of both (RDS: the security groups)",
                ));
            }
        }
        (Err(why), _) | (_, Err(why)) => all.push(CameBack::new(
            "host",
            format!("who may connect from where: not known: {why}"),
            "compare pg_hba.conf of both (RDS: the security groups)",
        )),
    }
    all
}

type Pairs = Known<Vec<(String, String)>>;

fn pairs(kind: &str, (noun, differs): (&str, &str), cure: &str, (here, there): (&Pairs, &Pairs)) -> Vec<CameBack> {
    let (here, there) = match (here, there) {
        (Ok(here), Ok(there)) => (here, there),
        (Err(why), _) | (_, Err(why)) => return vec![CameBack::new(kind, format!("{noun}s: not known: {why}"), cure)],
    };
    let here: BTreeMap<&str, &str> = here.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let there: BTreeMap<&str, &str> = there.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let names: BTreeSet<&str> = here.keys().chain(there.keys()).copied().collect();
    let mut all = Vec::new();
    for name in names {
        let how = match (here.get(name), there.get(name)) {
            (Some(here), Some(there)) if here == there => continue,
            (Some(_), Some(_)) => differs,
            (Some(_), None) => "is here and not on the old instance",
            (None, _) => "is on the old instance and not here",
        };
        all.push(CameBack::new(kind, format!("{noun} {name}: {how}"), cure));
    }
    if let Some(more) = all.len().checked_sub(MOST).filter(|n| *n > 0) {
        all.truncate(MOST);
        all.push(CameBack::new(kind, format!("{more} more {noun}s differ"), cure));
    }
    all
}

/// Tables that no entity maps: nothing is said of their rows.
fn unmapped(found: &Found<'_>) -> Vec<CameBack> {
    let cure = "`restitch doctor --propose-schema` proposes a map; else compare them by hand";
    let shapes = match &found.shapes {
        Ok(shapes) => shapes,
        Err(why) => {
            return vec![CameBack::new(
                "table",
                format!("tables that no [schema] maps: not known: {why}"),
                cure,
            )];
        }
    };
    let plain = |name: &str| name.strip_prefix("public.").unwrap_or(name).to_owned();
    let mapped: BTreeSet<String> = found.catalogue.tables.iter().map(|t| plain(&t.name)).collect();
    let names: Vec<&str> = shapes
        .iter()
        .map(|s| s.name.as_str())
        .filter(|name| !mapped.contains(&plain(name)))
        .collect();
    if names.is_empty() {
        return Vec::new();
    }
    let more = match names.len().checked_sub(MOST).filter(|n| *n > 0) {
        Some(more) => format!(" and {more} more"),
        None => String::new(),
    };
    let shown: Vec<&str> = names.iter().take(MOST).copied().collect();
    let (n, tables) = (names.len(), if names.len() == 1 { "table is" } else { "tables are" });
    let what = format!(
        "{n} {tables} mapped by no [schema], so nothing is said of what they lost: {}{more}",
        shown.join(", ")
    );
    vec![CameBack::new("table", what, cure)]
}

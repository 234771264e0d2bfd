//! The report as one JSON object; its lists are written entry by entry.

use super::told::{self, Figures, Told};
use super::{Sink, Source, case, json_text, sql};
use crate::domain::case::State;
use crate::domain::finding::Kind;
use crate::domain::{Result, time};
use serde_json::{Value as Json, json};

/// Writes it.
pub fn write(source: Source<'_>, to: &mut Sink<'_>) -> Result<()> {
    let told = source.told;
    let schema = &source.config.schema;
    let dialect = source.dialect();
    let Json::Object(head) = head(told) else { return Ok(()) };
    to("{")?;
    for (key, value) in &head {
        to(&format!("{}:{},\n", json_text(key)?, json_text(value)?))?;
    }
    let mut list = List::begin("cases", to)?;
    source.each_case(&mut |file| {
        let mut whole = case::whole(&file, schema)?;
        if let Json::Object(object) = &mut whole {
            object.insert("show".to_owned(), json!(file.found.show));
            object.insert("queries".to_owned(), json!(sql::of_case(&file.found, schema, dialect)));
        }
        list.entry(&whole, to)
    })?;
    List::end(to)?;
    let mut list = List::begin("deeds", to)?;
    source.ledger.audit(&mut |line| list.entry(&json!(line), to))?;
    List::end(to)?;
    lists(source, to)?;
    let mut list = List::begin("queries", to)?;
    for query in told::queries(source, dialect)? {
        list.entry(&json!(query), to)?;
    }
    to("]}\n")
}

/// What left restitch, bulks and papers.
fn lists(source: Source<'_>, to: &mut Sink<'_>) -> Result<()> {
    let at = |t: Option<i64>| t.map(time::format);
    let mut list = List::begin("effects", to)?;
    for effect in source.ledger.effects()? {
        list.entry(&json!(effect), to)?;
    }
    List::end(to)?;
    let mut list = List::begin("bulks", to)?;
    for bulk in &source.told.bulks {
        let told = json!({
            "id": bulk.id, "ask": bulk.ask, "scope": bulk.scope, "by": bulk.by, "at": time::format(bulk.at),
            "excluded": bulk.excluded, "sums": bulk.sums, "stopped": bulk.stopped,
            "items": source.ledger.bulk_items(&bulk.id, false)?,
        });
        list.entry(&told, to)?;
    }
    List::end(to)?;
    let mut list = List::begin("papers", to)?;
    for paper in &source.told.papers {
        let told = json!({
            "key": paper.key, "kind": paper.kind, "case": paper.case, "by": paper.by, "at": time::format(paper.at), "for": paper.to,
            "state": paper.state, "answered_by": paper.answered_by, "answered_at": at(paper.answered_at), "answer": paper.answer,
            "digest": paper.digest, "says": paper.lines(),
        });
        list.entry(&told, to)?;
    }
    List::end(to)
}

/// A list within the object.
struct List {
    first: bool,
}

impl List {
    fn begin(name: &str, to: &mut Sink<'_>) -> Result<Self> {
        to(&format!("{}:[", json_text(&name)?))?;
        Ok(Self { first: true })
    }

    fn entry(&mut self, value: &Json, to: &mut Sink<'_>) -> Result<()> {
        to(if self.first { "\n" } else { ",\n" })?;
        self.first = false;
        to(&json_text(value)?)
    }

    fn end(to: &mut Sink<'_>) -> Result<()> {
        to("],\n")
    }
}

fn head(told: &Told) -> Json {
    let incident = &told.incident;
    let at = |t: Option<i64>| t.map(time::format);
    let bad = incident.bad.as_ref().map(|bad| {
        json!({
            "from": at(bad.from), "to": at(bad.to), "transaction": bad.transaction, "actor": bad.actor,
            "entity": bad.entity, "where": bad.values,
        })
    });
    let gate = told.gate.as_ref().map(|gate| {
        json!({"light": gate.light(), "words": gate.words(), "at": time::format(gate.at), "checks": gate.checks})
    });
    let phases: Vec<Json> = told
        .phases
        .iter()
        .map(|p| {
            json!({
                "phase": p.phase.name(), "state": p.state.name(), "since": at(p.since),
                "took_s": p.took.map(|t| t / 1_000_000), "evidence": p.evidence,
            })
        })
        .collect();
    let accounts: Vec<Json> = told
        .accounts
        .rows
        .iter()
        .map(|(shown, cases, unsettled)| json!({"show": shown, "cases": cases, "unsettled": unsettled}))
        .collect();
    let actions = |(action, [ok, refused, unconfirmed]): (&String, &[u64; 3])| json!({"action": action, "ok": ok, "refused": refused, "unconfirmed": unconfirmed});
    let people = |(who, [done, refused]): (&String, &[u64; 2])| json!({"who": who, "done": done, "refused": refused});
    json!({
        "incident": incident.id,
        "attempt": incident.attempt,
        "restored_to": at(incident.restored_to),
        "stopped_at": at(incident.stopped_at),
        "made_at": time::format(told.made.1),
        "made_by": told.made.0,
        "version": env!("CARGO_PKG_VERSION"),
        "bad": bad,
        "gate": gate,
        "phases": phases,
        "scanned_at": told.scan.as_ref().map(|(at, _)| time::format(*at)),
        "scan": told.scan.as_ref().map(|(_, report)| report),
        "rejected_kept": told.rejected,
        "preview": told.preview.as_ref().ok(),
        "preview_unknown": told.preview.as_ref().err(),
        "found": told.found,
        "figures": figures(&told.figures),
        "accounts": {"columns": told.accounts.columns, "rows": accounts, "other_cases": told.accounts.others},
        "audit": {
            "lines": told.trail.lines, "head": told.trail.head, "whole": told.trail.broken.is_none(), "broken": told.trail.broken,
            "actions": told.trail.actions.iter().map(actions).collect::<Vec<_>>(),
            "people": told.trail.people.iter().map(people).collect::<Vec<_>>(),
        },
    })
}

fn figures(figures: &Figures) -> Json {
    let states: serde_json::Map<String, Json> = State::ALL
        .iter()
        .map(|s| (s.name().to_owned(), json!(figures.of(*s))))
        .collect();
    let names = Kind::ALL.into_iter().map(Kind::name).chain(["undone"]);
    let kinds: serde_json::Map<String, Json> = names
        .zip(&figures.cells)
        .map(|(name, cells)| {
            let states: serde_json::Map<String, Json> = State::ALL
                .iter()
                .zip(cells)
                .map(|(s, n)| (s.name().to_owned(), json!(n)))
                .collect();
            (name.to_owned(), Json::Object(states))
        })
        .collect();
    json!({
        "total": figures.total(), "unsettled": figures.unsettled(), "states": states, "kinds": kinds, "held": figures.held,
    })
}

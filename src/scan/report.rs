//! What `scan --json` prints, but for the ledger's counts of cases.

use super::coverage;
use crate::config::Config;
use crate::domain::back::CameBack;
use crate::domain::case::FoundCase;
use crate::domain::finding::Kind;
use crate::domain::time;
use crate::log::Folded;
use serde::Serialize;
use std::collections::BTreeMap;

/// The log as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogReport {
    /// Events of mapped tables.
    pub events: u64,
    /// Bytes read, uncompressed.
    pub bytes: u64,
    /// Lines that were no events.
    pub rejected: u64,
    /// RFC 3339, UTC.
    pub first: Option<String>,
    /// RFC 3339, UTC.
    pub last: Option<String>,
}

/// What a source says of an entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CoverageReport {
    /// Name of the `[[log]]`.
    pub source: String,
    /// The entity.
    pub entity: String,
    /// RFC 3339, UTC.
    pub first: Option<String>,
    /// RFC 3339, UTC.
    pub last: Option<String>,
    /// Whether it tells of every row from T to the stop; null where that cannot be told.
    pub known: Option<bool>,
    /// Why not, or why it cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Rows of the table, where the source is the whole of it: a database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole: Option<u64>,
}

/// The part of the night that no source covers: what changed there is not known, and no row is clean for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NotKnown {
    /// Before this instant, RFC 3339, UTC; from T on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// After this instant; until the stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What a scan found, in figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScanReport {
    /// The incident's id.
    pub incident: String,
    /// Its attempt.
    pub attempt: u32,
    /// T, RFC 3339, UTC.
    pub restored_to: Option<String>,
    /// The log as far as it was read.
    pub log: LogReport,
    /// Rows of the restored database that were read.
    pub rows_read: u64,
    /// By entity, by row finding; zeros included.
    pub findings: serde_json::Map<String, serde_json::Value>,
    /// By order finding: orders.
    pub orders: serde_json::Map<String, serde_json::Value>,
    /// When the rows stood as later scans remember them: the attempt's first completed scan. RFC 3339, UTC.
    pub opening: Option<String>,
    /// By entity: rows that differ from the log because traffic moved them after the opening, and that open no case.
    pub since_opening: serde_json::Map<String, serde_json::Value>,
    /// What came back besides orders, or is left behind.
    pub came_back: Vec<CameBack>,
    /// Cases of which every finding is there only because of the bad change.
    pub undone: u64,
    /// What each source says of each entity.
    pub coverage: Vec<CoverageReport>,
    /// What lies outside of the coverage.
    pub not_known: NotKnown,
    /// What a person should know besides.
    pub warnings: Vec<String>,
    /// Orders that the log shows in the state Queued: Salesforce keeps them itself until the order system is back.
    #[serde(skip)]
    pub queued: u64,
}

impl ScanReport {
    pub(super) fn new(
        config: &Config,
        log: &Folded,
        cases: &[FoundCase],
        rows_read: u64,
        mut warnings: Vec<String>,
    ) -> Self {
        let reach = coverage::reach(config, log);
        warnings.splice(0..0, reach.warnings);
        let mut counts: BTreeMap<(&str, Kind), u64> = BTreeMap::new();
        let mut orders: BTreeMap<Kind, u64> = BTreeMap::new();
        for finding in cases.iter().flat_map(|case| &case.findings) {
            if Kind::ROW.contains(&finding.kind) {
                *counts.entry((&finding.entity, finding.kind)).or_default() += 1;
            } else {
                *orders.entry(finding.kind).or_default() += 1;
            }
        }
        let of_entity = |name: &str| {
            Kind::ROW
                .iter()
                .map(|kind| {
                    (
                        kind.name().to_owned(),
                        counts.get(&(name, *kind)).copied().unwrap_or(0).into(),
                    )
                })
                .collect::<serde_json::Map<_, _>>()
        };
        Self {
            incident: config.incident.id.clone(),
            attempt: config.incident.attempt,
            restored_to: config.incident.restored_to.map(time::format),
            log: LogReport {
                events: log.stats.events,
                bytes: log.stats.bytes,
                rejected: log.stats.rejected,
                first: log.stats.first.map(time::format),
                last: log.stats.last.map(time::format),
            },
            rows_read,
            findings: config
                .schema
                .entities
                .iter()
                .map(|e| (e.name.clone(), of_entity(&e.name).into()))
                .collect(),
            orders: Kind::ORDER
                .iter()
                .map(|kind| (kind.name().to_owned(), orders.get(kind).copied().unwrap_or(0).into()))
                .collect(),
            undone: cases.iter().filter(|case| case.is_undone()).count() as u64,
            opening: None,
            since_opening: serde_json::Map::new(),
            came_back: Vec::new(),
            coverage: reach.coverage,
            not_known: reach.not_known,
            warnings,
            queued: 0,
        }
    }
}

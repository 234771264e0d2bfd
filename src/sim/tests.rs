use super::*;
use crate::domain::finding::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Instant;

fn files(seed: u64, orders: usize) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    Incident::new(seed, orders).write(folder.path()).unwrap();
    fs::read_dir(folder.path())
        .unwrap()
        .map(|f| f.unwrap())
        .map(|f| (f.file_name().into_string().unwrap(), fs::read(f.path()).unwrap()))
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_does_not() {
    let (a, b, c) = (files(7, 300), files(7, 300), files(8, 300));
    assert_eq!(
        a.keys().collect::<Vec<_>>(),
        [
            "billing.csv",
            "hold.ndjson",
            "log.ndjson",
            "restitch.toml",
            "restored.db"
        ]
    );
    for name in a.keys() {
        assert!(a[name] == b[name], "{name} differs between two runs");
        assert!(a[name] != c[name], "{name} does not depend on the seed");
    }
}

#[test]
fn every_kind_of_damage_is_there_at_the_usual_size() {
    for seed in 1..4 {
        let truth = Incident::new(seed, ORDERS).truth();
        let mut kinds: BTreeMap<(String, Kind), usize> = BTreeMap::new();
        for (entity, _, kind) in truth.cases.values().flat_map(|c| c.findings.keys()) {
            *kinds.entry((entity.clone(), *kind)).or_default() += 1;
        }
        for (entity, kind) in [
            ("order", Kind::Lost),
            ("order", Kind::Moved),
            ("order", Kind::Regressed),
            ("order", Kind::Undeleted),
            ("order", Kind::Collided),
            ("order", Kind::InDoubt),
            ("order", Kind::Orphaned),
            ("order_item", Kind::Moved),
            ("order_item", Kind::Collided),
            ("plan", Kind::Lost),
            ("plan_item", Kind::Regressed),
            ("inventory_item", Kind::Undeleted),
            ("inventory_item", Kind::Moved),
            ("asset", Kind::Regressed),
            ("catalog", Kind::Lost),
            ("catalog", Kind::Undeleted),
            ("metadata", Kind::Undeleted),
            ("metadata", Kind::Regressed),
            ("system_instance", Kind::Regressed),
        ] {
            let n = kinds.get(&(entity.to_owned(), kind)).copied().unwrap_or_default();
            assert!(n > 0, "seed {seed}: no {} {entity}: {kinds:?}", kind.name());
        }
        let undone = |all: bool| {
            let of = |c: &&TrueCase| {
                let undone = c.findings.values().filter(|f| f.undone).count();
                undone > 0 && (undone == c.findings.len()) == all
            };
            truth.cases.values().filter(of).count()
        };
        assert!(
            undone(true) >= 20 && undone(false) > 0,
            "seed {seed}: {}, {}",
            undone(true),
            undone(false)
        );
        let fields = truth.cases.values().flat_map(|c| c.findings.values());
        let mixed = fields.filter(|f| !f.undone && !f.undone_fields.is_empty()).count();
        assert!(
            mixed > 5,
            "seed {seed}: {mixed} rows that the bad change and good ones changed"
        );
        let orders = truth.cases.values().filter(|c| c.order.is_some()).count();
        assert!(
            orders * 100 / ORDERS >= 20 && orders * 100 / ORDERS <= 33,
            "seed {seed}: {orders} orders have a case"
        );
        let held = truth.cases.keys().filter(|id| id.starts_with("held:")).count();
        assert!(held > 3, "seed {seed}: {held} held orders have a case");
        let survived = truth.cases.values().filter(|c| {
            let of = |kind| c.findings.keys().any(|(e, _, k)| e == "order" && *k == kind);
            of(Kind::Orphaned) && !of(Kind::Lost) && !of(Kind::Moved) && c.order.is_some()
        });
        assert!(survived.count() > 3, "seed {seed}: orphans that survived");
    }
}

/// The model that the truth is made of and the map that the scan reads are written apart: they must say the same.
#[test]
fn the_schema_map_says_what_the_model_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = Incident::new(1, 20).write(folder.path()).unwrap();
    let overrides = crate::config::Overrides {
        config: Some(path),
        ..Default::default()
    };
    let config = crate::config::load_in(&overrides, &crate::config::Surroundings::default()).unwrap();
    assert_eq!(config.incident.restored_to, Some(Times::FIXED.restored_to));
    assert_eq!(config.incident.stopped_at, Some(Times::FIXED.stopped_at));
    for (entity, table) in config.schema.entities.iter().zip(model::Table::ALL) {
        let spec = table.spec();
        let names = |columns: &[(&str, &str)]| columns.iter().map(|c| c.0.to_owned()).collect::<Vec<_>>();
        assert_eq!((&*entity.name, &*entity.table), (spec.entity, spec.table));
        assert_eq!(entity.key, names(&spec.columns[..spec.key]));
        let owner = entity.owner.as_ref().map(|o| (&*o.column, &*o.entity));
        assert_eq!(owner, spec.owner.map(|(column, table)| (column, table.spec().entity)));
        let refs: Vec<_> = entity
            .refs
            .iter()
            .map(|r| (&*r.column, &*r.entity, r.target.as_deref()))
            .collect();
        let told: Vec<_> = spec.refs.iter().map(|r| (r.0, r.1.spec().entity, r.2)).collect();
        assert_eq!(refs, told, "{}", spec.entity);
        assert_eq!(entity.identity.first().map(String::as_str), spec.identity);
        if let Some((column, states)) = spec.state {
            assert_eq!(
                (entity.state.as_deref(), &*entity.in_progress),
                (
                    Some(column),
                    &*states.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()
                )
            );
        } else {
            assert!(entity.in_progress.is_empty());
        }
    }
}

#[test]
fn plans_and_items_are_in_every_state() {
    let mut seen: BTreeMap<(&str, &str), BTreeSet<String>> = BTreeMap::new();
    for change in &Incident::new(1, ORDERS).story.changes {
        for column in ["state", "status", "item_type", "kind", "action"] {
            if let Some(value) = change.state.text(column) {
                seen.entry((change.table.spec().entity, column))
                    .or_default()
                    .insert(value);
            }
        }
    }
    // Salesforce, "Orchestration Item States", "Orchestration Item Types", "Order Fulfillment Status".
    for (entity, column, all) in [
        (
            "plan_item",
            "state",
            &[
                "Amended",
                "Cancelled",
                "Completed",
                "Discarded",
                "Failed",
                "Failed Discarded",
                "Fatally Failed",
                "Frozen",
                "On Hold",
                "Pending",
                "Ready",
                "Running",
                "Scheduled",
                "Skipped",
            ][..],
        ),
        (
            "plan_item",
            "item_type",
            &["Auto Task", "Callout", "Manual Task", "Milestone", "Push Event"],
        ),
        (
            "plan",
            "state",
            &["Completed", "Freezing", "Frozen", "In Progress", "Not Started"],
        ),
        (
            "order",
            "status",
            &[
                "Activated",
                "Cancelled",
                "Decomposed",
                "Draft",
                "In Progress",
                "Submitted",
                "Superseded",
            ],
        ),
        ("order", "kind", &["Add", "Change", "Disconnect", "Move", "New"]),
        ("order_item", "action", &["Add", "Change", "Disconnect", "Move"]),
    ] {
        let found: Vec<&str> = seen[&(entity, column)].iter().map(String::as_str).collect();
        assert_eq!(found, all, "{entity}.{column}");
    }
}

/// The demo's queue must be filled at once, and larger incidents must not be out of reach.
#[test]
fn making_it_up_takes_time_in_proportion_to_its_size() {
    let fastest = |orders: usize| {
        let folder = tempfile::tempdir().unwrap();
        let run = |n: usize| {
            let folder = folder.path().join(n.to_string());
            fs::create_dir(&folder).unwrap();
            let began = Instant::now();
            Incident::new(1, orders).write(&folder).unwrap();
            began.elapsed()
        };
        (0..5).map(run).min().unwrap()
    };
    let (small, large) = (fastest(500), fastest(5_000));
    assert!(large < small * 25, "500 orders: {small:?}, 5,000: {large:?}");
}

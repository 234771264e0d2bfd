//! A schema map proposed from a live catalogue: what it says is taken as it is, what only names suggest is marked as a
//! guess. The text loads as configuration as it stands.

use super::facts::Shape;
use crate::domain::schema::ORDER;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Things that orders refer to and do not own, whatever foreign keys they have.
const SHARED: [&str; 5] = ["inventory_item", "asset", "catalog", "metadata", "system_instance"];
/// Columns that people may call a row by, the likeliest first.
const LABELS: [&str; 6] = ["external_id", "salesforce_id", "reference_id", "number", "name", "code"];

/// One entity to be.
struct Entity<'s> {
    name: String,
    shape: &'s Shape,
    key: Vec<String>,
    links: Vec<Link>,
    owner: Option<Link>,
}

/// A column that names a row of another entity.
#[derive(Clone)]
struct Link {
    column: String,
    entity: usize,
    /// The column referred to, where it is not the key.
    target: Option<String>,
    /// Only its name says so.
    guess: bool,
}

/// `[schema.*]` as TOML.
pub fn propose(shapes: &[Shape]) -> String {
    let mut out = String::from(
        "# Proposed by restitch from the catalogue. Keys, references by foreign key and owners are the catalogue's own;\n\
         # lines marked \"guess\" rest on names and unique columns: check them. Put it into restitch.toml.\n",
    );
    let (keyed, keyless): (Vec<&Shape>, Vec<&Shape>) = shapes.iter().partition(|s| key(s).is_some());
    let mut all: Vec<Entity<'_>> = named(&keyed);
    for at in 0..all.len() {
        all[at].links = links(&all, at);
    }
    own(&mut all);
    if !all.iter().any(|e| e.name == ORDER) {
        out.push_str("# No table looks like that of the orders: call its entity [schema.order].\n");
    }
    // Orders first, as people think of them.
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|at| all[*at].name != ORDER);
    for at in order {
        write_entity(&mut out, &all, at);
    }
    for shape in keyless {
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "\n# {} has neither a primary key nor a unique constraint: it cannot be mapped.\n",
            quoted(&shape.name)
        );
    }
    out
}

/// The primary key, else the first unique columns.
fn key(shape: &Shape) -> Option<Vec<String>> {
    let first = || shape.unique.first().cloned();
    Some(shape.key.clone()).filter(|k| !k.is_empty()).or_else(first)
}

/// Entities with names of their own.
fn named<'s>(shapes: &[&'s Shape]) -> Vec<Entity<'s>> {
    let orders = orders(shapes);
    let mut taken = BTreeSet::from([ORDER.to_owned(), "held".to_owned()]);
    let mut all = Vec::with_capacity(shapes.len());
    for (at, shape) in shapes.iter().enumerate() {
        let name = if orders == Some(at) {
            ORDER.to_owned()
        } else {
            let wanted = entity_name(&shape.name);
            let whole: String = shape
                .name
                .chars()
                .map(|c| {
                    if c.is_ascii_alphanumeric() {
                        c.to_ascii_lowercase()
                    } else {
                        '_'
                    }
                })
                .collect();
            let numbered = (2..).map(|n| format!("{whole}_{n}"));
            let mut names = [wanted, whole.clone()].into_iter().chain(numbered);
            names.find(|name| !taken.contains(name)).unwrap_or(whole)
        };
        taken.insert(name.clone());
        all.push(Entity {
            name,
            shape,
            key: key(shape).unwrap_or_default(),
            links: Vec::new(),
            owner: None,
        });
    }
    all
}

fn last_part(table: &str) -> String {
    table.rsplit('.').next().unwrap_or(table).to_lowercase()
}

/// Which table holds the orders: by its name; of several the one that most tables refer to.
fn orders(shapes: &[&Shape]) -> Option<usize> {
    let referred = |name: &str| {
        shapes
            .iter()
            .flat_map(|s| &s.refers)
            .filter(|(_, to, _)| to == name)
            .count()
    };
    let rank = |shape: &Shape| {
        let name = last_part(&shape.name);
        let fits = match name.as_str() {
            "orders" | "order" => 3,
            _ if name.ends_with("_orders") || name.ends_with("_order") => 2,
            _ if name.contains("order") && !["item", "line", "hist", "log"].iter().any(|w| name.contains(w)) => 1,
            _ => return None,
        };
        Some((fits, referred(&shape.name)))
    };
    let ranked = shapes.iter().enumerate().filter_map(|(at, s)| Some((rank(s)?, at)));
    ranked
        .max_by_key(|(rank, at)| (*rank, std::cmp::Reverse(*at)))
        .map(|(_, at)| at)
}

/// What the contract calls such a table, else its name in the singular.
fn entity_name(table: &str) -> String {
    let name = last_part(table);
    let has = |word: &str| name.contains(word);
    let known = if (has("orch") || has("plan")) && has("item") {
        Some("plan_item")
    } else if has("plan") && !has("planet") {
        Some("plan")
    } else if has("order") && (has("item") || has("line")) {
        Some("order_item")
    } else if has("inventory") {
        Some("inventory_item")
    } else if name == "asset" || name == "assets" {
        Some("asset")
    } else if name.starts_with("catalog") {
        Some("catalog")
    } else if has("metadata") {
        Some("metadata")
    } else if has("system_instance") {
        Some("system_instance")
    } else {
        None
    };
    let plain = |name: &str| -> String {
        let letters = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
        letters.collect()
    };
    match known {
        Some(known) => known.to_owned(),
        None => plain(&singular(&name)),
    }
}

fn singular(name: &str) -> String {
    if let Some(stem) = name.strip_suffix("ies") {
        return format!("{stem}y");
    }
    for ending in ["sses", "xes", "ches", "shes"] {
        if name.ends_with(ending) {
            return name.strip_suffix("es").unwrap_or(name).to_owned();
        }
    }
    match name.strip_suffix('s') {
        Some(stem) if !stem.is_empty() && !stem.ends_with('s') => stem.to_owned(),
        _ => name.to_owned(),
    }
}

/// Foreign keys, then columns whose names say the same.
fn links(all: &[Entity<'_>], at: usize) -> Vec<Link> {
    let shape = all[at].shape;
    let mut links: Vec<Link> = Vec::new();
    for (column, table, target) in &shape.refers {
        let Some(entity) = all.iter().position(|e| e.shape.name == *table) else {
            continue;
        };
        if links.iter().any(|l| l.column == *column) {
            continue;
        }
        let by_key = all[entity].key == [target.clone()];
        // A column of a key of several names no row by itself, and what has a dot cannot be written.
        if !by_key && target.contains('.') {
            continue;
        }
        links.push(Link {
            column: column.clone(),
            entity,
            target: (!by_key).then(|| target.clone()),
            guess: false,
        });
    }
    let type_of = |e: &Entity<'_>, name: &str| {
        e.shape
            .columns
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, ty)| ty.clone())
    };
    for (column, ty) in &shape.columns {
        if links.iter().any(|l| l.column == *column) || all[at].key == [column.clone()] {
            continue;
        }
        let lower = column.to_lowercase();
        let Some(stem) = lower.strip_suffix("_id").or_else(|| lower.strip_suffix("_key")) else {
            continue;
        };
        let named = |e: &Entity<'_>| stem == e.name || stem == singular(&last_part(&e.shape.name));
        let found = all.iter().position(named).filter(|e| match &all[*e].key[..] {
            [key] => type_of(&all[*e], key).as_ref() == Some(ty),
            _ => false,
        });
        if let Some(entity) = found {
            links.push(Link {
                column: column.clone(),
                entity,
                target: None,
                guess: true,
            });
        }
    }
    links
}

/// Gives every entity that a chain of links leads from to the orders its owner, the shortest way.
fn own(all: &mut [Entity<'_>]) {
    let Some(order) = all.iter().position(|e| e.name == ORDER) else {
        return;
    };
    let mut owned = BTreeSet::from([order]);
    loop {
        let mut found: BTreeMap<usize, usize> = BTreeMap::new();
        for (at, entity) in all.iter().enumerate() {
            if owned.contains(&at) || SHARED.contains(&entity.name.as_str()) {
                continue;
            }
            let fits = |link: &Link| {
                owned.contains(&link.entity)
                    && link.target.is_none()
                    && !SHARED.contains(&all[link.entity].name.as_str())
            };
            // Of several the one that is named like its owner.
            let like = |link: &Link| link.column.to_lowercase() == format!("{}_id", all[link.entity].name);
            let links = || entity.links.iter().enumerate().filter(|(_, link)| fits(link));
            let own = links().find(|(_, link)| like(link)).or_else(|| links().next());
            if let Some((nth, _)) = own {
                found.insert(at, nth);
            }
        }
        if found.is_empty() {
            return;
        }
        for (at, nth) in found {
            all[at].owner = Some(all[at].links.remove(nth));
            owned.insert(at);
        }
    }
}

fn write_entity(out: &mut String, all: &[Entity<'_>], at: usize) {
    let entity = &all[at];
    let shape = entity.shape;
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("\n[schema.{}]", entity.name));
    line(format!("table = {}", quoted(&shape.name)));
    match &entity.key[..] {
        [one] => line(format!("key = {}", quoted(one))),
        several => line(format!("key = {}", listed(several))),
    }
    if shape.key.is_empty() {
        line("# guess: there is no primary key; these columns are unique".to_owned());
    }
    let columns = || shape.columns.iter().map(|(name, _)| name);
    let named = |words: &[&str]| columns().find(|c| words.contains(&c.to_lowercase().as_str())).cloned();
    let linked = |column: &String| {
        entity.links.iter().chain(&entity.owner).any(|l| l.column == *column) || entity.key.contains(column)
    };
    let unique = || {
        shape
            .unique
            .iter()
            .filter(|u| **u != entity.key && !u.iter().any(&linked))
    };
    let label = unique()
        .find_map(|u| u.first().filter(|_| u.len() == 1).cloned())
        .or_else(|| LABELS.iter().find_map(|label| named(&[label])))
        .filter(|label| !entity.key.contains(label));
    if let Some(label) = label {
        line(format!("label = {}   # guess", quoted(&label)));
    }
    if let Some(identity) = unique().min_by_key(|u| u.len()) {
        line(format!(
            "identity = {}   # guess: unique besides the key",
            listed(identity)
        ));
    }
    let state = named(&["status", "state"]).or_else(|| {
        columns()
            .find(|c| c.to_lowercase().ends_with("_status") || c.to_lowercase().ends_with("_state"))
            .cloned()
    });
    if let Some(state) = state {
        line(format!("state = {}   # guess", quoted(&state)));
        line("# in_progress = [\"Running\"]   # the states that are under way; cancelled = [...] those that count as cancelled".to_owned());
    }
    let mut refs: Vec<&Link> = entity.links.iter().collect();
    if entity.name == ORDER
        && let Some(nth) = refs
            .iter()
            .position(|l| l.entity == at && l.target.is_none() && l.column.to_lowercase().contains("supersed"))
    {
        let former = refs.remove(nth);
        line(format!(
            "supersedes = {}   # guess: by its name",
            quoted(&former.column)
        ));
    }
    if let Some(owner) = &entity.owner {
        let mark = if owner.guess { "   # guess: by its name" } else { "" };
        line(format!(
            "owner = {{ {} = {} }}{mark}",
            quoted(&owner.column),
            quoted(&all[owner.entity].name)
        ));
    }
    if !refs.is_empty() {
        let guessed: Vec<String> = refs.iter().filter(|r| r.guess).map(|r| quoted(&r.column)).collect();
        let mark = match guessed.len() {
            0 => String::new(),
            _ => format!("   # guess, by name: {}", guessed.join(", ")),
        };
        let refs: Vec<String> = refs
            .iter()
            .map(|r| {
                let to = &all[r.entity].name;
                let to = r
                    .target
                    .as_ref()
                    .map_or_else(|| to.clone(), |column| format!("{to}.{column}"));
                format!("{} = {}", quoted(&r.column), quoted(&to))
            })
            .collect();
        line(format!("refs = {{ {} }}{mark}", refs.join(", ")));
    }
    write_named(out, entity);
}

/// The parts that columns seem to play by their names alone.
fn write_named(out: &mut String, entity: &Entity<'_>) {
    let named = |words: &[&str]| {
        let mut columns = entity.shape.columns.iter().map(|(name, _)| name);
        columns.find(|c| words.contains(&c.to_lowercase().as_str()))
    };
    let is_item = entity.name.ends_with("_item") && entity.name != "inventory_item";
    for (key, words) in [
        ("action", &["action", "macd_action"][..]),
        ("type", &["item_type", "type"][..]),
        ("ponr", &["is_ponr", "ponr"][..]),
    ] {
        if let Some(column) = named(words).filter(|_| is_item) {
            let _ = writeln!(out, "{key} = {}   # guess", quoted(column));
        }
    }
    if let Some(changed) = named(&["updated_at", "modified_at", "modified", "last_modified", "updated"]) {
        let _ = writeln!(
            out,
            "# ignore = [{}]   # where it says only when, not what",
            quoted(changed)
        );
    }
}

fn listed(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|n| quoted(n)).collect();
    format!("[{}]", names.join(", "))
}

/// A TOML basic string in which nothing can act on a terminal or end a line.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' ' => out.push(c),
            c if c.is_ascii_graphic() || c.is_alphanumeric() => out.push(c),
            c => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_text;
    use std::path::Path;

    fn shape(name: &str, columns: &[&str], key: &[&str], refers: &[(&str, &str, &str)]) -> Shape {
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        Shape {
            name: name.to_owned(),
            columns: columns.iter().map(|c| ((*c).to_owned(), "bigint".to_owned())).collect(),
            key: own(key),
            unique: Vec::new(),
            refers: refers
                .iter()
                .map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned()))
                .collect(),
            rows: None,
        }
    }

    #[test]
    fn hostile_names_load_as_they_are() {
        let hostile = "a\"b\n[schema.x]\u{1b}[2J\u{202e}.é";
        let shapes = [
            shape(hostile, &["id", hostile], &["id", hostile], &[]),
            shape("orders", &["id"], &["id"], &[]),
            shape("no\nkey", &["x"], &[], &[]),
        ];
        let toml = propose(&shapes);
        assert!(toml.chars().all(|c| c == '\n' || !c.is_control()), "{toml:?}");
        let config = from_text(&toml, "proposed", Path::new("")).unwrap();
        assert_eq!(config.schema.entities.len(), 2, "{toml}");
        let other = config.schema.entities.iter().find(|e| e.name != "order").unwrap();
        assert_eq!((other.table.as_str(), other.key[1].as_str()), (hostile, hostile));
    }

    #[test]
    fn owners_lead_to_the_order_and_never_round() {
        let shapes = [
            shape(
                "om.plans",
                &["id", "order_id"],
                &["id"],
                &[("order_id", "om.orders", "id")],
            ),
            shape(
                "om.orders",
                &["id", "plan_id", "superseded_order_id"],
                &["id"],
                &[
                    ("plan_id", "om.plans", "id"),
                    ("superseded_order_id", "om.orders", "id"),
                ],
            ),
            shape(
                "om.orch_items",
                &["plan_id", "seq"],
                &["plan_id", "seq"],
                &[("plan_id", "om.plans", "id")],
            ),
            shape("om.order_notes", &["id", "order_id"], &["id"], &[]),
            shape(
                "om.assets",
                &["id", "order_id"],
                &["id"],
                &[("order_id", "om.orders", "id")],
            ),
        ];
        let toml = propose(&shapes);
        let config = from_text(&toml, "proposed", Path::new("")).unwrap();
        let owner = |name: &str| {
            let entity =
                &config.schema.entities[config.schema.index(name).unwrap_or_else(|| panic!("no {name}: {toml}"))];
            entity.owner.as_ref().map(|o| o.entity.clone())
        };
        assert_eq!(owner("order"), None);
        assert_eq!(owner("plan").as_deref(), Some("order"));
        assert_eq!(owner("plan_item").as_deref(), Some("plan"));
        assert_eq!(owner("order_note").as_deref(), Some("order"));
        assert_eq!(owner("asset"), None);
        let order = &config.schema.entities[0];
        assert_eq!(order.supersedes.as_deref(), Some("superseded_order_id"));
        assert_eq!(order.refs[0].entity, "plan");
        assert!(
            toml.contains("owner = { \"order_id\" = \"order\" }   # guess: by its name"),
            "{toml}"
        );
    }
}

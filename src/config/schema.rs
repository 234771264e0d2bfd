//! `[schema.*]`: the site's tables, and that owners and references lead somewhere.

use super::fields::{Field, Fields};
use super::tree::{Node, Value};
use crate::domain::schema::{Entity, ORDER, Owner, Reference, Schema, nearest};
use crate::domain::{Error, Result};

/// Reads all entities, `order` first, and checks that owners and references name mapped ones.
pub fn read(node: &Node) -> Result<Schema> {
    let fields = Fields::any(node, "schema")?;
    let mut entities: Vec<Entity> = Vec::new();
    for (name, field) in fields.all() {
        let entity = entity(name, &field)?;
        if let Some(other) = entities.iter().find(|e| e.table == entity.table) {
            return Err(at(&field, "table")
                .wrong(format!(
                    "{} and schema.{} map the same table {:?}",
                    field.path, other.name, entity.table
                ))
                .cure("an event of a table must mean one entity: take one of them out"));
        }
        entities.push(entity);
    }
    if let Some(order) = entities.iter().position(|e| e.name == ORDER) {
        let order = entities.remove(order);
        entities.insert(0, order);
    }
    let schema = Schema { entities };
    for (name, field) in fields.all() {
        if let Some(entity) = schema.entities.iter().find(|e| e.name == name) {
            check_links(entity, &field, &schema)?;
        }
    }
    Ok(schema)
}

fn entity(name: &str, field: &Field<'_>) -> Result<Entity> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(plain) || name == "held" {
        return Err(field
            .wrong(format!("{name:?} cannot name an entity"))
            .cure("use letters, digits, _ and -; \"held\" is taken by orders that are only in the hold"));
    }
    let fields = Fields::of(field.node, &field.path, "schema.*")?;
    let entity = Entity {
        name: name.to_owned(),
        table: fields.need("table", "\"om.orders\"")?.text()?.to_owned(),
        key: fields.need("key", "\"id\"")?.some_texts()?,
        label: fields.text("label")?,
        identity: match fields.get("identity") {
            Some(identity) => identity.some_texts()?,
            None => Vec::new(),
        },
        ignore: fields.texts("ignore")?,
        state: fields.text("state")?,
        cancelled: fields.texts("cancelled")?,
        supersedes: fields.text("supersedes")?,
        owner: fields.get("owner").map(|f| owner(&f)).transpose()?,
        refs: match fields.get("refs") {
            Some(refs) => references(&refs)?,
            None => Vec::new(),
        },
        show: fields.texts("show")?,
        rank: fields.text("rank")?,
        mask: fields.texts("mask")?,
        action: fields.text("action")?,
        macd: fields.texts("macd")?,
        in_progress: fields.texts("in_progress")?,
        type_column: fields.text("type")?,
        outside: fields.texts("outside")?,
        ponr: fields.text("ponr")?,
        states: fields.texts("states")?,
    };
    let columns = [
        ("in_progress", "state", entity.state.is_some()),
        ("cancelled", "state", entity.state.is_some()),
        ("states", "state", entity.state.is_some()),
        ("macd", "action", entity.action.is_some()),
        ("outside", "type", entity.type_column.is_some()),
    ];
    for (list, column, there) in columns {
        if let (Some(list), false) = (fields.get(list), there) {
            return Err(list
                .wrong(format!(
                    "{} lists values, but no column is named that holds them",
                    list.path
                ))
                .cure(format!("add {column} = \"<column>\" to [{}]", field.path)));
        }
    }
    Ok(entity)
}

/// `owner = { order_id = "order" }`, or `owner = "order_id"`, which means the order.
fn owner(field: &Field<'_>) -> Result<Owner> {
    if let Value::Text(_) = field.node.value {
        return Ok(Owner {
            column: field.text()?.to_owned(),
            entity: ORDER.to_owned(),
        });
    }
    let fields = Fields::any(field.node, &field.path)?;
    let mut owners = fields.all();
    let (Some((column, entity)), None) = (owners.next(), owners.next()) else {
        return Err(field
            .wrong(format!("{} must name exactly one column", field.path))
            .cure("a row has one owner, like owner = { order_id = \"order\" }; the others are refs"));
    };
    Ok(Owner {
        column: column.to_owned(),
        entity: entity.text()?.to_owned(),
    })
}

/// `refs = { prior_order_id = "order", asset_ref = "asset.reference_id" }`
fn references(field: &Field<'_>) -> Result<Vec<Reference>> {
    Fields::any(field.node, &field.path)?
        .all()
        .map(|(column, target)| {
            let (entity, target) = match target.text()?.split_once('.') {
                Some((entity, column)) if !entity.is_empty() && !column.is_empty() => (entity, Some(column)),
                Some(_) => {
                    return Err(target
                        .wrong(format!("{} is neither an entity nor entity.column", target.path))
                        .cure("write it like \"order\" or \"asset.reference_id\""));
                }
                None => (target.text()?, None),
            };
            Ok(Reference {
                column: column.to_owned(),
                entity: entity.to_owned(),
                target: target.map(str::to_owned),
            })
        })
        .collect()
}

fn check_links(entity: &Entity, field: &Field<'_>, schema: &Schema) -> Result<()> {
    if let Some(owner) = &entity.owner {
        let at = at(field, "owner");
        if schema.index(&owner.entity).is_none() {
            return Err(unmapped(&at, &owner.entity, schema));
        }
        let mut seen = vec![entity.name.as_str()];
        let mut above = Some(owner);
        while let Some(owner) = above {
            if entity.name == ORDER || seen.contains(&owner.entity.as_str()) {
                seen.push(&owner.entity);
                return Err(at
                    .wrong(format!(
                        "{}: owners go round in a circle: {}",
                        at.path,
                        seen.join(" → ")
                    ))
                    .cure("a chain of owners ends at the order, which has none; use refs for the others"));
            }
            seen.push(&owner.entity);
            above = schema
                .entities
                .iter()
                .find(|e| e.name == owner.entity)
                .and_then(|e| e.owner.as_ref());
        }
    }
    if let Some(reference) = entity.refs.iter().find(|r| schema.index(&r.entity).is_none()) {
        let refs = at(field, "refs");
        return Err(unmapped(&at(&refs, &reference.column), &reference.entity, schema));
    }
    Ok(())
}

/// The value under `key` of the table in `field`; the table itself where it is not there.
fn at<'a>(field: &Field<'a>, key: &str) -> Field<'a> {
    let found = Fields::any(field.node, &field.path).ok().and_then(|f| f.get(key));
    found.unwrap_or(Field {
        path: field.path.clone(),
        node: field.node,
    })
}

/// The error about a name that no `[schema.*]` maps.
pub fn unmapped(field: &Field<'_>, name: &str, schema: &Schema) -> Error {
    let near = nearest(name, schema.entities.iter().map(|e| e.name.as_str()));
    let error = field.wrong(format!("{} names {name:?}, which no [schema.{name}] maps", field.path));
    if near.is_empty() {
        error.cure(format!("add [schema.{name}] with its table and key"))
    } else {
        error.cure(format!("add [schema.{name}], or use one that is mapped: {near}"))
    }
}

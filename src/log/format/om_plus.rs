//! `om-plus`: records of OM Plus data event streaming, one a line.
//!
//! Source: the sample records of Salesforce's page on data event streaming for Order Management Plus. A record is one flat
//! object: `_action` (`insert`, `update`, `delete`), `id`, `Object Type`, and the row's fields by their labels
//! (`Salesforce Id`, `Asset Reference Id`). What the samples do not show is not assumed: a field that a record leaves out is
//! not known, and nothing but an `insert` says that the row was absent before.
//!
//! How names are mapped:
//!
//! - `Object Type` is an entity by `[[log]] entities`, by its name, or by the last part of its table's name; case, spaces
//!   and underscores do not count, so `Order Item` is `order_item`. `Orchestration Plan` and `Orchestration Item` are also
//!   `plan` and `plan_item`. A record without it is an order or an order item where its `Salesforce Id` says so.
//! - A field is the column of its name, with the same freedom: `Asset Reference Id` is `asset_reference_id`.
//! - The key columns are read from the fields of their names; where one column is the key and no field has its name, from
//!   `id`.
//!
//! The event's time is `Modified`. That is when the row was written, not when its transaction was committed: a record may
//! bear a time before T and yet have been committed after it.

use super::members::Members;
use super::{FormatContext, Line, value_of};
use crate::domain::event::{Change, Op};
use crate::domain::schema::EntityIx;
use crate::domain::time;
use crate::domain::value::{LogKind, LogValue};
use smallvec::SmallVec;
use std::borrow::Cow;

/// OM Plus's words for entities that the configuration calls otherwise.
const ALSO: [(&str, &str); 2] = [("Orchestration Plan", "plan"), ("Orchestration Item", "plan_item")];

/// The first characters of a Salesforce id say what it is of. Source: Salesforce help, "Standard field record id prefix
/// decoder".
const PREFIXES: [(&str, &str); 2] = [("801", "Order"), ("802", "Order Item")];

/// Decodes one line.
pub fn decode<'a>(ctx: &FormatContext<'_>, line: &'a str, out: &mut impl FnMut(Change<'a>)) -> Result<Line, String> {
    let members = Members::read(line)?;
    let text = |name: &str| -> Result<Option<Cow<'a, str>>, String> {
        let Some(raw) = members.get(name) else { return Ok(None) };
        match value_of(raw.get()).map_err(|e| format!("`{name}`: {e}"))? {
            LogValue {
                kind: LogKind::Null, ..
            } => Ok(None),
            LogValue {
                kind: LogKind::Text,
                text,
            } => Ok(Some(text)),
            other => Err(format!("`{name}` is {}, not a string", other.text)),
        }
    };
    let op = match text("_action")?.ok_or("no `_action`")?.as_ref() {
        "insert" => Op::Insert,
        "update" => Op::Upsert,
        "delete" => Op::Delete,
        other => return Err(format!("`_action` is {other:?}, not insert, update or delete")),
    };
    let object = match text("Object Type")? {
        Some(object) => object,
        None => Cow::Borrowed(by_prefix(text("Salesforce Id")?.as_deref()).ok_or("no `Object Type`")?),
    };
    let Some(entity) = entity(ctx, &object) else {
        return Ok(Line::SkippedTable);
    };
    let at = match text("Modified")? {
        Some(text) => {
            Some(time::parse(&text).ok_or_else(|| format!("`Modified` is {text:?}, not an instant with a time zone"))?)
        }
        None => None,
    };
    let mut fields: SmallVec<[_; 16]> = SmallVec::new();
    for (name, raw) in members.0.iter().filter(|(name, _)| name != "_action") {
        let about_the_event = matches!(&**name, "Object Type" | "id");
        let Some(column) = ctx.column_called(entity, name, !about_the_event) else {
            continue;
        };
        fields.push((column, value_of(raw.get()).map_err(|e| format!("`{name}`: {e}"))?));
    }
    let table = &ctx.catalogue.tables[entity];
    let key = ctx.key(entity, |column| {
        let column = table.column(column);
        let named =
            |(name, _): &&(Cow<'_, str>, _)| name != "_action" && ctx.column_called(entity, name, false) == column;
        let raw = members.0.iter().rev().find(named).map(|(_, raw)| *raw);
        let id = || members.get("id").filter(|_| table.key.len() == 1);
        value_of(raw.or_else(id)?.get()).ok()
    })?;
    out(Change {
        entity,
        key,
        moved_from: None,
        op,
        version: None,
        position: None,
        at,
        transaction: None,
        actor: None,
        fields,
    });
    Ok(Line::Changes)
}

fn entity(ctx: &FormatContext<'_>, object: &str) -> Option<EntityIx> {
    ctx.entity_called(object).or_else(|| {
        let (_, name) = ALSO.iter().find(|(also, _)| *also == object)?;
        ctx.schema.index(name)
    })
}

fn by_prefix(salesforce_id: Option<&str>) -> Option<&'static str> {
    let prefix = salesforce_id?.get(..3)?;
    PREFIXES.iter().find(|(p, _)| *p == prefix).map(|(_, object)| *object)
}

#[cfg(test)]
mod tests {
    use crate::config::FormatKind;

    #[test]
    fn every_record_of_the_corpus_decodes_as_documented() {
        crate::log::format::corpus::holds("om-plus", FormatKind::OmPlus, 3);
    }
}

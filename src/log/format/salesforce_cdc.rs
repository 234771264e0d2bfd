//! `salesforce-cdc`: change events of Salesforce's Change Data Capture, one a line.
//!
//! Source: Salesforce, Change Data Capture Developer Guide, "Change Event Message Structure", "Change Event Fields", "Gap
//! Events", "Overflow Events", "Merged Change Events"; Pub/Sub API, "Event Deserialization Considerations". The event is
//! read bare (`{"ChangeEventHeader":{…},"Status":…}`), under `payload`, or under `data.payload` as the Streaming API sends
//! it.
//!
//! - `entityName` is an entity by `[[log]] entities`, by its name, or by the last part of its table's name; case, spaces
//!   and underscores do not count, so `OrderItem` is `order_item`. A field is the column of its name, with the same
//!   freedom; a part of a compound field that of its own name (`BillingAddress.City` is `BillingCity`).
//! - The key is the record's id: only tables whose one key column holds Salesforce ids can be mapped. Several `recordIds`
//!   are as many changes.
//! - An update carries the fields that changed. A field that is null was emptied, unless the header has `nulledFields`:
//!   then only those were, and other nulls are fields that did not change.
//! - Gap events, and fields that come as a difference (`diffFields`), say that something changed and not to what.
//! - The position is `event.replayId` where it is there. `commitNumber` is unique in one database instance only.

use super::members::Members;
use super::{FormatContext, Line, value_of};
use crate::domain::event::{Change, Gap, Op, Position};
use crate::domain::schema::{ColumnIx, EntityIx};
use crate::domain::value::instant::{date_text, timestamp_text};
use crate::domain::value::{ColumnType, LogKind, LogValue, salesforce_id_18};
use serde::Deserialize;
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::borrow::Cow;

/// The record id of an overflow event, which is of no record.
const NO_RECORD: &str = "000000000000000";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header<'a> {
    #[serde(borrow)]
    entity_name: Cow<'a, str>,
    #[serde(borrow)]
    record_ids: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    change_type: Cow<'a, str>,
    /// Milliseconds since 1970.
    commit_timestamp: Option<i64>,
    #[serde(borrow)]
    transaction_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    commit_user: Option<Cow<'a, str>>,
    #[serde(borrow)]
    nulled_fields: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    diff_fields: Option<Vec<Cow<'a, str>>>,
}

/// Decodes one line.
pub fn decode<'a>(ctx: &FormatContext<'_>, line: &'a str, out: &mut impl FnMut(Change<'a>)) -> Result<Line, String> {
    let top = Members::read(line)?;
    let (payload, event) = unwrap(top)?;
    let Some(header) = payload.get("ChangeEventHeader") else {
        // What a subscriber of the Streaming API gets besides events.
        let meta = payload.get("channel").is_some_and(|c| c.get().starts_with("\"/meta/"));
        return if meta {
            Ok(Line::SkippedOther)
        } else {
            Err("no `ChangeEventHeader`".to_owned())
        };
    };
    let header: Header<'a> = serde_json::from_str(header.get()).map_err(|e| {
        let text = e.to_string();
        format!(
            "`ChangeEventHeader`: {}",
            text.split(" at line ").next().unwrap_or_default()
        )
    })?;
    let Some(entity) = ctx.entity_called(&header.entity_name) else {
        return Ok(Line::SkippedTable);
    };
    let at = match header.commit_timestamp {
        Some(ms) => Some(
            ms.checked_mul(1_000)
                .ok_or_else(|| format!("`commitTimestamp` is {ms}, which is no instant"))?,
        ),
        None => None,
    };
    if let Some(kind) = header.change_type.strip_prefix("GAP_") {
        return gap(ctx, entity, &header, kind, at).map(Line::Gap);
    }
    let op = match &*header.change_type {
        "CREATE" => Op::Insert,
        "UPDATE" | "UNDELETE" => Op::Upsert,
        "DELETE" => Op::Delete,
        other => return Err(format!("`changeType` is {other:?}, which is not known")),
    };
    let keys = keys(ctx, entity, &header.record_ids)?;
    if keys.is_empty() {
        return Err(format!("`recordIds` names no record: {:?}", header.record_ids));
    }
    let fields = Reader {
        ctx,
        entity,
        header: &header,
    };
    let mut differing = None;
    let mut row = SmallVec::new();
    if op != Op::Delete {
        fields.read(&payload, &mut row, &mut differing)?;
    }
    let position = replay_id(event.as_ref())?;
    for key in &keys {
        out(Change {
            entity,
            key: key.clone(),
            moved_from: None,
            op,
            version: None,
            position,
            at,
            transaction: header.transaction_key.clone(),
            actor: header.commit_user.clone(),
            fields: row.clone(),
        });
    }
    Ok(match differing {
        None => Line::Changes,
        Some(field) => Line::Gap(Gap {
            entity: Some(entity),
            keys: keys.iter().map(|key| Box::from(&**key)).collect(),
            from: at,
            to: at,
            why: format!("its {field} was sent as a difference (diffFields), so its value is not known"),
        }),
    })
}

/// The event's own members and the `event` that stands beside them.
fn unwrap(top: Members<'_>) -> Result<(Members<'_>, Option<&RawValue>), String> {
    let mut members = top;
    if let (None, Some(data)) = (members.get("ChangeEventHeader"), members.get("data")) {
        members = Members::read(data.get()).map_err(|e| format!("`data`: {e}"))?;
    }
    let event = members.get("event");
    if let (None, Some(payload)) = (members.get("ChangeEventHeader"), members.get("payload")) {
        members = Members::read(payload.get()).map_err(|e| format!("`payload`: {e}"))?;
    }
    Ok((members, event))
}

/// "The replay ID is the position of the event in the event stream."
fn replay_id(event: Option<&&RawValue>) -> Result<Option<Position>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Event {
        replay_id: Option<u64>,
    }
    let Some(event) = event else { return Ok(None) };
    let event: Event =
        serde_json::from_str(event.get()).map_err(|_| format!("`event` is {event}, without a replayId"))?;
    Ok(event.replay_id.map(Position::Number))
}

/// What a gap event leaves open. An overflow, and a change of a field's type (`a00*`), are of every record.
fn gap(
    ctx: &FormatContext<'_>,
    entity: EntityIx,
    header: &Header<'_>,
    kind: &str,
    at: Option<i64>,
) -> Result<Gap, String> {
    let why = match kind {
        "CREATE" => "Salesforce created it and could not say how (GAP_CREATE)",
        "UPDATE" => "Salesforce changed it and could not say how (GAP_UPDATE)",
        "DELETE" => "Salesforce deleted it outside of its change events (GAP_DELETE)",
        "UNDELETE" => "Salesforce undeleted it and could not say how it is (GAP_UNDELETE)",
        "OVERFLOW" => "one transaction changed more records than Salesforce tells of (GAP_OVERFLOW)",
        other => return Err(format!("`changeType` is \"GAP_{other}\", which is not known")),
    };
    let every = kind == "OVERFLOW" || header.record_ids.iter().any(|id| id.ends_with('*'));
    let keys = if every {
        Vec::new()
    } else {
        keys(ctx, entity, &header.record_ids)?
    };
    Ok(Gap {
        entity: Some(entity),
        keys: keys.into_iter().map(|key| key.into_owned().into_boxed_str()).collect(),
        from: at,
        to: at,
        why: why.to_owned(),
    })
}

/// The keys of these records, ids in their long form.
fn keys<'a>(ctx: &FormatContext<'_>, entity: EntityIx, ids: &[Cow<'a, str>]) -> Result<Vec<Cow<'a, str>>, String> {
    let records = ids.iter().filter(|id| !id.starts_with(NO_RECORD));
    let key = |id: &Cow<'a, str>| {
        let id = salesforce_id_18(id).map_or_else(|| id.clone(), Cow::Owned);
        if id.ends_with('*') {
            return Err(format!(
                "`recordIds` names many records, {id}, which only a gap event may"
            ));
        }
        ctx.whole_key(entity, &LogValue::new(LogKind::Text, id))
            .map_err(|e| format!("{e}: this format needs a table whose key is the Salesforce id"))
    };
    records.map(key).collect()
}

/// Columns and their values, as a change has them.
type Fields<'a> = SmallVec<[(ColumnIx, LogValue<'a>); 16]>;

struct Reader<'c, 's, 'a> {
    ctx: &'c FormatContext<'s>,
    entity: EntityIx,
    header: &'c Header<'a>,
}

impl<'a> Reader<'_, '_, 'a> {
    fn read(&self, payload: &Members<'a>, row: &mut Fields<'a>, differing: &mut Option<String>) -> Result<(), String> {
        for (name, raw) in payload.0.iter().filter(|(name, _)| name != "ChangeEventHeader") {
            if raw.get().starts_with('{') {
                let parts = Members::read(raw.get()).map_err(|e| format!("`{name}`: {e}"))?;
                for (part, raw) in &parts.0 {
                    let column = self.part(name, part);
                    self.field(&format!("{name}.{part}"), column, raw, row, differing)?;
                }
            } else {
                let column = self.ctx.column_called(self.entity, name, true);
                self.field(name, column, raw, row, differing)?;
            }
        }
        // Emptied fields that the event does not even name.
        for name in self.header.nulled_fields.iter().flatten() {
            if name.starts_with("0x") || name.contains("-0x") {
                return Err(format!(
                    "`nulledFields` is the bitmap {name}: which fields it means stands in the event's schema; have what \
                     wrote this log decode it"
                ));
            }
            let column = match name.split_once('.') {
                Some((compound, part)) => self.part(compound, part),
                None => self.ctx.column_called(self.entity, name, true),
            };
            if let Some(column) = column.filter(|column| row.iter().all(|(c, _)| c != column)) {
                row.push((column, LogValue::NULL));
            }
        }
        Ok(())
    }

    fn field(
        &self,
        name: &str,
        column: Option<ColumnIx>,
        raw: &'a RawValue,
        row: &mut Fields<'a>,
        differing: &mut Option<String>,
    ) -> Result<(), String> {
        let Some(column) = column else { return Ok(()) };
        let among = |names: &Option<Vec<Cow<'_, str>>>| names.iter().flatten().any(|n| n == name);
        if among(&self.header.diff_fields) {
            differing.get_or_insert_with(|| name.to_owned());
            return Ok(());
        }
        let value = value_of(raw.get()).map_err(|e| format!("`{name}`: {e}"))?;
        let unchanged = self.header.change_type == "UPDATE" && self.header.nulled_fields.is_some();
        if value.kind == LogKind::Null && unchanged && !among(&self.header.nulled_fields) {
            return Ok(());
        }
        let ty = &self.ctx.catalogue.tables[self.entity].columns[usize::from(column)].ty;
        row.push((column, instant(ty, value).map_err(|e| format!("`{name}`: {e}"))?));
        Ok(())
    }

    /// The column of a part of a compound field: of both names together, or of the part's own name in the API.
    /// Source: Salesforce, SOAP API Developer Guide, "Address Compound Fields", "Name Fields", "Geolocation Compound Field".
    fn part(&self, compound: &str, part: &str) -> Option<ColumnIx> {
        let own = if compound == "Name" {
            part.to_owned()
        } else if let Some(custom) = compound.strip_suffix("__c") {
            format!("{custom}__{part}__s")
        } else {
            format!("{}{part}", compound.strip_suffix("Address").unwrap_or(compound))
        };
        let both = format!("{compound}.{part}");
        let found = self.ctx.column_called(self.entity, &own, false);
        found.or_else(|| self.ctx.column_called(self.entity, &both, true))
    }
}

/// Salesforce's instants have milliseconds and no more; where they come as a number, milliseconds since 1970, dates too.
fn instant<'a>(ty: &ColumnType, value: LogValue<'a>) -> Result<LogValue<'a>, String> {
    let zoned = match ty {
        ColumnType::TimestampTz => true,
        ColumnType::Timestamp => false,
        ColumnType::Date if value.kind == LogKind::Number => {
            let ms: i64 = value
                .text
                .parse()
                .map_err(|_| format!("{} is no number of milliseconds", value.text))?;
            return Ok(LogValue::new(LogKind::Text, date_text(ms.div_euclid(86_400_000))));
        }
        _ => return Ok(value),
    };
    match value.kind {
        LogKind::Number => {
            let micros = value.text.parse::<i64>().ok().and_then(|ms| ms.checked_mul(1_000));
            let micros = micros.ok_or_else(|| format!("{} is no number of milliseconds", value.text))?;
            Ok(LogValue::new(LogKind::Millis, timestamp_text(micros, zoned)))
        }
        LogKind::Text => Ok(LogValue::new(LogKind::Millis, value.text)),
        _ => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::FormatKind;

    #[test]
    fn every_event_of_the_corpus_decodes_as_documented() {
        crate::log::format::corpus::holds("salesforce-cdc", FormatKind::SalesforceCdc, 6);
    }
}

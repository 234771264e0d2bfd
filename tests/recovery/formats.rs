//! The captured log in each format that `restitch` reads, with what real logs do to it: duplicates, disorder, pieces.

use crate::capture::{Columns, Event, Folded, entity_of, fold, key_text, plain};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Wal2json,
    Native,
    Debezium,
}

/// A log as files, and where each event stands in it.
pub struct Log {
    pub lines: Vec<String>,
    /// Events as the format has them, in order, with the position that evidence names.
    pub events: Vec<(Event, String)>,
}

impl Format {
    pub const ALL: [Self; 3] = [Self::Wal2json, Self::Native, Self::Debezium];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Wal2json => "wal2json",
            Self::Native => "native",
            Self::Debezium => "debezium",
        }
    }

    pub fn log(self, events: &[Event], raw: &[String]) -> Log {
        match self {
            // The lines of unmapped tables and transactions too.
            Self::Wal2json => Log {
                lines: raw.to_vec(),
                events: events.iter().map(|e| (e.clone(), e.lsn.clone())).collect(),
            },
            Self::Native => native(events),
            Self::Debezium => debezium(events),
        }
    }
}

impl Log {
    /// Writes the log in three pieces, plain, gzip and zstd, shuffled within a window, every ninth line twice. Positions
    /// and versions must undo all of that.
    pub fn write(&self, folder: &Path) {
        let mut lines: Vec<&String> = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            lines.push(line);
            if at % 9 == 0 {
                lines.push(line);
            }
        }
        let mut random = 0x2545_F491_4F6C_DD1D_u64;
        for window in lines.chunks_mut(40) {
            for at in (1..window.len()).rev() {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                window.swap(at, usize::try_from(random >> 33).unwrap() % (at + 1));
            }
        }
        std::fs::create_dir_all(folder).unwrap();
        let third = lines.len() / 3;
        let text = |part: &[&String]| part.iter().fold(String::new(), |text, line| text + line + "\n");
        // The last piece sorts first: the order of files means nothing either.
        std::fs::write(folder.join("c.ndjson"), text(&lines[..third])).unwrap();
        let gz = std::fs::File::create(folder.join("b.ndjson.gz")).unwrap();
        let mut gz = flate2::write::GzEncoder::new(gz, flate2::Compression::fast());
        gz.write_all(text(&lines[third..2 * third]).as_bytes()).unwrap();
        gz.finish().unwrap();
        let zst = std::fs::File::create(folder.join("a.ndjson.zst")).unwrap();
        zstd::stream::copy_encode(text(&lines[2 * third..]).as_bytes(), zst, 3).unwrap();
    }
}

/// A JSON number or string, half of the time as a string: both are read as the column's type.
fn native_value(ty: &str, value: &str, odd: bool) -> String {
    match ty {
        "json" | "jsonb" if odd && value != "null" => plain(value),
        "timestamp with time zone" if value != "null" => value.replace(' ', "T").replace("+00\"", "Z\""),
        "bytea" if value != "null" => format!("\"\\\\x{}", &value[1..]),
        "integer[]" if odd && value != "null" => {
            plain(value).replace('{', "[").replace('}', "]").replace("NULL", "null")
        }
        "bigint" | "numeric(12,2)" | "boolean" if odd && value != "null" => format!("\"{value}\""),
        _ => value.to_owned(),
    }
}

/// Native events: a key change is a delete and an insert, an update carries only what changed, a truncate deletes each row.
fn native(events: &[Event]) -> Log {
    let mut plain_events: Vec<Event> = Vec::new();
    let mut known: BTreeMap<(String, String), Columns> = BTreeMap::new();
    fold(events, |at, event, before: Option<&Folded>| {
        if event.action == 'T' {
            for (table, key) in known.keys().filter(|(table, _)| *table == event.table) {
                let key = BTreeMap::from([("id".to_owned(), key.clone())]);
                let identity = key.clone();
                let line = Event {
                    action: 'D',
                    key,
                    columns: Columns::new(),
                    identity,
                    table: table.clone(),
                    ..event.clone()
                };
                plain_events.push(line);
            }
            known.retain(|(table, _), _| *table != event.table);
            return;
        }
        let mut event = event.clone();
        let old: Columns = before
            .map(|b| b.columns.iter().map(|(n, (v, _))| (n.clone(), v.clone())).collect())
            .unwrap_or_default();
        if let Some(key) = event.old_key.take() {
            known.remove(&(event.table.clone(), key_text(&event.table, &key)));
            plain_events.push(Event {
                action: 'D',
                key,
                columns: Columns::new(),
                ..event.clone()
            });
            let mut whole = old;
            whole.extend(event.columns);
            (event.columns, event.action) = (whole, 'I');
        } else if event.action == 'U' && at % 2 == 0 {
            event.columns.retain(|name, value| old.get(name) != Some(value));
        }
        let id = (event.table.clone(), key_text(&event.table, &event.key));
        if event.action == 'D' {
            known.remove(&id);
        } else {
            known.entry(id).or_default();
        }
        plain_events.push(event);
    });
    let mut versions: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut log = Log {
        lines: Vec::new(),
        events: Vec::new(),
    };
    for (pos, event) in plain_events.into_iter().enumerate() {
        let (entity, names) = entity_of(&event.table).unwrap();
        let key = key_text(&event.table, &event.key);
        let version = versions.entry((event.table.clone(), key.clone())).or_insert(0);
        *version += 1;
        let odd = pos % 2 == 1;
        let op = match event.action {
            'I' => "insert",
            'U' => "upsert",
            _ => "delete",
        };
        let key = if names.len() == 1 && odd {
            key
        } else {
            json!(key).to_string()
        };
        let fields: Vec<String> = if op == "delete" {
            &event.identity
        } else {
            &event.columns
        }
        .iter()
        .map(|(name, value)| {
            format!(
                "{}:{}",
                json!(name),
                native_value(event.types.get(name).map_or("", String::as_str), value, odd)
            )
        })
        .collect();
        let state = if op == "delete" && fields.len() <= names.len() {
            "null".to_owned()
        } else {
            format!("{{{}}}", fields.join(","))
        };
        let ts = rfc3339(&event.timestamp);
        log.lines.push(format!(
            r#"{{"pos":{pos},"ts":"{ts}","entity":"{entity}","key":{key},"op":"{op}","version":{version},"state":{state}}}"#
        ));
        log.events.push((event, pos.to_string()));
    }
    log
}

/// PostgreSQL's text of a `timestamptz` in UTC as RFC 3339.
pub fn rfc3339(text: &str) -> String {
    text.replacen(' ', "T", 1).replace("+00", "Z")
}

fn lsn(text: &str) -> u64 {
    let (high, low) = text.split_once('/').unwrap();
    (u64::from_str_radix(high, 16).unwrap() << 32) | u64::from_str_radix(low, 16).unwrap()
}

/// The connector's envelope with everything by default: with its schema for orders, whose values need it, without it for
/// the rest.
fn debezium(events: &[Event]) -> Log {
    let mut log = Log {
        lines: Vec::new(),
        events: Vec::new(),
    };
    let mut types: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for event in events {
        let columns = event.types.iter().map(|(name, ty)| (name.as_str(), ty.as_str()));
        types.entry(&event.table).or_default().extend(columns);
    }
    fold(events, |_, event, before| {
        let position = lsn(&event.lsn);
        let source = json!({"version": "3.0.0.Final", "connector": "postgresql", "name": "om", "db": "om", "schema": "om",
            "snapshot": "false", "sequence": format!("[null,\"{position}\"]"), "table": event.table, "txId": 700,
            "lsn": position, "xmin": null, "ts_ms": millis(&event.timestamp)});
        let mut push = |op: &str, before: Value, after: Value, event: Event| {
            let line = json!({"before": before, "after": after, "source": source, "op": op, "ts_ms": 1_700_000_000_000_u64,
                "transaction": null});
            let line = match event.table.as_str() {
                "orders" => json!({"schema": envelope_schema(&types["orders"]), "payload": line}),
                _ => line,
            };
            log.lines.push(line.to_string());
            log.events.push((event, position.to_string()));
        };
        if event.action == 'T' {
            push("t", Value::Null, Value::Null, event.clone());
            return;
        }
        // The default replica identity: the key, and nothing else of the row.
        let gone = |key: &Columns| -> Value {
            let names = before
                .iter()
                .flat_map(|b| b.columns.keys())
                .chain(key.keys())
                .chain(event.identity.keys());
            names
                .map(|name| {
                    let known = key.get(name).or_else(|| event.identity.get(name));
                    let value = known.map_or(Value::Null, |v| debezium_value(&event.types[name], v));
                    (name.clone(), value)
                })
                .collect()
        };
        let mut after: serde_json::Map<String, Value> = event
            .columns
            .iter()
            .map(|(name, v)| (name.clone(), debezium_value(&event.types[name], v)))
            .collect();
        // A value out of line that did not change.
        if event.table == "orders" && !event.columns.contains_key("big") {
            after.insert("big".to_owned(), json!("__debezium_unavailable_value"));
        }
        let after = Value::Object(after);
        let bare = |action: char, key: &Columns| Event {
            action,
            key: key.clone(),
            old_key: None,
            columns: if action == 'D' {
                Columns::new()
            } else {
                event.columns.clone()
            },
            ..event.clone()
        };
        match (event.action, &event.old_key) {
            ('D', _) => push("d", gone(&event.key), Value::Null, event.clone()),
            // A key change is a delete and a create.
            (_, Some(old)) => {
                push("d", gone(old), Value::Null, bare('D', old));
                push("c", Value::Null, after, bare('I', &event.key));
            }
            ('I', _) => push("c", Value::Null, after, event.clone()),
            _ => push("u", Value::Null, after, event.clone()),
        }
    });
    log
}

/// Microseconds since 1970 of `YYYY-MM-DD HH:MM:SS[.ffffff]`.
fn micros(text: &str) -> i64 {
    let at: jiff::civil::DateTime = text.replace(' ', "T").parse().unwrap();
    at.to_zoned(jiff::tz::TimeZone::UTC)
        .unwrap()
        .timestamp()
        .as_microsecond()
}

fn millis(timestamptz: &str) -> i64 {
    micros(timestamptz.trim_end_matches("+00")) / 1000
}

fn time_micros(text: &str) -> i64 {
    micros(&format!("1970-01-01 {text}"))
}

/// A value as the connector documents it for the type.
fn debezium_value(ty: &str, value: &str) -> Value {
    if value == "null" {
        return Value::Null;
    }
    let text = plain(value);
    match ty {
        "numeric" => {
            let scale = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            json!({"scale": scale, "value": unscaled(&text, scale)})
        }
        "numeric(12,2)" | "om.price" => json!(unscaled(&text, 2)),
        "date" => json!(micros(&format!("{text} 00:00:00")) / 86_400_000_000),
        "time without time zone" => json!(time_micros(&text)),
        "time with time zone" => {
            // `ZonedTime` is in GMT; the traffic's zone is +02.
            let local = time_micros(text.strip_suffix("+02").unwrap());
            let at = jiff::Timestamp::from_microsecond(local - 7_200_000_000).unwrap();
            json!(at.strftime("%H:%M:%S%.fZ").to_string())
        }
        "timestamp without time zone" => json!(micros(&text)),
        "timestamp with time zone" => json!(rfc3339(&text)),
        "interval" => {
            let (days, time) = text.split_once(" day").map_or((0, text.as_str()), |(d, rest)| {
                (d.parse().unwrap(), rest.trim_start_matches('s').trim_start())
            });
            let time = if time.is_empty() { 0 } else { clock_micros(time) };
            json!(days * 86_400_000_000_i64 + time)
        }
        "bytea" => {
            let bytes: Vec<u8> = (0..text.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
                .collect();
            json!(base64(&bytes))
        }
        "integer[]" => serde_json::from_str(&text.replace('{', "[").replace('}', "]").replace("NULL", "null")).unwrap(),
        "text[]" => json!(array_items(&text)),
        _ => serde_json::from_str(value).unwrap(),
    }
}

/// The Connect schema of the envelope of a table with these columns.
fn envelope_schema(columns: &BTreeMap<&str, &str>) -> Value {
    let fields: Vec<Value> = columns
        .iter()
        .map(|(name, ty)| {
            let mut field = match *ty {
                "smallint" => json!({"type": "int16"}),
                "integer" => json!({"type": "int32"}),
                "bigint" => json!({"type": "int64"}),
                "boolean" => json!({"type": "boolean"}),
                "real" => json!({"type": "float"}),
                "double precision" => json!({"type": "double"}),
                "numeric" => json!({"type": "struct", "name": "io.debezium.data.VariableScaleDecimal", "version": 1,
                    "fields": [{"type": "int32", "optional": false, "field": "scale"},
                        {"type": "bytes", "optional": false, "field": "value"}]}),
                "numeric(12,2)" | "om.price" => {
                    json!({"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal",
                    "version": 1, "parameters": {"scale": "2", "connect.decimal.precision": "12"}})
                }
                "date" => json!({"type": "int32", "name": "io.debezium.time.Date", "version": 1}),
                "time without time zone" => {
                    json!({"type": "int64", "name": "io.debezium.time.MicroTime", "version": 1})
                }
                "time with time zone" => json!({"type": "string", "name": "io.debezium.time.ZonedTime", "version": 1}),
                "timestamp without time zone" => {
                    json!({"type": "int64", "name": "io.debezium.time.MicroTimestamp", "version": 1})
                }
                "timestamp with time zone" => {
                    json!({"type": "string", "name": "io.debezium.time.ZonedTimestamp", "version": 1})
                }
                "interval" => json!({"type": "int64", "name": "io.debezium.time.MicroDuration", "version": 1}),
                "json" | "jsonb" => json!({"type": "string", "name": "io.debezium.data.Json", "version": 1}),
                "uuid" => json!({"type": "string", "name": "io.debezium.data.Uuid", "version": 1}),
                "om.mood" => json!({"type": "string", "name": "io.debezium.data.Enum", "version": 1,
                    "parameters": {"allowed": "ok,sad,mad"}}),
                "bytea" => json!({"type": "bytes"}),
                "integer[]" => json!({"type": "array", "items": {"type": "int32", "optional": true}}),
                "text[]" => json!({"type": "array", "items": {"type": "string", "optional": true}}),
                _ => json!({"type": "string"}),
            };
            field["optional"] = json!(*name != "id");
            field["field"] = json!(name);
            field
        })
        .collect();
    let row = |field: &str| json!({"type": "struct", "fields": fields, "optional": true, "name": "om.om.orders.Value", "field": field});
    json!({"type": "struct", "optional": false, "name": "om.om.orders.Envelope", "version": 2, "fields": [
        row("before"), row("after"),
        {"type": "struct", "optional": false, "name": "io.debezium.connector.postgresql.Source", "field": "source", "fields": []},
        {"type": "string", "optional": false, "field": "op"},
        {"type": "int64", "optional": true, "field": "ts_ms"}]})
}

/// A decimal as Connect writes it: the unscaled number, big-endian in two's complement, as short as it goes.
fn unscaled(text: &str, scale: usize) -> String {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number: i128 = format!("{whole}{fraction:0<scale$}").parse().unwrap();
    let bytes = number.to_be_bytes();
    let spare = |pair: &[u8]| (pair[0] == 0 && pair[1] < 0x80) || (pair[0] == 0xff && pair[1] >= 0x80);
    let skip = bytes.windows(2).take_while(|pair| spare(pair)).count();
    base64(&bytes[skip..])
}

/// Microseconds of an interval's `HHH:MM:SS[.ffffff]`.
fn clock_micros(text: &str) -> i64 {
    let parts: Vec<&str> = text.splitn(3, ':').collect();
    let hours: i64 = parts[0].parse().unwrap();
    hours * 3_600_000_000 + time_micros(&format!("00:{}:{}", parts[1], parts[2]))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The items of the text form of a one-dimensional `text[]`.
fn array_items(text: &str) -> Vec<Option<String>> {
    let inner = text.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
    let (mut items, mut item, mut quoted, mut was_quoted) = (Vec::new(), String::new(), false, false);
    let mut chars = inner.chars();
    let mut end = |item: &mut String, was_quoted: &mut bool| {
        let text = std::mem::take(item);
        items.push(if !*was_quoted && text == "NULL" {
            None
        } else {
            Some(text)
        });
        *was_quoted = false;
    };
    while let Some(c) = chars.next() {
        match c {
            '"' => (quoted, was_quoted) = (!quoted, true),
            '\\' => item.push(chars.next().unwrap()),
            ',' if !quoted => end(&mut item, &mut was_quoted),
            c => item.push(c),
        }
    }
    end(&mut item, &mut was_quoted);
    items
}

/// The `[[log]]` of a log in this format.
pub fn events(format: Format) -> String {
    format!(
        "[[log]]\nname = \"cdc\"\nsource = \"file\"\npath = \"log/*.ndjson*\"\nformat = \"{}\"",
        format.name()
    )
}

/// The `[[log]]` that is the pre-restore instance.
pub fn instance(url: &str) -> String {
    format!("[[log]]\nname = \"old\"\nsource = \"database\"\nurl = \"{url}\"\nsslmode = \"disable\"")
}

/// The configuration with these logs.
pub fn config(logs: &str, url: &str, restored_to: &str) -> String {
    let mut toml = format!(
        r#"[incident]
id = "recovery"
restored_to = "{t}"
[restored]
url = "{url}"
sslmode = "disable"
{logs}
[ledger]
url = "sqlite:restitch.db"
[schema.order]
table = "om.orders"
key = "id"
label = "external_id"
identity = ["external_id"]
ignore = ["updated_at"]
state = "status"
supersedes = "superseded_order_id"
refs = {{ prior_order_id = "order" }}
[schema.order_item]
table = "om.order_items"
key = "id"
owner = {{ order_id = "order" }}
action = "action"
macd = ["Change"]
refs = {{ inventory_item_id = "inventory_item", asset_ref = "asset.reference_id", catalog_code = "catalog.code" }}
[schema.plan]
table = "om.plans"
key = "id"
owner = "order_id"
state = "state"
in_progress = ["Running"]
[schema.plan_item]
table = "om.plan_items"
key = ["plan_id", "seq"]
owner = {{ plan_id = "plan" }}
state = "state"
type = "item_type"
in_progress = ["Ready", "Failed"]
outside = ["Callout"]
[schema.asset]
table = "om.assets"
key = "id"
identity = ["reference_id"]
[schema.catalog]
table = "om.catalog"
key = ["code", "version"]
"#,
        t = rfc3339(restored_to),
    );
    for (entity, table) in [("inventory_item", "inventory_items"), ("system_instance", "systems")] {
        write!(toml, "[schema.{entity}]\ntable = \"om.{table}\"\nkey = \"id\"\n").unwrap();
    }
    toml
}

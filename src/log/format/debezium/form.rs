//! The schemas that come with the events: what a field's value is, where its name says more than its JSON type.

use super::temporal::Unit;
use serde::Deserialize;
use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

/// How a field's values are written, as far as the column's type does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Form {
    /// By JSON type and column alone.
    #[default]
    Plain,
    /// Bytes in base64.
    Bytes,
    /// A double where the column may hold more digits.
    Double,
    /// An unscaled integer's bytes in base64, with this scale.
    Decimal(i64),
    /// Bits, the last one first, in base64.
    Bits,
    /// Days since 1970.
    Date,
    /// Time since 1970.
    Instant(Unit),
    /// Time since midnight.
    TimeOfDay(Unit),
    /// A span of time.
    Duration(Unit),
    /// An array of these.
    Array(Box<Form>),
}

/// A field of the row.
#[derive(Debug)]
pub struct Field {
    /// The column.
    pub name: String,
    /// Its form.
    pub form: Form,
    /// The column's default as JSON, which the connector sends for a column that the event does not know.
    pub default: Option<Box<str>>,
}

/// The fields of `before` and `after`, in the order in which the connector writes them.
#[derive(Debug, Default)]
pub struct RowForm {
    fields: Vec<Field>,
}

impl RowForm {
    /// The field of this name; `at` is where it most likely stands.
    pub fn field(&self, at: usize, name: &str) -> Option<&Field> {
        self.fields
            .get(at)
            .filter(|f| f.name == name)
            .or_else(|| self.fields.iter().find(|f| f.name == name))
    }
}

/// A Kafka Connect schema as its JSON converter writes it.
#[derive(Deserialize)]
struct Schema<'a> {
    #[serde(rename = "type", borrow)]
    ty: Cow<'a, str>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    field: Option<Cow<'a, str>>,
    #[serde(borrow)]
    parameters: Option<Parameters<'a>>,
    #[serde(default, borrow)]
    fields: Vec<Schema<'a>>,
    #[serde(borrow)]
    items: Option<Box<Schema<'a>>>,
    #[serde(borrow)]
    default: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Parameters<'a> {
    #[serde(borrow)]
    scale: Option<Cow<'a, str>>,
}

impl Schema<'_> {
    fn form(&self) -> Form {
        let scale = || self.parameters.as_ref()?.scale.as_ref()?.parse().ok();
        match self.name.as_deref().unwrap_or_default() {
            "org.apache.kafka.connect.data.Decimal" => scale().map_or(Form::Plain, Form::Decimal),
            "io.debezium.time.Date" | "org.apache.kafka.connect.data.Date" => Form::Date,
            "io.debezium.time.Time" | "org.apache.kafka.connect.data.Time" => Form::TimeOfDay(Unit::Milli),
            "io.debezium.time.MicroTime" => Form::TimeOfDay(Unit::Micro),
            "io.debezium.time.NanoTime" => Form::TimeOfDay(Unit::Nano),
            "io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp" => Form::Instant(Unit::Milli),
            "io.debezium.time.MicroTimestamp" => Form::Instant(Unit::Micro),
            "io.debezium.time.NanoTimestamp" => Form::Instant(Unit::Nano),
            "io.debezium.time.MicroDuration" => Form::Duration(Unit::Micro),
            "io.debezium.time.NanoDuration" => Form::Duration(Unit::Nano),
            "io.debezium.data.Bits" => Form::Bits,
            _ => match &*self.ty {
                "bytes" => Form::Bytes,
                "float" | "double" | "float32" | "float64" => Form::Double,
                "array" => Form::Array(Box::new(self.items.as_ref().map_or(Form::Plain, |i| i.form()))),
                // Structures say by their members what they are; Json, Uuid, Xml, Enum, Ltree, ZonedTimestamp, Year and
                // their like are text or numbers that PostgreSQL reads as they stand.
                _ => Form::Plain,
            },
        }
    }
}

/// Reads an envelope's schema; `None` where it is none.
fn read(text: &str) -> Option<RowForm> {
    let envelope: Schema<'_> = serde_json::from_str(text).ok()?;
    let row = |name: &str| envelope.fields.iter().find(|f| f.field.as_deref() == Some(name));
    let row = row("after").or_else(|| row("before"))?;
    let fields = row.fields.iter().filter_map(|f| {
        Some(Field {
            name: f.field.as_ref()?.to_string(),
            form: f.form(),
            default: f.default.map(|d| d.get().into()),
        })
    });
    Some(RowForm {
        fields: fields.collect(),
    })
}

/// Schemas kept by each thread. They are most of every line's bytes and the same in all events of a table: comparing one
/// with the last costs a fraction of reading it.
const KEPT: usize = 32;
/// A longer one is read anew each time.
const LONGEST: usize = 1 << 20;

thread_local! {
    static SEEN: RefCell<Vec<(Box<str>, Rc<RowForm>)>> = const { RefCell::new(Vec::new()) };
}

/// The row form of an envelope's schema. A schema that does not say one gives an empty form.
pub fn of(schema: &str) -> Rc<RowForm> {
    SEEN.with_borrow_mut(|seen| {
        if let Some(at) = seen.iter().position(|(text, _)| &**text == schema) {
            seen[..=at].rotate_right(1);
            return Rc::clone(&seen[0].1);
        }
        let form = Rc::new(read(schema).unwrap_or_default());
        if schema.len() <= LONGEST {
            seen.truncate(KEPT - 1);
            seen.insert(0, (schema.into(), Rc::clone(&form)));
        }
        form
    })
}

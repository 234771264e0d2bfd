//! Reads the values of one table by key, and says file, line and key where one does not fit.

use super::keys;
use super::tree::{Layer, Node, Place, Value};
use super::units;
use crate::domain::schema::nearest;
use crate::domain::{Error, Result, time};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One table of the configuration whose keys are all known.
pub struct Fields<'a> {
    /// Its name, for messages: `schema.order`.
    pub path: String,
    place: &'a Place,
    entries: &'a [(String, Node)],
}

impl<'a> Fields<'a> {
    /// The table in `node`, its keys checked against those of `section`.
    pub fn of(node: &'a Node, path: impl Into<String>, section: &str) -> Result<Self> {
        Self::with_keys(node, path, keys::of(section))
    }

    /// The table in `node`, its keys checked against `known`.
    pub fn with_keys(node: &'a Node, path: impl Into<String>, known: &[&str]) -> Result<Self> {
        let path = path.into();
        let fields = Self::any(node, path)?;
        for (key, node) in fields.entries {
            if !known.contains(&key.as_str()) {
                let near = nearest(key, known.iter().copied());
                let near = near.split(", ").next().unwrap_or_default();
                let (whole, within) = match fields.path.as_str() {
                    "" => (key.clone(), String::new()),
                    path => (format!("{path}.{key}"), format!(" in {path}")),
                };
                return Err(Error::usage(format!("unknown key {key:?}{within}"))
                    .at(format!("{}, {whole}", node.place))
                    .cure(format!(
                        "did you mean {near:?}? `restitch print-config` prints every key there is"
                    )));
            }
        }
        Ok(fields)
    }

    /// The table in `node`, whatever its keys.
    pub fn any(node: &'a Node, path: impl Into<String>) -> Result<Self> {
        let path = path.into();
        match &node.value {
            Value::Table(entries) => Ok(Self {
                path,
                place: &node.place,
                entries,
            }),
            other => Err(Error::usage(format!("{path} must be a table, not {}", other.kind()))
                .at(format!("{}, {path}", node.place))
                .cure(format!("write [{path}] and the keys below it"))),
        }
    }

    /// What stands under this key.
    pub fn get(&self, key: &str) -> Option<Field<'a>> {
        let (_, node) = self.entries.iter().find(|(k, _)| k == key)?;
        Some(self.field(key, node))
    }

    /// What stands under this key, which must be there.
    pub fn need(&self, key: &str, example: &str) -> Result<Field<'a>> {
        self.get(key).ok_or_else(|| {
            Error::usage(format!("[{}] lacks the key {key:?}", self.path))
                .at(format!("{}, {}.{key}", self.place, self.path))
                .cure(format!("add {key} = {example}"))
        })
    }

    /// All entries.
    pub fn all(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> {
        self.entries
            .iter()
            .map(|(key, node)| (key.as_str(), self.field(key, node)))
    }

    fn field(&self, key: &str, node: &'a Node) -> Field<'a> {
        let path = match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        };
        Field { path, node }
    }

    /// An error about the table as a whole.
    pub fn wrong(&self, what: impl Into<String>) -> Error {
        Error::usage(what).at(format!("{}, {}", self.place, self.path))
    }

    /// The text under this key.
    pub fn text(&self, key: &str) -> Result<Option<String>> {
        self.get(key).map(|f| f.text().map(str::to_owned)).transpose()
    }

    /// The list of texts under this key; empty where it is not there. A single text is a list of one.
    pub fn texts(&self, key: &str) -> Result<Vec<String>> {
        self.get(key).map_or_else(|| Ok(Vec::new()), |f| f.texts())
    }

    /// The instant under this key, microseconds since 1970.
    pub fn time(&self, key: &str) -> Result<Option<i64>> {
        self.get(key).map(|f| f.time()).transpose()
    }

    /// The boolean under this key; false where it is not there.
    pub fn flag(&self, key: &str) -> Result<bool> {
        self.get(key).map_or(Ok(false), |f| f.flag())
    }
}

/// One value and its whole key.
pub struct Field<'a> {
    /// `schema.order.table`
    pub path: String,
    /// The value.
    pub node: &'a Node,
}

impl<'a> Field<'a> {
    /// An error about this value.
    pub fn wrong(&self, what: impl Into<String>) -> Error {
        Error::usage(what).at(format!("{}, {}", self.node.place, self.path))
    }

    /// Which layer it comes from.
    pub fn layer(&self) -> Layer {
        self.node.place.origin.layer
    }

    /// Text from a flag or the environment stands for a value of any type.
    fn loose(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) if matches!(self.layer(), Layer::Environment | Layer::Flag) => Some(text),
            _ => None,
        }
    }

    pub(super) fn mistyped(&self, wanted: &str, example: &str) -> Error {
        self.wrong(format!(
            "{} must be {wanted}, not {}",
            self.path,
            self.node.value.kind()
        ))
        .cure(format!("write it like {example}"))
    }

    /// A text that is not empty.
    pub fn text(&self) -> Result<&'a str> {
        match &self.node.value {
            Value::Text(text) if text.is_empty() => Err(self
                .wrong(format!("{} is empty", self.path))
                .cure("give it a value, or leave the key out")),
            Value::Text(text) if text.contains('\0') => Err(self
                .wrong(format!("{} holds a NUL character", self.path))
                .cure("take it out")),
            Value::Text(text) => Ok(text),
            _ => Err(self.mistyped("a text", "\"text\"")),
        }
    }

    /// A text, or a scalar as text.
    pub fn scalar(&self) -> Result<String> {
        match &self.node.value {
            Value::Text(text) | Value::Time(text) => Ok(text.clone()),
            Value::Int(i) => Ok(i.to_string()),
            Value::Float(f) => Ok(f.to_string()),
            Value::Bool(b) => Ok(b.to_string()),
            Value::List(_) | Value::Table(_) => Err(self.mistyped("a single value", "\"text\"")),
        }
    }

    /// The entries of a list; a text from the environment is split at its commas.
    pub fn items(&self, of: impl Fn(&Field<'a>) -> Result<String>) -> Result<Vec<String>> {
        if let Some(text) = self.loose() {
            return Ok(text
                .split(',')
                .map(|t| t.trim().to_owned())
                .filter(|t| !t.is_empty())
                .collect());
        }
        let Value::List(nodes) = &self.node.value else {
            return Ok(vec![of(self)?]);
        };
        let mut items = Vec::with_capacity(nodes.len());
        for node in nodes {
            let path = self.path.clone();
            items.push(of(&Field { path, node })?);
        }
        Ok(items)
    }

    /// A list of texts without repetition, or one text.
    pub fn texts(&self) -> Result<Vec<String>> {
        let texts = self.items(|f| match &f.node.value {
            Value::Text(_) => f.text().map(str::to_owned),
            _ => Err(f.mistyped("a list of texts", "[\"a\", \"b\"]")),
        })?;
        for (i, text) in texts.iter().enumerate() {
            if texts[..i].contains(text) {
                return Err(self
                    .wrong(format!("{} names {text:?} twice", self.path))
                    .cure("take one of them out"));
            }
        }
        Ok(texts)
    }

    /// A list of texts that is not empty.
    pub fn some_texts(&self) -> Result<Vec<String>> {
        let texts = self.texts()?;
        if texts.is_empty() {
            return Err(self
                .wrong(format!("{} is an empty list", self.path))
                .cure("name at least one, or leave the key out"));
        }
        Ok(texts)
    }

    /// An integer of this range.
    pub fn int(&self, range: std::ops::RangeInclusive<i64>) -> Result<i64> {
        let int = match &self.node.value {
            Value::Int(i) => *i,
            _ => match self.loose().map(str::parse) {
                Some(Ok(i)) => i,
                _ => return Err(self.mistyped("an integer", &range.start().to_string())),
            },
        };
        if range.contains(&int) {
            return Ok(int);
        }
        Err(self
            .wrong(format!("{} is {int}, out of range", self.path))
            .cure(format!("use {} to {}", range.start(), range.end())))
    }

    /// A boolean.
    pub fn flag(&self) -> Result<bool> {
        match (&self.node.value, self.loose()) {
            (Value::Bool(b), _) => Ok(*b),
            (_, Some("true" | "1")) => Ok(true),
            (_, Some("false" | "0")) => Ok(false),
            _ => Err(self.mistyped("true or false", "true")),
        }
    }

    /// One of these words.
    pub fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Result<T> {
        let text = self.text()?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let near = nearest(text, all.iter().copied());
        let near = near.split(", ").next().unwrap_or_default();
        Err(self
            .wrong(format!("{} is {text:?}, which is none of its values", self.path))
            .cure(format!("use one of {}; the nearest is {near:?}", all.join(", "))))
    }

    /// An instant, microseconds since 1970: RFC 3339 as text, or a TOML date-time with an offset.
    pub fn time(&self) -> Result<i64> {
        let (Value::Text(text) | Value::Time(text)) = &self.node.value else {
            return Err(self.mistyped("a time", "\"2026-11-22T14:05:00Z\""));
        };
        time::parse(text).ok_or_else(|| {
            self.wrong(format!("{} is {text:?}, which is no RFC 3339 time", self.path))
                .cure("write date, time and offset, like \"2026-11-22T14:05:00Z\" or \"2026-11-22T15:05:00.25+01:00\"")
        })
    }

    /// A span of time.
    pub fn duration(&self) -> Result<Duration> {
        let Value::Text(text) = &self.node.value else {
            return Err(self.mistyped("a text with a unit", "\"30m\""));
        };
        units::duration(text).filter(|d| !d.is_zero()).ok_or_else(|| {
            self.wrong(format!("{} is {text:?}, which is no span of time", self.path))
                .cure("write a number and ms, s, m, h or d, like \"30m\" or \"1h30m\"")
        })
    }

    /// A size in bytes.
    pub fn size(&self) -> Result<u64> {
        let size = match &self.node.value {
            Value::Int(i) => u64::try_from(*i).ok(),
            Value::Text(text) => units::size(text),
            _ => return Err(self.mistyped("a size", "\"10GB\"")),
        };
        size.ok_or_else(|| {
            self.wrong(format!("{} is no size", self.path))
                .cure("write bytes, or a number and kB, MB, GB, TB (or KiB, MiB, GiB, TiB), like \"10GB\"")
        })
    }

    /// A share, 0 to 1.
    pub fn share(&self) -> Result<f64> {
        let share = match &self.node.value {
            Value::Int(i) => units::share(&i.to_string()),
            Value::Float(f) => units::share(&f.to_string()),
            Value::Text(text) => units::share(text),
            _ => return Err(self.mistyped("a share", "\"1%\"")),
        };
        share.ok_or_else(|| {
            self.wrong(format!("{} is no share between nothing and all", self.path))
                .cure("write a percentage like \"1%\", or a number from 0 to 1 like 0.01")
        })
    }

    /// This path, relative to the file that it stands in.
    pub fn resolve(&self, path: &str) -> PathBuf {
        let path = Path::new(path);
        // Without this, a file in the current folder would be called ./restitch.db everywhere.
        let folder = &self.node.place.origin.folder;
        if folder.as_os_str().is_empty() {
            path.to_owned()
        } else {
            folder.join(path)
        }
    }

    /// The path in this value, relative to the file that it stands in.
    pub fn path(&self) -> Result<PathBuf> {
        Ok(self.resolve(self.text()?))
    }
}

//! A layer of configuration as a tree that remembers where each value stands, and how layers are laid over each other.

use super::keys;
use crate::domain::{Error, Result};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// The layers, weakest first: a later one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// `restitch/restitch.toml` in the user's configuration folder.
    User,
    /// `--config FILE` or `./restitch.toml`.
    Main,
    /// `RESTITCH_…`
    Environment,
    /// A flag of the command line.
    Flag,
}

/// A file, an environment variable or a flag.
#[derive(Debug, PartialEq, Eq)]
pub struct Origin {
    /// Which layer.
    pub layer: Layer,
    /// Path of the file as the person wrote it, or name of the variable or flag.
    pub name: String,
    /// What relative paths are relative to.
    pub folder: Box<Path>,
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// In what.
    pub origin: Arc<Origin>,
    /// From 1; 0 where lines mean nothing.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin.layer {
            Layer::User | Layer::Main => write!(f, "{}:{}", self.origin.name, self.line),
            Layer::Environment => write!(f, "environment variable {}", self.origin.name),
            Layer::Flag => write!(f, "flag {}", self.origin.name),
        }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where its key (or, in a list, itself) stands.
    pub place: Place,
}

/// What TOML can hold.
#[derive(Debug, Clone)]
pub enum Value {
    /// A string; also everything from flags and the environment, read as the key's type later.
    Text(String),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A date or time, as written.
    Time(String),
    /// An array.
    List(Vec<Node>),
    /// A table, in the order of the file.
    Table(Vec<(String, Node)>),
}

impl Value {
    /// For messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a boolean",
            Self::Time(_) => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Reads TOML.
pub fn parse(text: &str, origin: &Arc<Origin>) -> Result<Node> {
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|e| {
        let line = lines.at(e.span().map_or(0, |s| s.start));
        // Only the part before `=`: what follows may be a secret.
        let key = text
            .lines()
            .nth(line - 1)
            .and_then(|l| l.split('=').next())
            .unwrap_or("");
        Error::usage(format!("not valid TOML: {}", e.message().replace('\n', ", ")))
            .at(format!("{}:{line}, at {:?}", origin.name, key.trim()))
            .cure("correct the line; `restitch print-config` prints every key with an example")
    })?;
    let root = Place {
        origin: Arc::clone(origin),
        line: 1,
    };
    convert_table(table.get_ref(), &lines, &root)
}

fn convert_table(table: &DeTable<'_>, lines: &Lines, place: &Place) -> Result<Node> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let entries = entries.into_iter().map(|(key, value)| {
        let place = Place {
            origin: Arc::clone(&place.origin),
            line: lines.at(key.span().start),
        };
        Ok((key.get_ref().to_string(), convert(value.get_ref(), lines, place)?))
    });
    Ok(Node {
        value: Value::Table(entries.collect::<Result<_>>()?),
        place: place.clone(),
    })
}

fn convert(value: &DeValue<'_>, lines: &Lines, place: Place) -> Result<Node> {
    let value = match value {
        DeValue::String(s) => Value::Text(s.to_string()),
        DeValue::Integer(i) => {
            let read = i64::from_str_radix(i.as_str(), i.radix());
            Value::Int(read.map_err(|_| Error::usage("the integer is too large").at(place.to_string()))?)
        }
        DeValue::Float(f) => Value::Float(f.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Datetime(d) => Value::Time(d.to_string()),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| {
                let place = Place {
                    origin: Arc::clone(&place.origin),
                    line: lines.at(item.span().start),
                };
                convert(item.get_ref(), lines, place)
            });
            Value::List(items.collect::<Result<_>>()?)
        }
        DeValue::Table(t) => return convert_table(t, lines, &place),
    };
    Ok(Node { value, place })
}

/// Lays `over` on `under`: sections and their sub-sections key by key, everything deeper and every list as a whole.
pub fn lay(under: &mut Node, over: Node) {
    lay_at(under, over, 0);
}

fn lay_at(under: &mut Node, over: Node, depth: usize) {
    match (&mut under.value, over.value) {
        (Value::Table(below), Value::Table(above)) if depth <= 2 => {
            for (key, node) in above {
                match below.iter_mut().find(|(k, _)| *k == key) {
                    Some((_, old)) => lay_at(old, node, depth + 1),
                    None => below.push((key, node)),
                }
            }
        }
        (_, value) => {
            *under = Node {
                value,
                place: over.place,
            };
        }
    }
}

/// A tree of one value under this path.
pub fn single(path: &[&str], text: String, place: &Place) -> Node {
    let leaf = Node {
        value: Value::Text(text),
        place: place.clone(),
    };
    path.iter().rev().fold(leaf, |node, key| Node {
        value: Value::Table(vec![((*key).to_owned(), node)]),
        place: place.clone(),
    })
}

/// Reads the `RESTITCH_…` variables among these; those that name no key go to `warnings`.
pub fn environment(
    variables: &[(String, String)],
    folder: &Path,
    warnings: &mut Vec<String>,
    names: &mut Vec<String>,
) -> Vec<Node> {
    let mut nodes = Vec::new();
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix("RESTITCH_") else {
            continue;
        };
        let lower = rest.to_lowercase();
        let path: Vec<&str> = lower.split("__").collect();
        if !keys::from_environment(&path) {
            let near = crate::domain::schema::nearest(name, keys::environment_names().iter().map(String::as_str));
            let near = near.split(", ").next().unwrap_or("");
            warnings.push(format!(
                "the environment variable {name} names no key and is ignored; the nearest is {near}"
            ));
            continue;
        }
        // An empty variable is how shells unset one for a single command.
        if value.is_empty() {
            continue;
        }
        names.push(name.clone());
        let place = Place {
            origin: Arc::new(Origin {
                layer: Layer::Environment,
                name: name.clone(),
                folder: folder.into(),
            }),
            line: 0,
        };
        nodes.push(single(&path, value.clone(), &place));
    }
    nodes
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(
            std::iter::once(0)
                .chain(text.match_indices('\n').map(|(i, _)| i + 1))
                .collect(),
        )
    }

    /// The line, from 1, that this byte is on.
    fn at(&self, byte: usize) -> usize {
        self.0.partition_point(|start| *start <= byte).max(1)
    }
}

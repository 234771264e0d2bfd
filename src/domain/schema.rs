//! The site's entities as the configuration maps them, and the tables as the restored database's catalogue shows them.

use super::value::ColumnType;
use super::{Error, Result};

/// Position of an entity in [`Schema::entities`] and of its table in [`Catalogue::tables`].
pub type EntityIx = usize;
/// Position of a column in [`Table::columns`].
pub type ColumnIx = u16;

/// The name of the entity that cases are opened for.
pub const ORDER: &str = "order";
/// The entity whose columns the `items` of a held order carry.
pub const ORDER_ITEM: &str = "order_item";

/// Bytes of a PostgreSQL name: the server cuts a longer one off without a word, and would look up another.
pub const NAME_LIMIT: usize = 63;

/// `owner = { order_id = "order" }`: the row belongs to the row of `entity` that `column` names by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The column of this entity.
    pub column: String,
    /// The owning entity's name.
    pub entity: String,
}

/// `refs = { asset_ref = "asset.reference_id" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The referring column of this entity.
    pub column: String,
    /// The entity referred to.
    pub entity: String,
    /// The column referred to; `None` is its key.
    pub target: Option<String>,
}

/// One `[schema.NAME]` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entity {
    /// `order`, `plan_item`, …
    pub name: String,
    /// Table as configured, schema-qualified where the site does so.
    pub table: String,
    /// The key columns, in order; never empty.
    pub key: Vec<String>,
    /// The column people say on the phone.
    pub label: Option<String>,
    /// What a reused id would not share.
    pub identity: Vec<String>,
    /// Columns that are never compared.
    pub ignore: Vec<String>,
    /// The state column.
    pub state: Option<String>,
    /// States that count as cancelled.
    pub cancelled: Vec<String>,
    /// Column naming the order that this one replaces.
    pub supersedes: Option<String>,
    /// The row this row belongs to.
    pub owner: Option<Owner>,
    /// References to other rows; an owner is none.
    pub refs: Vec<Reference>,
    /// Columns for the queue.
    pub show: Vec<String>,
    /// Column that ranks the queue.
    pub rank: Option<String>,
    /// Columns masked on every screen.
    pub mask: Vec<String>,
    /// The MACD action column.
    pub action: Option<String>,
    /// Actions that change something existing.
    pub macd: Vec<String>,
    /// States that were under way when the restore cut them off.
    pub in_progress: Vec<String>,
    /// The column that says the item's type (key `type`).
    pub type_column: Option<String>,
    /// Item types with effects outside.
    pub outside: Vec<String>,
    /// The point-of-no-return flag column.
    pub ponr: Option<String>,
    /// This entity's states in order, for "at or past".
    pub states: Vec<String>,
}

impl Entity {
    /// Whether this column plays a part besides being compared: key, owner, reference, label, state, ….
    pub fn reads(&self, column: &str) -> bool {
        let named = [
            &self.label,
            &self.state,
            &self.supersedes,
            &self.rank,
            &self.action,
            &self.type_column,
            &self.ponr,
        ];
        named.into_iter().flatten().any(|c| c == column)
            || self.owner.as_ref().is_some_and(|o| o.column == column)
            || self.refs.iter().any(|r| r.column == column)
            || [&self.key, &self.identity, &self.show]
                .into_iter()
                .flatten()
                .any(|c| c == column)
    }
}

/// All entities of the site. `order` stands first when it is mapped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// In the order of the configuration, `order` first.
    pub entities: Vec<Entity>,
}

impl Schema {
    /// Where the entity of this name stands.
    pub fn index(&self, name: &str) -> Option<EntityIx> {
        self.entities.iter().position(|e| e.name == name)
    }

    /// The entity mapped to a log's table; `schema` is empty where the log names none. A table configured without a
    /// schema matches that table in any schema.
    pub fn of_table(&self, schema: &str, table: &str) -> Option<EntityIx> {
        self.entities.iter().position(|e| {
            // Schema and table may hold dots themselves.
            let qualified = e.table.strip_suffix(table).and_then(|rest| rest.strip_suffix('.'));
            e.table == table || qualified.is_some_and(|s| schema.is_empty() || s == schema)
        })
    }
}

/// A column of a restored table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, as the catalogue spells it.
    pub name: String,
    /// How its values compare.
    pub ty: ColumnType,
    /// The type as SQL, with its modifier: `numeric(10,2)`.
    pub declared: String,
}

/// A mapped table as it really is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// `schema.table` (PostgreSQL) or `table` (SQLite), for people to read.
    pub name: String,
    /// All its columns.
    pub columns: Vec<Column>,
    /// The key columns, in the order of the configuration.
    pub key: Vec<ColumnIx>,
}

impl Table {
    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<ColumnIx> {
        self.columns
            .iter()
            .position(|c| c.name == name)
            .and_then(|ix| ColumnIx::try_from(ix).ok())
    }

    /// The column of this name, or an error that names the nearest that exist.
    pub fn require(&self, name: &str, asked_by: &str) -> Result<ColumnIx> {
        self.column(name).ok_or_else(|| {
            let near = nearest(name, self.columns.iter().map(|c| c.name.as_str()));
            Error::usage(format!("table {} has no column {name:?}", self.name))
                .at(asked_by.to_owned())
                .cure(format!("nearest columns: {near}"))
        })
    }
}

/// The restored database's tables, one for each entity of the [`Schema`], at the same index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// One for each entity.
    pub tables: Vec<Table>,
}

/// The names closest in spelling to `name`, at most three, best first, joined for a message.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    // People rarely get the first letter wrong: it decides between equals (`tabel` is `table`, not `label`).
    let rank = |k: &str| {
        (
            strsim::damerau_levenshtein(name, k),
            k.chars().next() != name.chars().next(),
        )
    };
    let mut ranked: Vec<_> = known.map(|k| (rank(k), k)).collect();
    ranked.sort_unstable();
    let names: Vec<&str> = ranked.into_iter().take(3).map(|(_, k)| k).collect();
    names.join(", ")
}

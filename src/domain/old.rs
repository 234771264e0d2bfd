//! The old instance after the restore: does somebody still write there?

use super::time;

/// A client of the old instance, other than this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The login.
    pub user: String,
    /// Where it comes from; empty where that may not be seen.
    pub from: String,
    /// What it calls itself.
    pub application: String,
}

impl Client {
    fn words(&self) -> String {
        let from = if self.from.is_empty() {
            String::new()
        } else {
            format!(" from {}", self.from)
        };
        let named = if self.application.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.application)
        };
        format!("{}{from}{named}", self.user)
    }
}

/// What two looks at it, or more, came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its clients.
    pub clients: Vec<Client>,
    /// When the newest transaction of theirs that is under way began, microseconds since 1970.
    pub newest: Option<i64>,
    /// Rows of its tables that were written since the first look, and when that was last seen to grow.
    pub written: Option<(u64, i64)>,
    /// It takes writes at all: it is no standby.
    pub writable: bool,
}

/// One old instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Old {
    /// The name of its `[[log]]`.
    pub name: String,
    /// When it was first looked at, and last, microseconds since 1970.
    pub looked: (i64, i64),
    /// What was seen, or why it cannot be asked.
    pub seen: Result<Seen, String>,
}

impl Old {
    /// That it still takes commits, for every screen; `None` where nothing shows it.
    pub fn alarm(&self) -> Option<String> {
        let seen = self.seen.as_ref().ok()?;
        let (rows, at) = seen.written?;
        let of = seen
            .clients
            .first()
            .map_or_else(String::new, |c| format!(", {}", c.words()));
        let noun = if rows == 1 { "row" } else { "rows" };
        Some(format!(
            "THE OLD INSTANCE ({}) TAKES COMMITS: {rows} {noun} until {}{of}",
            self.name,
            time::clock(at)
        ))
    }

    /// The clients in words.
    pub fn clients(&self) -> String {
        let clients = self.seen.as_ref().map(|s| s.clients.as_slice()).unwrap_or_default();
        let words: Vec<String> = clients.iter().map(Client::words).collect();
        super::cluster::named(&words)
    }
}

//! A partition that is followed: what waits in it, and what it says.

use super::ask::Offsets;
use super::clock::{self, AHEAD};
use super::follow::Beside;
use crate::config::FormatKind;
use crate::domain::hold::{HeldPartition, Keeping, Oldest, Ranges, Seen};
use crate::log::hold::label_of;
use rdkafka::message::{BorrowedMessage, Message};
use std::collections::{BTreeMap, VecDeque};

/// Names kept of messages that wait; behind them, a message is called by its offset.
const NAMED: usize = 100_000;

/// A message that waits.
pub(super) struct Waiting {
    /// Its offset.
    pub offset: i64,
    /// Its stamp, microseconds since 1970; `None` where it has none.
    pub stamp: Option<i64>,
}

/// A partition being followed.
#[derive(Default)]
pub(super) struct Watched {
    /// As last told.
    pub offsets: Option<Offsets>,
    /// Up to here the order system has taken messages.
    pub committed: Option<i64>,
    /// Where it is assigned; `None` before it is.
    pub next: Option<i64>,
    /// It was read to its end since.
    pub at_end: bool,
    /// In the order of their offsets.
    pub waiting: VecDeque<Waiting>,
    /// What messages that wait are called, by offset.
    pub names: BTreeMap<i64, Box<str>>,
}

/// What a message says of its order.
pub(super) enum Named {
    /// Nothing at all.
    Nobody,
    /// It waits.
    Order(String),
    /// It was taken back.
    Withdrawn(String),
    /// Nothing that restitch reads: the message's key.
    Key(String),
}

impl Watched {
    /// Whether all that was there when last asked is read.
    pub fn is_read(&self) -> bool {
        self.offsets
            .is_some_and(|o| self.next.is_some_and(|next| next >= o.latest))
    }

    /// Takes a message in; `None` where it was taken before.
    pub fn take(&mut self, message: &BorrowedMessage<'_>, format: FormatKind) -> Option<Named> {
        let offset = message.offset();
        if self.next.is_some_and(|next| offset < next) {
            return None;
        }
        self.next = Some(offset + 1);
        let stamp = message.timestamp().to_millis().filter(|ms| *ms >= 0);
        self.waiting.push_back(Waiting {
            offset,
            stamp: stamp.and_then(|ms| ms.checked_mul(1_000)),
        });
        let named = name_of(message, format);
        if self.names.len() < NAMED
            && let Named::Order(name) | Named::Withdrawn(name) | Named::Key(name) = &named
        {
            let end = name.floor_char_boundary(100);
            self.names.insert(offset, name[..end].into());
        }
        Some(named)
    }

    /// How the partition stands.
    pub fn line(
        &self,
        offsets: Offsets,
        keeping: &Keeping,
        beside: &Beside,
        rescued: Option<&Ranges>,
    ) -> HeldPartition {
        let first = offsets.earliest.max(self.committed.unwrap_or(0)).min(offsets.latest);
        let shutdown = beside.shutdown.as_ref().map(|(at, _)| *at);
        let held = (offsets.latest - first).unsigned_abs();
        let safe = rescued.map_or(0, |r| r.count(first, offsets.latest));
        let is_safe = |m: &&Waiting| rescued.is_some_and(|r| r.has(m.offset));
        let open = || self.waiting.iter().filter(|m| !is_safe(m));
        let loss_from = clock::loss_from(keeping, shutdown, open().map(|m| m.stamp))
            .or_else(|| clock::loss_from(keeping, shutdown, self.waiting.iter().map(|m| m.stamp)));
        let at_risk = beside.services_back.as_ref().map_or(0, |(back, _)| {
            let may_go = |m: &&Waiting| clock::dies_at(keeping, shutdown, m.stamp).is_none_or(|at| at <= *back);
            let read_to = self.next.unwrap_or(first).clamp(first, offsets.latest);
            let unread = (offsets.latest - read_to).unsigned_abs() * u64::from(!self.at_end);
            open().filter(may_go).count() as u64 + unread
        });
        let oldest = self.waiting.front().map(|m| Oldest {
            offset: m.offset,
            name: self.names.get(&m.offset).map(ToString::to_string).unwrap_or_default(),
            at: m.stamp,
        });
        let count = |of: &dyn Fn(&Waiting) -> bool| self.waiting.iter().filter(|m| of(m)).count() as u64;
        HeldPartition {
            id: 0,
            earliest: offsets.earliest,
            latest: offsets.latest,
            committed: self.committed,
            held,
            rescued: safe,
            lost: None,
            gone: Ranges::default(),
            loss_from,
            oldest,
            at_risk,
            future: count(&|m| m.stamp.is_some_and(|at| at > beside.now + AHEAD)),
            unstamped: count(&|m| m.stamp.is_none()),
        }
    }
}

/// What people call the message: the order's label, else the message's key.
fn name_of(message: &BorrowedMessage<'_>, format: FormatKind) -> Named {
    let value = message.payload().filter(|_| format == FormatKind::Native);
    match value.and_then(label_of) {
        Some((label, false)) => Named::Order(label),
        Some((label, true)) => Named::Withdrawn(label),
        None => {
            let key = message.key().and_then(|key| String::from_utf8(key.to_vec()).ok());
            key.map_or(Named::Nobody, Named::Key)
        }
    }
}

/// Notes that an order waits, or was taken back: that too is kept, so that an earlier look does not bring it back.
pub(super) fn see(seen: &mut BTreeMap<String, Seen>, message: &BorrowedMessage<'_>, named: Named) {
    let (label, withdrawn) = match named {
        Named::Order(label) => (label, false),
        Named::Withdrawn(label) => (label, true),
        Named::Key(_) | Named::Nobody => return,
    };
    if seen.len() >= NAMED && !seen.contains_key(&label) {
        return;
    }
    let stamp = message.timestamp().to_millis().filter(|ms| *ms >= 0);
    let order = Seen {
        label: label.clone(),
        partition: message.partition(),
        offset: message.offset(),
        at: stamp.and_then(|ms| ms.checked_mul(1_000)),
        withdrawn,
    };
    seen.insert(label, order);
}

//! Two streams of one table, kept going: chunk after chunk, over lost connections, until both have ended.

use super::pair::{Pairing, Side};
use super::{Plan, Reader};
use crate::domain::progress::Progress;
use crate::domain::value::ColumnType;
use crate::domain::{Error, Result};
use crate::restored::Restored;
use crate::restored::marks::{Broken, Mark, Marks, is_integer, key_parts, key_text};
use futures_util::StreamExt;
use std::time::Duration;
use tokio::sync::mpsc;

/// Keys that are looked at together.
const BATCH: usize = 4_096;
/// A person who cancels does not wait longer than this.
const GLANCE: Duration = Duration::from_millis(100);
/// How long a lost connection is tried again, and how often.
const TRIES: u32 = 60;
const BETWEEN: Duration = Duration::from_secs(2);

/// What two streams came to.
#[derive(Debug, Default)]
pub(super) struct Streamed {
    pub old: u64,
    pub restored: u64,
    pub bytes: u64,
    /// The old instance's largest key, where it is one integer.
    pub largest: Option<i64>,
}

/// One side's stream.
#[derive(Default)]
struct Stream {
    marks: Option<Marks>,
    chunk: Vec<Mark>,
    next: usize,
    /// The last key that was handed over.
    last: Vec<u8>,
    ended: bool,
    rows: u64,
    bytes: u64,
}

/// Why two streams stopped before their end.
enum Stopped {
    Broken(Side, Broken),
    Cancelled,
    /// Nobody looks any more: that has failed, and says why.
    Unheard,
}

impl Stream {
    fn front(&self) -> Option<&Mark> {
        self.chunk.get(self.next)
    }

    /// Reads on where all was handed over.
    async fn fill(&mut self, progress: &Progress) -> Result<(), Option<Broken>> {
        while self.front().is_none() && !self.ended {
            let Some(marks) = &mut self.marks else { return Ok(()) };
            if progress.is_cancelled() {
                return Err(None);
            }
            match tokio::time::timeout(GLANCE, marks.next()).await {
                Err(_) => {}
                Ok(None) => self.ended = true,
                Ok(Some(chunk)) => {
                    self.chunk = chunk.map_err(Some)?;
                    self.next = 0;
                    self.rows += self.chunk.len() as u64;
                    self.bytes += self.chunk.iter().map(|m| m.bytes().len() as u64).sum::<u64>();
                    progress.add(self.chunk.len() as u64);
                    if let Some(last) = self.chunk.last() {
                        self.last = last.key().to_vec();
                    }
                }
            }
        }
        Ok(())
    }
}

impl<O: Restored, R: Restored> Reader<'_, O, R> {
    /// Streams both tables, and looks at what may differ while they flow.
    pub(super) async fn stream(&mut self, plan: &Plan) -> Result<Streamed> {
        let (mut old, mut restored) = (Stream::default(), Stream::default());
        let mut pairing = Pairing::default();
        loop {
            self.check_cancelled()?;
            if let Err((side, broken)) = self.open(plan, &mut old, &mut restored).await {
                self.recover(plan, side, broken).await?;
                continue;
            }
            let (send, receive) = mpsc::channel(2);
            let table = self.input.catalogue.tables[plan.entity].clone();
            let spell = |key: &[u8]| key_text(&table, &plan.restored, key);
            let flow = flow((&mut old, &mut restored), &mut pairing, &spell, send, self.progress);
            let (flowed, looked) = tokio::join!(flow, self.look(plan, receive));
            looked?;
            match flowed {
                Ok(()) => break,
                Err(Stopped::Broken(side, broken)) => {
                    match side {
                        Side::Old => old.marks = None,
                        Side::Restored => restored.marks = None,
                    }
                    self.recover(plan, side, broken).await?;
                }
                Err(Stopped::Cancelled | Stopped::Unheard) => self.check_cancelled()?,
            }
        }
        Ok(Streamed {
            old: old.rows,
            restored: restored.rows,
            bytes: old.bytes + restored.bytes,
            largest: self.largest(plan, &old.last),
        })
    }

    async fn open(&mut self, plan: &Plan, old: &mut Stream, restored: &mut Stream) -> Result<(), (Side, Broken)> {
        let tables = (
            &self.tables.tables[plan.entity],
            &self.input.catalogue.tables[plan.entity],
        );
        if old.marks.is_none() && !old.ended {
            let after = (old.rows > 0).then(|| key_parts(tables.0, &plan.old, &old.last));
            let marks = self.old.marks(plan.entity, &plan.old, after.as_deref()).await;
            old.marks = Some(marks.map_err(|e| (Side::Old, e))?);
        }
        if restored.marks.is_none() && !restored.ended {
            let after = (restored.rows > 0).then(|| key_parts(tables.1, &plan.restored, &restored.last));
            let marks = self.restored.marks(plan.entity, &plan.restored, after.as_deref()).await;
            restored.marks = Some(marks.map_err(|e| (Side::Restored, e))?);
        }
        Ok(())
    }

    /// Waits until a lost database answers again; fails where it was not lost, or for too long.
    async fn recover(&mut self, plan: &Plan, side: Side, broken: Broken) -> Result<()> {
        let error = match broken {
            Broken::Failed(error) => return Err(self.blame(side, error)),
            Broken::Lost(error) => error,
        };
        self.again(plan, side, error, true).await
    }

    /// As [`Reader::recover`]; `alone` where a connection of its own was lost, which others need not have noticed.
    pub(super) async fn again(&mut self, plan: &Plan, side: Side, error: Error, alone: bool) -> Result<()> {
        self.lost += 1;
        for attempt in (0..TRIES).take_while(|_| self.lost <= TRIES) {
            let revived = match side {
                Side::Old => self.old.revive().await,
                Side::Restored => self.restored.revive().await,
            };
            self.check_cancelled()?;
            match revived {
                Ok(Some(same)) => {
                    self.note_loss(plan, side, same);
                    return Ok(());
                }
                // The other connections may notice a little later.
                Ok(None) if alone && attempt > 0 => {
                    self.note_loss(plan, side, true);
                    return Ok(());
                }
                Ok(None) if attempt > 4 => break,
                // Nothing tells when a server answers again: it is asked.
                Ok(None) => tokio::time::sleep(GLANCE).await,
                // The pause before the next attempt, looking whether anybody still wants it.
                Err(_) => {
                    for _ in 0..BETWEEN.as_millis() / GLANCE.as_millis() {
                        self.check_cancelled()?;
                        tokio::time::sleep(GLANCE).await;
                    }
                }
            }
        }
        Err(self.blame(side, error))
    }

    fn note_loss(&mut self, plan: &Plan, side: Side, same: bool) {
        let table = &self.input.catalogue.tables[plan.entity].name;
        let (log, whose) = match side {
            Side::Old => (&self.source.log.name, format!("to {}", self.source.name)),
            Side::Restored => (&self.source.log.name, "to the restored database".to_owned()),
        };
        let went_on = "it was read on after the last key";
        self.warnings.push(if same {
            format!("log {log}: the connection {whose} was lost while {table} was read; {went_on}, in the same snapshot")
        } else {
            format!(
                "log {log}: the connection {whose} was lost while {table} was read, and its snapshot with it; {went_on}, but \
                 two snapshots were read: what changed between them may look lost or regressed; scan again when it is calm"
            )
        });
    }

    pub(super) fn blame(&self, side: Side, error: Error) -> Error {
        match side {
            Side::Old => self.source.blamed(error),
            Side::Restored => error,
        }
    }

    fn largest(&self, plan: &Plan, last: &[u8]) -> Option<i64> {
        let table = &self.tables.tables[plan.entity];
        let [key] = table.key[..] else { return None };
        let ty: &ColumnType = &table.columns[usize::from(key)].ty;
        let text = is_integer(ty).then(|| key_text(table, &plan.old, last))?;
        text.parse().ok()
    }
}

/// Matches the two streams until both have ended; sends the keys to look at.
async fn flow(
    (old, restored): (&mut Stream, &mut Stream),
    pairing: &mut Pairing,
    spell: &(impl Fn(&[u8]) -> String + Sync),
    send: mpsc::Sender<Vec<String>>,
    progress: &Progress,
) -> Result<(), Stopped> {
    let mut keys: Vec<String> = Vec::new();
    let outcome = loop {
        let (a, b) = tokio::join!(old.fill(progress), restored.fill(progress));
        let stopped = |side, why: Option<Broken>| why.map_or(Stopped::Cancelled, |why| Stopped::Broken(side, why));
        let filled = a
            .map_err(|why| stopped(Side::Old, why))
            .and(b.map_err(|why| stopped(Side::Restored, why)));
        if filled.is_err() {
            break filled;
        }
        let mut look = |key: &[u8]| keys.push(spell(key));
        while let (Some(a), Some(b)) = (old.front(), restored.front()) {
            if !pairing.is_even() || a.bytes() != b.bytes() {
                pairing.take(Side::Old, a, &mut look);
                pairing.take(Side::Restored, b, &mut look);
            }
            old.next += 1;
            restored.next += 1;
        }
        let ended = [(Side::Old, old.ended), (Side::Restored, restored.ended)];
        for (side, _) in ended.into_iter().filter(|(_, ended)| *ended) {
            pairing.end(side, &mut look);
            let (rest, other) = match side {
                Side::Old => (Side::Restored, &mut *restored),
                Side::Restored => (Side::Old, &mut *old),
            };
            while let Some(mark) = other.front() {
                pairing.take(rest, mark, &mut look);
                other.next += 1;
            }
        }
        let over = old.ended && restored.ended;
        while keys.len() >= BATCH || (over && !keys.is_empty()) {
            let tail = keys.split_off(keys.len().min(BATCH));
            let batch = std::mem::replace(&mut keys, tail);
            if send.send(batch).await.is_err() {
                return Err(Stopped::Unheard);
            }
        }
        if over {
            break Ok(());
        }
    };
    // What was found before the streams stopped is not lost with them.
    if !keys.is_empty() && send.send(keys).await.is_err() {
        return Err(Stopped::Unheard);
    }
    outcome
}

//! Effects to workers. Each worker has its lane of jobs and its own handle on the ledger; one that dies says so in the
//! part of the screen that it feeds, and begins anew when asked.

use super::super::effect::{Deed, Effect};
use super::super::model::Feed;
use super::super::msg::Msg;
use super::super::term::panics;
use super::lane::Lane;
use super::mailbox::{Event, Mailbox};
use super::{Options, aws, bulk, cluster, deeds, ears, effects, hold, night, presence, preview, read, scan, watch};
use crate::config::Config;
use crate::domain::time::Clock;
use crate::domain::{Error, ErrorKind, Result};
use crate::ledger::{Ledger, Who};
use crate::text;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// So long the last deeds may take after the end was asked for.
const LAST_DEEDS: Duration = Duration::from_secs(2);

/// What all workers share.
pub struct Shared {
    pub config: Config,
    pub readonly: bool,
    pub clock: Clock,
    pub who: Option<Who>,
    pub mailbox: Arc<Mailbox>,
    /// The handle that was opened first: the others are made of it.
    first: Mutex<Option<Ledger>>,
    /// Cases whose leases are kept alive.
    pub held: Mutex<BTreeSet<String>>,
    pub rows: Lane<u64>,
    pub cases: Lane<read::CaseJob>,
    pub sums: Lane<read::SumsJob>,
    pub diff: Lane<read::DiffJob>,
    pub sort: Lane<read::SortJob>,
    pub deeds: Lane<deeds::Job>,
    pub scan: scan::Desk,
    pub preview: Lane<()>,
    /// Asks AWS now, and not only when it is time.
    pub aws: Lane<()>,
    pub bulk: bulk::Desk,
    /// The case that is open here.
    pub presence: presence::Desk,
    /// What the ledger's ears heard.
    pub news: ears::News,
    ended: AtomicBool,
}

impl Shared {
    /// A handle of one's own.
    pub fn open(&self) -> Result<Ledger> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ledger = match (&*first, &self.who) {
            (Some(first), _) => first.another()?,
            (None, Some(who)) => Ledger::open_as(&self.config, self.readonly, who.clone())?,
            (None, None) => Ledger::open(&self.config, self.readonly)?,
        };
        if first.is_none() {
            *first = Some(ledger.another()?);
        }
        drop(first);
        let clock = self.clock.clone();
        ledger.set_clock(move || clock.now());
        Ok(ledger)
    }

    /// The cases whose leases are kept alive, to be looked at or changed.
    pub fn held<T>(&self, with: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
        with(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One kind of worker.
struct Worker {
    feed: Feed,
    name: &'static str,
    body: fn(&Shared) -> Result<()>,
    /// After its death, what it did no longer counts as being done.
    bury: fn(&Shared),
    alive: Arc<AtomicBool>,
}

/// The workers.
pub struct Work {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
}

impl Work {
    /// Nothing runs yet; jobs may be given.
    pub fn new(config: Config, options: &Options, mailbox: Arc<Mailbox>) -> Self {
        let shared = Shared {
            config,
            readonly: options.readonly,
            clock: options.clock.clone(),
            who: options.who.clone(),
            mailbox,
            first: Mutex::default(),
            held: Mutex::default(),
            rows: Lane::default(),
            cases: Lane::default(),
            sums: Lane::default(),
            diff: Lane::default(),
            sort: Lane::default(),
            deeds: Lane::default(),
            scan: scan::Desk::default(),
            preview: Lane::default(),
            aws: Lane::default(),
            bulk: bulk::Desk::default(),
            presence: presence::Desk::default(),
            news: ears::News::default(),
            ended: AtomicBool::new(false),
        };
        let worker = |feed, name, body, bury| Worker {
            feed,
            name,
            body,
            bury,
            alive: Arc::default(),
        };
        let workers = vec![
            worker(Feed::Rows, "rows", read::rows, |s| s.rows.abandon()),
            worker(Feed::Rows, "sort", read::sort, |s| s.sort.abandon()),
            worker(Feed::Case, "case", read::cases, |s| s.cases.abandon()),
            worker(Feed::Overview, "sums", read::sums, |s| s.sums.abandon()),
            worker(Feed::Watch, "ears", ears::run, |_| {}),
            worker(Feed::Watch, "watch", watch::run, |_| {}),
            worker(Feed::Watch, "presence", presence::run, |_| {}),
            worker(Feed::Diff, "diff", read::diff, |s| s.diff.abandon()),
            worker(Feed::Deeds, "deeds", deeds::run, |s| s.deeds.abandon()),
            worker(Feed::Deeds, "leases", deeds::keep_leases, |_| {}),
            worker(Feed::Deeds, "effects", effects::run, |_| {}),
            worker(Feed::Phases, "cluster", cluster::run, |_| {}),
            worker(Feed::Night, "night", night::run, |_| {}),
            worker(Feed::Aws, "aws", aws::run, |_| {}),
            worker(Feed::Hold, "hold", hold::run, |_| {}),
            worker(Feed::Preview, "preview", preview::run, |s| s.preview.abandon()),
            worker(Feed::Deeds, "bulk", bulk::run, |s| s.bulk.asked.abandon()),
            worker(Feed::Scan, "scan", scan::run, |s| s.scan.abandon()),
        ];
        Self {
            shared: Arc::new(shared),
            workers,
        }
    }

    /// Opens the ledger once, away from the screen; the workers begin when it answers.
    pub fn open(&self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        start("open", move || {
            let opened = panics::watch(|| {
                let ledger = shared.open()?;
                watch::tell_person(&shared, &ledger, ledger.role());
                scan::at_the_start(&shared, &ledger)
            });
            let opened = opened.unwrap_or_else(|why| Err(Error::failed(why)));
            shared.mailbox.post(match opened {
                Ok(()) => Event::Opened,
                Err(error) => Event::Fatal(error),
            });
        })
    }

    /// Starts every worker that does not run.
    pub fn begin(&self) -> Result<()> {
        for worker in &self.workers {
            if worker.alive.swap(true, Ordering::SeqCst) {
                continue;
            }
            let shared = Arc::clone(&self.shared);
            let alive = Arc::clone(&worker.alive);
            let (feed, body, bury) = (worker.feed, worker.body, worker.bury);
            start(worker.name, move || {
                let why = loop {
                    match panics::watch(|| body(&shared)) {
                        Ok(Ok(())) => return,
                        // It goes on by itself once the ledger's server is back.
                        Ok(Err(error)) if error.kind == ErrorKind::Lost => {
                            bury(&shared);
                            shared.news.wait_for_answer();
                            shared.mailbox.tell(Msg::Again(feed));
                        }
                        Ok(Err(error)) => break error.to_string(),
                        Err(panic) => break panic,
                    }
                };
                bury(&shared);
                alive.store(false, Ordering::SeqCst);
                shared.mailbox.tell(Msg::Died { feed, why });
            })?;
        }
        Ok(())
    }

    /// Gives an effect to whom it concerns.
    pub fn carry_out(&self, effect: Effect) -> Result<()> {
        let shared = &self.shared;
        match effect {
            Effect::LoadRows { reading } => shared.rows.replace(reading, |_| true),
            Effect::LoadCase { reading, id } => shared.cases.replace(read::CaseJob { reading, id }, |_| true),
            Effect::LoadSome(ids) => shared.sums.push(read::SumsJob::Some(ids)),
            Effect::LoadOverview => {
                shared
                    .sums
                    .replace(read::SumsJob::Overview, |job| matches!(job, read::SumsJob::Overview));
            }
            Effect::LoadDiff { reading, span } => {
                let job = read::DiffJob::Groups { reading, span };
                shared
                    .diff
                    .replace(job, |job| matches!(job, read::DiffJob::Groups { .. }));
            }
            Effect::LoadBehind(key) => {
                shared.diff.replace(read::DiffJob::Behind(key), |job| {
                    matches!(job, read::DiffJob::Behind(_))
                });
            }
            Effect::Arrange {
                number,
                rows,
                query,
                sort,
            } => {
                let job = read::SortJob::Arrange {
                    number,
                    rows,
                    query,
                    sort,
                };
                shared
                    .sort
                    .replace(job, |job| matches!(job, read::SortJob::Arrange { .. }));
            }
            Effect::Discard(table) => shared.sort.push(read::SortJob::Discard(table)),
            Effect::Deed { number, deed } => shared.deeds.push(deeds::Job::Deed { number, deed }),
            Effect::Sift { scope, ask } => shared.bulk.asked.push(bulk::Job::Sift { scope, ask }),
            Effect::Bulk(bulking) => shared.bulk.asked.push(bulk::Job::Work(bulking)),
            Effect::Look(case) => shared.presence.open(case),
            Effect::StopBulk => shared.bulk.stop.store(true, Ordering::SeqCst),
            Effect::AskAws => shared.aws.replace((), |()| true),
            Effect::LoadPreview => shared.preview.replace((), |()| true),
            Effect::StartScan { despite } => shared.scan.ask(despite),
            Effect::Restart => self.begin()?,
            Effect::Quit { give_back } => self.quit(give_back),
            // The screen's own.
            Effect::Copy(_) | Effect::Bell | Effect::KeepDrafts(_) => {}
        }
        Ok(())
    }

    /// Gives claims back, waits for the last deeds a moment, and tells the loop.
    fn quit(&self, give_back: Vec<String>) {
        let shared = Arc::clone(&self.shared);
        let end = move || {
            last_deeds(&shared, give_back);
            shared.ended.store(true, Ordering::SeqCst);
            shared.mailbox.post(Event::Resized);
        };
        // Where no thread can be had, nothing is left to wait for.
        if start("end", end).is_err() {
            self.shared.ended.store(true, Ordering::SeqCst);
        }
    }

    /// Whether the end that was asked for is there.
    pub fn is_finished(&self) -> bool {
        self.shared.ended.load(Ordering::SeqCst)
    }

    /// As [`Work::quit`], on this thread: the screen will not be drawn again.
    pub fn finish(&self, give_back: Vec<String>) {
        last_deeds(&self.shared, give_back);
    }
}

fn last_deeds(shared: &Shared, give_back: Vec<String>) {
    shared.scan.stop();
    shared.bulk.stop.store(true, Ordering::SeqCst);
    shared.held(BTreeSet::clear);
    if !give_back.is_empty() {
        shared.deeds.push(deeds::Job::Deed {
            number: 0,
            deed: Deed::Drop(give_back),
        });
    }
    if shared.presence.is_open() {
        shared.deeds.push(deeds::Job::Leave);
    }
    shared.deeds.drain(LAST_DEEDS);
}

fn start(name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(drop)
        .map_err(|e| Error::failed(format!("no thread can be started for {}: {e}", text::lines(name))))
}

/// Lets everything that answers a person go first. On Linux this is about the calling thread and those that it starts.
pub fn stand_back() {
    // Where it is refused, the work is done at the same speed as the rest.
    let _ = rustix::process::nice(10);
}

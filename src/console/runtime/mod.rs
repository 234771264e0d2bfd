//! The loop under the console: input, time and data in, effects and frames out.
//!
//! One thread owns model and screen; everything that may wait is done by others, each with its own handle on the ledger.
//! A frame is drawn when something changed, never more often than [`GAP`], and sent only where cells changed: an idle
//! console sends the clock and nothing else.
//!
//! | file | what it does |
//! | --- | --- |
//! | `mailbox` | what waits for the loop |
//! | `input` | the thread that reads the terminal |
//! | `work` | effects to workers; what happens when one dies |
//! | `read` | readings of the ledger |
//! | `bulk` | the same decision for many cases |
//! | `drafts` | what was typed and not sent |
//! | `deeds` | changes to the ledger, and the leases that must not lapse meanwhile |
//! | `hold` | the hold on a broker, followed |
//! | `scan` | the scan in the background |
//! | `cluster` | the cluster, and the phases that it tells of |
//! | `night` | old instances, deadlines, notices, the list before workers start |
//! | `ears` | hints that somebody changed the ledger; its server lost and back |
//! | `presence` | which case is open here, told to others |
//! | `watch` | what others do in the ledger |
//! | `aws` | the restore, as AWS shows it |

mod aws;
mod bulk;
mod cluster;
mod deeds;
mod drafts;
mod ears;
mod effects;
mod hold;
mod input;
mod lane;
mod mailbox;
mod night;
mod presence;
mod preview;
mod read;
mod scan;
mod watch;
mod work;

use super::model::Draft;
use super::term::signals::{self, Asked};
use super::term::{Screen, panics};
use super::view::view;
use super::{Model, Msg, Setup, update};
use crate::config::Config;
use crate::domain::time::{self, Clock};
use crate::domain::{Error, Result};
use crate::ledger::{self, Role, Who};
use crate::theme::{Choice, Depth, Theme};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use mailbox::{Event, Mailbox};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use work::Work;

/// Two frames are at least so far apart when data brings them; keys are answered at once.
const GAP: Duration = Duration::from_millis(16);
/// So long the loop takes in what waits before it draws.
const TAKE_IN: Duration = Duration::from_millis(4);
/// The clock on the screen moves so often.
const TICK: Duration = Duration::from_secs(1);

/// How the console runs.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Binds nothing that changes anything.
    pub readonly: bool,
    /// Draws with ASCII.
    pub ascii: bool,
    /// `--color`
    pub color: Choice,
    /// A theme by its name; `None` takes the one that suits the terminal.
    pub theme: Option<String>,
    /// What time it is.
    pub clock: Clock,
    /// Who sits here; `None` asks the system.
    pub who: Option<Who>,
}

impl Options {
    /// In a debug build, time stands still and the person has a made-up name where the tests ask for it: pictures of the
    /// screen are the same on every machine and day.
    fn staged(mut self) -> Self {
        let stage = std::env::var("STAGE_OF_RESTITCH").unwrap_or_default();
        if cfg!(debug_assertions)
            && let Some((instant, name)) = stage.split_once(' ')
            && let Some(instant) = time::parse(instant)
        {
            self.clock = Clock::stopped(instant);
            self.who = Some(Who {
                user: name.to_owned(),
                system_user: name.to_owned(),
                ssh: None,
            });
        }
        self
    }
}

/// How the console ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The person asked for it.
    Quit,
    /// A signal did.
    Signal(i32),
}

impl Ended {
    /// Dies of the signal that ended the console, so that whoever waits for the process sees why; to be called after all
    /// cleaning up.
    pub fn pass_on(self) {
        if let Self::Signal(signal) = self {
            signals::die_of(signal);
        }
    }
}

/// Runs the console on the configured incident until it is asked to end. The terminal is as it was when it returns.
pub fn run(config: &Config, options: Options) -> Result<Ended> {
    let options = options.staged();
    let depth = Depth::of(options.color, |name| std::env::var(name).ok());
    let theme = match &options.theme {
        Some(name) => Theme::named(name, depth)?,
        None => Theme::suited(options.color, depth)?,
    };
    // `--color` overrules NO_COLOR, which crossterm obeys by itself.
    crossterm::style::force_color_output(depth != Depth::None);
    panics::install();
    let mut screen = Screen::enter(options.ascii)?;
    let mailbox = Arc::new(Mailbox::default());
    let asked = Arc::clone(&mailbox);
    signals::listen(move |what| asked.post(Event::Asked(what))).map_err(|e| no_thread(&e))?;
    let mut model = Model::new(setup(config, &options), options.clock.now(), screen.size());
    let drafts = drafts::place(config, &model.setup.who).filter(|_| model.setup.may_act);
    model.drafts = drafts.as_ref().map(drafts::read).unwrap_or_default();
    let mut console = Console {
        work: Work::new(config.clone(), &options, Arc::clone(&mailbox)),
        mailbox,
        model,
        theme,
        clock: options.clock,
        drafts,
        changed: true,
        drawn_at: Instant::now(),
    };
    console.draw(&mut screen)?;
    input::listen(Arc::clone(&console.mailbox)).map_err(|e| no_thread(&e))?;
    console.work.open()?;
    let first = update::start(&mut console.model);
    console.carry_out(first, &mut screen)?;
    let ended = console.turn(&mut screen);
    drop(screen);
    ended
}

fn setup(config: &Config, options: &Options) -> Setup {
    let who = options.who.clone().unwrap_or_else(ledger::who::current);
    let role = Role::of(&who.system_user, config.roles.as_ref());
    let order = config.schema.entities.first();
    Setup {
        incident: config.incident.id.clone(),
        attempt: config.incident.attempt,
        restored_to: config.incident.restored_to,
        stopped_at: config.incident.stopped_at,
        who: who.user,
        role: role.name().to_owned(),
        may_act: role >= Role::Operator && !options.readonly,
        readonly: options.readonly,
        session: ledger::new_key(),
        show: order.map(|e| e.show.clone()).unwrap_or_default(),
        mask: config
            .schema
            .entities
            .iter()
            .flat_map(|e| e.mask.iter().map(|column| (e.name.clone(), column.clone())))
            .collect(),
        reasons: config.reasons.clone(),
        // Whether one is due is known once the ledger is open.
        scan_at_start: false,
    }
}

fn no_thread(e: &io::Error) -> Error {
    Error::failed(format!("no thread can be started: {e}"))
}

/// Model, screen and what feeds them.
struct Console {
    model: Model,
    theme: Theme,
    mailbox: Arc<Mailbox>,
    work: Work,
    clock: Clock,
    /// The file of drafts.
    drafts: Option<PathBuf>,
    /// Something changed since the last frame.
    changed: bool,
    drawn_at: Instant,
}

impl Console {
    fn turn(&mut self, screen: &mut Screen) -> Result<Ended> {
        let mut tick = Instant::now() + TICK;
        loop {
            let until = if self.changed {
                tick.min(self.drawn_at + GAP)
            } else {
                tick
            };
            let taking_since = Instant::now();
            let mut pressed = false;
            let mut next = self.mailbox.take(until);
            while let Some(event) = next {
                pressed |= matches!(event, Event::Key(..) | Event::Paste(_) | Event::Resized);
                if let Some(ended) = self.take(event, screen)? {
                    return Ok(ended);
                }
                // One look at what waits, without waiting.
                next = if taking_since.elapsed() < TAKE_IN {
                    self.mailbox.take(taking_since)
                } else {
                    None
                };
            }
            if Instant::now() >= tick {
                // Late ticks are not made up for.
                tick = Instant::now() + TICK;
                self.tell(Msg::Tick(self.clock.now()), screen)?;
            }
            if self.changed && (pressed || self.drawn_at.elapsed() >= GAP) {
                self.draw(screen)?;
            }
        }
    }

    /// Takes one event; the end, when it brings one.
    fn take(&mut self, event: Event, screen: &mut Screen) -> Result<Option<Ended>> {
        match event {
            Event::Key(key, _) if is_suspend(key) => self.suspend(screen)?,
            Event::Key(key, at) => {
                if key.code == KeyCode::F(12) {
                    panics::bug_on_purpose("screen");
                }
                self.tell(Msg::Key(key, at), screen)?;
            }
            Event::Paste(text) => self.tell(Msg::Paste(text), screen)?,
            Event::Resized => self.changed = true,
            Event::Msg(msg) => self.tell(msg, screen)?,
            Event::Asked(Asked::End(signal)) => {
                // The link may be gone: what was typed is there again next time.
                self.keep_drafts(&self.model.drafts);
                self.work.finish(self.model.held.iter().cloned().collect());
                return Ok(Some(Ended::Signal(signal)));
            }
            Event::Asked(Asked::Suspend) => self.suspend(screen)?,
            Event::Asked(Asked::Continued) => {
                screen.resume()?;
                self.changed = true;
            }
            Event::Opened => self.work.begin()?,
            Event::Fatal(error) => return Err(error),
        }
        if self.model.quitting && self.work.is_finished() {
            return Ok(Some(Ended::Quit));
        }
        Ok(None)
    }

    fn tell(&mut self, msg: Msg, screen: &mut Screen) -> Result<()> {
        let effects = update(&mut self.model, msg);
        self.changed = true;
        self.carry_out(effects, screen)
    }

    fn carry_out(&mut self, effects: Vec<super::Effect>, screen: &mut Screen) -> Result<()> {
        for effect in effects {
            match effect {
                super::Effect::Copy(text) => screen.copy(&text).map_err(|e| lost(&e))?,
                super::Effect::Bell => screen.bell().map_err(|e| lost(&e))?,
                super::Effect::KeepDrafts(drafts) => self.keep_drafts(&drafts),
                other => self.work.carry_out(other)?,
            }
        }
        Ok(())
    }

    fn keep_drafts(&self, drafts: &BTreeMap<String, Draft>) {
        if let Some(place) = &self.drafts {
            drafts::keep(place, drafts);
        }
    }

    fn draw(&mut self, screen: &mut Screen) -> Result<()> {
        let size = screen.size();
        if size != self.model.size {
            self.tell(Msg::Resize(size.0, size.1), screen)?;
        }
        screen
            .draw(|frame| view(&self.model, &self.theme, frame))
            .map_err(|e| lost(&e))?;
        self.changed = false;
        self.drawn_at = Instant::now();
        let effects = update(&mut self.model, Msg::Drawn(time::now()));
        self.carry_out(effects, screen)
    }

    fn suspend(&mut self, screen: &mut Screen) -> Result<()> {
        self.changed = true;
        // Where no shell could wake it, the key does nothing.
        match screen.suspend() {
            Err(error) if error.kind != crate::domain::ErrorKind::Refused => Err(error),
            _ => Ok(()),
        }
    }
}

/// The terminal does not take a frame. Where it is gone, so is the process.
fn lost(error: &io::Error) -> Error {
    if signals::is_gone(error) {
        signals::hung_up();
    }
    Error::failed(format!("the terminal does not take what is sent: {error}"))
}

fn is_suspend(key: KeyEvent) -> bool {
    key.code == KeyCode::Char('z') && key.modifiers.contains(KeyModifiers::CONTROL)
}

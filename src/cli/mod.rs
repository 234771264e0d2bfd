//! The command line: one file a command, no logic of its own. Results go to stdout, everything else to stderr.

mod approve;
mod audit;
mod bars;
mod bulk;
mod cases;
mod claim;
mod completions;
mod console;
mod deeds;
mod demo;
mod doctor;
mod effects;
mod file;
mod gate;
mod hold;
mod ignore;
mod ledger;
mod man;
pub mod out;
mod parse;
mod phase;
mod preview;
mod print_config;
mod prove;
#[cfg(test)]
mod readme;
mod ready;
mod report;
mod resolve;
mod restore;
mod scan;
mod shift;
mod show;

use crate::config::{self, Config, Overrides};
use crate::domain::{Error, ErrorKind, Result};
use crate::ledger::Ledger;
use crate::text;
use crate::theme::Choice;
use clap::error::{ContextKind, ContextValue, ErrorKind as ClapKind};
use clap::{Args, CommandFactory, Parser, Subcommand};
use out::Out;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

/// Everything is settled.
const DONE: u8 = 0;
/// Cases are left, or the gate is not green.
const LEFT: u8 = 3;

/// A console for the hours after a database restore.
#[derive(Debug, Parser)]
#[command(
    name = "restitch",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, all settled or green · 3 cases are left, or not green · 1 error · 2 usage or configuration · \
                  4 refused · 5 audit chain broken · 6 unconfirmed\n`restitch demo` shows it on a made-up incident."
)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags that every command knows, before or after its name.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Globals {
    /// Read this configuration instead of ./restitch.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Work on this incident
    #[arg(long, global = true, value_name = "ID")]
    pub incident: Option<String>,
    /// Keep cases in this ledger, as sqlite:PATH
    #[arg(long, global = true, value_name = "URL")]
    pub ledger: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Print plain lines: fields separated by tabs, no progress bars
    #[arg(long, global = true)]
    pub plain: bool,
    /// Look, change nothing
    #[arg(long, global = true)]
    pub readonly: bool,
    /// Colours of the console
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "auto|16|256|true|never"
    )]
    pub color: Choice,
    /// Draw with ASCII only
    #[arg(long, global = true)]
    pub ascii: bool,
    /// Never wait for a key
    #[arg(long, global = true)]
    pub no_input: bool,
    /// Say more on stderr
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Open the console; so does no command at all
    Console,
    /// Show it all on a made-up incident, with a simulated restore and order system
    Demo(demo::Show),
    /// Print the commented default configuration
    PrintConfig,
    /// Check everything configured, one line each with the cure
    Doctor(doctor::Check),
    /// From the log alone: what a restore to T would lose, and what of the bad change it would leave
    Preview(preview::Ask),
    /// The restore: may it work, which command does it, how far is it, may workers start
    #[command(subcommand)]
    Restore(restore::Restore),
    /// Is the restored database the right one, at the right point?
    Gate,
    /// Read log and restored database, open and update cases
    Scan(scan::Scan),
    /// List the cases
    Cases(cases::Cases),
    /// Show one case with its evidence
    Show(show::Show),
    /// Take cases, and those they wait for
    Claim(claim::Claim),
    /// Give cases back
    Drop(claim::Drop),
    /// Take a case from whoever holds it
    Takeover(claim::Takeover),
    /// Decide a case
    Resolve(resolve::Resolve),
    /// Decide many cases the same way
    Bulk(bulk::BulkRun),
    /// List what waits for another person, and approve or decline it
    Approve(approve::Approve),
    /// Say that what a decision asked for is done, or give the answer that a case waits for
    Done(deeds::Done),
    /// Write a note on a case
    Note(deeds::Note),
    /// Take a decision back
    Undo(deeds::Undo),
    /// Open a decided or settled case again (a lead)
    Reopen(deeds::Reopen),
    /// Read the restored database again for decided cases
    Prove(prove::Prove),
    /// Ignore a column that turned out to be noise, or list those that are
    Ignore(ignore::Ignore),
    /// The hold on a broker: its clocks, the rescue of what waits, the release of what was rescued
    Hold(hold::Hold),
    /// Say how a phase of the restore ended
    Phase(phase::SetPhase),
    /// Hand the shift's open list over, or take it over
    Handover(shift::Handover),
    /// The end: read all again, and sign where every case is settled
    Signoff(shift::Signoff),
    /// Make a PostgreSQL ledger, or print what a DBA must run
    Ledger(ledger::OfLedger),
    /// The audit trail
    Audit(audit::Audit),
    /// Report the incident: why, what was found, every decision, what is open
    Report(report::Report),
    /// Print completions for a shell
    Completions(completions::Completions),
    /// Print the manual page
    Man,
}

/// What a command works with.
struct Context<'a> {
    globals: &'a Globals,
    out: &'a mut Out,
}

impl Context<'_> {
    /// Loads the configuration and says on stderr what is odd about it.
    fn config(&self) -> Result<Config> {
        let config = config::load(&Overrides {
            config: self.globals.config.clone(),
            incident: self.globals.incident.clone(),
            ledger: self.globals.ledger.clone(),
        })?;
        for warning in &config.warnings {
            complain(&format!("warning: {warning}"));
        }
        for layer in config.layers.iter().filter(|_| self.globals.verbose > 0) {
            complain(&format!("configuration: {layer}"));
        }
        Ok(config)
    }

    /// Opens the ledger to look: one that is not there is not made.
    #[expect(clippy::unused_self, reason = "reads as the counterpart of `ledger`")]
    fn reading(&self, config: &Config) -> Result<Ledger> {
        Ledger::open(config, true)
    }

    /// Opens the ledger for a deed.
    fn ledger(&self, config: &Config) -> Result<Ledger> {
        let ledger = Ledger::open(config, self.globals.readonly)?;
        for resumed in ledger.resumed() {
            complain(resumed);
        }
        Ok(ledger)
    }
}

/// The one case that somebody means by its id, its label or its order's key.
fn one_case(ledger: &Ledger, text: &str) -> Result<String> {
    let mut found = ledger.find(text)?;
    match found.len() {
        1 => Ok(found.swap_remove(0)),
        0 => Err(Error::usage(format!("there is no case {text:?}")).cure("`restitch cases` lists them")),
        n => Err(Error::usage(format!("{text:?} fits {n} cases")).cure(format!(
            "name one by its id: {}",
            found.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// Runs the command of these arguments and gives its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let mut out = Out::new(cli.globals.json, cli.globals.plain);
    let mut context = Context {
        globals: &cli.globals,
        out: &mut out,
    };
    let ended = match cli.command {
        Some(command) => command.run(&mut context),
        None => console::run(&mut context),
    };
    match out.finish().and(ended) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("restitch: {error}"));
            error.kind.exit_code()
        }
    }
}

impl Command {
    fn run(self, context: &mut Context<'_>) -> Result<u8> {
        match self {
            Self::Console => console::run(context),
            Self::Demo(args) => args.run(context),
            Self::PrintConfig => print_config::run(context),
            Self::Doctor(args) => args.run(context),
            Self::Restore(what) => what.run(context),
            Self::Gate => gate::run(context),
            Self::Preview(args) => args.run(context),
            Self::Scan(args) => args.run(context),
            Self::Cases(args) => args.run(context),
            Self::Show(args) => args.run(context),
            Self::Claim(args) => args.run(context),
            Self::Drop(args) => args.run(context),
            Self::Takeover(args) => args.run(context),
            Self::Ledger(args) => args.run(context),
            Self::Resolve(args) => args.run(context),
            Self::Bulk(args) => args.run(context),
            Self::Approve(args) => args.run(context),
            Self::Done(args) => args.run(context),
            Self::Note(args) => args.run(context),
            Self::Undo(args) => args.run(context),
            Self::Reopen(args) => args.run(context),
            Self::Prove(args) => args.run(context),
            Self::Ignore(args) => args.run(context),
            Self::Hold(args) => args.run(context),
            Self::Phase(args) => args.run(context),
            Self::Handover(args) => args.run(context),
            Self::Signoff(args) => args.run(context),
            Self::Audit(args) => args.run(context),
            Self::Report(args) => args.run(context),
            Self::Completions(args) => args.run(context),
            Self::Man => man::run(context),
        }
    }
}

/// Writes a message to stderr, where nothing in it can act on the terminal. A closed stderr is nobody's fault.
pub fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "{}", text::lines(message));
}

/// Help and version go to stdout; what clap could not read goes to stderr.
fn usage(error: &clap::Error) -> u8 {
    if matches!(error.kind(), ClapKind::DisplayHelp | ClapKind::DisplayVersion) {
        // `restitch --help | head -1` closes the pipe early, and that is fine.
        let _ = error.print();
        return DONE;
    }
    complain(error.render().to_string().trim_end());
    if matches!(error.get(ContextKind::InvalidSubcommand), Some(ContextValue::String(_))) {
        let command = Cli::command();
        let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        complain(&format!("commands: {}", names.join(", ")));
    }
    ErrorKind::Usage.exit_code()
}

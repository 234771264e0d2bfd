//! `restitch report`

use super::{Context, DONE, bars};
use crate::domain::progress::Progress;
use crate::domain::{Error, Result, time};
use crate::job;
use crate::report::{self, Format, Source, told};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct Report {
    /// Its form: Markdown unless told otherwise
    #[arg(long, value_enum, value_name = "md|html|json|csv", hide_possible_values = true)]
    format: Option<Format>,
    /// Five lines
    #[arg(long, conflicts_with = "format")]
    brief: bool,
    /// Write it to this file, for nobody else to read
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Report {
    /// Writes the report.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        let ledger = context.reading(&config)?;
        let as_json = context.out.wants_json();
        let format = match (self.format, as_json) {
            (None, true) => Format::Json,
            (None, false) => Format::Md,
            (Some(Format::Json), true) | (Some(_), false) => self.format.unwrap_or(Format::Json),
            (Some(_), true) => return Err(Error::usage("--json and another --format exclude each other")),
        };
        let progress = Progress::default();
        let foretold = if self.brief || format == Format::Csv {
            Err("not asked".to_owned())
        } else {
            bars::watch(context.globals, &progress, || job::foretold(&config, &progress))
        };
        let told = told::gather(&config, &ledger, foretold, time::now())?;
        let source = Source {
            ledger: &ledger,
            config: &config,
            told: &told,
        };
        let mut write = |to: &mut report::Sink<'_>| {
            if self.brief {
                report::brief(&told, as_json, to)
            } else {
                report::write(source, format, to)
            }
        };
        match &self.out {
            None => write(&mut |text| context.out.raw(text))?,
            Some(path) => super::file::write_private(path, &mut write)?,
        }
        Ok(DONE)
    }
}

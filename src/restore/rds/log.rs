//! How far recovery is, as the log files of the restored instance say (AWS Knowledge Center, "Why is the point-in-time restore of
//! my Amazon RDS DB instance taking a long time?"). Reading them takes `rds:DescribeDBLogFiles` and `rds:DownloadDBLogFilePortion`;
//! without these, and while AWS has no files yet, nothing is known.
//!
//! The lines are those of PostgreSQL's startup process (xlogrecovery.c, xlogarchive.c).

use super::client::{Aws, AwsError, told};
use crate::domain::time;

/// What the log files say of recovery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The point that it recovers to, microseconds since 1970.
    pub target: Option<i64>,
    /// Segments of the log that were replayed.
    pub segments: u64,
    /// The last of them.
    pub segment: Option<String>,
    /// Commit time of the last transaction that is in, microseconds since 1970: the effective cut.
    pub last: Option<i64>,
    /// It is over.
    pub complete: bool,
}

/// Where reading goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    file: String,
    marker: Option<String>,
}

impl Recovery {
    /// Takes more lines in.
    pub fn take(&mut self, text: &str) {
        for line in text.lines() {
            if let Some(after) = after(line, "starting point-in-time recovery to ") {
                self.target = instant(after);
            } else if let Some(after) = after(line, "restored log file \"") {
                self.segments += 1;
                self.segment = after.split('"').next().map(str::to_owned);
            } else if let Some(after) = after(line, "last completed transaction was at log time ") {
                self.last = instant(after);
            } else if line.contains("archive recovery complete") {
                self.complete = true;
            }
        }
    }

    /// In one sentence; `None` where the files say nothing of it.
    pub fn words(&self) -> Option<String> {
        let to = self
            .target
            .map_or(String::new(), |at| format!(", to {}", time::clock(at)));
        match (self.last, self.complete, &self.segment) {
            (Some(last), _, _) => Some(format!(
                "over{to}: the last transaction in it was committed at {}",
                time::format(last)
            )),
            (None, true, _) => Some(format!("over{to}")),
            (None, false, Some(segment)) => {
                Some(format!("replaying{to}: {} segments, the last {segment}", self.segments))
            }
            (None, false, None) => self.target.map(|at| format!("begun, to {}", time::format(at))),
        }
    }
}

fn after<'l>(line: &'l str, words: &str) -> Option<&'l str> {
    line.split_once(words).map(|(_, after)| after)
}

/// A time as PostgreSQL logs it: `2026-11-22 14:05:00.25+00`.
fn instant(text: &str) -> Option<i64> {
    let mut words = text.trim_matches(['"', ' ']).split_whitespace();
    let (date, clock) = (words.next()?, words.next()?);
    let clock = clock.trim_end_matches('"');
    let (of_day, offset) = match clock.rfind(['+', '-']) {
        Some(at) => clock.split_at(at),
        None => (clock, "+00"),
    };
    let minutes = if offset.len() == 3 { ":00" } else { "" };
    time::parse(&format!("{date}T{of_day}{offset}{minutes}"))
}

/// The lines that were written since the last look, and where to go on.
pub async fn read(aws: &Aws, instance: &str, from: &Place) -> Result<(String, Place), AwsError> {
    let files = aws.rds.describe_db_log_files().db_instance_identifier(instance);
    let files = files.filename_contains("postgresql").send().await;
    let files = files.map_err(|e| told("rds:DescribeDBLogFiles", &e))?;
    let newest = files
        .describe_db_log_files()
        .iter()
        .max_by_key(|f| (f.last_written(), f.log_file_name().map(str::to_owned)));
    let Some(file) = newest.and_then(|f| f.log_file_name()) else {
        return Ok((String::new(), from.clone()));
    };
    let marker = from.marker.clone().filter(|_| from.file == file);
    // "0" begins at the top; without a marker AWS gives the end alone.
    let portion = aws
        .rds
        .download_db_log_file_portion()
        .db_instance_identifier(instance)
        .log_file_name(file)
        .marker(marker.unwrap_or_else(|| "0".to_owned()))
        .send()
        .await;
    let portion = portion.map_err(|e| told("rds:DownloadDBLogFilePortion", &e))?;
    let place = Place {
        file: file.to_owned(),
        marker: portion.marker().map(str::to_owned),
    };
    Ok((portion.log_file_data().unwrap_or_default().to_owned(), place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_startup_process() {
        let mut recovery = Recovery::default();
        assert_eq!(recovery.words(), None);
        let p = "2026-11-22 14:33:01 UTC::@:[412]:LOG:  ";
        recovery.take(&format!(
            "{p}starting point-in-time recovery to 2026-11-22 14:05:00+00\n"
        ));
        assert_eq!(recovery.words().unwrap(), "begun, to 2026-11-22T14:05:00Z");
        recovery.take(&format!(
            "{p}restored log file \"00000001000000A1000000F3\" from archive\n{p}restored log file \"00000001000000A1000000F4\" from archive\n"
        ));
        assert_eq!(
            recovery.words().unwrap(),
            "replaying, to 14:05:00Z: 2 segments, the last 00000001000000A1000000F4"
        );
        recovery.take(&format!(
            "{p}recovery stopping before commit of transaction 735, time 2026-11-22 14:05:00.31+00\n\
             {p}last completed transaction was at log time 2026-11-22 14:04:59.83+00\n{p}archive recovery complete\n"
        ));
        assert!(recovery.complete);
        assert!(
            recovery
                .words()
                .unwrap()
                .ends_with("committed at 2026-11-22T14:04:59.83Z")
        );
    }
}

//! The console beside a restore in AWS: what it shows, that it is lost, and that its task died.

use crate::Site;
use crate::terminal::{RESTITCH, Terminal, command};
use std::time::{Duration, Instant};

impl Site {
    pub fn console(&self, more: &[(&str, &str)]) -> Terminal {
        let hurried = [("PACE_OF_RESTITCH", "0.002")];
        self.console_at_its_pace(&[&hurried, more].concat())
    }

    fn console_at_its_pace(&self, more: &[(&str, &str)]) -> Terminal {
        let mut console = command(RESTITCH, &["console"], &self.night.path(""));
        for (name, value) in [
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "this-is-secret"),
        ] {
            console.env(name, value);
        }
        for (name, value) in more {
            console.env(name, value);
        }
        let mut terminal = Terminal::start(console, (120, 40));
        terminal.shows("2 QUEUE");
        terminal.keys("1");
        terminal.shows("database restoring");
        terminal.keys("jj");
        terminal
    }
}

#[test]
fn the_console_follows_the_restore_and_says_when_aws_is_lost() {
    let site = Site::new();
    site.begin();
    let mut terminal = site.console(&[]);
    terminal.shows("made: creating; no signal from AWS in this phase");
    terminal.shows("om-prod-restored is db-NEW");
    let header = terminal.shows("aws ");
    assert!(!header.contains("aws LOST"), "{header}");
    let said = "The security token included in the request is expired";
    site.peer
        .world()
        .fail("rds:DescribeDBInstances", "ExpiredToken", 403, said, None);
    terminal.shows("aws LOST");
    terminal.shows("do: log in again");
    // What was known stays.
    terminal.shows("made: creating");
    site.peer.world().heal("rds:DescribeDBInstances");
    terminal.hides("aws LOST");
    site.peer.world().set_status("om-prod-restored", "available");
    terminal.shows("AWS: available");
    terminal.keys("q");
    terminal.ends().unwrap();
    assert!(site.peer.world().landed["ExpiredToken"] > 0);
}

#[test]
fn a_task_that_died_says_so_and_starts_again_by_a_key() {
    let site = Site::new();
    site.begin();
    let mut terminal = site.console(&[("TEST_BUG_IN_RESTITCH", "aws")]);
    terminal.shows("watching AWS:");
    terminal.shows("ctrl-r starts it again");
    terminal.keys("<ctrl-r>");
    terminal.shows("made: creating");
    terminal.keys("q");
    terminal.ends().unwrap();
}

#[test]
fn a_key_asks_aws_at_once() {
    let site = Site::new();
    site.begin();
    let mut terminal = site.console_at_its_pace(&[]);
    terminal.shows("made: creating");
    site.peer.world().set_status("om-prod-restored", "available");
    let begun = Instant::now();
    terminal.keys("<ctrl-r>");
    terminal.shows("AWS: available");
    // By itself it looks again after 15 to 30 s.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    terminal.keys("q");
    terminal.ends().unwrap();
}

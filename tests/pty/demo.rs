//! The demo, worked by hand: every case opened, claimed and decided by keys alone, until the order system has carried all
//! of it out and everything is proven.

#[path = "hands.rs"]
mod hands;

use super::terminal::{PATIENCE, Terminal};
use hands::{NOTHING, decide, is_settled, notice, sums};
use std::time::Instant;

/// Orders of the incident: some twenty cases.
const ORDERS: &str = "60";
/// The verbs, in turns; keep fits every case.
const TURNS: [char; 4] = ['r', 'd', 'c', 'k'];

fn work_to_zero(size: (u16, u16)) {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::restitch(&["demo", "--orders", ORDERS], folder.path(), size);
    // The queue is filled within two seconds on an idle machine; here others work too.
    let text = terminal.shows("1 of ");
    let (mut turn, mut decided) = (0, Vec::new());
    let total = sums(&text).unwrap().to_owned();
    let until = Instant::now() + 8 * PATIENCE;
    loop {
        assert!(Instant::now() < until, "after {decided:?}:\n{}", terminal.text());
        terminal.keys("J");
        let text = terminal.wait("a case, or none", |s| {
            let text = s.contents();
            [" is yours", NOTHING, " holds "]
                .iter()
                .any(|said| notice(&text).contains(said))
        });
        if notice(&text).contains(" is yours") {
            decided.push(decide(&mut terminal, &TURNS, turn));
            turn += 1;
            continue;
        }
        // What is decided is carried out and proven by itself; what a proof fails is open again.
        // With the next key the last line is the footer again.
        terminal.keys("<esc>");
        terminal.shows("? help");
        let text = terminal.wait("the sums", |s| sums(&s.contents()).is_some());
        if is_settled(&text) {
            break;
        }
        // What was claimed with the chain of another case is mine already.
        if sums(&text).unwrap().contains("open") {
            terminal.keys("/");
            terminal.shows("verb:park");
            // In two goes: seventeen letters at once nobody types, and they would be taken for a paste.
            terminal.keys("by:me state");
            terminal.shows("/by:me state");
            terminal.keys(":open<enter>");
            let text = terminal.wait("the filter", |s| {
                let text = s.contents();
                text.contains("1 of 1") || text.contains("no case")
            });
            if text.contains("1 of 1") {
                decided.push(decide(&mut terminal, &TURNS, turn));
                turn += 1;
            }
            terminal.keys("<esc>");
            terminal.wait("the whole list", |s| {
                let text = s.contents();
                text.contains("? help") && !text.contains("by:me")
            });
            continue;
        }
        terminal.wait("more of it proven", |s| sums(&s.contents()) != sums(&text));
    }
    let text = terminal.text();
    assert!(is_settled(&text), "{text}");
    assert!(total.contains("open"), "{total}");
    // Every verb that takes turns was used: the whole path was walked, not one corner of it.
    assert!(TURNS.iter().all(|t| decided.contains(t)), "{decided:?}");
    terminal.keys("q");
    if terminal
        .wait("the end or a question", |s| {
            !s.alternate_screen() || s.contents().contains("y end")
        })
        .contains("y end")
    {
        terminal.in_dialog("y end", "y");
    }
    assert_eq!(terminal.ends(), Ok(0));
    // The private folder went with it.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_demo_is_worked_to_zero_at_80x24() {
    work_to_zero((80, 24));
}

#[test]
fn the_demo_is_worked_to_zero_at_160x48() {
    work_to_zero((160, 48));
}

//! The thread that reads the terminal. It can block for ever without keeping the process alive.
//!
//! A terminal without bracketed paste sends a paste as keys. What comes faster than anybody types is taken for one, so
//! that it can decide nothing.

use super::mailbox::{Event, Mailbox};
use crate::domain::time;
use crossterm::event::{self, Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// So many keys at once, with so many different ones among them, are no typing ahead and no key held down.
const BURST: (usize, usize) = (16, 5);
/// What comes so soon after a paste is its rest.
const REST: Duration = Duration::from_millis(60);
/// So many inputs are looked at together.
const MOST: usize = 4096;

/// Begins to read.
pub fn listen(mailbox: Arc<Mailbox>) -> io::Result<()> {
    thread::Builder::new().name("input".to_owned()).spawn(move || {
        let mut pasted = None;
        loop {
            match together() {
                Ok(inputs) => sort(inputs, &mut pasted, time::now(), &mailbox),
                // The terminal is going away; the thread that waits for its end will find out.
                // There is nothing to wait for here, and asking again at once would keep a core busy.
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    })?;
    Ok(())
}

/// Waits for input and takes all there is.
fn together() -> io::Result<Vec<Input>> {
    let mut inputs = vec![event::read()?];
    while inputs.len() < MOST && event::poll(Duration::ZERO)? {
        inputs.push(event::read()?);
    }
    Ok(inputs)
}

fn sort(inputs: Vec<Input>, pasted: &mut Option<Instant>, at: i64, mailbox: &Mailbox) {
    let bracketed = inputs.iter().any(|i| matches!(i, Input::Paste(_)));
    let rest = pasted.is_some_and(|at| at.elapsed() < REST);
    let is_paste = bracketed || rest || is_burst(&inputs);
    if is_paste {
        *pasted = Some(Instant::now());
    }
    let mut text = String::new();
    for input in inputs {
        match input {
            Input::Paste(more) => text.push_str(&more),
            Input::Resize(..) | Input::FocusGained => mailbox.post(Event::Resized),
            Input::Key(key) if key.kind == KeyEventKind::Release => {}
            Input::Key(key) if is_paste => text.extend(letter(key)),
            Input::Key(key) => mailbox.post(Event::Key(key, at)),
            Input::Mouse(_) | Input::FocusLost => {}
        }
    }
    if !text.is_empty() {
        mailbox.post(Event::Paste(text));
    }
}

fn is_burst(inputs: &[Input]) -> bool {
    let letters: Vec<char> = inputs
        .iter()
        .filter_map(|i| match i {
            Input::Key(key) => letter(*key),
            _ => None,
        })
        .collect();
    letters.len() >= BURST.0 && letters.iter().collect::<HashSet<_>>().len() >= BURST.1
}

fn letter(key: KeyEvent) -> Option<char> {
    match key.code {
        KeyCode::Char(c) if !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => Some(c),
        KeyCode::Enter => Some('\n'),
        KeyCode::Tab => Some('\t'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<Input> {
        text.chars()
            .map(|c| {
                let code = if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
                Input::Key(KeyEvent::new(code, KeyModifiers::NONE))
            })
            .collect()
    }

    /// What reaches the loop: `k` for a key, `p` for a paste.
    fn sorted(batches: &[Vec<Input>]) -> String {
        let mailbox = Mailbox::default();
        let mut pasted = None;
        for batch in batches {
            sort(batch.clone(), &mut pasted, 0, &mailbox);
        }
        let mut seen = String::new();
        while let Some(event) = mailbox.take(Instant::now()) {
            seen.push(match event {
                Event::Key(..) => 'k',
                Event::Paste(_) => 'p',
                other => panic!("{other:?}"),
            });
        }
        seen
    }

    #[test]
    fn what_nobody_types_is_a_paste() {
        assert_eq!(sorted(&[keys("ary")]), "kkk");
        assert_eq!(sorted(&[keys(&"j".repeat(40))]), "k".repeat(40));
        assert_eq!(sorted(&[keys("ary\nJary\nJary\nJary\n")]), "p");
        // Its rest, and what escapes a bracketed paste, is paste too.
        assert_eq!(sorted(&[keys("select * from orders\n"), keys("y")]), "pp");
        assert_eq!(sorted(&[vec![Input::Paste("x".to_owned())], keys("y")]), "pp");
    }
}

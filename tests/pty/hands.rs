//! What hands and eyes do at a console: read the sums, decide a case.
#![allow(dead_code, reason = "each test binary uses its part")]

use crate::terminal::Terminal;

/// No undecided case is left for this person.
pub const NOTHING: &str = "no undecided case left";

/// What the sums say, such as `37 = 36 open  1 to do`.
pub fn sums(text: &str) -> Option<&str> {
    let line = text
        .lines()
        .find(|l| l.contains(" = ") && !l.trim_start().starts_with("left"))?;
    Some(line.split_once(" = ")?.1.split('│').next().unwrap_or_default().trim())
}

/// Whether every case is settled: nothing but proven and gone is left in the sums.
pub fn is_settled(text: &str) -> bool {
    sums(text).is_some_and(|sums| {
        sums.contains("proven")
            && !["open", "to do", "applied", "parked", "escalated", "unconfirmed"]
                .iter()
                .any(|s| sums.contains(s))
    })
}

/// Whether the verb menu offers the verb of this letter.
pub fn offers(menu: &str, letter: char) -> bool {
    menu.lines().any(|line| {
        let mut words = line.split(['│', ' ']).filter(|w| !w.is_empty());
        words.any(|w| w == letter.to_string())
            && words.nth(1).is_some_and(|w| w != "no:")
            && ["reversible", "compensable"].iter().any(|way| line.contains(way))
    })
}

/// The last line of the screen.
pub fn notice(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or_default().trim()
}

/// Decides the case that is open and claimed, by the verbs of these letters in turns; the letter of the verb.
pub fn decide(terminal: &mut Terminal, turns: &[char], turn: usize) -> char {
    terminal.keys("a");
    // Its title may be on the screen before its lines.
    let menu = terminal.wait("the menu", |s| {
        let text = s.contents();
        text.contains("what shall happen?") && turns.iter().any(|letter| offers(&text, *letter))
    });
    // What a proof has failed is kept as it is.
    let keep = turns.iter().position(|t| *t == 'k').unwrap_or(turn);
    let turn = if menu.contains("disproven") { keep } else { turn };
    let letters = (0..turns.len()).map(|n| turns[(turn + n) % turns.len()]);
    let letter = letters
        .into_iter()
        .find(|l| offers(&menu, *l))
        .unwrap_or_else(|| panic!("nothing fits:\n{menu}"));
    terminal.in_dialog("what shall happen?", &letter.to_string());
    let evidence = if letter == 'd' { "seen<enter>" } else { "" };
    terminal.in_dialog("esc leave it alone", &format!("{evidence}1"));
    terminal.shows("y ");
    terminal.keys("y");
    // Answered: the dialog is gone and the last line says what was done.
    terminal.wait("the answer", |s| {
        let text = s.contents();
        !text.contains("leave it alone") && notice(&text).starts_with('✓')
    });
    letter
}

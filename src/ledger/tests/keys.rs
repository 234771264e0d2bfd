//! One key, one decision: a thousand pairs of decisions under the same key that differ in something that matters.

use super::dice::Dice;
use super::*;

/// Decisions, each of a case of its own, and others under the key of each.
const FIRST: usize = 50;
const OTHERS: usize = 20;

/// A text that an operator may have typed, the same seldom twice.
fn text(dice: &mut Dice) -> String {
    const LETTERS: [char; 8] = ['a', 'b', ' ', '\u{e9}', '"', '\'', '\\', '\u{202e}'];
    let mut text = String::from("x");
    for _ in 0..dice.roll(12) {
        text.push(dice.pick(&LETTERS));
    }
    text
}

fn first(dice: &mut Dice, case: usize) -> Decide {
    asking(
        &format!("order:{case}"),
        dice.pick(&[Verb::Keep, Verb::Park, Verb::Escalate, Verb::Reapply]),
    )
    .tap(|d| {
        d.reason = text(dice);
        d.evidence = dice.percent(50).then(|| text(dice));
        d.until = dice
            .percent(50)
            .then(|| T0 + 1 + i64::try_from(dice.roll(1_000)).unwrap());
    })
}

/// The same with at least one thing another.
fn other(dice: &mut Dice, first: &Decide) -> Decide {
    let mut d = first.clone();
    for _ in 0..=dice.roll(2) {
        match dice.roll(6) {
            0 => d.case = format!("order:{}", dice.roll(FIRST)),
            1 => d.verb = Some(dice.pick(&[Verb::Keep, Verb::Park, Verb::Escalate, Verb::Reapply, Verb::Cancel])),
            2 => d.reason = text(dice),
            3 => d.evidence = dice.percent(70).then(|| text(dice)),
            4 => d.until = dice.percent(70).then(|| T0 + i64::try_from(dice.roll(1_000)).unwrap()),
            _ => d.to = Some(text(dice)),
        }
    }
    if d.verb == Some(Verb::Escalate) && d.to.is_none() {
        d.to = Some("sam".to_owned());
    }
    d
}

#[test]
fn a_key_with_another_content_is_refused_and_changes_nothing() {
    let room = Room::new();
    let (mut ana, mut li) = (room.open("ana"), room.open("li"));
    store(
        &mut ana,
        (0..FIRST).map(|k| order(&k.to_string(), &[Kind::Lost])).collect(),
    );
    let mut dice = Dice::new(20_261_128);
    let mut pairs = 0;
    for case in 0..FIRST {
        let once = first(&mut dice, case);
        claim(&mut ana, &[&once.case]);
        let answer = ana.decide(&once).unwrap();
        let stands = rows(&ana);
        let lines = ana.newest_line().unwrap();
        let mut refusals = 0;
        while refusals < i64::try_from(OTHERS).unwrap() {
            let another = other(&mut dice, &once);
            // The fence, the confirmation and what was seen say how it was asked for, not what.
            let what = |d: &Decide| {
                let verb = d.verb.map(Verb::name);
                (
                    d.case.clone(),
                    verb,
                    d.reason.clone(),
                    d.to.clone(),
                    d.evidence.clone(),
                    d.until,
                )
            };
            // Now and then it is word for word the same, from another person.
            let (by, same) = (dice.percent(10), what(&another) == what(&once));
            if same && !by {
                continue;
            }
            let asked = if by { li.decide(&another) } else { ana.decide(&another) };
            let why = refused(asked);
            assert!(
                why.contains("was used for another decision"),
                "{once:?}\n{another:?}\n{why}"
            );
            refusals += 1;
        }
        pairs += OTHERS;
        assert_eq!(rows(&ana), stands);
        assert_eq!(
            ana.decide(&once).unwrap(),
            answer,
            "the same again is answered the same"
        );
        assert_eq!(ana.newest_line().unwrap(), lines + refusals, "one line a refusal");
    }
    assert_eq!(pairs, 1_000);
    ana.verify().unwrap();
}

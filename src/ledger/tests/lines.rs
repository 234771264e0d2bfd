//! Every deed, done or refused for whatever reason, is exactly one line that says who, what, on which case and why.

use super::*;

type Deed = fn(&mut Ledger) -> crate::domain::Result<()>;

/// The deeds of a person on the case `order:1`.
const DEEDS: [(&str, Deed); 8] = [
    ("claim", |l| l.claim(&ids(), MINUTE).map(drop)),
    ("drop", |l| l.drop_claims(&ids())),
    ("takeover", |l| l.take_over("order:1", "asleep", MINUTE).map(drop)),
    ("decide", |l| l.decide(&asking("order:1", Verb::Keep)).map(drop)),
    ("done", |l| l.done("order:1", "ticket 7").map(drop)),
    ("undo", |l| l.undo("order:1", "wrong key").map(drop)),
    ("prove", |l| l.prove("order:1", Some(true), "it is there").map(drop)),
    ("note", |l| l.note("order:1", "hm")),
];

fn ids() -> Vec<String> {
    vec!["order:1".to_owned()]
}

/// How the case stands when the deed comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    Free,
    Claimed(&'static str),
    /// Decided as to do, and held by nobody.
    ToDo,
    Kept,
}

fn room(stands: Stands) -> Room {
    let room = Room::new();
    let mut ana = room.open("ana");
    store(&mut ana, vec![order("1", &[Kind::Lost])]);
    let decide = |ledger: &mut Ledger, verb| {
        claim(ledger, &["order:1"]);
        ledger.decide(&asking("order:1", verb)).unwrap();
        ledger.drop_claims(&ids()).unwrap();
    };
    match stands {
        Stands::Free => {}
        Stands::Claimed(by) => claim(&mut room.open(by), &["order:1"]),
        Stands::ToDo => decide(&mut ana, Verb::Reapply),
        Stands::Kept => decide(&mut ana, Verb::Keep),
    }
    room
}

/// What comes of it: done, or refused for this.
#[derive(Debug, Clone, Copy)]
enum Comes {
    Done,
    Refused(&'static str),
}

/// Who, how the case stands, what comes of it.
type Situation = (&'static str, Stands, Comes);

/// Of each deed: it is done; who may only look; who is not the holder; where it does not fit.
const MATRIX: [(&str, [Situation; 4]); 8] = [
    (
        "claim",
        [
            ("ana", Stands::Free, Comes::Done),
            ("bo", Stands::Free, Comes::Refused("viewer")),
            ("li", Stands::Claimed("ana"), Comes::Refused("ana holds")),
            ("ana", Stands::Claimed("sam"), Comes::Refused("sam holds")),
        ],
    ),
    (
        "drop",
        [
            ("ana", Stands::Claimed("ana"), Comes::Done),
            ("bo", Stands::Claimed("ana"), Comes::Refused("viewer")),
            ("li", Stands::Claimed("ana"), Comes::Refused("ana holds")),
            ("sam", Stands::Claimed("li"), Comes::Refused("li holds")),
        ],
    ),
    (
        "takeover",
        [
            ("sam", Stands::Claimed("ana"), Comes::Done),
            ("bo", Stands::Claimed("ana"), Comes::Refused("bo is ")),
            ("li", Stands::Claimed("ana"), Comes::Refused("no lead")),
            ("sam", Stands::Free, Comes::Refused("nobody holds")),
        ],
    ),
    (
        "decide",
        [
            ("ana", Stands::Claimed("ana"), Comes::Done),
            ("bo", Stands::Claimed("ana"), Comes::Refused("viewer")),
            ("li", Stands::Claimed("ana"), Comes::Refused("ana holds")),
            ("ana", Stands::Kept, Comes::Refused("already")),
        ],
    ),
    (
        "done",
        [
            ("ana", Stands::ToDo, Comes::Done),
            ("bo", Stands::ToDo, Comes::Refused("viewer")),
            ("li", Stands::Claimed("ana"), Comes::Refused("ana holds")),
            ("ana", Stands::Free, Comes::Refused("not to do")),
        ],
    ),
    (
        "undo",
        [
            ("ana", Stands::ToDo, Comes::Done),
            ("bo", Stands::ToDo, Comes::Refused("viewer")),
            ("ana", Stands::Kept, Comes::Done),
            ("ana", Stands::Free, Comes::Refused("nothing to undo")),
        ],
    ),
    (
        "prove",
        [
            ("li", Stands::ToDo, Comes::Done),
            ("bo", Stands::ToDo, Comes::Refused("viewer")),
            ("ana", Stands::Free, Comes::Refused("nothing is decided")),
            ("ana", Stands::Claimed("ana"), Comes::Refused("nothing is decided")),
        ],
    ),
    (
        "note",
        [
            ("ana", Stands::Free, Comes::Done),
            ("bo", Stands::Free, Comes::Refused("viewer")),
            ("li", Stands::Claimed("ana"), Comes::Done),
            ("sam", Stands::Kept, Comes::Done),
        ],
    ),
];

#[test]
fn every_deed_in_every_situation_is_one_line() {
    use Comes::{Done, Refused};
    for ((name, deed), (of, situations)) in DEEDS.into_iter().zip(MATRIX) {
        assert_eq!(name, of);
        for (who, stands, comes) in situations {
            let room = room(stands);
            let mut ledger = room.open(who);
            let before = ledger.newest_line().unwrap();
            let done = deed(&mut ledger);
            let case = format!("{name} by {who}, {stands:?}: {done:?}");
            let lines = trail(&ledger);
            assert_eq!(ledger.newest_line().unwrap(), before + 1, "{case}");
            let line = lines.last().unwrap();
            assert_eq!(
                (line.who.as_str(), line.case.as_deref()),
                (who, Some("order:1")),
                "{case}"
            );
            assert_eq!(line.system_user, who, "{case}");
            let why = line.why.as_deref().unwrap_or_default();
            match comes {
                Done => {
                    done.unwrap();
                    assert_eq!((line.action.as_str(), line.outcome.as_str()), (name, "ok"), "{case}");
                }
                Refused(says) => {
                    assert!(refused(done).contains(says), "{case}");
                    assert_eq!(
                        (line.action.as_str(), line.outcome.as_str()),
                        ("refuse", "refused"),
                        "{case}"
                    );
                    assert!(
                        why.starts_with(&format!("{name}: ")) && why.contains(says),
                        "{case}: {why}"
                    );
                }
            }
            ledger.verify().unwrap();
        }
    }
}

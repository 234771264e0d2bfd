//! The console driven by keys, with an executor that answers from memory.

mod again;
mod carried;
mod claims;
mod despite;
mod lists;
mod lost;
mod night;
mod noise;
mod together;
mod unmask;

use super::{start, update};
use crate::console::effect::{Bulking, Deed, Effect};
use crate::console::fixture::{self, NOW};
use crate::console::keymap::Key;
use crate::console::model::diff::{Ignored, Tally, behind};
use crate::console::model::overlay::Overlay;
use crate::console::model::query::arrange;
use crate::console::model::{Draft, Feed, Model, Scan, View};
use crate::console::msg::{Msg, Outcome};
use crate::domain::case::{State, Verb};
use crate::domain::paper::{BulkAsk, Excluded, Paper, Scope, Sifted};
use crate::domain::queue::{CaseFile, CaseRow, Counts, Decide};
use crate::domain::{Error, finding::Kind};
use std::collections::{BTreeMap, VecDeque};

/// A console, a ledger in memory, and a clock that runs a second a key.
struct Run {
    model: Model,
    rows: Vec<CaseRow>,
    now: i64,
    /// Everything that was asked for and changes something.
    deeds: Vec<Deed>,
    copied: Vec<String>,
    scans: usize,
    /// Why some of them go on although the gate is red.
    despite: Vec<String>,
    quit: Option<Vec<String>>,
    refuse: Option<Error>,
    ignored: Vec<Ignored>,
    papers: Vec<Paper>,
    bulks: Vec<Bulking>,
    bells: usize,
    /// Cases that others were told are open here.
    looked: Vec<Option<String>>,
    kept: BTreeMap<String, Draft>,
    /// Effects wait here while they are held back.
    held: Option<VecDeque<Effect>>,
}

impl Run {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(prepare: impl FnOnce(&mut Model)) -> Self {
        let mut model = Model::new(fixture::setup(), NOW, (80, 24));
        prepare(&mut model);
        let mut run = Self {
            model,
            rows: fixture::rows(),
            now: NOW,
            deeds: Vec::new(),
            copied: Vec::new(),
            scans: 0,
            despite: Vec::new(),
            quit: None,
            refuse: None,
            ignored: Vec::new(),
            papers: Vec::new(),
            bulks: Vec::new(),
            bells: 0,
            looked: Vec::new(),
            kept: BTreeMap::new(),
            held: None,
        };
        let effects = start(&mut run.model);
        run.carry_out(effects);
        run
    }

    fn msg(&mut self, msg: Msg) {
        let effects = update(&mut self.model, msg);
        self.carry_out(effects);
    }

    /// Presses keys as they are written: `jj<enter>a`. Each is given a second after the last frame.
    fn keys(&mut self, keys: &str) {
        let mut rest = keys;
        while let Some(c) = rest.chars().next() {
            let name = match (c, rest.find('>')) {
                ('<', Some(end)) if end > 1 => &rest[1..end],
                _ => &rest[..c.len_utf8()],
            };
            let taken = if c == '<' && name != "<" {
                name.len() + 2
            } else {
                name.len()
            };
            rest = &rest[taken..];
            self.now += 1_000_000;
            self.press(if name == " " { "space" } else { name }, self.now);
            self.msg(Msg::Drawn(self.now));
        }
    }

    fn press(&mut self, key: &str, at: i64) {
        let event = Key::parse(key).unwrap_or_else(|| panic!("no key {key:?}")).event();
        self.msg(Msg::Key(event, at));
    }

    fn file(&self, id: &str) -> Option<CaseFile> {
        let row = self.rows.iter().find(|r| &*r.id == id)?;
        let mut file = match id {
            "order:958" => fixture::orphan(),
            "order:93" => fixture::to_do(),
            _ => fixture::regressed(),
        };
        file.found.id = id.to_owned();
        file.found.label = row.label.to_string();
        file.state = row.state;
        file.claim.clone_from(&row.claim);
        Some(file)
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut queue: VecDeque<Effect> = effects.into();
        if let Some(held) = self.held.as_mut() {
            held.extend(queue);
            return;
        }
        while let Some(effect) = queue.pop_front() {
            if let Some(msg) = self.answer(effect) {
                queue.extend(update(&mut self.model, msg));
            }
        }
    }

    fn answer(&mut self, effect: Effect) -> Option<Msg> {
        Some(match effect {
            Effect::LoadRows { reading } => Msg::Rows {
                reading,
                rows: self.rows.clone(),
                last: true,
            },
            Effect::LoadSome(ids) => Msg::Patched(
                self.rows
                    .iter()
                    .filter(|r| ids.iter().any(|i| **i == *r.id))
                    .cloned()
                    .collect(),
            ),
            Effect::LoadOverview => Msg::Overview {
                counts: counts_of(&self.rows),
                phases: fixture::phases(),
                hold: None,
            },
            Effect::LoadCase { reading, id } => Msg::Case {
                reading,
                case: self.file(&id).map(fixture::loaded),
            },
            Effect::LoadDiff { reading, span } => {
                let mut tally = Tally::new(span);
                tally.add(&fixture::orphan().found);
                tally.add(&fixture::regressed().found);
                Msg::Diff {
                    reading,
                    groups: tally.groups(&self.ignored),
                    ignored: self.ignored.clone(),
                }
            }
            Effect::LoadBehind(key) => {
                let mut rows = behind(&fixture::orphan().found, &key);
                rows.extend(behind(&fixture::regressed().found, &key));
                Msg::Behind { key, rows }
            }
            Effect::Arrange {
                number,
                rows,
                query,
                sort,
            } => Msg::Arranged {
                number,
                shown: arrange(&rows, &query, sort, "ana"),
            },
            Effect::Deed { number, deed } => {
                let outcome = match self.refuse.take() {
                    Some(error) => Err(error),
                    None => Ok(self.done(&deed)),
                };
                self.deeds.push(deed.clone());
                Msg::Deed { number, deed, outcome }
            }
            Effect::StartScan { despite } => {
                self.scans += 1;
                self.despite.extend(despite);
                return None;
            }
            Effect::Copy(text) => {
                self.copied.push(text);
                return None;
            }
            Effect::Quit { give_back } => {
                self.quit = Some(give_back);
                return None;
            }
            Effect::Sift { scope, ask } => Msg::Sifted(Ok(self.sift(&scope, ask))),
            Effect::Bulk(bulking) => {
                self.bulks.push(bulking);
                return None;
            }
            Effect::Bell => {
                self.bells += 1;
                return None;
            }
            Effect::KeepDrafts(drafts) => {
                self.kept = drafts;
                return None;
            }
            Effect::Look(case) => {
                self.looked.push(case);
                return None;
            }
            Effect::Restart | Effect::AskAws | Effect::Discard(_) | Effect::LoadPreview | Effect::StopBulk => {
                return None;
            }
        })
    }

    fn done(&mut self, deed: &Deed) -> Outcome {
        let changed: Vec<String> = match deed {
            Deed::Claim(ids) => ids
                .iter()
                .flat_map(|id| [id.clone()].into_iter().chain(self.blockers(id)))
                .collect(),
            Deed::Next { among, .. } => among
                .first()
                .into_iter()
                .flat_map(|id| [id.clone()].into_iter().chain(self.blockers(id)))
                .collect(),
            Deed::TakeOver { case, .. } => vec![case.clone()],
            Deed::Drop(ids) | Deed::Prove(ids) => ids.clone(),
            Deed::Decide(d) => vec![d.case.clone()],
            Deed::Done { case, .. } | Deed::Undo { case, .. } | Deed::Reopen { case, .. } | Deed::Note { case, .. } => {
                vec![case.clone()]
            }
            Deed::Unmask { .. } | Deed::Tick { .. } | Deed::HandOver { .. } | Deed::SignOff { .. } => Vec::new(),
            Deed::Ignore { entity, column, reason } => {
                self.ignored.push(Ignored {
                    entity: entity.clone(),
                    column: column.clone(),
                    why: reason.clone(),
                    paste: String::new(),
                });
                Vec::new()
            }
            Deed::Sign { paper, .. } | Deed::Decline { paper, .. } => {
                self.papers.retain(|p| p.key != paper.key);
                paper.case.iter().cloned().collect()
            }
            Deed::CompareAgain { entity, column, .. } => {
                self.ignored.retain(|i| (&i.entity, &i.column) != (entity, column));
                Vec::new()
            }
        };
        for row in self.rows.iter_mut().filter(|r| changed.iter().any(|id| **id == *r.id)) {
            match deed {
                Deed::Claim(_) | Deed::Next { .. } | Deed::TakeOver { .. } => row.claim = Some(fixture::claim("ana")),
                Deed::Drop(_) => row.claim = None,
                Deed::Decide(d) => {
                    row.verb = d.verb;
                    row.state = if d.verb == Some(Verb::Keep) {
                        State::Proven
                    } else {
                        State::ToDo
                    };
                }
                Deed::Done { .. } => row.state = State::Applied,
                Deed::Undo { .. } | Deed::Reopen { .. } => row.state = State::Open,
                Deed::Prove(_) => row.state = State::Proven,
                Deed::Sign { .. } => row.state = State::ToDo,
                Deed::Decline { .. }
                | Deed::HandOver { .. }
                | Deed::SignOff { .. }
                | Deed::Note { .. }
                | Deed::Unmask { .. }
                | Deed::Ignore { .. }
                | Deed::CompareAgain { .. }
                | Deed::Tick { .. } => {}
            }
        }
        Outcome {
            words: String::new(),
            changed,
        }
    }

    /// Every row of the scope that is open, without the one that somebody else holds.
    fn sift(&self, scope: &Scope, ask: BulkAsk) -> Sifted {
        let meant = |row: &&CaseRow| match scope {
            Scope::These(ids) => ids.iter().any(|id| **id == *row.id),
            _ => row.state == State::Open,
        };
        let (held, free): (Vec<&CaseRow>, Vec<&CaseRow>) = self
            .rows
            .iter()
            .filter(meant)
            .partition(|r| r.claim.as_ref().is_some_and(|c| c.by != "ana"));
        Sifted {
            ask,
            scope: scope.words(),
            taken: free
                .iter()
                .map(|r| (r.id.to_string(), r.label.to_string(), String::new()))
                .collect(),
            excluded: held
                .iter()
                .map(|r| Excluded {
                    case: r.id.to_string(),
                    label: r.label.to_string(),
                    why: "li holds it".to_owned(),
                })
                .collect(),
            waits: false,
            kind: "reversible",
        }
    }

    fn blockers(&self, id: &str) -> Vec<String> {
        let row = self.rows.iter().find(|r| &*r.id == id);
        row.map(|r| r.blocked_by.iter().map(|(b, _)| b.to_string()).collect())
            .unwrap_or_default()
    }

    fn cursor(&self) -> &str {
        self.model.queue.cursor.as_deref().unwrap_or("")
    }

    fn notice(&self) -> &str {
        self.model.notice.as_ref().map_or("", |n| &n.text)
    }

    fn form(&mut self) -> &mut crate::console::model::overlay::Form {
        self.model.form_mut().expect("a form is open")
    }

    fn decided(&self) -> Option<&Decide> {
        self.deeds.iter().rev().find_map(|d| match d {
            Deed::Decide(d) => Some(&**d),
            _ => None,
        })
    }
}

fn counts_of(rows: &[CaseRow]) -> Counts {
    let mut counts = Counts::default();
    for row in rows {
        counts.states[State::ALL.iter().position(|s| *s == row.state).unwrap()] += 1;
        if !row.state.is_settled() {
            counts.kinds[Kind::ALL.iter().position(|k| *k == row.kinds[0]).unwrap()] += 1;
        }
    }
    counts
}

#[test]
fn a_case_is_claimed_decided_and_left() {
    let mut run = Run::new();
    run.keys("j<enter>");
    assert!(run.model.in_case);
    run.keys("c");
    assert_eq!(run.deeds, [Deed::Claim(vec!["order:41".to_owned()])]);
    assert!(run.model.is_mine("order:41"));
    run.keys("ak1y");
    let decide = run.decided().unwrap().clone();
    assert_eq!((decide.case.as_str(), decide.verb), ("order:41", Some(Verb::Keep)));
    assert_eq!(decide.reason, "the difference does no harm");
    assert_eq!((decide.fence, decide.confirm), (Some(3), None));
    assert!(run.model.layer.is_none(), "the answer closes the form");
    assert_eq!(run.notice(), "SFO-77: keep");
    // The last reason is at hand.
    run.keys("<esc>kap0y");
    assert_eq!(run.decided().unwrap().reason, "the difference does no harm");
    assert_ne!(run.decided().unwrap().key, decide.key);
}

#[test]
fn deciding_a_case_that_nobody_holds_claims_it_first() {
    let mut run = Run::new();
    run.keys("j<enter>ak");
    assert_eq!(run.model.form_mut().unwrap().yes, "claim it and apply");
    run.keys("1y");
    let [Deed::Claim(claimed), Deed::Decide(decide)] = &run.deeds[..] else {
        panic!("{:?}", run.deeds)
    };
    assert_eq!((claimed[0].as_str(), decide.case.as_str()), ("order:41", "order:41"));
    assert_eq!(decide.fence, None);
    assert!(run.model.is_mine("order:41"));
}

#[test]
fn keys_typed_before_a_dialog_could_be_read_do_nothing() {
    let mut run = Run::new();
    run.keys("j<enter>c");
    let before = run.deeds.len();
    // Type-ahead: all at once, nothing drawn in between.
    let at = run.now + 1_000_000;
    for key in ["a", "k", "1", "y", "y", "y"] {
        run.press(key, at);
    }
    assert!(
        matches!(run.model.layer.as_ref().unwrap().overlay, Overlay::Menu(_)),
        "the first key after a did nothing"
    );
    run.msg(Msg::Drawn(at + 10));
    run.press("k", at + 499_000);
    assert!(run.model.layer.as_ref().unwrap().early);
    run.press("k", at + 600_000);
    for n in 0..10 {
        run.press("y", at + 600_001 + n);
    }
    assert_eq!(run.deeds.len(), before);
    run.press("esc", at + 600_100);
    assert!(run.model.layer.is_none(), "leaving is always heard");
}

#[test]
fn paste_decides_nothing() {
    let mut run = Run::new();
    run.keys("j<enter>c");
    let before = run.deeds.len();
    for keys in ["", "a", "k", "<tab>"] {
        run.keys(keys);
        run.msg(Msg::Paste("y\ry\x1b[201~ak1yyy\n".repeat(100)));
        assert_eq!(run.deeds.len(), before);
    }
    assert!(
        run.form()
            .text(super::super::model::overlay::Asks::Reason)
            .unwrap()
            .starts_with("y y"),
        "a paste is text where text is typed"
    );
    // The words that confirm a one-way verb are typed, not pasted.
    run.keys("<esc>ac<tab>1");
    run.keys("<tab><tab>");
    while run.form().focus != Some(1) {
        run.keys("<tab>");
    }
    run.msg(Msg::Paste("cancel 77".to_owned()));
    run.keys("<enter>");
    assert_eq!(run.deeds.len(), before);
}

#[test]
fn a_one_way_verb_wants_its_words_typed() {
    let mut run = Run::new();
    run.keys("j<enter>cac1y");
    assert!(run.decided().is_none(), "y alone confirms nothing one-way");
    run.form().fields[1].input.set("");
    run.keys("cancel 78<enter>");
    assert!(run.decided().is_none());
    run.keys("<ctrl-u>cancel 77<enter>");
    let decide = run.decided().unwrap();
    assert_eq!(decide.confirm.as_deref(), Some("order:41"));
    assert_eq!(decide.verb, Some(Verb::Cancel));
}

#[test]
fn what_a_verb_needs_is_asked_first() {
    let mut run = Run::new();
    run.keys("j<enter>ceesc<esc>ae");
    run.keys("sam<enter>soon<enter>");
    assert!(run.form().problem.as_ref().unwrap().contains("15:30"));
    run.keys("<ctrl-u>2h<enter>1y");
    let decide = run.decided().unwrap();
    assert_eq!(decide.to.as_deref(), Some("sam"));
    assert_eq!(decide.until, Some(run.model.now + 7_200_000_000));
    // A reason is never left out.
    let mut run = Run::new();
    run.keys("j<enter>caky");
    assert!(run.decided().is_none());
    assert_eq!(run.form().problem.as_deref(), Some("reason is missing"));
    run.keys("because I say so<enter>y");
    assert_eq!(run.decided().unwrap().reason, "because I say so");
}

#[test]
fn a_refused_verb_says_why_and_a_refused_decision_stays_open() {
    let mut run = Run::new();
    run.keys("j<enter>cas");
    let Overlay::Menu(menu) = &run.model.layer.as_ref().unwrap().overlay else {
        panic!("the menu stays")
    };
    assert!(menu.refused.as_ref().unwrap().contains("billing.activate is DONE"));
    run.refuse = Some(Error::refused("li holds SFO-77").cure("ask li"));
    run.keys("k1y");
    assert_eq!(run.form().problem.as_deref(), Some("li holds SFO-77; ask li"));
    assert_eq!(run.form().sent, None);
    let key = run.decided().unwrap().key.clone();
    run.keys("y");
    assert_eq!(
        run.decided().unwrap().key,
        key,
        "the same decision, sent again, has the same key"
    );
}

#[test]
fn a_decision_is_sent_once_however_often_y_is_pressed() {
    let mut run = Run::new();
    run.keys("j<enter>cak1");
    run.held = Some(VecDeque::new());
    run.keys("yyyy<enter>y");
    let sent = run.held.take().unwrap();
    assert_eq!(sent.iter().filter(|e| matches!(e, Effect::Deed { .. })).count(), 1);
    assert!(!run.model.pending.is_empty());
    run.keys("<esc>q");
    assert!(run.quit.is_none(), "a deed under way is not left behind unasked");
}

#[test]
fn to_dos_are_done_proven_and_undone_by_keyboard() {
    let mut run = Run::new();
    run.keys("/sfo-93<enter><enter>");
    run.keys("D");
    assert_eq!(run.form().lines[0], "cancel SFO-93 in the order system");
    run.keys("ticket 9<enter>y");
    assert!(
        matches!(run.deeds.last(), Some(Deed::Done { case, evidence }) if case == "order:93" && evidence == "ticket 9")
    );
    run.keys("Py");
    assert!(matches!(run.deeds.last(), Some(Deed::Prove(ids)) if ids == &["order:93".to_owned()]));
    run.keys("u1y");
    assert!(matches!(run.deeds.last(), Some(Deed::Undo { reason, .. }) if reason == "decided the wrong order"));
    run.keys("i");
    run.keys("called them<enter>");
    assert!(matches!(run.deeds.last(), Some(Deed::Note { text, .. }) if text == "called them"));
    run.keys("D");
    assert_eq!(run.notice(), "done: nothing of it is to do, and it waits for no answer");
}

#[test]
fn the_palette_runs_what_the_keys_run() {
    let mut run = Run::new();
    run.keys(":diff<enter>");
    assert_eq!(run.model.view, View::Diff);
    run.keys("<tab><tab>");
    assert_eq!(run.model.view, View::Board);
    run.keys("2:copy id<enter>");
    assert_eq!(run.copied, ["order:958"]);
    run.keys("y");
    assert_eq!(run.copied[1], "SFM-12");
    run.keys("?");
    assert!(matches!(
        run.model.layer.as_ref().unwrap().overlay,
        Overlay::Help { .. }
    ));
    run.keys("<esc>l");
    assert!(!run.model.case.events, "l is the case's");
}

#[test]
fn differences_lead_to_the_orders_behind_them() {
    let mut run = Run::new();
    run.keys("3<enter><enter>");
    assert!(run.model.in_case);
    assert_eq!(run.model.case.id.as_deref(), Some("order:958"));
    run.keys("<esc><esc>");
    assert!(run.model.diff.inside.is_none() && run.model.view == View::Diff);
}

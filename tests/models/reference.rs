//! Two cases as the contract has them: who holds them, what was decided, and what is refused. The second waits for the
//! first.

use restitch::domain::case::{State, Verb};
use std::collections::HashMap;

/// Two consoles of one operator, another operator, a lead.
pub const PEOPLE: [&str; 4] = ["ana", "ana", "li", "sam"];
const LEAD: &str = "sam";

/// What a console asks for; the case by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    Claim(usize),
    Drop(usize),
    TakeOver(usize),
    Decide(Decision),
    Undo(usize),
}

impl Ask {
    pub const fn case(&self) -> usize {
        match self {
            Self::Claim(case) | Self::Drop(case) | Self::TakeOver(case) | Self::Undo(case) => *case,
            Self::Decide(decision) => decision.case,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub key: u64,
    pub case: usize,
    pub verb: Verb,
    pub reason: u64,
    pub fence: Option<i64>,
}

/// Why it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum No {
    Held,
    NobodyHolds,
    StaleFence,
    KeyUsed,
    Decided,
    NotLead,
    OwnCase,
    NotToUndo,
    ChainNotMine,
    BlockerStaysLost,
}

impl No {
    /// What the refusal says.
    pub const fn says(self) -> &'static [&'static str] {
        match self {
            Self::Held => &[" holds ", " over from you at "],
            Self::NobodyHolds => &["nobody holds "],
            Self::StaleFence => &["somebody else held "],
            Self::KeyUsed => &["was used for another decision"],
            Self::Decided => &["already: undo that first"],
            Self::NotLead => &["is no lead"],
            Self::OwnCase => &["is yours already"],
            Self::NotToUndo => &["there is nothing to undo"],
            Self::ChainNotMine => &["claim the chain", " holds "],
            Self::BlockerStaysLost => &["what it needs will not come back"],
        }
    }
}

/// How it comes out: the states of the cases that it decided.
pub type Answer = Result<Vec<(usize, State)>, No>;

#[derive(Debug, Clone)]
struct Lease {
    by: &'static str,
    until: i64,
    fence: i64,
}

#[derive(Debug, Clone)]
struct Case {
    lease: Option<Lease>,
    state: State,
    decided: Option<(u64, Verb)>,
}

/// Holder, end of the lease and fence.
pub type Held = Option<(&'static str, i64, i64)>;

/// Whose decision a key is, and how it was answered.
type Known = (&'static str, Decision, Vec<(usize, State)>);

pub struct Model {
    cases: [Case; 2],
    keys: HashMap<u64, Known>,
    /// Lines that the trail must have by now.
    pub lines: i64,
}

impl Model {
    pub fn new() -> Self {
        let case = Case {
            lease: None,
            state: State::Open,
            decided: None,
        };
        Self {
            cases: [case.clone(), case],
            keys: HashMap::new(),
            lines: 0,
        }
    }

    /// How a case stands: state, verb, claim.
    pub fn sight(&self, case: usize, now: i64) -> (State, Option<Verb>, Held) {
        let case = &self.cases[case];
        let held = case.lease.as_ref().filter(|l| l.until > now);
        (
            case.state,
            case.decided.map(|(_, verb)| verb),
            held.map(|l| (l.by, l.until, l.fence)),
        )
    }

    /// Whether somebody's lease on the case ran out.
    pub fn has_lapsed(&self, case: usize, now: i64) -> bool {
        self.cases[case].lease.as_ref().is_some_and(|l| l.until <= now)
    }

    pub fn knows(&self, key: u64) -> bool {
        self.keys.contains_key(&key)
    }

    /// Does it, or says why not; a refusal is a line of the trail as well.
    pub fn ask(&mut self, by: &'static str, ask: &Ask, now: i64, lease: i64) -> Answer {
        let answer = match ask {
            Ask::Claim(case) => self.claim(by, *case, now, lease),
            Ask::Drop(case) => self.give_back(by, *case, now),
            Ask::TakeOver(case) => self.take_over(by, *case, now, lease),
            Ask::Decide(decision) => self.decide(by, decision, now),
            Ask::Undo(case) => self.undo(by, *case, now),
        };
        self.lines += i64::from(answer.is_err());
        answer
    }

    fn holder(&self, case: usize, now: i64) -> Option<&Lease> {
        self.cases[case].lease.as_ref().filter(|l| l.until > now)
    }

    fn claim(&mut self, by: &'static str, case: usize, now: i64, lease: i64) -> Answer {
        let live = self.holder(case, now);
        if live.is_some_and(|l| l.by != by) {
            return Err(No::Held);
        }
        self.lines += i64::from(live.is_none());
        let fence = match &self.cases[case].lease {
            Some(last) if last.by == by => last.fence,
            Some(last) => last.fence + 1,
            None => 1,
        };
        let until = now + lease;
        self.cases[case].lease = Some(Lease { by, until, fence });
        Ok(Vec::new())
    }

    fn give_back(&mut self, by: &str, case: usize, now: i64) -> Answer {
        match self.holder(case, now) {
            Some(l) if l.by != by => return Err(No::Held),
            Some(_) => self.lines += 1,
            None => return Ok(Vec::new()),
        }
        if let Some(lease) = &mut self.cases[case].lease {
            lease.until = now;
        }
        Ok(Vec::new())
    }

    fn take_over(&mut self, by: &'static str, case: usize, now: i64, lease: i64) -> Answer {
        if by != LEAD {
            return Err(No::NotLead);
        }
        let fence = match self.holder(case, now) {
            None => return Err(No::NobodyHolds),
            Some(l) if l.by == by => return Err(No::OwnCase),
            Some(l) => l.fence + 1,
        };
        self.lines += 1;
        let until = now + lease;
        self.cases[case].lease = Some(Lease { by, until, fence });
        Ok(Vec::new())
    }

    fn decide(&mut self, by: &'static str, d: &Decision, now: i64) -> Answer {
        if let Some((whose, before, answer)) = self.keys.get(&d.key) {
            let same = (*whose, before.case, before.verb, before.reason) == (by, d.case, d.verb, d.reason);
            return if same { Ok(answer.clone()) } else { Err(No::KeyUsed) };
        }
        if !self.cases[d.case].state.is_decidable() {
            return Err(No::Decided);
        }
        match self.holder(d.case, now) {
            None => return Err(No::NobodyHolds),
            Some(l) if l.by != by => return Err(No::Held),
            Some(l) if d.fence.is_some_and(|f| f != l.fence) => return Err(No::StaleFence),
            Some(_) => {}
        }
        let mut cases = vec![d.case];
        // The second waits for the first: what re-creates it re-creates both.
        if (d.case, d.verb) == (1, Verb::Reapply) {
            if self.cases[0].state.is_decidable() {
                if self.holder(0, now).is_none_or(|l| l.by != by) {
                    return Err(No::ChainNotMine);
                }
                cases.push(0);
            } else if self.cases[0].decided.is_some_and(|(_, verb)| verb == Verb::Keep) {
                return Err(No::BlockerStaysLost);
            }
        }
        let next = match d.verb {
            Verb::Keep => State::Proven,
            Verb::Park => State::Parked,
            _ => State::ToDo,
        };
        for case in &cases {
            self.cases[*case].state = next;
            self.cases[*case].decided = Some((d.key, d.verb));
            self.lines += 1;
        }
        let answer: Vec<_> = cases.into_iter().map(|case| (case, next)).collect();
        self.keys.insert(d.key, (by, d.clone(), answer.clone()));
        Ok(answer)
    }

    fn undo(&mut self, by: &str, case: usize, now: i64) -> Answer {
        let (State::ToDo | State::Parked | State::Proven, Some((key, _))) =
            (self.cases[case].state, self.cases[case].decided)
        else {
            return Err(No::NotToUndo);
        };
        let with_it = |c: &usize| self.cases[*c].decided.is_some_and(|(k, _)| k == key);
        let linked: Vec<usize> = (0..2).filter(with_it).collect();
        if linked.iter().any(|c| self.holder(*c, now).is_some_and(|l| l.by != by)) {
            return Err(No::Held);
        }
        for case in linked {
            self.cases[case].state = State::Open;
            self.cases[case].decided = None;
            self.lines += 1;
        }
        Ok(Vec::new())
    }
}

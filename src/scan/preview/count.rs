//! How many there are at a moment, of things that come and go.

use rayon::slice::ParallelSliceMut;
use std::collections::BTreeMap;

/// Moments in any order, in four bytes each: by the upper half of a moment the lower halves.
#[derive(Debug, Default)]
struct Loose(BTreeMap<i64, Vec<u32>>);

fn halves(at: i64) -> (i64, u32) {
    (at >> 32, (at.cast_unsigned() & 0xffff_ffff) as u32)
}

impl Loose {
    fn push(&mut self, at: i64) {
        let (upper, lower) = halves(at);
        self.0.entry(upper).or_default().push(lower);
    }

    fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    fn append(&mut self, other: Self) {
        for (upper, mut lower) in other.0 {
            self.0.entry(upper).or_default().append(&mut lower);
        }
    }
}

/// Moments in order.
#[derive(Debug, Clone, Default)]
struct Times(Vec<Run>);

/// Those of one upper half: an hour and eleven minutes.
#[derive(Debug, Clone)]
struct Run {
    upper: i64,
    /// How many moments come before.
    before: usize,
    lower: Vec<u32>,
}

impl From<Loose> for Times {
    fn from(loose: Loose) -> Self {
        let mut before = 0;
        let run = |(upper, mut lower): (i64, Vec<u32>)| {
            lower.par_sort_unstable();
            lower.shrink_to_fit();
            let run = Run { upper, before, lower };
            before += run.lower.len();
            run
        };
        Self(loose.0.into_iter().map(run).collect())
    }
}

impl Times {
    /// How many are not after `t`, microseconds since 1970.
    fn until(&self, t: i64) -> usize {
        let (upper, lower) = halves(t);
        let at = self.0.partition_point(|run| run.upper <= upper);
        let Some(run) = at.checked_sub(1).and_then(|at| self.0.get(at)) else {
            return 0;
        };
        let within = if run.upper == upper {
            run.lower.partition_point(|l| *l <= lower)
        } else {
            run.lower.len()
        };
        run.before + within
    }

    /// Bytes held.
    fn bytes(&self) -> usize {
        let of_run = |run: &Run| size_of::<Run>() + run.lower.len() * size_of::<u32>();
        self.0.iter().map(of_run).sum()
    }
}

/// A stretch of time: from its first moment up to its second, which it does not hold. [`i64::MIN`] and [`i64::MAX`]: it
/// has no beginning, no end.
pub type Span = (i64, i64);

/// Spans, gathered by one thread.
#[derive(Debug, Default)]
pub struct Gathered {
    always: usize,
    starts: Loose,
    ends: Loose,
}

impl Gathered {
    /// One more thing that is there for these spans, which do not overlap.
    pub fn add(&mut self, spans: &[Span]) {
        for (from, to) in spans {
            if *from == i64::MIN {
                self.always += 1;
            } else {
                self.starts.push(*from);
            }
            if *to != i64::MAX {
                self.ends.push(*to);
            }
        }
    }

    /// What two threads gathered.
    pub fn join(mut self, mut other: Self) -> Self {
        if self.starts.len() + self.ends.len() < other.starts.len() + other.ends.len() {
            std::mem::swap(&mut self, &mut other);
        }
        self.always += other.always;
        self.starts.append(other.starts);
        self.ends.append(other.ends);
        self
    }
}

/// How many there are at a moment.
#[derive(Debug, Clone, Default)]
pub struct Count {
    /// Before the first moment.
    always: usize,
    starts: Times,
    ends: Times,
}

impl From<Gathered> for Count {
    fn from(gathered: Gathered) -> Self {
        let (starts, ends) = rayon::join(|| gathered.starts.into(), || gathered.ends.into());
        Self {
            always: gathered.always,
            starts,
            ends,
        }
    }
}

impl Count {
    /// How many there are at `t`, microseconds since 1970.
    pub fn at(&self, t: i64) -> u64 {
        let there = (self.always + self.starts.until(t)).saturating_sub(self.ends.until(t));
        there as u64
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.starts.bytes() + self.ends.bytes()
    }
}

/// Adds a span that is not before the others; where it touches the last, that one goes on.
pub fn add(spans: &mut Vec<Span>, span: Span) {
    match spans.last_mut() {
        Some(last) if last.1 == span.0 => last.1 = span.1,
        _ => spans.push(span),
    }
}

/// Joins spans that touch or overlap; empty ones go.
pub fn union(spans: &mut Vec<Span>) {
    spans.retain(|(from, to)| from < to);
    if spans.len() < 2 {
        return;
    }
    spans.sort_unstable();
    let mut kept = 0;
    for at in 1..spans.len() {
        let (from, to) = spans[at];
        if from <= spans[kept].1 {
            spans[kept].1 = spans[kept].1.max(to);
        } else {
            kept += 1;
            spans[kept] = (from, to);
        }
    }
    spans.truncate(kept + 1);
}

/// Where both are; each must be a union.
pub fn both(a: &[Span], b: &[Span]) -> Vec<Span> {
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while i < a.len() && j < b.len() {
        let (from, to) = (a[i].0.max(b[j].0), a[i].1.min(b[j].1));
        if from < to {
            out.push((from, to));
        }
        if a[i].1 < b[j].1 {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

/// Where these, a union, are not.
pub fn outside(spans: &[Span]) -> Vec<Span> {
    let mut out = Vec::new();
    let mut from = i64::MIN;
    for span in spans {
        if from < span.0 {
            out.push((from, span.0));
        }
        from = span.1;
    }
    if from < i64::MAX {
        out.push((from, i64::MAX));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spans() -> impl Strategy<Value = Vec<Span>> {
        let end = prop_oneof![
            4 => 0..60_i64,
            1 => Just(i64::MIN),
            1 => Just(i64::MAX),
            // Far enough apart that four bytes do not hold the distance.
            1 => 1_i64 << 40..(1 << 40) + 9,
        ];
        prop::collection::vec((end.clone(), end), 0..9)
    }

    fn holds(spans: &[Span], t: i64) -> bool {
        spans.iter().any(|(from, to)| *from <= t && t < *to)
    }

    proptest! {
        #[test]
        fn counting_is_looking_at_every_span(all in prop::collection::vec(spans(), 0..40), t in -5..70_i64, far in any::<bool>()) {
            let t = if far { t + (1 << 40) } else { t };
            let mut gathered = Gathered::default();
            let mut expected = 0;
            for spans in &all {
                let mut joined = spans.clone();
                union(&mut joined);
                prop_assert_eq!(holds(spans, t), holds(&joined, t));
                prop_assert_ne!(holds(&joined, t), holds(&outside(&joined), t));
                expected += u64::from(holds(spans, t));
                gathered.add(&joined);
            }
            prop_assert_eq!(Count::from(gathered).at(t), expected);
        }

        #[test]
        fn both_is_where_both_are(a in spans(), b in spans(), t in -5..70_i64) {
            let (mut a, mut b) = (a, b);
            union(&mut a);
            union(&mut b);
            prop_assert_eq!(holds(&both(&a, &b), t), holds(&a, t) && holds(&b, t));
        }
    }

    #[test]
    fn many_moments_are_as_quick_to_count() {
        // Before 1970 and after, over several runs.
        const STEP: i64 = 7_000_003;
        let mut loose = Loose::default();
        for n in (-2_500..2_500).rev() {
            loose.push(n * STEP);
        }
        assert_eq!(loose.len(), 5_000);
        let times = Times::from(loose);
        assert_eq!(times.until(-2_501 * STEP), 0);
        for n in -2_500..2_500 {
            let expected = usize::try_from(n + 2_501).unwrap();
            assert_eq!(
                (times.until(n * STEP), times.until(n * STEP - 1)),
                (expected, expected - 1)
            );
        }
        assert_eq!((times.until(i64::MIN), times.until(i64::MAX)), (0, 5_000));
        assert!(times.bytes() < 5 * 5_000);
    }
}

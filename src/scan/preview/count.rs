//! How many there are at a moment, of things that come and go.

use rayon::slice::ParallelSliceMut;

/// Moments in order, in little more than four bytes each.
#[derive(Debug, Clone, Default)]
pub struct Times {
    /// For each run of offsets what they are counted from, and where they begin.
    runs: Vec<(i64, u32)>,
    offsets: Vec<u32>,
}

/// Offsets of one run, so that looking into it stays quick.
const RUN: usize = 1 << 10;

impl Times {
    /// Of these moments, in any order; microseconds since 1970.
    pub fn of(mut moments: Vec<i64>) -> Self {
        moments.par_sort_unstable();
        let mut times = Self {
            runs: Vec::new(),
            offsets: Vec::with_capacity(moments.len()),
        };
        for at in moments {
            let here = times.offsets.len();
            let offset = times.runs.last().and_then(|(from, start)| {
                let full = here - *start as usize == RUN;
                u32::try_from(at.wrapping_sub(*from)).ok().filter(|_| !full)
            });
            if offset.is_none() {
                times.runs.push((at, u32::try_from(here).unwrap_or(u32::MAX)));
            }
            times.offsets.push(offset.unwrap_or_default());
        }
        times.runs.shrink_to_fit();
        times
    }

    /// How many are not after `t`.
    pub fn until(&self, t: i64) -> usize {
        let run = self.runs.partition_point(|(from, _)| *from <= t);
        let Some((from, start)) = run.checked_sub(1).and_then(|run| self.runs.get(run)) else {
            return 0;
        };
        let start = *start as usize;
        let end = self
            .runs
            .get(run)
            .map_or(self.offsets.len(), |(_, next)| *next as usize);
        let offset = t.wrapping_sub(*from).cast_unsigned();
        start + self.offsets[start..end].partition_point(|o| u64::from(*o) <= offset)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.runs.len() * size_of::<(i64, u32)>() + self.offsets.len() * size_of::<u32>()
    }
}

/// A stretch of time: from its first moment up to its second, which it does not hold. [`i64::MIN`] and [`i64::MAX`]: it
/// has no beginning, no end.
pub type Span = (i64, i64);

/// Spans, gathered by one thread.
#[derive(Debug, Default)]
pub struct Gathered {
    always: usize,
    starts: Vec<i64>,
    ends: Vec<i64>,
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
        self.starts.append(&mut other.starts);
        self.ends.append(&mut other.ends);
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
        let (starts, ends) = rayon::join(|| Times::of(gathered.starts), || Times::of(gathered.ends));
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
        let times = Times::of((0..5_000).map(|n| n * 7).collect());
        assert_eq!(times.until(-1), 0);
        assert_eq!(times.until(7 * 2_500), 2_501);
        assert_eq!(times.until(i64::MAX), 5_000);
        assert!(times.bytes() < 5 * 5_000);
    }
}

//! Numbers by a seed: the same seed rolls the same again, whatever the machine.
#![allow(
    dead_code,
    clippy::expect_used,
    missing_docs,
    reason = "tests, of which each uses its part"
)]

/// A splitmix64 generator.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        usize::try_from(self.next() % sides as u64).expect("less than a usize")
    }

    /// Whether it comes up, of a hundred.
    pub fn percent(&mut self, of_hundred: usize) -> bool {
        self.roll(100) < of_hundred
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }
}

/// The seeds of a test: those below `ci`, or below `soak` where `RESTITCH_SOAK` is set, or the one of `RESTITCH_SEED`. A
/// failure names its seed.
pub fn seeds(ci: u64, soak: u64) -> std::ops::Range<u64> {
    if let Ok(seed) = std::env::var("RESTITCH_SEED") {
        let seed = seed.parse().expect("RESTITCH_SEED is a number");
        return seed..seed + 1;
    }
    0..if is_soak() { soak } else { ci }
}

/// Whether everything is to run at the size of a night instead of a push.
pub fn is_soak() -> bool {
    std::env::var_os("RESTITCH_SOAK").is_some()
}

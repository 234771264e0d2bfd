//! How many colours a terminal has, and which of them is nearest to the one that a theme wants.

use ratatui::style::Color;

/// `--color`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// Ask the environment.
    #[default]
    Auto,
    /// The terminal's sixteen.
    #[value(name = "16")]
    C16,
    /// The palette of 256.
    #[value(name = "256")]
    C256,
    /// 24 bits.
    True,
    /// None.
    Never,
}

/// How many colours there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Bold, dim, underline and reverse only.
    None,
    /// The terminal's sixteen.
    Sixteen,
    /// The palette of 256.
    C256,
    /// 24 bits.
    True,
}

impl Depth {
    /// All depths.
    pub const ALL: [Self; 4] = [Self::None, Self::Sixteen, Self::C256, Self::True];

    /// What `--color` asks for, else what the environment shows: `NO_COLOR` (no-color.org), `COLORTERM`, `TERM`.
    pub fn of(choice: Choice, env: impl Fn(&str) -> Option<String>) -> Self {
        match choice {
            Choice::Never => return Self::None,
            Choice::C16 => return Self::Sixteen,
            Choice::C256 => return Self::C256,
            Choice::True => return Self::True,
            Choice::Auto => {}
        }
        let said = |name: &str| env(name).unwrap_or_default();
        let term = said("TERM");
        if !said("NO_COLOR").is_empty() || term == "dumb" || term.starts_with("vt1") {
            Self::None
        } else if matches!(said("COLORTERM").as_str(), "truecolor" | "24bit") || term.ends_with("-direct") {
            Self::True
        } else if term.contains("256") {
            Self::C256
        } else {
            Self::Sixteen
        }
    }

    /// Whether the terminal has the colour.
    #[cfg(test)]
    pub(super) const fn has(self, colour: Option<Color>) -> bool {
        match colour {
            None => true,
            Some(Color::Rgb(..)) => matches!(self, Self::True),
            Some(Color::Indexed(16..)) => matches!(self, Self::True | Self::C256),
            Some(_) => !matches!(self, Self::None),
        }
    }

    /// The nearest colour that the terminal has; `None` where it has none.
    pub(super) fn nearest(self, wanted: Color) -> Option<Color> {
        match (self, wanted) {
            (Self::None, _) => None,
            (Self::C256, Color::Rgb(r, g, b)) => Some(Color::Indexed(closest(16..=255, (r, g, b)))),
            (Self::Sixteen, Color::Rgb(r, g, b)) => Some(Color::Indexed(closest(0..=15, (r, g, b)))),
            (Self::Sixteen, Color::Indexed(i @ 16..)) => Some(Color::Indexed(closest(0..=15, rgb(i)))),
            _ => Some(wanted),
        }
    }
}

/// The palette's entry nearest to a colour, in a range whose values everybody shares.
fn closest(range: std::ops::RangeInclusive<u8>, (r, g, b): (u8, u8, u8)) -> u8 {
    let square = |x: u8, y: u8| u32::from(x.abs_diff(y)).pow(2);
    range
        .min_by_key(|&i| {
            let (pr, pg, pb) = rgb(i);
            // The eye weighs green most, blue least.
            3 * square(pr, r) + 4 * square(pg, g) + 2 * square(pb, b)
        })
        .unwrap_or(7)
}

/// The colour of an entry of xterm's palette: sixteen (as xterm has them), a 6x6x6 cube, 24 greys.
pub fn rgb(index: u8) -> (u8, u8, u8) {
    const SIXTEEN: [(u8, u8, u8); 16] = [
        (0, 0, 0),
        (205, 0, 0),
        (0, 205, 0),
        (205, 205, 0),
        (0, 0, 238),
        (205, 0, 205),
        (0, 205, 205),
        (229, 229, 229),
        (127, 127, 127),
        (255, 0, 0),
        (0, 255, 0),
        (255, 255, 0),
        (92, 92, 255),
        (255, 0, 255),
        (0, 255, 255),
        (255, 255, 255),
    ];
    let step = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
    match index {
        0..=15 => SIXTEEN[usize::from(index)],
        16..=231 => {
            let n = index - 16;
            (step(n / 36), step(n / 6 % 6), step(n % 6))
        }
        232.. => {
            let grey = 8 + 10 * (index - 232);
            (grey, grey, grey)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_tells() {
        let depth = |vars: &'static [(&str, &str)]| {
            Depth::of(Choice::Auto, |name| {
                vars.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned())
            })
        };
        assert_eq!(depth(&[("TERM", "xterm")]), Depth::Sixteen);
        assert_eq!(depth(&[("TERM", "tmux-256color")]), Depth::C256);
        assert_eq!(
            depth(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")]),
            Depth::True
        );
        assert_eq!(
            depth(&[("TERM", "xterm"), ("NO_COLOR", "1"), ("COLORTERM", "truecolor")]),
            Depth::None
        );
        assert_eq!(depth(&[("TERM", "xterm"), ("NO_COLOR", "")]), Depth::Sixteen);
        assert_eq!(depth(&[("TERM", "vt100")]), Depth::None);
        assert_eq!(Depth::of(Choice::True, |_| Some("dumb".to_owned())), Depth::True);
    }

    #[test]
    fn finds_the_nearest() {
        assert_eq!(Depth::C256.nearest(Color::Rgb(255, 0, 0)), Some(Color::Indexed(196)));
        assert_eq!(
            Depth::Sixteen.nearest(Color::Rgb(250, 250, 250)),
            Some(Color::Indexed(15))
        );
        assert_eq!(Depth::Sixteen.nearest(Color::Indexed(46)), Some(Color::Indexed(10)));
        assert_eq!(Depth::Sixteen.nearest(Color::Green), Some(Color::Green));
        assert_eq!(Depth::None.nearest(Color::Green), None);
    }
}

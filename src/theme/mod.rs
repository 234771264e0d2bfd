//! Colours by what they mean. Views name a [`Tone`]; a theme file says what it looks like; a role that the file leaves out
//! looks like the one it falls back to. Colour only ever repeats what a word or glyph says.

mod depth;

pub use depth::{Choice, Depth, rgb};

use crate::domain::schema::nearest;
use crate::domain::{Error, Result};
use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What a piece of the screen means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tone {
    /// Ordinary text.
    Text,
    /// Beside the point: hints, units, absent values.
    Dim,
    /// Rules and frames.
    Rule,
    /// Column heads, titles, the view one is in.
    Heading,
    /// The one accent: where the eye should go.
    Accent,
    /// A key to press.
    Key,
    /// Done, proven, reversible.
    Good,
    /// Not settled, late.
    Warn,
    /// Lost, failed, refused.
    Bad,
    /// Needs somebody now.
    Loud,
    /// The row under the cursor.
    Selected,
    /// Marked rows.
    Marked,
    /// Held by the person at the keyboard.
    Mine,
    /// Held by somebody else.
    Held,
    /// What is being typed.
    Input,
    /// Not to be had now.
    Disabled,
    /// No longer fresh: shown as of an earlier time.
    Stale,
}

impl Tone {
    /// All tones.
    pub const ALL: [Self; 17] = [
        Self::Text,
        Self::Dim,
        Self::Rule,
        Self::Heading,
        Self::Accent,
        Self::Key,
        Self::Good,
        Self::Warn,
        Self::Bad,
        Self::Loud,
        Self::Selected,
        Self::Marked,
        Self::Mine,
        Self::Held,
        Self::Input,
        Self::Disabled,
        Self::Stale,
    ];

    /// The role's name in a theme file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Dim => "dim",
            Self::Rule => "rule",
            Self::Heading => "heading",
            Self::Accent => "accent",
            Self::Key => "key",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Loud => "loud",
            Self::Selected => "selected",
            Self::Marked => "marked",
            Self::Mine => "mine",
            Self::Held => "held",
            Self::Input => "input",
            Self::Disabled => "disabled",
            Self::Stale => "stale",
        }
    }

    /// The role it looks like where a theme does not name it.
    const fn fallback(self) -> Option<Self> {
        match self {
            Self::Text => None,
            Self::Dim | Self::Heading | Self::Accent | Self::Good | Self::Warn | Self::Input => Some(Self::Text),
            Self::Rule | Self::Disabled | Self::Stale => Some(Self::Dim),
            Self::Key | Self::Selected | Self::Marked => Some(Self::Accent),
            Self::Bad | Self::Held => Some(Self::Warn),
            Self::Loud => Some(Self::Bad),
            Self::Mine => Some(Self::Good),
        }
    }
}

/// The themes in the program: name and file.
const FILES: [(&str, &str); 3] = [
    (SIXTEEN, include_str!("../../themes/sixteen.toml")),
    (MONO, include_str!("../../themes/mono.toml")),
    (NIGHT, include_str!("../../themes/night.toml")),
];
const SIXTEEN: &str = "sixteen";
const MONO: &str = "mono";
const NIGHT: &str = "night";

/// One role as a file says it.
#[derive(Debug, Clone, Default, Deserialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "the keys of the file, one for each attribute of a terminal"
)]
#[serde(deny_unknown_fields, default)]
struct Role {
    fg: Option<String>,
    bg: Option<String>,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
    reverse: bool,
}

/// What every tone looks like on this terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theme {
    name: &'static str,
    styles: [Style; Tone::ALL.len()],
}

impl Theme {
    /// The theme that suits the terminal: the sixteen colours that its owner chose, the truecolour theme where it was
    /// asked for with `--color true` or `256`, none without colour.
    pub fn suited(choice: Choice, depth: Depth) -> Result<Self> {
        let name = match (choice, depth) {
            (_, Depth::None) => MONO,
            (Choice::C256 | Choice::True, _) => NIGHT,
            _ => SIXTEEN,
        };
        Self::named(name, depth)
    }

    /// The theme of this name, in the colours that the terminal has. Without colour it is always `mono`.
    pub fn named(name: &str, depth: Depth) -> Result<Self> {
        let wanted = if depth == Depth::None { MONO } else { name };
        let Some((name, file)) = FILES.into_iter().find(|(known, _)| *known == wanted) else {
            return Err(Error::usage(format!("there is no theme {wanted:?}"))
                .cure(format!("one of: {}", Self::names().collect::<Vec<_>>().join(", "))));
        };
        Self::parse(name, file, depth)
    }

    /// The names of all themes.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FILES.into_iter().map(|(name, _)| name)
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What the tone looks like.
    pub const fn style(&self, tone: Tone) -> Style {
        self.styles[tone as usize]
    }

    fn parse(name: &'static str, file: &str, depth: Depth) -> Result<Self> {
        let place = format!("themes/{name}.toml");
        let roles: BTreeMap<String, Role> =
            toml::from_str(file).map_err(|e| Error::usage(e.to_string()).at(place.clone()))?;
        if let Some(unknown) = roles.keys().find(|r| Tone::ALL.iter().all(|t| t.name() != r.as_str())) {
            let near = nearest(unknown, Tone::ALL.iter().map(|t| t.name()));
            return Err(Error::usage(format!("there is no role {unknown:?}"))
                .at(place)
                .cure(format!("nearest roles: {near}")));
        }
        let mut styles = [Style::new(); Tone::ALL.len()];
        for tone in Tone::ALL {
            let mut role = tone;
            let said = loop {
                match (roles.get(role.name()), role.fallback()) {
                    (Some(said), _) => break Some(said),
                    (None, Some(next)) => role = next,
                    (None, None) => break None,
                }
            };
            if let Some(said) = said {
                styles[tone as usize] = said
                    .style(depth)
                    .map_err(|e| e.at(format!("{place}, {}", role.name())))?;
            }
        }
        Ok(Self { name, styles })
    }
}

impl Role {
    fn style(&self, depth: Depth) -> Result<Style> {
        let colour = |text: &String| {
            text.parse::<Color>()
                .map(|c| depth.nearest(c))
                .map_err(|_| Error::usage(format!("{text:?} is no colour")).cure("a name, 0 to 255, or #rrggbb"))
        };
        let mut style = Style::new();
        style.fg = self.fg.as_ref().map(colour).transpose()?.flatten();
        style.bg = self.bg.as_ref().map(colour).transpose()?.flatten();
        for (on, modifier) in [
            (self.bold, Modifier::BOLD),
            (self.dim, Modifier::DIM),
            (self.italic, Modifier::ITALIC),
            (self.underline, Modifier::UNDERLINED),
            (self.reverse, Modifier::REVERSED),
        ] {
            if on {
                style = style.add_modifier(modifier);
            }
        }
        Ok(style)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_theme_loads_at_every_depth() {
        for name in Theme::names() {
            for depth in Depth::ALL {
                let theme = Theme::named(name, depth).unwrap();
                for tone in Tone::ALL {
                    let style = theme.style(tone);
                    assert!(
                        depth.has(style.fg) && depth.has(style.bg),
                        "{name} {tone:?} {depth:?} {style:?}"
                    );
                }
                // What must stand out does so without its colour being seen.
                assert_ne!(theme.style(Tone::Selected), theme.style(Tone::Text));
                assert_ne!(theme.style(Tone::Loud), theme.style(Tone::Bad));
            }
        }
        // No theme file is left out of the program.
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/themes")).unwrap();
        assert_eq!(files.count(), FILES.len());
    }

    #[test]
    fn tones_stand_in_their_order() {
        for (at, tone) in Tone::ALL.into_iter().enumerate() {
            assert_eq!(tone as usize, at);
        }
    }

    #[test]
    fn falls_back_and_refuses_what_it_does_not_know() {
        let theme = Theme::parse("t", "warn = { fg = \"yellow\" }", Depth::Sixteen).unwrap();
        assert_eq!(theme.style(Tone::Loud).fg, Some(Color::Yellow));
        assert_eq!(theme.style(Tone::Good), Style::new());
        let error = Theme::parse("t", "wran = { fg = \"yellow\" }", Depth::Sixteen).unwrap_err();
        assert!(error.to_string().contains("nearest roles: warn"), "{error}");
        assert!(Theme::parse("t", "warn = { gf = \"yellow\" }", Depth::True).is_err());
        let error = Theme::parse("t", "warn = { fg = \"yelow\" }", Depth::True).unwrap_err();
        assert!(error.to_string().contains("themes/t.toml, warn"), "{error}");
        assert!(Theme::named("neon", Depth::True).is_err());
    }

    #[test]
    fn the_terminal_decides_unless_asked() {
        let name = |choice, depth| Theme::suited(choice, depth).unwrap().name();
        assert_eq!(name(Choice::Auto, Depth::True), SIXTEEN);
        assert_eq!(name(Choice::True, Depth::True), NIGHT);
        assert_eq!(name(Choice::Never, Depth::None), MONO);
    }
}

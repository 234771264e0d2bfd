//! Text snapshots of screens for the tests: the characters, and below each line that has some the styles that are not
//! the plain one. `UPDATE=1` writes them anew.

use crate::console::model::Model;
use crate::console::view::view_in;
use crate::theme::{Depth, Theme, Tone};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::path::PathBuf;

/// Draws the model at a size.
pub fn draw(model: &mut Model, width: u16, height: u16) -> Buffer {
    model.size = (width, height);
    let theme = Theme::named("sixteen", Depth::Sixteen).unwrap();
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    view_in(model, &theme, &mut buffer);
    buffer
}

/// The characters of a buffer, line by line.
pub fn text(buffer: &Buffer) -> Vec<String> {
    let area = buffer.area;
    (area.y..area.bottom())
        .map(|y| {
            let line: String = (area.x..area.right()).map(|x| buffer[(x, y)].symbol()).collect();
            line.trim_end().to_owned()
        })
        .collect()
}

/// A letter for each tone, by its style; tones that look alike share the first's.
fn letters(buffer: &Buffer, theme: &Theme) -> Vec<String> {
    let area = buffer.area;
    (area.y..area.bottom())
        .map(|y| {
            let line: String = (area.x..area.right())
                .map(|x| {
                    let cell = &buffer[(x, y)];
                    let same = |t: &&Tone| {
                        let style = theme.style(**t);
                        cell.fg == style.fg.unwrap_or_default()
                            && cell.bg == style.bg.unwrap_or_default()
                            && cell.modifier == style.add_modifier
                    };
                    match Tone::ALL.iter().find(same) {
                        Some(Tone::Text) => ' ',
                        Some(tone) if cell.symbol() != " " || *tone == Tone::Selected || *tone == Tone::Loud => {
                            tone.name().chars().next().unwrap_or('?')
                        }
                        Some(_) => ' ',
                        None if cell.symbol() == " " => ' ',
                        None => '?',
                    }
                })
                .collect();
            line.trim_end().to_owned()
        })
        .collect()
}

/// Compares the screen with the stored one under this name.
pub fn check(name: &str, model: &mut Model, width: u16, height: u16) {
    let theme = Theme::named("sixteen", Depth::Sixteen).unwrap();
    let buffer = draw(model, width, height);
    let mut drawn = String::new();
    for (line, styles) in text(&buffer).into_iter().zip(letters(&buffer, &theme)) {
        drawn.push_str("  ");
        drawn.push_str(&line);
        drawn.push('\n');
        if !styles.is_empty() {
            drawn.push_str("~ ");
            drawn.push_str(&styles);
            drawn.push('\n');
        }
    }
    let drawn = drawn.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n";
    let path: PathBuf = [
        env!("CARGO_MANIFEST_DIR"),
        "src/console/pane/snapshots",
        &format!("{name}.txt"),
    ]
    .iter()
    .collect();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, drawn).unwrap();
        return;
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == drawn,
        "{} differs (UPDATE=1 writes it anew)\n{drawn}",
        path.display()
    );
}

//! A terminal's screen as SVG: every cell on its grid, whatever the font; lines and blocks drawn, so that they join.

use std::fmt::Write as _;

const WIDTH: f32 = 8.4;
const HEIGHT: f32 = 18.0;
const SIZE: f32 = 14.0;
const MARGIN: f32 = 10.0;
const INK: &str = "#d5d8df";
const GROUND: &str = "#16181d";

/// One way that text looks.
#[derive(Clone, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "the attributes that a terminal has")]
struct Look {
    ink: String,
    ground: Option<String>,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
}

/// The colour, as CSS has it; xterm's palette, its sixteen a little softer.
fn css(colour: vt100::Color) -> Option<String> {
    const SIXTEEN: [&str; 16] = [
        "#16181d", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d5d8df", "#5c6370", "#f07c85",
        "#a8d389", "#f5d08b", "#71bfff", "#d688ed", "#66c6d2", "#ffffff",
    ];
    match colour {
        vt100::Color::Default => None,
        vt100::Color::Idx(i @ 0..=15) => Some(SIXTEEN[usize::from(i)].to_owned()),
        vt100::Color::Idx(i) => {
            let (r, g, b) = restitch::theme::rgb(i);
            Some(format!("#{r:02x}{g:02x}{b:02x}"))
        }
        vt100::Color::Rgb(r, g, b) => Some(format!("#{r:02x}{g:02x}{b:02x}")),
    }
}

fn look(cell: &vt100::Cell) -> Look {
    let (mut ink, mut ground) = (css(cell.fgcolor()), css(cell.bgcolor()));
    if cell.inverse() {
        (ink, ground) = (
            Some(ground.unwrap_or_else(|| GROUND.to_owned())),
            Some(ink.unwrap_or_else(|| INK.to_owned())),
        );
    }
    Look {
        ink: ink.unwrap_or_else(|| INK.to_owned()),
        ground,
        bold: cell.bold(),
        dim: cell.dim(),
        italic: cell.italic(),
        underline: cell.underline(),
    }
}

/// The arms of a line character: left, right, up, down.
fn arms(c: &str) -> Option<[bool; 4]> {
    Some(match c {
        "─" => [true, true, false, false],
        "│" => [false, false, true, true],
        "┌" => [false, true, false, true],
        "┐" => [true, false, false, true],
        "└" => [false, true, true, false],
        "┘" => [true, false, true, false],
        "├" => [false, true, true, true],
        "┤" => [true, false, true, true],
        "┬" => [true, true, false, true],
        "┴" => [true, true, true, false],
        "┼" => [true; 4],
        _ => return None,
    })
}

/// The part of the cell that a block fills, from the bottom, and how strongly.
fn block(c: &str) -> Option<(f32, f32)> {
    let eighths = "▁▂▃▄▅▆▇█";
    if let Some(at) = c.chars().next().and_then(|c| eighths.chars().position(|e| e == c)) {
        return Some(([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0][at] / 8.0, 1.0));
    }
    match c {
        "░" => Some((1.0, 0.25)),
        "▒" => Some((1.0, 0.5)),
        "▓" => Some((1.0, 0.75)),
        _ => None,
    }
}

/// The screen as a picture.
pub fn picture(screen: &vt100::Screen) -> String {
    let (rows, columns) = screen.size();
    let (width, height) = (
        f32::from(columns.get()) * WIDTH + 2.0 * MARGIN,
        f32::from(rows.get()) * HEIGHT + 2.0 * MARGIN,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.1} {height:.1}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{GROUND}\"/>\n\
         <g font-family=\"'DejaVu Sans Mono','Menlo','Consolas',monospace\" font-size=\"{SIZE}\">\n"
    );
    for row in 0..rows.get() {
        let y = MARGIN + f32::from(row) * HEIGHT;
        let mut column = 0;
        while column < columns.get() {
            let Some(cell) = screen.cell(row, column) else { break };
            let from = column;
            let style = look(cell);
            let mut text = String::new();
            // A run of cells that look the same; what is drawn as a shape stands alone.
            let shape = arms(cell.contents()).is_some() || block(cell.contents()).is_some();
            while let Some(next) = screen.cell(row, column).filter(|_| column < columns.get()) {
                let drawn = arms(next.contents()).is_some() || block(next.contents()).is_some();
                let same = look(next) == style && drawn == shape;
                if !same || (shape && column > from && next.contents() != cell.contents()) {
                    break;
                }
                text.push_str(if next.has_contents() || next.is_wide_continuation() {
                    next.contents()
                } else {
                    " "
                });
                column += 1;
            }
            run(&mut svg, &style, &text, cell.contents(), (from, column - from), y);
        }
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

fn run(svg: &mut String, style: &Look, text: &str, first: &str, (from, cells): (u16, u16), y: f32) {
    let x = MARGIN + f32::from(from) * WIDTH;
    let width = f32::from(cells) * WIDTH;
    let ink = &style.ink;
    if let Some(ground) = &style.ground {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{HEIGHT:.1}\" fill=\"{ground}\" shape-rendering=\"crispEdges\"/>"
        );
    }
    let faint = if style.dim { " opacity=\"0.6\"" } else { "" };
    if let Some([left, right, up, down]) = arms(first) {
        let middle = y + HEIGHT / 2.0;
        // A row of lines is one line.
        if left && right && !up && !down {
            let _ = writeln!(
                svg,
                "<path d=\"M{x:.1} {middle:.1}H{:.1}\" stroke=\"{ink}\"{faint}/>",
                x + width
            );
            return;
        }
        for n in 0..cells {
            let x = x + f32::from(n) * WIDTH;
            let centre = x + WIDTH / 2.0;
            let mut path = String::new();
            for (arm, to) in [
                (left, format!("H{x:.1}")),
                (right, format!("H{:.1}", x + WIDTH)),
                (up, format!("V{y:.1}")),
                (down, format!("V{:.1}", y + HEIGHT)),
            ] {
                if arm {
                    let _ = write!(path, "M{centre:.1} {middle:.1}{to}");
                }
            }
            let _ = writeln!(svg, "<path d=\"{path}\" stroke=\"{ink}\"{faint}/>");
        }
        return;
    }
    if let Some((part, opacity)) = block(first) {
        let filled = HEIGHT * part;
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{filled:.1}\" fill=\"{ink}\" opacity=\"{opacity}\" shape-rendering=\"crispEdges\"/>",
            y + HEIGHT - filled
        );
        return;
    }
    let blank = text.len() - text.trim_start().len();
    let shown = text.trim();
    if shown.is_empty() {
        return;
    }
    let mut attributes = format!(" fill=\"{ink}\"{faint}");
    for (on, attribute) in [
        (style.bold, " font-weight=\"bold\""),
        (style.italic, " font-style=\"italic\""),
        (style.underline, " text-decoration=\"underline\""),
    ] {
        if on {
            attributes.push_str(attribute);
        }
    }
    let escaped = shown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let letters = f32::from(u16::try_from(shown.chars().count()).unwrap_or(u16::MAX));
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\"{attributes}>{escaped}</text>",
        x + f32::from(u16::try_from(blank).unwrap_or(0)) * WIDTH,
        y + HEIGHT * 0.74,
        letters * WIDTH
    );
}

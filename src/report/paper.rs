//! What a report is written on. All text arrives as [`Safe`]; what is left is to keep it from being markup.

use super::Sink;
use crate::domain::Result;
use crate::text::{self, Safe};
use std::borrow::Cow;
use std::fmt::Write as _;

/// The style of the HTML file: no font, script or picture from elsewhere; readable in light and dark, and on paper.
const STYLE: &str = include_str!("report.css");

/// A cell of so many bytes stays on one line: a time, an id.
const SHORT: usize = 28;

/// A column of a table.
#[derive(Debug, Clone)]
pub(super) struct Column {
    /// Its head.
    pub name: Safe<'static>,
    /// Whether figures stand in it.
    pub figures: bool,
}

/// A column of words.
pub(super) fn words(name: &'static str) -> Column {
    Column {
        name: Safe::ours(name),
        figures: false,
    }
}

/// A column of figures.
pub(super) fn figures(name: &'static str) -> Column {
    Column {
        name: Safe::ours(name),
        figures: true,
    }
}

/// Markdown or HTML.
pub(super) trait Paper {
    /// The first lines.
    fn begin(&mut self, title: &Safe<'_>) -> Result<()>;
    /// A part begins.
    fn heading(&mut self, words: &Safe<'_>) -> Result<()>;
    /// A paragraph.
    fn text(&mut self, words: &Safe<'_>) -> Result<()>;
    /// A paragraph that must not be overlooked.
    fn warning(&mut self, words: &Safe<'_>) -> Result<()>;
    /// Several lines that belong together.
    fn list(&mut self, lines: &[Safe<'_>]) -> Result<()>;
    /// A table begins; rows follow.
    fn table(&mut self, columns: &[Column]) -> Result<()>;
    /// A row of the table; `sum` marks the last one.
    fn row(&mut self, cells: &[Safe<'_>], sum: bool) -> Result<()>;
    /// The table ends.
    fn end_table(&mut self) -> Result<()>;
    /// One thing with its facts.
    fn entry(&mut self, title: &Safe<'_>, facts: &[(Safe<'static>, Safe<'static>)]) -> Result<()>;
    /// Statements to copy.
    fn code(&mut self, sql: &str) -> Result<()>;
    /// The last lines.
    fn end(&mut self) -> Result<()>;
}

/// Markdown as GitHub reads it.
pub(super) struct Markdown<'a, 's> {
    to: &'a mut Sink<'s>,
}

impl<'a, 's> Markdown<'a, 's> {
    pub fn new(to: &'a mut Sink<'s>) -> Self {
        Self { to }
    }
}

/// Text that no Markdown reader takes for markup.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    const MARKS: [char; 15] = [
        '\\', '`', '*', '_', '[', ']', '<', '>', '|', '~', '&', '#', '!', '@', '$',
    ];
    let starts = |c: char| matches!(c, '+' | '-' | '=' | ' ') || c.is_ascii_digit();
    // `http:`, `www.` and `@name` become links by themselves.
    let links = text.contains("://") || text.contains("www.") || text.contains('@');
    if !text.contains(MARKS) && !text.starts_with(starts) && !links {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut number = text.starts_with(|c: char| c.is_ascii_digit());
    for (at, c) in text.char_indices() {
        // At the start of a line, `1.`, `1)`, `-`, `+` and `=` would make lists and headings.
        let opens = (at == 0 && matches!(c, '+' | '-' | '=')) || (number && matches!(c, '.' | ')'));
        number = number && c.is_ascii_digit();
        let link = (c == ':' && text[at..].starts_with("://")) || (c == '.' && text[..at].ends_with("www"));
        let mention = c == '@' && !text[..at].ends_with(char::is_alphanumeric);
        if MARKS.contains(&c) || opens || link || mention {
            out.push('\\');
        }
        out.push(c);
    }
    Cow::Owned(out)
}

impl Paper for Markdown<'_, '_> {
    fn begin(&mut self, title: &Safe<'_>) -> Result<()> {
        (self.to)(&format!("# {}\n", plain(title.as_str())))
    }

    fn heading(&mut self, words: &Safe<'_>) -> Result<()> {
        (self.to)(&format!("\n## {}\n", plain(words.as_str())))
    }

    fn text(&mut self, words: &Safe<'_>) -> Result<()> {
        (self.to)(&format!("\n{}\n", plain(words.as_str())))
    }

    fn warning(&mut self, words: &Safe<'_>) -> Result<()> {
        (self.to)(&format!("\n**{}**\n", plain(words.as_str())))
    }

    fn list(&mut self, lines: &[Safe<'_>]) -> Result<()> {
        (self.to)("\n")?;
        lines
            .iter()
            .try_for_each(|line| (self.to)(&format!("- {}\n", plain(line.as_str()))))
    }

    fn table(&mut self, columns: &[Column]) -> Result<()> {
        let heads: Vec<Cow<'_, str>> = columns.iter().map(|c| plain(c.name.as_str())).collect();
        let rules: Vec<&str> = columns.iter().map(|c| if c.figures { "---:" } else { "---" }).collect();
        (self.to)(&format!("\n| {} |\n| {} |\n", heads.join(" | "), rules.join(" | ")))
    }

    fn row(&mut self, cells: &[Safe<'_>], sum: bool) -> Result<()> {
        let cell = |c: &Safe<'_>| match plain(c.as_str()) {
            text if sum && !text.is_empty() => format!("**{text}**"),
            text => text.into_owned(),
        };
        let cells: Vec<String> = cells.iter().map(cell).collect();
        (self.to)(&format!("| {} |\n", cells.join(" | ")))
    }

    fn end_table(&mut self) -> Result<()> {
        Ok(())
    }

    fn entry(&mut self, title: &Safe<'_>, facts: &[(Safe<'static>, Safe<'static>)]) -> Result<()> {
        (self.to)(&format!("\n### {}\n\n", plain(title.as_str())))?;
        facts.iter().try_for_each(|(name, value)| {
            (self.to)(&format!("- {}: {}\n", plain(name.as_str()), plain(value.as_str())))
        })
    }

    fn code(&mut self, sql: &str) -> Result<()> {
        // No statement begins a line with a fence of its own: each begins with a word of ours.
        (self.to)(&format!("\n```sql\n{}\n```\n", text::lines(sql)))
    }

    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}

/// One HTML file.
pub(super) struct Html<'a, 's> {
    to: &'a mut Sink<'s>,
    columns: Vec<bool>,
}

impl<'a, 's> Html<'a, 's> {
    pub fn new(to: &'a mut Sink<'s>) -> Self {
        Self {
            to,
            columns: Vec::new(),
        }
    }
}

/// Text as HTML shows it.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

impl Paper for Html<'_, '_> {
    fn begin(&mut self, title: &Safe<'_>) -> Result<()> {
        let title = escaped(title.as_str());
        (self.to)(&format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
             <body>\n<main>\n<h1>{title}</h1>\n"
        ))
    }

    fn heading(&mut self, words: &Safe<'_>) -> Result<()> {
        (self.to)(&format!("<h2>{}</h2>\n", escaped(words.as_str())))
    }

    fn text(&mut self, words: &Safe<'_>) -> Result<()> {
        (self.to)(&format!("<p>{}</p>\n", escaped(words.as_str())))
    }

    fn warning(&mut self, words: &Safe<'_>) -> Result<()> {
        (self.to)(&format!("<p class=\"warning\">{}</p>\n", escaped(words.as_str())))
    }

    fn list(&mut self, lines: &[Safe<'_>]) -> Result<()> {
        (self.to)("<ul>\n")?;
        for line in lines {
            (self.to)(&format!("<li>{}</li>\n", escaped(line.as_str())))?;
        }
        (self.to)("</ul>\n")
    }

    fn table(&mut self, columns: &[Column]) -> Result<()> {
        self.columns = columns.iter().map(|c| c.figures).collect();
        (self.to)("<div class=\"wide\"><table>\n<thead><tr>")?;
        for column in columns {
            let class = if column.figures { " class=\"n\"" } else { "" };
            (self.to)(&format!("<th{class}>{}</th>", escaped(column.name.as_str())))?;
        }
        (self.to)("</tr></thead>\n<tbody>\n")
    }

    fn row(&mut self, cells: &[Safe<'_>], sum: bool) -> Result<()> {
        let mut row = String::from(if sum { "<tr class=\"sum\">" } else { "<tr>" });
        for (i, cell) in cells.iter().enumerate() {
            let figures = self.columns.get(i).copied().unwrap_or(false);
            let class = match (figures, cell.as_str()) {
                (true, "0") => " class=\"n zero\"",
                (true, _) => " class=\"n\"",
                (false, text) if text.len() <= SHORT => " class=\"s\"",
                _ => "",
            };
            // Writing to a String cannot fail.
            let _ = write!(row, "<td{class}>{}</td>", escaped(cell.as_str()));
        }
        row.push_str("</tr>\n");
        (self.to)(&row)
    }

    fn end_table(&mut self) -> Result<()> {
        (self.to)("</tbody></table></div>\n")
    }

    fn entry(&mut self, title: &Safe<'_>, facts: &[(Safe<'static>, Safe<'static>)]) -> Result<()> {
        let mut out = format!("<h3>{}</h3>\n<dl>\n", escaped(title.as_str()));
        for (name, value) in facts {
            let _ = writeln!(
                out,
                "<dt>{}</dt><dd>{}</dd>",
                escaped(name.as_str()),
                escaped(value.as_str())
            );
        }
        out.push_str("</dl>\n");
        (self.to)(&out)
    }

    fn code(&mut self, sql: &str) -> Result<()> {
        (self.to)(&format!("<pre>{}</pre>\n", escaped(&text::lines(sql))))
    }

    fn end(&mut self) -> Result<()> {
        (self.to)("</main>\n</body>\n</html>\n")
    }
}

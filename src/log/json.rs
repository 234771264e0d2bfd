//! A reader of JSON text that borrows and keeps every digit: as strict as `serde_json`, several times as fast on the
//! short strings and numbers that log lines are made of. It says only that something is wrong, never what: its caller
//! then asks `serde_json`.

use crate::domain::value::{LogKind, LogValue};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A place in one JSON text.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.byte() {
            self.at += 1;
        }
    }

    /// The next byte that is no space.
    pub fn peek(&mut self) -> Option<u8> {
        self.space();
        self.byte()
    }

    /// Takes this byte, with the space before it.
    pub fn open(&mut self, byte: u8) -> Option<()> {
        self.shut(byte).then_some(())
    }

    /// Takes this byte if it comes next.
    pub fn shut(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// After a member or item: whether a comma says there are more, or this byte ends them.
    pub fn more(&mut self, end: u8) -> Option<bool> {
        let next = self.peek()?;
        self.at += 1;
        match next {
            b',' => Some(true),
            b if b == end => Some(false),
            _ => None,
        }
    }

    /// Nothing but space is left.
    pub fn end(&mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    /// A string without escapes.
    pub fn plain_string(&mut self) -> Option<&'a str> {
        self.open(b'"')?;
        let from = self.at;
        let to = special(self.text.as_bytes(), from)?;
        self.at = to + 1;
        (self.text.as_bytes()[to] == b'"').then(|| &self.text[from..to])
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        let bytes = self.text.as_bytes();
        let from = self.at + 1;
        let mut to = special(bytes, from)?;
        if bytes[to] == b'"' {
            self.at = to + 1;
            return Some(Cow::Borrowed(&self.text[from..to]));
        }
        while bytes[to] == b'\\' {
            to = special(bytes, to + 2)?;
        }
        if bytes[to] != b'"' {
            return None;
        }
        let token = &self.text[self.at..=to];
        self.at = to + 1;
        let text: String = serde_json::from_str(token).ok()?;
        (!text.contains('\0')).then_some(Cow::Owned(text))
    }

    fn number(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let from = self.at;
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let whole = from + usize::from(bytes.get(from) == Some(&b'-'));
        let mut at = digits(whole);
        if at == whole || (bytes[whole] == b'0' && at > whole + 1) {
            return None;
        }
        if bytes.get(at) == Some(&b'.') {
            let fraction = at + 1;
            at = digits(fraction);
            if at == fraction {
                return None;
            }
        }
        if let Some(b'e' | b'E') = bytes.get(at) {
            let exponent = at + 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            at = digits(exponent);
            if at == exponent {
                return None;
            }
        }
        self.at = at;
        Some(&self.text[from..at])
    }

    fn word(&mut self, word: &str) -> Option<&'a str> {
        let found = self.text.get(self.at..self.at + word.len()).filter(|w| *w == word)?;
        self.at += word.len();
        Some(found)
    }

    /// A string, number, boolean or null.
    pub fn scalar(&mut self) -> Option<LogValue<'a>> {
        Some(match self.peek()? {
            b'"' => LogValue {
                kind: LogKind::Text,
                text: self.string()?,
            },
            b'n' => {
                self.word("null")?;
                LogValue::NULL
            }
            b't' => LogValue::new(LogKind::Bool, self.word("true")?),
            b'f' => LogValue::new(LogKind::Bool, self.word("false")?),
            _ => LogValue::new(LogKind::Number, self.number()?),
        })
    }

    /// Any value, an object or array as written.
    pub fn value(&mut self) -> Option<LogValue<'a>> {
        match self.peek()? {
            b'{' | b'[' => Some(LogValue::new(LogKind::Json, self.nested()?)),
            _ => self.scalar(),
        }
    }

    fn nested(&mut self) -> Option<&'a str> {
        let mut values = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter::<&RawValue>();
        let raw = values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(raw.get())
    }

    /// Passes over any value.
    pub fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'{' | b'[' => self.nested().map(|_| ()),
            _ => self.scalar().map(|_| ()),
        }
    }

    /// A whole number, or null, which is the `Err`.
    pub fn integer_or_null<N: std::str::FromStr>(&mut self) -> Option<Result<N, ()>> {
        match self.peek()? {
            b'n' => self.word("null").map(|_| Err(())),
            _ => self.number()?.parse().ok().map(Ok),
        }
    }
}

/// The first quote, backslash or control character at or after `from`, eight bytes at a time.
fn special(bytes: &[u8], from: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut at = from;
    while let Some((chunk, _)) = bytes.get(at..)?.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * 0x22);
        let slash = word ^ (ONES * 0x5c);
        // The lowest set bit of each is exact; higher ones may be wrong, and are not looked at.
        let hits = (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let hits = hits & HIGH;
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = bytes[at..]
        .iter()
        .position(|b| *b == b'"' || *b == b'\\' || *b < 0x20)?;
    Some(at + rest)
}

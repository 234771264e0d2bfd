use super::*;
use crate::safe;
use proptest::prelude::*;
use ratatui::backend::{Backend as _, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_normalization::char::is_combining_mark;

/// The reverse of the escaping: that it exists is why two values never show alike.
fn unescape(shown: &str) -> String {
    let mut out = String::new();
    let mut rest = shown;
    while let Some(at) = rest.find("<U+") {
        out.push_str(&rest[..at]);
        let end = at + rest[at..].find('>').expect("every escape ends");
        let code = u32::from_str_radix(&rest[at + 3..end], 16).expect("hexadecimal");
        out.push(char::from_u32(code).expect("a scalar"));
        rest = &rest[end + 1..];
    }
    out + rest
}

/// The cells of one line, as a reader sees them: nothing tells a trailing blank from an empty cell.
fn cells(text: &Safe<'_>, width: u16) -> String {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, 1));
    buffer.set_span(0, 0, &Span::from(text.clone()), width);
    let mut seen = String::new();
    let mut x = 0;
    while x < width {
        let symbol = buffer[(x, 0)].symbol();
        seen.push_str(symbol);
        x += symbol.cell_width().max(1);
    }
    seen.trim_end_matches(' ').to_owned()
}

/// Asserts that the bytes hold nothing but text and this program's own sequences: cursor position, SGR.
fn assert_only_our_sequences(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("UTF-8 is sent");
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            assert_eq!(chars.next(), Some('['), "only CSI");
            let last = chars.by_ref().find(|c| !matches!(c, '0'..='9' | ';' | ':'));
            assert!(matches!(last, Some('H' | 'm')), "CSI … {last:?}");
        } else {
            assert!(!is_hostile(c), "U+{:04X} was sent", u32::from(c));
        }
    }
}

fn sent(lines: &[Safe<'_>], width: u16) -> Vec<u8> {
    let height = u16::try_from(lines.len()).expect("a few lines");
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    for (y, line) in (0..).zip(lines) {
        buffer.set_span(0, y, &Span::from(line.clone()), width);
    }
    let cells = buffer.content.iter().enumerate().map(|(at, cell)| {
        let at = u16::try_from(at).expect("a small screen");
        (at % width, at / width, cell)
    });
    let mut bytes = Vec::new();
    CrosstermBackend::new(&mut bytes).draw(cells).expect("memory");
    bytes
}

#[test]
fn every_scalar_is_harmless_and_legible() {
    let scalars: Vec<char> = ('\0'..=char::MAX).collect();
    assert_eq!(scalars.len(), 1_112_064);
    for block in scalars.chunks(500) {
        let texts: Vec<String> = block.iter().map(|c| format!("a{c}b")).collect();
        let safe: Vec<Safe<'_>> = texts.iter().map(|t| Safe::of(t)).collect();
        for ((c, text), shown) in block.iter().zip(&texts).zip(&safe) {
            assert_eq!(&unescape(shown.as_str()), text);
            assert!(
                shown.width() >= 3 || is_combining_mark(*c),
                "{text:?} takes {} cells",
                shown.width()
            );
            assert!(Safe::id(text).as_str().is_ascii());
        }
        assert_only_our_sequences(&sent(&safe, 16));
    }
}

#[test]
fn shows_what_hides() {
    for (hostile, shown) in [
        ("\u{1b}[2J", "<U+001B>[2J"),
        ("a\rb\tc\u{7f}", "a<U+000D>b<U+0009>c<U+007F>"),
        ("\u{9b}2J", "<U+009B>2J"),
        ("\u{202e}abc", "<U+202E>abc"),
        ("x\u{200b}y\u{feff}", "x<U+200B>y<U+FEFF>"),
        ("x\u{fe0f}\u{e0041}", "x<U+FE0F><U+E0041>"),
        ("a\u{2028}b", "a<U+2028>b"),
        ("a\u{a0}b", "a<U+00A0>b"),
        ("e\u{301}", "e<U+0301>"),
        ("\u{212b}", "<U+212B>"),
        (" x ", "<U+0020>x<U+0020>"),
        ("<U+202E>", "<U+003C>U+202E>"),
        ("✓ done…", "<U+2713> done<U+2026>"),
        ("\u{301}x", "<U+0301>x"),
    ] {
        assert_eq!(Safe::of(hostile).as_str(), shown);
    }
    for plain in ["SFM-12", "Müller", "注文", "Ω < 3", "กำ", "ครับ", "a<b", "مرحبا", "ｶ"] {
        assert_eq!(Safe::of(plain).as_str(), plain);
    }
    assert_eq!(Safe::id("\u{421}FM-12").as_str(), "<U+0421>FM-12");
    let tower: String = std::iter::once('q').chain(std::iter::repeat_n('\u{30d}', 6)).collect();
    assert_eq!(
        Safe::of(&tower).as_str(),
        "q\u{30d}\u{30d}\u{30d}\u{30d}<U+030D><U+030D>"
    );
    assert_eq!(
        lines("what\n  where: \u{1b}]52;c;x\u{7}\n"),
        "what\n  where: <U+001B>]52;c;x<U+0007>\n"
    );
    assert_eq!(
        json("{\"a\":\"\u{202e}\u{e0041}é…\"}\n"),
        "{\"a\":\"\\u202e\\udb40\\udc41é…\"}\n"
    );
}

#[test]
fn cuts_between_letters_and_says_so() {
    let text = Safe::of("注文番号");
    assert_eq!(text.width(), 8);
    assert_eq!(text.clone().clip(8).as_str(), "注文番号");
    assert_eq!(text.clone().clip(6).as_str(), "注文…");
    assert_eq!(text.clone().clip(0).as_str(), "");
    assert_eq!(text.clone().pad(6).as_str(), "注文… ");
    assert_eq!(text.clone().right(10).as_str(), "  注文番号");
    assert_eq!(Safe::id("order:12345678901234567").clip_start(8).as_str(), "…1234567");
    let wrapped = Safe::ours("advice: decide SFO-77 first").wrap(12);
    let wrapped: Vec<&str> = wrapped.iter().map(Safe::as_str).collect();
    assert_eq!(wrapped, ["advice:", "decide", "SFO-77 first"]);
    let wrapped = Safe::ours("the log has it: re-create it").wrap(14);
    let wrapped: Vec<&str> = wrapped.iter().map(Safe::as_str).collect();
    assert_eq!(wrapped, ["the log has", "it: re-create", "it"]);
    assert_eq!(Safe::ours("").wrap(5).len(), 1);
    assert_eq!(Safe::of("aaaaaaaaaa").wrap(4).len(), 3);
}

#[test]
fn pieces_are_safe_or_they_do_not_compile() {
    let label = String::from("\u{202e}77");
    assert_eq!(
        safe!("{} wait for {:>12}{}", 3_u64, Safe::id(&label), "."),
        Safe::ours("3 wait for   <U+202E>77.")
    );
}

/// Values as hostile data has them: short, and made of what hides, joins, reorders or looks alike.
fn hostile() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        ' ', '<', 'U', '+', '2', '0', 'E', '>', 'e', 'é', '\u{301}', '\u{323}', '\u{202e}', '\u{200b}', '\u{200d}',
        '…', '│', '\u{fe0f}', '\u{1b}', '\r', '\0', 'К', 'K', '\u{212a}', '注', '\u{1100}', '\u{1161}', '가',
        '\u{11a8}', 'ｶ', '\u{ff9e}', '🇩', '👍', '\u{e33}', 'ก', '\u{904}', '\u{94d}', '\u{937}', '\u{b53}',
    ]);
    prop::collection::vec(prop_oneof![4 => odd, 1 => any::<char>()], 0..12).prop_map(String::from_iter)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn what_shows_alike_is_alike(a in hostile()) {
        // Reading the cells back gives the value: so no other value has these cells.
        prop_assert_eq!(unescape(&cells(&Safe::of(&a), 200)), a.clone());
        prop_assert_eq!(unescape(&cells(&Safe::id(&a), 200)), a);
    }

    #[test]
    fn width_is_what_the_screen_takes(a in hostile(), width in 0_usize..20) {
        let safe = Safe::of(&a);
        let mut buffer = Buffer::empty(Rect::new(0, 0, 200, 1));
        let (x, _) = buffer.set_span(0, 0, &Span::from(safe.clone()), 200);
        prop_assert_eq!(usize::from(x), safe.width());
        prop_assert!(safe.clone().clip(width).width() <= width);
        prop_assert!(safe.clone().clip_start(width).width() <= width);
        prop_assert_eq!(safe.clone().pad(width).width(), width);
        prop_assert_eq!(safe.clone().right(width).width(), width);
        for line in safe.wrap(width) {
            prop_assert!(line.width() <= width.max(1) || line.as_str().graphemes(true).count() == 1);
        }
    }
}

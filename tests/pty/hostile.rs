//! Order data that wants to be more than data.

use super::terminal::{RESTITCH, Terminal, command};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Values that would act on a terminal, hide, reorder, or fill it.
fn values() -> Vec<String> {
    let mut values: Vec<String> = [
        "\u{1b}[2J\u{1b}[Hgone",
        "\u{1b}]0;title\u{7}\u{1b}]52;c;aGVsbG8=\u{7}",
        "\u{9b}31mred\u{9d}0;x\u{9c}",
        "SFO-1\rSFO-2\nSFO-3\tx\u{8}y",
        "nul\0nul\u{7f}",
        "\u{202e}12-OFS\u{2066}\u{2069}\u{61c}",
        "zero\u{200b}width\u{200d}\u{feff}\u{ad}",
        "tag\u{e0041}vs\u{fe0f}\u{2028}line",
        "K\u{212a} \u{421}FO-9 e\u{301}\u{300}",
        "✓ proven …│ done",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    values.push("long ".repeat(2_000));
    values.push(format!("q{}", "\u{30d}".repeat(5_000)));
    values
}

/// An incident whose every text is hostile.
fn incident() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(
        at("restitch.toml"),
        "[incident]\nid = \"hostile\"\nrestored_to = \"2026-11-22T14:05:00Z\"\nstopped_at = \"2026-11-22T14:31:00Z\"\n\
         [restored]\nurl = \"sqlite:restored.db\"\n\
         [[log]]\nname = \"cdc\"\nsource = \"file\"\npath = \"log.ndjson\"\nformat = \"native\"\n\
         [scan]\nreject_limit = 0.2\n\
         [ledger]\nurl = \"sqlite:hostile.db\"\n\
         [schema.order]\ntable = \"orders\"\nkey = \"id\"\nlabel = \"external_id\"\nstate = \"status\"\nshow = [\"account\"]\n\
         [schema.order_item]\ntable = \"items\"\nkey = \"id\"\nowner = \"order_id\"\naction = \"action\"\n",
    )
    .unwrap();
    let restored = rusqlite::Connection::open(at("restored.db")).unwrap();
    restored
        .execute_batch(
            "CREATE TABLE orders (id TEXT PRIMARY KEY, external_id TEXT, status TEXT, account TEXT);
             CREATE TABLE items (id TEXT PRIMARY KEY, order_id TEXT, action TEXT)",
        )
        .unwrap();
    let mut log = String::new();
    for (n, value) in values().iter().enumerate() {
        let text = serde_json::to_string(value).unwrap();
        restored
            .execute(
                "INSERT INTO orders VALUES (?1, ?2, ?3, ?4)",
                [&n.to_string(), value, &format!("was {value}"), value],
            )
            .unwrap();
        writeln!(
            log,
            r#"{{"pos":{n},"ts":"2026-11-22T14:09:11Z","entity":"order","key":"{n}","op":"upsert","state":{{"external_id":{text},"status":{text},"account":{text}}}}}"#
        )
        .unwrap();
        // Lost, under a key that is hostile itself.
        writeln!(
            log,
            r#"{{"pos":1{n},"ts":"2026-11-22T14:09:12Z","entity":"order","key":{text},"op":"upsert","state":{{"external_id":{text},"status":"Activated"}}}}"#
        )
        .unwrap();
        writeln!(
            log,
            r#"{{"pos":2{n},"ts":"2026-11-22T14:09:13Z","entity":"order_item","key":"i{n}","op":"upsert","state":{{"order_id":"{n}","action":{text}}}}}"#
        )
        .unwrap();
    }
    std::fs::write(at("log.ndjson"), log).unwrap();
    folder
}

/// Asserts that only the console's own sequences were sent: modes it sets, cursor position, attributes, clear.
fn assert_only_ours(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("UTF-8 is sent");
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c == '\u{1b}' {
            let sequence = rest
                .strip_prefix('[')
                .unwrap_or_else(|| panic!("ESC {:?}", &rest[..rest.len().min(40)]));
            let end = sequence
                .find(|c: char| c.is_ascii_alphabetic())
                .expect("every CSI ends");
            let (parameters, last) = (&sequence[..end], &sequence[end..=end]);
            let ours = match last {
                "h" | "l" => matches!(parameters, "?1049" | "?25" | "?2004" | "?2026"),
                "H" | "m" => parameters.chars().all(|c| c.is_ascii_digit() || c == ';'),
                "J" => parameters == "2",
                _ => false,
            };
            assert!(ours, "CSI {parameters}{last}");
            rest = &sequence[end + 1..];
            continue;
        }
        let hostile = c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}');
        assert!(!hostile, "U+{:04X} was sent", u32::from(c));
    }
}

#[test]
fn hostile_data_stays_data_on_every_screen() {
    let folder = incident();
    for size in [(80, 24), (160, 48)] {
        let mut terminal = Terminal::restitch(&[], folder.path(), size);
        terminal.shows("<U+001B>[2J<U+001B>[Hgone");
        // The one with a NUL is rejected: PostgreSQL could not hold it.
        let cases = (values().len() - 1) * 2;
        terminal.shows(&format!("of {cases}"));
        // Every case, in every detail, with its events; then the other views, help and palette.
        terminal.keys("<enter>");
        terminal.shows("said by");
        for _ in 0..cases {
            terminal.keys("+l");
            terminal.shows("events");
            terminal.keys("+l+J");
        }
        // Escape alone: with a letter right behind it, it would be alt.
        terminal.keys("<esc>");
        terminal.shows("enter open");
        terminal.keys("/\u{202e}");
        terminal.shows("<U+202E>");
        terminal.keys("<enter>");
        terminal.shows("<U+202E>12-OFS");
        for (keys, shown) in [
            ("1", "RESTORE"),
            ("3", "differences, of"),
            ("<enter>", "all counts"),
            ("4", "HOLD"),
            ("5", "BOARD"),
            ("2", "QUEUE"),
            ("?", "keys in Queue"),
            ("<esc>", "held by"),
            (":", "command"),
        ] {
            terminal.keys(keys);
            terminal.shows(shown);
        }
        terminal.keys("<ctrl-c>");
        terminal.keys("q");
        terminal.in_dialog("claims are given back", "y");
        assert_eq!(terminal.ends(), Ok(0));
        assert_only_ours(&terminal.bytes());
    }
}

#[test]
fn hostile_data_stays_data_in_what_commands_print() {
    let folder = incident();
    let run = |args: &[&str]| {
        let output = Command::new(RESTITCH)
            .args(args)
            .current_dir(folder.path())
            .env_clear()
            .output()
            .unwrap();
        (output.stdout, output.stderr)
    };
    for args in [
        &["scan"][..],
        &["scan", "--json"],
        &["cases"],
        &["cases", "--plain"],
        &["cases", "--json"],
        &["show", "order:5"],
        &["show", "\u{1b}]0;x\u{7}\u{202e}"],
        &["note", "order:1", "\u{1b}[2J\u{202e}"],
        &["audit", "list"],
        &["audit", "list", "--json"],
        &["audit", "verify"],
        &["phase", "org-told", "done", "--reason", "\u{1b}]0;x\u{7}\u{202e}"],
        &["claim", "order:1"],
        &["resolve", "order:1", "park", "--reason", "\u{9b}31m\u{200b}"],
        &["resolve", "order:2", "keep", "--reason", "\u{1b}[2J"],
        &["undo", "order:1", "--reason", "\u{202e}\r"],
        &["gate"],
        &["gate", "--json"],
        &["preview", "--json"],
        &["prove", "--json"],
        &["doctor", "-v", "-v"],
        &["scan", "-v", "-v"],
        &["cases", "--order", "\u{1b}[2J\u{202e}"],
        &["cases", "-v", "-v", "--kind", "\u{1b}[2J"],
        &["\u{1b}]52;c;aGVsbG8=\u{7}"],
        &["report"],
        &["report", "--brief"],
        &["report", "--json"],
        &["report", "--format", "html"],
        &["report", "--format", "csv"],
    ] {
        let (stdout, stderr) = run(args);
        if args == ["cases"] {
            let text = String::from_utf8_lossy(&stdout);
            assert!(
                text.contains("<U+202E>12-OFS"),
                "{text}{}",
                String::from_utf8_lossy(&stderr)
            );
        }
        for sent in [stdout, stderr] {
            // Lines of CSV end in CRLF; nothing else may hold a CR.
            let csv = args.last() == Some(&"csv");
            let text = String::from_utf8(sent).expect("UTF-8 is sent");
            let text = if csv { text.replace("\r\n", "\n") } else { text };
            let lines: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\n' | b'\t')).collect();
            assert!(!lines.contains(&0x1b), "{args:?}: {}", String::from_utf8_lossy(&lines));
            assert_only_ours(&lines);
        }
    }
    // In a terminal of its own an error is as harmless.
    let mut broken = command(RESTITCH, &["--config", "\u{1b}]0;x\u{7}.toml"], folder.path());
    broken.env("TERM", "xterm");
    let mut terminal = Terminal::start(broken, (80, 24));
    assert!(terminal.ends().is_ok_and(|code| code != 0));
    terminal.shows("<U+001B>]0;x<U+0007>");
    assert_folder_is_untouched(folder.path());
}

/// No file was made under a name that data chose.
fn assert_folder_is_untouched(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(name.to_string_lossy().is_ascii(), "{}", name.to_string_lossy());
    }
}

/// Scalars of one text; a text is looked at whole, so that what joins its neighbours does so here too.
const SCALARS: usize = 1_000;

/// Every scalar there is, but for the one that no database keeps, a thousand in a text.
fn every_scalar() -> Vec<String> {
    let all: Vec<char> = ('\u{1}'..=char::MAX).collect();
    assert_eq!(all.len(), 1_112_063);
    all.chunks(SCALARS).map(|some| some.iter().collect()).collect()
}

/// Every character that Unicode has, as the state of an order, in a note and as a reason, through all that commands print.
#[test]
fn every_scalar_stays_data_in_what_commands_print() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let text = "[incident]\nid = \"scalars\"\nrestored_to = \"2026-11-22T14:05:00Z\"\n[restored]\nurl = \"sqlite:restored.db\"\n\
                [[log]]\nname = \"cdc\"\npath = \"log.ndjson\"\nformat = \"native\"\n[ledger]\nurl = \"sqlite:ledger.db\"\n\
                [schema.order]\ntable = \"orders\"\nkey = \"id\"\nlabel = \"name\"\nstate = \"status\"\n";
    std::fs::write(at("restitch.toml"), text).unwrap();
    let restored = rusqlite::Connection::open(at("restored.db")).unwrap();
    restored
        .execute_batch("BEGIN; CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT, status TEXT)")
        .unwrap();
    let texts = every_scalar();
    let mut log = String::new();
    for (id, text) in texts.iter().enumerate() {
        restored
            .execute("INSERT INTO orders VALUES (?1, ?2, 'Created')", (id.to_string(), text))
            .unwrap();
        let text = serde_json::to_string(text).unwrap();
        writeln!(
            log,
            r#"{{"pos":{id},"ts":"2026-11-22T14:09:11Z","entity":"order","key":{id},"op":"upsert","state":{{"status":{text}}}}}"#
        )
        .unwrap();
    }
    restored.execute_batch("COMMIT").unwrap();
    std::fs::write(at("log.ndjson"), log).unwrap();
    let run = |args: &[&str]| {
        let output = Command::new(RESTITCH)
            .args(args)
            .current_dir(folder.path())
            .env_clear()
            .output()
            .unwrap();
        assert!(matches!(output.status.code(), Some(0 | 3)), "{args:?}");
        (output.stdout, output.stderr)
    };
    run(&["scan"]);
    let config = restitch::config::from_text(text, "restitch.toml", folder.path()).unwrap();
    let mut ledger = restitch::ledger::Ledger::open(&config, false).unwrap();
    for (id, text) in texts.iter().enumerate() {
        ledger.note(&format!("order:{id}"), &format!("note {text}")).unwrap();
    }
    drop(ledger);
    let mut printed = 0;
    for args in [
        &["cases"][..],
        &["cases", "--plain"],
        &["cases", "--json"],
        &["audit", "list"],
        &["audit", "list", "--json"],
        &["show", "order:0"],
        &["show", "order:8"],
        &["report"],
        &["report", "--json"],
        &["report", "--format", "html"],
        &["report", "--format", "csv"],
    ] {
        let (stdout, stderr) = run(args);
        for sent in [stdout, stderr] {
            let text = String::from_utf8(sent).expect("UTF-8 is sent");
            let text = if args.last() == Some(&"csv") {
                text.replace("\r\n", "\n")
            } else {
                text
            };
            assert!(!text.contains('\u{1b}'), "{args:?}");
            let lines: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\n' | b'\t')).collect();
            assert_only_ours(&lines);
            printed += lines.len();
        }
    }
    // All of them were printed, not once but several times.
    assert!(printed > 10_000_000, "{printed} bytes");
}

use super::*;
use crate::log::tests::site;
use proptest::prelude::*;

/// What a reader made of a line.
type Outcome = Result<(Line, Vec<String>), String>;

fn outcome(
    read: impl for<'a> FnOnce(&FormatContext<'_>, &'a str, &mut dyn FnMut(Change<'a>)) -> Result<Line, String>,
    line: &str,
) -> Outcome {
    let (schema, catalogue) = site();
    let ctx = FormatContext::new(&schema, &catalogue);
    let mut changes = Vec::new();
    let kind = read(&ctx, line, &mut |mut change| {
        // The last of a column's values counts.
        change.fields.reverse();
        change.fields.sort_by_key(|(column, _)| *column);
        change.fields.dedup_by_key(|(column, _)| *column);
        changes.push(format!("{change:?}"));
    })?;
    Ok((kind, changes))
}

fn fast_outcome(line: &str) -> Option<Outcome> {
    let mut left = false;
    let outcome = outcome(
        |ctx, line, out| {
            fast(ctx, line, &mut |c| out(c)).ok_or_else(|| {
                left = true;
                String::new()
            })
        },
        line,
    );
    (!left).then_some(outcome)
}

fn slow_outcome(line: &str) -> Outcome {
    outcome(|ctx, line, out| slow(ctx, line, &mut |c| out(c)), line)
}

#[test]
fn usual_lines_are_read_fast() {
    for line in [
        r#"{"pos":12,"ts":"2026-11-22T14:05:00.123Z","entity":"order","key":"958","op":"insert","version":7,"state":{"id":958,"status":"New","amount":1.50,"note":"a \"b\" é","data":{"x":[1,2]},"other":null}}"#,
        r#"{"entity":"order_item","key":"1/a","op":"delete","state":null}"#,
        r#"{"state":{"status":"x"},"entity":"order","key":0,"op":"upsert","actor":"ana","tx":4711}"#,
        r#"{"tx":"a\"b","actor":null,"entity":"order","key":7,"op":"upsert"}"#,
        r#"{"tx":{"id":1},"actor":["x"],"entity":"order","key":7,"op":"upsert"}"#,
        r#"{"entity":"elsewhere","key":"x","op":"upsert","state":{"a":[{}]}}"#,
    ] {
        assert_eq!(fast_outcome(line), Some(slow_outcome(line)), "{line}");
    }
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
        "[a-z\\\\\"nu0d8/]{0,12}".prop_map(|s| format!("\"{s}\"")),
        "-?[0-9]{1,20}(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?",
        prop::sample::select(vec![
            "null",
            "true",
            "false",
            "{}",
            "[]",
            "{\"a\":[1,{\"b\":\"]\"}]}",
            "nul",
            "01",
            "-",
            "[1,]"
        ])
        .prop_map(str::to_owned),
    ]
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "", "", " ", "\t", "\r", " \n "])
}

fn member() -> impl Strategy<Value = String> {
    let columns = prop::collection::vec(
        (
            prop::sample::select(vec!["id", "status", "amount", "note", "data", "gone", "st\\u0061tus"]),
            value(),
            space(),
        ),
        0..5,
    );
    let state = columns.prop_map(|columns| {
        let one = |(name, value, space): (&str, String, &str)| format!("{space}\"{name}\":{value}{space}");
        format!(
            "\"state\":{{{}}}",
            columns.into_iter().map(one).collect::<Vec<_>>().join(",")
        )
    });
    let pick = |name: &'static str, values: Vec<&'static str>| {
        prop::sample::select(values).prop_map(move |value| format!("\"{name}\":{value}"))
    };
    prop_oneof![
        4 => state,
        2 => pick("pos", vec!["1", "18446744073709551615", "18446744073709551616", "-1", "1.0", "null", "\"1\""]),
        2 => pick("ts", vec!["\"2026-11-22T14:05:00Z\"", "\"2026-02-30T00:00:00Z\"", "\"now\"", "null", "1"]),
        3 => pick("entity", vec!["\"order\"", "\"order\"", "\"order_item\"", "\"x\"", "null", "1"]),
        3 => pick("key", vec!["\"958\"", "958", "\"0958\"", "\" 7\"", "\"1/b\"", "1.0", "null", "\"\"", "-0", "9223372036854775808"]),
        3 => pick("op", vec!["\"insert\"", "\"upsert\"", "\"delete\"", "\"x\"", "null"]),
        2 => pick("version", vec!["7", "-9223372036854775808", "9223372036854775808", "null", "\"7\"", "1e0"]),
        1 => value().prop_map(|v| format!("\"more\":{v}")),
        1 => value().prop_map(|v| format!("\"state\":{v}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn both_readers_agree(members in prop::collection::vec((member(), space()), 3..9), cut in 0..400_usize, put in any::<char>()) {
        let base = [r#""entity":"order""#, r#""key":"958""#, r#""op":"upsert""#].map(|m| (m.to_owned(), ""));
        for all in [members.clone(), base.into_iter().chain(members).collect()] {
            let parts: Vec<String> = all.iter().map(|(m, space)| format!("{space}{m}{space}")).collect();
            let line = format!("{{{}}}", parts.join(","));
            let mut damaged = line.clone();
            if let Some((at, c)) = line.char_indices().nth(cut) {
                damaged.replace_range(at..at + c.len_utf8(), &put.to_string());
            }
            for line in [line.as_str(), damaged.as_str(), &line[..line.floor_char_boundary(cut)]] {
                if let Some(fast) = fast_outcome(line) {
                    prop_assert_eq!(fast, slow_outcome(line), "{}", line);
                }
            }
        }
    }

    #[test]
    fn instants_are_read_like_the_calendar_reads_them(
        (year, month, day) in (0..10_000_u32, 0..14_u32, 0..33_u32),
        (hour, minute, second) in (0..26_u32, 0..62_u32, 0..62_u32),
        fraction in "(\\.[0-9]{0,10})?",
        zone in prop::sample::select(vec!["Z", "z", "+00:00", "-05:30", ""]),
    ) {
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}");
        prop_assert_eq!(instant(&text), time::parse(&text), "{}", text);
    }
}

#[test]
fn transaction_and_actor_are_read_as_text() {
    let (schema, catalogue) = site();
    let ctx = FormatContext::new(&schema, &catalogue);
    let own = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
    for (extra, transaction, actor) in [
        (r#""tx":4711,"actor":"batch-77","#, Some("4711"), Some("batch-77")),
        (r#""tx":"a\"b","actor":7,"#, Some("a\"b"), Some("7")),
        (r#""tx":null,"actor":{"id":1},"#, None, None),
        ("", None, None),
    ] {
        let line = format!(r#"{{{extra}"entity":"order","key":7,"op":"upsert"}}"#);
        let mut seen = Vec::new();
        decode(&ctx, &line, &mut |c| seen.push((own(c.transaction), own(c.actor)))).unwrap();
        slow(&ctx, &line, &mut |c| seen.push((own(c.transaction), own(c.actor)))).unwrap();
        let expected = (transaction.map(str::to_owned), actor.map(str::to_owned));
        assert_eq!(seen, [expected.clone(), expected], "{line}");
    }
}

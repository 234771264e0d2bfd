use super::*;
use proptest::prelude::*;

fn text(t: &str) -> LogValue<'_> {
    LogValue::new(LogKind::Text, t)
}

fn number(t: &str) -> LogValue<'_> {
    LogValue::new(LogKind::Number, t)
}

fn array(inner: ColumnType) -> ColumnType {
    ColumnType::Array(Box::new(inner))
}

#[test]
fn what_is_not_a_difference() {
    use ColumnType as T;
    let cases: Vec<(T, LogValue<'_>, &str)> = vec![
        (T::Numeric, number("1.50"), "1.5"),
        (T::Numeric, text("1.50"), "1.5000"),
        (
            T::TimestampTz,
            text("2026-11-22T15:05:00+01:00"),
            "2026-11-22 14:05:00+00",
        ),
        (
            T::TimestampTz,
            LogValue::new(LogKind::Millis, "2026-11-22 14:05:00.123+00"),
            "2026-11-22 14:05:00.123987+00",
        ),
        (T::TimeTz, text("15:05:00+01"), "14:05:00+00"),
        (
            T::Jsonb,
            LogValue::new(LogKind::Json, r#"{"b":1.0,"a":2}"#),
            r#"{"a": 2, "b": 1}"#,
        ),
        (T::Json, text(r#"{"b":1,"a":2}"#), r#"{"a":2,"b":1}"#),
        (T::Char, text("ab"), "ab   "),
        (T::Text, text("8012x000000mvqrAAA"), "8012x000000mvqrAAA"),
        (T::Text, text("8024R000000p73z"), "8024R000000p73zQAA"),
        (T::Text, text("8024R000000p73zQAA"), "8024R000000p73z"),
        (
            T::Uuid,
            text("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        (T::Bool, text("yes"), "true"),
        (T::Int8, text(" +0042"), "42"),
        (T::Float4, number("0.1"), "0.1"),
        (T::Float8, number("1e3"), "1000"),
        (T::Bytea, text(r"\xDEAD"), r"\xdead"),
        (
            array(T::Int4),
            LogValue::new(LogKind::Json, "[1, 2, null]"),
            "{1,2,NULL}",
        ),
        (array(T::Text), text(r#"{"a","b c"}"#), r#"{a,"b c"}"#),
        (T::Text, number("12345678901234567890"), "12345678901234567890"),
    ];
    for (ty, log, restored) in cases {
        assert_eq!(same(&ty, &log, Some(restored)), Same::Yes, "{ty:?} {log:?} {restored}");
    }
    assert_eq!(same(&T::Text, &LogValue::NULL, None), Same::Yes);
}

#[test]
fn what_is_one() {
    use ColumnType as T;
    let cases: Vec<(T, LogValue<'_>, &str)> = vec![
        (T::Int8, number("9007199254740993"), "9007199254740992"),
        (T::Numeric, number("1.51"), "1.5"),
        (
            T::TimestampTz,
            text("2026-11-22 14:05:00.123457+00"),
            "2026-11-22 14:05:00.123456+00",
        ),
        (T::Text, text("a"), "a "),
        (T::Text, text("8024R000000p73a"), "8024R000000p73zQAA"),
        (T::Jsonb, text(r#"{"a":"1"}"#), r#"{"a": 1}"#),
        (T::Text, LogValue::NULL, ""),
        (array(T::Int4), LogValue::new(LogKind::Json, "[1,2]"), "{2,1}"),
        (T::Jsonb, LogValue::NULL, "null"),
    ];
    for (ty, log, restored) in cases {
        assert_eq!(same(&ty, &log, Some(restored)), Same::No, "{ty:?} {log:?} {restored}");
    }
    assert_eq!(same(&T::Text, &text(""), None), Same::No);
    assert_eq!(same(&T::Interval, &text("1 day"), Some("24:00:00")), Same::AskServer);
}

#[test]
fn keys_are_canonical_and_reversible() {
    use ColumnType as T;
    assert_eq!(
        key_text(&T::Int8, &number("0077405618597879921")).as_deref(),
        Some("77405618597879921")
    );
    for bad in ["1.0", "1e3", "99999999999999999999", "x", ""] {
        assert_eq!(key_text(&T::Int8, &text(bad)), None, "{bad}");
    }
    assert_eq!(key_text(&T::Int8, &LogValue::NULL), None);
    let parts = [Cow::Borrowed("a/b"), Cow::Borrowed("7")];
    assert_eq!(join_key(&parts), "a%2Fb/7");
    assert_eq!(split_key("a%2Fb/7", 2), parts.to_vec());
    assert_eq!(split_key("a/b", 1), vec!["a/b"]);
}

#[test]
fn values_as_files_show_them() {
    use ColumnType as T;
    assert_eq!(json(&T::Int4, Some("7")), Json::from(7));
    assert_eq!(json(&T::Int8, Some("7")), Json::from("7"));
    assert_eq!(json(&T::Bool, Some("t")), Json::from(true));
    assert_eq!(json(&T::Float8, Some("1.5")), Json::from(1.5));
    assert_eq!(json(&T::Float8, Some("NaN")), Json::from("NaN"));
    assert_eq!(json(&T::Numeric, Some("1.50")), Json::from("1.50"));
    assert_eq!(json(&T::Text, None), Json::Null);
}

#[test]
fn a_double_or_an_averaged_interval_is_held_to_what_it_carries() {
    use ColumnType as T;
    let double = |t| LogValue::new(LogKind::Double, t);
    assert_eq!(
        same(
            &T::Numeric,
            &double("1.2345678901234567E19"),
            Some("12345678901234567890.12")
        ),
        Same::Yes
    );
    assert_eq!(same(&T::Numeric, &double("1299.9"), Some("1299.90")), Same::Yes);
    assert_eq!(same(&T::Numeric, &double("1299.9"), Some("1299.91")), Same::No);
    let list = T::Array(Box::new(T::Numeric));
    assert_eq!(
        same(
            &list,
            &double("{1.2345678901234567E19,NULL}"),
            Some("{12345678901234567890.12,NULL}")
        ),
        Same::Yes
    );
    let millis = LogValue::new(LogKind::Millis, r#"{"2026-11-22 14:05:00.123"}"#);
    let list = T::Array(Box::new(T::Timestamp));
    assert_eq!(
        same(&list, &millis, Some(r#"{"2026-11-22 14:05:00.123456"}"#)),
        Same::Yes
    );
    for (micros, restored, wanted) in [
        ("PT37091106.780000S", "1 year 2 mons 3 days 04:05:06.78", Same::Yes),
        ("PT37091106.780000S", "1 year 2 mons 3 days 04:05:06.79", Same::No),
        ("PT2629800.000000S", "1 mon", Same::Yes),
        ("PT-3600.000000S", "-01:00:00", Same::Yes),
        ("PT-36817886.780000S", "-1 years -2 mons +3 days -04:05:06.78", Same::No),
        ("PT0.000000S", "00:00:00", Same::Yes),
        ("PT1.000000S", "1 fortnight", Same::AskServer),
    ] {
        let log = LogValue::new(LogKind::Duration, micros);
        assert_eq!(same(&T::Interval, &log, Some(restored)), wanted, "{micros} {restored}");
    }
}

fn typed_text() -> impl Strategy<Value = (ColumnType, String)> {
    use ColumnType as T;
    let micros = -60_000_000_000_000_000_i64..250_000_000_000_000_000_i64;
    prop_oneof![
        any::<bool>().prop_map(|b| (T::Bool, if b { "true" } else { "false" }.to_owned())),
        any::<i64>().prop_map(|n| (T::Int8, n.to_string())),
        "-?[0-9]{1,30}(\\.[0-9]{1,12})?".prop_map(|t| (T::Numeric, t)),
        any::<f64>().prop_map(|f| (T::Float8, f.to_string())),
        "\\PC{0,20}".prop_map(|t| (T::Text, t)),
        micros
            .clone()
            .prop_map(|m| (T::Timestamp, instant::timestamp_text(m, false))),
        micros
            .clone()
            .prop_map(|m| (T::TimestampTz, instant::timestamp_text(m, true))),
        micros.prop_map(|m| (T::Date, instant::date_text(m / 86_400_000_000))),
        (0..86_400_000_000_i64).prop_map(|m| (T::Time, instant::time_text(m))),
        any::<u128>().prop_map(|n| (T::Uuid, uuid::Uuid::from_u128(n).to_string())),
        proptest::collection::vec("\\PC{0,6}", 0..4).prop_map(|v| {
            let items: Vec<Element> = v.into_iter().map(Element::Text).collect();
            (T::Array(Box::new(T::Text)), nested::pg_array_text(&items))
        }),
        proptest::collection::btree_map("[a-z]{1,3}", any::<i64>(), 0..4)
            .prop_map(|m| (T::Jsonb, serde_json::to_string(&m).unwrap())),
    ]
}

proptest! {
    #[test]
    fn a_value_equals_itself_and_its_canonical_text((ty, value) in typed_text()) {
        prop_assert_eq!(same(&ty, &text(&value), Some(&value)), Same::Yes);
        let canonical = canonical(&ty, &value).map(Cow::into_owned);
        prop_assert!(canonical.is_some());
        prop_assert_eq!(same(&ty, &text(&value), canonical.as_deref()), Same::Yes);
    }

    #[test]
    fn no_text_panics(ty in typed_text().prop_map(|(ty, _)| ty), a in "\\PC{0,24}", b in "\\PC{0,24}") {
        let _ = same(&ty, &text(&a), Some(&b));
        let _ = key_text(&ty, &text(&a));
    }
}

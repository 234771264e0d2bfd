//! Every event of the corpus, which is written from the connector's documentation, gives exactly what stands beside it.

use super::*;
use crate::config::FormatKind;
use crate::log::format::corpus::{CorpusFile, corpus, holds, tables};
use serde_json::json;

#[test]
fn every_corpus_event_decodes_as_documented() {
    holds("debezium", FormatKind::Debezium, 20);
}

#[test]
fn the_transaction_is_that_of_the_source() {
    let (schema, catalogue) =
        tables(&json!({"order": {"table": "om.orders", "key": ["id"], "columns": {"id": "bigint"}}}));
    let ctx = FormatContext::new(&schema, &catalogue);
    for (id, expected) in [("556", Some("556")), ("null", None)] {
        let line = format!(
            r#"{{"op":"c","after":{{"id":1}},"source":{{"schema":"om","table":"orders","txId":{id}}},"ts_ms":1}}"#
        );
        let mut seen = Vec::new();
        decode(&ctx, &line, &mut |c| seen.push(c.transaction.map(Cow::into_owned))).unwrap();
        assert_eq!(seen, [expected.map(str::to_owned)]);
    }
}

#[test]
fn more_schemas_than_are_kept() {
    let schema = |scale: usize| {
        let decimal = "org.apache.kafka.connect.data.Decimal";
        json!({"type": "struct", "fields": [{"type": "struct", "field": "after", "fields": [
            {"type": "bytes", "name": decimal, "parameters": {"scale": scale.to_string()}, "field": "n"}]}]})
        .to_string()
    };
    for scale in (0..100).chain((0..100).rev()) {
        let form = form::of(&schema(scale));
        assert_eq!(
            form.field(0, "n").unwrap().form,
            Form::Decimal(i64::try_from(scale).unwrap())
        );
    }
    assert!(form::of("{").field(0, "n").is_none());
}

#[test]
fn nesting_without_end_is_rejected() {
    let (schema, catalogue) = tables(&json!({"order": {"table": "om.orders", "key": ["id"],
        "columns": {"id": "bigint", "list": "integer[]", "p": "point"}}}));
    let ctx = FormatContext::new(&schema, &catalogue);
    let deep = 100_000;
    for value in [
        format!("{}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("{}1{}", r#"{"center":"#.repeat(deep), r#","radius":1}"#.repeat(deep)),
    ] {
        for column in ["list", "p"] {
            let line = format!(
                r#"{{"op":"u","after":{{"id":1,"{column}":{value}}},"source":{{"schema":"om","table":"orders"}}}}"#
            );
            // A column of no array type takes an array as the JSON it is.
            let told = decode(&ctx, &line, &mut |_| {});
            assert!(told.is_err() || column == "p" && value.starts_with('['), "{told:?}");
        }
    }
}

mod damaged {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_line_panics(file in any::<prop::sample::Index>(), line in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(), len in 0_usize..6,
            with in prop_oneof!["\\PC{0,3}", "[-+0-9Z\"\\[\\]{}:,.]{1,4}", "9{1,20}", Just("\\u0000".to_owned())])
        {
            thread_local! { static CORPUS: Vec<CorpusFile> = corpus("debezium", 20); }
            CORPUS.with(|corpus| {
                let file = file.get(corpus);
                let lines: Vec<&str> = file.log.lines().collect();
                // The payload is where the decoder decides; the schema before it would take most hits.
                let line = line.get(&lines);
                let (schema, payload) = line.split_at(line.find("\"payload\"").unwrap_or(0));
                let chars: Vec<char> = payload.chars().collect();
                let at = at.index(chars.len() + 1);
                let damaged: String = schema
                    .chars()
                    .chain(chars[..at].iter().copied())
                    .chain(with.chars())
                    .chain(chars[(at + len).min(chars.len())..].iter().copied())
                    .collect();
                let ctx = FormatContext::new(&file.schema, &file.catalogue);
                let mut handed_out = 0;
                let told = decode(&ctx, &damaged, &mut |_| handed_out += 1);
                prop_assert_eq!(handed_out, usize::from(told == Ok(Line::Changes)));
                Ok(())
            })?;
        }
    }
}

use super::*;

#[test]
fn the_newest_value_of_every_column_with_its_event() {
    let logs = Logs::native(&[
        r#"{"pos":1,"ts":"2026-11-22T14:00:00Z","entity":"order","key":"958","op":"insert","version":1,"state":{"status":"New","amount":"1.50"}}"#,
        r#"{"pos":3,"ts":"2026-11-22T14:00:02Z","entity":"order","key":958,"op":"upsert","version":3,"state":{"status":"Accepted"}}"#,
        r#"{"pos":2,"ts":"2026-11-22T14:00:01Z","entity":"order","key":"0958","op":"upsert","version":2,"state":{"status":"Created","note":null}}"#,
    ]);
    let folded = logs.read();
    assert_eq!(show(&folded, 0, "958"), "status=Accepted@3 amount=1.50@1 note=NULL@2");
    assert_eq!(folded.stats.events, 3);
    assert_eq!(folded.max_int_key(0), Some(958));
    assert_eq!(
        folded.coverage[0].first,
        crate::domain::time::parse("2026-11-22T14:00:00Z")
    );
    assert_eq!(
        folded.coverage[0].last,
        crate::domain::time::parse("2026-11-22T14:00:02Z")
    );
    assert_eq!((folded.coverage[1].first, folded.coverage.len()), (None, 2));
}

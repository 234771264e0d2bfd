//! A field that is noise: ignored from the Diff view, and compared again.

use super::*;

fn field(run: &Run) -> Option<(&str, &str, u64)> {
    let group = run.model.diff.group()?;
    Some((&group.key.entity, group.key.field.as_deref()?, group.rows))
}

/// The Diff view as a lead, the cursor on the first count of a field.
fn on_a_field() -> Run {
    let mut run = Run::with(|m| m.setup.role = "lead".to_owned());
    run.keys("3");
    let groups = run.model.diff.groups.as_ref().unwrap();
    let at = groups.iter().position(|g| g.key.field.is_some()).unwrap();
    assert!(at > 0, "a count of whole rows comes first");
    run.keys(&"j".repeat(at));
    run
}

#[test]
fn noise_is_ignored_with_a_reason_a_second_key_and_taken_back_the_same_way() {
    let mut run = on_a_field();
    let (entity, column, rows) = field(&run).unwrap();
    let (entity, column) = (entity.to_owned(), column.to_owned());
    run.keys("x");
    assert!(run.form().lines[0].starts_with(&format!("{rows} rows")));
    run.keys("y");
    assert_eq!(run.deeds, [], "no reason yet");
    run.keys("<esc>");
    assert_eq!(run.deeds, [], "looking changed nothing");
    run.keys("x1xy");
    let reason = run.deeds.first().map(|d| match d {
        Deed::Ignore { reason, .. } => reason.clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(
        run.deeds,
        [Deed::Ignore {
            entity: entity.clone(),
            column: column.clone(),
            reason: reason.unwrap()
        }]
    );
    assert!(
        run.notice().contains("ignored from the next scan on"),
        "{}",
        run.notice()
    );
    assert_eq!(run.model.diff.ignored.len(), 1);
    assert_eq!(field(&run).map(|f| f.1), Some(column.as_str()), "the cursor stays");
    run.keys("x1y");
    assert_eq!(
        run.deeds[1],
        Deed::CompareAgain {
            entity,
            column,
            reason: "it matters after all".to_owned()
        }
    );
    assert_eq!(run.model.diff.ignored, []);
}

#[test]
fn whole_rows_operators_and_readonly_are_refused_with_the_reason() {
    let mut run = on_a_field();
    run.keys("gx");
    assert!(run.model.layer.is_none());
    assert!(run.notice().contains("only a field can be ignored"), "{}", run.notice());
    let mut run = Run::new();
    run.keys("3jjjjx");
    assert!(run.model.layer.is_none());
    assert!(run.notice().contains("it takes a lead"), "{}", run.notice());
    let mut run = Run::with(|m| {
        m.setup.role = "lead".to_owned();
        m.setup.readonly = true;
    });
    run.keys("3jjjjx1y");
    assert_eq!(run.deeds, []);
}

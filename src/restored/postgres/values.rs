//! What the server makes of texts: casts and comparisons, outside the snapshot, where an error ends nothing.

use crate::domain::Result;
use crate::domain::schema::Column;
use crate::domain::value::ColumnType;
use crate::restored::pg::Connection;
use std::ops::Range;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

/// Texts of one statement.
const BATCH: usize = 4_096;

/// Whether the error says that a text is no value of the type, rather than that something is broken. Classes 22 (data
/// exception), 23514 (a check), 0A000 and 42704 (text that names what is not there, as for `regclass`), 42883 and 42P01
/// likewise, 54000 (too long to be indexed or held).
fn is_no_value(e: &tokio_postgres::Error) -> bool {
    e.code().is_some_and(|code| {
        let code = code.code();
        code.starts_with("22")
            || matches!(
                code,
                "23514" | "42704" | "42P01" | "42883" | "42601" | "54000" | "3F000"
            )
    })
}

/// Each text as the type's text output; `None` where it is no such value. `ty` is SQL from the catalogue.
pub(super) async fn cast(pg: &Connection, ty: &str, texts: &[String]) -> Result<Vec<Option<String>>> {
    let value = format!("u.t::{ty}");
    let sql = format!(
        "select {} from unnest($1::text[]) with ordinality as u(t, n) order by u.n",
        text_of(&value, ty)
    );
    let mut out = vec![None; texts.len()];
    let mut todo = ranges(texts.len());
    while let Some(range) = todo.pop() {
        let Some(range) = without_nul(range, &mut todo, |at| texts[at].contains('\0')) else {
            continue;
        };
        let batch: Vec<&str> = texts[range.clone()].iter().map(String::as_str).collect();
        match pg.client.query_typed(&sql, &[(&batch, Type::TEXT_ARRAY)]).await {
            Ok(rows) => {
                for (row, at) in rows.iter().zip(range) {
                    out[at] = row.try_get(0).map_err(|e| pg.error("casting values", &e))?;
                }
            }
            Err(e) if is_no_value(&e) => todo.extend(halves(range)),
            Err(e) => return Err(pg.error(&format!("casting values to {ty}"), &e)),
        }
    }
    Ok(out)
}

/// Whether the two texts are equal as the column's type; `false` where one is no such value.
pub(super) async fn equal(pg: &Connection, column: &Column, pairs: &[(String, String)]) -> Result<Vec<bool>> {
    let ty = &column.declared;
    let (a, b) = (format!("u.a::{ty}"), format!("u.b::{ty}"));
    let same_text = format!("({}) = ({})", text_of(&a, ty), text_of(&b, ty));
    let same_value = match column.ty {
        // Equal text, or equal to the type's own ordering or hashing: `=` alone compares the area of a box.
        ColumnType::Other => format!("({same_text} or array[{a}] = array[{b}])"),
        ColumnType::Json => "(u.a::jsonb) = (u.b::jsonb)".to_owned(),
        _ => format!("({a}) = ({b})"),
    };
    let statement = |test: &str| {
        format!("select {test} from unnest($1::text[], $2::text[]) with ordinality as u(a, b, n) order by u.n")
    };
    let mut sql = statement(&same_value);
    let mut out = vec![false; pairs.len()];
    let mut todo = ranges(pairs.len());
    while let Some(range) = todo.pop() {
        let nul = |at: usize| pairs[at].0.contains('\0') || pairs[at].1.contains('\0');
        let Some(range) = without_nul(range, &mut todo, nul) else {
            continue;
        };
        let (a, b): (Vec<&str>, Vec<&str>) = pairs[range.clone()]
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .unzip();
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&a, Type::TEXT_ARRAY), (&b, Type::TEXT_ARRAY)];
        match pg.client.query_typed(&sql, &parameters).await {
            Ok(rows) => {
                for (row, at) in rows.iter().zip(range) {
                    let verdict: Option<bool> = row.try_get(0).map_err(|e| pg.error("comparing values", &e))?;
                    out[at] = verdict.unwrap_or(false);
                }
            }
            // The type has no notion of equality (point, xml): its text decides.
            Err(e) if e.code() == Some(&SqlState::UNDEFINED_FUNCTION) && sql != statement(&same_text) => {
                sql = statement(&same_text);
                todo.push(range);
            }
            Err(e) if is_no_value(&e) => todo.extend(halves(range)),
            Err(e) => return Err(pg.error(&format!("comparing values of {ty}"), &e)),
        }
    }
    Ok(out)
}

/// The text output of an expression of this type.
fn text_of(value: &str, ty: &str) -> String {
    match ty {
        "inet" => format!("textin(inet_out({value}))"),
        "cidr" => format!("textin(cidr_out({value}))"),
        _ => format!("({value})::text"),
    }
}

fn ranges(len: usize) -> Vec<Range<usize>> {
    (0..len)
        .step_by(BATCH)
        .map(|from| from..(from + BATCH).min(len))
        .collect()
}

/// The two halves of a range that failed; nothing where it was one text, which then has its answer.
fn halves(range: Range<usize>) -> Vec<Range<usize>> {
    if range.len() < 2 {
        return Vec::new();
    }
    let middle = range.start + range.len() / 2;
    vec![range.start..middle, middle..range.end]
}

/// The range up to its first text with a NUL, which PostgreSQL's text cannot hold; the rest goes back on the pile.
fn without_nul(range: Range<usize>, todo: &mut Vec<Range<usize>>, nul: impl Fn(usize) -> bool) -> Option<Range<usize>> {
    let Some(at) = range.clone().find(|at| nul(*at)) else {
        return Some(range);
    };
    if at + 1 < range.end {
        todo.push(at + 1..range.end);
    }
    (range.start < at).then_some(range.start..at)
}

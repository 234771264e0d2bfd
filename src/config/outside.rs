//! `[[outside]]`: what the systems around the order system export, and which of their words mean what.

use super::fields::{Field, Fields};
use super::tree::Value;
use super::types::OutsideConfig;
use crate::domain::Result;

/// Reads every `[[outside]]`.
pub fn read(field: &Field<'_>) -> Result<Vec<OutsideConfig>> {
    let Value::List(nodes) = &field.node.value else {
        return Err(field
            .wrong("outside must be a list of tables")
            .cure("write [[outside]] with double brackets, once for each export"));
    };
    let mut all: Vec<OutsideConfig> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let fields = Fields::of(node, "outside", "outside")?;
        let name = fields.need("name", "\"billing\"")?;
        let text = name.text()?;
        if all.iter().any(|o| o.name == text) {
            return Err(name
                .wrong(format!("two exports are called {text:?}"))
                .cure("give each [[outside]] a name of its own: evidence is told apart by it"));
        }
        all.push(export(&fields, text)?);
    }
    Ok(all)
}

fn export(fields: &Fields<'_>, name: &str) -> Result<OutsideConfig> {
    let path = fields.need("path", "\"billing/*.csv\"")?;
    let export = OutsideConfig {
        name: name.to_owned(),
        path: path.path()?.to_string_lossy().into_owned(),
        order: fields.need("order", "\"order_number\"")?.text()?.to_owned(),
        item: fields.text("item")?,
        effect: fields.text("effect")?,
        state: fields.need("state", "\"result\"")?.text()?.to_owned(),
        done: fields.texts("done")?,
        none: fields.texts("none")?,
        at: fields.text("at")?,
    };
    if export.done.is_empty() && export.none.is_empty() {
        return Err(fields
            .wrong(format!(
                "no value of {:?} says that anything happened or did not",
                export.state
            ))
            .cure("add done = [\"Activated\"], none = [\"Not requested\"], or both"));
    }
    if let Some(word) = export.done.iter().find(|word| export.none.contains(word)) {
        return Err(fields
            .need("none", "[]")?
            .wrong(format!("{word:?} stands in outside.done and in outside.none"))
            .cure("keep it in one of them; a value in neither is UNKNOWN"));
    }
    Ok(export)
}

//! One case as JSON.

use crate::domain::mask::mask;
use crate::domain::queue::{CaseFile, Decision};
use crate::domain::schema::Schema;
use crate::domain::{Error, Result, time};
use serde::Serialize;
use serde_json::{Value as Json, json};

/// The object that `cases --json` prints for a case, masked.
pub fn short(file: &CaseFile, schema: &Schema) -> Result<Json> {
    let mut found = file.found.clone();
    mask(&mut found, schema);
    let kinds: Vec<&str> = found.kinds().iter().map(|k| k.name()).collect();
    Ok(json!({
        "case": found.id,
        "order": found.order,
        "label": found.label,
        "kinds": kinds,
        "state": file.state.name(),
        "claimed_by": file.claim.as_ref().map(|c| &c.by),
        "claimed_until": file.claim.as_ref().map(|c| time::format(c.until)),
        "dies_at": found.dies_at,
        "findings": plain(&found.findings)?,
        "missing": plain(&found.missing)?,
        "blocked_by": found.blocked_by,
        "advice": plain(&found.advice)?,
        "outside": plain(&found.outside)?,
        "fits": plain(&found.fits)?,
    }))
}

/// The object of `cases --json`, and everything else that the ledger has on the case; masked, but for what a person may see.
pub fn whole(file: &CaseFile, schema: &Schema) -> Result<Json> {
    let mut case = short(file, schema)?;
    let mut found = file.found.clone();
    mask(&mut found, schema);
    let notes: Vec<Json> = file
        .notes
        .iter()
        .map(|n| json!({"by": n.by, "at": time::format(n.at), "text": n.text}))
        .collect();
    let waited: Vec<&str> = file.waited_for_by.iter().map(|(id, _)| id.as_str()).collect();
    if let Json::Object(case) = &mut case {
        case.insert("waited_for_by".to_owned(), json!(waited));
        case.insert("disproven".to_owned(), json!(file.disproven));
        case.insert("effect".to_owned(), json!(file.effect));
        case.insert("decision".to_owned(), json!(file.decision.as_ref().map(decision)));
        case.insert("notes".to_owned(), json!(notes));
        case.insert("family".to_owned(), plain(&found.family)?);
    }
    Ok(case)
}

fn decision(d: &Decision) -> Json {
    json!({
        "key": d.key, "verb": d.verb, "reason": d.reason, "by": d.by, "at": time::format(d.at),
        "ref": d.reference, "to": d.to, "evidence": d.evidence, "until": d.until.map(time::format),
        "steps": d.steps,
        "proof": d.proof.as_ref().map(|(holds, read)| json!({"holds": holds, "read": read})),
    })
}

fn plain(value: &impl Serialize) -> Result<Json> {
    serde_json::to_value(value).map_err(|e| Error::failed(format!("cannot write JSON: {e}")))
}

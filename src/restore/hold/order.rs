//! In which order rescued messages go back: what an order refers to before the order itself.

use super::file::Saved;
use crate::domain::schema::{Entity, ORDER, ORDER_ITEM, Schema};
use crate::domain::value::{LogKind, LogValue};
use crate::log::hold::{HeldOrder, order_of};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

/// A place in the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Which of the messages.
    pub index: usize,
    /// The order's label, where the message is one of the native format.
    pub label: Option<String>,
    /// Those of the plan that must be there before it.
    pub after: BTreeSet<usize>,
}

/// The plan, and the labels of orders that refer to each other in a ring, which are sent as they came.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they are sent.
    pub messages: Vec<Planned>,
    /// Labels.
    pub rings: Vec<String>,
}

/// Puts messages in order. They are given as they came; where nothing says otherwise, they go as they came.
pub fn plan(schema: &Schema, messages: &[Saved]) -> Plan {
    let orders: Vec<Option<HeldOrder>> = messages
        .iter()
        .map(|m| order_of(m.value.as_deref().unwrap_or_default()))
        .collect();
    let before = before(schema, &orders);
    let mut waits: Vec<usize> = before.iter().map(BTreeSet::len).collect();
    let mut then: Vec<Vec<usize>> = vec![Vec::new(); messages.len()];
    for (index, all) in before.iter().enumerate() {
        for first in all {
            then[*first].push(index);
        }
    }
    let mut free: BinaryHeap<Reverse<usize>> = (0..messages.len()).filter(|i| waits[*i] == 0).map(Reverse).collect();
    let mut plan = Plan::default();
    let mut placed = vec![false; messages.len()];
    let mut next = 0;
    while plan.messages.len() < messages.len() {
        let index = free.pop().map_or_else(
            || {
                // Only rings are left, and what waits for them: the one that came first begins.
                next = (next..placed.len()).find(|i| !placed[*i]).unwrap_or(next);
                plan.rings.extend(orders[next].as_ref().map(|o| o.key.clone()));
                next
            },
            |Reverse(index)| index,
        );
        if std::mem::replace(&mut placed[index], true) {
            continue;
        }
        for later in &then[index] {
            waits[*later] = waits[*later].saturating_sub(1);
            if waits[*later] == 0 && !placed[*later] {
                free.push(Reverse(*later));
            }
        }
        plan.messages.push(Planned {
            index,
            label: orders[index].as_ref().map(|o| o.key.clone()),
            after: before[index].clone(),
        });
    }
    plan
}

/// Entity, column and value by which messages refer to a thing.
type Thing<'a> = (&'a str, &'a str, &'a str);

/// For each message those that must be there before it.
fn before(schema: &Schema, orders: &[Option<HeldOrder>]) -> Vec<BTreeSet<usize>> {
    let entity = |name: &str| schema.entities.iter().find(|e| e.name == name);
    let (order, item) = (entity(ORDER), entity(ORDER_ITEM));
    // Under which names an order is referred to, and which messages are about it.
    let mut named: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
    // Which messages are about the same thing outside of them, such as an asset.
    let mut shared: HashMap<Thing<'_>, Vec<(usize, bool)>> = HashMap::new();
    for (index, held) in orders.iter().enumerate() {
        let Some(held) = held else { continue };
        named.entry(("", &held.key)).or_default().push(index);
        for (column, value) in held.state.iter().filter_map(text) {
            named.entry((column, value)).or_default().push(index);
        }
        for columns in &held.items {
            let changes = item.is_some_and(|e| is_macd(e, columns));
            for reference in item.map_or(&[][..], |e| &e.refs) {
                let found = columns
                    .iter()
                    .find(|(name, _)| *name == reference.column)
                    .and_then(text);
                if let Some((_, value)) = found.filter(|_| reference.entity != ORDER) {
                    let column = reference.target.as_deref().unwrap_or_default();
                    let about = shared.entry((&reference.entity, column, value)).or_default();
                    about.push((index, changes));
                }
            }
        }
    }
    let mut before = vec![BTreeSet::new(); orders.len()];
    for (index, held) in orders.iter().enumerate() {
        let Some(held) = held else { continue };
        // Messages about one order stay as they came.
        let same = named.get(&("", held.key.as_str())).into_iter().flatten();
        before[index].extend(same.copied().filter(|i| *i < index));
        let refs = order.map_or(&[][..], |e| &e.refs).iter().filter(|r| r.entity == ORDER);
        let refs = refs.map(|r| (r.column.as_str(), r.target.as_deref()));
        let supersedes = order.and_then(|e| e.supersedes.as_deref()).map(|column| (column, None));
        for (column, target) in refs.chain(supersedes) {
            let Some((_, value)) = held.state.iter().find(|(name, _)| name == column).and_then(text) else {
                continue;
            };
            // By its key or by its label: in the hold, orders may have no key yet.
            let keys = order.map_or(&[][..], |e| &e.key).iter().map(String::as_str);
            let under: Vec<&str> = target.map_or_else(|| keys.chain([""]).collect(), |t| vec![t]);
            let parents = under.iter().filter_map(|name| named.get(&(*name, value))).flatten();
            let same = |i: &usize| orders[*i].as_ref().is_some_and(|o| o.key == held.key);
            before[index].extend(parents.copied().filter(|i| !same(i)));
        }
    }
    for about in shared.values() {
        let created = about.iter().filter(|(_, changes)| !changes).map(|(i, _)| *i);
        let created: Vec<usize> = created.collect();
        let mut last: Option<usize> = None;
        for (index, _) in about.iter().filter(|(_, changes)| *changes) {
            // What is there before it is changed; changes stay as they came.
            before[*index].extend(created.iter().copied().chain(last).filter(|i| i != index));
            last = Some(*index);
        }
    }
    before
}

fn is_macd(entity: &Entity, columns: &[(String, LogValue<'static>)]) -> bool {
    let Some(action) = &entity.action else {
        return false;
    };
    let found = columns.iter().find(|(name, _)| name == action).and_then(text);
    found.is_some_and(|(_, value)| entity.macd.iter().any(|m| m == value))
}

fn text<'a>((name, value): &'a (String, LogValue<'static>)) -> Option<(&'a str, &'a str)> {
    (value.kind != LogKind::Null).then(|| (name.as_str(), value.text.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schema::Reference;
    use crate::restore::hold::file::Stamp;

    fn schema() -> Schema {
        let reference = |column: &str, entity: &str, target: Option<&str>| Reference {
            column: column.to_owned(),
            entity: entity.to_owned(),
            target: target.map(str::to_owned),
        };
        Schema {
            entities: vec![
                Entity {
                    name: ORDER.to_owned(),
                    key: vec!["id".to_owned()],
                    supersedes: Some("superseded".to_owned()),
                    refs: vec![reference("prior", ORDER, None)],
                    ..Entity::default()
                },
                Entity {
                    name: ORDER_ITEM.to_owned(),
                    action: Some("action".to_owned()),
                    macd: vec!["Change".to_owned()],
                    refs: vec![reference("asset", "asset", Some("reference_id"))],
                    ..Entity::default()
                },
            ],
        }
    }

    fn ordered(messages: &[&str]) -> (Vec<usize>, Vec<String>) {
        let saved = |value: &&str| Saved {
            partition: 0,
            offset: 0,
            from: 0,
            stamp: Stamp::None,
            key: None,
            value: Some(value.as_bytes().to_vec()),
            headers: Vec::new(),
        };
        let all: Vec<Saved> = messages.iter().map(saved).collect();
        let plan = plan(&schema(), &all);
        (plan.messages.iter().map(|p| p.index).collect(), plan.rings)
    }

    #[test]
    fn what_an_order_refers_to_goes_before_it() {
        let change = r#"{"entity":"order","key":"C","op":"upsert","state":{"prior":"B"}}"#;
        let base = r#"{"entity":"order","key":"B","op":"upsert","state":{"id":41,"prior":"A"}}"#;
        let first = r#"{"entity":"order","key":"A","op":"upsert","state":{}}"#;
        let by_key = r#"{"entity":"order","key":"D","op":"upsert","state":{"superseded":"41"}}"#;
        assert_eq!(ordered(&[change, by_key, base, first]).0, [3, 2, 0, 1]);
        assert_eq!(ordered(&[first, "no order", base]).0, [0, 1, 2], "else as they came");
    }

    #[test]
    fn an_asset_is_added_before_it_is_changed() {
        let item = |key: &str, action: &str| {
            format!(
                r#"{{"entity":"order","key":"{key}","op":"upsert","state":{{"items":[{{"action":"{action}","asset":"P1"}}]}}}}"#
            )
        };
        let (one, two, add) = (item("M1", "Change"), item("M2", "Change"), item("N", "Add"));
        assert_eq!(ordered(&[&one, &two, &add]).0, [2, 0, 1]);
    }

    #[test]
    fn messages_of_one_order_stay_as_they_came_and_rings_are_named() {
        let a = r#"{"entity":"order","key":"A","op":"upsert","state":{"prior":"B"}}"#;
        let b = r#"{"entity":"order","key":"B","op":"upsert","state":{"prior":"A"}}"#;
        let again = r#"{"entity":"order","key":"A","op":"delete","state":null}"#;
        let (order, rings) = ordered(&[a, b, again]);
        // Both messages about A go before what refers to A, once the ring is broken.
        assert_eq!((order, rings), (vec![0, 2, 1], vec!["A".to_owned()]));
    }
}

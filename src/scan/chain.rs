//! Who waits for whom: cases in the order in which they must be decided, and the rings that have no first.

use std::collections::{BTreeMap, BTreeSet};

/// Sorts every case's blockers so that the first to decide comes first, and names the rings of cases that wait for each
/// other.
pub(super) fn order(waits: &mut BTreeMap<String, Vec<String>>) -> Vec<Vec<String>> {
    let (components, rings) = components(waits);
    let rank: BTreeMap<String, usize> = components
        .into_iter()
        .enumerate()
        .flat_map(|(n, ids)| ids.into_iter().map(move |id| (id, n)))
        .collect();
    for blockers in waits.values_mut() {
        blockers.sort_by(|a, b| rank.get(a).cmp(&rank.get(b)).then_with(|| a.cmp(b)));
        blockers.dedup();
    }
    rings
}

/// Tarjan's strongly connected components, without recursion: each comes after all that it waits for. The second list is
/// those of more than one case.
fn components(waits: &BTreeMap<String, Vec<String>>) -> (Vec<Vec<String>>, Vec<Vec<String>>) {
    #[derive(Default, Clone, Copy)]
    struct Node {
        index: Option<usize>,
        low: usize,
        on_stack: bool,
    }
    let names: Vec<&String> = waits
        .iter()
        .flat_map(|(id, to)| std::iter::once(id).chain(to))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let number: BTreeMap<&String, usize> = names.iter().enumerate().map(|(n, id)| (*id, n)).collect();
    let edges: Vec<Vec<usize>> = names
        .iter()
        .map(|id| {
            waits
                .get(*id)
                .into_iter()
                .flatten()
                .filter_map(|to| number.get(to).copied())
                .collect()
        })
        .collect();
    let mut nodes = vec![Node::default(); names.len()];
    let mut stack: Vec<usize> = Vec::new();
    let mut found = Vec::new();
    let mut next = 0;
    for root in 0..names.len() {
        if nodes[root].index.is_some() {
            continue;
        }
        let mut work = vec![(root, 0)];
        while let Some((at, edge)) = work.pop() {
            if edge == 0 {
                nodes[at] = Node {
                    index: Some(next),
                    low: next,
                    on_stack: true,
                };
                next += 1;
                stack.push(at);
            }
            if let Some(&to) = edges[at].get(edge) {
                work.push((at, edge + 1));
                match nodes[to].index {
                    None => work.push((to, 0)),
                    Some(index) if nodes[to].on_stack => nodes[at].low = nodes[at].low.min(index),
                    Some(_) => {}
                }
                continue;
            }
            if nodes[at].index == Some(nodes[at].low) {
                let mut ring = Vec::new();
                while let Some(top) = stack.pop() {
                    nodes[top].on_stack = false;
                    ring.push(names[top].clone());
                    if top == at {
                        break;
                    }
                }
                ring.sort();
                found.push(ring);
            }
            if let Some((parent, _)) = work.last() {
                nodes[*parent].low = nodes[*parent].low.min(nodes[at].low);
            }
        }
    }
    let rings = found.iter().filter(|ring| ring.len() > 1).cloned().collect();
    (found, rings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        edges
            .iter()
            .map(|(id, to)| ((*id).to_owned(), to.iter().map(|t| (*t).to_owned()).collect()))
            .collect()
    }

    #[test]
    fn the_first_to_decide_comes_first() {
        let mut waits = graph(&[("d", &["a", "c", "b"]), ("b", &["c"]), ("a", &["b"])]);
        assert!(order(&mut waits).is_empty());
        assert_eq!(waits["d"], ["c", "b", "a"]);
    }

    #[test]
    fn rings_are_named_and_do_not_hang() {
        let mut waits = graph(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("d", &["a", "e"])]);
        assert_eq!(
            order(&mut waits),
            vec![vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]]
        );
        assert_eq!(waits["d"].len(), 2);
    }

    #[test]
    fn a_long_chain_does_not_overflow_the_stack() {
        let mut waits: BTreeMap<String, Vec<String>> = (0..100_000)
            .map(|n| (format!("{n:06}"), vec![format!("{:06}", n + 1)]))
            .collect();
        assert!(order(&mut waits).is_empty());
    }
}

//! Values that may be given for each arm: `x` or `{ before-domain = x, after = y }`.

use crate::diagnostic::document::{Node, Value, did_you_mean};
use crate::diagnostic::{Findings, closest, list};
use crate::record::{Arm, Arms};
use crate::scenario::ArmSpec;

/// A key of a statement by arm.
#[derive(Clone, Debug)]
pub enum ByArm<'n> {
    /// Not there.
    Absent,
    /// One value, no arm named.
    Plain(&'n Node),
    /// Told apart.
    Apart(Arms<Option<&'n Node>>),
}

impl<'n> ByArm<'n> {
    /// The value for an arm.
    pub fn get(&self, arm: Arm) -> Option<&'n Node> {
        match self {
            ByArm::Absent => None,
            ByArm::Plain(node) => Some(node),
            ByArm::Apart(arms) => *arms.get(arm),
        }
    }
}

/// Whether a value that is itself a table counts as a table of arms only when its values are tables (`set`, `each`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// The plain value is no table: any table tells arms apart.
    NoTable,
    /// The plain value is a table.
    Table,
}

/// Reads a key that may tell arms apart. Where the statement runs on one arm `only`, it must not.
pub fn by_arm<'n>(node: Option<&'n Node>, f: &mut Findings, shape: Shape, arms: &Arms<ArmSpec>, only: Option<&[Arm]>) -> Option<ByArm<'n>> {
    let Some(node) = node else { return Some(ByArm::Absent) };
    let Some(entries) = node.entries() else { return Some(ByArm::Plain(node)) };
    let is_arm = |key: &str| arms.values().any(|arm| arm.name == key);
    let names_arms = !entries.is_empty() && entries.iter().all(|entry| is_arm(&entry.key) && matches!(entry.node.value, Value::Table(_)));
    if shape == Shape::Table && !names_arms {
        return Some(ByArm::Plain(node));
    }
    if let Some([only]) = only {
        let message = format!("tells arms apart, but the statement is only = {:?}", arms.get(*only).name);
        node.fault(f, message, "give one value, or remove `only`");
        return None;
    }
    if entries.is_empty() {
        node.not_allowed(f, &format!("one value, or one for each arm: {}", names(arms)));
        return None;
    }
    let unknown = entries.iter().filter(|entry| !is_arm(&entry.key));
    for entry in unknown {
        let near = closest(&entry.key, arms.values().map(|arm| arm.name.as_str()));
        f.add(entry.key_span.clone(), &entry.node.path, format!("is no arm{}", did_you_mean(near)), format!("there are: {}", names(arms)));
    }
    for (arm, spec) in arms.iter().filter(|(arm, _)| only.is_some_and(|only| !only.contains(arm))) {
        if let Some(entry) = entries.iter().find(|entry| entry.key == spec.name) {
            let message = format!("the statement does not run on {}", arms.get(arm).name);
            f.add(entry.key_span.clone(), &entry.node.path, message, "remove it, or name the arm in `only`");
        }
    }
    let of = |arm: Arm| entries.iter().find(|entry| entry.key == arms.get(arm).name).map(|entry| &entry.node);
    Some(ByArm::Apart(arms.each(of)))
}

/// The arms on which a statement runs: one, or a list of them.
pub fn only(node: &Node, f: &mut Findings, arms: &Arms<ArmSpec>) -> Option<Vec<Arm>> {
    let words: Vec<(&str, Arm)> = arms.iter().map(|(arm, spec)| (spec.name.as_str(), arm)).collect();
    let mut read: Vec<Arm> = match &node.value {
        Value::Array(items) if !items.is_empty() => items.iter().map(|item| item.word(f, &words)).collect::<Option<_>>()?,
        Value::Text(_) => vec![node.word(f, &words)?],
        _ => {
            node.not_allowed(f, &format!("the name of an arm, or a list of them; there are: {}", names(arms)));
            return None;
        }
    };
    read.sort_unstable();
    read.dedup();
    Some(read)
}

/// All arms' names, for messages.
pub fn names(arms: &Arms<ArmSpec>) -> String {
    list(arms.values().map(|arm| arm.name.as_str()))
}

//! Values that may be given for each side: `x` or `{ before = x, after = y }`.

use crate::diagnostic::Findings;
use crate::diagnostic::document::{Keys, Node, Value};
use crate::record::{Side, Sides};

/// A key of a statement by side.
#[derive(Clone, Copy, Debug)]
pub enum Sided<'n> {
    /// Not there.
    Absent,
    /// One value, no side named.
    Plain(&'n Node),
    /// Told apart.
    Apart(Sides<Option<&'n Node>>),
}

impl<'n> Sided<'n> {
    /// The value for a side.
    pub fn get(self, side: Side) -> Option<&'n Node> {
        match self {
            Sided::Absent => None,
            Sided::Plain(node) => Some(node),
            Sided::Apart(sides) => *sides.get(side),
        }
    }
}

/// Whether a value that is itself a table counts as a table of sides only when its values are tables (`set`, `each`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// The plain value is no table: any table tells sides apart.
    NoTable,
    /// The plain value is a table.
    Table,
}

/// Reads a key that may tell sides apart. With `only`, it must not.
pub fn sided<'n>(node: Option<&'n Node>, f: &mut Findings, shape: Shape, only: Option<Side>) -> Option<Sided<'n>> {
    let Some(node) = node else { return Some(Sided::Absent) };
    let Some(entries) = node.entries() else { return Some(Sided::Plain(node)) };
    let names_sides = !entries.is_empty()
        && entries.iter().all(|entry| matches!(entry.key.as_str(), "before" | "after") && matches!(entry.node.value, Value::Table(_)));
    if shape == Shape::Table && !names_sides {
        return Some(Sided::Plain(node));
    }
    if let Some(only) = only {
        node.fault(f, format!("tells sides apart, but the statement is only = {:?}", only.name()), "give one value, or remove `only`");
        return None;
    }
    let mut keys = Keys::of(node, f, "a table with before and after")?;
    let sides = Sides { before: keys.get("before"), after: keys.get("after") };
    keys.finish(f);
    if entries.is_empty() {
        node.not_allowed(f, "one value, or { before = ..., after = ... }");
        return None;
    }
    Some(Sided::Apart(sides))
}

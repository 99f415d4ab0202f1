//! `[[transaction.statement]]`: one statement, on one side or both.

use super::super::sql::scan;
use super::super::sql_rules::{Kind, breaches, kind};
use super::super::{Each, Identity, Repeat, Statement};
use super::expectation::expectation;
use super::name_of;
use super::sides::{Shape, Sided, sided};
use crate::diagnostic::Findings;
use crate::diagnostic::document::{Keys, Node, Value};
use crate::record::{Side, Sides};

/// What the rules for a statement need to know of its transaction.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Who runs it.
    pub identity: Option<&'a Identity>,
    /// Whether the transaction says that it writes; `None` if that could not be read.
    pub writes: Option<bool>,
}

/// A statement as it was read: for each side on which it runs.
pub struct Read<'n> {
    /// Its name.
    pub name: String,
    /// The statement by side.
    pub sides: Sides<Option<Statement>>,
    /// The texts that use parameters, with their places: `sql` and `exact`.
    pub texts: Vec<&'n Node>,
    /// The `each` tables that name parameters.
    pub each: Vec<(&'n Node, Each)>,
    /// Where it says what is expected of it.
    pub expect: Option<&'n Node>,
}

/// The values of a statement before they are dealt to the sides.
struct Parts<'n> {
    sql: Sided<'n>,
    exact: Sided<'n>,
    each: Sided<'n>,
    repeat: Repeat,
    set: Sided<'n>,
    has: Sided<'n>,
    lacks: Sided<'n>,
}

/// Reads a statement; what is wrong becomes findings.
pub fn statement<'n>(node: &'n Node, f: &mut Findings, around: Around) -> Option<Read<'n>> {
    let mut keys = Keys::of(node, f, "a table, opened by [[transaction.statement]]")?;
    let name = keys.require(f, "name", "\"a-name\"").and_then(|node| name_of(node, f));
    let words = [("before", Side::Before), ("after", Side::After)];
    let only = keys.get("only").map(|node| node.word(f, &words));
    let request = keys.get("request").map(|node| node.int(f, 1..=10_000));
    let repeats = [("statement", Repeat::Statement), ("request", Repeat::Request)];
    let repeat_node = keys.get("repeat");
    let repeat = repeat_node.and_then(|node| node.word(f, &repeats)).unwrap_or_default();
    let only_side = only.flatten();
    let sql = keys.require(f, "sql", "\"\"\"select ...\"\"\" or { before = \"...\", after = \"...\" }");
    let sql = sided(sql, f, Shape::NoTable, only_side);
    let exact = sided(keys.get("exact"), f, Shape::NoTable, only_side);
    let each = sided(keys.get("each"), f, Shape::Table, only_side);
    let set = sided(keys.get("set"), f, Shape::Table, only_side);
    let has = sided(keys.get("plan-has"), f, Shape::NoTable, only_side);
    let lacks = sided(keys.get("plan-lacks"), f, Shape::NoTable, only_side);
    let expected = expectation(&mut keys, node, f);
    let expect = keys.get("expect");
    keys.finish(f);
    if let Some(Sided::Apart(Sides { before: None, .. } | Sides { after: None, .. })) = sql {
        let help = "give the text of both sides, or write sql = \"...\" with only = \"before\" or \"after\"";
        node.fault(f, "sql has the text of one side only", help);
    }
    let parts = Parts { sql: sql?, exact: exact?, each: each?, repeat, set: set?, has: has?, lacks: lacks? };
    if let (Some(node), true) = (repeat_node, Side::BOTH.into_iter().all(|side| parts.each.get(side).is_none())) {
        node.fault(f, "nothing is repeated", "add each = { draw = rows a statement }, or remove repeat");
    }
    let name = name.unwrap_or_default();
    let request = match request {
        Some(request) => Some(u32::try_from(request?).ok()?),
        None => None,
    };
    let mut read = Read { name: name.clone(), sides: Sides { before: None, after: None }, texts: Vec::new(), each: Vec::new(), expect };
    let mut seen: Vec<*const Node> = Vec::new();
    for side in Side::BOTH.into_iter().filter(|side| only_side.is_none_or(|only| only == *side)) {
        let statement = one_side(&parts, side, only_side, f, around, &mut read, &mut seen);
        *read.sides.get_mut(side) =
            statement.map(|statement| Statement { name: name.clone(), request, expected: expected.clone(), ..statement });
    }
    Some(read)
}

/// The statement of one side. `seen` holds the values that were read for the other side, so that nothing is reported twice.
fn one_side<'n>(
    parts: &Parts<'n>,
    side: Side,
    only: Option<Side>,
    f: &mut Findings,
    around: Around,
    read: &mut Read<'n>,
    seen: &mut Vec<*const Node>,
) -> Option<Statement> {
    let mut quiet = Findings::new(f.source().clone());
    let mut first = |node: &Node| {
        let new = !seen.contains(&(node as *const Node));
        seen.push(node);
        new
    };
    let sql_node = parts.sql.get(side)?;
    let is_new = first(sql_node);
    let sql = text(sql_node, if is_new { f } else { &mut quiet }, around);
    if is_new {
        read.texts.push(sql_node);
    }
    let exact = parts.exact.get(side).map(|node| {
        let is_new = first(node);
        if is_new {
            read.texts.push(node);
        }
        text(node, if is_new { f } else { &mut quiet }, around)
    });
    let each = parts.each.get(side).map(|node| {
        let is_new = first(node);
        let each = each_of(node, parts.repeat, if is_new { f } else { &mut quiet });
        if let (true, Some(each)) = (is_new, &each) {
            read.each.push((node, each.clone()));
        }
        each
    });
    let set = parts.set.get(side).map(|node| if first(node) { settings(node, f) } else { settings(node, &mut quiet) });
    let plan_has = plan_texts(parts.has, side, only, f);
    let plan_lacks = plan_texts(parts.lacks, side, only, f);
    let sql = sql?;
    let scanned = scan(sql);
    Some(Statement {
        controls_transaction: kind(sql, &scanned).0 == Kind::ControlsTransaction,
        parameters: (scanned.numbered, scanned.names),
        each: match each {
            Some(each) => Some(each?),
            None => None,
        },
        settings: set.unwrap_or_default(),
        exact: match exact {
            Some(exact) => Some(exact?.to_owned()),
            None => None,
        },
        plan_has,
        plan_lacks,
        ..Statement::of(sql.to_owned())
    })
}

/// What a plan must hold, or must not. A list that tells no sides apart is about the candidate's plan, or that of the only side.
fn plan_texts(sided: Sided, side: Side, only: Option<Side>, f: &mut Findings) -> Vec<String> {
    let judged = match sided {
        Sided::Plain(_) => only.is_some() || side == Side::After,
        _ => true,
    };
    let node = sided.get(side).filter(|_| judged);
    node.map(|node| node.texts(f, "a list of texts that the plan is searched for")).unwrap_or_default()
}

/// An SQL text that keeps the rules.
fn text<'n>(node: &'n Node, f: &mut Findings, around: Around) -> Option<&'n str> {
    let sql = node.filled(f, "an SQL statement")?;
    let scanned = scan(sql);
    for breach in breaches(sql, &scanned) {
        node.fault_within(f, breach.span, breach.message, breach.help);
    }
    let (kind, place) = kind(sql, &scanned);
    match kind {
        Kind::Empty => node.fault(f, "holds no statement", "allowed: one SQL statement"),
        Kind::Writes if around.writes == Some(false) => {
            node.fault_within(f, place, "changes data, but the transaction does not say so", "add writes = true to the transaction");
        }
        Kind::ControlsTransaction if around.identity.is_some_and(|identity| *identity != Identity::None) => {
            let help = "remove it: the transaction's preamble and commit are sent by pgduel (identity = \"none\" sends neither)";
            node.fault_within(f, place, "controls the transaction", help);
        }
        _ => {}
    }
    Some(sql)
}

fn each_of(node: &Node, repeat: Repeat, f: &mut Findings) -> Option<Each> {
    const ALLOWED: &str = "{ draw = elements a statement }, such as { rows = 1 }";
    let Some([entry]) = node.entries() else {
        node.not_allowed(f, ALLOWED);
        return None;
    };
    let chunk = entry.node.int(f, 1..=1_000_000)?;
    Some(Each { parameter: entry.key.clone(), chunk: u32::try_from(chunk).ok()?, repeat })
}

fn settings(node: &Node, f: &mut Findings) -> Vec<(String, String)> {
    const ALLOWED: &str = "a table of settings, such as { \"hnsw.ef_search\" = \"100\" }";
    let Some(entries) = node.entries() else {
        node.not_allowed(f, ALLOWED);
        return Vec::new();
    };
    let mut read = Vec::new();
    for entry in entries {
        let value = match &entry.node.value {
            Value::Text(text) => text.clone(),
            Value::Int(n) => n.to_string(),
            Value::Float(n) => n.to_string(),
            Value::Bool(true) => "on".into(),
            Value::Bool(false) => "off".into(),
            // `hnsw.ef_search = 100` without quotes is a table `hnsw` in TOML.
            Value::Table(_) => {
                entry.node.fault(f, "is a table", format!("quote the name of a setting that has a point: {ALLOWED}"));
                continue;
            }
            _ => {
                entry.node.not_allowed(f, "a text, a number, true or false");
                continue;
            }
        };
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        if entry.key.is_empty() || !entry.key.chars().all(good) {
            f.add(entry.key_span.clone(), &entry.node.path, "is no name of a setting", "allowed: letters, digits, _ and .");
            continue;
        }
        read.push((entry.key.clone(), value));
    }
    read
}

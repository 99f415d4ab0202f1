//! `[[transaction.statement]]`: one statement, on some arms or all.

use super::super::sql::{places, scan, unfilled};
use super::super::sql_rules::{Kind, breaches, kind};
use super::super::{ArmSpec, Each, Identity, Repeat, Statement};
use super::by_arm::{ByArm, Shape, by_arm, only};
use super::expectation::expectation;
use super::name_of;
use crate::diagnostic::document::{Keys, Node, Value};
use crate::diagnostic::{Findings, closest, list};
use crate::record::{Arm, Arms, Factor};

/// What the rules for a statement need to know of its transaction.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Who runs it.
    pub identity: Option<&'a Identity>,
    /// Whether the transaction says that it writes; `None` if that could not be read.
    pub writes: Option<bool>,
    /// The scenario's arms.
    pub arms: &'a Arms<ArmSpec>,
}

/// A statement as it was read: for each arm on which it runs.
pub struct Read<'n> {
    /// Its name.
    pub name: String,
    /// The statement by arm.
    pub arms: Arms<Option<Statement>>,
    /// The texts that use parameters, with their places: `sql` and `exact`.
    pub texts: Vec<&'n Node>,
    /// The `each` tables that name parameters.
    pub each: Vec<(&'n Node, Each)>,
    /// Where it says what is expected of it.
    pub expect: Option<&'n Node>,
}

/// The values of a statement before they are dealt to the arms.
struct Parts<'n> {
    sql: ByArm<'n>,
    exact: ByArm<'n>,
    each: ByArm<'n>,
    repeat: Repeat,
    set: ByArm<'n>,
    has: ByArm<'n>,
    lacks: ByArm<'n>,
    /// Whether it runs on the baseline alone.
    baseline_alone: bool,
}

/// Reads a statement; what is wrong becomes findings.
pub fn statement<'n>(node: &'n Node, f: &mut Findings, around: Around) -> Option<Read<'n>> {
    let mut keys = Keys::of(node, f, "a table, opened by [[transaction.statement]]")?;
    let name = keys.require(f, "name", "\"a-name\"").and_then(|node| name_of(node, f));
    let arms = around.arms;
    let only = keys.get("only").map(|node| only(node, f, arms));
    let request = keys.get("request").map(|node| node.int(f, 1..=10_000));
    let repeats = [("statement", Repeat::Statement), ("request", Repeat::Request)];
    let repeat_node = keys.get("repeat");
    let repeat = repeat_node.and_then(|node| node.word(f, &repeats)).unwrap_or_default();
    let only = only.flatten();
    let sql_node = keys.require(f, "sql", "\"\"\"select ...\"\"\", or one for each arm");
    let read = |node: Option<&'n Node>, f: &mut Findings, shape| by_arm(node, f, shape, arms, only.as_deref());
    let sql = read(sql_node, f, Shape::NoTable);
    let exact = read(keys.get("exact"), f, Shape::NoTable);
    let each = read(keys.get("each"), f, Shape::Table);
    let set = read(keys.get("set"), f, Shape::Table);
    let has = read(keys.get("plan-has"), f, Shape::NoTable);
    let lacks = read(keys.get("plan-lacks"), f, Shape::NoTable);
    let expected = expectation(&mut keys, node, f, arms);
    let expect = keys.get("expect");
    keys.finish(f);
    let runs: Vec<Arm> = only.clone().unwrap_or_else(|| arms.arms().collect());
    if let (Some(texts @ ByArm::Apart(_)), Some(sql_node)) = (&sql, sql_node) {
        let missing: Vec<&str> = runs.iter().filter(|arm| texts.get(**arm).is_none()).map(|arm| arms.get(*arm).name.as_str()).collect();
        if !missing.is_empty() {
            let help = "give the text of every arm, or say with `only` on which ones the statement runs";
            sql_node.fault(f, format!("has no text for {}", list(missing)), help);
        }
    }
    let parts = Parts {
        sql: sql?,
        exact: exact?,
        each: each?,
        repeat,
        set: set?,
        has: has?,
        lacks: lacks?,
        baseline_alone: runs == [Arm::BASELINE],
    };
    if let (Some(node), true) = (repeat_node, arms.arms().all(|arm| parts.each.get(arm).is_none())) {
        node.fault(f, "nothing is repeated", "add each = { draw = rows a statement }, or remove repeat");
    }
    let name = name.unwrap_or_default();
    let request = match request {
        Some(request) => Some(u32::try_from(request?).ok()?),
        None => None,
    };
    let mut read = Read { name: name.clone(), arms: arms.each(|_| None), texts: Vec::new(), each: Vec::new(), expect };
    let mut seen: Vec<*const Node> = Vec::new();
    for arm in runs {
        let statement = of_arm(&parts, arm, f, around, &mut read, &mut seen);
        *read.arms.get_mut(arm) =
            statement.map(|statement| Statement { name: name.clone(), request, expected: expected.clone(), ..statement });
    }
    Some(read)
}

/// The statement of one arm. `seen` holds the values that were read for other arms, so that nothing is reported twice.
fn of_arm<'n>(
    parts: &Parts<'n>,
    arm: Arm,
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
    let sql_node = parts.sql.get(arm)?;
    let is_new = first(sql_node);
    let sql = text(sql_node, if is_new { f } else { &mut quiet }, around);
    if is_new {
        read.texts.push(sql_node);
    }
    let exact = parts.exact.get(arm).map(|node| {
        let is_new = first(node);
        if is_new {
            read.texts.push(node);
        }
        text(node, if is_new { f } else { &mut quiet }, around)
    });
    let factor = around.arms.get(arm).factor.as_ref();
    let filled = |text: &str| Factor::fill(factor, text);
    let each = parts.each.get(arm).map(|node| {
        // One that takes the factor's value is another one for each arm.
        let is_new = first(node) || factor.is_some_and(|factor| takes(node, factor));
        let each = each_of(node, parts.repeat, factor, if is_new { f } else { &mut quiet });
        if let (true, Some(each)) = (is_new, &each) {
            read.each.push((node, each.clone()));
        }
        each
    });
    let name = factor.map(|factor| factor.name.as_str());
    let set = parts.set.get(arm).map(|node| settings(node, if first(node) { f } else { &mut quiet }, name));
    let set = set.map(|set| set.into_iter().map(|(name, value)| (name, filled(&value))).collect());
    // What a plan must hold, or must not. A list that tells no arms apart is not about the baseline, unless the statement runs there alone.
    let mut plan_texts = |by_arm: &ByArm<'n>| {
        let judged = parts.baseline_alone || !arm.is_baseline() || matches!(by_arm, ByArm::Apart(_));
        let node = by_arm.get(arm).filter(|_| judged)?;
        Some(node.texts(if first(node) { f } else { &mut quiet }, "a list of texts that the plan is searched for"))
    };
    let plan_has = plan_texts(&parts.has).unwrap_or_default();
    let plan_lacks = plan_texts(&parts.lacks).unwrap_or_default();
    let sql = filled(sql?);
    let scanned = scan(&sql);
    Some(Statement {
        controls_transaction: kind(&sql, &scanned).0 == Kind::ControlsTransaction,
        parameters: (scanned.numbered, scanned.names),
        each: match each {
            Some(each) => Some(each?),
            None => None,
        },
        settings: set.unwrap_or_default(),
        exact: match exact {
            Some(exact) => Some(filled(exact?)),
            None => None,
        },
        plan_has,
        plan_lacks,
        ..Statement::of(sql)
    })
}

/// An SQL text that keeps the rules.
fn text<'n>(node: &'n Node, f: &mut Findings, around: Around) -> Option<&'n str> {
    let sql = node.filled(f, "an SQL statement")?;
    let scanned = scan(sql);
    for breach in breaches(sql, &scanned) {
        node.fault_within(f, breach.span, breach.message, breach.help);
    }
    let factor = around.arms.baseline.factor.as_ref().map(|factor| factor.name.as_str());
    for (name, place) in unfilled(sql, &scanned, factor) {
        let (message, help) = no_value(name, factor);
        node.fault_within(f, place, message, help);
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

/// What is wrong with a place that nothing fills, and what to do.
pub fn no_value(name: &str, factor: Option<&str>) -> (String, String) {
    let near = closest(name, factor).map(|near| format!("; did you mean {{{{{near}}}}}?")).unwrap_or_default();
    (format!("{{{{{name}}}}} has no value{near}"), format!("sweep it: sweep.{name} = [...]; or remove the braces"))
}

/// Whether the number of elements is the factor's value.
fn takes(node: &Node, factor: &Factor) -> bool {
    let placeholder = factor.placeholder();
    node.entries().is_some_and(|entries| entries.iter().any(|entry| matches!(&entry.node.value, Value::Text(text) if *text == placeholder)))
}

fn each_of(node: &Node, repeat: Repeat, factor: Option<&Factor>, f: &mut Findings) -> Option<Each> {
    const ALLOWED: &str = "{ draw = elements a statement }, such as { rows = 1 }";
    let Some([entry]) = node.entries() else {
        node.not_allowed(f, ALLOWED);
        return None;
    };
    let chunk = match (&entry.node.value, factor) {
        (Value::Text(_), Some(factor)) if takes(node, factor) => {
            let chunk = factor.value.parse().ok().filter(|chunk| (1..=1_000_000).contains(chunk));
            if chunk.is_none() {
                entry.node.fault(f, format!("takes {} elements at a time", factor.value), "sweep whole numbers from 1 to 1000000");
            }
            chunk?
        }
        _ => entry.node.int(f, 1..=1_000_000)?,
    };
    Some(Each { parameter: entry.key.clone(), chunk: u32::try_from(chunk).ok()?, repeat })
}

/// Settings by name. `factor` is what the scenario sweeps.
pub fn settings(node: &Node, f: &mut Findings, factor: Option<&str>) -> Vec<(String, String)> {
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
        if decides_identity(&entry.key) {
            let help = "who a statement is sent for is its transaction's identity";
            f.add(entry.key_span.clone(), &entry.node.path, "decides whose rights a statement has", help);
            continue;
        }
        if let Some((name, _)) = places(&value).into_iter().find(|(name, _)| Some(*name) != factor) {
            let (message, help) = no_value(name, factor);
            entry.node.fault(f, message, help);
            continue;
        }
        read.push((entry.key.clone(), value));
    }
    read
}

/// Whether a setting is about who a statement runs as.
fn decides_identity(setting: &str) -> bool {
    let setting = setting.to_ascii_lowercase();
    ["role", "session_authorization", "row_security"].contains(&setting.as_str()) || setting.starts_with("request.jwt.")
}

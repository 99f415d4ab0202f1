//! `expect` and `expect-why`: what the author expects of a scenario, a transaction or a statement.

use std::collections::BTreeMap;

use super::super::{ArmSpec, Expected, Transaction};
use crate::diagnostic::document::{Keys, Node, Value, did_you_mean};
use crate::diagnostic::{Findings, closest, list};
use crate::record::{Arm, Arms, Expect, Expectation, QuantityExpectations};

const WORDS: [(&str, Expectation); 3] =
    [("improved", Expectation::Improved), ("regressed", Expectation::Regressed), ("unchanged", Expectation::Unchanged)];
const ALLOWED: &str = "\"improved\", \"regressed\", \"unchanged\", or one of them for a quantity (p50, p95, processor), { p50 = \"improved\", p95 = \"regressed\" }, or for an arm";
/// What can be expected of by name. None of them is the name of an arm.
pub const QUANTITIES: [&str; 3] = ["p50", "p95", "processor"];

/// Reads both keys of a table; one without the other becomes a finding. The table of the whole file may speak of processor time.
pub fn expectation(keys: &mut Keys, table: &Node, f: &mut Findings, arms: &Arms<ArmSpec>) -> Option<Expected> {
    let expect = keys.get("expect");
    let why = keys.get("expect-why");
    let path = |key: &str| if table.path.is_empty() { key.to_owned() } else { format!("{}.{key}", table.path) };
    match (expect, why) {
        (Some(expect), Some(why)) => {
            let expect = by_arm(expect, table.path.is_empty(), f, arms);
            let why = why.filled(f, "the reason, as text");
            Some(Expected { expect: expect?, why: why?.trim().to_owned() })
        }
        (Some(expect), None) => {
            by_arm(expect, table.path.is_empty(), f, arms);
            let help = "an expectation needs its reason: expect-why = \"...\"";
            f.add(expect.span.clone(), &path("expect-why"), "is missing", help);
            None
        }
        (None, Some(why)) => {
            let help = "add expect = \"improved\", \"regressed\" or \"unchanged\", or remove expect-why";
            f.add(why.span.clone(), &path("expect"), "is missing", help);
            None
        }
        (None, None) => None,
    }
}

/// A table that names no quantity names arms.
fn by_arm(node: &Node, of_file: bool, f: &mut Findings, arms: &Arms<ArmSpec>) -> Option<Expect> {
    let entries = node.entries().filter(|entries| !entries.iter().any(|entry| QUANTITIES.contains(&entry.key.as_str())));
    let Some(entries) = entries.filter(|entries| !entries.is_empty()) else { return verdicts(node, of_file, f) };
    let mut stated = BTreeMap::new();
    for entry in entries {
        let rivals: Vec<&str> = arms.others.iter().map(|arm| arm.name.as_str()).collect();
        if !rivals.contains(&entry.key.as_str()) {
            let near = closest(&entry.key, rivals.iter().copied().chain(QUANTITIES));
            let message = format!("is neither a quantity nor an arm beside the baseline{}", did_you_mean(near));
            let help = format!("allowed: {}, or for an arm: {}", list(QUANTITIES), list(&rivals));
            f.add(entry.key_span.clone(), &entry.node.path, message, help);
            continue;
        }
        stated.extend(verdicts(&entry.node, of_file, f).map(|expect| (entry.key.clone(), expect)));
    }
    (stated.len() == entries.len()).then_some(Expect::Arms(stated))
}

fn verdicts(node: &Node, of_file: bool, f: &mut Findings) -> Option<Expect> {
    match &node.value {
        Value::Text(_) => node.word(f, &WORDS).map(Expect::Verdict),
        Value::Table(entries) if !entries.is_empty() => {
            let mut keys = Keys::of(node, f, ALLOWED)?;
            let [p50, p95, processor] = QUANTITIES.map(|quantity| keys.get(quantity));
            keys.finish(f);
            if let Some(node) = processor.filter(|_| !of_file) {
                node.fault(
                    f,
                    "processor time is of all transactions together",
                    "state it at the top of the file, before the first [[transaction]]",
                );
                return None;
            }
            let mut read = |node: Option<&Node>| match node {
                Some(node) => node.word(f, &WORDS).map(Some),
                None => Some(None),
            };
            let (p50, p95, processor) = (read(p50), read(p95), read(processor));
            Some(Expect::Quantities(QuantityExpectations { p50: p50?, p95: p95?, processor: processor? }))
        }
        _ => {
            node.not_allowed(f, ALLOWED);
            None
        }
    }
}

/// Faults expectations of statements that no verdict will be about. `stated` has each name, and where the expectation stands.
pub fn of_judged_statements(transaction: &Transaction, stated: &[(String, &Node)], f: &mut Findings, arms: &Arms<ArmSpec>) {
    let help = "state it of the transaction: expect and expect-why below [[transaction]]";
    for (name, node) in stated {
        let mut of_name = transaction.statements.values().flatten().filter(|statement| statement.name == *name);
        let stated = transaction.statements.values().flatten().filter(|one| one.name == *name).find_map(|one| one.expected.as_ref());
        let judged = |arm: Arm| transaction.comparable_by_statement(arm);
        let is_of = |arm: Arm| match stated.map(|stated| &stated.expect) {
            Some(Expect::Arms(named)) => named.contains_key(&arms.get(arm).name),
            _ => false,
        };
        let unjudged: Vec<&str> = arms.rivals().filter(|arm| is_of(*arm) && !judged(*arm)).map(|arm| arms.get(arm).name.as_str()).collect();
        if !unjudged.is_empty() {
            let message =
                format!("{name} is not judged by itself on {}, as statements or requests differ from the baseline's", list(unjudged));
            node.fault(f, message, help);
        } else if !arms.rivals().any(judged) {
            let message = format!("{name} is not judged by itself, as the arms' statements or requests differ");
            node.fault(f, message, help);
        } else if of_name.any(|statement| statement.controls_transaction) {
            node.fault(f, format!("{name} begins or ends a transaction, and is not judged"), help);
        }
    }
}

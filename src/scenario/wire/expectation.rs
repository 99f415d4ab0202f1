//! `expect` and `expect-why`: what the author expects of a scenario, a transaction or a statement.

use super::super::{Expected, Transaction};
use crate::diagnostic::Findings;
use crate::diagnostic::document::{Keys, Node, Value};
use crate::record::{Expect, Expectation, QuantityExpectations, Side};

const WORDS: [(&str, Expectation); 3] =
    [("improved", Expectation::Improved), ("regressed", Expectation::Regressed), ("unchanged", Expectation::Unchanged)];
const ALLOWED: &str = "\"improved\", \"regressed\", \"unchanged\", or one of them for a quantity (p50, p95, processor): { p50 = \"improved\", p95 = \"regressed\" }";

/// Reads both keys of a table; one without the other becomes a finding. The table of the whole file may speak of processor time.
pub fn expectation(keys: &mut Keys, table: &Node, f: &mut Findings) -> Option<Expected> {
    let expect = keys.get("expect");
    let why = keys.get("expect-why");
    let path = |key: &str| if table.path.is_empty() { key.to_owned() } else { format!("{}.{key}", table.path) };
    match (expect, why) {
        (Some(expect), Some(why)) => {
            let expect = verdicts(expect, table.path.is_empty(), f);
            let why = why.filled(f, "the reason, as text");
            Some(Expected { expect: expect?, why: why?.trim().to_owned() })
        }
        (Some(expect), None) => {
            verdicts(expect, table.path.is_empty(), f);
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

fn verdicts(node: &Node, of_file: bool, f: &mut Findings) -> Option<Expect> {
    match &node.value {
        Value::Text(_) => node.word(f, &WORDS).map(Expect::Verdict),
        Value::Table(entries) if !entries.is_empty() => {
            let mut keys = Keys::of(node, f, ALLOWED)?;
            let [p50, p95, processor] = ["p50", "p95", "processor"].map(|quantity| keys.get(quantity));
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
pub fn of_judged_statements(transaction: &Transaction, stated: &[(String, &Node)], f: &mut Findings) {
    let help = "state it of the transaction: expect and expect-why below [[transaction]]";
    for (name, node) in stated {
        let of_name = |side: Side| transaction.statements.get(side).iter().filter(|statement| statement.name == *name);
        if !transaction.comparable_by_statement() {
            let message = format!("{name} is not judged by itself, as the sides' statements or requests differ");
            node.fault(f, message, help);
        } else if Side::BOTH.into_iter().flat_map(of_name).any(|statement| statement.controls_transaction) {
            node.fault(f, format!("{name} begins or ends a transaction, and is not judged"), help);
        }
    }
}

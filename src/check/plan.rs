//! Whether a plan has what a scenario says it has.

use crate::record::{Arm, CheckKind, CheckOutcome, CheckRecord};
use crate::scenario::Statement;

/// The check of a statement's plan on an arm; `None` if the scenario says nothing of it. Nothing that it finds is more than a warning.
pub fn check(scenario: &str, arm: Arm, name: &str, statement: &Statement, plan: &str) -> Option<CheckRecord> {
    if statement.plan_has.is_empty() && statement.plan_lacks.is_empty() {
        return None;
    }
    // In quotes: a text that is the beginning of a name would look cut off.
    let missing = statement.plan_has.iter().filter(|wanted| !plan.contains(wanted.as_str()));
    let missing = missing.map(|wanted| format!("the plan lacks \"{wanted}\""));
    let unwanted = statement.plan_lacks.iter().filter(|unwanted| plan.contains(unwanted.as_str()));
    let findings: Vec<String> = missing.chain(unwanted.map(|unwanted| format!("the plan must not hold \"{unwanted}\""))).collect();
    let outcome = if findings.is_empty() { CheckOutcome::Passed } else { CheckOutcome::Warning };
    let (scenario, subject) = (scenario.to_owned(), name.to_owned());
    Some(CheckRecord { scenario, kind: CheckKind::Plan, subject, arm: Some(arm), cases: 1, outcome, findings })
}

//! How much of what a search should find each side found: what must stand beside its speed.

use std::collections::BTreeMap;

use crate::judge::ScenarioComparison;
use crate::record::{CheckKind, CheckRecord, Side, Sides};

/// Recall that differs by no more than this is the same.
const SAME: f64 = 0.01;
/// Said of a check that some rule judges.
const JUDGED: &str = "asks for";

/// Recall of both sides, where it differs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    found: Sides<f64>,
}

impl Shift {
    /// After "is 1.3× slower and".
    pub fn sentence(&self) -> String {
        format!("finds {:.2} of the nearest instead of {:.2}", self.found.after, self.found.before)
    }

    /// Where there is little room.
    pub fn brief(&self) -> String {
        format!("recall {:.2} → {:.2}", self.found.before, self.found.after)
    }
}

/// The recall of the search whose sides differ most, `None` if they find the same: the worst class of each side, or, where those are alike,
/// the class that differs most.
pub fn shift(one: &ScenarioComparison) -> Option<Shift> {
    let (before, after) = (by_class(one, Side::Before), by_class(one, Side::After));
    let mut most: Option<(f64, Shift)> = None;
    for (statement, classes) in &before {
        let Some(others) = after.get(statement) else { continue };
        let both = classes.iter().filter_map(|(class, before)| Some(Sides { before: *before, after: *others.get(class)? }));
        let both: Vec<Sides<f64>> = both.filter(|found| found.before.is_finite() && found.after.is_finite()).collect();
        let apart = |found: &Sides<f64>| (found.after - found.before).abs();
        let Some(widest) = both.iter().copied().max_by(|a, b| apart(a).total_cmp(&apart(b))) else { continue };
        if apart(&widest) <= SAME + 1e-9 || most.as_ref().is_some_and(|(other, _)| *other >= apart(&widest)) {
            continue;
        }
        let worst = |read: fn(&Sides<f64>) -> f64| both.iter().map(read).fold(f64::INFINITY, f64::min);
        let worst = Sides { before: worst(|found| found.before), after: worst(|found| found.after) };
        let found = if apart(&worst) > SAME { worst } else { widest };
        most = Some((apart(&widest), Shift { found }));
    }
    most.map(|(_, shift)| shift)
}

/// Recall by statement and class of tenants. Checks come first and are always there; plans are only taken where something was timed.
fn by_class(one: &ScenarioComparison, side: Side) -> BTreeMap<&str, BTreeMap<&str, f64>> {
    let mut found: BTreeMap<&str, BTreeMap<&str, f64>> = BTreeMap::new();
    for check in one.checks.iter().filter(|check| check.kind == CheckKind::Recall && check.side == Some(side)) {
        let shares = check.findings.iter().filter_map(|finding| finding.split_once("found: ")).flat_map(|(_, shares)| shares.split(", "));
        let shares = shares.filter_map(|share| share.rsplit_once(' ')).filter_map(|(class, share)| Some((class, share.parse().ok()?)));
        found.entry(&check.subject).or_default().extend(shares);
    }
    for plan in one.evidence.iter().filter(|plan| plan.side == side && !plan.recall.is_empty()) {
        found.entry(&plan.statement).or_default().extend(plan.recall.iter().map(|(class, share)| (class.as_str(), *share)));
    }
    found
}

/// Whether a check of recall only shows: no rule says how much must be found.
pub fn only_shown(check: &CheckRecord) -> bool {
    check.kind == CheckKind::Recall && !check.findings.iter().any(|finding| finding.contains(JUDGED))
}

//! How much of what a search should find each arm found: what must stand beside its speed.

use std::collections::BTreeMap;

use crate::judge::{Both, ScenarioComparison};
use crate::record::{Arm, CheckKind, CheckRecord};

/// Recall that differs by no more than this is the same.
const SAME: f64 = 0.01;
/// Said of a check that some rule judges.
const JUDGED: &str = "asks for";

/// Recall of an arm and the baseline, where it differs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    found: Both<f64>,
}

impl Shift {
    /// After "is 1.3× slower and".
    pub fn sentence(&self) -> String {
        format!("finds {:.2} of the nearest instead of {:.2}", self.found.arm, self.found.baseline)
    }

    /// Where there is little room.
    pub fn brief(&self) -> String {
        format!("recall {:.2} → {:.2}", self.found.baseline, self.found.arm)
    }
}

/// The arm whose recall differs most from the baseline's; `None` if all find the same.
pub fn widest(one: &ScenarioComparison) -> Option<(Arm, Shift)> {
    let apart = |(_, shift): &(Arm, Shift)| (shift.found.arm - shift.found.baseline).abs();
    let shifts = one.scenario.arms.rivals().filter_map(|arm| Some((arm, shift(one, arm)?)));
    shifts.max_by(|a, b| apart(a).total_cmp(&apart(b)))
}

/// The recall of the search in which an arm and the baseline differ most, `None` if they find the same: the worst class of each, or, where
/// those are alike, the class that differs most.
pub fn shift(one: &ScenarioComparison, arm: Arm) -> Option<Shift> {
    let (baseline, of_arm) = (by_class(one, Arm::BASELINE), by_class(one, arm));
    let mut most: Option<(f64, Shift)> = None;
    for (statement, classes) in &baseline {
        let Some(others) = of_arm.get(statement) else { continue };
        let both = classes.iter().filter_map(|(class, baseline)| Some(Both { baseline: *baseline, arm: *others.get(class)? }));
        let both: Vec<Both<f64>> = both.filter(|found| found.baseline.is_finite() && found.arm.is_finite()).collect();
        let apart = |found: &Both<f64>| (found.arm - found.baseline).abs();
        let Some(widest) = both.iter().copied().max_by(|a, b| apart(a).total_cmp(&apart(b))) else { continue };
        if apart(&widest) <= SAME + 1e-9 || most.as_ref().is_some_and(|(other, _)| *other >= apart(&widest)) {
            continue;
        }
        let worst = |read: fn(&Both<f64>) -> f64| both.iter().map(read).fold(f64::INFINITY, f64::min);
        let worst = Both { baseline: worst(|found| found.baseline), arm: worst(|found| found.arm) };
        let found = if apart(&worst) > SAME { worst } else { widest };
        most = Some((apart(&widest), Shift { found }));
    }
    most.map(|(_, shift)| shift)
}

/// Recall by statement and class of tenants. Checks come first and are always there; plans are only taken where something was timed.
fn by_class(one: &ScenarioComparison, arm: Arm) -> BTreeMap<&str, BTreeMap<&str, f64>> {
    let mut found: BTreeMap<&str, BTreeMap<&str, f64>> = BTreeMap::new();
    for check in one.checks.iter().filter(|check| check.kind == CheckKind::Recall && check.arm == Some(arm)) {
        let shares = check.findings.iter().filter_map(|finding| finding.split_once("found: ")).flat_map(|(_, shares)| shares.split(", "));
        let shares = shares.filter_map(|share| share.rsplit_once(' ')).filter_map(|(class, share)| Some((class, share.parse().ok()?)));
        found.entry(&check.subject).or_default().extend(shares);
    }
    for plan in one.evidence.iter().filter(|plan| plan.arm == arm && !plan.recall.is_empty()) {
        found.entry(&plan.statement).or_default().extend(plan.recall.iter().map(|(class, share)| (class.as_str(), *share)));
    }
    found
}

/// Whether a check of recall only shows: no rule says how much must be found.
pub fn only_shown(check: &CheckRecord) -> bool {
    check.kind == CheckKind::Recall && !check.findings.iter().any(|finding| finding.contains(JUDGED))
}

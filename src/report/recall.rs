//! How much of what a search should find each arm found: what must stand beside its speed.

use std::collections::BTreeMap;

use crate::judge::{Both, ScenarioComparison};
use crate::record::{Arm, CheckKind, CheckRecord};

/// Recall that differs by no more than this is the same.
const SAME: f64 = 0.01;
/// Said of a check that some rule judges.
const JUDGED: &str = "asks for";

/// Recall of an arm and the baseline, where it differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Shift {
    found: Both<f64>,
    /// The class of tenants that it is of, where there are several.
    class: Option<String>,
}

impl Shift {
    /// After "is 1.3× slower and".
    pub fn sentence(&self) -> String {
        let of = self.class.as_ref().map(|class| format!(" for {class} tenants")).unwrap_or_default();
        format!("finds {:.2} of the nearest instead of {:.2}{of}", self.found.arm, self.found.baseline)
    }

    /// Where there is little room.
    pub fn brief(&self) -> String {
        format!("recall {:.2} → {:.2}", self.found.baseline, self.found.arm)
    }

    fn apart(&self) -> f64 {
        (self.found.arm - self.found.baseline).abs()
    }
}

/// The arm whose recall differs most from the baseline's; `None` if all find the same.
pub fn widest(one: &ScenarioComparison) -> Option<(Arm, Shift)> {
    let shifts = one.scenario.arms.rivals().filter_map(|arm| Some((arm, shift(one, arm)?)));
    shifts.max_by(|(_, a), (_, b)| a.apart().total_cmp(&b.apart()))
}

/// The recall of an arm and the baseline in the search and the class of tenants in which they differ most; `None` if they find the same.
pub fn shift(one: &ScenarioComparison, arm: Arm) -> Option<Shift> {
    let (baseline, of_arm) = (by_class(one, Arm::BASELINE), by_class(one, arm));
    let mut shifts = Vec::new();
    for (statement, classes) in &baseline {
        let Some(others) = of_arm.get(statement) else { continue };
        for (class, baseline) in classes {
            let Some(arm) = others.get(class).filter(|arm| arm.is_finite() && baseline.is_finite()) else { continue };
            let class = (classes.len() > 1).then(|| (*class).to_owned());
            shifts.push(Shift { found: Both { baseline: *baseline, arm: *arm }, class });
        }
    }
    shifts.into_iter().filter(|shift| shift.apart() > SAME + 1e-9).max_by(|a, b| a.apart().total_cmp(&b.apart()))
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

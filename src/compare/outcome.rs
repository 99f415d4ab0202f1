//! What a comparison means: exit codes.

use super::group::{Description, Group};
use super::series::Pairs;
use super::{Gate, Metric, Outcome, ScenarioComparison, Standing, StatedExpectation, Verdict};
use crate::record::{Accounting, CheckOutcome, Line, Record, Side, Sides, StopReason};

/// Share of failed transactions from which a side's times speak for too few of them.
pub(super) const MOST_FAILED: f64 = 0.01;

impl Outcome {
    /// The exit code of a run with this outcome. `inconclusive_fails` is `--inconclusive=fail`.
    pub fn exit_code(self, inconclusive_fails: bool) -> i32 {
        match self {
            Outcome::Interrupted => 130,
            Outcome::Infrastructure => 5,
            Outcome::WrongAnswers => 6,
            Outcome::Invalid => 4,
            Outcome::Surprise => 1,
            Outcome::Inconclusive if inconclusive_fails => 3,
            Outcome::Inconclusive | Outcome::Passed => 0,
        }
    }
}

/// The worst of what holds of a scenario.
///
/// SQL that PostgreSQL rejected makes a scenario invalid: neither faster nor slower, and no fault of server or machine.
pub(super) fn of_scenario(group: &Group<'_>, pairs: &Pairs<'_>, metrics: &[Metric], expectations: &[StatedExpectation]) -> Outcome {
    let stopped = match group.stop {
        StopReason::Interrupted => Outcome::Interrupted,
        StopReason::Infrastructure { .. } => Outcome::Infrastructure,
        StopReason::ChecksFailed => Outcome::WrongAnswers,
        StopReason::Rejected { .. } | StopReason::NotOffered => Outcome::Invalid,
        StopReason::ChecksOnly => Outcome::Passed,
        // A record that contradicts itself.
        StopReason::Precise | StopReason::Pairs if pairs.kept.is_empty() => Outcome::Invalid,
        StopReason::Precise | StopReason::Pairs | StopReason::Attempts | StopReason::Budget => match undecided(metrics) {
            true => Outcome::Inconclusive,
            false => Outcome::Passed,
        },
    };
    let checked = match group.checks.iter().any(|check| check.outcome == CheckOutcome::Failed) {
        true => Outcome::WrongAnswers,
        false => Outcome::Passed,
    };
    let usable = match unusable(group) {
        true => Outcome::Invalid,
        false => Outcome::Passed,
    };
    let failed = match failing(failed_share(pairs)) {
        Failing::Both => Outcome::Invalid,
        Failing::After => Outcome::Surprise,
        Failing::Neither | Failing::Before => Outcome::Passed,
    };
    let surprises = gated(metrics).any(|metric| metric.standing == Some(Standing::Surprise));
    let contradicted = expectations.iter().any(|stated| stated.met == Some(false));
    let judged = if surprises || contradicted { Outcome::Surprise } else { Outcome::Passed };
    [stopped, checked, usable, failed, judged].into_iter().min().unwrap_or(Outcome::Invalid)
}

/// Which sides fail so often that times of what succeeded say little.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Failing {
    Neither,
    Before,
    After,
    Both,
}

pub(super) fn failing(share: Sides<f64>) -> Failing {
    match (share.before > MOST_FAILED, share.after > MOST_FAILED) {
        (false, false) => Failing::Neither,
        (true, false) => Failing::Before,
        (false, true) => Failing::After,
        // Both fail, but the candidate makes it much worse.
        (true, true) if share.after > 2.0 * share.before => Failing::After,
        (true, true) => Failing::Both,
    }
}

/// Share of finished transactions that failed, over kept pairs.
pub(super) fn failed_share(pairs: &Pairs<'_>) -> Sides<f64> {
    let of_side = |side: Side| {
        let sum = |count: fn(&Accounting) -> u128| pairs.kept_blocks(side).map(|block| count(&block.accounting)).sum::<u128>();
        sum(|accounting| accounting.failed()) as f64 / sum(|accounting| accounting.answered()).max(1) as f64
    };
    Sides { before: of_side(Side::Before), after: of_side(Side::After) }
}

/// Takes back verdicts that the pairs do not bear out. A side that fails does less work: that it is faster is then nothing that was shown. And
/// where pairs were discarded for what befell one side, that side is not the same as the other.
pub(super) fn take_back(mut metrics: Vec<Metric>, pairs: &Pairs<'_>) -> Vec<Metric> {
    let failing = failing(failed_share(pairs));
    let lopsided = pairs.lopsided().is_some();
    let survivors = |verdict: Verdict| match failing {
        Failing::Neither => false,
        Failing::Before => verdict == Verdict::Regressed,
        Failing::After => verdict != Verdict::Regressed,
        Failing::Both => true,
    };
    for metric in &mut metrics {
        let why = match metric.verdict {
            verdict if survivors(verdict) => "a side fails, and its times are those of the transactions that did not",
            Verdict::Unchanged if lopsided => "more pairs were discarded for one side than chance would",
            _ => continue,
        };
        (metric.verdict, metric.taken_back) = (Verdict::Inconclusive, Some(why));
    }
    metrics
}

/// Whether something that should decide does not, or nothing decides at all.
fn undecided(metrics: &[Metric]) -> bool {
    gated(metrics).any(|metric| metric.verdict == Verdict::Inconclusive) || gated(metrics).next().is_none()
}

fn unusable(group: &Group<'_>) -> bool {
    let undescribed = group.description == Description::Missing && !group.blocks.is_empty();
    undescribed || group.blocks.iter().any(|block| !block.accounting.balances())
}

pub(super) fn gated(metrics: &[Metric]) -> impl Iterator<Item = &Metric> {
    metrics.iter().filter(|metric| metric.gate == Gate::Gated)
}

/// The worst of the scenarios' outcomes; a run that has no end, or was interrupted, is interrupted, and one without scenarios is invalid.
pub(super) fn of_run(record: &Record, scenarios: &[ScenarioComparison]) -> Outcome {
    let ended = record.lines.iter().any(|line| matches!(line, Line::End(end) if !end.interrupted));
    if !ended {
        return Outcome::Interrupted;
    }
    scenarios.iter().map(|scenario| scenario.outcome).min().unwrap_or(Outcome::Invalid)
}

//! What a comparison means: exit codes.

use super::group::{Description, Group};
use super::series::Pairs;
use super::{Gate, Metric, Outcome, ScenarioComparison, Standing, StatedExpectation, Verdict};
use crate::record::{BlockRecord, CheckOutcome, Line, Record, Side, Sides, StopReason};
use crate::stats::sign_test;

/// Share of failed transactions from which a side's times speak for too few of them.
pub(super) const MOST_FAILED: f64 = 0.01;
/// Share of failed transactions that is no chance, if each pair has it on the same side.
const MOSTLY_FAILED: f64 = 0.5;
/// Level of the test whether one side fails in more pairs than chance would make it.
const FAILING_LEVEL: f64 = 0.01;

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
    let failed = match failing(pairs) {
        Failing::Both { by_load: false } => Outcome::Invalid,
        Failing::One { side: Side::After, certain: true } => Outcome::Surprise,
        Failing::Both { by_load: true } | Failing::One { .. } | Failing::Neither => Outcome::Passed,
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
    /// This side alone, or much more often than the other.
    One {
        side: Side,
        /// Whether that is more than chance: it fails more often in more pairs than a coin would make it.
        certain: bool,
    },
    Both {
        /// Whether timeouts and conflicts are why, which come and go with the load and the machine.
        by_load: bool,
    },
}

pub(super) fn failing(pairs: &Pairs<'_>) -> Failing {
    let share = failed_share(pairs);
    let certain = |side: Side| {
        let worse = |side: Side| {
            let shares = pairs.kept.iter().map(|pair| pair.map(|block| share_of([*block], given_up)));
            shares.filter(|shares| shares.get(side) > shares.get(side.other())).count() as u64
        };
        let (here, there) = (worse(side), worse(side.other()));
        // So few pairs cannot show it by the test; that most transactions fail in each of them is no chance either.
        let always = there == 0 && here == pairs.kept.len() as u64 && *share.get(side) > MOSTLY_FAILED;
        always || sign_test(here, here + there) <= FAILING_LEVEL
    };
    match (share.before > MOST_FAILED, share.after > MOST_FAILED) {
        (false, false) => Failing::Neither,
        (true, false) => Failing::One { side: Side::Before, certain: certain(Side::Before) },
        (false, true) => Failing::One { side: Side::After, certain: certain(Side::After) },
        // Both fail, but the candidate makes it much worse.
        (true, true) if share.after > 2.0 * share.before && certain(Side::After) => Failing::One { side: Side::After, certain: true },
        (true, true) => {
            let refused = |side: Side| share_of(pairs.kept_blocks(side), refused) > MOST_FAILED;
            Failing::Both { by_load: !refused(Side::Before) && !refused(Side::After) }
        }
    }
}

/// Share of transactions that failed, over kept pairs.
pub(super) fn failed_share(pairs: &Pairs<'_>) -> Sides<f64> {
    let of_side = |side: Side| share_of(pairs.kept_blocks(side), given_up);
    Sides { before: of_side(Side::Before), after: of_side(Side::After) }
}

/// Those of some blocks' transactions that `count` counts, of all that were not dropped; 0 if there are none.
fn share_of<'a>(blocks: impl IntoIterator<Item = &'a BlockRecord>, count: fn(&BlockRecord) -> u128) -> f64 {
    let begun = |block: &BlockRecord| block.accounting.answered() + u128::from(block.accounting.in_flight);
    let (some, all) = blocks.into_iter().fold((0, 0), |(some, all), block| (some + count(block), all + begun(block)));
    some as f64 / all.max(1) as f64
}

/// Transactions whose caller was told of a failure, or had no answer when draining was given up.
fn given_up(block: &BlockRecord) -> u128 {
    block.accounting.failed() + u128::from(block.accounting.in_flight)
}

/// Transactions that PostgreSQL refused for what they are: not for a conflict with another one, and not for the time that they took.
fn refused(block: &BlockRecord) -> u128 {
    let by_load = |code: &str| code.starts_with("40") || ["55P03", "57014"].contains(&code);
    let excused = block.errors.iter().filter(|(code, _)| by_load(code)).map(|(_, times)| u128::from(times.count())).sum();
    u128::from(block.accounting.error).saturating_sub(excused)
}

/// Takes back verdicts that the pairs do not bear out. A side that fails does less work: that it is faster is then nothing that was shown. And
/// where pairs were discarded for what befell one side, that side is not the same as the other.
pub(super) fn take_back(mut metrics: Vec<Metric>, pairs: &Pairs<'_>) -> Vec<Metric> {
    let failing = failing(pairs);
    let lopsided = pairs.lopsided().is_some();
    let survivors = |verdict: Verdict| match failing {
        Failing::Neither => false,
        Failing::One { side: Side::Before, .. } => verdict == Verdict::Regressed,
        Failing::One { side: Side::After, .. } => verdict != Verdict::Regressed,
        Failing::Both { .. } => true,
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

//! What a comparison means: exit codes.

use super::group::{Description, Group};
use super::series::{Both, Pairs};
use super::{Gate, Metric, Outcome, Rival, ScenarioComparison, Standing, StatedExpectation, Verdict};
use crate::record::{BlockRecord, CheckOutcome, Line, Record, StopReason};
use crate::stats::sign_test;

/// Share of failed transactions from which an arm's times speak for too few of them.
pub(super) const MOST_FAILED: f64 = 0.01;
/// Share of failed transactions that is no chance, if each pair has it on the same arm.
const MOSTLY_FAILED: f64 = 0.5;
/// Level of the test whether one of two fails in more pairs than chance would make it.
const FAILING_LEVEL: f64 = 0.01;

impl Outcome {
    /// The exit code of a run with this outcome. `inconclusive_fails` is `--inconclusive fail`.
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
pub(super) fn of_scenario(group: &Group<'_>, rivals: &[Rival<'_>], metrics: &[Metric], expectations: &[StatedExpectation]) -> Outcome {
    let stopped = match group.stop {
        StopReason::Interrupted => Outcome::Interrupted,
        StopReason::Infrastructure { .. } => Outcome::Infrastructure,
        StopReason::ChecksFailed => Outcome::WrongAnswers,
        StopReason::Rejected { .. } | StopReason::NotOffered => Outcome::Invalid,
        StopReason::ChecksOnly => Outcome::Passed,
        // A record that contradicts itself.
        StopReason::Precise | StopReason::Rounds if rivals.iter().any(|rival| rival.pairs.kept.is_empty()) => Outcome::Invalid,
        StopReason::Precise | StopReason::Rounds | StopReason::Attempts | StopReason::Budget => match undecided(metrics, rivals) {
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
    let failed = rivals.iter().map(|rival| match rival.failing {
        Failing::Both { by_load: false } => Outcome::Invalid,
        Failing::Arm { certain: true } => Outcome::Surprise,
        Failing::Both { by_load: true } | Failing::Arm { certain: false } | Failing::Baseline | Failing::Neither => Outcome::Passed,
    });
    let surprises = gated(metrics).any(|metric| metric.standing == Some(Standing::Surprise));
    let contradicted = expectations.iter().any(|stated| stated.met == Some(false));
    let judged = if surprises || contradicted { Outcome::Surprise } else { Outcome::Passed };
    [stopped, checked, usable, judged].into_iter().chain(failed).min().unwrap_or(Outcome::Invalid)
}

/// Which of two fail so often that times of what succeeded say little.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Failing {
    Neither,
    /// The baseline alone.
    Baseline,
    /// The arm alone, or much more often than the baseline.
    Arm {
        /// Whether that is more than chance: it fails more often in more pairs than a coin would make it.
        certain: bool,
    },
    Both {
        /// Whether timeouts and conflicts are why, which come and go with the load and the machine.
        by_load: bool,
    },
}

pub(super) fn failing(pairs: &Pairs<'_>) -> Failing {
    let share = |count: fn(&BlockRecord) -> u128| Both {
        baseline: share_of(pairs.kept.iter().map(|pair| pair.baseline), count),
        arm: share_of(pairs.kept.iter().map(|pair| pair.arm), count),
    };
    let failed = share(given_up);
    let certain = || {
        let shares = || pairs.kept.iter().map(|pair| pair.map(|block| share_of([*block], given_up)));
        let worse = shares().filter(|share| share.arm > share.baseline).count() as u64;
        let better = shares().filter(|share| share.arm < share.baseline).count() as u64;
        // So few pairs cannot show it by the test; that most transactions fail in each of them is no chance either.
        let always = better == 0 && worse == pairs.kept.len() as u64 && failed.arm > MOSTLY_FAILED;
        always || sign_test(worse, worse + better) <= FAILING_LEVEL
    };
    match (failed.baseline > MOST_FAILED, failed.arm > MOST_FAILED) {
        (false, false) => Failing::Neither,
        (true, false) => Failing::Baseline,
        (false, true) => Failing::Arm { certain: certain() },
        // Both fail, but the arm makes it much worse.
        (true, true) if failed.arm > 2.0 * failed.baseline && certain() => Failing::Arm { certain: true },
        (true, true) => {
            let refused = share(refused);
            Failing::Both { by_load: refused.baseline <= MOST_FAILED && refused.arm <= MOST_FAILED }
        }
    }
}

/// Share of transactions that failed, over these blocks.
pub(super) fn failed_share<'a>(blocks: impl IntoIterator<Item = &'a BlockRecord>) -> f64 {
    share_of(blocks, given_up)
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

/// Takes back verdicts that the pairs do not bear out. An arm that fails does less work: that it is faster is then nothing that was shown. And
/// where pairs were discarded for what befell one of the two, that one is not the same as the other.
pub(super) fn take_back(mut metrics: Vec<Metric>, rivals: &[Rival<'_>]) -> Vec<Metric> {
    for metric in &mut metrics {
        let Some(rival) = rivals.iter().find(|rival| rival.pairs.arm == metric.arm) else { continue };
        let survivors = match rival.failing {
            Failing::Neither => false,
            Failing::Baseline => metric.verdict == Verdict::Regressed,
            Failing::Arm { .. } => metric.verdict != Verdict::Regressed,
            Failing::Both { .. } => true,
        };
        let why = match metric.verdict {
            _ if survivors => "transactions fail on one arm, and its times are those of the ones that did not",
            Verdict::Unchanged if rival.lopsided.is_some() => "more pairs were discarded for one arm than chance would",
            _ => continue,
        };
        (metric.verdict, metric.taken_back) = (Verdict::Inconclusive, Some(why));
    }
    metrics
}

/// Whether something that should decide does not, or nothing decides at all of some arm.
fn undecided(metrics: &[Metric], rivals: &[Rival<'_>]) -> bool {
    let open = gated(metrics).any(|metric| metric.verdict == Verdict::Inconclusive);
    let silent = |rival: &Rival<'_>| !gated(metrics).any(|metric| metric.arm == rival.pairs.arm);
    open || rivals.is_empty() || rivals.iter().any(silent)
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

//! The run in a sentence or two: its outcome, and beside it what a reader must not miss though it is neither good nor bad.

use crate::judge::{Comparison, Gate, Metric, Outcome, ScenarioComparison, Standing, StatedExpectation, Verdict};
use crate::record::{Arm, CheckKind, CheckOutcome, Mode, StopReason};

use super::expectations::{expected_to, subject};
use super::format::change;
use super::words::{Tone, gated, named, plural, tally};
use super::{Run, recall};

/// Scenarios that a sentence names; more are counted.
const NAMED: usize = 3;

/// The run in few words.
pub struct Headline {
    /// Of the outcome, and only of it.
    pub tone: Tone,
    pub outcome: String,
    /// What searches find now; nothing where there is nothing to add.
    pub aside: Option<String>,
}

/// The run in few words.
pub fn headline(run: &Run<'_>) -> Headline {
    let comparison = run.comparison;
    let tone = match comparison.outcome {
        Outcome::Passed if comparison.gated_metrics == 0 => Tone::Passed,
        Outcome::Passed if tally(comparison, Verdict::Improved) > 0 => Tone::Improved,
        Outcome::Passed => Tone::Unchanged,
        Outcome::Inconclusive | Outcome::Interrupted => Tone::Inconclusive,
        Outcome::Surprise => Tone::Regressed,
        Outcome::Infrastructure | Outcome::WrongAnswers | Outcome::Invalid => Tone::Failed,
    };
    let mut sentences = Vec::new();
    if run.header.aa {
        sentences.push("A/A run, every arm is the baseline.".to_owned());
    }
    sentences.push(sentence(run, comparison.outcome));
    // The worst decides the exit code, but must not hide the others.
    let others = [Outcome::Infrastructure, Outcome::WrongAnswers, Outcome::Invalid, Outcome::Surprise];
    let found = |outcome: &Outcome| *outcome != comparison.outcome && of(comparison, *outcome).next().is_some();
    sentences.extend(others.into_iter().filter(found).map(|outcome| sentence(run, outcome)));
    // Those that surprised have said so already.
    let others = comparison.scenarios.iter().filter(|one| one.outcome != Outcome::Surprise);
    let told: Vec<String> = others.filter_map(recall_changed).collect();
    let aside = (!told.is_empty()).then(|| format!("{}.", names(told, "; ")));
    Headline { tone, outcome: sentences.join(" "), aside }
}

/// The exit code of a run that came out so, and what it means.
pub fn exit(outcome: Outcome, inconclusive_fails: bool) -> String {
    let meaning = match outcome {
        Outcome::Interrupted => "interrupted",
        Outcome::Infrastructure => "server or machine failed",
        Outcome::WrongAnswers => "wrong answers, a leak, or a search that finds too little",
        Outcome::Invalid => "invalid: not everything can be judged",
        Outcome::Surprise => "regressed, or not as expected",
        Outcome::Inconclusive if inconclusive_fails => "nothing unexpected, but not everything decided",
        Outcome::Inconclusive => "nothing unexpected, but not everything decided; 3 with --inconclusive fail",
        Outcome::Passed => "passed",
    };
    format!("{} ({meaning})", outcome.exit_code(inconclusive_fails))
}

fn sentence(run: &Run<'_>, outcome: Outcome) -> String {
    let comparison = run.comparison;
    let concerned = || match names(of(comparison, outcome).map(|one| one.scenario.scenario.clone()).collect(), ", ") {
        names if names.is_empty() => String::new(),
        names => format!(" in {names}"),
    };
    match outcome {
        Outcome::Interrupted => "Interrupted: shown is what was measured until then.".to_owned(),
        Outcome::Infrastructure => format!("The server or the machine failed{}.", concerned()),
        Outcome::WrongAnswers => format!("{}{}. A faster wrong answer is a failure.", wrong(comparison), concerned()),
        Outcome::Invalid => format!("Invalid: {}{}.", invalid(comparison), concerned()),
        Outcome::Surprise => surprises(comparison),
        Outcome::Inconclusive => match (tally(comparison, Verdict::Inconclusive), gated(comparison).count()) {
            (0, _) => format!("{}, but not everything could be decided.", regressions(comparison)),
            (open, all) => format!(
                "{}, but {open} of {} {} undecided.",
                regressions(comparison),
                plural(all as u64, "gated metric"),
                if open == 1 { "is" } else { "are" }
            ),
        },
        Outcome::Passed if run.header.mode == Mode::ChecksOnly => "All checks passed; nothing was timed.".to_owned(),
        Outcome::Passed => format!("Passed. {}.", regressions(comparison)),
    }
}

fn wrong(comparison: &Comparison) -> &'static str {
    let checks = of(comparison, Outcome::WrongAnswers).flat_map(|one| &one.checks);
    let mut failed = checks.filter(|check| check.outcome == CheckOutcome::Failed).peekable();
    let of_recall = failed.peek().is_some() && failed.all(|check| check.kind == CheckKind::Recall);
    if of_recall { "A search finds less than it must" } else { "Wrong answers or a leak" }
}

fn invalid(comparison: &Comparison) -> &'static str {
    let rejected = |one: &ScenarioComparison| matches!(one.stop, StopReason::Rejected { .. });
    let mut concerned = of(comparison, Outcome::Invalid).peekable();
    if concerned.peek().is_some() && concerned.all(rejected) { "PostgreSQL rejected SQL" } else { "too little of the run can be used" }
}

fn regressions(comparison: &Comparison) -> &'static str {
    if tally(comparison, Verdict::Regressed) == 0 { "No regression was found" } else { "Only what was expected to regress did so" }
}

fn of(comparison: &Comparison, outcome: Outcome) -> impl Iterator<Item = &ScenarioComparison> {
    comparison.scenarios.iter().filter(move |one| one.outcome == outcome)
}

/// The first few, and how many more.
fn names(mut all: Vec<String>, separator: &str) -> String {
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    let told = all.join(separator);
    if more == 0 { told } else { format!("{told} and {more} more") }
}

/// Regressions that nobody expected, then stated expectations that did not come out.
fn surprises(comparison: &Comparison) -> String {
    let regressed: Vec<String> = of(comparison, Outcome::Surprise).filter_map(regression).collect();
    let contradicted: Vec<String> = of(comparison, Outcome::Surprise).flat_map(contradictions).collect();
    let mut sentences = Vec::new();
    if !regressed.is_empty() {
        sentences.push(format!("Regressed: {}.", names(regressed, "; ")));
    }
    if !contradicted.is_empty() {
        sentences.push(format!("Not as expected: {}.", names(contradicted, "; ")));
    }
    sentences.join(" ")
}

/// A search that finds something else is not merely faster or slower.
fn recall_changed(one: &ScenarioComparison) -> Option<String> {
    let (arm, shift) = recall::widest(one)?;
    let found = shift.sentence();
    let first = one.metrics.iter().find(|metric| metric.gate == Gate::Gated && metric.arm == arm && metric.ratio.is_some());
    let speed = first.map(|metric| format!("is {} and ", changed(metric, one))).unwrap_or_default();
    Some(format!("{} {speed}{found}", one.scenario.scenario))
}

fn and_finds(one: &ScenarioComparison, arm: Arm) -> String {
    recall::shift(one, arm).map(|shift| format!(" and {}", shift.sentence())).unwrap_or_default()
}

/// The first regression that nobody expected and no contradicted expectation tells of; where there is neither, transactions that fail.
fn regression(one: &ScenarioComparison) -> Option<String> {
    let name = &one.scenario.scenario;
    let contradicted = |metric: &Metric| one.expectation_of(metric).is_some_and(|stated| stated.met == Some(false));
    let slower = |metric: &&Metric| metric.verdict == Verdict::Regressed && metric.standing == Some(Standing::Surprise);
    match one.metrics.iter().filter(slower).find(|metric| !contradicted(metric)) {
        Some(metric) => Some(format!("{name} is {}{}", changed(metric, one), and_finds(one, metric.arm))),
        None if one.expectations.iter().any(|stated| stated.met == Some(false)) => None,
        None => {
            let (arm, most) = one.failed_share.iter().skip(1).max_by(|(_, one), (_, other)| one.total_cmp(other))?;
            let baseline = one.failed_share.baseline;
            let names = [arm, Arm::BASELINE].map(|arm| one.scenario.arm_name(arm));
            let [share, others] = [*most, baseline].map(|share| format!("{:.1}%", share * 100.0));
            Some(format!("{name} fails in {share} of its transactions on {}, {others} on {}", names[0], names[1]))
        }
    }
}

fn contradictions(one: &ScenarioComparison) -> impl Iterator<Item = String> {
    let contradicted = one.expectations.iter().enumerate().filter(|(_, stated)| stated.met == Some(false));
    contradicted.map(|(at, stated)| contradiction(one, at, stated))
}

fn contradiction(one: &ScenarioComparison, at: usize, stated: &StatedExpectation) -> String {
    let of = match subject(stated) {
        subject if subject.is_empty() => String::new(),
        subject => format!("{subject} of "),
    };
    // The gated metrics stand before the others, and medians before 95th percentiles.
    let decided = |metric: &&Metric| metric.expectation == Some(at) && metric.standing == Some(Standing::Surprise);
    let came = one.metrics.iter().find(decided).map_or_else(|| "did not".to_owned(), |metric| format!("is {}", changed(metric, one)));
    format!("{of}{} was expected {}, but {came}{}", one.scenario.scenario, expected_to(stated.expect), and_finds(one, stated.arm))
}

fn changed(metric: &Metric, one: &ScenarioComparison) -> String {
    let words = change(metric.ratio.as_ref(), metric.verdict).words;
    let words = if metric.verdict == Verdict::Unchanged { "the same".to_owned() } else { words };
    format!("{words} ({})", named(metric, one))
}

//! The sentences of the report, one place for all formats: what a verdict, a stop, a load, an outcome is called.

use std::collections::BTreeSet;

use crate::judge::{Best, Comparison, DisturbedBlocks, Gate, Metric, Quantity, ScenarioComparison, Standing, Unranked, Verdict};
use crate::record::{Arm, ArmRecord, Arrivals, CheckKind, CheckOutcome, RttPer, ScenarioLoad, ScenarioRecord, Spacing, Stage, StopReason};

use super::Ending;
use super::format::{Direction, change, count, crossing, duration, factor, percent, significant};
use super::view::CheckView;

/// How a thing is to be looked at: the class of its colour, also in terminals.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// Faster.
    Improved,
    /// A check, or a run without times, that found no fault.
    Passed,
    /// Slower, without this being a fault of the run.
    Regressed,
    /// No difference.
    Unchanged,
    /// Cannot be said.
    Inconclusive,
    /// Wrong, broken or unusable.
    Failed,
}

/// The tone of a verdict.
pub fn verdict_tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Improved => Tone::Improved,
        Verdict::Regressed => Tone::Regressed,
        Verdict::Unchanged => Tone::Unchanged,
        Verdict::Inconclusive => Tone::Inconclusive,
    }
}

/// A sign that tells the tone without colour.
pub fn symbol(tone: Tone) -> &'static str {
    match tone {
        Tone::Improved => "▲",
        Tone::Passed => "✓",
        Tone::Regressed => "▼",
        Tone::Unchanged => "=",
        Tone::Inconclusive => "?",
        Tone::Failed => "✗",
    }
}

/// A verdict in a word.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Improved => "improved",
        Verdict::Regressed => "regressed",
        Verdict::Unchanged => "unchanged",
        Verdict::Inconclusive => "inconclusive",
    }
}

/// A metric's verdict as its scenario makes it read: `regressed (expected)`, `inconclusive (budget)`.
pub fn verdict_in(metric: &Metric, scenario: &ScenarioComparison) -> String {
    let word = verdict(metric.verdict);
    if expected_regression(metric) {
        format!("{word} (expected)")
    } else if metric.gate == Gate::Gated && metric.verdict == Verdict::Inconclusive && scenario.stop == StopReason::Budget {
        format!("{word} (budget)")
    } else {
        word.to_owned()
    }
}

/// What a metric is called: `fetch/history p50`, and of which arm where there are several beside the baseline.
pub fn named(metric: &Metric, scenario: &ScenarioComparison) -> String {
    let arm = scenario.arm_of(metric).map(|arm| format!(", {arm}")).unwrap_or_default();
    format!("{} {}{arm}", metric.subject(), metric.quantity.name())
}

/// What an arm changes beside its variant and its statements.
pub fn changes(arm: &ArmRecord) -> Vec<String> {
    let factor = arm.factor.iter().map(|factor| format!("{} = {}", factor.name, factor.value));
    factor.chain(arm.changes()).collect()
}

/// What arms are, where their names alone do not tell: `small (on after, work_mem = 64kB)`.
pub fn arms(scenario: &ScenarioRecord) -> Option<String> {
    let baseline = &scenario.arms.baseline;
    if baseline.factor.is_some() {
        // Their names have what differs.
        return Some(format!("all{}", ArmRecord { name: String::new(), ..baseline.clone() }));
    }
    let told: Vec<String> = scenario.arms.values().map(ArmRecord::to_string).collect();
    let by_name = scenario.arms.values().zip(&told).all(|(arm, told)| arm.name == *told);
    (!by_name).then(|| told.join(", "))
}

/// Which arm is the fastest by a metric, and which cannot be told apart from it.
pub fn best(best: &Best, scenario: &ScenarioRecord) -> String {
    let names = |arms: &[Arm]| arms.iter().map(|arm| scenario.arm_name(*arm)).collect::<Vec<_>>().join(", ");
    let of = best.statement.as_ref().map(|statement| format!("/{statement}")).unwrap_or_default();
    let tied = match best.tied.as_slice() {
        [] => "all others are slower".to_owned(),
        tied => format!("{} cannot be told apart from it", names(tied)),
    };
    let slower = match (best.tied.is_empty(), best.slower.as_slice()) {
        (true, _) | (_, []) => String::new(),
        (false, slower) => format!(", and {} {} slower", names(slower), if slower.len() == 1 { "is" } else { "are" }),
    };
    format!("By {}{of} {}, {} is the fastest: {tied}{slower}.", best.transaction, best.quantity.name(), scenario.arm_name(best.arm))
}

/// Why arms are not ranked, as a sentence.
pub fn unranked(why: Unranked) -> String {
    let why = match why {
        Unranked::Failing => "transactions fail on one of them".to_owned(),
        Unranked::NothingInCommon => "they have no gated median in common".to_owned(),
        Unranked::Rounds { whole, least } => {
            format!(
                "{} count{} for all of them, and it takes {least}",
                plural(u64::from(whole), "round"),
                if whole == 1 { "s" } else { "" }
            )
        }
    };
    format!("The arms are not ranked: {why}.")
}

/// Whether a metric regressed as its author said it would.
pub fn expected_regression(metric: &Metric) -> bool {
    metric.verdict == Verdict::Regressed && metric.standing == Some(Standing::Expected)
}

/// Whether a metric came out against what its author expected of it.
pub fn unexpected(metric: &Metric) -> bool {
    metric.standing == Some(Standing::Surprise) && metric.expectation.is_some()
}

/// The round-trip time that numbers were measured at. `local` tells whether the server is reached without a network.
pub fn rtt(rtt_ns: u64, per: RttPer, local: bool) -> String {
    let injected = || {
        let per = match per {
            RttPer::RoundTrip => "",
            RttPer::Request => " a request",
        };
        format!("{} ms RTT{per}", trimmed(rtt_ns as f64 / 1e6))
    };
    match (rtt_ns, local) {
        (0, true) => "0 ms RTT".to_owned(),
        (0, false) => "the network's own RTT".to_owned(),
        (_, true) => injected(),
        (_, false) => format!("{} on top of the network's", injected()),
    }
}

/// Three digits, without zeros after the point.
pub fn trimmed(value: f64) -> String {
    let text = significant(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// How load was offered.
pub fn load(load: Option<&ScenarioLoad>) -> String {
    let Some(load) = load else { return "no load".to_owned() };
    let pool = plural(u64::from(load.connections), "connection");
    let sessions = plural(u64::from(load.connections), "session");
    let open = |per_second: f64, gaps: &str| {
        let found = load.chosen.iter().fold(String::new(), |_, why| format!(", {why}"));
        format!("open loop, {}/s {gaps} on {pool}{found}", significant(per_second))
    };
    match &load.arrivals {
        Arrivals::Poisson { per_second } => open(*per_second, "poisson"),
        Arrivals::Constant { per_second } => open(*per_second, "constant"),
        Arrivals::Stages { spacing, stages } => {
            let spacing = match spacing {
                Spacing::Poisson => "poisson",
                Spacing::Constant => "constant",
            };
            let all: Vec<String> = stages.iter().map(stage).collect();
            format!("open loop, {spacing} on {pool}, {}", all.join(", "))
        }
        Arrivals::Users { users, think_ns } => {
            format!("{} who think for {}, on {pool}", plural(u64::from(*users), "user"), duration(*think_ns as f64))
        }
        Arrivals::Closed => format!("closed loop, {sessions}"),
        Arrivals::Work { transactions } => format!("fixed work, {sessions}, {} a block", plural(*transactions, "transaction")),
    }
}

/// `0/s → 400/s in 10 s`, `400/s for 10 s`
pub fn stage(stage: &Stage) -> String {
    let (from, to) = (significant(stage.from_per_second), significant(stage.to_per_second));
    let length = duration(stage.length_ns as f64);
    if stage.from_per_second == stage.to_per_second { format!("{to}/s for {length}") } else { format!("{from}/s → {to}/s in {length}") }
}

/// `1 round`, `2 rounds`.
pub fn plural(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{} {noun}s", count(number)) }
}

/// Rounds kept and discarded.
pub fn rounds(scenario: &ScenarioComparison) -> String {
    let kept = plural(u64::from(scenario.rounds.kept), "round");
    match scenario.rounds.discarded {
        0 => kept,
        discarded => format!("{kept} ({discarded} discarded)"),
    }
}

/// What disturbed the blocks that count, as a sentence; `None` if nothing did.
pub fn disturbed(blocks: &DisturbedBlocks) -> Option<String> {
    let of = |number: u32, what: String| (number > 0).then(|| format!("in {number} {what}"));
    let found: Vec<String> = [
        of(blocks.late, format!("transactions started late (1% of them by up to {})", duration(blocks.longest_lag_ns as f64))),
        of(blocks.stalled, format!("the generator stood still (for up to {})", duration(blocks.longest_stall_ns as f64))),
        of(blocks.busy, "the generator took more than 70% of a core a thread".to_owned()),
        of(blocks.unfinished, "more than 1% of the transactions had no answer in time".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!found.is_empty()).then(|| {
        let all = plural(u64::from(blocks.blocks), "block");
        format!(
            "Of {all}, {}. What starts late is in response times and in waits for a connection, and not in service times, which are judged; where \
             the generator stood still or was busy, answers waited for it, on all arms alike.",
            found.join(", ")
        )
    })
}

/// Why a scenario stopped, as a sentence.
pub fn stop(stop: &StopReason) -> String {
    match stop {
        StopReason::Precise => "Stopped when every gated interval was narrow enough.".to_owned(),
        StopReason::Rounds => "Stopped after the wanted number of rounds.".to_owned(),
        StopReason::Budget => "Stopped, because the budget was spent.".to_owned(),
        StopReason::ChecksFailed => "Nothing was timed, because the checks failed.".to_owned(),
        StopReason::ChecksOnly => "Nothing was timed, because only checks were asked for.".to_owned(),
        StopReason::Rejected { message } => format!("Nothing was timed, because PostgreSQL rejected SQL or a setting: {message}"),
        StopReason::NotOffered => {
            "Stopped, because the generator could not offer this load: half of the transactions started late by more than a tenth of the block, and by more than 75 ms. Ask for a lower rate."
                .to_owned()
        }
        StopReason::Attempts => "Stopped after twice the wanted number of rounds, as too few of them could be kept.".to_owned(),
        StopReason::Interrupted => "Interrupted.".to_owned(),
        StopReason::Infrastructure { message } => format!("The server or the machine failed: {message}"),
    }
}

/// The word for a scenario that has no verdict of its own, with its tone; `None` where metrics speak.
pub fn stopped_short(scenario: &ScenarioComparison) -> Option<(Tone, &'static str)> {
    match &scenario.stop {
        StopReason::ChecksFailed => Some((Tone::Failed, "checks failed")),
        StopReason::Rejected { .. } => Some((Tone::Failed, "rejected by PostgreSQL")),
        StopReason::NotOffered => Some((Tone::Failed, "invalid: the load could not be offered")),
        StopReason::Infrastructure { .. } => Some((Tone::Failed, "server or machine failed")),
        StopReason::ChecksOnly if scenario.checks.iter().any(|check| check.outcome == CheckOutcome::Failed) => {
            Some((Tone::Failed, "checks failed"))
        }
        StopReason::ChecksOnly => Some((Tone::Passed, "checks passed")),
        StopReason::Interrupted => Some((Tone::Inconclusive, "interrupted")),
        StopReason::Precise | StopReason::Rounds | StopReason::Attempts | StopReason::Budget => None,
    }
}

/// The first word of [`stopped_short`], for where there is no room for the reason.
pub fn stopped_short_briefly(scenario: &ScenarioComparison) -> Option<(Tone, &'static str)> {
    stopped_short(scenario).map(|(tone, word)| match scenario.stop {
        StopReason::Rejected { .. } => (tone, "rejected"),
        StopReason::Infrastructure { .. } => (tone, "failed"),
        StopReason::NotOffered => (tone, "invalid"),
        _ => (tone, word),
    })
}

/// A check's kind.
pub fn check(kind: CheckKind) -> &'static str {
    match kind {
        CheckKind::Answers => "answers",
        CheckKind::Isolation => "isolation",
        CheckKind::Plan => "plan",
        CheckKind::Recall => "recall",
        CheckKind::Environment => "environment",
    }
}

/// What failed, a line a kind and arm: which tables or transactions, and of how many identities findings tell.
pub fn failed_checks(checks: &[CheckView]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut groups: Vec<(&str, Option<&str>)> = Vec::new();
    for check in checks {
        if !groups.contains(&(check.kind, check.arm.as_deref())) {
            groups.push((check.kind, check.arm.as_deref()));
        }
    }
    for group in groups {
        let of: Vec<&CheckView> = checks.iter().filter(|check| (check.kind, check.arm.as_deref()) == group).collect();
        let subjects: Vec<&str> = of.iter().map(|check| check.subject.as_str()).collect();
        let arm = group.1.map(|arm| format!(" ({arm})")).unwrap_or_default();
        let whom = of.iter().flat_map(|check| &check.findings).filter_map(|finding| identity(finding));
        let whom = match whom.collect::<BTreeSet<&str>>().len() {
            number if number > 0 && group.0 == check(CheckKind::Isolation) => {
                format!(", for {}", if number == 1 { "1 identity".to_owned() } else { format!("{number} identities") })
            }
            _ => String::new(),
        };
        lines.push(format!("{} of {}{arm} failed{whom}", group.0, subjects.join(", ")));
    }
    lines
}

/// Whom a finding of the isolation check is about: it starts with their name.
fn identity(finding: &str) -> Option<&str> {
    [": leak", ": missing", ": duplicates", ":   "].iter().find_map(|mark| finding.split_once(mark)).map(|(whom, _)| whom)
}

/// How a check came out.
pub fn check_outcome(outcome: CheckOutcome) -> &'static str {
    match outcome {
        CheckOutcome::Passed => "passed",
        CheckOutcome::Warning => "warning",
        CheckOutcome::Failed => "failed",
    }
}

/// The margin in the terms of the rule that sets it: a share, or a time where a share of so short a time would mean little.
pub fn margin(metric: &Metric, scenario: &ScenarioComparison) -> String {
    let margins = &scenario.scenario.margins;
    let relative = match metric.quantity {
        Quantity::ServiceP50 | Quantity::ServiceMean | Quantity::ResponseP50 | Quantity::AcquireP50 | Quantity::Processor => margins.p50,
        Quantity::ServiceP95 | Quantity::ResponseP95 | Quantity::ResponseP99 => margins.p95,
    };
    if metric.margin - 1.0 > relative + 1e-6 {
        return format!("±{} µs", trimmed(margins.floor_ns as f64 / 1e3));
    }
    format!("±{}", percent(metric.margin - 1.0))
}

/// What "inconclusive" means for this metric: the effect that could have been seen, and what more it takes. A run of `minimum_rounds` is the
/// shortest that can decide anything. What more it takes is not said of a scenario that was cut short: its few rounds say little of spread.
pub fn inconclusive(metric: &Metric, scenario: &ScenarioComparison, minimum_rounds: u32) -> String {
    let margin = margin(metric, scenario);
    let margin = margin.trim_start_matches('±');
    let rounds = plural(u64::from(metric.rounds), "round");
    let seen = match metric.detectable {
        Some(effect) if effect.is_finite() => format!("{rounds} show a change of {}× or more nine times in ten", factor(effect, 2)),
        _ if metric.rounds < minimum_rounds => format!("{rounds} cannot decide anything, which takes {minimum_rounds} at least"),
        _ if metric.rounds == 1 => format!("{rounds} is too little to say what it could have shown"),
        _ => format!("{rounds} are too few to say what they could have shown"),
    };
    if stopped_short(scenario).is_some() {
        return seen;
    }
    if let Some(why) = metric.taken_back {
        return format!("{seen}; {why}, so more rounds would not settle it");
    }
    let more = match metric.rounds_needed {
        Some(needed) if needed > metric.rounds => format!("about {} would settle the {margin} margin", count(u64::from(needed))),
        Some(_) => format!("that should settle the {margin} margin, so the change itself is too close to it to call"),
        None => format!("how many the {margin} margin takes cannot be told yet"),
    };
    format!("{seen}; {more}")
}

/// How to read the numbers of a run, in sentences; each is only said where something in the run needs it.
pub fn legend(comparison: &Comparison) -> Vec<String> {
    let metrics: Vec<&Metric> = gated(comparison).map(|(_, metric)| metric).collect();
    if metrics.is_empty() {
        return Vec::new();
    }
    let mut told = vec!["p50, p95 and mean are service times, from sending to the last row.".to_owned()];
    if metrics.iter().any(|metric| metric.quantity == Quantity::Processor) {
        told.push("processor is the time of the server's backends on processors, a transaction.".to_owned());
    }
    told.push("Every change is one at this load, on this machine.".to_owned());
    told.push(
        "[a, b] is a confidence interval of 98% or more, counted like the words before it: below 1 is the other direction.".to_owned(),
    );
    if let Some(example) = metrics.iter().find_map(|metric| crossing(metric.ratio.as_ref(), metric.verdict)) {
        told.push(format!("{example}."));
    }
    // The mean of all blocks and the median of the rounds may disagree where there is little to tell.
    let disagree = |metric: &&Metric| {
        let value = metric.value_ns;
        let direction = change(metric.ratio.as_ref(), metric.verdict).direction;
        (direction == Direction::Slower && value.arm < value.baseline) || (direction == Direction::Faster && value.arm > value.baseline)
    };
    if metrics.iter().any(disagree) {
        told.push("The change is that of the median round, times are means over all blocks: they may differ a little.".to_owned());
    }
    let one_sided = |metric: &&Metric| metric.ratio.is_some_and(|ratio| ratio.lower <= 0.0 || !ratio.upper.is_finite());
    if metrics.iter().any(one_sided) {
        told.push("[≤ b] and [≥ a] have no other bound, for want of rounds.".to_owned());
    }
    if metrics.iter().any(|metric| metric.verdict == Verdict::Unchanged) {
        told.push("The interval of \"same\" is of the ratio to the baseline.".to_owned());
    }
    told
}

/// How the run came to its end, where this is worth a word.
pub fn ending(ending: Ending) -> Option<&'static str> {
    match ending {
        Ending::Complete => None,
        Ending::Interrupted => Some("The run was interrupted; everything measured until then was kept."),
        Ending::Killed => Some("The run was killed before its end; every finished block was kept."),
        Ending::Torn => Some("The run was killed while it wrote; its torn last line was left out, every finished block was kept."),
    }
}

/// Gated metrics with this verdict.
pub fn tally(comparison: &Comparison, verdict: Verdict) -> usize {
    gated(comparison).filter(|(_, metric)| metric.verdict == verdict).count()
}

/// All gated metrics with their scenario.
pub fn gated(comparison: &Comparison) -> impl Iterator<Item = (&ScenarioComparison, &Metric)> {
    let scenarios = comparison.scenarios.iter();
    scenarios.flat_map(|scenario| scenario.metrics.iter().filter(|metric| metric.gate == Gate::Gated).map(move |metric| (scenario, metric)))
}

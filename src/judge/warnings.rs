//! What a reader must know besides the numbers.

use super::group::{Description, Group};
use super::outcome::{Failing, MOST_FAILED, failed_share, failing, gated};
use super::series::Pairs;
use super::{Gate, Metric, Quantity, Verdict};
use crate::record::{EvidenceRecord, Side, StopReason};

/// Share of a plan's time from which compiling it is told.
const COMPILING_SHARE: f64 = 0.25;

/// Warnings of the run itself, then those that the record's numbers give.
pub(super) fn of_scenario(group: &Group<'_>, pairs: &Pairs<'_>, metrics: &[Metric], aa: bool) -> Vec<String> {
    let mut warnings = group.warnings.clone();
    if group.description == Description::Missing && !group.blocks.is_empty() {
        warnings.push("the record has blocks of this scenario but no line that describes it: nothing can be compared".to_owned());
    }
    warnings.extend(accounting(group));
    warnings.extend(lopsided(pairs));
    warnings.extend(busy(pairs));
    for side in Side::BOTH {
        warnings.extend(failures(pairs, side));
    }
    warnings.extend(failures_by_chance(pairs));
    warnings.extend(overload(pairs));
    if aa {
        warnings.extend(false_alarms(metrics));
    }
    warnings.extend(group.evidence.iter().filter_map(compiled));
    warnings.extend(one_sided(metrics));
    warnings.extend(means_disagree(metrics));
    warnings.extend(work_and_time_disagree(metrics));
    warnings.extend(unjudged(group, metrics));
    warnings.extend(undecided(group, pairs, metrics));
    warnings
}

fn accounting(group: &Group<'_>) -> Option<String> {
    let wrong = group.blocks.iter().filter(|block| !block.accounting.balances()).count();
    let of = group.blocks.len();
    (wrong > 0).then(|| {
        format!("{wrong} of {of} blocks lost count of their transactions (scheduled is not ok + error + timed out + dropped + in flight): do not use this run")
    })
}

/// Discarding is blind to times, but not to what befalls one side alone. If that keeps happening to one side, it may be that side's own work.
fn lopsided(pairs: &Pairs<'_>) -> Option<String> {
    let found = pairs.lopsided()?;
    let reasons: Vec<&str> = found.reasons.iter().copied().collect();
    Some(format!(
        "{} of {} discarded pairs were discarded for the {} side ({}): more than chance would make of it, so that may be its own work, and nothing here is called unchanged",
        found.pairs,
        found.of,
        found.side.name(),
        reasons.join("; ")
    ))
}

/// A generator that is short of processor time adds to the times of both sides, and so hides what is between them.
fn busy(pairs: &Pairs<'_>) -> Option<String> {
    let busy = pairs.all_kept_blocks().filter(|block| block.generator_adds_time()).count();
    (busy > 0).then(|| {
        format!(
            "the generator took more than 70% of a core a thread in {busy} of {} blocks, which adds to both sides' times and hides a difference: no metric is called unchanged by these blocks",
            pairs.all_kept_blocks().count()
        )
    })
}

/// Where the server's processor time and the service times say different things, what follows of it.
fn work_and_time_disagree(metrics: &[Metric]) -> Option<String> {
    let work = gated(metrics).find(|metric| metric.quantity == Quantity::Processor)?;
    let times: Vec<Verdict> =
        gated(metrics).filter(|metric| metric.quantity == Quantity::ServiceP50).map(|metric| metric.verdict).collect();
    let all = |verdict: Verdict| !times.is_empty() && times.iter().all(|time| *time == verdict);
    let follows = match work.verdict {
        Verdict::Unchanged if all(Verdict::Regressed) || all(Verdict::Improved) => {
            "service times changed, but not the server's processor time: the difference is waiting (for locks, disk or other processes), not work of the backends"
        }
        Verdict::Regressed if all(Verdict::Unchanged) => {
            "the server takes more processor time for the same service times: less of it is left for others, which shows under more load"
        }
        Verdict::Improved if all(Verdict::Unchanged) => {
            "the server takes less processor time for the same service times: more of it is left for others, which shows under more load"
        }
        Verdict::Regressed if all(Verdict::Improved) => {
            "service times are shorter although the server takes more processor time: there is less waiting and more work"
        }
        Verdict::Improved if all(Verdict::Regressed) => {
            "service times are longer although the server takes less processor time: there is more waiting (for locks, disk or other processes) and less work"
        }
        _ => return None,
    };
    Some(follows.to_owned())
}

/// Means of fixed work that say something else than the medians that are judged.
fn means_disagree(metrics: &[Metric]) -> Vec<String> {
    let shown = metrics.iter().filter(|metric| metric.quantity == Quantity::ServiceMean);
    let told = |mean: &Metric| {
        let of = |metric: &&Metric| {
            metric.quantity == Quantity::ServiceP50 && metric.transaction == mean.transaction && metric.statement == mean.statement
        };
        let median = metrics.iter().find(of).filter(|median| median.gate == Gate::Gated)?;
        let word = match mean.verdict {
            Verdict::Regressed => "slower",
            Verdict::Improved => "faster",
            Verdict::Unchanged | Verdict::Inconclusive => return None,
        };
        // A mean is no metric of the family: it is held to the level of its median, or it would cry wolf.
        let certain = mean.p.0.min(mean.p.1) <= median.level;
        (certain && mean.verdict != median.verdict).then(|| {
            format!(
                "the mean of {} is {word} though its median, which is judged, is not: few transactions may be much {word}; look at the tenant classes",
                mean.subject()
            )
        })
    };
    shown.filter_map(told).collect()
}

fn failures(pairs: &Pairs<'_>, side: Side) -> Vec<String> {
    let in_flight: u128 = pairs.kept_blocks(side).map(|block| u128::from(block.accounting.in_flight)).sum();
    let mut warnings = Vec::new();
    let share = *failed_share(pairs).get(side);
    if share > MOST_FAILED {
        warnings.push(format!(
            "{:.1}% of the transactions failed or had no answer on the {} side: its times are those of the others only, and no verdict rests on them",
            share * 100.0,
            side.name()
        ));
    }
    if in_flight > 0 {
        warnings.push(format!(
            "{in_flight} transactions on the {} side had not finished when draining was given up: its slowest are missing",
            side.name()
        ));
    }
    warnings
}

/// Failures that say nothing of the variants.
fn failures_by_chance(pairs: &Pairs<'_>) -> Option<String> {
    let told = match failing(pairs) {
        Failing::One { side: Side::After, certain: false } => {
            "the after side fails more often, but not in more pairs than chance would make it: more pairs would tell"
        }
        Failing::Both { by_load: true } => {
            "both sides fail, by timeouts and conflicts that come with the load: a lower rate, more connections or more time for each transaction would do"
        }
        _ => return None,
    };
    Some(told.to_owned())
}

/// A rate that a side cannot keep up with makes a queue, whose length depends on how long one looks.
fn overload(pairs: &Pairs<'_>) -> Option<String> {
    let overloaded = |side: Side| pairs.kept_blocks(side).filter(|block| block.is_overloaded()).count();
    let (before, after, kept) = (overloaded(Side::Before), overloaded(Side::After), pairs.kept.len());
    let who = match (before * 2 > kept, after * 2 > kept) {
        (true, true) => "both sides",
        (true, false) => "the before side",
        (false, true) => "the after side",
        (false, false) => return None,
    };
    Some(format!(
        "{who} could not keep up with the rate in most blocks: response times there are those of a queue that was growing, service times those of a server with more to do than it can"
    ))
}

fn false_alarms(metrics: &[Metric]) -> Vec<String> {
    let told = |metric: &Metric, verdict: &str| {
        format!(
            "A/A: both sides are the same variant, yet {} {verdict}: do not trust verdicts of this machine at this setting",
            name(metric)
        )
    };
    gated(metrics)
        .filter_map(|metric| match metric.verdict {
            Verdict::Regressed => Some(told(metric, "regressed")),
            Verdict::Improved => Some(told(metric, "improved")),
            Verdict::Unchanged | Verdict::Inconclusive => None,
        })
        .collect()
}

/// A statement whose time goes into compiling its plan, at each execution anew. Whether PostgreSQL compiles hangs on the plan's *estimated* cost and a
/// setting, so a ratio that comes of it may be gone on the next server.
fn compiled(evidence: &EvidenceRecord) -> Option<String> {
    let number = |path: &str| evidence.plan_json.pointer(path).and_then(serde_json::Value::as_f64);
    let (compiling_ms, all_ms) = (number("/0/JIT/Timing/Total")?, number("/0/Execution Time")?);
    let cost = number("/0/Plan/Total Cost")?;
    (compiling_ms >= COMPILING_SHARE * all_ms).then(|| {
        format!(
            "{} ({}): compiling the plan (JIT) took {compiling_ms:.1} of its {all_ms:.1} ms, since its estimated cost of {cost:.0} is above \
             jit_above_cost: on a server with other settings the ratio is another one",
            evidence.statement,
            evidence.side.name()
        )
    })
}

/// Transactions of a mix that are too rare to be judged, though others are.
fn unjudged(group: &Group<'_>, metrics: &[Metric]) -> Option<String> {
    let judged = |name: &str| gated(metrics).any(|metric| metric.transaction == name);
    let missing: Vec<&str> = group.scenario.transactions.iter().map(|one| one.name.as_str()).filter(|name| !judged(name)).collect();
    (!missing.is_empty() && gated(metrics).next().is_some())
        .then(|| format!("too rare in the mix to be judged, only shown: {}", missing.join(", ")))
}

/// Gated metrics that only one side has.
fn one_sided(metrics: &[Metric]) -> Vec<String> {
    gated(metrics)
        .filter_map(|metric| {
            let side = Side::BOTH.into_iter().find(|side| metric.value_ns.get(*side).is_nan())?;
            Some(format!("{} has no sample on the {} side, so it cannot be compared", name(metric), side.name()))
        })
        .collect()
}

/// Why a scenario that was timed decides less than it should.
fn undecided(group: &Group<'_>, pairs: &Pairs<'_>, metrics: &[Metric]) -> Option<String> {
    let budget = match group.stop {
        StopReason::Budget => true,
        StopReason::Precise | StopReason::Pairs | StopReason::Attempts => false,
        _ => return None,
    };
    let kept = pairs.kept.len();
    let all = gated(metrics).count();
    let open: Vec<&Metric> = gated(metrics).filter(|metric| metric.verdict == Verdict::Inconclusive).collect();
    if kept == 0 {
        let word = match budget {
            true => "inconclusive (budget): the budget was spent before a pair could be used; give it more",
            false => {
                "no pair can be used, so no effect of any size could have been seen: see below why they were discarded, and run again when that is over"
            }
        };
        return Some(word.to_owned());
    }
    if all == 0 {
        return Some(
            "nothing is gated here, so no effect of any size could have been seen: see why beside each metric; a higher rate, or fixed work, gives blocks more samples"
                .to_owned(),
        );
    }
    if open.is_empty() || !budget {
        return None;
    }
    let needed = open.iter().filter_map(|metric| metric.pairs_needed).max().filter(|needed| *needed as usize > kept);
    let more = needed.map(|needed| format!("; about {needed} pairs would settle them")).unwrap_or_default();
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let is = if open.len() == 1 { "is" } else { "are" };
    let (s, pairs) = (plural(all), plural(kept));
    Some(format!("inconclusive (budget): {} of {all} gated metric{s} {is} undecided after {kept} pair{pairs}{more}", open.len()))
}

fn name(metric: &Metric) -> String {
    format!("{} {}", metric.subject(), metric.quantity.name())
}

//! What a reader must know besides the numbers.

use std::collections::BTreeSet;

use super::group::{Description, Group};
use super::outcome::{Failing, MOST_FAILED, failed_share, gated};
use super::{Gate, Metric, Quantity, Rival, Verdict};
use crate::record::{Arm, Arms, BlockRecord, EvidenceRecord, ScenarioRecord, StopReason};

/// Share of a plan's time from which compiling it is told.
const COMPILING_SHARE: f64 = 0.25;

/// Warnings of the run itself, then those that the record's numbers give.
pub(super) fn of_scenario(
    group: &Group<'_>,
    rivals: &[Rival<'_>],
    kept: &Arms<Vec<&BlockRecord>>,
    metrics: &[Metric],
    aa: bool,
) -> Vec<String> {
    let scenario = &group.scenario;
    let mut warnings = group.warnings.clone();
    if group.description == Description::Missing && !group.blocks.is_empty() {
        warnings.push("the record has blocks of this scenario but no line that describes it: nothing can be compared".to_owned());
    }
    warnings.extend(accounting(group));
    warnings.extend(rivals.iter().filter_map(|rival| lopsided(scenario, rival)));
    warnings.extend(busy(kept));
    for (arm, blocks) in kept.iter() {
        warnings.extend(failures(&scenario.arm_name(arm), blocks));
    }
    warnings.extend(rivals.iter().filter_map(|rival| failures_by_chance(scenario, rival)));
    warnings.extend(overload(scenario, kept));
    if aa {
        warnings.extend(false_alarms(scenario, metrics));
    }
    warnings.extend(group.evidence.iter().filter_map(|evidence| compiled(scenario, evidence)));
    warnings.extend(one_sided(scenario, metrics));
    warnings.extend(means_disagree(scenario, metrics));
    warnings.extend(rivals.iter().filter_map(|rival| work_and_time_disagree(scenario, rival.pairs.arm, metrics)));
    warnings.extend(unjudged(group, rivals, metrics));
    warnings.extend(undecided(group, rivals, metrics));
    warnings
}

fn accounting(group: &Group<'_>) -> Option<String> {
    let wrong = group.blocks.iter().filter(|block| !block.accounting.balances()).count();
    let of = group.blocks.len();
    (wrong > 0).then(|| {
        format!("{wrong} of {of} blocks lost count of their transactions (scheduled is not ok + error + timed out + dropped + in flight): do not use this run")
    })
}

/// Discarding is blind to times, but not to what befalls one arm alone. If that keeps happening to one, it may be that arm's own work.
fn lopsided(scenario: &ScenarioRecord, rival: &Rival<'_>) -> Option<String> {
    let found = rival.lopsided.as_ref()?;
    let reasons: Vec<&str> = found.reasons.iter().copied().collect();
    Some(format!(
        "{} of {} discarded rounds were discarded for {} ({}): more than chance would make of it, so that may be its own work, and nothing of {} is called unchanged",
        found.pairs,
        found.of,
        scenario.arm_name(found.arm),
        reasons.join("; "),
        scenario.arm_name(rival.pairs.arm),
    ))
}

/// A generator that is short of processor time adds to the times of all arms, and so hides what is between them.
fn busy(kept: &Arms<Vec<&BlockRecord>>) -> Option<String> {
    let all = kept.values().map(Vec::len).sum::<usize>();
    let busy = kept.values().flatten().filter(|block| block.generator_adds_time()).count();
    (busy > 0).then(|| {
        format!(
            "the generator took more than 70% of a core a thread in {busy} of {all} blocks, which adds to the times of all arms and hides a difference: no metric is called unchanged by these blocks"
        )
    })
}

/// Where the server's processor time and the service times of an arm say different things, what follows of it.
fn work_and_time_disagree(scenario: &ScenarioRecord, arm: Arm, metrics: &[Metric]) -> Option<String> {
    let of_arm = || gated(metrics).filter(|metric| metric.arm == arm);
    let work = of_arm().find(|metric| metric.quantity == Quantity::Processor)?;
    let times: Vec<Verdict> = of_arm().filter(|metric| metric.quantity == Quantity::ServiceP50).map(|metric| metric.verdict).collect();
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
    Some(format!("{}{follows}", of(scenario, arm)))
}

/// Whose a warning is, where there are several arms beside the baseline.
fn of(scenario: &ScenarioRecord, arm: Arm) -> String {
    match scenario.arms.count() {
        0..=2 => String::new(),
        _ => format!("{}: ", scenario.arm_name(arm)),
    }
}

/// Means of fixed work that say something else than the medians that are judged.
fn means_disagree(scenario: &ScenarioRecord, metrics: &[Metric]) -> Vec<String> {
    let shown = metrics.iter().filter(|metric| metric.quantity == Quantity::ServiceMean);
    let told = |mean: &Metric| {
        let same = |metric: &&Metric| {
            let subject = metric.transaction == mean.transaction && metric.statement == mean.statement;
            metric.quantity == Quantity::ServiceP50 && metric.arm == mean.arm && subject
        };
        let median = metrics.iter().find(same).filter(|median| median.gate == Gate::Gated)?;
        let word = match mean.verdict {
            Verdict::Regressed => "slower",
            Verdict::Improved => "faster",
            Verdict::Unchanged | Verdict::Inconclusive => return None,
        };
        // A mean is no metric of the family: it is held to the level of its median, or it would cry wolf.
        let certain = mean.p.0.min(mean.p.1) <= median.level;
        (certain && mean.verdict != median.verdict).then(|| {
            format!(
                "{}the mean of {} is {word} though its median, which is judged, is not: few transactions may be much {word}; look at the tenant classes",
                of(scenario, mean.arm),
                mean.subject()
            )
        })
    };
    shown.filter_map(told).collect()
}

fn failures(name: &str, blocks: &[&BlockRecord]) -> Vec<String> {
    let in_flight: u128 = blocks.iter().map(|block| u128::from(block.accounting.in_flight)).sum();
    let mut warnings = Vec::new();
    let share = failed_share(blocks.iter().copied());
    if share > MOST_FAILED {
        warnings.push(format!(
            "{:.1}% of the transactions failed or had no answer on {name}: its times are those of the others only, and no verdict rests on them",
            share * 100.0
        ));
    }
    if in_flight > 0 {
        warnings.push(format!("{in_flight} transactions on {name} had not finished when draining was given up: its slowest are missing"));
    }
    warnings
}

/// Failures that say nothing of the variants.
fn failures_by_chance(scenario: &ScenarioRecord, rival: &Rival<'_>) -> Option<String> {
    let name = scenario.arm_name(rival.pairs.arm);
    match rival.failing {
        Failing::Arm { certain: false } => {
            Some(format!("{name} fails more often, but not in more rounds than chance would make it: more rounds would tell"))
        }
        Failing::Both { by_load: true } => Some(format!(
            "{name} and the baseline fail, by timeouts and conflicts that come with the load: a lower rate, more connections or more time for each transaction would do"
        )),
        Failing::Neither | Failing::Baseline | Failing::Arm { certain: true } | Failing::Both { by_load: false } => None,
    }
}

/// A rate that an arm cannot keep up with makes a queue, whose length depends on how long one looks.
fn overload(scenario: &ScenarioRecord, kept: &Arms<Vec<&BlockRecord>>) -> Option<String> {
    let is_overloaded = |blocks: &[&BlockRecord]| blocks.iter().filter(|block| block.is_overloaded()).count() * 2 > blocks.len();
    let names: Vec<String> = kept.iter().filter(|(_, blocks)| is_overloaded(blocks)).map(|(arm, _)| scenario.arm_name(arm)).collect();
    (!names.is_empty()).then(|| format!(
        "{} could not keep up with the rate in most blocks: response times there are those of a queue that was growing, service times those of a server with more to do than it can",
        names.join(" and ")
    ))
}

fn false_alarms(scenario: &ScenarioRecord, metrics: &[Metric]) -> Vec<String> {
    let told = |metric: &Metric, verdict: &str| {
        format!(
            "A/A: {} is the baseline once more, yet {} {verdict}: do not trust verdicts of this machine at this setting",
            scenario.arm_name(metric.arm),
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
fn compiled(scenario: &ScenarioRecord, evidence: &EvidenceRecord) -> Option<String> {
    let number = |path: &str| evidence.plan_json.pointer(path).and_then(serde_json::Value::as_f64);
    let (compiling_ms, all_ms) = (number("/0/JIT/Timing/Total")?, number("/0/Execution Time")?);
    let cost = number("/0/Plan/Total Cost")?;
    (compiling_ms >= COMPILING_SHARE * all_ms).then(|| {
        format!(
            "{} ({}): compiling the plan (JIT) took {compiling_ms:.1} of its {all_ms:.1} ms, since its estimated cost of {cost:.0} is above \
             jit_above_cost: on a server with other settings the ratio is another one",
            evidence.statement,
            scenario.arm_name(evidence.arm)
        )
    })
}

/// Transactions of a mix that are too rare to be judged on an arm, though others are.
fn unjudged(group: &Group<'_>, rivals: &[Rival<'_>], metrics: &[Metric]) -> Vec<String> {
    let missing_on = |arm: Arm| -> Vec<&str> {
        let of_arm = || gated(metrics).filter(|metric| metric.arm == arm);
        let judged = |name: &str| of_arm().any(|metric| metric.transaction == name);
        let names = group.scenario.transactions.iter().map(|one| one.name.as_str());
        if of_arm().next().is_some() { names.filter(|name| !judged(name)).collect() } else { Vec::new() }
    };
    let told = |arm: Arm| (of(&group.scenario, arm), missing_on(arm));
    let all: Vec<(String, Vec<&str>)> =
        rivals.iter().map(|rival| told(rival.pairs.arm)).filter(|(_, missing)| !missing.is_empty()).collect();
    let alike = all.len() == rivals.len() && all.windows(2).all(|two| two[0].1 == two[1].1);
    let words = |of: &str, missing: &[&str]| format!("{of}too rare in the mix to be judged, only shown: {}", missing.join(", "));
    match all.first() {
        Some((_, missing)) if alike => vec![words("", missing)],
        _ => all.iter().map(|(of, missing)| words(of, missing)).collect(),
    }
}

/// Gated metrics that only the baseline or only the arm has.
fn one_sided(scenario: &ScenarioRecord, metrics: &[Metric]) -> BTreeSet<String> {
    gated(metrics)
        .filter_map(|metric| {
            let missing = metric.value_ns.map(|value| value.is_nan());
            let arm = if missing.baseline { Arm::BASELINE } else { metric.arm };
            (missing.baseline || missing.arm)
                .then(|| format!("{} has no sample on {}, so it cannot be compared", name(metric), scenario.arm_name(arm)))
        })
        .collect()
}

/// Why a scenario that was timed decides less than it should.
fn undecided(group: &Group<'_>, rivals: &[Rival<'_>], metrics: &[Metric]) -> Vec<String> {
    let budget = match group.stop {
        StopReason::Budget => true,
        StopReason::Precise | StopReason::Rounds | StopReason::Attempts => false,
        _ => return Vec::new(),
    };
    if rivals.is_empty() {
        return Vec::new();
    }
    let of_arm = |rival: &Rival<'_>| gated(metrics).filter(|metric| metric.arm == rival.pairs.arm).count();
    let (useless, rest): (Vec<&Rival<'_>>, Vec<&Rival<'_>>) = rivals.iter().partition(|rival| rival.pairs.kept.is_empty());
    let silent: Vec<&Rival<'_>> = rest.into_iter().filter(|rival| of_arm(rival) == 0).collect();
    let whose = |some: &[&Rival<'_>]| match some.len() == rivals.len() {
        true => String::new(),
        false => format!("{}: ", some.iter().map(|rival| group.scenario.arm_name(rival.pairs.arm)).collect::<Vec<_>>().join(", ")),
    };
    let mut told = Vec::new();
    if !useless.is_empty() {
        let word = match budget {
            true => "inconclusive (budget): the budget was spent before a round could be used; give it more",
            false => {
                "no round can be used, so no effect of any size could have been seen: see below why they were discarded, and run again when that is over"
            }
        };
        told.push(format!("{}{word}", whose(&useless)));
    }
    if !silent.is_empty() {
        told.push(format!(
            "{}nothing is gated here, so no effect of any size could have been seen: see why beside each metric; a higher rate, or fixed work, gives blocks more samples",
            whose(&silent)
        ));
    }
    let all = gated(metrics).count();
    let open: Vec<&Metric> = gated(metrics).filter(|metric| metric.verdict == Verdict::Inconclusive).collect();
    if open.is_empty() || !budget {
        return told;
    }
    let kept = rivals.iter().map(|rival| rival.pairs.kept.len()).filter(|kept| *kept > 0).min().unwrap_or(0);
    let needed = open.iter().filter_map(|metric| metric.rounds_needed).max().filter(|needed| *needed as usize > kept);
    let more = needed.map(|needed| format!("; about {needed} rounds would settle them")).unwrap_or_default();
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let is = if open.len() == 1 { "is" } else { "are" };
    let (s, rounds) = (plural(all), plural(kept));
    told.push(format!("inconclusive (budget): {} of {all} gated metric{s} {is} undecided after {kept} round{rounds}{more}", open.len()));
    told
}

fn name(metric: &Metric) -> String {
    format!("{} {}", metric.subject(), metric.quantity.name())
}

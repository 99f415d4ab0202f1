//! What is compared, what of it decides, and what the statistics say.
//!
//! Statements are gated where an arm and the baseline have the same ones, else the transaction is. Response and acquire time depend on the rate and
//! on the pool, so they are shown. A quantile is gated only where its blocks hold 20 samples beyond it. Processor time of the server is gated where it is
//! known: it scatters less than a median, as waiting for a processor is not in it.

use super::series::{Both, Pairs};
use super::{DisturbedBlocks, Gate, Interval, Metric, Quantity, Verdict};
use crate::record::{Arm, Arrivals, BlockRecord, Histogram, Margins, NoProcessorTime, ScenarioRecord, TransactionRecord};
use crate::stats::{
    self, DEFAULT_POWER, Estimate, FAMILY_ALPHA, Judgement, Significance, confidence_interval, effective_margin, judge_family,
    minimum_detectable_effect, required_pairs, robust_sd, signed_rank,
};

/// Samples that must lie beyond a quantile in a block for it to be gated.
const SAMPLES_BEYOND: u64 = 20;

/// Samples that a block must hold for a quantile of it, in per mille below 1000, to be gated.
pub const fn samples_needed(per_mille: u64) -> u64 {
    SAMPLES_BEYOND * 1000 / (1000 - per_mille)
}

impl Quantity {
    /// The quantile in per mille; `None` for a mean. Whole numbers, as 20 / (1 - 0.95) is not 400 in floating point.
    fn per_mille(self) -> Option<u64> {
        match self {
            Quantity::ServiceP50 | Quantity::ResponseP50 | Quantity::AcquireP50 => Some(500),
            Quantity::ServiceP95 | Quantity::ResponseP95 => Some(950),
            Quantity::ResponseP99 => Some(990),
            Quantity::ServiceMean | Quantity::Processor => None,
        }
    }

    /// Whether it holds what makes the generator late.
    fn counts_from_intended_start(self) -> bool {
        match self {
            Quantity::ResponseP50 | Quantity::ResponseP95 | Quantity::ResponseP99 | Quantity::AcquireP50 => true,
            Quantity::ServiceP50 | Quantity::ServiceP95 | Quantity::ServiceMean | Quantity::Processor => false,
        }
    }

    /// Samples a block that it takes to be gated. The transactions of fixed work are the same on all arms, so that their median compares them
    /// however few they are.
    fn samples_needed(self, is_work: bool) -> u64 {
        match (self.per_mille(), is_work) {
            (None, _) | (Some(500), true) => 1,
            (Some(q), _) => samples_needed(q),
        }
    }

    fn margin(self, margins: &Margins) -> f64 {
        match self.per_mille() {
            Some(q) if q > 500 => margins.p95,
            _ => margins.p50,
        }
    }

    /// Its value in ns; `None` without samples.
    pub(super) fn of(self, times: &Histogram) -> Option<f64> {
        let value = match self.per_mille() {
            Some(q) => times.quantile(q as f64 / 1000.0),
            None => times.mean(),
        };
        value.filter(|ns| ns.is_finite() && *ns > 0.0)
    }
}

/// Time on processors a transaction, ns; `None` where it is not known.
fn processor_ns(block: &BlockRecord) -> Option<f64> {
    let time = block.server.processor?.on_processor_ns as f64;
    Some(time / block.server.transactions as f64).filter(|ns| ns.is_finite() && *ns > 0.0)
}

/// What is to be compared, before anything is looked at.
struct Planned {
    transaction: String,
    statement: Option<String>,
    quantity: Quantity,
    /// Why it is shown only; `None` if it may decide.
    shown: Option<&'static str>,
}

impl Planned {
    /// Where it stands among a scenario's metrics: by transaction, its statements before the whole of it, by quantity.
    fn place(&self, scenario: &ScenarioRecord) -> (usize, usize, Quantity) {
        let at = scenario.transactions.iter().position(|one| one.name == self.transaction);
        let statements = at.and_then(|at| scenario.transactions.get(at)).map(|transaction| transaction.statements.values().flatten());
        let named = |name: &String| statements.and_then(|mut all| all.position(|one| one.name == *name));
        (at.unwrap_or(usize::MAX), self.statement.as_ref().and_then(named).unwrap_or(usize::MAX), self.quantity)
    }

    fn times<'a>(&self, block: &'a BlockRecord) -> Option<&'a Histogram> {
        if let Some(statement) = &self.statement {
            return block.statements.get(&format!("{}/{statement}", self.transaction));
        }
        let times = block.transactions.get(&self.transaction)?;
        Some(match self.quantity {
            Quantity::ServiceP50 | Quantity::ServiceP95 | Quantity::ServiceMean => &times.service,
            Quantity::ResponseP50 | Quantity::ResponseP95 | Quantity::ResponseP99 => &times.response,
            Quantity::AcquireP50 => &times.acquire,
            Quantity::Processor => return None,
        })
    }

    /// Its value in a block, ns.
    fn value(&self, block: &BlockRecord) -> Option<f64> {
        match self.quantity {
            Quantity::Processor => processor_ns(block),
            quantity => self.times(block).and_then(|times| quantity.of(times)),
        }
    }

    /// Samples behind its value in a block.
    fn samples(&self, block: &BlockRecord) -> u64 {
        match self.quantity {
            Quantity::Processor => block.server.transactions,
            _ => self.times(block).map_or(0, Histogram::count),
        }
    }
}

impl Metric {
    /// Its value in a block, ns.
    pub(super) fn value_in(&self, block: &BlockRecord) -> Option<f64> {
        let (transaction, statement) = (self.transaction.clone(), self.statement.clone());
        Planned { transaction, statement, quantity: self.quantity, shown: None }.value(block)
    }
}

/// Service quantities of a block, the first one first to be looked at.
fn service(is_work: bool) -> &'static [Quantity] {
    match is_work {
        false => &[Quantity::ServiceP50, Quantity::ServiceP95],
        true => &[Quantity::ServiceP50, Quantity::ServiceP95, Quantity::ServiceMean],
    }
}

/// Why a service quantity never decides.
fn never_gated(quantity: Quantity) -> Option<&'static str> {
    (quantity == Quantity::ServiceMean).then_some("one pause of the machine moves a mean: the median is judged")
}

fn planned(transaction: &TransactionRecord, is_work: bool, arm: Arm) -> Vec<Planned> {
    let alike = transaction.comparable_by_statement(arm);
    let plan = |statement: Option<&str>, quantity, shown| Planned {
        transaction: transaction.name.clone(),
        statement: statement.map(str::to_owned),
        quantity,
        shown,
    };
    let mut all = Vec::new();
    if alike {
        for statement in &transaction.statements.baseline {
            let shown = statement.controls_transaction.then_some("it begins or ends a transaction");
            all.extend(service(is_work).iter().map(|quantity| plan(Some(&statement.name), *quantity, shown.or(never_gated(*quantity)))));
        }
    }
    // What a commit does (constraint triggers, WAL, replication) is in no statement.
    let shown = (alike && !transaction.writes).then_some("its statements are judged one by one");
    all.extend(service(is_work).iter().map(|quantity| plan(None, *quantity, shown.or(never_gated(*quantity)))));
    if !is_work {
        let rate = Some("response time depends on the rate: service time is judged");
        all.push(plan(None, Quantity::ResponseP50, rate));
        all.push(plan(None, Quantity::ResponseP95, rate));
        all.push(plan(None, Quantity::ResponseP99, Some("p99 is never gated as a ratio")));
        all.push(plan(None, Quantity::AcquireP50, Some("the wait for a connection depends on the rate and the pool")));
    }
    all
}

/// Metrics of a scenario that may be gated, at most, whatever its load turns out to be.
pub fn most_gated(scenario: &ScenarioRecord) -> usize {
    let of_arm = |arm: Arm| {
        let planned = scenario.transactions.iter().flat_map(|transaction| planned(transaction, false, arm));
        // And processor time.
        planned.filter(|planned| planned.shown.is_none()).count() + 1
    };
    scenario.arms.rivals().map(of_arm).sum()
}

/// Processor time, of all transactions of a scenario together: backends serve them all. Not planned where parallel workers ran in any block: blocks
/// without them are other work.
fn processor(scenario: &ScenarioRecord, pairs: &Pairs<'_>) -> Option<Planned> {
    let because = |why: NoProcessorTime| pairs.all_kept_blocks().any(|block| block.server.no_processor == Some(why));
    // A cancelled transaction is an arm's own work too: to leave out its block would flatter that arm.
    if because(NoProcessorTime::ParallelWorkers) || because(NoProcessorTime::Unfinished) {
        return None;
    }
    let shown = match pairs.arrivals? {
        _ if pairs.all_kept_blocks().any(|block| block.server.processor.is_none()) => Some("it is not known in every round"),
        // Their arms run as many transactions as they can: a mean over other inputs.
        Arrivals::Closed | Arrivals::Users { .. } => Some("the arms run different transactions, and it is a mean over them"),
        Arrivals::Poisson { .. } | Arrivals::Constant { .. } | Arrivals::Stages { .. } | Arrivals::Work { .. } => None,
    };
    let transaction = match scenario.transactions.as_slice() {
        [only] => only.name.clone(),
        _ => "all transactions".to_owned(),
    };
    Some(Planned { transaction, statement: None, quantity: Quantity::Processor, shown })
}

/// A metric with its pairs, not judged yet.
pub(super) struct Series {
    arm: Arm,
    planned: Planned,
    /// ln(arm) - ln(baseline), one a pair.
    pub differences: Vec<f64>,
    /// Those of the pairs in which the generator added nothing to the times.
    without_busy: Vec<f64>,
    value_ns: Both<f64>,
    samples_per_block: u64,
    pub gate: Gate,
    /// As a log ratio.
    pub margin_ln: f64,
}

/// All metrics of a scenario for which there are samples: gated ones first, and each for one arm after the other.
pub(super) fn series<'p, 'a: 'p>(scenario: &ScenarioRecord, of_arms: impl IntoIterator<Item = &'p Pairs<'a>>) -> Vec<Series> {
    let of_arm = |pairs: &Pairs<'_>| -> Vec<Series> {
        let Some(arrivals) = pairs.arrivals else { return Vec::new() };
        let planned = scenario.transactions.iter().flat_map(|transaction| planned(transaction, arrivals.is_work(), pairs.arm));
        planned.chain(processor(scenario, pairs)).filter_map(|planned| Series::measure(planned, &scenario.margins, pairs)).collect()
    };
    let mut all: Vec<Series> = of_arms.into_iter().flat_map(of_arm).collect();
    all.sort_by_key(|series| (series.gate != Gate::Gated, series.planned.place(scenario), series.arm));
    all
}

impl Series {
    fn measure(planned: Planned, margins: &Margins, pairs: &Pairs<'_>) -> Option<Series> {
        let quantity = planned.quantity;
        let logs: Vec<Both<Option<f64>>> = pairs.kept.iter().map(|pair| pair.map(|block| planned.value(block).map(f64::ln))).collect();
        let difference = |pair: &Both<Option<f64>>| Some(pair.arm? - pair.baseline?);
        let mean = |of: fn(&Both<Option<f64>>) -> Option<f64>| {
            let values: Vec<f64> = logs.iter().filter_map(of).collect();
            (values.iter().sum::<f64>() / values.len() as f64).exp()
        };
        let value_ns = Both { baseline: mean(|pair| pair.baseline), arm: mean(|pair| pair.arm) };
        let counts = |of: fn(&Both<u64>) -> u64| {
            let counts = pairs.kept.iter().map(|pair| pair.map(|block| planned.samples(block)));
            lower_median(counts.map(|both| of(&both)).collect())
        };
        let samples = Both { baseline: counts(|both| both.baseline), arm: counts(|both| both.arm) };
        let gate = gate(&planned, pairs.arrivals?.is_work(), value_ns, samples)?;
        // The faster one's value: 20 µs that do not matter from 50 to 70 µs do not matter from 70 to 50 µs either.
        let margin_ln = effective_margin(quantity.margin(margins), margins.floor_ns as f64, value_ns.least());
        let differences = logs.iter().filter_map(difference).collect();
        let busy = |pair: &Both<&BlockRecord>| pair.baseline.generator_adds_time() || pair.arm.generator_adds_time();
        let calm = logs.iter().zip(&pairs.kept).filter(|(_, pair)| !busy(pair));
        let without_busy = calm.filter_map(|(logs, _)| difference(logs)).collect();
        let samples_per_block = samples.baseline.min(samples.arm);
        Some(Series { arm: pairs.arm, differences, without_busy, value_ns, samples_per_block, gate, margin_ln, planned })
    }
}

/// Whether a metric decides; `None` if there is nothing to show either.
fn gate(planned: &Planned, is_work: bool, value_ns: Both<f64>, samples: Both<u64>) -> Option<Gate> {
    let needed = planned.quantity.samples_needed(is_work);
    let missing = value_ns.map(|value| value.is_nan());
    if missing.baseline || missing.arm {
        // If one never gives what the other gives in plenty, this must not pass for "nothing to see": gated, and undecided.
        let plenty =
            planned.quantity != Quantity::Processor && samples.baseline.max(samples.arm) >= needed && missing.baseline != missing.arm;
        return (plenty && planned.shown.is_none()).then_some(Gate::Gated);
    }
    let held = samples.baseline.min(samples.arm);
    Some(match planned.shown {
        Some(why) => Gate::Shown { why: why.to_owned() },
        None if held < needed => Gate::Shown { why: format!("too few samples: {held} a block, {needed} needed") },
        None => Gate::Gated,
    })
}

fn lower_median(mut counts: Vec<u64>) -> u64 {
    counts.sort_unstable();
    counts.get(counts.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}

/// All metrics of a run, judged.
pub(super) struct Family {
    /// By scenario.
    pub metrics: Vec<Vec<Metric>>,
    /// How many decide.
    pub gated: usize,
}

/// Judges the gated metrics of a run as one family, and the others each for itself at 1%.
pub(super) fn judge(scenarios: Vec<Vec<Series>>) -> Family {
    let gated: Vec<stats::Metric<'_>> = scenarios
        .iter()
        .flatten()
        .filter(|series| series.gate == Gate::Gated)
        .map(|series| stats::Metric { differences: &series.differences, margin_ln: series.margin_ln })
        .collect();
    let count = gated.len();
    let mut judgements = judge_family(&gated, FAMILY_ALPHA).into_iter();
    let strictest = level_of(count);
    let metrics = scenarios
        .into_iter()
        .map(|scenario| {
            let finish = |series: Series| match series.gate {
                Gate::Gated => match judgements.next() {
                    Some(judgement) => finish(series, Call::of(&judgement), strictest),
                    None => shown(series),
                },
                Gate::Shown { .. } => shown(series),
            };
            scenario.into_iter().map(finish).collect()
        })
        .collect();
    Family { metrics, gated: count }
}

/// Adds the number of disturbed blocks to response and acquire times, which include the delay.
pub(super) fn mark_disturbed(metrics: &mut [Metric], found: &DisturbedBlocks) {
    for metric in metrics.iter_mut().filter(|metric| found.disturbed > 0 && metric.quantity.counts_from_intended_start()) {
        if let Gate::Shown { why } = &mut metric.gate {
            why.push_str(&format!("; {} of {} blocks were disturbed", found.disturbed, found.blocks));
        }
    }
}

/// The strictest level of Holm's procedure over so many metrics: what to plan with.
pub(super) fn level_of(gated: usize) -> f64 {
    FAMILY_ALPHA / gated.max(1) as f64
}

/// What was decided of a metric.
struct Call {
    estimate: Estimate,
    /// One-sided levels of the interval's lower and upper end.
    levels: (f64, f64),
    verdict: Verdict,
}

impl Call {
    fn of(judgement: &Judgement) -> Call {
        let levels = (judgement.higher.level, judgement.lower.level);
        Call { estimate: judgement.estimate, levels, verdict: judgement.verdict }
    }

    /// The level in the direction that the estimate points to.
    fn level(&self) -> f64 {
        if self.estimate.point >= 0.0 { self.levels.0 } else { self.levels.1 }
    }

    /// Whether it says "unchanged" and these differences alone do not: what the generator adds to both makes them more alike, so the pairs
    /// in which it did cannot bear that out.
    fn leans_on_busy_pairs(&self, without_busy: &[f64], all: usize, margin_ln: f64) -> bool {
        let alone = || Estimate::from_differences(without_busy, self.levels.0, self.levels.1);
        let says = |estimate: &Estimate| stats::judge(estimate, margin_ln, Significance::None) == Verdict::Unchanged;
        self.verdict == Verdict::Unchanged && without_busy.len() < all && !says(&alone())
    }
}

fn shown(series: Series) -> Metric {
    let estimate = confidence_interval(&series.differences, FAMILY_ALPHA);
    let verdict = stats::judge(&estimate, series.margin_ln, Significance::of(&estimate));
    finish(series, Call { estimate, levels: (FAMILY_ALPHA, FAMILY_ALPHA), verdict }, FAMILY_ALPHA)
}

fn finish(series: Series, call: Call, planning_level: f64) -> Metric {
    let pairs = series.differences.len();
    let ratio = call.estimate.exp();
    let test = signed_rank(&series.differences);
    let spread = robust_sd(&series.differences);
    let planned = minimum_detectable_effect(pairs, spread, planning_level, DEFAULT_POWER);
    // A robust spread forgives a few pairs that are far off, and the interval over few pairs does not: what its width hides was not seen.
    let hidden = (call.estimate.upper - call.estimate.point).max(call.estimate.point - call.estimate.lower);
    let seen = if hidden.is_finite() && planned.is_finite() { planned.max(hidden) } else { planned };
    let wider = if planned > 0.0 && planned.is_finite() { seen / planned } else { 1.0 };
    let detectable = seen.exp();
    let leans = call.leans_on_busy_pairs(&series.without_busy, pairs, series.margin_ln);
    let rounds_needed = required_pairs(spread * wider, series.margin_ln, planning_level, DEFAULT_POWER);
    Metric {
        arm: series.arm,
        transaction: series.planned.transaction,
        statement: series.planned.statement,
        quantity: series.planned.quantity,
        value_ns: series.value_ns,
        ratio: (pairs >= 2).then_some(Interval { point: ratio.point, lower: ratio.lower, upper: ratio.upper }),
        rounds: super::to_u32(pairs),
        samples_per_block: series.samples_per_block,
        gate: series.gate,
        verdict: if leans { Verdict::Inconclusive } else { call.verdict },
        taken_back: leans.then_some("the generator was short of processor time, which hides a difference"),
        margin: series.margin_ln.exp(),
        p: (test.p_greater, test.p_less),
        level: call.level(),
        spread,
        detectable: detectable.is_finite().then_some(detectable),
        rounds_needed: rounds_needed.map(super::to_u32),
        expectation: None,
        standing: None,
    }
}

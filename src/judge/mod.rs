//! Judging: from a record to estimates, verdicts and exit codes. Every number of a report is computed here, once.
//!
//! Takes a [`crate::record::Record`], returns a [`Comparison`] that reports only format. An experiment asks, while it measures, which pairs
//! must not be used ([`faults`](fn@faults)) and when it has enough of them ([`Stopping`], [`precision`](fn@precision)).
//!
//! In order: `group` sorts lines by scenario, `series` makes pairs of blocks and log ratios of pairs, `metrics` decides what is compared
//! and gated and lets [`crate::stats`] judge all of it as one family, `expectations` holds the verdicts against what the author stated, `outcome`
//! says what that means for the exit code, `warnings` what a reader must know, `best` which of several arms is the fastest, `rollup` sums up what only charts and tables need.
//!
//! Must not know: tokio, sqlx, the clock, how a report words or draws anything but reasons and warnings. Pure: the same record gives the
//! same comparison. Nothing here panics on a record, however odd.

mod best;
mod expectations;
mod faults;
mod group;
mod metrics;
mod outcome;
mod precision;
mod rollup;
mod series;
mod stopping;
mod warnings;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::record::{Arm, Arms, CheckRecord, EvidenceRecord, NoProcessorTime, Record, ScenarioRecord, StopReason, VariantRecord};
use crate::stats::FAMILY_ALPHA;

pub use crate::stats::Verdict;
pub use best::{Best, Unranked};
pub use expectations::{Standing, StatedExpectation, StatedQuantity};
pub use faults::{faults, unmeasured};
pub use metrics::{most_gated, samples_needed};
pub use precision::{Precision, precise_arms, precision};
pub use rollup::typical_rate;
pub use series::Both;
pub use stopping::{Reached, RoundEnd, Stopping};

use outcome::Failing;
use series::{Lopsided, Pairs};

/// A whole run, judged.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Scenarios in the order they ran.
    pub scenarios: Vec<ScenarioComparison>,
    /// The run as a whole.
    pub outcome: Outcome,
    /// Rounds that the smallest significance level of the run needs.
    pub minimum_rounds: u32,
    /// Gated metrics of the run, over which Holm's procedure ran.
    pub gated_metrics: u32,
}

/// How a run or a scenario ended, worst first, with the exit code.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A signal ended it: 130.
    Interrupted,
    /// Server or machine failed: 5.
    Infrastructure,
    /// Wrong answers or a leak: 6.
    WrongAnswers,
    /// Nothing can be said of it: SQL was rejected, arm and baseline fail, the load could not be offered, or transactions were lost count of. 4.
    Invalid,
    /// Regressed without being expected to, or an expectation contradicted: 1.
    Surprise,
    /// Nothing bad was found, but something gated stayed inconclusive: 0, or 3 if asked.
    Inconclusive,
    /// Everything as it should be: 0.
    Passed,
}

/// One scenario, judged.
#[derive(Clone, Debug, Serialize)]
pub struct ScenarioComparison {
    /// As it was run.
    pub scenario: ScenarioRecord,
    /// The databases.
    pub variants: Vec<VariantRecord>,
    /// Checks, failures first.
    pub checks: Vec<CheckRecord>,
    /// Metrics, gated ones first, in the order of transactions and statements; each for one arm after the other.
    pub metrics: Vec<Metric>,
    /// The best arm by each gated metric that all have, where there are several beside the baseline.
    pub best: Vec<Best>,
    /// Why the arms are not ranked; `None` if they are, if there are only two, or if nothing is gated.
    pub unranked: Option<Unranked>,
    /// Closed-loop transactions a second by arm, where measured or probed.
    pub capacity: Arms<Option<f64>>,
    /// An arm's capacity over the baseline's (above 1 is more), where blocks measured it: shown, never gated.
    pub capacity_ratio: Arms<Option<Interval>>,
    /// Response times at half of each arm's own capacity, where blocks measured them.
    pub own_rate: Arms<Option<OwnRate>>,
    /// Plans and counters.
    pub evidence: Vec<EvidenceRecord>,
    /// Quantile curves `(quantile, ns)` over all kept blocks: by `transaction` (response) and `transaction/statement` (service).
    pub curves: BTreeMap<String, Arms<Vec<(f64, f64)>>>,
    /// Blocks in the order they ran, for the chart over time.
    pub blocks: Vec<BlockPoint>,
    /// Service times by tenant class.
    pub classes: Vec<ClassRow>,
    /// Share of finished transactions that failed, over kept blocks.
    pub failed_share: Arms<f64>,
    /// Errors by SQLSTATE.
    pub errors: BTreeMap<String, Arms<u64>>,
    /// Why processor time was not measured, where it was not.
    pub no_processor: Option<NoProcessorTime>,
    /// Counters a transaction: WAL bytes, buffers.
    pub server: Arms<ServerPerTransaction>,
    /// Rounds kept and discarded (with reasons and how often).
    pub rounds: RoundCount,
    /// What disturbed kept blocks.
    pub disturbed: DisturbedBlocks,
    /// Share of the machine's processor time that its host gave to others in the blocks; `None` where none of them knows.
    pub stolen_share: Option<f64>,
    /// Why it stopped.
    pub stop: StopReason,
    /// What a reader must know.
    pub warnings: Vec<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// What the author expects, in the order of the file, and what came of it.
    pub expectations: Vec<StatedExpectation>,
}

impl ScenarioComparison {
    /// The arm that a metric is of, where there are several beside the baseline.
    pub fn arm_of(&self, metric: &Metric) -> Option<&str> {
        (self.scenario.arms.count() > 2).then(|| self.scenario.arms.get(metric.arm).name.as_str())
    }

    /// The arms, for people: `before-domain → after, after-repaired`.
    pub fn versus(&self) -> String {
        let arms = &self.scenario.arms;
        let others: Vec<&str> = arms.others.iter().map(|arm| arm.name.as_str()).collect();
        if others.is_empty() { arms.baseline.name.clone() } else { format!("{} → {}", arms.baseline.name, others.join(", ")) }
    }

    /// What the author expects of a metric of this scenario.
    pub fn expectation_of(&self, metric: &Metric) -> Option<&StatedExpectation> {
        self.expectations.get(metric.expectation?)
    }
}

/// A quantity that is compared.
#[derive(Clone, Debug, Serialize)]
pub struct Metric {
    /// The arm that is compared with the baseline.
    pub arm: Arm,
    /// Transaction.
    pub transaction: String,
    /// Statement; `None` for the whole transaction.
    pub statement: Option<String>,
    /// What.
    pub quantity: Quantity,
    /// Geometric mean over kept blocks, ns; NaN (null in JSON) without samples.
    pub value_ns: Both<f64>,
    /// The arm's over the baseline's, as time (below 1 is faster), with its interval; `None` with fewer than 2 rounds.
    pub ratio: Option<Interval>,
    /// Rounds it rests on.
    pub rounds: u32,
    /// Samples a block, median.
    pub samples_per_block: u64,
    /// Whether it decides the outcome; if not, why.
    pub gate: Gate,
    /// The verdict; shown-only metrics have one too, but it decides nothing.
    pub verdict: Verdict,
    /// Why its verdict was taken back, where it was, so that more rounds would not settle it.
    pub taken_back: Option<&'static str>,
    /// Margin that matters, as a factor (1.05 is 5%): the relative one, or the floor over the faster one's value where that is more. NaN
    /// (null in JSON) where it cannot be told.
    pub margin: f64,
    /// One-sided p-value towards slower and towards faster.
    pub p: (f64, f64),
    /// One-sided level that Holm's procedure held it to, in the direction that the estimate points to; 1% for what is only shown.
    pub level: f64,
    /// Robust standard deviation of the rounds' log ratios; NaN (null in JSON) with fewer than 2 rounds.
    pub spread: f64,
    /// Smallest effect, as a factor above 1, that this run could have seen with 90% power; `None` if it has too few rounds to see any.
    pub detectable: Option<f64>,
    /// Rounds that would be needed to see an effect of the margin with 90% power.
    pub rounds_needed: Option<u32>,
    /// Position among the scenario's expectations of the one that speaks for it; `None` if none does.
    pub expectation: Option<usize>,
    /// Whether the verdict is an expected one, or a surprise; `None` if it is neither, or decides nothing.
    pub standing: Option<Standing>,
}

/// What is measured of a transaction or statement.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Median service time.
    ServiceP50,
    /// 95th percentile of service time.
    ServiceP95,
    /// Mean service time of fixed work.
    ServiceMean,
    /// Median response time.
    ResponseP50,
    /// 95th percentile of response time.
    ResponseP95,
    /// 99th percentile of response time: shown, never gated.
    ResponseP99,
    /// Median wait for a connection.
    AcquireP50,
    /// Time of the backends on processors, a transaction.
    Processor,
}

impl Quantity {
    /// Short: service times go without a word.
    pub fn name(self) -> &'static str {
        match self {
            Quantity::ServiceP50 => "p50",
            Quantity::ServiceP95 => "p95",
            Quantity::ServiceMean => "mean",
            Quantity::ResponseP50 => "response p50",
            Quantity::ResponseP95 => "response p95",
            Quantity::ResponseP99 => "response p99",
            Quantity::AcquireP50 => "acquire p50",
            Quantity::Processor => "processor",
        }
    }
}

impl Metric {
    /// Whether it is of the same transaction, statement and quantity as another, be it of another arm.
    pub fn is_like(&self, other: &Metric) -> bool {
        (&self.transaction, &self.statement, self.quantity) == (&other.transaction, &other.statement, other.quantity)
    }

    /// What it is of: `transaction/statement`, or the transaction.
    pub fn subject(&self) -> String {
        match &self.statement {
            Some(statement) => format!("{}/{statement}", self.transaction),
            None => self.transaction.clone(),
        }
    }
}

/// Whether a metric decides.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Gate {
    /// It decides.
    Gated,
    /// It is shown only, for this reason.
    Shown {
        /// Why.
        why: String,
    },
}

/// A ratio with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Estimate.
    pub point: f64,
    /// Lower bound; 0 if there is none.
    pub lower: f64,
    /// Upper bound; infinite (null in JSON) if there is none.
    pub upper: f64,
}

/// What users of one arm alone would see, at half of its own capacity.
#[derive(Clone, Debug, Serialize)]
pub struct OwnRate {
    /// Arrivals a second.
    pub rate_per_second: f64,
    /// Blocks that measured it.
    pub blocks: u32,
    /// Those in which transactions started late, or the generator stood still or was busy.
    pub disturbed: u32,
    /// In the scenario's order.
    pub transactions: Vec<OwnRateRow>,
}

/// Times of one transaction at an arm's own rate, over all its blocks, ns.
#[derive(Clone, Debug, Serialize)]
pub struct OwnRateRow {
    /// Transaction.
    pub transaction: String,
    /// Median response.
    pub response_p50_ns: Option<f64>,
    /// 95th percentile of response.
    pub response_p95_ns: Option<f64>,
    /// 99th percentile of response.
    pub response_p99_ns: Option<f64>,
    /// 95th percentile of the wait for a connection.
    pub acquire_p95_ns: Option<f64>,
}

/// One block in the chart over time.
#[derive(Clone, Debug, Serialize)]
pub struct BlockPoint {
    /// Position in the scenario.
    pub position: u32,
    /// Round.
    pub round: u32,
    /// Arm.
    pub arm: Arm,
    /// Start, seconds since the run began.
    pub started_seconds: f64,
    /// Headline value: service p50 of the first transaction, ns.
    pub value_ns: f64,
    /// Why it is not used, in words.
    pub discarded: Option<String>,
}

/// Service times of one transaction for one class of tenants.
#[derive(Clone, Debug, Serialize)]
pub struct ClassRow {
    /// Transaction.
    pub transaction: String,
    /// Class.
    pub class: String,
    /// Transactions.
    pub count: Arms<u64>,
    /// Median, ns.
    pub p50_ns: Arms<Option<f64>>,
    /// 95th percentile, ns.
    pub p95_ns: Arms<Option<f64>>,
}

/// Counters of the server divided by transactions, over kept blocks.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ServerPerTransaction {
    /// Blocks hit.
    pub blocks_hit: f64,
    /// Blocks read.
    pub blocks_read: f64,
    /// WAL bytes.
    pub wal_bytes: f64,
    /// Temporary bytes.
    pub temp_bytes: f64,
    /// Share of executions with a generic plan.
    pub generic_share: f64,
}

/// Rounds of a scenario.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RoundCount {
    /// Of which every block is used.
    pub kept: u32,
    /// The others, unfinished ones among them.
    pub discarded: u32,
    /// Reasons in words, and in how many rounds; a round may have more than one.
    pub reasons: BTreeMap<String, u32>,
}

/// What the machine and the generator did to kept blocks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct DisturbedBlocks {
    /// All kept blocks.
    pub blocks: u32,
    /// Blocks with any of the following.
    pub disturbed: u32,
    /// Blocks in which transactions started late.
    pub late: u32,
    /// Lag that 1% of a block's transactions exceeded, the most of all blocks, ns.
    pub longest_lag_ns: u64,
    /// Blocks in which a load thread stood still.
    pub stalled: u32,
    /// For how long at most, ns.
    pub longest_stall_ns: u64,
    /// Blocks in which the generator was over 70% of a core a thread.
    pub busy: u32,
    /// Blocks in which fewer than 99% of the offered transactions were answered.
    pub unfinished: u32,
}

/// Judges a record. Never fails: what a record lacks makes its outcome worse and is told in warnings.
///
/// A record without its end line (a killed run) is judged as [`Outcome::Interrupted`]; append `End` before judging a run in memory.
pub fn compare(record: &Record) -> Comparison {
    let groups = group::split(record);
    let rivals: Vec<Vec<Rival<'_>>> = groups.iter().map(Rival::all).collect();
    let series =
        |(group, rivals): (&group::Group<'_>, &Vec<Rival<'_>>)| metrics::series(&group.scenario, rivals.iter().map(|rival| &rival.pairs));
    let family = metrics::judge(groups.iter().zip(&rivals).map(series).collect());
    let scenarios: Vec<ScenarioComparison> = groups
        .into_iter()
        .zip(&rivals)
        .zip(family.metrics)
        .map(|((group, rivals), metrics)| scenario_comparison(group, rivals, metrics, record.header.aa))
        .collect();
    Comparison {
        outcome: outcome::of_run(record, &scenarios),
        scenarios,
        minimum_rounds: to_u32(crate::stats::minimum_pairs(family.gated, FAMILY_ALPHA).unwrap_or(usize::MAX)),
        gated_metrics: to_u32(family.gated),
    }
}

/// An arm beside the baseline: their pairs, and what these say of themselves.
struct Rival<'a> {
    pairs: Pairs<'a>,
    failing: Failing,
    lopsided: Option<Lopsided>,
}

impl<'a> Rival<'a> {
    /// Those of a scenario, in order.
    fn all(group: &group::Group<'a>) -> Vec<Rival<'a>> {
        let of = |arm: Arm| {
            let pairs = Pairs::of(group.blocks.iter().copied(), arm);
            Rival { failing: outcome::failing(&pairs), lopsided: pairs.lopsided(group.scenario.arms.others.len()), pairs }
        };
        group.scenario.arms.rivals().map(of).collect()
    }
}

fn scenario_comparison(group: group::Group<'_>, rivals: &[Rival<'_>], metrics: Vec<Metric>, aa: bool) -> ScenarioComparison {
    let mut metrics = outcome::take_back(metrics, rivals);
    let kept = group.scenario.arms.each(|arm| series::kept_blocks(rivals, arm));
    let disturbed = rollup::disturbed(&kept);
    metrics::mark_disturbed(&mut metrics, &disturbed);
    let ranked = best::of_scenario(&metrics, rivals);
    let mut expectations = expectations::stated(&group.scenario);
    expectations::hold(&mut expectations, &mut metrics);
    ScenarioComparison {
        outcome: outcome::of_scenario(&group, rivals, &metrics, &expectations),
        warnings: warnings::of_scenario(&group, rivals, &kept, &metrics, aa),
        expectations,
        best: ranked.clone().unwrap_or_default(),
        unranked: ranked.err(),
        capacity: rollup::capacity(&group),
        capacity_ratio: rollup::capacity_ratio(&group),
        own_rate: rollup::own_rate(&group),
        curves: rollup::curves(&kept),
        blocks: rollup::block_points(&group.scenario, rivals),
        classes: rollup::classes(&group.scenario, &group.classes),
        errors: rollup::errors(&kept),
        failed_share: kept.map(|blocks| outcome::failed_share(blocks.iter().copied())),
        no_processor: rollup::no_processor(&kept),
        server: rollup::server(&kept),
        rounds: series::count(rivals),
        disturbed,
        stolen_share: rollup::stolen_share(&group.blocks),
        stop: group.stop,
        metrics,
        variants: group.variants,
        checks: group.checks,
        evidence: group.evidence,
        scenario: group.scenario,
    }
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

//! Judging: from a record to estimates and verdicts. Pure and seeded; names neither tokio nor sqlx, and every number is computed once.
//!
//! Takes a [`crate::record::Record`], returns a [`Comparison`] that reports only format.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::record::{CheckRecord, EvidenceRecord, Expectation, Record, ScenarioRecord, Side, Sides, StopReason, VariantRecord};

/// A whole run, judged.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Scenarios in the order they ran.
    pub scenarios: Vec<ScenarioComparison>,
    /// The run as a whole.
    pub outcome: Outcome,
    /// Pairs that the smallest significance level of the run needs.
    pub minimum_pairs: u32,
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
    /// Too little of it can be used: 4.
    Invalid,
    /// Regressed without being expected to, or an expectation contradicted: 1.
    Surprise,
    /// Nothing bad was found, but something gated stayed inconclusive: 0, or 3 if asked.
    Inconclusive,
    /// Everything as it should be: 0.
    Passed,
}

/// What a metric's comparison says.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Faster, significantly, by half the margin or more.
    Improved,
    /// Slower, significantly, by half the margin or more.
    Regressed,
    /// The interval lies within the margin.
    Unchanged,
    /// None of these can be said.
    Inconclusive,
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
    /// Metrics, gated ones first, in the order of transactions and statements.
    pub metrics: Vec<Metric>,
    /// Closed-loop transactions a second by side, where probed.
    pub capacity: Sides<Option<f64>>,
    /// Plans and counters.
    pub evidence: Vec<EvidenceRecord>,
    /// Quantile curves `(quantile, ns)` over all kept blocks: by `transaction` (response) and `transaction/statement` (service).
    pub curves: BTreeMap<String, Sides<Vec<(f64, f64)>>>,
    /// Blocks in the order they ran, for the chart over time.
    pub blocks: Vec<BlockPoint>,
    /// Service times by tenant class.
    pub classes: Vec<ClassRow>,
    /// Errors by SQLSTATE.
    pub errors: BTreeMap<String, Sides<u64>>,
    /// Counters a transaction: WAL bytes, buffers.
    pub server: Sides<ServerPerTransaction>,
    /// Pairs kept and discarded (with reasons and how often).
    pub pairs: PairCount,
    /// Why it stopped.
    pub stop: StopReason,
    /// What a reader must know.
    pub warnings: Vec<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether what the author expected came out; `None` if nothing was stated or nothing can be said.
    pub expectation_met: Option<bool>,
}

/// A quantity that is compared.
#[derive(Clone, Debug, Serialize)]
pub struct Metric {
    /// Transaction.
    pub transaction: String,
    /// Statement; `None` for the whole transaction.
    pub statement: Option<String>,
    /// What.
    pub quantity: Quantity,
    /// Geometric mean over kept blocks, ns.
    pub value_ns: Sides<f64>,
    /// After over before, as time (below 1 is faster), with its interval; `None` with fewer than 2 pairs.
    pub ratio: Option<Interval>,
    /// Pairs it rests on.
    pub pairs: u32,
    /// Samples a block, median.
    pub samples_per_block: u64,
    /// Whether it decides the outcome; if not, why.
    pub gate: Gate,
    /// The verdict; shown-only metrics have one too, but it decides nothing.
    pub verdict: Verdict,
    /// Margin that matters, as a factor (1.05 is 5%).
    pub margin: f64,
    /// One-sided p-value towards slower and towards faster.
    pub p: (f64, f64),
    /// Level that Holm's procedure gave it.
    pub level: f64,
    /// Standard deviation of the pairs' log ratios.
    pub pair_spread: f64,
    /// Smallest effect, as a factor above 1, that this run could have seen with 90% power.
    pub detectable: Option<f64>,
    /// Pairs that would be needed to see the margin.
    pub pairs_needed: Option<u32>,
}

/// What is measured of a transaction or statement.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
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

/// One block in the chart over time.
#[derive(Clone, Debug, Serialize)]
pub struct BlockPoint {
    /// Position in the scenario.
    pub position: u32,
    /// Pair.
    pub pair: u32,
    /// Side.
    pub side: Side,
    /// Start, seconds since the run began.
    pub started_seconds: f64,
    /// Headline value: service p50 (or fixed-work mean) of the first transaction, ns.
    pub value_ns: f64,
    /// Why the pair was discarded, in words.
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
    pub count: Sides<u64>,
    /// Median, ns.
    pub p50_ns: Sides<Option<f64>>,
    /// 95th percentile, ns.
    pub p95_ns: Sides<Option<f64>>,
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

/// Pairs of a scenario.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PairCount {
    /// Used.
    pub kept: u32,
    /// Not used.
    pub discarded: u32,
    /// Reasons in words, and how often.
    pub reasons: BTreeMap<String, u32>,
}

/// Judges a record.
pub fn compare(record: &Record) -> Comparison {
    let _ = (record, Expectation::Improved);
    todo!()
}

//! What the load of one variant came to: from the record of `pgduel run` to throughput, percentiles and what held it back.
//!
//! Takes a [`Record`], returns a [`Summary`] that reports only format; every number of a run is computed here, once. Pure, and without a
//! panic on any record, however odd. Must not know: tokio, sqlx, the clock, how a report words or draws anything but reasons.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::record::{
    Accounting, Arrivals, BlockRecord, Disturbance, GeneratorReport, Histogram, Line, Mode, NoProcessorTime, Notice, Record,
    ScenarioRecord, Stage, StageTimes, StopReason, TenantClassRecord, TransactionTimes, VariantRecord,
};

/// Share of finished transactions that may fail before times speak for too few of them.
const MOST_ERRORS: f64 = 0.01;

/// One run of one variant.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// As it was run.
    pub scenario: Option<ScenarioRecord>,
    /// The database.
    pub variant: Option<VariantRecord>,
    /// What was measured; `None` if it never came to that.
    pub load: Option<Load>,
    /// Why it stopped; `None` if the record ends before.
    pub stop: Option<StopReason>,
    /// What a reader must know.
    pub warnings: Vec<String>,
    /// How it ended.
    pub outcome: RunOutcome,
}

/// How a run of one variant ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunOutcome {
    /// In its own time: 0.
    Finished,
    /// By a signal: 130.
    Interrupted,
    /// Server or machine failed: 5.
    Infrastructure,
    /// Nothing of it can be used: 4.
    Invalid,
}

impl RunOutcome {
    /// The exit code.
    pub fn exit_code(self) -> i32 {
        match self {
            RunOutcome::Finished => 0,
            RunOutcome::Interrupted => 130,
            RunOutcome::Infrastructure => 5,
            RunOutcome::Invalid => 4,
        }
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Load {
    /// How transactions began.
    pub arrivals: Arrivals,
    /// Length of the measured stretch, seconds.
    pub seconds: f64,
    /// From the end of the measured stretch until the last of its transactions was done, seconds.
    pub drain_seconds: f64,
    /// Transactions that finished well, a second of the measured stretch and of the time after it that its last ones took.
    pub throughput_per_second: f64,
    /// What was offered and what came of it, if the server could not keep up; `None` if it could, or if nothing was offered by the clock.
    pub overload: Option<Overload>,
    /// Where every transaction ended up.
    pub accounting: Accounting,
    /// Whether the accounts balance.
    pub balanced: bool,
    /// By transaction.
    pub transactions: Vec<TransactionLoad>,
    /// All of them together, where there are several.
    pub all: Option<TransactionLoad>,
    /// By stage of the load, where it has stages.
    pub stages: Vec<StageLoad>,
    /// Service times by transaction and class of tenant.
    pub classes: Vec<ClassLoad>,
    /// Failed transactions by SQLSTATE, with the time they took.
    pub errors: BTreeMap<String, Percentiles>,
    /// What the generator says of itself.
    pub generator: Generator,
    /// Counters a transaction.
    pub server: PerTransaction,
}

/// More was offered than the server can do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Overload {
    /// Transactions offered a second.
    pub offered_per_second: f64,
    /// Transactions finished a second.
    pub done_per_second: f64,
}

/// Times of one transaction, ns.
#[derive(Clone, Debug, Serialize)]
pub struct TransactionLoad {
    /// Its name.
    pub name: String,
    /// From the intended start to the last row.
    pub response: Percentiles,
    /// Waiting for a connection.
    pub acquire: Percentiles,
    /// From the first byte sent to the last row.
    pub service: Percentiles,
    /// Of those, the ones that took more than one run; `None` if there are none.
    pub retried: Option<Percentiles>,
    /// Runs after the first.
    pub retries: u64,
    /// Service times of its statements, in order.
    pub statements: Vec<StatementLoad>,
}

/// What became of the arrivals that were due in one stage; times in ns.
#[derive(Clone, Debug, Serialize)]
pub struct StageLoad {
    /// The stage.
    pub stage: Stage,
    /// Intended starts.
    pub scheduled: u64,
    /// Finished with an error, or gave up waiting for a connection.
    pub failed: u64,
    /// Never started, or had not ended when draining was given up.
    pub unfinished: u64,
    /// From the intended start to the last row.
    pub response: Percentiles,
    /// Waiting for a connection.
    pub acquire: Percentiles,
}

/// Service times of one statement, ns.
#[derive(Clone, Debug, Serialize)]
pub struct StatementLoad {
    /// Its name.
    pub name: String,
    /// Its times.
    pub service: Percentiles,
}

/// Service times of one transaction for one class of tenants, ns.
#[derive(Clone, Debug, Serialize)]
pub struct ClassLoad {
    /// The transaction.
    pub transaction: String,
    /// `whale`, `middle` or `tail`.
    pub class: String,
    /// Its times.
    pub service: Percentiles,
}

/// A distribution in a few numbers, ns. A percentile that no sample lies above is `None`: it would only repeat the maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Samples.
    pub count: u64,
    /// Mean.
    pub mean: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// 99.9th percentile.
    pub p999: Option<f64>,
    /// Longest.
    pub max: Option<f64>,
}

impl Percentiles {
    /// Of a histogram.
    pub fn of(times: &Histogram) -> Percentiles {
        let count = times.count();
        let at = |q: f64| times.quantile(q).filter(|_| count as f64 * (1.0 - q) >= 1.0 - 1e-9);
        Percentiles {
            count,
            mean: times.mean(),
            p50: times.quantile(0.5),
            p90: at(0.90),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: (count > 0).then(|| times.max() as f64),
        }
    }
}

/// What the generator says of itself.
#[derive(Clone, Debug, Serialize)]
pub struct Generator {
    /// 99th percentile of the time from the intended start to the pool's queue, ns.
    pub lag_p99_ns: Option<f64>,
    /// Share of a core a thread.
    pub cpu_share: f64,
    /// Longest stall, ns.
    pub longest_stall_ns: u64,
    /// Transactions answered, be it by giving up the wait for a connection, over transactions offered.
    pub achieved_share: f64,
    /// Share of the machine's processor time that its host gave to others; `None` where the system does not tell.
    pub stolen_share: Option<f64>,
    /// Connections at work on average, as they were looked up; `None` where nobody looked.
    pub busy: Option<f64>,
    /// How it held back what was measured; `None` if it did not.
    pub bottleneck: Option<String>,
    /// Whether it stood still for so long that the slowest times may be its own.
    pub stalled: bool,
}

/// Counters of the server divided by transactions, settle time included.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PerTransaction {
    /// Blocks hit.
    pub blocks_hit: f64,
    /// Blocks read.
    pub blocks_read: f64,
    /// WAL bytes.
    pub wal_bytes: f64,
    /// Temporary bytes.
    pub temp_bytes: f64,
    /// Time of the backends on processors; `None` where it is not known.
    pub processor: Option<ProcessorPerTransaction>,
    /// Why it is not known; `None` if it is, or if it was not asked for.
    pub no_processor: Option<NoProcessorTime>,
}

/// Time of the backends on processors divided by transactions, ns.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ProcessorPerTransaction {
    /// On a processor.
    pub on_processor_ns: f64,
    /// Ready to run, while others had the processor.
    pub waiting_ns: f64,
}

/// Sums up the record of a run of one variant; `None` for the record of a duel.
pub fn summarise(record: &Record) -> Option<Summary> {
    if record.header.mode != Mode::Run {
        return None;
    }
    let mut summary =
        Summary { scenario: None, variant: None, load: None, stop: None, warnings: Vec::new(), outcome: RunOutcome::Interrupted };
    let mut sum: Option<BlockRecord> = None;
    let mut classes = Vec::new();
    let mut interrupted = true;
    for line in &record.lines {
        match line {
            Line::Scenario(scenario) => summary.scenario = Some((**scenario).clone()),
            Line::Variant(variant) => summary.variant = Some(variant.clone()),
            Line::Block(block) => match &mut sum {
                Some(sum) => sum.add(block),
                None => sum = Some((**block).clone()),
            },
            Line::TenantClass(class) => classes.push(class_load(class)),
            Line::ScenarioEnd(end) => {
                summary.stop = Some(end.stop.clone());
                summary.warnings.extend(end.notices.iter().map(Notice::to_string));
            }
            Line::End(end) => interrupted = end.interrupted,
            _ => {}
        }
    }
    // What was cut off before anything ended has times and shares of nothing.
    let nothing = |block: &BlockRecord| block.accounting.answered() == 0;
    let measured = sum.filter(|sum| !(interrupted && nothing(sum)));
    summary.load = measured.map(|sum| load(&sum, summary.scenario.as_ref(), classes));
    summary.outcome = outcome(&summary, interrupted);
    let found = warnings(&summary);
    summary.warnings.extend(found);
    Some(summary)
}

fn outcome(summary: &Summary, interrupted: bool) -> RunOutcome {
    match (&summary.stop, &summary.load) {
        _ if interrupted => RunOutcome::Interrupted,
        (Some(StopReason::Infrastructure { .. }), _) => RunOutcome::Infrastructure,
        (_, Some(load)) if load.balanced && load.accounting.ok > 0 => RunOutcome::Finished,
        _ => RunOutcome::Invalid,
    }
}

fn load(block: &BlockRecord, scenario: Option<&ScenarioRecord>, classes: Vec<ClassLoad>) -> Load {
    let seconds = block.duration_ns as f64 / 1e9;
    let drain_seconds = block.drain_ns as f64 / 1e9;
    let throughput_per_second = match block.load.arrivals {
        // They ask as fast as they are answered: what ends in the stretch makes up for what began before it.
        Arrivals::Users { .. } => per_second(block.completed, seconds),
        // All that was scheduled in the stretch is counted, so the time that it took to finish counts too.
        _ => per_second(block.accounting.ok, seconds + drain_seconds),
    };
    let transactions = block.server.transactions.max(1) as f64;
    let names = in_order(block, scenario);
    let disturbances = block.disturbances();
    Load {
        arrivals: block.load.arrivals.clone(),
        seconds,
        drain_seconds,
        throughput_per_second,
        overload: overload(block),
        accounting: block.accounting,
        balanced: block.accounting.balances(),
        all: (names.len() > 1).then(|| together(block)),
        transactions: names.into_iter().map(|(name, statements)| transaction(block, name, &statements)).collect(),
        stages: stages(block),
        classes,
        errors: block.errors.iter().map(|(code, times)| (code.clone(), Percentiles::of(times))).collect(),
        generator: Generator {
            lag_p99_ns: block.generator.lag.quantile(0.99),
            cpu_share: block.generator.cpu_share,
            longest_stall_ns: block.generator.longest_stall_ns,
            achieved_share: block.generator.achieved_share,
            stolen_share: block.generator.stolen_share,
            busy: block.generator.busy.map(|busy| busy.mean),
            bottleneck: disturbances.iter().find_map(bottleneck),
            stalled: disturbances.iter().any(|one| matches!(one, Disturbance::Stalled { .. })),
        },
        server: PerTransaction {
            blocks_hit: block.server.blocks_hit as f64 / transactions,
            blocks_read: block.server.blocks_read as f64 / transactions,
            wal_bytes: block.server.wal_bytes as f64 / transactions,
            temp_bytes: block.server.temp_bytes as f64 / transactions,
            // Without a transaction there is nothing to divide by.
            processor: block.server.processor.filter(|_| block.server.transactions > 0).map(|time| ProcessorPerTransaction {
                on_processor_ns: time.on_processor_ns as f64 / transactions,
                waiting_ns: time.waiting_ns as f64 / transactions,
            }),
            no_processor: block.server.no_processor,
        },
    }
}

fn per_second(number: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { number as f64 / seconds } else { 0.0 }
}

fn overload(block: &BlockRecord) -> Option<Overload> {
    let (seconds, drain) = (block.duration_ns as f64 / 1e9, block.drain_ns as f64 / 1e9);
    let accounting = &block.accounting;
    // What the rate came to on average says nothing of stages, which are shown one by one.
    (block.stages.is_empty() && block.is_overloaded()).then(|| Overload {
        offered_per_second: per_second(accounting.scheduled, seconds),
        // With a queue that never empties, what ends in the stretch is all that the server can do, whenever it began.
        done_per_second: match block.completed {
            0 => per_second(accounting.ok.saturating_add(accounting.error), seconds + drain),
            completed => per_second(completed, seconds),
        },
    })
}

/// Transactions with the names of their statements, in the scenario's order; by name where the record does not describe it.
fn in_order<'a>(block: &'a BlockRecord, scenario: Option<&'a ScenarioRecord>) -> Vec<(&'a str, Vec<&'a str>)> {
    match scenario {
        Some(scenario) => scenario
            .transactions
            .iter()
            .map(|one| (one.name.as_str(), one.statements.baseline.iter().map(|statement| statement.name.as_str()).collect()))
            .collect(),
        None => block.transactions.keys().map(|name| (name.as_str(), Vec::new())).collect(),
    }
}

fn transaction(block: &BlockRecord, name: &str, statements: &[&str]) -> TransactionLoad {
    let statement = |statement: &&str| {
        let times = block.statements.get(&format!("{name}/{statement}"));
        StatementLoad { name: (*statement).to_owned(), service: times.map(Percentiles::of).unwrap_or_default() }
    };
    let statements = statements.iter().map(statement).collect();
    transaction_load(name, block.transactions.get(name).unwrap_or(&TransactionTimes::default()), statements)
}

fn together(block: &BlockRecord) -> TransactionLoad {
    let mut all = TransactionTimes::default();
    for times in block.transactions.values() {
        all.add(times);
    }
    transaction_load("all transactions", &all, Vec::new())
}

fn transaction_load(name: &str, times: &TransactionTimes, statements: Vec<StatementLoad>) -> TransactionLoad {
    TransactionLoad {
        name: name.to_owned(),
        response: Percentiles::of(&times.response),
        acquire: Percentiles::of(&times.acquire),
        service: Percentiles::of(&times.service),
        retried: (!times.retried.is_empty()).then(|| Percentiles::of(&times.retried)),
        retries: times.retries,
        statements,
    }
}

fn stages(block: &BlockRecord) -> Vec<StageLoad> {
    let stages = block.load.arrivals.stages();
    let load = |(stage, times): (&Stage, &StageTimes)| StageLoad {
        stage: *stage,
        scheduled: times.scheduled,
        failed: times.failed,
        unfinished: times.scheduled.saturating_sub(times.failed).saturating_sub(times.response.count()),
        response: Percentiles::of(&times.response),
        acquire: Percentiles::of(&times.acquire),
    };
    stages.iter().zip(&block.stages).map(load).collect()
}

fn class_load(class: &TenantClassRecord) -> ClassLoad {
    ClassLoad { transaction: class.transaction.clone(), class: class.class.clone(), service: Percentiles::of(&class.service) }
}

/// How the generator, rather than the server, set the numbers.
fn bottleneck(disturbance: &Disturbance) -> Option<String> {
    match disturbance {
        Disturbance::Late { lag_ns } => Some(format!(
            "it started transactions late: 1% of them by more than {:.2} ms; ask for fewer a second, or keep other work away",
            *lag_ns as f64 / 1e6
        )),
        Disturbance::Busy { percent } => {
            Some(format!("its threads were busy for {percent}% of the time: the server may be able to do more than this"))
        }
        // One pause makes a few times too long, but is not what all of them wait for.
        Disturbance::Stalled { .. } | Disturbance::Unfinished { .. } => None,
    }
}

fn warnings(summary: &Summary) -> Vec<String> {
    let Some(load) = &summary.load else { return Vec::new() };
    let mut warnings = Vec::new();
    let accounting = &load.accounting;
    if !load.balanced {
        warnings
            .push("transactions were lost (scheduled is not ok + error + timed out + dropped + in flight): do not use this run".to_owned());
    }
    let failed = accounting.failed_share();
    if failed > MOST_ERRORS {
        warnings.push(format!("{:.1}% of the transactions failed: times are those of the others only", failed * 100.0));
    }
    if accounting.in_flight > 0 {
        let lost = accounting.in_flight;
        let (noun, are) = if lost == 1 { ("transaction", "slowest is") } else { ("transactions", "slowest are") };
        warnings.push(format!("{lost} {noun} had not finished when draining was given up: the {are} missing"));
    }
    if load.generator.stalled {
        let ms = load.generator.longest_stall_ns as f64 / 1e6;
        warnings
            .push(format!("the generator stood still for {ms:.1} ms, as something else kept the cores: the slowest times may be its own"));
    }
    if let Some(stolen) = load.generator.stolen_share.filter(|share| *share >= GeneratorReport::NOTABLE_STEAL) {
        warnings.push(format!(
            "the host of this virtual machine gave {:.1}% of its processor time to others (steal): server and generator stood still meanwhile",
            stolen * 100.0
        ));
    }
    // An overloaded server says it louder.
    let open = load.overload.is_none() && load.arrivals.is_open() && load.stages.is_empty();
    let waited = |one: &TransactionLoad| one.acquire.p50.unwrap_or(0.0) > one.service.p50.unwrap_or(f64::INFINITY);
    if open && load.transactions.iter().any(waited) {
        let more = "half of the transactions waited longer for a connection than they took";
        warnings.push(format!("{more}: the connections are too few for this rate, or it is more than the server can do (leave out --rate to see how much that is)"));
    }
    let usual = load.all.as_ref().or(load.transactions.first()).and_then(|all| all.service.p50).unwrap_or(f64::INFINITY);
    let full = load.stages.iter().enumerate().filter(|(_, one)| one.acquire.p50.unwrap_or(0.0) > usual);
    let full: Vec<String> = full.map(|(number, _)| (number + 1).to_string()).collect();
    if !full.is_empty() {
        let noun = if full.len() == 1 { "stage" } else { "stages" };
        let more = "half of the transactions waited longer for a connection than transactions take";
        warnings.push(format!(
            "in {noun} {} {more}: the rate is more than the pool or the server can do, or they had not recovered yet",
            full.join(", ")
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(values: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::new();
        values.into_iter().for_each(|value| histogram.record(value));
        histogram
    }

    #[test]
    fn a_percentile_needs_a_sample_above_it() {
        let few = Percentiles::of(&times(1..=99));
        assert!(few.p90.is_some() && few.p95.is_some() && few.p99.is_none() && few.p999.is_none());
        let hundred = Percentiles::of(&times(1..=100));
        assert!(hundred.p99.is_some() && hundred.p999.is_none());
        assert!(Percentiles::of(&times(1..=1000)).p999.is_some());
        assert_eq!(Percentiles::of(&Histogram::new()), Percentiles::default());
    }

    #[test]
    fn only_the_generators_own_faults_are_its_bottleneck() {
        assert!(bottleneck(&Disturbance::Late { lag_ns: 2_000_000 }).is_some());
        assert!(bottleneck(&Disturbance::Busy { percent: 90 }).is_some());
        assert!(bottleneck(&Disturbance::Stalled { stall_ns: 20_000_000 }).is_none());
        assert!(bottleneck(&Disturbance::Unfinished { per_mille: 900 }).is_none());
    }
}

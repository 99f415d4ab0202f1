//! Measured blocks, and why some of them may be unusable.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Arm, BlockLoad, BlockPurpose, Histogram, NoProcessorTime, ProcessorTime};

/// Closed-loop capacity of one arm.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct ProbeRecord {
    /// The scenario.
    pub scenario: String,
    /// The arm.
    pub arm: Arm,
    /// Connections in use.
    pub connections: u32,
    /// Transactions a second.
    pub capacity_per_second: f64,
    /// Transactions counted.
    pub transactions: u64,
}

/// One measured block: one stretch of one scenario on one arm.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct BlockRecord {
    /// The scenario.
    pub scenario: String,
    /// Round it belongs to: one block of every arm. What arms differ by within rounds is the sampling unit.
    pub round: u32,
    /// Position in the run, counting all blocks of the scenario.
    pub position: u32,
    /// The arm.
    pub arm: Arm,
    /// Which build of the arm's database it ran on: two builds of one variant differ in their physical layout.
    #[serde(default)]
    pub build: u32,
    /// What it was for.
    pub purpose: BlockPurpose,
    /// What it was to do.
    pub load: BlockLoad,
    /// Offset from the start of the run, ns.
    pub started_ns: u64,
    /// Measured stretch, settle time excluded, ns.
    pub duration_ns: u64,
    /// From the end of the measured stretch until the last of its transactions was done, ns: how far the server was behind.
    #[serde(default)]
    pub drain_ns: u64,
    /// Where every scheduled transaction of the measured stretch ended up.
    pub accounting: Accounting,
    /// Transactions that ended well within the measured stretch, whenever they began.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub completed: u64,
    /// By stage of the load, where it has stages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageTimes>,
    /// By transaction name.
    pub transactions: BTreeMap<String, TransactionTimes>,
    /// Service time by `transaction/statement`; one sample an execution, or a transaction where a statement is repeated (its sum).
    pub statements: BTreeMap<String, Histogram>,
    /// Failed transactions by SQLSTATE (or `connection`), with the time they took.
    pub errors: BTreeMap<String, Histogram>,
    /// What the generator says of itself.
    pub generator: GeneratorReport,
    /// What the server counted meanwhile.
    pub server: ServerDelta,
    /// Why this block must not be used, and the others of its round not against it; decided without looking at its latency.
    pub discard: Option<Discard>,
}

/// Share of the measured stretch that the server may take after it to finish what was offered, before the rate was more than it can do.
const MOST_DRAIN: f64 = 0.10;

impl BlockRecord {
    /// Whether the server fell behind the rate: it needed long after the stretch to finish. That the last transaction takes its usual time
    /// is no queue, and where each transaction waits for the last, no rate can be too high.
    pub fn is_overloaded(&self) -> bool {
        let usual = |times: &TransactionTimes| times.service.quantile(0.99).unwrap_or(0.0);
        let usual = self.transactions.values().map(usual).fold(0.0, f64::max);
        let drain = self.drain_ns as f64;
        self.load.arrivals.is_open() && drain > self.duration_ns as f64 * MOST_DRAIN && drain > usual
    }
}

/// Where every scheduled transaction ended up: `scheduled = ok + error + acquire_timeouts + dropped + in_flight`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Accounting {
    /// Intended starts within the measured stretch.
    pub scheduled: u64,
    /// Finished well.
    pub ok: u64,
    /// Finished with an error.
    pub error: u64,
    /// Gave up waiting for a connection. No error of the database: it has never heard of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub acquire_timeouts: u64,
    /// Never started (the run was interrupted first).
    pub dropped: u64,
    /// Still running when draining was given up.
    pub in_flight: u64,
}

impl Accounting {
    /// Whether the identity holds. A record from elsewhere may hold any counts, so the sum has room for all of them.
    pub fn balances(&self) -> bool {
        let ended: u128 = u128::from(self.dropped) + u128::from(self.in_flight) + self.answered();
        u128::from(self.scheduled) == ended
    }

    /// Those whose caller has heard how they ended.
    pub fn answered(&self) -> u128 {
        u128::from(self.ok) + self.failed()
    }

    /// Those whose caller was told of a failure.
    pub fn failed(&self) -> u128 {
        u128::from(self.error) + u128::from(self.acquire_timeouts)
    }

    /// Share of the scheduled that were answered; 1 if none was scheduled.
    pub fn achieved_share(&self) -> f64 {
        match self.scheduled {
            0 => 1.0,
            scheduled => self.answered() as f64 / scheduled as f64,
        }
    }

    /// Share of the answered that failed; 0 if none was answered.
    pub fn failed_share(&self) -> f64 {
        self.failed() as f64 / self.answered().max(1) as f64
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Times of the successful runs of one transaction.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct TransactionTimes {
    /// From the intended start to the last row of the last statement.
    pub response: Histogram,
    /// From the intended start of waiting for a connection to having one.
    pub acquire: Histogram,
    /// From the first byte sent to the last row, preamble and commit included; of the first run, where there were several, to the last.
    pub service: Histogram,
    /// Of those, the ones that took more than one run.
    #[serde(default, skip_serializing_if = "Histogram::is_empty")]
    pub retried: Histogram,
    /// Runs after the first, of those that finished well and of those that did not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u64,
}

/// What became of the arrivals that were due in one stage of the load, whenever they ended.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct StageTimes {
    /// Intended starts.
    pub scheduled: u64,
    /// Finished with an error, or gave up waiting for a connection.
    pub failed: u64,
    /// From the intended start to the last row, of those that finished well.
    pub response: Histogram,
    /// From the intended start to having a connection, of those that finished well.
    pub acquire: Histogram,
}

impl StageTimes {
    /// Adds what another connection, or another block, saw of the same stage.
    pub fn add(&mut self, other: &StageTimes) {
        self.scheduled = self.scheduled.saturating_add(other.scheduled);
        self.failed = self.failed.saturating_add(other.failed);
        self.response.add(&other.response);
        self.acquire.add(&other.acquire);
    }
}

/// How many connections were at work.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Busy {
    /// On average, over the measured stretch.
    pub mean: f64,
    /// How often somebody looked.
    pub looks: u64,
}

impl TransactionTimes {
    /// Adds those of another connection, or of another transaction.
    pub fn add(&mut self, other: &TransactionTimes) {
        self.response.add(&other.response);
        self.acquire.add(&other.acquire);
        self.service.add(&other.service);
        self.retried.add(&other.retried);
        self.retries = self.retries.saturating_add(other.retries);
    }
}

/// What the generator says of itself over a block.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct GeneratorReport {
    /// Load threads.
    pub threads: u32,
    /// Connections that they share.
    pub connections: u32,
    /// From the intended start to entering the pool's queue.
    pub lag: Histogram,
    /// Processor time of the load threads over the block's wall time and their number, or that of the scheduler of arrivals if it is busier;
    /// 1.0 is fully busy.
    pub cpu_share: f64,
    /// Longest time a load thread went without running its event loop, ns.
    pub longest_stall_ns: u64,
    /// Transactions that were answered, be it by giving up the wait for a connection, over transactions offered.
    pub achieved_share: f64,
    /// Connections at work, looked up beside the recording; `None` where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy: Option<Busy>,
    /// Share of this machine's processor time, settle time included, that the host of a virtual machine gave to others; `None` where the
    /// system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stolen_share: Option<f64>,
}

impl GeneratorReport {
    /// Stolen share from which a reader is told: at about this much, one transaction in a hundred meets a gap.
    pub const NOTABLE_STEAL: f64 = 0.01;
}

/// Counters of the server over a block, this database only where the server tells databases apart.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct ServerDelta {
    /// Blocks found in shared buffers.
    pub blocks_hit: u64,
    /// Blocks read from disk or the kernel's cache.
    pub blocks_read: u64,
    /// Temporary bytes written.
    pub temp_bytes: u64,
    /// WAL bytes of the whole server.
    pub wal_bytes: u64,
    /// Checkpoints, timed and requested.
    pub checkpoints: u64,
    /// Autovacuum and autoanalyze runs on this database's tables.
    pub autovacuums: u64,
    /// Committed transactions.
    pub commits: u64,
    /// Rolled back transactions.
    pub rollbacks: u64,
    /// Deadlocks.
    pub deadlocks: u64,
    /// Executions with a generic plan, summed over the pool's prepared statements.
    pub generic_plans: u64,
    /// Executions with a custom plan.
    pub custom_plans: u64,
    /// Transactions of the scenario that finished between the two snapshots, settle time included: what to divide the others by.
    pub transactions: u64,
    /// Time of the load's backends on processors, over those transactions; `None` where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<ProcessorTime>,
    /// Why it is not known; `None` if it is, or if nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_processor: Option<NoProcessorTime>,
}

/// Why a block is not used: one arm alone suffered from something that is not its own work, or the block could not be measured. Every reason can
/// be seen without looking at latency. What may have disturbed a block and keeps it is a [`super::Disturbance`].
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Discard {
    /// Half of the transactions started late by more than a tenth of the block, and by more than 75 ms, so that the load was not the one that was asked for.
    NotOffered {
        /// Lag that half of the transactions exceeded, ns.
        lag_ns: u64,
    },
    /// A checkpoint fell on one arm only.
    Checkpoint,
    /// An autovacuum or autoanalyze fell on one arm only.
    Autovacuum,
    /// Blocks were read from disk on one arm only though the data fits in memory.
    DiskReads {
        /// Per mille of blocks read.
        per_mille: u32,
    },
    /// The server restarted, or closed its connections as in a restart, so that its counters and caches are not what they were.
    ServerRestarted,
    /// The run was interrupted in this block.
    Interrupted,
}

impl Discard {
    /// The reason without its numbers, to be counted.
    pub fn reason(&self) -> &'static str {
        match self {
            Discard::NotOffered { .. } => "the generator could not offer the load",
            Discard::Checkpoint => "a checkpoint fell on one arm only",
            Discard::Autovacuum => "an autovacuum fell on one arm only",
            Discard::DiskReads { .. } => "one arm only read from disk",
            Discard::ServerRestarted => "the server restarted in it",
            Discard::Interrupted => "the run was interrupted in it",
        }
    }
}

/// The reason with its numbers.
impl std::fmt::Display for Discard {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.reason())?;
        match self {
            Discard::NotOffered { lag_ns } => {
                write!(out, ": half of the transactions started {:.0} ms late or later", *lag_ns as f64 / 1e6)
            }
            Discard::DiskReads { per_mille } => write!(out, ": {:.1}% of its blocks", f64::from(*per_mille) / 10.0),
            Discard::Checkpoint | Discard::Autovacuum | Discard::ServerRestarted | Discard::Interrupted => Ok(()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A timed block of 300 transactions, of which some were queued late.
    pub(crate) fn block(response_ns: u64, late: u64, late_ns: u64) -> BlockRecord {
        let histogram = |values: Vec<u64>| {
            let mut histogram = Histogram::new();
            values.into_iter().for_each(|value| histogram.record(value));
            histogram
        };
        let lags = (0..300).map(|number| if number < late { late_ns } else { 20_000 }).collect();
        let times = TransactionTimes { response: histogram(vec![response_ns; 300]), ..Default::default() };
        let generator =
            GeneratorReport { threads: 1, connections: 1, lag: histogram(lags), cpu_share: 0.1, achieved_share: 1.0, ..Default::default() };
        BlockRecord {
            scenario: "s".to_owned(),
            round: 0,
            position: 0,
            arm: Arm::BASELINE,
            build: 0,
            purpose: BlockPurpose::Scenario,
            load: BlockLoad::new(
                crate::record::Arrivals::Poisson { per_second: 560.0 },
                Default::default(),
                std::time::Duration::from_millis(750),
            ),
            started_ns: 0,
            duration_ns: 750_000_000,
            drain_ns: 0,
            completed: 0,
            accounting: Default::default(),
            stages: Vec::new(),
            transactions: [("t".to_owned(), times)].into(),
            statements: Default::default(),
            errors: Default::default(),
            generator,
            server: Default::default(),
            discard: None,
        }
    }

    #[test]
    fn counts_that_no_run_has_neither_balance_nor_overflow() {
        let most = Accounting { scheduled: 1, ok: u64::MAX, error: u64::MAX, dropped: u64::MAX, acquire_timeouts: 0, in_flight: 5 };
        assert!(!most.balances());
        assert!(Accounting { scheduled: 6, ok: 1, error: 1, dropped: 2, acquire_timeouts: 0, in_flight: 2 }.balances());
        assert!(!Accounting { scheduled: 7, ok: 1, error: 1, dropped: 2, acquire_timeouts: 0, in_flight: 2 }.balances());
    }
}

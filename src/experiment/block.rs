//! One block of a duel: prepared, observed from outside, run, turned into a record; and whether its pair may be used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use sqlx::Connection;

use super::offer::Offer;
use super::order::Slot;
use super::side::SideUnderTest;
use crate::dataset::TenantClass;
use crate::load::bind::{Mix, SequenceRange};
use crate::load::block::{BlockResult, BlockSpec, Work, prepare};
use crate::observe::snapshot;
use crate::record::{BlockKind, BlockRecord, Discard, Histogram, Side, Sides};
use crate::scenario::Scenario;
use crate::target::Server;

/// Lag from which the generator was too late, if it is also more than a tenth of the median response.
const LAG_LIMIT_NS: u64 = 1_000_000;
/// Arrivals that must be late before lag is held against a block, however few it holds.
const FEWEST_LATE: f64 = 5.0;
/// Share of a core a generator thread may use.
const BUSY_LIMIT: f64 = 0.70;
/// Longest time a load thread may have stood still.
const STALL_LIMIT_NS: u64 = 10_000_000;
/// Share of offered transactions that must finish.
const ACHIEVED_LIMIT: f64 = 0.99;
/// Share of blocks that may come from disk on one side where all data fits in memory.
const DISK_LIMIT: f64 = 0.01;

/// What all blocks of a scenario share.
pub struct BlockContext<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The server.
    pub server: &'a Server,
    /// Parameters.
    pub mix: Arc<Mix>,
    /// Seed of schedules.
    pub seed: u64,
    /// Executions before measuring.
    pub warm_up: u32,
    /// Start of the run.
    pub run_started: Instant,
    /// Set when the run is to stop.
    pub stop: Arc<AtomicBool>,
}

/// A measured block with its times by tenant class.
pub struct Measured {
    /// For the record.
    pub record: BlockRecord,
    /// Service times by transaction and class.
    pub classes: Vec<[Histogram; 3]>,
}

impl BlockContext<'_> {
    /// What is asked of the load engine.
    pub fn spec(&self, side: &SideUnderTest, work: Work, connections: u32, first_sequence: u64, warm_up_block: u32) -> BlockSpec {
        BlockSpec {
            target: side.target(),
            program: side.program.clone(),
            mix: self.mix.clone(),
            connections,
            threads: load_threads(),
            warm_up_sequence: SequenceRange::WarmUp(warm_up_block).first(),
            warm_up: self.warm_up,
            first_sequence,
            seed: self.seed,
            work,
            stop: self.stop.clone(),
        }
    }

    /// Runs one block.
    pub async fn run(&self, slot: Slot, side: &SideUnderTest, offer: &Offer) -> anyhow::Result<Measured> {
        let first_sequence = SequenceRange::Pair(slot.pair).first();
        let (work, connections) = work(offer, slot.side, self.scenario.load.connections);
        let prepared = prepare(self.spec(side, work, connections, first_sequence, slot.position)).await?;
        let mut observer = self.server.connect(&side.database).await?;
        let before = snapshot(&mut observer).await?;
        let result = prepared.run().await?;
        let after = snapshot(&mut observer).await?;
        observer.close().await?;
        let mut record = self.record(slot, side, offer, first_sequence, &result);
        record.server = before.until(&after);
        record.server.generic_plans = result.plans.generic;
        record.server.custom_plans = result.plans.custom;
        record.server.transactions = result.finished;
        anyhow::ensure!(record.accounting.balances(), "arrivals were lost: {:?}", record.accounting);
        Ok(Measured { record, classes: result.recording.classes })
    }

    fn record(&self, slot: Slot, side: &SideUnderTest, offer: &Offer, first_sequence: u64, result: &BlockResult) -> BlockRecord {
        let recording = &result.recording;
        let mut statements = BTreeMap::new();
        for (transaction, histograms) in side.program.transactions.iter().zip(&recording.statements) {
            for (statement, histogram) in transaction.all_statements().zip(histograms) {
                statements.insert(format!("{}/{}", transaction.name, statement.name), histogram.clone());
            }
        }
        let names = side.program.transactions.iter().map(|transaction| transaction.name.clone());
        BlockRecord {
            scenario: self.scenario.path(),
            pair: slot.pair,
            quad: slot.quad,
            position: slot.position,
            side: slot.side,
            build: 0,
            kind: match offer {
                Offer::Timed { .. } => BlockKind::Timed,
                Offer::OwnRate { .. } => BlockKind::OwnRate,
                Offer::Closed { .. } => BlockKind::Capacity,
                Offer::FixedWork { .. } => BlockKind::FixedWork,
            },
            first_sequence,
            started_ns: ns(result.started.saturating_duration_since(self.run_started)),
            duration_ns: ns(result.duration),
            drain_ns: 0,
            accounting: recording.accounting,
            transactions: names.zip(recording.transactions.iter().cloned()).collect(),
            statements,
            errors: recording.errors.clone(),
            generator: result.generator.clone(),
            server: Default::default(),
            discard: result.interrupted.then_some(Discard::Interrupted),
        }
    }
}

/// How many threads carry load: half of the cores, so that the server has the others.
fn load_threads() -> usize {
    (std::thread::available_parallelism().map_or(1, usize::from) / 2).max(1)
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn work(offer: &Offer, side: Side, connections: u32) -> (Work, u32) {
    match offer {
        Offer::Timed { process, length, .. } | Offer::OwnRate { process, length } => {
            (Work::Open { process: *process, settle: length.settle, measure: length.measure }, connections)
        }
        Offer::Closed { sessions, length } => (Work::Closed { settle: length.settle, measure: length.measure }, *sessions),
        Offer::FixedWork { sessions, iterations, .. } => (Work::Fixed { transactions: *iterations.get(side) }, *sessions),
    }
}

/// Why a pair must not be used, decided without a look at its latency; told on the block that is at fault.
pub fn faults(pair: &Sides<BlockRecord>, writes: bool, resident: bool) -> Sides<Option<Discard>> {
    let mut faults = pair.map(|block| block.discard.clone().or_else(|| generator_fault(block)));
    if !writes {
        for side in Side::BOTH {
            let (block, other) = (pair.get(side), pair.get(side.other()));
            let fault = one_sided_fault(block, other, resident);
            let slot = faults.get_mut(side);
            *slot = slot.take().or(fault);
        }
    }
    faults
}

fn one_sided_fault(block: &BlockRecord, other: &BlockRecord, resident: bool) -> Option<Discard> {
    if block.server.checkpoints > 0 && other.server.checkpoints == 0 {
        return Some(Discard::Checkpoint);
    }
    if block.server.autovacuums > 0 && other.server.autovacuums == 0 {
        return Some(Discard::Autovacuum);
    }
    let share = |block: &BlockRecord| {
        let all = block.server.blocks_hit + block.server.blocks_read;
        block.server.blocks_read as f64 / all.max(1) as f64
    };
    let (own, theirs) = (share(block), share(other));
    (resident && own > DISK_LIMIT && theirs <= DISK_LIMIT).then_some(Discard::DiskReads { per_mille: (own * 1000.0) as u32 })
}

/// Whether the generator itself held back what was measured: for a block that is looked at alone.
pub fn bottleneck(block: &BlockRecord) -> Option<Discard> {
    let busy = block.generator.cpu_share > BUSY_LIMIT;
    generator_fault(block).or(busy.then_some(Discard::GeneratorBusy { percent: (block.generator.cpu_share * 100.0) as u32 }))
}

/// Only an open loop can fall behind: where each transaction waits for the last, the generator's own time is in no interval.
fn generator_fault(block: &BlockRecord) -> Option<Discard> {
    if !matches!(block.kind, BlockKind::Timed | BlockKind::OwnRate) {
        return None;
    }
    let generator = &block.generator;
    let lag = common_lag(&generator.lag);
    let median = block.transactions.values().filter_map(|times| times.response.quantile(0.5)).fold(f64::INFINITY, f64::min);
    let tenth = if median.is_finite() { (median / 10.0) as u64 } else { 0 };
    if lag > LAG_LIMIT_NS.max(tenth) {
        return Some(Discard::GeneratorLag { lag_ns: lag });
    }
    if generator.cpu_share > BUSY_LIMIT {
        return Some(Discard::GeneratorBusy { percent: (generator.cpu_share * 100.0) as u32 });
    }
    if generator.longest_stall_ns > STALL_LIMIT_NS {
        return Some(Discard::GeneratorStall { stall_ns: generator.longest_stall_ns });
    }
    if generator.achieved_share < ACHIEVED_LIMIT {
        return Some(Discard::NotAchieved { per_mille: (generator.achieved_share * 1000.0) as u32 });
    }
    None
}

/// The lag that 1% of the arrivals exceeded, and no fewer than [`FEWEST_LATE`] of them, ns: one pause of the machine delays the few arrivals
/// that fall into it, and is no sign of a generator that cannot keep up.
fn common_lag(lag: &Histogram) -> u64 {
    let share = (FEWEST_LATE / lag.count().max(1) as f64).clamp(0.01, 1.0);
    lag.quantile(1.0 - share).unwrap_or(0.0) as u64
}

/// Sums of service times by transaction and class over kept blocks of one side.
#[derive(Clone, Debug, Default)]
pub struct ClassSums {
    sums: BTreeMap<(usize, usize), Histogram>,
}

impl ClassSums {
    /// Adds a kept block.
    pub fn add(&mut self, classes: &[[Histogram; 3]]) {
        for (transaction, by_class) in classes.iter().enumerate() {
            for (class, histogram) in by_class.iter().enumerate().filter(|(_, histogram)| !histogram.is_empty()) {
                self.sums.entry((transaction, class)).or_default().add(histogram);
            }
        }
    }

    /// `(transaction, class, service times)`.
    pub fn iter(&self) -> impl Iterator<Item = (usize, TenantClass, &Histogram)> {
        self.sums.iter().filter_map(|((transaction, class), sum)| Some((*transaction, *TenantClass::ALL.get(*class)?, sum)))
    }
}

//! One block of an experiment: prepared, observed from outside, run, turned into a record.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::offer::{Offer, load_threads};
use super::order::Slot;
use super::route::Route;
use crate::dataset::TenantClass;
use crate::load::bind::{Mix, SequenceRange};
use crate::load::block::{BlockResult, BlockSpec, prepare};
use crate::load::patience::BlockEnd;
use crate::observe::{Snapshot, snapshot};
use crate::record::{Arm, BlockLoad, BlockPurpose, BlockRecord, Discard, Histogram, Limits, ServerDelta, nanoseconds};
use crate::scenario::Scenario;
use crate::target::Server;

/// For the server's counters to be read after a block, and for a server that restarted in it to let the observer in again.
const OBSERVER_PATIENCE: Duration = Duration::from_secs(30);
const OBSERVER_PAUSE: Duration = Duration::from_millis(250);

/// What is left to a transaction of fixed work at least, however little is left of the budget.
const LEAST_PATIENCE: Duration = Duration::from_secs(30);

/// A transaction of fixed work that nobody waits for any longer.
#[derive(Debug, thiserror::Error)]
#[error("a transaction had not ended after {} s, and was cancelled", .limit.as_secs())]
pub struct Overrun {
    limit: Duration,
}

impl Overrun {
    /// How long it was waited for, s.
    pub fn seconds(&self) -> u64 {
        self.limit.as_secs()
    }
}

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
    /// Whether connections at work are counted.
    pub count_busy: bool,
    /// Start of the run.
    pub run_started: Instant,
    /// When the scenario's share of the budget ends.
    pub deadline: Option<Instant>,
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

/// What an observer found after a block.
enum Seen {
    /// The server that it left.
    Same(Snapshot),
    /// One that had thrown it out.
    Restarted,
}

impl BlockContext<'_> {
    /// What a block of an arm is to do.
    pub fn load(&self, offer: &Offer, arm: Arm, sequences: SequenceRange, warm_up: SequenceRange) -> BlockLoad {
        let length = offer.length(arm);
        BlockLoad {
            arrivals: offer.arrivals.get(arm).clone(),
            connections: *offer.connections.get(arm),
            settle_ns: nanoseconds(length.settle),
            measure_ns: nanoseconds(length.measure),
            mix: self.scenario.transactions.iter().map(|transaction| transaction.weight).collect(),
            seed: self.seed,
            first_sequence: sequences.first(),
            warm_up: self.warm_up,
            warm_up_sequence: warm_up.first(),
            limits: self.limits(),
            count_busy: self.count_busy,
        }
    }

    /// The same with what it takes to run it here.
    pub fn spec(&self, route: &Route, load: BlockLoad) -> BlockSpec {
        let (program, mix, stop) = (route.program.clone(), self.mix.clone(), self.stop.clone());
        BlockSpec { load, target: route.target(), program, mix, threads: load_threads(), stop }
    }

    /// A transaction may take what is left of the budget.
    fn limits(&self) -> Limits {
        let usual = Limits::default();
        let left = self
            .deadline
            .map_or(usual.transaction_ns, |deadline| nanoseconds(deadline.saturating_duration_since(Instant::now()).max(LEAST_PATIENCE)));
        Limits {
            acquire_ns: self.scenario.load.acquire_timeout.map(nanoseconds),
            tries: self.scenario.load.max_tries,
            transaction_ns: usual.transaction_ns.min(left),
            ..usual
        }
    }

    /// Runs one block.
    pub async fn run(&self, slot: Slot, route: &Route, offer: &Offer, purpose: BlockPurpose) -> anyhow::Result<Measured> {
        let load = self.load(offer, slot.arm, SequenceRange::Round(slot.round), SequenceRange::WarmUp(slot.round));
        let prepared = prepare(self.spec(route, load.clone())).await?;
        let mut observer = self.server.connect(&route.database).await?;
        let before = snapshot(&mut observer).await?;
        let result = prepared.run().await?;
        usable(&result.end)?;
        let after = self.observe_again(observer, &route.database).await?;
        let mut record = self.record(slot, route, purpose, load, &result);
        match after {
            Seen::Same(after) => record.server = before.until(&after),
            // Its counters began anew, or nobody knows since when they count.
            Seen::Restarted => record.discard = record.discard.or(Some(Discard::ServerRestarted)),
        }
        record.server = ServerDelta {
            generic_plans: result.plans.generic,
            custom_plans: result.plans.custom,
            transactions: result.finished,
            processor: result.processor.ok(),
            no_processor: result.processor.err(),
            ..record.server
        };
        Ok(Measured { record, classes: result.recording.classes })
    }

    /// The counters after a block. What was measured is not lost with the connection that they are read on.
    async fn observe_again(&self, mut observer: PgConnection, database: &str) -> anyhow::Result<Seen> {
        if let Ok(Ok(after)) = tokio::time::timeout(OBSERVER_PATIENCE, snapshot(&mut observer)).await {
            // Nothing depends on its goodbye.
            let _ = observer.close().await;
            return Ok(Seen::Same(after));
        }
        let deadline = Instant::now() + OBSERVER_PATIENCE;
        loop {
            match tokio::time::timeout_at(deadline.into(), self.server.connect(database)).await {
                Ok(Ok(_)) => return Ok(Seen::Restarted),
                Ok(Err(error)) if Instant::now() + OBSERVER_PAUSE >= deadline => {
                    return Err(anyhow::Error::new(error).context("the server did not come back"));
                }
                Ok(Err(_)) => tokio::time::sleep(OBSERVER_PAUSE).await,
                Err(_) => anyhow::bail!("the server did not come back: it does not answer"),
            }
        }
    }

    fn record(&self, slot: Slot, route: &Route, purpose: BlockPurpose, load: BlockLoad, result: &BlockResult) -> BlockRecord {
        let recording = &result.recording;
        let mut statements = BTreeMap::new();
        for (transaction, histograms) in route.program.transactions.iter().zip(&recording.statements) {
            for (statement, histogram) in transaction.all_statements().zip(histograms) {
                statements.insert(format!("{}/{}", transaction.name, statement.name), histogram.clone());
            }
        }
        let names = route.program.transactions.iter().map(|transaction| transaction.name.clone());
        BlockRecord {
            scenario: self.scenario.path(),
            round: slot.round,
            position: slot.position,
            arm: slot.arm,
            build: 0,
            purpose,
            load,
            started_ns: nanoseconds(result.started.saturating_duration_since(self.run_started)),
            duration_ns: nanoseconds(result.duration),
            drain_ns: nanoseconds(result.drain),
            accounting: recording.accounting,
            completed: recording.completed,
            stages: recording.stages.clone(),
            transactions: names.zip(recording.transactions.iter().cloned()).collect(),
            statements,
            errors: recording.errors.clone(),
            generator: result.generator.clone(),
            server: Default::default(),
            discard: (result.end == BlockEnd::Interrupted).then_some(Discard::Interrupted),
        }
    }
}

/// Refuses a block that did not run its course, unless a signal ended it: what it measured till then is whole.
pub fn usable(end: &BlockEnd) -> anyhow::Result<()> {
    match end {
        BlockEnd::Finished | BlockEnd::Interrupted => Ok(()),
        BlockEnd::ServerGone { error } => anyhow::bail!("the server did not come back: {error}"),
        BlockEnd::Overrun { limit } => Err(Overrun { limit: *limit }.into()),
    }
}

/// Sums of service times by transaction and class over kept blocks of one arm.
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

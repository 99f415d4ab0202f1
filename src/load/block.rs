//! One block: connections opened and warmed, then load for a stretch, then what became of it.
//!
//! Connections are owned by their thread (an event loop each), because handing a connection between threads costs more than
//! most statements. Arrivals come from a scheduler on a thread of its own, which also binds parameters, ahead of their time.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::bind::{Arrival, Mix};
use super::busy::look;
use super::patience::{BlockEnd, Halted};
use super::processor::Backends;
use super::program::Program;
use super::queue::Queue;
use super::recorder::Recording;
use super::schedule::Schedule;
use super::scheduler::{Offered, schedule};
use super::session::SessionError;
use super::steal::Ticks;
use super::threads;
use super::users::{Answered, users};
use super::wire::ConnectTarget;
use super::worker::{ThreadResult, load_thread, new_recording};
use crate::record::{Arrivals, BlockLoad, GeneratorReport, NoProcessorTime, ProcessorTime, StageTimes};

/// Connections that are being opened at once, at most. Each has a limit of time, which is not to run while it waits for the others: a server
/// starts a process for each, and both ends compute thousands of hashes for its password.
const OPENING: usize = 16;

/// A block to be run: what it is to do, and with what of this process.
#[derive(Clone, Debug)]
pub struct BlockSpec {
    /// What it is to do.
    pub load: BlockLoad,
    /// Where to connect.
    pub target: ConnectTarget,
    /// What runs.
    pub program: Arc<Program>,
    /// Where transactions and parameters come from. The load's seed and weights draw them.
    pub mix: Arc<Mix>,
    /// Load threads.
    pub threads: usize,
    /// Set when the run is to stop.
    pub stop: Arc<AtomicBool>,
}

/// What became of a block.
#[derive(Debug)]
pub struct BlockResult {
    /// Times and fates of the measured stretch.
    pub recording: Recording,
    /// What the generator says of itself.
    pub generator: GeneratorReport,
    /// Length of the measured stretch.
    pub duration: Duration,
    /// From its end until the last transaction was done: how far an open loop had left the server behind.
    pub drain: Duration,
    /// When load began.
    pub started: Instant,
    /// Transactions that finished, settle time included.
    pub finished: u64,
    /// Executions with a generic and with a custom plan since the warm-up.
    pub plans: PlanCounts,
    /// Time of the connections' backends on processors, from the warm-up to the last of the `finished` transactions.
    pub processor: Result<ProcessorTime, NoProcessorTime>,
    /// How it ended. Transactions that had not begun when it ended early, are in no count if sessions decide when they begin, and are
    /// counted as dropped if a schedule does.
    pub end: BlockEnd,
}

/// Executions by kind of plan, from `pg_prepared_statements`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PlanCounts {
    /// Generic.
    pub generic: u64,
    /// Custom.
    pub custom: u64,
}

/// Why a block could not run.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// A session could not be opened or warmed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The load names weights of other transactions than there are.
    #[error("the load is of {weights} transactions, and there are {transactions}")]
    OtherMix {
        /// Weights in the load.
        weights: usize,
        /// Transactions that could be drawn.
        transactions: usize,
    },
    /// A thread could not start, or failed.
    #[error("a load thread exited early: the operating system refused what it needs, or it failed; see above")]
    Thread,
}

/// A block whose connections are open and warm.
#[derive(Debug)]
pub struct Prepared {
    start: watch::Sender<Option<Instant>>,
    results: oneshot::Receiver<Option<Vec<ThreadResult>>>,
    /// Ends when all connections have run their last transaction.
    at_work: mpsc::Receiver<()>,
    answers: std::sync::mpsc::Receiver<Answered>,
    shared: Arc<Shared>,
}

/// What the threads of a block share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) spec: BlockSpec,
    pub(super) queue: Queue<Job>,
    /// Next sequence number, where sessions and not a schedule decide when it is used.
    pub(super) next: AtomicU64,
    /// Turns to open a connection.
    pub(super) opening: Semaphore,
    /// Connections at work.
    pub(super) busy: AtomicU64,
    pub(super) backends: Backends,
    pub(super) halted: OnceLock<Halted>,
    /// Hears of every transaction of a user that has ended.
    pub(super) answered: std::sync::mpsc::Sender<Answered>,
}

/// An arrival on its way through the pool's queue.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) arrival: Arrival,
    pub(super) intended: Instant,
    pub(super) queued: Instant,
    /// Whether it belongs to the measured stretch.
    pub(super) measured: bool,
    /// Whose it is, where users wait for their answers.
    pub(super) user: Option<u32>,
}

impl Job {
    /// How late it was queued.
    pub(super) fn lag_ns(&self) -> u64 {
        self.queued.saturating_duration_since(self.intended).as_nanos() as u64
    }

    /// Whether it has waited for a connection for longer than it may.
    pub(super) fn has_given_up(&self, limit: Option<Duration>, now: Instant) -> bool {
        limit.is_some_and(|limit| now.saturating_duration_since(self.intended) > limit)
    }
}

/// Opens the block's connections, prepares its statements and runs the warm-up.
pub async fn prepare(mut spec: BlockSpec) -> Result<Prepared, BlockError> {
    let other = || BlockError::OtherMix { weights: spec.load.mix.len(), transactions: spec.mix.weights().len() };
    spec.mix = Arc::new(spec.mix.under(&spec.load).ok_or_else(other)?);
    let connections = spec.load.connections.max(1) as usize;
    let threads = spec.threads.clamp(1, connections);
    let first = spec.load.first_sequence;
    let (answered, answers) = std::sync::mpsc::channel();
    let shared = Arc::new(Shared {
        spec,
        queue: Queue::new(),
        next: AtomicU64::new(first),
        opening: Semaphore::new(OPENING),
        busy: AtomicU64::new(0),
        backends: Backends::new(),
        halted: OnceLock::new(),
        answered,
    });
    let (start, started) = watch::channel(None);
    let (ready, mut readiness) = mpsc::unbounded_channel();
    let (working, at_work) = mpsc::channel(1);
    let handles: Vec<_> = (0..threads)
        .map(|thread| {
            let own: Vec<usize> = (thread..connections).step_by(threads).collect();
            let (shared, runtime, started, working) = (shared.clone(), Handle::current(), started.clone(), working.clone());
            threads::spawn(
                ready.clone(),
                || BlockError::Thread,
                move |ready| load_thread(&shared, &runtime, &own, &started, working, ready),
            )
        })
        .collect();
    drop(working);
    let results = threads::join_all(handles, ready, BlockError::Thread);
    for _ in 0..connections {
        let opened = readiness.recv().await.unwrap_or(Err(BlockError::Thread));
        if let Err(error) = opened {
            // The others must not outlive the runtime that they rest on.
            drop(start);
            let _ = results.await;
            return Err(error);
        }
    }
    Ok(Prepared { start, results, at_work, answers, shared })
}

impl Prepared {
    /// Runs the load and waits for its end.
    pub async fn run(self) -> Result<BlockResult, BlockError> {
        let Prepared { start, results, mut at_work, answers, shared } = self;
        let before = shared.backends.read().await;
        let ticks = Ticks::now();
        // A moment ahead, so that every thread is awake when it comes.
        let begin = Instant::now() + Duration::from_millis(2);
        // Before the others, which wait for it: a block without its scheduler must not begin.
        let load = &shared.spec.load;
        let scheduler = match load.arrivals {
            Arrivals::Poisson { .. } | Arrivals::Constant { .. } | Arrivals::Stages { .. } => {
                let shared = shared.clone();
                Some(threads::start(move || schedule(&shared, begin)))
            }
            Arrivals::Users { users: number, think_ns } => {
                let shared = shared.clone();
                Some(threads::start(move || users(&shared, number, Duration::from_nanos(think_ns), &answers, begin)))
            }
            Arrivals::Closed | Arrivals::Work { .. } => None,
        };
        let scheduler = scheduler.transpose().map_err(|_| BlockError::Thread)?;
        let _ = start.send(Some(begin));
        let watcher = (load.count_busy && !load.length().is_zero()).then(|| {
            let shared = shared.clone();
            threads::start(move || look(&shared, begin + shared.spec.load.settle(), begin + shared.spec.load.length()))
        });
        // Nobody sends anything: it is over when the last connection has let go.
        while at_work.recv().await.is_some() {}
        // Before any of them is closed: what a backend used is gone with it, and one that ends looks like a parallel worker.
        let after = shared.backends.read().await;
        drop(start);
        let threads = results.await.ok().flatten().ok_or(BlockError::Thread)?;
        let offered = match scheduler {
            Some(handle) => handle.join().map_err(|_| BlockError::Thread)?,
            None => Offered::default(),
        };
        let stolen = ticks.zip(Ticks::now()).map(|(start, end)| start.stolen_share(&end));
        let mut result = gather(&shared, begin, threads, offered);
        result.processor = before.and_then(|before| before.until(&after?));
        result.generator.stolen_share = stolen;
        result.generator.busy = watcher.and_then(|watcher| watcher.ok()?.join().ok());
        Ok(result)
    }
}

fn gather(shared: &Shared, begin: Instant, threads: Vec<ThreadResult>, offered: Offered) -> BlockResult {
    let mut recording = new_recording(shared);
    let mut plans = PlanCounts::default();
    let (mut finished, mut started, mut ended) = (0, 0, 0);
    let mut cpu_share = 0.0;
    let mut stall = Duration::ZERO;
    let mut last_done = begin;
    let load_threads = threads.len();
    let count = load_threads.max(1) as f64;
    for thread in threads {
        recording.merge(&thread.recording);
        plans.generic += thread.plans.generic;
        plans.custom += thread.plans.custom;
        cpu_share += thread.cpu_share / count;
        stall = stall.max(thread.longest_stall);
        last_done = last_done.max(thread.last_done.unwrap_or(begin));
        finished += thread.finished;
        started += thread.started;
        ended += thread.ended;
    }
    let accounting = &mut recording.accounting;
    match shared.spec.load.arrivals.has_queue() {
        true => {
            accounting.scheduled = offered.scheduled;
            accounting.dropped = offered.dropped;
            accounting.acquire_timeouts += offered.timed_out.len() as u64;
            accounting.in_flight = started - ended + offered.abandoned;
        }
        false => {
            accounting.scheduled = started;
            accounting.in_flight = started - ended;
        }
    }
    recording.lag.add(&offered.lag);
    count_stages(&mut recording.stages, shared, begin, &offered.timed_out);
    let measured_from = begin + shared.spec.load.settle();
    let duration = match shared.spec.load.arrivals.has_queue() {
        true => shared.spec.load.measure(),
        false => last_done.saturating_duration_since(measured_from),
    };
    let generator = GeneratorReport {
        threads: u32::try_from(load_threads).unwrap_or(u32::MAX),
        connections: shared.spec.load.connections.max(1),
        lag: recording.lag.clone(),
        cpu_share: cpu_share.max(offered.cpu_share),
        longest_stall_ns: stall.as_nanos() as u64,
        achieved_share: recording.accounting.achieved_share(),
        busy: None,
        stolen_share: None,
    };
    BlockResult {
        recording,
        generator,
        duration,
        drain: last_done.saturating_duration_since(measured_from + duration),
        started: begin,
        finished,
        plans,
        processor: Err(NoProcessorTime::NoAccounting),
        end: shared.halted().map_or(BlockEnd::Finished, |halted| halted.why.clone()),
    }
}

/// Adds what connections have not seen: how many were due in each stage, and those that gave up in the queue.
fn count_stages(stages: &mut [StageTimes], shared: &Shared, begin: Instant, timed_out: &[Instant]) {
    if stages.is_empty() {
        return;
    }
    let load = &shared.spec.load;
    let arrivals = &load.arrivals;
    let measured = load.settle_ns..load.settle_ns + load.measure_ns;
    for offset in Schedule::new(arrivals.clone(), load.seed, load.first_sequence).take_while(|offset| *offset < measured.end) {
        if measured.contains(&offset)
            && let Some(stage) = arrivals.stage_at(offset).and_then(|stage| stages.get_mut(stage))
        {
            stage.scheduled += 1;
        }
    }
    for intended in timed_out {
        if let Some(stage) =
            arrivals.stage_at(intended.saturating_duration_since(begin).as_nanos() as u64).and_then(|stage| stages.get_mut(stage))
        {
            stage.failed += 1;
        }
    }
}

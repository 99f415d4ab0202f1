//! One block: connections opened and warmed, then load for a stretch, then what became of it.
//!
//! Connections are owned by their thread (a single-threaded runtime each), because handing a connection between threads costs more than
//! most statements. Arrivals come from a scheduler on a thread of its own, which also binds parameters, ahead of their time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;

use super::bind::{Arrival, Mix};
use super::program::Program;
use super::queue::Queue;
use super::recorder::{Outcome, Recording};
use super::schedule::{Process, Schedule};
use super::session::{End, Session, SessionError, query_text};
use super::wire::{ConnectTarget, Rows};
use crate::record::GeneratorReport;

/// How long running transactions may take to finish after the last arrival.
const DRAIN: Duration = Duration::from_secs(30);
/// The scheduler sleeps until this much before an arrival and spins for the rest: timers are that coarse.
const SPIN: Duration = Duration::from_micros(60);
/// Nice value of the scheduler's thread.
const FIRST_IN_LINE: i32 = -15;
/// How often each load thread checks that it still runs.
const HEARTBEAT: Duration = Duration::from_millis(5);
/// Pauses between attempts to reconnect grow up to this.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(2);

/// What a block is to do.
#[derive(Clone, Debug)]
pub struct BlockSpec {
    /// Where to connect.
    pub target: ConnectTarget,
    /// What runs.
    pub program: Arc<Program>,
    /// Where parameters come from.
    pub mix: Arc<Mix>,
    /// Connections in the pool (sessions, for closed loops).
    pub connections: u32,
    /// Load threads.
    pub threads: usize,
    /// First sequence number of the warm-up.
    pub warm_up_sequence: u64,
    /// Executions of each transaction on each connection before anything is measured.
    pub warm_up: u32,
    /// First sequence number of the block.
    pub first_sequence: u64,
    /// Seed of the schedule.
    pub seed: u64,
    /// Load.
    pub work: Work,
    /// Set when the run is to stop.
    pub stop: Arc<AtomicBool>,
}

/// How work is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// Open loop.
    Open {
        /// Arrivals.
        process: Process,
        /// Load that is not measured.
        settle: Duration,
        /// Measured.
        measure: Duration,
    },
    /// Each session starts its next transaction as soon as the last is done, for a time.
    Closed {
        /// Not measured.
        settle: Duration,
        /// Measured.
        measure: Duration,
    },
    /// So many transactions in all.
    Fixed {
        /// Transactions.
        transactions: u64,
    },
}

impl Work {
    fn settle(self) -> Duration {
        match self {
            Work::Open { settle, .. } | Work::Closed { settle, .. } => settle,
            Work::Fixed { .. } => Duration::ZERO,
        }
    }
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
    /// When load began.
    pub started: Instant,
    /// Transactions that finished, settle time included.
    pub finished: u64,
    /// Executions with a generic and with a custom plan since the warm-up.
    pub plans: PlanCounts,
    /// Whether the run was stopped in it.
    pub interrupted: bool,
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
    /// A load thread ended early.
    #[error("a load thread ended before its time: {0}")]
    Thread(String),
}

/// A block whose connections are open and warm.
#[derive(Debug)]
pub struct Prepared {
    start: watch::Sender<Option<Instant>>,
    results: oneshot::Receiver<Vec<ThreadResult>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    spec: BlockSpec,
    queue: Queue<Job>,
    next: AtomicU64,
    finished: AtomicU64,
    started_measured: AtomicU64,
    ended_measured: AtomicU64,
}

#[derive(Debug)]
struct Job {
    arrival: Arrival,
    intended: Instant,
    queued: Instant,
    measured: bool,
}

#[derive(Debug, Default)]
struct ThreadResult {
    recording: Recording,
    plans: PlanCounts,
    longest_stall: Duration,
    cpu: Duration,
    last_done: Option<Instant>,
}

/// Opens the block's connections, prepares its statements and runs the warm-up.
pub async fn prepare(spec: BlockSpec) -> Result<Prepared, BlockError> {
    let threads = spec.threads.clamp(1, spec.connections.max(1) as usize);
    let connections = spec.connections.max(1) as usize;
    let first = spec.first_sequence;
    let shared = Arc::new(Shared {
        spec,
        queue: Queue::new(),
        next: AtomicU64::new(first),
        finished: AtomicU64::new(0),
        started_measured: AtomicU64::new(0),
        ended_measured: AtomicU64::new(0),
    });
    let (start, started) = watch::channel(None);
    let (ready, mut readiness) = mpsc::unbounded_channel();
    let (done, results) = oneshot::channel();
    let handles: Vec<_> = (0..threads)
        .map(|thread| {
            let own: Vec<usize> = (thread..connections).step_by(threads).collect();
            let (shared, started, ready) = (shared.clone(), started.clone(), ready.clone());
            std::thread::spawn(move || load_thread(&shared, &own, &started, &ready))
        })
        .collect();
    drop(ready);
    // Joining blocks, so it is left to a thread.
    std::thread::spawn(move || {
        let all = handles.into_iter().filter_map(|handle| handle.join().ok().flatten()).collect();
        let _ = done.send(all);
    });
    for _ in 0..connections {
        match readiness.recv().await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                return Err(error.into());
            }
            None => return Err(BlockError::Thread("it could not start its runtime".to_owned())),
        }
    }
    Ok(Prepared { start, results, shared })
}

impl Prepared {
    /// Runs the load and waits for its end.
    pub async fn run(self) -> Result<BlockResult, BlockError> {
        let Prepared { start, results, shared } = self;
        // A moment ahead, so that every thread is awake when it comes.
        let begin = Instant::now() + Duration::from_millis(2);
        let _ = start.send(Some(begin));
        let scheduler = match shared.spec.work {
            Work::Open { process, settle, measure } => {
                let shared = shared.clone();
                Some(std::thread::spawn(move || schedule(&shared, process, begin, settle, measure)))
            }
            _ => None,
        };
        let threads = results.await.map_err(|_| BlockError::Thread("its results were lost".to_owned()))?;
        let offered = match scheduler {
            Some(handle) => handle.join().map_err(|_| BlockError::Thread("the scheduler failed".to_owned()))?,
            None => Offered::default(),
        };
        Ok(gather(&shared, begin, threads, offered))
    }
}

/// What the scheduler did.
#[derive(Clone, Copy, Debug, Default)]
struct Offered {
    scheduled: u64,
    dropped: u64,
    abandoned: u64,
}

fn gather(shared: &Shared, begin: Instant, threads: Vec<ThreadResult>, offered: Offered) -> BlockResult {
    let statements: Vec<usize> = shared.spec.program.transactions.iter().map(|t| t.statements).collect();
    let mut recording = Recording::new(&statements);
    let mut plans = PlanCounts::default();
    let mut cpu = Duration::ZERO;
    let mut stall = Duration::ZERO;
    let mut last_done = begin;
    let count = threads.len().max(1);
    for thread in threads {
        recording.merge(&thread.recording);
        plans.generic += thread.plans.generic;
        plans.custom += thread.plans.custom;
        cpu += thread.cpu;
        stall = stall.max(thread.longest_stall);
        last_done = last_done.max(thread.last_done.unwrap_or(begin));
    }
    let started = shared.started_measured.load(Ordering::Relaxed);
    let ended = shared.ended_measured.load(Ordering::Relaxed);
    let accounting = &mut recording.accounting;
    match shared.spec.work {
        Work::Open { .. } => {
            accounting.scheduled = offered.scheduled;
            accounting.dropped = offered.dropped;
            accounting.in_flight = started - ended + offered.abandoned;
        }
        _ => {
            accounting.scheduled = started;
            accounting.in_flight = started - ended;
        }
    }
    let measured_from = begin + shared.spec.work.settle();
    let wall = last_done.saturating_duration_since(begin).max(Duration::from_micros(1));
    let duration = match shared.spec.work {
        Work::Open { measure, .. } => measure,
        Work::Closed { .. } | Work::Fixed { .. } => last_done.saturating_duration_since(measured_from),
    };
    let accounting = recording.accounting;
    let generator = GeneratorReport {
        lag: recording.lag.clone(),
        cpu_share: cpu.as_secs_f64() / wall.as_secs_f64() / count as f64,
        longest_stall_ns: stall.as_nanos() as u64,
        achieved_share: match accounting.scheduled {
            0 => 1.0,
            scheduled => (accounting.ok + accounting.error) as f64 / scheduled as f64,
        },
    };
    BlockResult {
        recording,
        generator,
        duration,
        started: begin,
        finished: shared.finished.load(Ordering::Relaxed),
        plans,
        interrupted: shared.spec.stop.load(Ordering::Relaxed),
    }
}

/// Hands every arrival to the queue at its intended start, never earlier, and late only if this thread was kept from running.
fn schedule(shared: &Shared, process: Process, begin: Instant, settle: Duration, measure: Duration) -> Offered {
    // Where we may, we go before the server and the load threads when an arrival is due: this thread hardly runs, and must not be late.
    // Not being allowed to is fine: lateness is measured.
    let _ = rustix::process::setpriority_process(None, FIRST_IN_LINE);
    let mut offered = Offered::default();
    let end = (settle + measure).as_nanos() as u64;
    let settled = settle.as_nanos() as u64;
    let mut stopped = false;
    let starts = Schedule::new(process, shared.spec.seed, shared.spec.first_sequence);
    for (number, offset) in starts.take_while(|offset| *offset < end).enumerate() {
        let measured = offset >= settled;
        offered.scheduled += u64::from(measured);
        if stopped || shared.spec.stop.load(Ordering::Relaxed) {
            stopped = true;
            offered.dropped += u64::from(measured);
            continue;
        }
        let arrival = shared.spec.mix.arrival(shared.spec.first_sequence + number as u64);
        let intended = begin + Duration::from_nanos(offset);
        sleep_until(intended);
        shared.queue.push(Job { arrival, intended, queued: Instant::now(), measured });
    }
    shared.queue.close();
    // Sessions drain what is queued; what nobody has taken when patience ends never started.
    let patience = begin + settle + measure + DRAIN;
    while shared.queue.has_jobs() && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(5));
    }
    offered.abandoned = shared.queue.abandon().iter().filter(|job| job.measured).count() as u64;
    offered
}

fn sleep_until(instant: Instant) {
    let left = instant.saturating_duration_since(Instant::now());
    if left > SPIN {
        std::thread::sleep(left - SPIN);
    }
    while Instant::now() < instant {
        std::hint::spin_loop();
    }
}

type Ready = mpsc::UnboundedSender<Result<(), SessionError>>;

fn load_thread(shared: &Arc<Shared>, own: &[usize], started: &watch::Receiver<Option<Instant>>, ready: &Ready) -> Option<ThreadResult> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let local = LocalSet::new();
    let mut result = ThreadResult { recording: new_recording(shared), ..ThreadResult::default() };
    local.block_on(&runtime, async {
        let mut tasks = Vec::new();
        for connection in own {
            let (shared, started, ready) = (shared.clone(), started.clone(), ready.clone());
            let number = *connection as u64;
            tasks.push(tokio::task::spawn_local(async move { connection_task(&shared, number, started, &ready).await }));
        }
        let heartbeat = tokio::task::spawn_local(heartbeat(started.clone()));
        let cpu_before = begin_of(started.clone()).await.map(|_| thread_cpu());
        for task in tasks {
            if let Ok(Some(one)) = task.await {
                result.recording.merge(&one.recording);
                result.plans.generic += one.plans.generic;
                result.plans.custom += one.plans.custom;
                result.last_done = result.last_done.max(one.last_done);
            }
        }
        result.cpu = thread_cpu().saturating_sub(cpu_before.unwrap_or_default());
        heartbeat.abort();
        if let Ok(stall) = heartbeat.await {
            result.longest_stall = stall;
        }
    });
    result.longest_stall = result.longest_stall.max(STALL.with(|stall| stall.get()));
    Some(result)
}

fn new_recording(shared: &Shared) -> Recording {
    let statements: Vec<usize> = shared.spec.program.transactions.iter().map(|t| t.statements).collect();
    Recording::new(&statements)
}

/// Waits for the block to begin; `None` if it never will.
async fn begin_of(mut started: watch::Receiver<Option<Instant>>) -> Option<Instant> {
    *started.wait_for(Option::is_some).await.ok()?
}

thread_local! {
    /// Longest time that this thread's event loop did not run during the block.
    static STALL: std::cell::Cell<Duration> = const { std::cell::Cell::new(Duration::ZERO) };
}

async fn heartbeat(started: watch::Receiver<Option<Instant>>) -> Duration {
    if begin_of(started).await.is_none() {
        return Duration::ZERO;
    }
    loop {
        let before = Instant::now();
        tokio::time::sleep(HEARTBEAT).await;
        let late = before.elapsed().saturating_sub(HEARTBEAT);
        STALL.with(|stall| stall.set(stall.get().max(late)));
    }
}

/// Processor time of the calling thread.
fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

async fn connection_task(shared: &Shared, number: u64, started: watch::Receiver<Option<Instant>>, ready: &Ready) -> Option<ThreadResult> {
    let mut session = match open_warm(shared, number).await {
        Ok(session) => session,
        Err(error) => {
            let _ = ready.send(Err(error));
            return None;
        }
    };
    let plans_before = plan_counts(&mut session).await;
    if ready.send(Ok(())).is_err() {
        return None;
    }
    let begin = begin_of(started).await?;
    tokio::time::sleep_until(begin.into()).await;
    let mut worker = Worker { shared, number, recording: new_recording(shared), last_done: None };
    match shared.spec.work {
        Work::Open { .. } => worker.open_loop(&mut session).await,
        Work::Closed { settle, measure } => worker.closed_loop(&mut session, begin + settle, begin + settle + measure).await,
        Work::Fixed { transactions } => worker.fixed_work(&mut session, transactions).await,
    }
    let plans_after = plan_counts(&mut session).await;
    // The server keeps a session's statistics to itself for up to a second; the snapshot that follows must see them.
    let _ = session.connection().simple("select pg_stat_force_next_flush()", Rows::Discard).await;
    let plans = PlanCounts {
        generic: plans_after.generic.saturating_sub(plans_before.generic),
        custom: plans_after.custom.saturating_sub(plans_before.custom),
    };
    Some(ThreadResult { recording: worker.recording, plans, last_done: worker.last_done, ..ThreadResult::default() })
}

async fn open_warm(shared: &Shared, number: u64) -> Result<Session, SessionError> {
    let spec = &shared.spec;
    let mut session = Session::open(&spec.target, spec.program.clone(), spec.mix.dataset().now()).await?;
    for transaction in 0..spec.program.transactions.len() {
        for round in 0..u64::from(spec.warm_up) {
            let sequence = spec.warm_up_sequence + (number << 10) + (transaction as u64) * 16 + round;
            let arrival = spec.mix.arrival_of(sequence, transaction, None, None);
            match session.run(&arrival, End::Commit, None).await {
                Ok(_) => {}
                // A statement that fails here will fail in the block, where it is counted.
                Err(error) if !error.is_lost() => {}
                Err(error) => return Err(error),
            }
        }
    }
    let _ = session.connection().simple("select pg_stat_force_next_flush()", Rows::Discard).await;
    Ok(session)
}

async fn plan_counts(session: &mut Session) -> PlanCounts {
    let sql = "select coalesce(sum(generic_plans), 0), coalesce(sum(custom_plans), 0) from pg_prepared_statements where name like 't%s%'";
    let row = query_text(session.connection(), sql).await.ok().and_then(|mut rows| rows.pop()).unwrap_or_default();
    let number = |index: usize| row.get(index).and_then(|cell| cell.as_deref()).and_then(|text| text.parse().ok()).unwrap_or(0);
    PlanCounts { generic: number(0), custom: number(1) }
}

/// One connection's part of a block.
struct Worker<'a> {
    shared: &'a Shared,
    number: u64,
    recording: Recording,
    last_done: Option<Instant>,
}

impl Worker<'_> {
    async fn open_loop(&mut self, session: &mut Session) {
        while let Some(job) = self.shared.queue.take().await {
            self.run(session, &job).await;
        }
    }

    async fn closed_loop(&mut self, session: &mut Session, measured_from: Instant, until: Instant) {
        let mut measured_any = false;
        while !self.stopped() {
            let now = Instant::now();
            // A transaction longer than the whole block still counts: at least one is run.
            if now >= until && measured_any {
                return;
            }
            let measured = now >= measured_from;
            measured_any |= measured;
            self.run_next(session, measured).await;
        }
    }

    async fn fixed_work(&mut self, session: &mut Session, transactions: u64) {
        let end = self.shared.spec.first_sequence + transactions;
        while !self.stopped() && self.shared.next.load(Ordering::Relaxed) < end {
            let sequence = self.shared.next.fetch_add(1, Ordering::Relaxed);
            if sequence >= end {
                return;
            }
            self.run_sequence(session, sequence, true).await;
        }
    }

    async fn run_next(&mut self, session: &mut Session, measured: bool) {
        let sequence = self.shared.next.fetch_add(1, Ordering::Relaxed);
        self.run_sequence(session, sequence, measured).await;
    }

    async fn run_sequence(&mut self, session: &mut Session, sequence: u64, measured: bool) {
        let arrival = self.shared.spec.mix.arrival(sequence);
        let now = Instant::now();
        self.run(session, &Job { arrival, intended: now, queued: now, measured }).await;
    }

    fn stopped(&self) -> bool {
        self.shared.spec.stop.load(Ordering::Relaxed)
    }

    async fn run(&mut self, session: &mut Session, job: &Job) {
        let acquired = Instant::now();
        if job.measured {
            self.shared.started_measured.fetch_add(1, Ordering::Relaxed);
        }
        let result = session.run(&job.arrival, End::Commit, None).await;
        let done = Instant::now();
        self.shared.finished.fetch_add(1, Ordering::Relaxed);
        self.last_done = Some(done);
        if job.measured {
            self.shared.ended_measured.fetch_add(1, Ordering::Relaxed);
            let ns = |from: Instant, to: Instant| to.saturating_duration_since(from).as_nanos() as u64;
            let (service_ns, response_ns) = match &result {
                Ok(times) => (ns(times.sent, times.done), ns(job.intended, times.done)),
                Err(_) => (ns(acquired, done), ns(job.intended, done)),
            };
            self.recording.record(&Outcome {
                transaction: job.arrival.transaction,
                class: job.arrival.class,
                lag_ns: ns(job.intended, job.queued),
                acquire_ns: ns(job.intended, acquired),
                service_ns,
                response_ns,
                statements_ns: session.statements_ns(),
                error: result.as_ref().err().map(SessionError::code),
            });
        }
        if result.is_err_and(|error| error.is_lost()) {
            self.reconnect(session).await;
        }
    }

    /// Opens a new session, with growing pauses between attempts; gives up when the run is stopped.
    async fn reconnect(&self, session: &mut Session) {
        let spec = &self.shared.spec;
        let mut pause = Duration::from_millis(10 + self.number % 10);
        let deadline = Instant::now() + DRAIN;
        while !self.stopped() && Instant::now() < deadline {
            if let Ok(new) = Session::open(&spec.target, spec.program.clone(), spec.mix.dataset().now()).await {
                *session = new;
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_BACK_OFF);
        }
    }
}

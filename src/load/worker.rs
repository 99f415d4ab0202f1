//! The load threads: each owns its connections, runs what they are given, and notes the times.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use super::block::{Job, PlanCounts, Shared, Work};
use super::priority::go_first;
use super::recorder::{Outcome, Recording};
use super::scheduler::DRAIN;
use super::session::{End, Session, SessionError, query_text};
use super::wire::Rows;

/// How often each load thread checks that it still runs.
const HEARTBEAT: Duration = Duration::from_millis(5);
/// Pauses between attempts to reconnect grow up to this.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(2);

/// What a load thread, or one connection of it, brings home.
#[derive(Debug, Default)]
pub(super) struct ThreadResult {
    pub(super) recording: Recording,
    pub(super) plans: PlanCounts,
    /// Longest time that the thread's event loop did not run during the block.
    pub(super) longest_stall: Duration,
    pub(super) cpu: Duration,
    pub(super) last_done: Option<Instant>,
}

/// Tells that a connection is open and warm, or why it is not.
pub(super) type Ready = mpsc::UnboundedSender<Result<(), SessionError>>;

/// Runs the connections `own` of the block to its end. `None` if the thread could not start its runtime.
pub(super) fn load_thread(
    shared: &Arc<Shared>,
    own: &[usize],
    started: &watch::Receiver<Option<Instant>>,
    ready: &Ready,
) -> Option<ThreadResult> {
    if let Work::Open { .. } = shared.spec.work {
        // In a closed loop the next transaction waits for the last one anyway, and its rate is to be what client and server can do together.
        go_first();
    }
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
    static STALL: Cell<Duration> = const { Cell::new(Duration::ZERO) };
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
            let mut arrival = spec.mix.arrival_of(sequence, transaction, None, None);
            // A connection is warm once it has planned and run each statement; a hundred rows would teach it nothing more.
            arrival.keep_one_row();
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

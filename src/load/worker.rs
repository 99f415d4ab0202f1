//! The load threads: each owns its connections, runs what they are given, and notes the times.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::block::{BlockError, Job, PlanCounts, Shared};
use super::event_loop;
use super::one_by_one::{OneByOne, one_by_one};
use super::patience::{BlockEnd, cancel};
use super::pause::Pauser;
use super::priority::{go_first, thread_cpu};
use super::processor::Backend;
use super::recorder::{Outcome, Recording};
use super::session::{End, Session, SessionError, Times, query_text};
use super::threads::{Ready, Start, begin_of};
use super::users::Answered;
use super::wire::{Rows, WireError};
use crate::record::{Arrivals, NoProcessorTime};

/// How often each load thread checks that it still runs.
const HEARTBEAT: Duration = Duration::from_millis(5);
/// Pauses between attempts to reconnect grow up to this.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(2);
const FIRST_BACK_OFF: Duration = Duration::from_millis(20);
/// For a session to tell its plans and to flush its statistics. Both are looked up in its own memory.
const ASIDE_LIMIT: Duration = Duration::from_secs(10);

/// What a load thread brings home. All its connections write into one, which stays in the processor's cache as one for each would not.
#[derive(Debug, Default)]
pub(super) struct ThreadResult {
    pub(super) recording: Recording,
    /// Transactions that have ended.
    pub(super) finished: u64,
    /// Those of the measured stretch that have begun, and those that have ended.
    pub(super) started: u64,
    pub(super) ended: u64,
    pub(super) plans: PlanCounts,
    /// Longest time that the thread's event loop did not run during the block.
    pub(super) longest_stall: Duration,
    /// The thread's processor time over the time that its part of the block took; 1.0 is fully busy.
    pub(super) cpu_share: f64,
    pub(super) last_done: Option<Instant>,
}

/// Runs the connections `own` of the block to its end; `runtime` is the one that waits for it. Each connection lets go of `working` when it has run
/// its last transaction, and stays open until `started` ends. `None` if the thread could not start its loop.
pub(super) fn load_thread(
    shared: &Shared,
    runtime: &Handle,
    own: &[usize],
    started: &Start,
    working: mpsc::Sender<()>,
    ready: &Ready<BlockError>,
) -> Option<ThreadResult> {
    let result = RefCell::new(ThreadResult { recording: new_recording(shared), ..ThreadResult::default() });
    let at_work = Cell::new(own.len());
    let mut tasks: Vec<event_loop::Task<'_>> = Vec::new();
    for number in own {
        let (result, at_work, working, mut started) = (&result, &at_work, working.clone(), started.clone());
        tasks.push(Box::pin(async move {
            let ended = connection_task(shared, *number as u64, &mut started, ready, result).await;
            drop(working);
            at_work.set(at_work.get() - 1);
            if let Some((session, plans_before)) = ended {
                while started.changed().await.is_ok() {}
                close(session, plans_before, result).await;
            }
        }));
    }
    drop(working);
    tasks.push(Box::pin(async {
        let Some(begin) = begin_of(&mut started.clone()).await else { return };
        if shared.spec.load.arrivals.has_queue() {
            // In a closed loop the next transaction waits for the last one anyway, and its rate is to be what client and server can do together.
            go_first();
        }
        let (longest_stall, cpu_share) = heartbeat(begin, &at_work).await;
        let mut result = result.borrow_mut();
        (result.longest_stall, result.cpu_share) = (longest_stall, cpu_share);
    }));
    event_loop::run(runtime, tasks).ok()?;
    Some(result.into_inner())
}

/// An empty recording of the block.
pub(super) fn new_recording(shared: &Shared) -> Recording {
    let statements: Vec<usize> = shared.spec.program.transactions.iter().map(|t| t.statements).collect();
    Recording::new(&statements, shared.spec.load.arrivals.stages().len())
}

/// Looks whether the thread runs while connections of it are at work: the longest time that it did not, and its processor time over the time
/// that the block took.
async fn heartbeat(begin: Instant, at_work: &Cell<usize>) -> (Duration, f64) {
    let mut longest = Duration::ZERO;
    let cpu = thread_cpu();
    let mut pauser = Pauser::default();
    while at_work.get() > 0 {
        let before = Instant::now();
        pauser.sleep(HEARTBEAT).await;
        longest = longest.max(before.elapsed().saturating_sub(HEARTBEAT));
    }
    (longest, thread_cpu().saturating_sub(cpu).as_secs_f64() / begin.elapsed().as_secs_f64().max(1e-6))
}

/// Everything up to the last transaction. Gives the session, and the plans that it had made before the load; `None` if the load never began.
async fn connection_task(
    shared: &Shared,
    number: u64,
    started: &mut Start,
    ready: &Ready<BlockError>,
    result: &RefCell<ThreadResult>,
) -> Option<(Session, PlanCounts)> {
    let opened = tokio::select! {
        biased;
        opened = open(shared) => opened,
        // It will never begin: another connection failed.
        _ = begin_of(started) => return None,
    };
    let mut session = told(opened, ready)?;
    let warmed = tokio::select! {
        biased;
        warmed = warm(shared, &mut session, number) => warmed,
        _ = begin_of(started) => {
            cancel(session.connection()).await;
            return None;
        }
    };
    told(warmed, ready)?;
    let plans_before = plan_counts(&mut session).await;
    shared.backends.add(Backend::of(session.connection()).await);
    ready.send(Ok(())).ok()?;
    let begin = begin_of(started).await?;
    tokio::time::sleep_until(begin.into()).await;
    let load = &shared.spec.load;
    let stretch = begin + load.settle()..begin + load.length();
    let mut worker =
        Worker { shared, session, begin, stretch, result, last_done: None, measured_any: false, lost_at: None, out_for: Duration::ZERO };
    // What becomes of a transaction is noted; no error ends the loop.
    let _ = one_by_one(&mut worker).await;
    let Worker { session, last_done, .. } = worker;
    let mut result = result.borrow_mut();
    result.last_done = result.last_done.max(last_done);
    Some((session, plans_before))
}

/// Brings home what the session knows, and ends it.
async fn close(mut session: Session, plans_before: PlanCounts, result: &RefCell<ThreadResult>) {
    let plans_after = plan_counts(&mut session).await;
    // The server keeps a session's statistics to itself for up to a second; the snapshot that follows must see them.
    flush_statistics(&mut session).await;
    let mut result = result.borrow_mut();
    result.plans.generic += plans_after.generic.saturating_sub(plans_before.generic);
    result.plans.custom += plans_after.custom.saturating_sub(plans_before.custom);
}

/// What a step before the start came to; where that is nothing, or a failure, it is told.
fn told<T>(result: Result<Option<T>, SessionError>, ready: &Ready<BlockError>) -> Option<T> {
    let told = match result {
        Ok(Some(done)) => return Some(done),
        Ok(None) => ready.send(Ok(())),
        Err(error) => ready.send(Err(error.into())),
    };
    // Nobody listens where another connection failed.
    let _ = told;
    None
}

/// What comes of something that took longer than it may: nothing if the run was stopped meanwhile.
fn too_long<T>(shared: &Shared, doing: &str) -> Result<Option<T>, SessionError> {
    let limit = shared.transaction_limit();
    match shared.halted() {
        Some(_) => Ok(None),
        None => Err(SessionError::Lost { statement: doing.to_owned(), error: WireError::timed_out(limit) }),
    }
}

/// A session with its statements prepared; `None` if the run was stopped meanwhile.
async fn open(shared: &Shared) -> Result<Option<Session>, SessionError> {
    let spec = &shared.spec;
    if shared.halted().is_some() {
        return Ok(None);
    }
    let opening = async {
        let _turn = shared.opening.acquire().await;
        Session::open(&spec.target, spec.program.clone(), spec.mix.dataset().now()).await
    };
    match shared.within(Instant::now() + shared.transaction_limit(), opening).await {
        Some(session) => session.map(Some),
        None => too_long(shared, "preparing statements"),
    }
}

/// Has a session run each transaction; `None` if the run was stopped meanwhile.
async fn warm(shared: &Shared, session: &mut Session, number: u64) -> Result<Option<()>, SessionError> {
    let spec = &shared.spec;
    let latest = Instant::now() + shared.transaction_limit();
    for transaction in 0..spec.program.transactions.len() {
        for round in 0..u64::from(spec.load.warm_up) {
            let sequence = spec.load.warm_up_sequence + (number << 10) + (transaction as u64) * 16 + round;
            let mut arrival = spec.mix.arrival_of(sequence, transaction, None, None);
            // A connection is warm once it has planned and run each statement; a hundred rows would teach it nothing more.
            arrival.keep_one_row();
            match shared.within(latest, session.run(&arrival, End::Commit, None)).await {
                Some(Ok(_)) => {}
                // A statement that fails here will fail in the block, where it is counted.
                Some(Err(error)) if !error.is_lost() => {}
                Some(Err(error)) => return Err(error),
                None => {
                    cancel(session.connection()).await;
                    return too_long(shared, "warming a connection");
                }
            }
        }
    }
    flush_statistics(session).await;
    Ok(Some(()))
}

async fn flush_statistics(session: &mut Session) {
    let flush = session.connection().simple("select pg_stat_force_next_flush()", Rows::Discard);
    let _ = tokio::time::timeout(ASIDE_LIMIT, flush).await;
}

async fn plan_counts(session: &mut Session) -> PlanCounts {
    let sql = "select coalesce(sum(generic_plans), 0), coalesce(sum(custom_plans), 0) from pg_prepared_statements where name like 't%s%'";
    let answer = tokio::time::timeout(ASIDE_LIMIT, query_text(session.connection(), sql)).await;
    let row = answer.ok().and_then(Result::ok).and_then(|mut rows| rows.pop()).unwrap_or_default();
    let number = |index: usize| row.get(index).and_then(|cell| cell.as_deref()).and_then(|text| text.parse().ok()).unwrap_or(0);
    PlanCounts { generic: number(0), custom: number(1) }
}

/// One connection's part of a block.
struct Worker<'a> {
    shared: &'a Shared,
    session: Session,
    begin: Instant,
    /// The measured stretch; empty where no time ends it.
    stretch: Range<Instant>,
    result: &'a RefCell<ThreadResult>,
    last_done: Option<Instant>,
    /// Whether a transaction of the measured stretch has begun, where sessions decide when they do.
    measured_any: bool,
    /// When the connection was lost, until the transaction that waited for a new one begins.
    lost_at: Option<Instant>,
    /// All outages so far.
    out_for: Duration,
}

/// A transaction that has its connection.
struct Turn {
    job: Job,
    acquired: Instant,
    /// When its first byte was sent, of all its runs.
    sent: Option<Instant>,
}

/// Why a transaction has no answer.
enum Lapse {
    /// The session says so.
    Failed(SessionError),
    /// Nobody waits for it any longer.
    Abandoned,
}

impl OneByOne for Worker<'_> {
    type Turn = Turn;
    type Done = Times;
    type Error = Lapse;

    async fn next(&mut self) -> Result<Option<Turn>, Lapse> {
        loop {
            let Some((job, acquired)) = self.job().await else { return Ok(None) };
            self.note(|result| result.started += u64::from(job.measured));
            let limits = &self.shared.spec.load.limits;
            if !job.has_given_up(limits.acquire_ns.map(Duration::from_nanos), acquired) {
                self.count_busy(|busy| busy.fetch_add(1, Ordering::Relaxed));
                return Ok(Some(Turn { job, acquired, sent: None }));
            }
            if job.measured {
                let stage = self.stage_of(&job);
                self.note(|result| {
                    result.ended += 1;
                    result.recording.give_up(job.lag_ns(), stage);
                });
            }
            self.answer(&job, acquired);
        }
    }

    async fn run(&mut self, turn: &mut Turn, run: u32) -> Result<Times, Lapse> {
        let latest = self.latest(turn.acquired);
        let (session, arrival) = (&mut self.session, &turn.job.arrival);
        let running = async {
            match run {
                1 => session.run(arrival, End::Commit, None).await,
                _ => session.run_again(arrival).await,
            }
        };
        let times = self.shared.within(latest, running).await.ok_or(Lapse::Abandoned)?.map_err(Lapse::Failed);
        // Its time counts from the first run.
        let sent = *turn.sent.get_or_insert(times.as_ref().map_or(turn.acquired, |times| times.sent));
        times.map(|times| Times { sent, ..times })
    }

    async fn again(&mut self, _: &Turn, lapse: &Lapse, run: u32) -> Result<bool, Lapse> {
        let lost = matches!(lapse, Lapse::Failed(error) if error.is_conflict());
        Ok(lost && run < self.shared.spec.load.limits.tries && self.shared.halted().is_none())
    }

    async fn ended(&mut self, turn: Turn, result: Result<Times, Lapse>, runs: u32) -> Result<bool, Lapse> {
        let Turn { job, acquired, .. } = turn;
        self.count_busy(|busy| busy.fetch_sub(1, Ordering::Relaxed));
        let result = match result {
            Ok(times) => Ok(times),
            Err(Lapse::Failed(error)) => Err(error),
            Err(Lapse::Abandoned) => {
                if job.measured {
                    self.note(|result| result.recording.lag.record(job.lag_ns()));
                }
                self.abandon().await;
                return Ok(false);
            }
        };
        let done = result.as_ref().map_or_else(|_| Instant::now(), |times| times.done);
        self.last_done = Some(done);
        self.answer(&job, done);
        let ns = |from: Instant, to: Instant| to.saturating_duration_since(from).as_nanos() as u64;
        let outcome = job.measured.then(|| Outcome {
            transaction: job.arrival.transaction,
            class: job.arrival.class,
            stage: self.stage_of(&job),
            lag_ns: job.lag_ns(),
            acquire_ns: ns(job.intended, acquired),
            service_ns: ns(result.as_ref().map_or(acquired, |times| times.sent), done),
            response_ns: ns(job.intended, done),
            statements_ns: self.session.statements_ns(),
            retries: runs - 1,
            error: result.as_ref().err().map(SessionError::code),
        });
        let completed = result.is_ok() && self.stretch.contains(&done);
        self.note(|thread| {
            thread.finished += 1;
            thread.recording.completed += u64::from(completed);
            if let Some(outcome) = &outcome {
                thread.ended += 1;
                thread.recording.record(outcome);
            }
        });
        match result {
            Err(error) if error.is_lost() => Ok(self.reconnect(&error).await),
            _ => Ok(true),
        }
    }
}

impl Worker<'_> {
    /// The next transaction, and when it got its connection.
    async fn job(&mut self) -> Option<(Job, Instant)> {
        let spec = &self.shared.spec;
        match spec.load.arrivals {
            Arrivals::Closed => {
                let now = Instant::now();
                // A transaction longer than the whole block still counts: at least one is run.
                if self.shared.halted().is_some() || (now >= self.stretch.end && self.measured_any) {
                    return None;
                }
                let measured = now >= self.stretch.start;
                self.measured_any |= measured;
                Some(self.job_of(self.shared.next.fetch_add(1, Ordering::Relaxed), measured))
            }
            Arrivals::Work { transactions } => {
                let end = spec.load.first_sequence + transactions;
                if self.shared.halted().is_some() || self.shared.next.load(Ordering::Relaxed) >= end {
                    return None;
                }
                let sequence = self.shared.next.fetch_add(1, Ordering::Relaxed);
                (sequence < end).then(|| self.job_of(sequence, true))
            }
            _ => self.shared.queue.take().await.map(|job| (job, Instant::now())),
        }
    }

    /// A transaction that begins because the last one is done.
    fn job_of(&mut self, sequence: u64, measured: bool) -> (Job, Instant) {
        let arrival = self.shared.spec.mix.arrival(sequence);
        let now = Instant::now();
        // It would have begun when the one before it failed, and has waited for a connection since.
        let intended = self.lost_at.take().unwrap_or(now);
        (Job { arrival, intended, queued: intended, measured, user: None }, now)
    }

    fn count_busy(&self, count: impl FnOnce(&AtomicU64) -> u64) {
        if self.shared.spec.load.count_busy {
            count(&self.shared.busy);
        }
    }

    /// The stage of the load in which it was due.
    fn stage_of(&self, job: &Job) -> Option<usize> {
        self.shared.spec.load.arrivals.stage_at(job.intended.saturating_duration_since(self.begin).as_nanos() as u64)
    }

    /// Notes something of this connection in what the thread brings home.
    fn note(&self, what: impl FnOnce(&mut ThreadResult)) {
        what(&mut self.result.borrow_mut());
    }

    /// Tells a user how it ended; it thinks from then on, also while the connection is lost.
    fn answer(&self, job: &Job, at: Instant) {
        if let Some(user) = job.user {
            // Nobody listens once no more are to come.
            let _ = self.shared.answered.send(Answered { user, at });
        }
    }

    /// When to give up on a transaction that begins now.
    fn latest(&self, now: Instant) -> Instant {
        match self.shared.spec.load.arrivals.is_work() {
            true => now + self.shared.transaction_limit(),
            false => self.stretch.end + Duration::from_nanos(self.shared.spec.load.limits.drain_ns),
        }
    }

    /// Nobody waits any longer for what runs: it stays in flight.
    async fn abandon(&mut self) {
        self.shared.backends.add(Err(NoProcessorTime::Unfinished));
        if self.shared.spec.load.arrivals.is_work() {
            self.shared.halt(BlockEnd::Overrun { limit: self.shared.transaction_limit() });
        }
        cancel(self.session.connection()).await;
    }

    /// Opens a new session, with growing pauses between attempts. If that fails for as long as patience lasts, the block ends. Whether the connection
    /// goes on.
    async fn reconnect(&mut self, lost: &SessionError) -> bool {
        let spec = &self.shared.spec;
        let lost_at = Instant::now();
        self.shared.backends.add(Err(NoProcessorTime::ConnectionLost));
        let deadline = lost_at + Duration::from_nanos(spec.load.limits.outage_ns).saturating_sub(self.out_for);
        let mut pause = FIRST_BACK_OFF;
        let mut error = lost.to_string();
        while self.shared.halted().is_none() {
            let opening = Session::open(&spec.target, spec.program.clone(), spec.mix.dataset().now());
            match self.shared.within(deadline, opening).await {
                Some(Ok(new)) => {
                    self.session = new;
                    self.lost_at = Some(lost_at);
                    self.out_for += lost_at.elapsed();
                    return true;
                }
                Some(Err(refused)) => error = refused.to_string(),
                None => {}
            }
            // Connections that were lost together must not all come back at the same instant.
            let jittered = pause.mul_f64(0.5 + 0.5 * rand::random::<f64>());
            if Instant::now() + jittered >= deadline {
                self.shared.halt(BlockEnd::ServerGone { error });
                return false;
            }
            tokio::time::sleep(jittered).await;
            pause = (pause * 2).min(LONGEST_BACK_OFF);
        }
        // What is queued fails at once, unless nobody is left to hear of it.
        !self.shared.is_deserted()
    }
}

//! A run: clients over threads, each running one transaction after the other, until there were enough or time is up.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::client::{Client, ClientError, Program, Scratch};
use super::log::{Entry, Fate, LogOptions, TransactionLog};
use super::tally::{CommandTally, ScriptTally, Tally};
use crate::load::event_loop;
use crate::load::schedule::{Process, Schedule};
use crate::load::threads::{self, Ready, Start, begin_of};
use crate::load::wire::{ConnectTarget, SqlState};
use crate::script::Symbols;
use crate::script::evaluate::{Text, Variables};
use crate::script::random::Random;
use crate::script::value::Value;

/// How long a run goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// So many transactions a client (`-t`).
    Transactions(u64),
    /// For so long (`-T`); what runs at its end is finished.
    Time(Duration),
}

/// What pgbench's options say.
#[derive(Clone, Debug)]
pub struct Options {
    /// `-c`
    pub clients: usize,
    /// `-j`
    pub threads: usize,
    /// `-t`, `-T`
    pub length: Length,
    /// `-R`: transactions a second over all clients, Poisson.
    pub rate: Option<f64>,
    /// `-L`
    pub latency_limit: Option<Duration>,
    /// How long connecting may take; `None`: as long as the operating system lets it.
    pub connect_limit: Option<Duration>,
    /// `--max-tries`; `None`: without limit.
    pub max_tries: Option<u32>,
    /// `-C`: a connection for each transaction.
    pub reconnect: bool,
    /// `-r`: times by command.
    pub by_command: bool,
    /// Seed of all random numbers.
    pub seed: u64,
    /// `:scale`
    pub scale: i64,
    /// `-D`
    pub variables: Vec<(String, String)>,
    /// `-l`
    pub log: Option<LogOptions>,
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// Counts and times.
    pub tally: Tally,
    /// From the start of the first transaction to the end of the last; of an interrupted run, to when it was.
    pub elapsed: Duration,
    /// Until all clients were connected.
    pub connecting: Duration,
    /// Why clients ended before their time.
    pub aborted: Vec<String>,
    /// Whether somebody ended it before its time.
    pub interrupted: bool,
}

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A client that cannot connect.
    #[error("could not create connection for client {client}: {error}")]
    Connect {
        /// Its number.
        client: usize,
        /// Why.
        error: ClientError,
    },
    /// Somebody ended it before it began.
    #[error("interrupted before all clients were connected")]
    Interrupted,
    /// A thread that could not start, or failed.
    #[error("a thread ended before its time: the operating system refused what it needs, or it failed and said why above")]
    Thread,
    /// A log that cannot be written.
    #[error("could not open logfile \"{}\": {error}", .path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// Counts that a progress report reads while the run goes on.
#[derive(Debug, Default)]
pub struct Live {
    /// Transactions that succeeded.
    pub done: AtomicU64,
    /// Their latencies together, ns.
    pub latency_ns: AtomicU64,
    /// The squares of those, ms². The bits of a floating-point number: whole ones would overflow where latencies are of hours.
    squares_ms2: AtomicU64,
    /// What they were late by together, ns; only under a rate.
    pub lag_ns: AtomicU64,
    /// Never begun, as they would have been late anyway.
    pub skipped: AtomicU64,
    /// Given up.
    pub failed: AtomicU64,
    /// Run more than once.
    pub retried: AtomicU64,
    /// Runs after the first of a transaction.
    pub retries: AtomicU64,
    /// Whether all clients are connected and the run has begun.
    pub begun: AtomicBool,
}

impl Live {
    /// The squares of the latencies together, ms².
    pub fn squares_ms2(&self) -> f64 {
        f64::from_bits(self.squares_ms2.load(Ordering::Relaxed))
    }

    fn add_done(&self, latency: Duration, lag: Option<Duration>) {
        let count = |sum: &AtomicU64, time: Duration| sum.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.done.fetch_add(1, Ordering::Relaxed);
        count(&self.latency_ns, latency);
        count(&self.lag_ns, lag.unwrap_or_default());
        let square = (latency.as_secs_f64() * 1e3).powi(2);
        let added = |bits| Some((f64::from_bits(bits) + square).to_bits());
        let _ = self.squares_ms2.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }
}

struct Shared {
    program: Arc<Program>,
    options: Options,
    target: ConnectTarget,
    live: Option<Arc<Live>>,
    stop: Arc<AtomicBool>,
}

/// What the clients of a thread share. One tally for all of them stays in the processor's cache, one for each would not.
struct Common {
    /// The thread's part of the rate.
    schedule: RefCell<Option<Schedule>>,
    log: RefCell<Option<TransactionLog>>,
    share: RefCell<Share>,
    scratch: Rc<RefCell<Scratch>>,
}

/// What one thread brings home.
#[derive(Default)]
struct Share {
    tally: Tally,
    last_done: Option<Instant>,
    aborted: Vec<String>,
    interrupted: bool,
}

/// Runs it. `stop` ends it early: what runs is finished, who sleeps or waits for his turn does so no longer. `live` is kept up to date if somebody reads it.
pub async fn run(
    program: Arc<Program>,
    options: Options,
    target: ConnectTarget,
    live: Option<Arc<Live>>,
    stop: Arc<AtomicBool>,
) -> Result<Outcome, RunError> {
    let (clients, threads) = (options.clients, options.threads.clamp(1, options.clients.max(1)));
    let shared = Arc::new(Shared { program, options, target, live, stop });
    let log = |thread| shared.options.log.as_ref().map(|options| TransactionLog::create(options, thread, shared.options.seed)).transpose();
    let logs = (0..threads).map(log).collect::<Result<Vec<_>, _>>().map_err(|(path, error)| RunError::Log { path, error })?;
    let (start, started) = watch::channel(None);
    let (ready, mut readiness) = mpsc::unbounded_channel();
    let connecting = Instant::now();
    let handles: Vec<_> = logs
        .into_iter()
        .enumerate()
        .map(|(thread, log)| {
            let own: Vec<usize> = (thread..clients).step_by(threads).collect();
            let (shared, started, runtime) = (shared.clone(), started.clone(), Handle::current());
            threads::spawn(
                ready.clone(),
                || RunError::Thread,
                move |ready| load_thread(&shared, &runtime, thread, &own, log, ready, &started),
            )
        })
        .collect();
    let joined = threads::join_all(handles, ready, RunError::Thread);
    for _ in 0..clients {
        let connected = readiness.recv().await.unwrap_or(Err(RunError::Thread));
        if let Err(error) = connected {
            // The others must not outlive the runtime that they rest on.
            drop(start);
            let _ = joined.await;
            return Err(error);
        }
    }
    let connecting = connecting.elapsed();
    let began = Instant::now();
    if let Some(live) = &shared.live {
        live.begun.store(true, Ordering::Relaxed);
    }
    let _ = start.send(Some(began));
    let shares = joined.await.ok().flatten().ok_or(RunError::Thread)?;
    let mut outcome =
        Outcome { tally: new_tally(&shared.program), elapsed: Duration::ZERO, connecting, aborted: Vec::new(), interrupted: false };
    let all = began.elapsed();
    for share in shares {
        outcome.tally.merge(&share.tally);
        outcome.aborted.extend(share.aborted);
        outcome.interrupted |= share.interrupted;
        outcome.elapsed = outcome.elapsed.max(share.last_done.map_or(Duration::ZERO, |done| done - began));
    }
    if outcome.interrupted {
        outcome.elapsed = all;
    }
    Ok(outcome)
}

fn new_tally(program: &Program) -> Tally {
    Tally::new(program.scripts.iter().map(|script| script.commands.len()))
}

fn load_thread(
    shared: &Shared,
    runtime: &Handle,
    thread: usize,
    own: &[usize],
    log: Option<TransactionLog>,
    ready: &Ready<RunError>,
    started: &Start,
) -> Option<Share> {
    // The thread's part of the rate, handed to whichever of its clients is free.
    let threads = shared.options.threads.clamp(1, shared.options.clients.max(1)) as f64;
    let schedule = shared.options.rate.map(|rate| Schedule::new(Process::Poisson(rate / threads), shared.options.seed, thread as u64));
    let share = Share { tally: new_tally(&shared.program), ..Share::default() };
    let common = Common { schedule: RefCell::new(schedule), log: RefCell::new(log), share: RefCell::new(share), scratch: Rc::default() };
    let task = |client: &usize| -> event_loop::Task<'_> { Box::pin(client_task(shared, *client, ready, started.clone(), &common)) };
    event_loop::run(runtime, own.iter().map(task).collect()).ok()?;
    let mut share = common.share.take();
    if let Some(Err(incomplete)) = common.log.borrow_mut().as_mut().map(TransactionLog::finish) {
        share.aborted.push(incomplete);
    }
    Some(share)
}

async fn client_task(shared: &Shared, number: usize, ready: &Ready<RunError>, mut started: Start, common: &Common) {
    let options = &shared.options;
    let symbols = &shared.program.symbols;
    let mut variables = Variables::of_run(symbols, options.seed, options.scale);
    variables.set(Symbols::CLIENT_ID, Text::Value(Value::Integer(number as i64)));
    for (name, value) in &options.variables {
        if let Some(variable) = symbols.find(name) {
            variables.set(variable, Text::Text(value.clone()));
        }
    }
    // Streams of different clients share no beginning.
    let random = Random::new(options.seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut client = Client::new(&shared.program, variables, random, common.scratch.clone(), &shared.stop);
    // Under -C each transaction begins by connecting, the first one too.
    if !options.reconnect {
        let connected = tokio::select! {
            biased;
            connected = client.open(&shared.target, options.connect_limit) => connected,
            // It will never start: another client failed.
            _ = begin_of(&mut started) => return,
        };
        if let Err(error) = connected {
            let interrupted = matches!(error, ClientError::Interrupted);
            let error = if interrupted { RunError::Interrupted } else { RunError::Connect { client: number, error } };
            let _ = ready.send(Err(error));
            return;
        }
    }
    let _ = ready.send(Ok(()));
    let Some(began) = begin_of(&mut started).await else { return };
    let commands = if options.by_command { new_tally(&shared.program).by_command() } else { Vec::new() };
    let mut runner = Runner { shared, common, number, client, began, begun: 0, lag: None, commands };
    let result = runner.transactions().await;
    let has_enough = runner.has_enough(Instant::now());
    let Runner { mut client, commands, .. } = runner;
    client.close().await;
    let mut share = common.share.borrow_mut();
    share.tally.add_commands(&commands);
    match result {
        Ok(()) => share.interrupted |= shared.stop.load(Ordering::Relaxed) && !has_enough,
        Err(ClientError::Interrupted) => share.interrupted = true,
        Err(error) => share.aborted.push(format!("client {number} aborted: {error}")),
    }
}

/// One client at work.
struct Runner<'a> {
    shared: &'a Shared,
    common: &'a Common,
    number: usize,
    client: Client<'a>,
    began: Instant,
    /// Transactions so far, with the one that runs and those that were skipped.
    begun: u64,
    /// What the one that runs was late by; only under a rate.
    lag: Option<Duration>,
    /// Times by script and command, under `-r`; its own, as they are written while other clients run.
    commands: Vec<Vec<CommandTally>>,
}

impl Runner<'_> {
    async fn transactions(&mut self) -> Result<(), ClientError> {
        let options = &self.shared.options;
        let weights: u64 = self.shared.program.scripts.iter().map(|script| script.weight).sum();
        let mut now = Instant::now();
        while !self.is_over(now) {
            let script = self.draw(weights);
            let mut intended = None;
            if options.rate.is_some() {
                intended = self.turn(script).await?;
                if intended.is_none() {
                    return Ok(());
                }
            }
            if options.reconnect {
                self.connect().await?;
            }
            now = Instant::now();
            self.lag = intended.map(|intended| now.saturating_duration_since(intended));
            self.begun += 1;
            now = self.transaction(script, intended.unwrap_or(now)).await?;
            if options.reconnect {
                self.client.close().await;
                now = Instant::now();
            }
        }
        Ok(())
    }

    /// Waits for the client's turn under the rate, and skips those that come too late for the limit; when it was due, or nothing if the run
    /// is over. As in pgbench, a script that was drawn for a turn that is skipped is that of the next one.
    async fn turn(&mut self, script: usize) -> Result<Option<Instant>, ClientError> {
        loop {
            let due = self.common.schedule.borrow_mut().as_mut().and_then(Iterator::next);
            let Some(intended) = due.map(|due_ns| self.began + Duration::from_nanos(due_ns)) else { return Ok(None) };
            if self.is_over(intended) {
                return Ok(None);
            }
            let now = Instant::now();
            if self.shared.options.latency_limit.is_none_or(|limit| intended + limit >= now) {
                self.client.pause(intended.saturating_duration_since(now)).await?;
                return Ok(Some(intended));
            }
            // It would be late whatever the server does.
            self.begun += 1;
            self.tally(script, |tally| tally.skipped += 1);
            self.live(|live| &live.skipped, 1);
            self.lag = Some(now.saturating_duration_since(intended));
            self.log(script, Fate::Skipped, 0);
            if self.is_over(now) {
                return Ok(None);
            }
        }
    }

    /// Opens the connection of a transaction (`-C`).
    async fn connect(&mut self) -> Result<(), ClientError> {
        let connecting = Instant::now();
        self.client.open(&self.shared.target, self.shared.options.connect_limit).await?;
        let tally = &mut self.common.share.borrow_mut().tally;
        tally.connections += 1;
        tally.connecting += connecting.elapsed();
        Ok(())
    }

    /// Notes something of a script.
    fn tally(&self, script: usize, note: impl FnOnce(&mut ScriptTally)) {
        if let Some(tally) = self.common.share.borrow_mut().tally.scripts.get_mut(script) {
            note(tally);
        }
    }

    /// Adds to a count that is shown while the run goes on.
    fn live(&self, count: impl FnOnce(&Live) -> &AtomicU64, number: u64) {
        if let Some(live) = &self.shared.live {
            count(live).fetch_add(number, Ordering::Relaxed);
        }
    }

    /// Notes something of the command at which a transaction failed.
    fn command(&mut self, script: usize, note: impl FnOnce(&mut CommandTally)) {
        let at = self.client.failed_at();
        if let Some(command) = self.commands.get_mut(script).and_then(|commands| commands.get_mut(at)) {
            note(command);
        }
    }

    /// A line in the log, if there is one.
    fn log(&self, script: usize, fate: Fate, retries: u32) {
        if let Some(log) = self.common.log.borrow_mut().as_mut() {
            let retries = (self.shared.options.max_tries != Some(1)).then_some(retries);
            // As in pgbench, only what was done has a lag.
            let lag = self.lag.map(|lag| if matches!(fate, Fate::Done(_)) { lag } else { Duration::ZERO });
            log.add(&Entry { client: self.number, number: self.begun, script, fate, lag, retries });
        }
    }

    fn is_over(&self, at: Instant) -> bool {
        self.has_enough(at) || self.shared.stop.load(Ordering::Relaxed)
    }

    fn has_enough(&self, at: Instant) -> bool {
        match self.shared.options.length {
            Length::Transactions(count) => self.begun >= count,
            Length::Time(length) => at >= self.began + length,
        }
    }

    /// The script of the next transaction.
    fn draw(&mut self, weights: u64) -> usize {
        let scripts = &self.shared.program.scripts;
        if scripts.len() == 1 {
            return 0;
        }
        let mut left = self.client.random().between(0, weights.saturating_sub(1));
        for (number, script) in scripts.iter().enumerate() {
            match left.checked_sub(script.weight) {
                Some(less) => left = less,
                None => return number,
            }
        }
        0
    }

    /// One transaction, again if it lost against another one and may be tried again. When it ended.
    async fn transaction(&mut self, script: usize, intended: Instant) -> Result<Instant, ClientError> {
        let options = &self.shared.options;
        let limit = options.latency_limit;
        // A transaction that is run again draws the same numbers.
        let random = self.client.random().clone();
        let mut tries = 1;
        loop {
            let times = self.commands.get_mut(script).map(Vec::as_mut_slice);
            let result = self.client.run(script, times).await;
            let now = result.as_ref().map_or_else(|_| Instant::now(), |done| *done);
            // Of all clients of the thread, this is the last one to end so far.
            self.common.share.borrow_mut().last_done = Some(now);
            let Err(error) = result else {
                let latency = now.saturating_duration_since(intended);
                self.tally(script, |tally| tally.add(latency, limit));
                if let Some(lag) = self.lag {
                    self.common.share.borrow_mut().tally.add_lag(lag);
                }
                if let Some(live) = &self.shared.live {
                    live.add_done(latency, self.lag);
                }
                self.log(script, Fate::Done(latency), tries - 1);
                return self.is_complete(script).map(|()| now);
            };
            let Some(conflict) = error.conflict() else { return Err(error) };
            self.client.roll_back().await?;
            let tries_left = options.max_tries.is_none_or(|most| tries < most);
            let in_time = limit.is_none_or(|limit| now.saturating_duration_since(intended) <= limit);
            let over = matches!(options.length, Length::Time(length) if now >= self.began + length);
            if tries_left && in_time && !over && !self.shared.stop.load(Ordering::Relaxed) {
                self.tally(script, |tally| {
                    tally.retried += u64::from(tries == 1);
                    tally.retries += 1;
                });
                self.live(|live| &live.retried, u64::from(tries == 1));
                self.live(|live| &live.retries, 1);
                self.command(script, |command| command.retries += 1);
                tries += 1;
                *self.client.random() = random.clone();
                continue;
            }
            let fate = match conflict {
                SqlState::DEADLOCK_DETECTED => Fate::Deadlock,
                _ => Fate::Serialization,
            };
            self.tally(script, |tally| match fate {
                Fate::Deadlock => tally.deadlock_failures += 1,
                _ => tally.serialization_failures += 1,
            });
            self.log(script, fate, tries - 1);
            self.live(|live| &live.failed, 1);
            self.command(script, |command| command.failures += 1);
            return Ok(now);
        }
    }

    /// A script that leaves a transaction open would swallow all that come after it.
    fn is_complete(&self, script: usize) -> Result<(), ClientError> {
        if !self.client.is_in_transaction() {
            return Ok(());
        }
        let place = self.shared.program.scripts.get(script).map_or_else(String::new, |script| script.name.clone());
        let error = crate::script::value::EvalError::new("end of script reached without completing the last transaction");
        Err(ClientError::Script { place, error })
    }
}

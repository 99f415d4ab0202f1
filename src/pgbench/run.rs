//! A run: clients over threads, each running one transaction after the other, until there were enough or time is up.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::affinity::keep_apart;
use super::client::{Client, ClientError, Program, stopped};
use super::live::Live;
use super::log::TransactionLog;
use super::options::Options;
use super::runner::{Common, Runner, Share, Shared};
use super::tally::Tally;
use crate::load::event_loop;
use crate::load::one_by_one::one_by_one;
use crate::load::schedule::Schedule;
use crate::load::threads::{self, Ready, Start, begin_of};
use crate::load::wire::ConnectTarget;
use crate::record::{Arrivals, Limits};
use crate::script::Symbols;
use crate::script::evaluate::{Text, Variables};
use crate::script::random::Random;
use crate::script::value::Value;

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
    /// Transactions that ran then and did not end soon enough: cancelled, and not among those that are done or failed.
    pub cut_off: u64,
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
    #[error("a load thread exited early: the operating system refused what it needs, or it failed; see above")]
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

/// Runs it. `stop` ends it early: what runs has a second ([`Limits::AFTER_A_SIGNAL`]) and is then cancelled, who sleeps or waits for his turn does so no longer. `live` is kept up to date if somebody reads it.
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
    let mut outcome = Outcome {
        tally: shared.program.new_tally(),
        elapsed: Duration::ZERO,
        connecting,
        aborted: Vec::new(),
        interrupted: false,
        cut_off: 0,
    };
    let mut ended = began;
    for share in shares {
        ended = ended.max(share.ended.unwrap_or(began));
        outcome.tally.merge(&share.tally);
        outcome.aborted.extend(share.aborted);
        outcome.interrupted |= share.interrupted;
        outcome.cut_off += share.cut_off;
        outcome.elapsed = outcome.elapsed.max(share.last_done.map_or(Duration::ZERO, |done| done - began));
    }
    if outcome.interrupted {
        outcome.elapsed = ended - began;
    }
    Ok(outcome)
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
    let threads = shared.options.threads.clamp(1, shared.options.clients.max(1));
    keep_apart(thread, threads);
    // The thread's part of the rate, handed to whichever of its clients is free.
    let arrivals = |rate: f64| Arrivals::Poisson { per_second: rate / threads as f64 };
    let schedule = shared.options.rate.map(|rate| Schedule::new(arrivals(rate), shared.options.seed, thread as u64));
    let share = Share { tally: shared.program.new_tally(), ..Share::default() };
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
    let mut runner = Runner::new(shared, common, number, client, began);
    let result = tokio::select! {
        biased;
        result = one_by_one(&mut runner) => Some(result),
        () = patience_with_running(&shared.stop) => None,
    };
    let interrupted = match &result {
        Some(Ok(())) => shared.stop.load(Ordering::Relaxed) && !runner.has_enough(Instant::now()),
        Some(Err(error)) => matches!(error, ClientError::Interrupted),
        None => true,
    };
    let waited = if result.is_some() { Duration::ZERO } else { Limits::AFTER_A_SIGNAL };
    let ended = Instant::now().checked_sub(waited);
    let Runner { mut client, commands, .. } = runner;
    match result {
        Some(_) => client.close().await,
        None => client.abandon().await,
    }
    let mut share = common.share.borrow_mut();
    share.tally.add_commands(&commands);
    share.interrupted |= interrupted;
    share.ended = share.ended.max(ended);
    match result {
        Some(Ok(()) | Err(ClientError::Interrupted)) => {}
        Some(Err(error)) => share.aborted.push(format!("client {number} aborted: {error}")),
        None => share.cut_off += 1,
    }
}

/// Ends [`Limits::AFTER_A_SIGNAL`] after the run is stopped.
async fn patience_with_running(stop: &AtomicBool) {
    stopped(stop).await;
    tokio::time::sleep(Limits::AFTER_A_SIGNAL).await;
}

//! One client at work: its turns, its transactions, and what became of them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::client::{Client, ClientError, Program, Scratch};
use super::live::Live;
use super::log::{Entry, Fate, TransactionLog};
use super::options::{Length, Options};
use super::tally::{CommandTally, ScriptTally, Tally};
use crate::load::one_by_one::OneByOne;
use crate::load::schedule::Schedule;
use crate::load::wire::{ConnectTarget, SqlState};
use crate::script::random::Random;

/// What all clients share.
pub(super) struct Shared {
    pub(super) program: Arc<Program>,
    pub(super) options: Options,
    pub(super) target: ConnectTarget,
    pub(super) live: Option<Arc<Live>>,
    pub(super) stop: Arc<AtomicBool>,
}

/// What the clients of a thread share. One tally for all of them stays in the processor's cache, one for each would not.
pub(super) struct Common {
    /// The thread's part of the rate.
    pub(super) schedule: RefCell<Option<Schedule>>,
    pub(super) log: RefCell<Option<TransactionLog>>,
    pub(super) share: RefCell<Share>,
    pub(super) scratch: Rc<RefCell<Scratch>>,
}

/// What one thread brings home.
#[derive(Default)]
pub(super) struct Share {
    pub(super) tally: Tally,
    pub(super) last_done: Option<Instant>,
    pub(super) aborted: Vec<String>,
    pub(super) interrupted: bool,
    pub(super) cut_off: u64,
    /// When the last client began nothing more.
    pub(super) ended: Option<Instant>,
}

/// One client at work.
pub(super) struct Runner<'a> {
    shared: &'a Shared,
    common: &'a Common,
    number: usize,
    pub(super) client: Client<'a>,
    began: Instant,
    /// Sum of the scripts' weights.
    weights: u64,
    /// Transactions so far, with the one that runs and those that were skipped.
    begun: u64,
    /// When the last one ended.
    now: Instant,
    /// What the one that runs was late by; only under a rate.
    lag: Option<Duration>,
    /// Times by script and command, under `-r`; its own, as they are written while other clients run.
    pub(super) commands: Vec<Vec<CommandTally>>,
}

/// A transaction that is due.
pub(super) struct Turn {
    script: usize,
    intended: Instant,
    /// As it was before the first run: a transaction that is run again draws the same numbers.
    random: Random,
}

impl OneByOne for Runner<'_> {
    type Turn = Turn;
    type Done = Instant;
    type Error = ClientError;

    async fn next(&mut self) -> Result<Option<Turn>, ClientError> {
        let options = &self.shared.options;
        if self.is_over(self.now) {
            return Ok(None);
        }
        let script = self.draw();
        let mut intended = None;
        if options.rate.is_some() {
            intended = self.turn(script).await?;
            if intended.is_none() {
                return Ok(None);
            }
        }
        if options.reconnect {
            self.connect().await?;
        }
        let now = Instant::now();
        self.lag = intended.map(|intended| now.saturating_duration_since(intended));
        self.begun += 1;
        Ok(Some(Turn { script, intended: intended.unwrap_or(now), random: self.client.random().clone() }))
    }

    async fn run(&mut self, turn: &mut Turn, run: u32) -> Result<Instant, ClientError> {
        if run > 1 {
            *self.client.random() = turn.random.clone();
        }
        let times = self.commands.get_mut(turn.script).map(Vec::as_mut_slice);
        let result = self.client.run(turn.script, times).await;
        self.now = result.as_ref().map_or_else(|_| Instant::now(), |done| *done);
        // Of all clients of the thread, this is the last one to end so far.
        self.common.share.borrow_mut().last_done = Some(self.now);
        result
    }

    async fn again(&mut self, turn: &Turn, error: &ClientError, run: u32) -> Result<bool, ClientError> {
        if error.conflict().is_none() {
            return Ok(false);
        }
        self.client.roll_back().await?;
        let options = &self.shared.options;
        let tries_left = options.max_tries.is_none_or(|most| run < most);
        let in_time = options.latency_limit.is_none_or(|limit| self.now.saturating_duration_since(turn.intended) <= limit);
        let over = matches!(options.length, Length::Time(length) if self.now >= self.began + length);
        let again = tries_left && in_time && !over && !self.shared.stop.load(Ordering::Relaxed);
        if again {
            self.tally(turn.script, |tally| {
                tally.retried += u64::from(run == 1);
                tally.retries += 1;
            });
            self.live(|live| &live.retried, u64::from(run == 1));
            self.live(|live| &live.retries, 1);
            self.command(turn.script, |command| command.retries += 1);
        }
        Ok(again)
    }

    async fn ended(&mut self, turn: Turn, result: Result<Instant, ClientError>, runs: u32) -> Result<bool, ClientError> {
        match result {
            Ok(done) => self.done(&turn, done, runs)?,
            Err(error) => {
                let conflict = error.conflict().ok_or(error)?;
                self.failed(turn.script, conflict, runs);
            }
        }
        if self.shared.options.reconnect {
            self.client.close().await;
            self.now = Instant::now();
        }
        Ok(true)
    }
}

impl<'a> Runner<'a> {
    /// Before its first transaction.
    pub(super) fn new(shared: &'a Shared, common: &'a Common, number: usize, client: Client<'a>, began: Instant) -> Runner<'a> {
        let weights = shared.program.scripts.iter().map(|script| script.weight).sum();
        let commands = if shared.options.by_command { shared.program.new_tally().by_command() } else { Vec::new() };
        Runner { shared, common, number, client, began, weights, begun: 0, now: began, lag: None, commands }
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

    /// Whether there were enough, or time is up.
    pub(super) fn has_enough(&self, at: Instant) -> bool {
        match self.shared.options.length {
            Length::Transactions(count) => self.begun >= count,
            Length::Time(length) => at >= self.began + length,
        }
    }

    /// The script of the next transaction.
    fn draw(&mut self) -> usize {
        let scripts = &self.shared.program.scripts;
        if scripts.len() == 1 {
            return 0;
        }
        let mut left = self.client.random().between(0, self.weights.saturating_sub(1));
        for (number, script) in scripts.iter().enumerate() {
            match left.checked_sub(script.weight) {
                Some(less) => left = less,
                None => return number,
            }
        }
        0
    }

    /// A transaction that ended well.
    fn done(&mut self, turn: &Turn, done: Instant, runs: u32) -> Result<(), ClientError> {
        let latency = done.saturating_duration_since(turn.intended);
        let limit = self.shared.options.latency_limit;
        self.tally(turn.script, |tally| tally.add(latency, limit));
        if let Some(lag) = self.lag {
            self.common.share.borrow_mut().tally.add_lag(lag);
        }
        if let Some(live) = &self.shared.live {
            live.add_done(latency, self.lag);
        }
        self.log(turn.script, Fate::Done(latency), runs - 1);
        self.is_complete(turn.script)
    }

    /// A transaction that lost against another one for the last time.
    fn failed(&mut self, script: usize, conflict: SqlState, runs: u32) {
        let fate = match conflict {
            SqlState::DEADLOCK_DETECTED => Fate::Deadlock,
            _ => Fate::Serialization,
        };
        self.tally(script, |tally| match fate {
            Fate::Deadlock => tally.deadlock_failures += 1,
            _ => tally.serialization_failures += 1,
        });
        self.log(script, fate, runs - 1);
        self.live(|live| &live.failed, 1);
        self.command(script, |command| command.failures += 1);
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

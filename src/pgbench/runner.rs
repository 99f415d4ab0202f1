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
use crate::load::schedule::Schedule;
use crate::load::wire::{ConnectTarget, SqlState};

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
    pub(super) shared: &'a Shared,
    pub(super) common: &'a Common,
    pub(super) number: usize,
    pub(super) client: Client<'a>,
    pub(super) began: Instant,
    /// Transactions so far, with the one that runs and those that were skipped.
    pub(super) begun: u64,
    /// What the one that runs was late by; only under a rate.
    pub(super) lag: Option<Duration>,
    /// Times by script and command, under `-r`; its own, as they are written while other clients run.
    pub(super) commands: Vec<Vec<CommandTally>>,
}

impl Runner<'_> {
    /// Runs one after the other until there were enough, time is up or the run is ended.
    pub(super) async fn transactions(&mut self) -> Result<(), ClientError> {
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

    /// Whether there were enough, or time is up.
    pub(super) fn has_enough(&self, at: Instant) -> bool {
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

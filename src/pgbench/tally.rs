//! What came of a run, in counts and histograms. One tally a thread, merged at the end.

use std::time::Duration;

use crate::record::Histogram;

/// Times of one command.
#[derive(Clone, Debug, Default)]
pub struct CommandTally {
    /// Times of executions that went well.
    pub times: Histogram,
    /// Executions that failed, and with them the transaction.
    pub failures: u64,
    /// Executions that failed, after which the transaction was tried again.
    pub retries: u64,
    total_ns: f64,
}

impl CommandTally {
    /// Adds an execution that went well.
    pub fn add(&mut self, time: Duration) {
        self.times.record(ns(time));
        self.total_ns += time.as_nanos() as f64;
    }

    /// Mean time, ns; 0 if none went well.
    pub fn mean_ns(&self) -> f64 {
        self.total_ns / (self.times.count().max(1) as f64)
    }

    fn merge(&mut self, other: &CommandTally) {
        self.times.add(&other.times);
        self.failures += other.failures;
        self.retries += other.retries;
        self.total_ns += other.total_ns;
    }
}

/// What came of one script's transactions.
#[derive(Clone, Debug, Default)]
pub struct ScriptTally {
    /// Latencies of those that succeeded, from the intended start under `-R`, else from the actual one.
    pub latency: Histogram,
    /// Those that succeeded.
    pub done: u64,
    /// Of those, the ones that took longer than `-L`.
    pub late: u64,
    /// Under `-R` and `-L`: never begun, as they would have been late anyway.
    pub skipped: u64,
    /// Given up after serialization failures.
    pub serialization_failures: u64,
    /// Given up after deadlocks.
    pub deadlock_failures: u64,
    /// Transactions that were run more than once.
    pub retried: u64,
    /// Runs after the first of a transaction.
    pub retries: u64,
    /// Times by command, where they were asked for.
    pub commands: Vec<CommandTally>,
    sum_ns: f64,
    squares_ns: f64,
}

impl ScriptTally {
    /// For a script of so many commands.
    pub fn new(commands: usize) -> ScriptTally {
        ScriptTally { commands: vec![CommandTally::default(); commands], ..ScriptTally::default() }
    }

    /// A transaction that succeeded.
    pub fn add(&mut self, latency: Duration, limit: Option<Duration>) {
        let latency_ns = latency.as_nanos() as f64;
        self.done += 1;
        self.late += u64::from(limit.is_some_and(|limit| latency > limit));
        self.latency.record(ns(latency));
        self.sum_ns += latency_ns;
        self.squares_ns += latency_ns * latency_ns;
    }

    /// Adds another one, of the same script.
    pub fn merge(&mut self, other: &ScriptTally) {
        self.latency.add(&other.latency);
        self.done += other.done;
        self.late += other.late;
        self.skipped += other.skipped;
        self.serialization_failures += other.serialization_failures;
        self.deadlock_failures += other.deadlock_failures;
        self.retried += other.retried;
        self.retries += other.retries;
        self.sum_ns += other.sum_ns;
        self.squares_ns += other.squares_ns;
        self.commands.resize(self.commands.len().max(other.commands.len()), CommandTally::default());
        for (own, other) in self.commands.iter_mut().zip(&other.commands) {
            own.merge(other);
        }
    }

    /// Given up, for whatever reason.
    pub fn failures(&self) -> u64 {
        self.serialization_failures + self.deadlock_failures
    }

    /// All that were due: done, given up, skipped.
    pub fn total(&self) -> u64 {
        self.done + self.failures() + self.skipped
    }

    /// Mean latency, ns; 0 if none succeeded.
    pub fn mean_ns(&self) -> f64 {
        self.sum_ns / (self.done.max(1) as f64)
    }

    /// Standard deviation of the latency, ns.
    pub fn deviation_ns(&self) -> f64 {
        let mean = self.mean_ns();
        (self.squares_ns / (self.done.max(1) as f64) - mean * mean).max(0.0).sqrt()
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By script.
    pub scripts: Vec<ScriptTally>,
    /// Under `-R`: from the intended start to the actual one, of transactions that succeeded.
    pub lag: Histogram,
    lag_sum_ns: f64,
    /// Connections opened for one transaction each (`-C`).
    pub connections: u64,
    /// The time that those took.
    pub connecting: Duration,
}

impl Tally {
    /// For scripts of so many commands each.
    pub fn new(commands: impl IntoIterator<Item = usize>) -> Tally {
        Tally { scripts: commands.into_iter().map(ScriptTally::new).collect(), ..Tally::default() }
    }

    /// A transaction that began so long after its time.
    pub fn add_lag(&mut self, lag: Duration) {
        self.lag.record(ns(lag));
        self.lag_sum_ns += lag.as_nanos() as f64;
    }

    /// Mean lag, ns.
    pub fn mean_lag_ns(&self) -> f64 {
        self.lag_sum_ns / (self.lag.count().max(1) as f64)
    }

    /// Empty tallies by script and command.
    pub(super) fn by_command(self) -> Vec<Vec<CommandTally>> {
        self.scripts.into_iter().map(|script| script.commands).collect()
    }

    /// Adds tallies by script and command.
    pub(super) fn add_commands(&mut self, commands: &[Vec<CommandTally>]) {
        for (script, commands) in self.scripts.iter_mut().zip(commands) {
            script.commands.iter_mut().zip(commands).for_each(|(own, other)| own.merge(other));
        }
    }

    /// Adds another thread's.
    pub fn merge(&mut self, other: &Tally) {
        for (own, other) in self.scripts.iter_mut().zip(&other.scripts) {
            own.merge(other);
        }
        self.lag.add(&other.lag);
        self.lag_sum_ns += other.lag_sum_ns;
        self.connections += other.connections;
        self.connecting += other.connecting;
    }

    /// All scripts together.
    pub fn all(&self) -> ScriptTally {
        let mut all = ScriptTally::default();
        for script in &self.scripts {
            all.merge(script);
        }
        all
    }
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_gives_what_one_tally_of_all_would() {
        let times = [3, 5, 9, 11, 400].map(Duration::from_micros);
        let limit = Some(Duration::from_micros(10));
        let mut whole = ScriptTally::new(1);
        times.into_iter().for_each(|time| whole.add(time, limit));
        let (mut left, mut right) = (ScriptTally::new(1), ScriptTally::new(1));
        times[..2].iter().for_each(|time| left.add(*time, limit));
        times[2..].iter().for_each(|time| right.add(*time, limit));
        left.merge(&right);
        assert_eq!((left.done, left.late, left.total()), (5, 2, 5));
        assert_eq!(left.mean_ns(), whole.mean_ns());
        assert!((left.deviation_ns() - whole.deviation_ns()).abs() < 1e-6);
    }
}

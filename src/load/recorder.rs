//! What became of each arrival, in histograms. One recording a thread, merged at the end, so recording takes no lock.

use std::collections::BTreeMap;

use crate::dataset::TenantClass;
use crate::record::{Accounting, Histogram, StageTimes, TransactionTimes};

/// The fate of one arrival.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// Position of its transaction.
    pub transaction: usize,
    /// Size class of its tenant.
    pub class: TenantClass,
    /// Stage of the load in which it was due, where that has stages.
    pub stage: Option<usize>,
    /// From the intended start to entering the pool's queue, ns.
    pub lag_ns: u64,
    /// From the intended start to having a connection, ns.
    pub acquire_ns: u64,
    /// From the first byte sent to the last row, ns.
    pub service_ns: u64,
    /// From the intended start to the last row, ns.
    pub response_ns: u64,
    /// Service time by statement, ns; 0 for one that was not sent.
    pub statements_ns: &'a [u64],
    /// Runs after the first.
    pub retries: u32,
    /// SQLSTATE or a word, if it failed.
    pub error: Option<&'a str>,
}

/// Everything recorded over a block.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Fates.
    pub accounting: Accounting,
    /// Times by transaction.
    pub transactions: Vec<TransactionTimes>,
    /// Service times by transaction and statement.
    pub statements: Vec<Vec<Histogram>>,
    /// Service times by transaction and class, in the order of [`TenantClass::ALL`].
    pub classes: Vec<[Histogram; 3]>,
    /// By stage of the load in which they were due.
    pub stages: Vec<StageTimes>,
    /// Failed ones, by SQLSTATE.
    pub errors: BTreeMap<String, Histogram>,
    /// Lags of all.
    pub lag: Histogram,
    /// Those that ended well within the measured stretch, whenever they began.
    pub completed: u64,
}

impl Recording {
    /// An empty recording for transactions with so many statements each, and so many stages.
    pub fn new(statements: &[usize], stages: usize) -> Recording {
        Recording {
            transactions: statements.iter().map(|_| TransactionTimes::default()).collect(),
            statements: statements.iter().map(|count| vec![Histogram::new(); *count]).collect(),
            classes: statements.iter().map(|_| Default::default()).collect(),
            stages: vec![StageTimes::default(); stages],
            ..Recording::default()
        }
    }

    /// Notes one that gave up waiting for a connection.
    pub fn give_up(&mut self, lag_ns: u64, stage: Option<usize>) {
        self.lag.record(lag_ns);
        self.accounting.acquire_timeouts += 1;
        if let Some(stage) = stage.and_then(|stage| self.stages.get_mut(stage)) {
            stage.failed += 1;
        }
    }

    /// Notes one fate.
    pub fn record(&mut self, outcome: &Outcome<'_>) {
        self.lag.record(outcome.lag_ns);
        if let Some(stage) = outcome.stage.and_then(|stage| self.stages.get_mut(stage)) {
            match outcome.error {
                Some(_) => stage.failed += 1,
                None => {
                    stage.response.record(outcome.response_ns);
                    stage.acquire.record(outcome.acquire_ns);
                }
            }
        }
        if let Some(times) = self.transactions.get_mut(outcome.transaction) {
            times.retries += u64::from(outcome.retries);
        }
        if let Some(error) = outcome.error {
            self.accounting.error += 1;
            match self.errors.get_mut(error) {
                Some(histogram) => histogram.record(outcome.response_ns),
                None => self.errors.entry(error.to_owned()).or_default().record(outcome.response_ns),
            }
            return;
        }
        self.accounting.ok += 1;
        let Some(times) = self.transactions.get_mut(outcome.transaction) else { return };
        times.response.record(outcome.response_ns);
        times.acquire.record(outcome.acquire_ns);
        times.service.record(outcome.service_ns);
        if outcome.retries > 0 {
            times.retried.record(outcome.service_ns);
        }
        let statements = self.statements[outcome.transaction].iter_mut().zip(outcome.statements_ns);
        for (histogram, ns) in statements.filter(|(_, ns)| **ns > 0) {
            histogram.record(*ns);
        }
        self.classes[outcome.transaction][outcome.class as usize].record(outcome.service_ns);
    }

    /// Adds what another thread recorded.
    pub fn merge(&mut self, other: &Recording) {
        let sum = &mut self.accounting;
        sum.scheduled += other.accounting.scheduled;
        sum.ok += other.accounting.ok;
        sum.error += other.accounting.error;
        sum.acquire_timeouts += other.accounting.acquire_timeouts;
        sum.dropped += other.accounting.dropped;
        sum.in_flight += other.accounting.in_flight;
        self.lag.add(&other.lag);
        self.completed += other.completed;
        for (mine, theirs) in self.transactions.iter_mut().zip(&other.transactions) {
            mine.add(theirs);
        }
        for (mine, theirs) in self.statements.iter_mut().flatten().zip(other.statements.iter().flatten()) {
            mine.add(theirs);
        }
        for (mine, theirs) in self.classes.iter_mut().flatten().zip(other.classes.iter().flatten()) {
            mine.add(theirs);
        }
        for (mine, theirs) in self.stages.iter_mut().zip(&other.stages) {
            mine.add(theirs);
        }
        for (error, theirs) in &other.errors {
            self.errors.entry(error.clone()).or_default().add(theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(error: Option<&str>) -> Outcome<'_> {
        Outcome {
            transaction: 0,
            class: TenantClass::Middle,
            stage: None,
            lag_ns: 5,
            acquire_ns: 10,
            service_ns: 100,
            response_ns: 110,
            statements_ns: &[60],
            retries: 0,
            error,
        }
    }

    #[test]
    fn a_failure_keeps_its_time_but_stays_out_of_the_latencies() {
        let mut recording = Recording::new(&[1], 0);
        recording.record(&outcome(None));
        recording.record(&outcome(Some("57014")));
        assert_eq!((recording.accounting.ok, recording.accounting.error), (1, 1));
        assert_eq!(recording.transactions[0].response.count(), 1);
        assert_eq!(recording.errors["57014"].max(), 110);
        assert_eq!(recording.lag.count(), 2);
        assert_eq!(recording.classes[0][TenantClass::Middle as usize].count(), 1);
    }

    #[test]
    fn what_took_several_runs_is_told_apart() {
        let mut recording = Recording::new(&[1], 0);
        recording.record(&outcome(None));
        recording.record(&Outcome { retries: 2, service_ns: 300, ..outcome(None) });
        recording.record(&Outcome { retries: 4, ..outcome(Some("40001")) });
        let times = &recording.transactions[0];
        assert_eq!((times.service.count(), times.retried.count(), times.retried.max(), times.retries), (2, 1, 300, 6));
    }

    #[test]
    fn merging_loses_nothing() {
        let mut one = Recording::new(&[1], 0);
        one.record(&outcome(None));
        let mut two = Recording::new(&[1], 0);
        two.record(&outcome(None));
        two.record(&outcome(Some("40001")));
        one.merge(&two);
        assert_eq!((one.accounting.ok, one.accounting.error), (2, 1));
        assert_eq!(one.statements[0][0].count(), 2);
        assert_eq!(one.errors["40001"].count(), 1);
    }
}

//! What the machine or the generator did to a block while it was measured. A block that was disturbed is used all the same: such noise does not know
//! which arm runs, so it costs width and no honesty. Response and acquire times count from intended starts, so they hold all of what is told here.
//! Service times count from the first byte sent: a late start is not in them, a wait of the answer for a busy generator is.

use super::{BlockRecord, Histogram};

/// Lag from which arrivals are late, if it is also more than a tenth of the median response.
const LAG_LIMIT_NS: u64 = 1_000_000;
/// Arrivals that must be late before lag is told of a block, however few it holds.
const FEWEST_LATE: f64 = 5.0;
/// Share of a core that a generator thread may use.
const BUSY_LIMIT: f64 = 0.70;
/// Longest time that a load thread may have stood still.
const STALL_LIMIT_NS: u64 = 10_000_000;
/// Share of offered transactions that should finish.
const ACHIEVED_LIMIT: f64 = 0.99;

/// One thing that disturbed a block.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Disturbance {
    /// Transactions entered the pool's queue late.
    Late {
        /// Lag that 1% of the transactions exceeded, and no fewer than five of them, ns.
        lag_ns: u64,
    },
    /// A load thread did not run its event loop for more than 10 ms.
    Stalled {
        /// The longest time, ns.
        stall_ns: u64,
    },
    /// The generator used more processor time than it may.
    Busy {
        /// Percent of a core a thread.
        percent: u32,
    },
    /// Fewer than 99% of the offered transactions were answered before draining was given up.
    Unfinished {
        /// Per mille that were.
        per_mille: u32,
    },
}

impl BlockRecord {
    /// What disturbed it, by what its generator says of itself.
    pub fn disturbances(&self) -> Vec<Disturbance> {
        let generator = &self.generator;
        let open = self.is_open();
        let waits = open || self.is_crowded();
        let lag_ns = common_lag(&generator.lag);
        let median = self.median_response();
        let tenth = if median.is_finite() { (median / 10.0) as u64 } else { 0 };
        [
            (open && lag_ns > LAG_LIMIT_NS.max(tenth)).then_some(Disturbance::Late { lag_ns }),
            (waits && generator.longest_stall_ns > STALL_LIMIT_NS).then_some(Disturbance::Stalled { stall_ns: generator.longest_stall_ns }),
            self.generator_adds_time().then_some(Disturbance::Busy { percent: (generator.cpu_share * 100.0) as u32 }),
            (open && generator.achieved_share < ACHIEVED_LIMIT)
                .then_some(Disturbance::Unfinished { per_mille: (generator.achieved_share * 1000.0) as u32 }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether the generator had so much to do that it adds to the times of all arms, and hides a difference: answers wait for it, and what it
    /// takes to receive one is in a service time also where a session has its thread to itself.
    pub fn generator_adds_time(&self) -> bool {
        self.generator.cpu_share > BUSY_LIMIT
    }

    /// Whether transactions have intended starts, which the generator can miss.
    pub fn is_open(&self) -> bool {
        self.load.arrivals.has_queue()
    }

    /// Whether sessions of a closed loop share a load thread, so that the answer to one may wait while it sees to another.
    fn is_crowded(&self) -> bool {
        !self.is_open() && self.generator.connections > self.generator.threads
    }

    /// The least median response of its transactions, ns; infinite if none finished.
    fn median_response(&self) -> f64 {
        self.transactions.values().filter_map(|times| times.response.quantile(0.5)).fold(f64::INFINITY, f64::min)
    }
}

/// The lag that 1% of the arrivals exceeded, and no fewer than [`FEWEST_LATE`] of them, ns: one pause of the machine delays the few arrivals
/// that fall into it, and is not worth a word.
fn common_lag(lag: &Histogram) -> u64 {
    let share = (FEWEST_LATE / lag.count().max(1) as f64).clamp(0.01, 1.0);
    lag.quantile(1.0 - share).unwrap_or(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::block;

    #[test]
    fn a_few_late_arrivals_are_one_pause_and_more_are_told() {
        assert_eq!(block(2_000_000, 0, 0).disturbances(), []);
        assert_eq!(block(2_000_000, 4, 8_000_000).disturbances(), []);
        let late = block(2_000_000, 7, 8_000_000).disturbances();
        assert!(matches!(late[..], [Disturbance::Late { lag_ns: 7_000_000.. }]), "{late:?}");
        // Less than a tenth of a response is in nobody's way.
        assert_eq!(block(100_000_000, 30, 8_000_000).disturbances(), []);
    }

    #[test]
    fn a_load_thread_that_stood_still_is_told_where_answers_waited_for_it() {
        let mut stalled = block(2_000_000, 0, 0);
        stalled.generator.longest_stall_ns = 9_000_000;
        assert_eq!(stalled.disturbances(), []);
        stalled.generator.longest_stall_ns = 11_000_000;
        assert_eq!(stalled.disturbances(), [Disturbance::Stalled { stall_ns: 11_000_000 }]);
        stalled.load.arrivals = crate::record::Arrivals::Work { transactions: 1 };
        assert_eq!(stalled.disturbances(), [], "one session has its thread to itself");
        stalled.generator.connections = 2;
        assert_eq!(stalled.disturbances(), [Disturbance::Stalled { stall_ns: 11_000_000 }]);
    }

    #[test]
    fn a_busy_generator_adds_time() {
        let mut busy = block(2_000_000, 0, 0);
        assert!(!busy.generator_adds_time());
        busy.generator.cpu_share = 0.9;
        assert!(busy.generator_adds_time());
        assert_eq!(busy.disturbances(), [Disturbance::Busy { percent: 90 }]);
        busy.load.arrivals = crate::record::Arrivals::Work { transactions: 1 };
        assert_eq!(busy.disturbances(), [Disturbance::Busy { percent: 90 }], "what one session receives takes its time, too");
    }

    #[test]
    fn what_was_not_answered_is_told() {
        let mut short = block(2_000_000, 0, 0);
        short.generator.achieved_share = 0.5;
        assert_eq!(short.disturbances(), [Disturbance::Unfinished { per_mille: 500 }]);
    }
}

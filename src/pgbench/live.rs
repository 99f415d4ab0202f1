//! What a run has come to so far, for those who look on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

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

    pub(super) fn add_done(&self, latency: Duration, lag: Option<Duration>) {
        let count = |sum: &AtomicU64, time: Duration| sum.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.done.fetch_add(1, Ordering::Relaxed);
        count(&self.latency_ns, latency);
        count(&self.lag_ns, lag.unwrap_or_default());
        let square = (latency.as_secs_f64() * 1e3).powi(2);
        let added = |bits| Some((f64::from_bits(bits) + square).to_bits());
        let _ = self.squares_ms2.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }
}

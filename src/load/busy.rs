//! How many connections are at work, looked up at instants that know nothing of the load: a witness for the times that are recorded, as the
//! mean number at work is throughput times the mean time at work (Little).

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::RngExt;

use super::block::Shared;
use crate::dataset::stream;
use crate::record::Busy;

/// Between two looks: even gaps could keep time with the load.
const SHORTEST_GAP: Duration = Duration::from_micros(500);
const LONGEST_GAP: Duration = Duration::from_micros(3_500);

/// Looks until the block ends, from the start of the measured stretch on.
pub(super) fn look(shared: &Shared, from: Instant, until: Instant) -> Busy {
    let mut rng = stream(shared.spec.load.seed, "busy", shared.spec.load.first_sequence);
    let mut over_time = OverTime::default();
    std::thread::sleep(from.saturating_duration_since(Instant::now()));
    loop {
        let now = Instant::now();
        over_time.look(now, shared.busy.load(Ordering::Relaxed));
        if now >= until || shared.halted().is_some() {
            return Busy { mean: over_time.mean(), looks: over_time.looks };
        }
        std::thread::sleep(rng.random_range(SHORTEST_GAP..LONGEST_GAP));
    }
}

/// A mean over time, not over looks: those become rare just when all processors are taken, and more connections than usual at work.
#[derive(Default)]
struct OverTime {
    looks: u64,
    last: Option<(Instant, u64)>,
    /// Number × time, s.
    area: f64,
    time: Duration,
}

impl OverTime {
    /// Between two looks it was halfway, as far as is known.
    fn look(&mut self, now: Instant, number: u64) {
        if let Some((before, number_before)) = self.last {
            let gap = now - before;
            self.area += (number_before + number) as f64 / 2.0 * gap.as_secs_f64();
            self.time += gap;
        }
        self.last = Some((now, number));
        self.looks += 1;
    }

    /// Of a single look, what it saw.
    fn mean(&self) -> f64 {
        let seen = self.last.map_or(0.0, |(_, number)| number as f64);
        if self.time.is_zero() { seen } else { self.area / self.time.as_secs_f64() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_over_time() {
        let begun = Instant::now();
        let mut over_time = OverTime::default();
        assert_eq!(over_time.mean(), 0.0);
        for (milliseconds, number) in [(0, 2), (1, 2), (2, 2), (12, 6), (22, 6)] {
            over_time.look(begun + Duration::from_millis(milliseconds), number);
        }
        // Of looks it would be 3.6.
        assert!((over_time.mean() - (2.0 * 2.0 + 4.0 * 10.0 + 6.0 * 10.0) / 22.0).abs() < 1e-9, "{}", over_time.mean());
        assert_eq!(over_time.looks, 5);
        let mut single = OverTime::default();
        single.look(begun, 3);
        assert_eq!(single.mean(), 3.0);
    }
}

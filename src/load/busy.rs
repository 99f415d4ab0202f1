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
    let mut rng = stream(shared.spec.seed, "busy", shared.spec.first_sequence);
    let (mut sum, mut looks) = (0, 0);
    std::thread::sleep(from.saturating_duration_since(Instant::now()));
    while Instant::now() < until && shared.halted().is_none() {
        sum += shared.busy.load(Ordering::Relaxed);
        looks += 1;
        std::thread::sleep(rng.random_range(SHORTEST_GAP..LONGEST_GAP));
    }
    Busy { mean: sum as f64 / looks.max(1) as f64, looks }
}

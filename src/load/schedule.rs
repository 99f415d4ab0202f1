//! Intended starts: absolute offsets from the start of a block, decided by the seed before anything runs.
//!
//! A schedule never waits for the system under test. A transaction that starts late is timed from its intended start, so a stall shows
//! in the response times of everything that queued behind it instead of vanishing ("coordinated omission").

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::dataset::stream;
use crate::record::{Arrivals, Spacing, Stage};

/// Where a schedule is in its stages. Arrivals are counted in fractions: at each moment, so many were due on average.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    stage: usize,
    /// Due before this stage.
    due: f64,
    /// When it begins, ns.
    begins_ns: f64,
}

impl Place {
    /// When so many were due, which must not be fewer than the last time; `None` if that is after the last stage.
    fn time_of(&mut self, due: f64, stages: &[Stage]) -> Option<f64> {
        loop {
            let stage = stages.get(self.stage)?;
            let more = due - self.due;
            if more < stage.arrivals() {
                return Some(self.begins_ns + time_within(stage, more));
            }
            self.due += stage.arrivals();
            self.begins_ns += stage.length_ns as f64;
            self.stage += 1;
        }
    }
}

/// From the beginning of a stage until so many were due, ns.
fn time_within(stage: &Stage, due: f64) -> f64 {
    if due <= 0.0 {
        return 0.0;
    }
    // due = from·t + change/2·t², solved in the way that divides by no difference of near numbers, and by the change not at all.
    let (from, to, seconds) = (stage.from_per_second, stage.to_per_second, stage.length_ns as f64 / 1e9);
    let change = (to - from) / seconds;
    let root = libm::sqrt((from * from + 2.0 * change * due).max(0.0));
    (2.0 * due / (from + root)).min(seconds) * 1e9
}

/// Intended starts in ns from the start of the block, rising, without end. Lazy: memory does not grow with the length of a run.
#[derive(Clone, Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    rng: ChaCha8Rng,
    issued: u64,
    last_ns: f64,
    /// Due until the last, and where that was; of stages.
    due: f64,
    place: Place,
}

impl Schedule {
    /// The schedule of the block whose first arrival has number `first_sequence`. A rate that is not a positive number gives no arrivals, as does
    /// anything but an open loop.
    pub fn new(arrivals: Arrivals, seed: u64, first_sequence: u64) -> Schedule {
        let rng = stream(seed, "schedule", first_sequence);
        Schedule { arrivals, rng, issued: 0, last_ns: 0.0, due: 0.0, place: Place::default() }
    }
}

impl Iterator for Schedule {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let rate = self.arrivals.per_second();
        if !rate.is_finite() || rate <= 0.0 {
            return None;
        }
        self.issued += 1;
        let at = match &self.arrivals {
            // Multiplied, not summed up, so that rounding does not drift over a long run.
            Arrivals::Constant { .. } => (self.issued - 1) as f64 * 1e9 / rate,
            Arrivals::Poisson { .. } => self.last_ns + exponential(&mut self.rng) * 1e9 / rate,
            Arrivals::Stages { spacing, stages } => {
                self.due = match spacing {
                    Spacing::Constant => (self.issued - 1) as f64,
                    // A Poisson process of rate 1, run on a clock that shows how many were due.
                    Spacing::Poisson => self.due + exponential(&mut self.rng),
                };
                self.place.time_of(self.due, stages)?
            }
            Arrivals::Users { .. } | Arrivals::Closed | Arrivals::Work { .. } => return None,
        };
        self.last_ns = at;
        Some(at as u64)
    }
}

/// A gap between independent events, of mean 1.
fn exponential(rng: &mut ChaCha8Rng) -> f64 {
    let uniform: f64 = rng.random();
    -libm::log(1.0 - uniform)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn stage(from: f64, to: f64, seconds: u64) -> Stage {
        Stage { from_per_second: from, to_per_second: to, length_ns: seconds * SECOND }
    }

    fn staged(spacing: Spacing, stages: &[Stage]) -> Schedule {
        Schedule::new(Arrivals::Stages { spacing, stages: stages.into() }, 3, 0)
    }

    #[test]
    fn stages_rise_stay_jump_and_fall() {
        let stages = [stage(0.0, 100.0, 10), stage(100.0, 100.0, 5), stage(1_000.0, 1_000.0, 1), stage(0.0, 0.0, 7), stage(100.0, 0.0, 10)];
        let starts: Vec<u64> = staged(Spacing::Constant, &stages).collect();
        // 500 while it rises, then 500, 1,000, none, and 500 while it falls.
        assert_eq!(starts.len(), 2_500);
        assert!(starts.is_sorted());
        // n = 5·t² while it rises: the 20th after 2 s.
        assert!(starts[20].abs_diff(2 * SECOND) <= 1, "{}", starts[20]);
        assert!(starts[500].abs_diff(10 * SECOND) <= 1 && starts[501].abs_diff(10 * SECOND + SECOND / 100) <= 1, "{:?}", &starts[500..502]);
        assert!(starts[1_001].abs_diff(15 * SECOND + SECOND / 1_000) <= 1, "{}", starts[1_001]);
        assert!(starts[1_999] < 16 * SECOND && starts[2_000].abs_diff(23 * SECOND) <= 1, "{:?}", &starts[1_999..2_001]);
        // 500 - n = 5·left² while it falls: of its last 20 all come in the last 2 s.
        assert!(starts[2_480].abs_diff(31 * SECOND) <= 1, "{}", starts[2_480]);
        let process = Arrivals::Stages { spacing: Spacing::Constant, stages: stages.into() };
        assert_eq!(process.per_second(), 2_500.0 / 33.0);
        let of_stages = |number| starts.iter().filter(|start| process.stage_at(**start) == Some(number)).count();
        assert_eq!([0, 1, 2, 3, 4].map(of_stages), [500, 500, 1_000, 0, 500]);
        assert_eq!(process.stage_at(33 * SECOND), None);
    }

    #[test]
    fn poisson_stages_have_the_rate_and_the_spread_of_poisson_at_every_moment() {
        // 2,000 seconds that rise from 0 to 100, in twenty parts.
        let mut counts = [0_f64; 20];
        for start in staged(Spacing::Poisson, &[stage(0.0, 100.0, 2_000)]) {
            counts[(start / (100 * SECOND)) as usize] += 1.0;
        }
        let mut chi2 = 0.0;
        for (part, count) in counts.iter().enumerate() {
            let expected = 500.0 * (part as f64 * 0.5 + 0.25) * 2.0;
            chi2 += (count - expected).powi(2) / expected;
        }
        // 20 degrees of freedom: outside of 5 to 45 once in a thousand, and the seed is fixed.
        assert!((5.0..45.0).contains(&chi2), "χ² of {chi2}: {counts:?}");
    }

    #[test]
    fn one_stage_that_stays_is_a_constant_rate() {
        let steady: Vec<u64> = Schedule::new(Arrivals::Constant { per_second: 7.0 }, 3, 0).take(70).collect();
        let stage: Vec<u64> = staged(Spacing::Constant, &[stage(7.0, 7.0, 10)]).collect();
        assert_eq!(stage.len(), 70);
        assert!(steady.iter().zip(&stage).all(|(one, other)| one.abs_diff(*other) <= 1));
    }

    #[test]
    fn constant_arrivals_do_not_drift() {
        let starts: Vec<u64> = Schedule::new(Arrivals::Constant { per_second: 3.0 }, 1, 0).take(3_000_001).collect();
        assert_eq!(starts[3], 1_000_000_000);
        assert_eq!(starts[3_000_000], 1_000_000_000_000_000);
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread_of_poisson() {
        let seconds = 2_000;
        let mut counts = vec![0f64; seconds];
        for start in Schedule::new(Arrivals::Poisson { per_second: 50.0 }, 7, 0) {
            let second = (start / 1_000_000_000) as usize;
            if second >= seconds {
                break;
            }
            counts[second] += 1.0;
        }
        let mean = counts.iter().sum::<f64>() / seconds as f64;
        let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / seconds as f64;
        assert!((mean - 50.0).abs() < 1.0, "mean {mean}");
        assert!((variance / mean - 1.0).abs() < 0.15, "a Poisson count has variance = mean, not {variance}");
    }

    #[test]
    fn the_same_seed_gives_the_same_starts_and_another_block_others() {
        let starts = |seed, first| Schedule::new(Arrivals::Poisson { per_second: 10.0 }, seed, first).take(100).collect::<Vec<_>>();
        assert_eq!(starts(1, 0), starts(1, 0));
        assert_ne!(starts(1, 0), starts(1, 1 << 20));
        assert_ne!(starts(1, 0), starts(2, 0));
    }

    #[test]
    fn a_rate_of_nothing_gives_nothing() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Schedule::new(Arrivals::Poisson { per_second: rate }, 1, 0).next(), None);
        }
    }
}

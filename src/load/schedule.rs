//! Intended starts: absolute offsets from the start of a block, decided by the seed before anything runs.
//!
//! A schedule never waits for the system under test. A transaction that starts late is timed from its intended start, so a stall shows
//! in the response times of everything that queued behind it instead of vanishing ("coordinated omission").

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::dataset::stream;

/// An open-loop arrival process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Process {
    /// Independent users: exponential gaps with this mean rate a second.
    Poisson(f64),
    /// Equal gaps at this rate a second.
    Constant(f64),
}

impl Process {
    /// Arrivals a second.
    pub fn rate(self) -> f64 {
        match self {
            Process::Poisson(rate) | Process::Constant(rate) => rate,
        }
    }
}

/// Intended starts in ns from the start of the block, rising, without end. Lazy: memory does not grow with the length of a run.
#[derive(Clone, Debug)]
pub struct Schedule {
    process: Process,
    rng: ChaCha8Rng,
    issued: u64,
    last_ns: f64,
}

impl Schedule {
    /// The schedule of the block whose first arrival has number `first_sequence`. A rate that is not a positive number gives no arrivals.
    pub fn new(process: Process, seed: u64, first_sequence: u64) -> Schedule {
        Schedule { process, rng: stream(seed, "schedule", first_sequence), issued: 0, last_ns: 0.0 }
    }
}

impl Iterator for Schedule {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let rate = self.process.rate();
        if !rate.is_finite() || rate <= 0.0 {
            return None;
        }
        self.issued += 1;
        let at = match self.process {
            // Multiplied, not summed up, so that rounding does not drift over a long run.
            Process::Constant(_) => (self.issued - 1) as f64 * 1e9 / rate,
            Process::Poisson(_) => {
                let uniform: f64 = self.rng.random();
                self.last_ns + -libm::log(1.0 - uniform) * 1e9 / rate
            }
        };
        self.last_ns = at;
        Some(at as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_arrivals_do_not_drift() {
        let starts: Vec<u64> = Schedule::new(Process::Constant(3.0), 1, 0).take(3_000_001).collect();
        assert_eq!(starts[3], 1_000_000_000);
        assert_eq!(starts[3_000_000], 1_000_000_000_000_000);
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread_of_poisson() {
        let seconds = 2_000;
        let mut counts = vec![0f64; seconds];
        for start in Schedule::new(Process::Poisson(50.0), 7, 0) {
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
        let starts = |seed, first| Schedule::new(Process::Poisson(10.0), seed, first).take(100).collect::<Vec<_>>();
        assert_eq!(starts(1, 0), starts(1, 0));
        assert_ne!(starts(1, 0), starts(1, 1 << 20));
        assert_ne!(starts(1, 0), starts(2, 0));
    }

    #[test]
    fn a_rate_of_nothing_gives_nothing() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Schedule::new(Process::Poisson(rate), 1, 0).next(), None);
        }
    }
}

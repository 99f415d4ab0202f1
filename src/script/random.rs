//! Random numbers: PostgreSQL's generator, and the distributions of pgbench's functions on top of it.
//!
//! The generator is xoroshiro128** by Blackman and Vigna (<https://prng.di.unimi.it/>), seeded through SplitMix64, as in PostgreSQL since
//! version 15. `permute` depends on its very bits; the others only on its quality.

use super::value::EvalError;

/// Least parameter of `random_gaussian`: below, too many draws would be thrown away.
const LEAST_GAUSSIAN: f64 = 2.0;
/// Parameters of `random_zipfian`.
const ZIPFIAN: std::ops::RangeInclusive<f64> = 1.001..=1000.0;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 2],
}

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Random {
        let mut mixed = seed;
        let mut next = || {
            mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut value = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            value ^ (value >> 31)
        };
        let state = [next(), next()];
        // The one state from which it would never come out.
        let state = if state == [0, 0] { [0x5851_f42d_4c95_7f2d, 0x1405_7b7e_f767_814f] } else { state };
        Random { state }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b] = self.state;
        let mixed = a ^ b;
        let value = a.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        self.state = [a.rotate_left(24) ^ mixed ^ (mixed << 16), mixed.rotate_left(37)];
        value
    }

    /// From 0 up to, but without, 1.
    pub fn unit(&mut self) -> f64 {
        // The 52 bits of a mantissa; more would round up to 1.
        (self.bits() >> 12) as f64 / (1u64 << 52) as f64
    }

    /// Any of `low..=high`, each as likely.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        if high <= low {
            return low;
        }
        let range = high - low;
        let shift = range.leading_zeros();
        loop {
            let value = self.bits() >> shift;
            if value <= range {
                return low + value;
            }
        }
    }

    /// `random(low, high)`.
    pub fn uniform(&mut self, low: i64, high: i64) -> i64 {
        let width = high.wrapping_sub(low) as u64;
        low.wrapping_add(self.between(0, width) as i64)
    }

    /// `random_exponential(low, high, parameter)`: the low values are the likely ones.
    pub fn exponential(&mut self, low: i64, high: i64, parameter: f64) -> Result<i64, EvalError> {
        if parameter.is_nan() || parameter <= 0.0 {
            return Err(EvalError::new(format!("exponential parameter must be greater than zero (not {parameter})")));
        }
        let cut = libm::exp(-parameter);
        let drawn = 1.0 - self.unit();
        let share = -libm::log(cut + (1.0 - cut) * drawn) / parameter;
        Ok(scaled(low, high, share))
    }

    /// `random_gaussian(low, high, parameter)`: a bell over the range, cut off `parameter` standard deviations from its middle.
    pub fn gaussian(&mut self, low: i64, high: i64, parameter: f64) -> Result<i64, EvalError> {
        if parameter.is_nan() || parameter < LEAST_GAUSSIAN {
            return Err(EvalError::new(format!("gaussian parameter must be at least {LEAST_GAUSSIAN:.1} (not {parameter})")));
        }
        let deviation = loop {
            // Box and Muller's method.
            let (radius, angle) = (1.0 - self.unit(), self.unit());
            let deviation = libm::sqrt(-2.0 * libm::log(radius)) * libm::sin(2.0 * std::f64::consts::PI * angle);
            if (-parameter..parameter).contains(&deviation) {
                break deviation;
            }
        };
        Ok(scaled(low, high, (deviation + parameter) / (2.0 * parameter)))
    }

    /// `random_zipfian(low, high, parameter)`: value k of the range, from 1, is k^-parameter times as likely as the first.
    pub fn zipfian(&mut self, low: i64, high: i64, parameter: f64) -> Result<i64, EvalError> {
        if !ZIPFIAN.contains(&parameter) {
            let (least, most) = (ZIPFIAN.start(), ZIPFIAN.end());
            return Err(EvalError::new(format!("zipfian parameter must be in range [{least:.3}, {most:.0}] (not {parameter})")));
        }
        let values = (high.wrapping_sub(low) as u64).saturating_add(1);
        if values <= 1 {
            return Ok(low);
        }
        // Rejection from a Pareto distribution: Devroye, Non-Uniform Random Variate Generation, page 550.
        let exponent = parameter - 1.0;
        let b = libm::pow(2.0, exponent);
        let rank = loop {
            let (u, v) = (self.unit(), self.unit());
            let x = libm::floor(libm::pow(u, -1.0 / exponent));
            let t = libm::pow(1.0 + 1.0 / x, exponent);
            if v * x * (t - 1.0) / (b - 1.0) <= t / b && x <= values as f64 {
                break x;
            }
        };
        Ok(low.wrapping_add(rank as i64 - 1))
    }
}

fn scaled(low: i64, high: i64, share: f64) -> i64 {
    let width = high.wrapping_sub(low) as f64 + 1.0;
    low.wrapping_add((width * share) as i64)
}

/// `permute(value, size, seed)`: where `value` modulo `size` stands in a permutation of 0 to `size - 1` that only the seed decides. Made
/// from rounds of multiplying, rotating and shifting that are each reversible; bit for bit that of pgbench 15 and later.
pub fn permute(value: i64, size: i64, seed: i64) -> i64 {
    if size < 2 {
        return 0;
    }
    let size = size as u64;
    let mut state = Random::new(seed as u64);
    let mut place = (value as u64) % size;
    // Rounds work modulo the largest power of two that fits, on the lower and on the upper part.
    let bits = 63 - size.leading_zeros();
    let mask = (1u64 << bits) - 1;
    let mix = |value: u64, factor: u64, flip: u64| {
        let mixed = (value.wrapping_mul(factor) ^ flip) & mask;
        ((mixed << 1) & mask) | (mixed >> (bits - 1))
    };
    for _ in 0..6 {
        let (factor, flip) = ((state.bits() & mask) | 1, state.bits() & mask);
        if place <= mask {
            place = mix(place, factor, flip);
        }
        let (factor, flip) = ((state.bits() & mask) | 1, state.bits() & mask);
        let mirrored = size - 1 - place;
        if mirrored <= mask {
            place = size - 1 - mix(mirrored, factor, flip);
        }
        let offset = state.between(0, size - 1);
        // Below 2^63 each, so the sum has room.
        place = (place + offset) % size;
    }
    place as i64
}

/// `hash_murmur2(value, seed)`, also called `hash`: MurmurHash64A of eight bytes (Austin Appleby).
pub fn murmur2(value: i64, seed: i64) -> i64 {
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    const ROTATION: u32 = 47;
    let mut key = (value as u64).wrapping_mul(FACTOR);
    key ^= key >> ROTATION;
    key = key.wrapping_mul(FACTOR);
    let mut hash = (seed as u64) ^ FACTOR.wrapping_mul(8);
    hash = (hash ^ key).wrapping_mul(FACTOR);
    hash ^= hash >> ROTATION;
    hash = hash.wrapping_mul(FACTOR);
    hash ^= hash >> ROTATION;
    hash as i64
}

/// `hash_fnv1a(value, seed)`: FNV-1a of eight bytes, low byte first (Fowler, Noll, Vo), its basis mixed with the seed.
pub fn fnv1a(value: i64, seed: i64) -> i64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    let hash = value.to_le_bytes().into_iter().fold(BASIS ^ seed as u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    hash as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_one_place_in_a_permutation() {
        for size in [2i64, 3, 7, 8, 100, 1_000, 4_097] {
            let mut places: Vec<i64> = (0..size).map(|value| permute(value, size, 42)).collect();
            places.sort_unstable();
            assert!(places.iter().copied().eq(0..size), "size {size}");
        }
        assert_eq!((permute(5, 1, 0), permute(5, 0, 0), permute(-3, -8, 0)), (0, 0, 0));
    }

    #[test]
    fn extreme_ranges_stay_within_themselves() {
        let mut random = Random::new(7);
        for _ in 0..1_000 {
            let value = random.uniform(i64::MIN / 2, i64::MAX / 2);
            assert!((i64::MIN / 2..=i64::MAX / 2).contains(&value));
            assert_eq!(random.uniform(3, 3), 3);
            assert!((-5..=5).contains(&random.gaussian(-5, 5, 2.0).unwrap()));
            assert!((-5..=5).contains(&random.exponential(-5, 5, 0.01).unwrap()));
            assert!((-5..=5).contains(&random.zipfian(-5, 5, 1.001).unwrap()));
        }
    }

    #[test]
    fn the_first_rank_of_zipf_has_its_share() {
        // zeta(2) cut off at 10: 1 + 1/4 + ... + 1/100.
        let total: f64 = (1..=10).map(|k| 1.0 / f64::from(k * k)).sum();
        let mut random = Random::new(1);
        let draws = 100_000;
        let first = (0..draws).filter(|_| random.zipfian(1, 10, 2.0).unwrap() == 1).count();
        let share = first as f64 / f64::from(draws);
        // Six standard deviations.
        assert!((share - 1.0 / total).abs() < 6.0 * (0.25f64 / f64::from(draws)).sqrt(), "{share}");
    }

    #[test]
    fn parameters_outside_of_their_range_are_refused() {
        let mut random = Random::new(1);
        assert!(random.gaussian(0, 9, 1.99).is_err());
        assert!(random.exponential(0, 9, 0.0).is_err());
        assert!(random.zipfian(0, 9, 1.0).is_err());
        assert!(random.zipfian(0, 9, f64::NAN).is_err());
    }
}

//! Random numbers that are the same on every machine.
//!
//! One ChaCha8 key a purpose (SHA-256 of the seed and the purpose's name), one stream of it a number (a row). The 64-bit stream
//! number makes rows independent without a window to overflow. Integers are drawn by multiplication with rejection on u64, never on
//! `usize`; transcendental functions come from `libm`, as the platform's own differ in the last bit.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// The streams of one purpose.
#[derive(Clone, Copy, Debug)]
pub struct Streams([u8; 32]);

impl Streams {
    /// The streams of `purpose` under `seed`.
    pub fn new(seed: u64, purpose: &str) -> Streams {
        let mut hash = Sha256::new();
        hash.update(b"pgduel stream\0");
        hash.update(seed.to_le_bytes());
        hash.update(purpose.as_bytes());
        Streams(hash.finalize().into())
    }

    /// The stream of a number.
    pub fn at(&self, number: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::from_seed(self.0);
        rng.set_stream(number);
        rng
    }
}

/// Uniform in 0..n (0 if n is 0), by Lemire's method ("Fast random integer generation in an interval", 2019).
pub(super) fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    if n == 0 {
        return 0;
    }
    let threshold = n.wrapping_neg() % n;
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(n);
        if product as u64 >= threshold {
            return (product >> 64) as u64;
        }
    }
}

/// Uniform in low..=high.
pub(super) fn between(rng: &mut ChaCha8Rng, low: i64, high: i64) -> i64 {
    let span = high.wrapping_sub(low) as u64;
    match span.checked_add(1) {
        Some(n) => low.wrapping_add(below(rng, n) as i64),
        None => rng.next_u64() as i64,
    }
}

/// Uniform in [0, 1), a multiple of 2^-53.
pub(super) fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// Standard normal, by Box and Muller (one of the pair).
pub(super) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log(1.0 - unit(rng)));
    radius * libm::cos(std::f64::consts::TAU * unit(rng))
}

/// Index into cumulative weights (the last is the total).
pub(super) fn by_weight(rng: &mut ChaCha8Rng, cumulative: &[f64]) -> usize {
    let total = cumulative.last().copied().unwrap_or(0.0);
    let x = unit(rng) * total;
    cumulative.partition_point(|c| *c <= x).min(cumulative.len().saturating_sub(1))
}

/// Cumulative sums of weights.
pub(super) fn cumulate(weights: impl IntoIterator<Item = f64>) -> Vec<f64> {
    weights
        .into_iter()
        .scan(0.0, |sum, w| {
            *sum += w;
            Some(*sum)
        })
        .collect()
}

/// Weights of Zipf's law with exponent `s` for ranks 1 to `n`, not normalised.
pub(super) fn zipf(n: u64, s: f64) -> impl Iterator<Item = f64> {
    (1..=n).map(move |rank| libm::pow(rank as f64, -s))
}

/// A permutation of 0..n.
pub(super) fn shuffled(rng: &mut ChaCha8Rng, n: u64) -> Vec<u64> {
    let mut order: Vec<u64> = (0..n).collect();
    for i in (1..order.len()).rev() {
        let j = below(rng, i as u64 + 1) as usize;
        order.swap(i, j);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chacha8_is_the_published_one() {
        // ChaCha8, 256-bit key of zeros, nonce zero: first words of the key stream (draft-strombergson-chacha-test-vectors-01, TC1).
        let mut rng = ChaCha8Rng::from_seed([0; 32]);
        assert_eq!(rng.next_u32().to_le_bytes(), [0x3e, 0x00, 0xef, 0x2f]);
    }

    #[test]
    fn bounded_draws_stay_in_bounds_and_reach_them() {
        let mut rng = Streams::new(1, "test").at(0);
        let mut seen = [0u32; 7];
        for _ in 0..7_000 {
            seen[below(&mut rng, 7) as usize] += 1;
        }
        assert!(seen.iter().all(|n| (850..1150).contains(n)), "{seen:?}");
        assert_eq!(between(&mut rng, 5, 5), 5);
        assert!((0..100).all(|_| (-3..=3).contains(&between(&mut rng, -3, 3))));
        let _ = between(&mut rng, i64::MIN, i64::MAX);
    }

    #[test]
    fn normals_have_unit_variance() {
        let mut rng = Streams::new(1, "normal").at(0);
        let xs: Vec<f64> = (0..20_000).map(|_| normal(&mut rng)).collect();
        let mean = xs.iter().sum::<f64>() / xs.len() as f64;
        let var = xs.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / xs.len() as f64;
        assert!(mean.abs() < 0.03 && (var - 1.0).abs() < 0.04, "{mean} {var}");
    }

    #[test]
    fn a_shuffle_is_a_permutation() {
        let mut order = shuffled(&mut Streams::new(3, "s").at(0), 1000);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }
}

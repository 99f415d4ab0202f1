//! How a draw chooses among n things: distributions with the parameters that pgbench gives them.
//!
//! All are seeded and use `libm`, so the choice is the same on every machine.

use rand::{Rng, RngExt};

use crate::scenario::Pick;

/// A position below `n`; `None` if there is nothing to choose from.
pub fn index<R: Rng>(pick: Pick, n: u64, rng: &mut R) -> Option<u64> {
    if n == 0 {
        return None;
    }
    Some(match pick {
        Pick::Uniform => uniform(n, rng),
        Pick::Zipf(exponent) => scatter(zipf(n, exponent, rng), n),
        Pick::Gaussian(parameter) => gaussian(n, parameter, rng),
        Pick::Recent(parameter) => exponential(n, parameter, rng),
    })
}

/// Every position alike; 0 if there is none.
pub fn uniform<R: Rng>(n: u64, rng: &mut R) -> u64 {
    if n == 0 { 0 } else { rng.random_range(0..n) }
}

/// Rank 0 is the hottest. Rejection-inversion (Hörmann and Derflinger 1996), exact for any n and any exponent above 0.
pub fn zipf<R: Rng>(n: u64, exponent: f64, rng: &mut R) -> u64 {
    // The integral of x^-s, its inverse, both well-behaved at s = 1.
    let s = exponent;
    let integral = |x: f64| {
        let log = libm::log(x);
        if (s - 1.0).abs() < 1e-9 { log } else { libm::expm1((1.0 - s) * log) / (1.0 - s) }
    };
    let inverse = |y: f64| {
        if (s - 1.0).abs() < 1e-9 { libm::exp(y) } else { libm::exp(libm::log1p((y * (1.0 - s)).max(-1.0)) / (1.0 - s)) }
    };
    let density = |x: f64| libm::exp(-s * libm::log(x));
    let low = integral(1.5) - 1.0;
    let high = integral(n as f64 + 0.5);
    let shortcut = 2.0 - inverse(integral(2.5) - density(2.0));
    loop {
        let u = high + rng.random::<f64>() * (low - high);
        let x = inverse(u);
        let k = libm::round(x).clamp(1.0, n as f64);
        if k - x <= shortcut || u >= integral(k + 0.5) - density(k) {
            return (k as u64 - 1).min(n - 1);
        }
    }
}

/// Spreads ranks over positions, so that the hot rows are not neighbours: multiplication by a number without a common divisor.
fn scatter(rank: u64, n: u64) -> u64 {
    const MULTIPLIER: u128 = 0x9E37_79B9_7F4A_7C15;
    let mut multiplier = (MULTIPLIER % u128::from(n)) as u64 | 1;
    while gcd(multiplier, n) != 1 {
        multiplier = (multiplier.wrapping_add(2) % n.max(1)) | 1;
    }
    (u128::from(rank) * u128::from(multiplier) % u128::from(n)) as u64
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Bell around the middle, cut at `parameter` standard deviations on either side, as pgbench's random_gaussian.
fn gaussian<R: Rng>(n: u64, parameter: f64, rng: &mut R) -> u64 {
    let parameter = parameter.max(2.0);
    loop {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - rng.random::<f64>()));
        let deviate = radius * libm::sin(core::f64::consts::TAU * rng.random::<f64>());
        if deviate.abs() < parameter {
            let share = (deviate + parameter) / (2.0 * parameter);
            return ((share * n as f64) as u64).min(n - 1);
        }
    }
}

/// Falling from position 0, as pgbench's random_exponential.
fn exponential<R: Rng>(n: u64, parameter: f64, rng: &mut R) -> u64 {
    let parameter = parameter.max(1e-6);
    let cut = libm::exp(-parameter);
    let share = -libm::log(cut + (1.0 - cut) * (1.0 - rng.random::<f64>())) / parameter;
    ((share * n as f64) as u64).min(n - 1)
}

/// A random (version 4) uuid.
pub fn uuid<R: Rng>(rng: &mut R) -> [u8; 16] {
    let mut bytes: [u8; 16] = rng.random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

/// So many everyday words.
pub fn words<R: Rng>(count: u32, rng: &mut R) -> String {
    const WORDS: [&str; 32] = [
        "where", "is", "my", "order", "can", "you", "help", "with", "the", "delivery", "date", "please", "change", "address", "for",
        "invoice", "number", "return", "a", "product", "that", "arrived", "broken", "thanks", "what", "are", "opening", "hours", "do",
        "ship", "to", "refund",
    ];
    let chosen: Vec<&str> = (0..count).map(|_| WORDS[uniform(WORDS.len() as u64, rng) as usize]).collect();
    chosen.join(" ")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn histogram(n: u64, draws: usize, mut draw: impl FnMut(&mut ChaCha8Rng) -> u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut counts = vec![0.0; n as usize];
        for _ in 0..draws {
            counts[draw(&mut rng) as usize] += 1.0 / draws as f64;
        }
        counts
    }

    #[test]
    fn zipf_has_the_probabilities_of_its_definition() {
        for s in [0.5, 1.0, 1.2, 3.0] {
            let shares = histogram(50, 400_000, |rng| zipf(50, s, rng));
            let norm: f64 = (1..=50).map(|k| f64::powf(f64::from(k), -s)).sum();
            for (rank, share) in shares.iter().enumerate() {
                let expected = f64::powf(rank as f64 + 1.0, -s) / norm;
                assert!((share - expected).abs() < 0.004, "s {s} rank {rank}: {share} instead of {expected}");
            }
        }
    }

    #[test]
    fn scattering_is_a_permutation() {
        for n in [1, 2, 3, 10, 97, 1000, 1024, 30_030] {
            let mut seen: Vec<u64> = (0..n).map(|rank| scatter(rank, n)).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn recent_falls_and_gaussian_peaks_in_the_middle() {
        let recent = histogram(10, 100_000, |rng| exponential(10, 5.0, rng));
        assert!(recent.windows(2).all(|pair| pair[0] > pair[1]), "{recent:?}");
        let bell = histogram(10, 100_000, |rng| gaussian(10, 3.0, rng));
        assert!(bell[4] > bell[2] && bell[2] > bell[0] && bell[5] > bell[8], "{bell:?}");
    }

    #[test]
    fn nothing_to_choose_from_is_none() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(index(Pick::Zipf(1.0), 0, &mut rng), None);
        assert_eq!(index(Pick::Zipf(1.0), 1, &mut rng), Some(0));
    }
}

//! How many pairs a run needs, and what a run could have seen.
//!
//! Sizes come from the normal theory of the signed-rank test, n ≈ 1.05·(z(1-a')+z(power))²·s²/δ²
//! (1.05 is the reciprocal of its efficiency relative to the t-test, 3/π, on normal data), plus
//! z²(1-a')/2 for small samples. Simulated: 24 pairs with s = 4.7% at a' = 5e-4 see +5% in
//! 87% of runs.

use super::{normal_quantile, usable};

/// Chance of seeing an effect that a plan aims for, unless told otherwise.
pub const DEFAULT_POWER: f64 = 0.9;

/// Cost of ranks against means on normal data: 1 / (3/π), rounded.
const RANK_PENALTY: f64 = 1.05;

/// Fewest pairs with which Holm at `alpha` over `metrics` tests can reject anything at all:
/// ceil(log2(metrics / alpha)), as an exact one-sided p-value over n pairs cannot go below 2^-n.
///
/// `None` if `alpha` is not in (0, 1). No metrics count as one.
pub fn minimum_pairs(metrics: usize, alpha: f64) -> Option<usize> {
    if !(alpha > 0.0 && alpha < 1.0) {
        return None;
    }
    // Compared as `holm` will compare it, not by a logarithm that can round either way.
    let level = alpha / metrics.max(1) as f64;
    (0..=1100).find(|&n| 0.5f64.powi(n) <= level).map(|n| n as usize)
}

/// Pairs needed to see an effect of `delta` (log ratio) with probability `power`, at the one-sided
/// level `alpha`, if the pairs scatter by `s_d` ([`robust_sd`]). Never fewer than can reject at all.
///
/// Plan with `alpha` / metrics, the strictest level of [`holm`](super::holm). `None` if an argument
/// is outside its range (`alpha` and `power` in (0, 1), `s_d` >= 0, `delta` not 0).
pub fn required_pairs(s_d: f64, delta: f64, alpha: f64, power: f64) -> Option<usize> {
    let fewest = minimum_pairs(1, alpha)?;
    let z = planning_z(alpha, power)?;
    if !(s_d >= 0.0 && s_d.is_finite() && delta.is_finite()) || delta == 0.0 {
        return None;
    }
    let pairs = RANK_PENALTY * (z.sum * s_d / delta).powi(2) + z.small_sample;
    // The conversion saturates; more pairs than that are no plan.
    (pairs < 1e9).then(|| fewest.max(pairs.ceil() as usize))
}

/// Smallest effect (log ratio, positive) that `pairs` pairs see with probability `power`, at the
/// one-sided level `alpha`, if they scatter by `s_d`.
///
/// The inverse of [`required_pairs`]: δ = (z(1-a')+z(power))·s_d·sqrt(1.05 / (n - z²(1-a')/2)). For
/// many pairs this is the textbook (z(1-a')+z(power))·s_d/sqrt(n), which for a few dozen pairs and
/// the small a' of many metrics promises an effect 10-20% smaller than such a run can see (it is
/// then seen in three runs of four, not nine of ten).
/// Infinite if so few pairs cannot reject at all; NaN if an argument is outside its range.
pub fn minimum_detectable_effect(pairs: usize, s_d: f64, alpha: f64, power: f64) -> f64 {
    let (Some(z), Some(fewest)) = (planning_z(alpha, power), minimum_pairs(1, alpha)) else {
        return f64::NAN;
    };
    if !(s_d >= 0.0 && s_d.is_finite()) {
        return f64::NAN;
    }
    let effective = pairs as f64 - z.small_sample;
    if pairs < fewest || effective <= 0.0 {
        return f64::INFINITY;
    }
    z.sum * s_d * (RANK_PENALTY / effective).sqrt()
}

struct PlanningZ {
    /// z(1-a') + z(power)
    sum: f64,
    /// z²(1-a') / 2
    small_sample: f64,
}

fn planning_z(alpha: f64, power: f64) -> Option<PlanningZ> {
    let in_range = |p: f64| p > 0.0 && p < 1.0;
    if !in_range(alpha) || !in_range(power) {
        return None;
    }
    // -z(a') rather than z(1-a'), which loses the digits of a small level.
    let z_alpha = -normal_quantile(alpha);
    let sum = z_alpha + normal_quantile(power);
    // An effect that is "seen" less often than a false alarm is no plan.
    (sum > 0.0).then_some(PlanningZ { sum, small_sample: z_alpha * z_alpha / 2.0 })
}

/// Standard deviation of the differences as the signed-rank test feels it: Rousseeuw and Croux' Qn
/// (J. Am. Stat. Assoc. 88, 1993), the first quartile of all distances between two differences,
/// scaled to the standard deviation of normal data.
///
/// The plain standard deviation grows with every spike, which ranks shrug off, and would ask for
/// far too many pairs. The MAD is as robust as Qn but wastes 63% of the data (Qn: 18%), and one or
/// two dozen pairs have none to waste; it also needs a centre and is 0 as soon as half the values
/// tie. Where Qn is 0 too (a quarter of the distances are), this is the plain standard deviation,
/// so that heavily tied data are not planned as noiseless. NaN for fewer than two values or
/// non-finite input.
pub fn robust_sd(differences: &[f64]) -> f64 {
    let n = differences.len();
    if !usable(differences) || n < 2 {
        return f64::NAN;
    }
    let mut distances: Vec<f64> =
        differences.iter().enumerate().flat_map(|(i, a)| differences.iter().take(i).map(move |b| (a - b).abs())).collect();
    distances.sort_unstable_by(f64::total_cmp);
    let half = n / 2 + 1;
    let order = half * (half - 1) / 2;
    let quartile = order.checked_sub(1).and_then(|i| distances.get(i)).copied().unwrap_or(0.0);
    if quartile > 0.0 { 2.2219 * quartile * small_sample_factor(n) } else { standard_deviation(differences) }
}

/// Makes Qn unbiased for small normal samples (Croux and Rousseeuw, COMPSTAT 1992).
fn small_sample_factor(n: usize) -> f64 {
    const FROM_TWO: [f64; 8] = [0.399, 0.994, 0.512, 0.844, 0.611, 0.857, 0.669, 0.872];
    match FROM_TWO.get(n.saturating_sub(2)) {
        Some(&factor) => factor,
        None if n % 2 == 1 => n as f64 / (n as f64 + 1.4),
        None => n as f64 / (n as f64 + 3.8),
    }
}

fn standard_deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (squares / (n - 1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minimum_pairs_of_the_method() {
        assert_eq!(minimum_pairs(14, 0.01), Some(11));
        assert_eq!(minimum_pairs(40, 0.01), Some(12));
        assert_eq!(minimum_pairs(1, 1.0 / 1024.0), Some(10)); // a power of two, no rounding up
        assert_eq!(minimum_pairs(0, 0.01), Some(7));
        assert_eq!(minimum_pairs(3, 0.0), None);
        assert_eq!(minimum_pairs(3, f64::NAN), None);
    }

    #[test]
    fn the_effect_of_the_required_pairs_is_the_effect_asked_for() {
        for (s_d, delta, alpha) in [(0.047, 0.05, 5e-4), (0.16, 0.1, 5e-4), (0.3, 0.262, 1e-3)] {
            let Some(n) = required_pairs(s_d, delta, alpha, 0.9) else { panic!("no plan for {s_d} {delta}") };
            assert!(minimum_detectable_effect(n, s_d, alpha, 0.9) <= delta);
            assert!(minimum_detectable_effect(n - 1, s_d, alpha, 0.9) > delta);
        }
    }

    #[test]
    fn plans_respect_the_smallest_reachable_p_value() {
        assert_eq!(required_pairs(0.0, 0.05, 0.001, 0.9), Some(10));
        assert_eq!(minimum_detectable_effect(9, 0.01, 0.001, 0.9), f64::INFINITY);
    }

    #[test]
    fn nonsense_gives_no_plan() {
        assert_eq!(required_pairs(0.1, 0.0, 0.01, 0.9), None);
        assert_eq!(required_pairs(f64::NAN, 0.1, 0.01, 0.9), None);
        assert_eq!(required_pairs(0.1, 0.1, 0.01, 1.0), None);
        assert_eq!(required_pairs(1.0, 1e-9, 0.01, 0.9), None);
        assert!(minimum_detectable_effect(20, -1.0, 0.01, 0.9).is_nan());
        assert!(robust_sd(&[1.0]).is_nan());
    }

    #[test]
    fn a_spike_does_not_move_the_scale_much() {
        let mut d: Vec<f64> = (0..20).map(|i| f64::from(i) / 10.0).collect();
        let before = robust_sd(&d);
        d[19] = 1e6;
        assert!(robust_sd(&d) < 1.3 * before);
        assert!(robust_sd(&[0.0, 0.0, 0.0, 0.0, 0.0, 1.0]) > 0.0);
        assert_eq!(robust_sd(&[0.5; 6]), 0.0);
    }
}

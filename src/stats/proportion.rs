//! Bounds for a rate of failures, and quantiles of a sorted sample.

use statrs::function::beta::checked_beta_reg;

/// Upper Clopper-Pearson bound, one-sided, of a rate of which `events` were seen in `trials`.
///
/// Says what a count supports: no false alarm in 30 runs bounds their rate by 9.5% at 95%.
/// 1 if there were no trials, or as many events as trials, or `confidence` is outside (0, 1).
pub fn clopper_pearson_upper(events: u64, trials: u64, confidence: f64) -> f64 {
    if events >= trials || !(confidence > 0.0 && confidence < 1.0) {
        return 1.0;
    }
    if events == 0 {
        return -((1.0 - confidence).ln() / trials as f64).exp_m1();
    }
    // The rate at which seeing so few has probability 1 - confidence; bisected until the two ends
    // are neighbours, so that the only error is that of the function itself.
    let (a, b) = (events as f64 + 1.0, (trials - events) as f64);
    let (mut low, mut high) = (0.0, 1.0);
    loop {
        let middle = (low + high) / 2.0;
        if middle <= low || middle >= high {
            return high;
        }
        match checked_beta_reg(a, b, middle) {
            Ok(probability) if probability < confidence => low = middle,
            Ok(_) => high = middle,
            Err(_) => return 1.0,
        }
    }
}

/// Two-sided p-value of the sign test: how likely `trials` tosses of a coin show one face `events` times or more, or the other. 1 if `events` are
/// at most half of the trials, or more than there were.
pub fn sign_test(events: u64, trials: u64) -> f64 {
    if events > trials || events <= trials - events {
        return 1.0;
    }
    // P(X >= k) of a binomial is a regularised incomplete beta function.
    checked_beta_reg(events as f64, (trials - events) as f64 + 1.0, 0.5).map_or(1.0, |upper| (2.0 * upper).min(1.0))
}

/// Quantile of an ascending sample by linear interpolation (type 7 of Hyndman and Fan, the default
/// of R and NumPy). NaN if the sample is empty or `probability` is outside [0, 1].
pub fn quantile_sorted(sorted: &[f64], probability: f64) -> f64 {
    if sorted.is_empty() || !(0.0..=1.0).contains(&probability) {
        return f64::NAN;
    }
    let position = probability * (sorted.len() - 1) as f64;
    let below = position.floor();
    let value = |i: usize| sorted.get(i).copied();
    match (value(below as usize), value(below as usize + 1)) {
        (Some(a), Some(b)) => a + (b - a) * (position - below),
        (Some(a), None) => a,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_clean_runs_bound_the_rate_by_a_tenth() {
        assert!((clopper_pearson_upper(0, 30, 0.95) - 0.0950).abs() < 1e-4);
    }

    #[test]
    fn a_coin_that_falls_on_one_side() {
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        near(sign_test(7, 7), 2.0 / 128.0);
        near(sign_test(8, 8), 2.0 / 256.0);
        near(sign_test(9, 10), 22.0 / 1024.0);
        for (events, trials) in [(0, 0), (1, 2), (3, 10), (11, 10)] {
            assert_eq!(sign_test(events, trials), 1.0);
        }
    }

    #[test]
    fn edges() {
        assert_eq!(clopper_pearson_upper(0, 0, 0.95), 1.0);
        assert_eq!(clopper_pearson_upper(5, 5, 0.95), 1.0);
        assert_eq!(clopper_pearson_upper(0, 5, f64::NAN), 1.0);
        assert!(quantile_sorted(&[], 0.5).is_nan());
        assert!(quantile_sorted(&[1.0], 1.5).is_nan());
        assert_eq!(quantile_sorted(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile_sorted(&[1.0, 2.0, 4.0], 1.0), 4.0);
    }
}

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

//! Holm's step-down correction for the number of metrics (Scand. J. Stat. 6, 1979).

/// What the step-down procedure says about one hypothesis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HolmStep {
    /// p-value times what the procedure charges for it, monotone in the order of p-values, at most 1.
    pub adjusted_p: f64,
    /// Level a' that this hypothesis was held to: it is rejected exactly when `p <= level`.
    ///
    /// The bound of its interval is taken at this level, so that bound excludes zero exactly when
    /// the hypothesis is rejected.
    pub level: f64,
    /// True if rejected with the family-wise error at most `alpha`.
    pub rejected: bool,
}

/// Steps down through `p_values`, keeping the chance of any false rejection at most `alpha`,
/// whatever the dependence between the metrics. Results are in the order of the input.
///
/// With k hypotheses, the one with the i-th smallest p-value is held to `alpha / (k - i + 1)`. The
/// procedure stops at the first that fails; that one and all after it are held to the level at
/// which it stopped, `alpha / (k - rejected)`. A NaN counts as a p-value of 1.
///
/// The family-wise guarantee is about the decisions, that is, about which intervals exclude zero.
/// How far a bound reaches has the usual marginal confidence, 1 - a'.
pub fn holm(p_values: &[f64], alpha: f64) -> Vec<HolmStep> {
    let p_of = |i: usize| match p_values.get(i) {
        Some(&p) if !p.is_nan() => p.clamp(0.0, 1.0),
        _ => 1.0,
    };
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_of(a).total_cmp(&p_of(b)));

    let nothing = HolmStep { adjusted_p: 1.0, level: alpha, rejected: false };
    let mut steps = vec![nothing; p_values.len()];
    let mut adjusted_p: f64 = 0.0;
    let mut stopped_at = None;
    for (position, &index) in order.iter().enumerate() {
        let remaining = (p_values.len() - position) as f64;
        let p = p_of(index);
        adjusted_p = adjusted_p.max((remaining * p).min(1.0));
        let level = stopped_at.unwrap_or(alpha / remaining);
        let rejected = stopped_at.is_none() && p <= level;
        if !rejected {
            stopped_at = Some(level);
        }
        if let Some(step) = steps.get_mut(index) {
            *step = HolmStep { adjusted_p, level, rejected };
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_down_and_stops() {
        let steps = holm(&[0.02, 0.001, 0.3, 0.004], 0.01);
        let levels: Vec<f64> = steps.iter().map(|s| s.level).collect();
        // 0.001 <= 1%/4, then 0.004 > 1%/3: stop there.
        assert_eq!(levels, [0.01 / 3.0, 0.01 / 4.0, 0.01 / 3.0, 0.01 / 3.0]);
        let rejected: Vec<bool> = steps.iter().map(|s| s.rejected).collect();
        assert_eq!(rejected, [false, true, false, false]);
        assert!((steps[0].adjusted_p - 0.04).abs() < 1e-15);
    }

    #[test]
    fn a_small_p_value_behind_a_stop_is_not_rejected() {
        // 0.006 would pass 1%/1, but not after 0.006 failed 1%/2.
        assert!(holm(&[0.006, 0.006], 0.01).iter().all(|s| !s.rejected));
        assert!(holm(&[0.005, 0.01], 0.01).iter().all(|s| s.rejected));
    }

    #[test]
    fn nonsense_is_never_rejected() {
        assert!(holm(&[], 0.01).is_empty());
        let steps = holm(&[f64::NAN, 1e-9], 0.01);
        assert!(!steps[0].rejected && steps[1].rejected);
        assert!(!holm(&[0.0], f64::NAN)[0].rejected);
    }
}

//! From differences to verdicts: what matters (margin), what is certain (significance), and the
//! family of metrics that shares one budget of false alarms.

use super::{Estimate, HolmStep, holm, signed_rank};

/// Family-wise chance of a false alarm, one-sided, each way.
pub const FAMILY_ALPHA: f64 = 0.01;

/// How much slower a metric must get before anyone should care, as a log ratio: ln(1 + max(`relative`, `floor_ns` / `value_ns`)). At small
/// scale a share alone says little: 5% can be 5 µs, which is nothing.
///
/// It bounds both directions, +margin and -margin: an improvement that matters is one whose
/// reversal would be a regression that matters (5% slower and 1/1.05 faster), so that exchanging
/// arm and baseline exchanges the verdicts and nothing else.
///
/// `value_ns` is the metric on the faster arm, say its median over the blocks. NaN, hence
/// never "unchanged", unless `value_ns` is positive and the others are not negative, all finite.
pub fn effective_margin(relative: f64, floor_ns: f64, value_ns: f64) -> f64 {
    let allowed = |v: f64| v >= 0.0 && v.is_finite();
    if !allowed(relative) || !allowed(floor_ns) || !allowed(value_ns) || value_ns == 0.0 {
        return f64::NAN;
    }
    relative.max(floor_ns / value_ns).ln_1p()
}

/// How a metric of an arm compares with the baseline's. For a cost, up is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Significantly lower, by at least half the margin.
    Improved,
    /// Significantly higher, by at least half the margin.
    Regressed,
    /// Certain to lie within the margin.
    Unchanged,
    /// None of these can be said: run more pairs.
    Inconclusive,
}

/// Which way a metric moved beyond doubt, at its level in the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Significance {
    /// Up: the lower end of the interval is above 0.
    Higher,
    /// Down: the upper end of the interval is below 0.
    Lower,
    /// Neither.
    None,
}

impl Significance {
    /// Reads the significance off an interval of log ratios, which inverts the test.
    pub fn of(interval: &Estimate) -> Self {
        if interval.lower > 0.0 {
            Self::Higher
        } else if interval.upper < 0.0 {
            Self::Lower
        } else {
            Self::None
        }
    }
}

/// Calls the verdict on the log ratio of a cost.
///
/// 1. *Unchanged* if the whole interval lies strictly within ±`margin_ln`. It wins over the others:
///    a tiny effect can be certain and still not matter.
/// 2. *Regressed* if significantly higher and the estimate is at least half the margin.
/// 3. *Improved* if significantly lower and the estimate is at most minus half the margin.
/// 4. *Inconclusive* otherwise, also where the margin or the estimate is NaN.
pub fn judge(interval: &Estimate, margin_ln: f64, significance: Significance) -> Verdict {
    let half = margin_ln / 2.0;
    if interval.lower > -margin_ln && interval.upper < margin_ln {
        return Verdict::Unchanged;
    }
    match significance {
        Significance::Higher if interval.point >= half => Verdict::Regressed,
        Significance::Lower if interval.point <= -half => Verdict::Improved,
        _ => Verdict::Inconclusive,
    }
}

/// One gated metric of a run.
#[derive(Debug, Clone, Copy)]
pub struct Metric<'a> {
    /// ln(arm) - ln(baseline) of a cost, one a pair.
    pub differences: &'a [f64],
    /// What matters, as a log ratio: [`effective_margin`].
    pub margin_ln: f64,
}

/// What the family says about one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// Log ratio. The lower end has the one-sided level `higher.level`, the upper `lower.level`.
    pub estimate: Estimate,
    /// The metric in the family of regressions.
    pub higher: HolmStep,
    /// The metric in the family of improvements.
    pub lower: HolmStep,
    /// Which of the two was rejected.
    pub significance: Significance,
    /// The call.
    pub verdict: Verdict,
}

/// Judges all gated metrics of a run together.
///
/// Two families, each corrected by Holm at `alpha`: "this metric went up" over all metrics, and
/// "this metric went down" over all metrics. The promises are made apart because they are used
/// apart: a false regression stops a release, a false improvement decorates a report. So a run
/// without any effect reports a regression with probability at most `alpha`, however many metrics
/// also improve; one family over the smaller of the two p-values would charge each regression for
/// twice as many tests, and two more pairs, to bound an error that nobody acts on.
///
/// The interval of a metric takes each end at the level of its own family, so that the lower end
/// is above 0 exactly if the metric is in the first family's rejections, and likewise below.
pub fn judge_family(metrics: &[Metric<'_>], alpha: f64) -> Vec<Judgement> {
    let tests: Vec<_> = metrics.iter().map(|m| signed_rank(m.differences)).collect();
    let ups: Vec<f64> = tests.iter().map(|t| t.p_greater).collect();
    let downs: Vec<f64> = tests.iter().map(|t| t.p_less).collect();
    let steps = holm(&ups, alpha).into_iter().zip(holm(&downs, alpha));
    metrics
        .iter()
        .zip(steps)
        .map(|(metric, (higher, lower))| {
            let estimate = Estimate::from_differences(metric.differences, higher.level, lower.level);
            let significance = Significance::of(&estimate);
            Judgement { estimate, higher, lower, significance, verdict: judge(&estimate, metric.margin_ln, significance) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(lower: f64, point: f64, upper: f64) -> Verdict {
        let interval = Estimate { point, lower, upper };
        judge(&interval, 0.05, Significance::of(&interval))
    }

    #[test]
    fn the_rule_case_by_case() {
        assert_eq!(call(-0.04, 0.0, 0.04), Verdict::Unchanged);
        assert_eq!(call(0.01, 0.03, 0.049), Verdict::Unchanged); // wins over regressed
        assert_eq!(call(0.01, 0.03, 0.06), Verdict::Regressed);
        assert_eq!(call(0.001, 0.02, 0.06), Verdict::Inconclusive); // less than half the margin
        assert_eq!(call(-0.01, 0.04, 0.09), Verdict::Inconclusive); // not significant
        assert_eq!(call(-0.06, -0.03, -0.01), Verdict::Improved);
        assert_eq!(call(-0.06, -0.02, -0.001), Verdict::Inconclusive);
        assert_eq!(call(0.01, 0.025, 0.05), Verdict::Regressed); // the margin itself is outside
        assert_eq!(call(f64::NEG_INFINITY, 0.3, f64::INFINITY), Verdict::Inconclusive);
        assert_eq!(call(0.2, 0.3, f64::INFINITY), Verdict::Regressed);
    }

    #[test]
    fn nonsense_is_inconclusive() {
        assert_eq!(call(f64::NAN, f64::NAN, f64::NAN), Verdict::Inconclusive);
        let certain = Estimate { point: 1.0, lower: 0.9, upper: 1.1 };
        assert_eq!(judge(&certain, f64::NAN, Significance::Higher), Verdict::Inconclusive);
    }

    /// 5%, and at least 20 µs.
    fn p50_margin(value_ns: f64) -> f64 {
        effective_margin(0.05, 20_000.0, value_ns)
    }

    #[test]
    fn the_floor_takes_over_for_short_times() {
        assert!((p50_margin(1e6) - 1.05f64.ln()).abs() < 1e-15);
        assert!((p50_margin(100_000.0) - 1.2f64.ln()).abs() < 1e-15);
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(p50_margin(value).is_nan());
        }
    }

    #[test]
    fn a_family_of_three() {
        let slower: Vec<f64> = (0..14).map(|i| 0.10 + f64::from(i) * 0.003).collect();
        let faster: Vec<f64> = slower.iter().map(|d| -d).collect();
        let same: Vec<f64> = (0..14).map(|i| f64::from(i - 7) * 0.001).collect();
        let metrics = [&slower, &faster, &same].map(|differences| Metric { differences, margin_ln: p50_margin(1e6) });
        let verdicts: Vec<Verdict> = judge_family(&metrics, FAMILY_ALPHA).iter().map(|j| j.verdict).collect();
        assert_eq!(verdicts, [Verdict::Regressed, Verdict::Improved, Verdict::Unchanged]);
    }
}

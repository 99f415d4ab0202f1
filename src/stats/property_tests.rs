//! What must hold for every sample, above all for tied ones with zeros among them.

use proptest::prelude::*;

use super::*;

/// Samples on a coarse grid: nearly all of them have ties, zeros and opposite values.
fn tied() -> impl Strategy<Value = Vec<f64>> {
    (1u8..12, -6i8..6).prop_flat_map(|(width, shift)| {
        let width = width as i8;
        prop::collection::vec((-width..=width).prop_map(move |v| f64::from(v + shift) / 8.0), 1..26)
    })
}

/// Samples as a run makes them: logs of ratios, with roundings, some of them equal.
fn continuous() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(prop_oneof![4 => -0.3f64..0.3, 1 => Just(0.0), 1 => Just(0.1), 1 => Just(-0.1)], 1..26)
}

fn sample() -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![tied(), continuous()]
}

/// Levels on both sides of what the samples can reach, attained ones (powers of ½) among them.
fn level() -> impl Strategy<Value = f64> {
    prop_oneof![1e-4f64..0.49, (2i32..16).prop_map(|n| 0.5f64.powi(n)), Just(0.01), Just(5e-4)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn interval_and_p_value_agree(d in sample(), alpha in level()) {
        let test = signed_rank(&d);
        let interval = confidence_interval(&d, alpha);
        prop_assert_eq!(test.p_greater <= alpha, interval.lower > 0.0);
        prop_assert_eq!(test.p_less <= alpha, interval.upper < 0.0);
    }

    #[test]
    fn they_agree_at_a_level_that_is_the_p_value_itself(d in sample()) {
        let p = signed_rank(&d).p_greater;
        if p < 0.5 {
            prop_assert!(lower_bound(&d, p) > 0.0);
            prop_assert!(lower_bound(&d, p.next_down()) <= 0.0);
        }
    }

    #[test]
    fn the_p_value_never_falls_as_the_data_move_down(d in tied(), step in 0u8..64) {
        // The grid keeps the shift exact.
        let moved: Vec<f64> = d.iter().map(|v| v - f64::from(step) / 16.0).collect();
        let (before, after) = (signed_rank(&d), signed_rank(&moved));
        prop_assert!(after.p_greater >= before.p_greater - 1e-15);
        prop_assert!(after.p_less <= before.p_less + 1e-15);
    }

    #[test]
    fn the_interval_is_in_order_and_nested(d in sample(), alpha in level()) {
        let wide = confidence_interval(&d, alpha / 4.0);
        let narrow = confidence_interval(&d, alpha);
        prop_assert!(narrow.lower <= narrow.upper.next_up());
        prop_assert!(narrow.lower <= narrow.point.next_up());
        prop_assert!(narrow.point.next_down() <= narrow.upper);
        prop_assert!(wide.lower <= narrow.lower && narrow.upper <= wide.upper);
    }

    #[test]
    fn exchanging_the_variants_mirrors_everything(d in sample(), margin in 0.0f64..0.5) {
        let back: Vec<f64> = d.iter().map(|v| -v).collect();
        let family = [Metric { differences: &d, margin_ln: margin }];
        let mirrored = [Metric { differences: &back, margin_ln: margin }];
        let (a, b) = (judge_family(&family, 0.05), judge_family(&mirrored, 0.05));
        prop_assert_eq!(a[0].estimate.mirrored(), b[0].estimate);
        let expected = match a[0].verdict {
            Verdict::Improved => Verdict::Regressed,
            Verdict::Regressed => Verdict::Improved,
            same => same,
        };
        prop_assert_eq!(b[0].verdict, expected);
    }

    #[test]
    fn shifting_shifts_the_estimate_and_order_does_not_matter(d in tied(), alpha in level()) {
        let moved: Vec<f64> = d.iter().rev().map(|v| v + 4.0).collect();
        let (a, b) = (confidence_interval(&d, alpha), confidence_interval(&moved, alpha));
        prop_assert_eq!(a.point + 4.0, b.point);
        // Open ends differ from the excluded value by different units in the last place.
        prop_assert!(a.lower == b.lower || (a.lower + 4.0 - b.lower).abs() < 1e-14);
        prop_assert!(a.upper == b.upper || (a.upper + 4.0 - b.upper).abs() < 1e-14);
    }

    #[test]
    fn holm_decides_as_the_levels_and_the_intervals_say(
        samples in prop::collection::vec(sample(), 1..9),
        alpha in 0.001f64..0.2,
    ) {
        let metrics: Vec<Metric> = samples
            .iter()
            .map(|d| Metric { differences: d, margin_ln: 0.05 })
            .collect();
        for (judgement, d) in judge_family(&metrics, alpha).iter().zip(&samples) {
            let p = signed_rank(d).p_greater;
            prop_assert_eq!(judgement.higher.rejected, p <= judgement.higher.level);
            prop_assert_eq!(judgement.higher.rejected, judgement.estimate.lower > 0.0);
            prop_assert_eq!(judgement.lower.rejected, judgement.estimate.upper < 0.0);
            prop_assert!(!(judgement.higher.rejected && judgement.lower.rejected));
            if judgement.verdict == Verdict::Regressed {
                prop_assert!(judgement.higher.rejected);
            }
        }
    }

    #[test]
    fn nothing_panics(
        d in prop::collection::vec(prop::num::f64::ANY, 0..12),
        alpha in prop::num::f64::ANY,
        k in any::<u64>(),
        n in any::<u64>(),
    ) {
        signed_rank(&d);
        confidence_interval(&d, alpha);
        holm(&d, alpha);
        robust_sd(&d);
        quantile_sorted(&d, alpha);
        required_pairs(alpha, alpha, 0.01, 0.9);
        minimum_detectable_effect(k as usize, alpha, 0.01, 0.9);
        minimum_pairs(k as usize, alpha);
        clopper_pearson_upper(k, n, 0.95);
        effective_margin(alpha, alpha, alpha);
        let metrics = [Metric { differences: &d, margin_ln: alpha }];
        judge_family(&metrics, alpha);
    }

    #[test]
    fn finite_extremes_do_not_panic(
        d in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL, 1..12),
    ) {
        hodges_lehmann(&d);
        let interval = confidence_interval(&d, 0.05);
        prop_assert!(!interval.lower.is_nan() && !interval.upper.is_nan());
    }
}

#[test]
fn interval_and_p_value_agree_beyond_the_exact_limit() {
    for shift in -4..=4 {
        let d: Vec<f64> = (0..260).map(|i| f64::from((i * 37) % 41 - 20) + f64::from(shift) / 2.0).collect();
        let test = signed_rank(&d);
        assert_eq!(test.distribution, NullDistribution::Normal);
        for alpha in [5e-4, 0.01, 0.1, 0.4] {
            let interval = confidence_interval(&d, alpha);
            assert_eq!(test.p_greater <= alpha, interval.lower > 0.0);
            assert_eq!(test.p_less <= alpha, interval.upper < 0.0);
        }
    }
}

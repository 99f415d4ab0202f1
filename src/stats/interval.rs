//! The Hodges-Lehmann estimate and its interval, by inverting the signed-rank test.
//!
//! The interval is the set of centres θ that the test does not reject: the lower end comes from
//! the test "greater" and the upper one from the test "less", each at its own one-sided level.
//!
//! # Why that set is an interval, and agrees with the p-value
//!
//! Write `r(i)` for the midrank of |d(i) - θ| and let the signs flip as independent fair coins
//! `B(i)`. The rank sum after the flips exceeds the observed one by
//!
//! ```text
//! D(θ) = Σ over d(i) < θ of B(i)·r(i)  -  Σ over d(i) > θ of B(i)·r(i)
//! p_greater(θ) = P(D(θ) >= 0)
//! ```
//!
//! As θ grows, a difference below θ gets farther away and one above gets closer, so the ranks in
//! the first sum can only grow and those in the second only shrink; a difference that θ passes
//! goes from the second sum to neither (a zero, which still holds its rank) to the first. Hence
//! `D(θ)` never falls, whatever the coins, and `p_greater(θ)` never falls either: *with ties and
//! zeros too*, provided that zeros are ranked. So the centres not rejected have one lower end, and
//! zero lies beneath it exactly when `p_greater(0) <= alpha`. It also follows that the p-value at
//! zero bounds that of every centre below zero, so rejecting means "above zero", not only "not zero".
//!
//! p_greater(θ) is a step function which changes only at Walsh averages (d(i)+d(j))/2 and has, at
//! each, a value of its own in between. An end may therefore be open: the centre itself is
//! rejected and everything beyond it is not. The end is then the neighbouring `f64`: always *the
//! smallest `f64` that is not rejected*. This keeps `lower > 0` and `p <= alpha` equivalent to
//! the last bit (a lower end of 5e-324 prints as 0 and means "zero itself is rejected").
//!
//! (Beyond the exact limit the same holds for the normal approximation and levels below one half.)
//!
//! Hodges and Lehmann, Ann. Math. Stat. 34 (1963); Hollander, Wolfe and Chicken, Nonparametric
//! Statistical Methods, section 3.3.

use super::{
    signed_rank::{Centre, p_greater_about},
    usable,
};

/// A value with the ends of its confidence interval.
///
/// On the log scale after estimation; [`Estimate::exp`] gives the ratio arm/baseline. The point
/// lies inside the closed interval, but may coincide with an end that is itself excluded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Best single value; NaN if there is none.
    pub point: f64,
    /// Lower end; `-INFINITY` if the data are too few to give one at the level asked for.
    pub lower: f64,
    /// Upper end; `INFINITY` if the data are too few.
    pub upper: f64,
}

impl Estimate {
    /// Estimates the centre of paired differences, each end of the interval at a level of its own.
    pub fn from_differences(differences: &[f64], alpha_lower: f64, alpha_upper: f64) -> Self {
        Self {
            point: hodges_lehmann(differences),
            lower: lower_bound(differences, alpha_lower),
            upper: upper_bound(differences, alpha_upper),
        }
    }

    /// From log ratio to ratio. Whether the interval holds "no effect" must be asked before:
    /// an open end just above 0 rounds to a ratio of 1.
    pub fn exp(self) -> Self {
        Self { point: self.point.exp(), lower: self.lower.exp(), upper: self.upper.exp() }
    }

    /// The effect with arm and baseline exchanged, or of a benefit instead of a cost.
    pub fn mirrored(self) -> Self {
        Self { point: -self.point, lower: -self.upper, upper: -self.lower }
    }

    /// Half the width of the interval; infinite if an end is.
    pub fn half_width(self) -> f64 {
        (self.upper - self.lower) / 2.0
    }
}

/// Median of the Walsh averages (d(i)+d(j))/2 over i <= j. NaN for empty or non-finite input.
pub fn hodges_lehmann(differences: &[f64]) -> f64 {
    if !usable(differences) {
        return f64::NAN;
    }
    let sums = sorted_walsh_sums(differences);
    let middle = |i: usize| sums.get(i).map_or(f64::NAN, |sum| sum / 2.0);
    let half = sums.len() / 2;
    if sums.len() % 2 == 1 { middle(half) } else { middle(half - 1) / 2.0 + middle(half) / 2.0 }
}

/// Interval whose ends each have the one-sided level `alpha_one_sided`: confidence 1 - 2·alpha.
///
/// Too few differences for the level (2^-n > alpha) leave both ends infinite, as does a level
/// outside (0, ½). The ends can pass each other, by one unit in the last place, only where both
/// are open at the same value: no centre at all is then compatible with the data.
pub fn confidence_interval(differences: &[f64], alpha_one_sided: f64) -> Estimate {
    Estimate::from_differences(differences, alpha_one_sided, alpha_one_sided)
}

/// Smallest `f64` that the test "greater" does not reject as the centre, at level `alpha`.
///
/// `lower_bound(d, alpha) > 0` exactly when `signed_rank(d).p_greater <= alpha`.
pub fn lower_bound(differences: &[f64], alpha: f64) -> f64 {
    let rejected = |centre| p_greater_about(differences, centre) <= alpha;
    let in_range = alpha > 0.0 && alpha < 0.5;
    // If even the lowest centre cannot be rejected, the differences are too few.
    if !(usable(differences) && in_range && rejected(Centre::at(f64::NEG_INFINITY))) {
        return f64::NEG_INFINITY;
    }
    let mut sums = sorted_walsh_sums(differences);
    sums.dedup();
    // First sum that is not rejected as a centre, then whether what lies just beneath it (just
    // above its predecessor) is not rejected either.
    let first = sums.partition_point(|&sum| rejected(Centre::at(sum)));
    if let Some(&before) = first.checked_sub(1).and_then(|i| sums.get(i))
        && !rejected(Centre::just_above(before))
    {
        return (before / 2.0).next_up();
    }
    sums.get(first).map_or(f64::INFINITY, |sum| sum / 2.0)
}

/// Largest `f64` that the test "less" does not reject as the centre, at level `alpha`.
///
/// `upper_bound(d, alpha) < 0` exactly when `signed_rank(d).p_less <= alpha`.
pub fn upper_bound(differences: &[f64], alpha: f64) -> f64 {
    let mirrored: Vec<f64> = differences.iter().map(|d| -d).collect();
    -lower_bound(&mirrored, alpha)
}

/// All d(i)+d(j), i <= j, ascending. Twice the Walsh averages: sums need no rounding by halving.
fn sorted_walsh_sums(differences: &[f64]) -> Vec<f64> {
    let mut sums: Vec<f64> = differences.iter().enumerate().flat_map(|(i, a)| differences.iter().take(i + 1).map(move |b| a + b)).collect();
    sums.sort_unstable_by(f64::total_cmp);
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walsh_median_by_hand() {
        // Averages of {1, 2, 6}: 1, 1.5, 2, 3.5, 4, 6.
        assert_eq!(hodges_lehmann(&[6.0, 1.0, 2.0]), 2.75);
        assert_eq!(hodges_lehmann(&[3.0]), 3.0);
        assert!(hodges_lehmann(&[]).is_nan());
        assert!(hodges_lehmann(&[1.0, f64::NAN]).is_nan());
    }

    #[test]
    fn too_few_differences_leave_the_ends_open() {
        let d = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
        assert_eq!(lower_bound(&d, 0.01), f64::NEG_INFINITY); // 2^-6 > 1%
        assert_eq!(upper_bound(&d, 0.01), f64::INFINITY);
        // 2^-6 rejects what lies beneath the minimum, but about the minimum only five have a sign.
        assert_eq!(lower_bound(&d, 1.0 / 64.0), 0.1);
        for alpha in [f64::NAN, 0.0, -1.0, 0.5, 1.0] {
            assert_eq!(lower_bound(&d, alpha), f64::NEG_INFINITY, "{alpha}");
        }
    }

    #[test]
    fn identical_pairs_give_an_interval_of_no_width() {
        let interval = confidence_interval(&[0.0; 12], 0.01);
        assert_eq!((interval.lower, interval.upper), (0.0, 0.0));
        assert_eq!(confidence_interval(&[0.25; 12], 0.01).half_width(), 0.0);
    }

    #[test]
    fn an_open_end_at_zero_still_excludes_zero() {
        // Ten zeros and seven positives: p = 2^-7 at 0, but just above 0 the zeros count against.
        let mut d = vec![0.0; 10];
        d.extend((1..=7).map(f64::from));
        assert_eq!(super::super::signed_rank(&d).p_greater, 0.5f64.powi(7));
        let lower = lower_bound(&d, 0.01);
        assert!(lower > 0.0 && lower < 1e-300, "{lower}");
    }
}

//! The Wilcoxon signed-rank test, exact under ties and zeros.
//!
//! The null hypothesis is that the differences are symmetric about a centre θ. Given their
//! distances from θ, every pattern of signs is then equally likely, so the p-value is the share of
//! sign patterns whose rank sum is at least as extreme as the one seen. That distribution is
//! counted exactly, by dynamic programming over doubled ranks (a midrank is a multiple of ½).
//!
//! - *Ties* in distance share their midrank.
//! - *Zeros* (a difference equal to θ) are ranked with the rest and then carry no sign: Pratt's
//!   treatment (J. Am. Stat. Assoc. 54, 1959). Wilcoxon's own, to drop them before ranking, can
//!   make the p-value fall when the data move *away* from the alternative; with Pratt's it is
//!   monotone in θ, which is what makes a confidence interval possible (see `interval`).

use std::cmp::Ordering;

use super::{normal_upper_tail, usable};

/// Up to this many signed differences the null distribution is counted; beyond it is approximated.
///
/// At the limit one test takes some ten million additions, and an interval about thirty tests.
pub const EXACT_LIMIT: usize = 200;

/// How a p-value was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NullDistribution {
    /// Every pattern of signs was counted.
    Exact,
    /// Normal approximation with the variance of the actual midranks (so corrected for ties and
    /// zeros) and a continuity correction of half a rank; beyond [`EXACT_LIMIT`].
    Normal,
}

/// Outcome of a signed-rank test of differences against zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignedRank {
    /// Sum of the midranks of the positive differences.
    pub w_plus: f64,
    /// How many differences are not zero.
    pub signed: usize,
    /// P(W+ >= `w_plus`): small if the centre is above zero.
    pub p_greater: f64,
    /// P(W+ <= `w_plus`): small if the centre is below zero.
    pub p_less: f64,
    /// Exact or approximate.
    pub distribution: NullDistribution,
}

/// Tests whether the centre of `differences` is zero, one-sided each way.
///
/// Each p-value is valid for its whole one-sided hypothesis (centre at most zero, centre at least
/// zero). The smallest reachable p-value is 2^-n. Empty or non-finite input gives 1 both ways.
pub fn signed_rank(differences: &[f64]) -> SignedRank {
    if !usable(differences) {
        return SignedRank { w_plus: f64::NAN, signed: 0, p_greater: 1.0, p_less: 1.0, distribution: NullDistribution::Exact };
    }
    let ranks = SignedRanks::about(differences, Centre::at(0.0));
    let (p_less, p_greater) = ranks.p_values();
    SignedRank {
        w_plus: ranks.positive_sum as f64 / 2.0,
        signed: ranks.doubled.len(),
        p_greater,
        p_less,
        distribution: ranks.distribution(),
    }
}

/// P(W+ >= observed) for the differences taken about `centre`. Input must be [`usable`].
pub(super) fn p_greater_about(differences: &[f64], centre: Centre) -> f64 {
    SignedRanks::about(differences, centre).p_greater()
}

/// A candidate centre θ, held as 2θ so that pairs of differences compare with it exactly:
/// whichever way they round, the pairwise sums `d[i] + d[j]` are monotone in both terms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Centre {
    doubled: f64,
    /// What a sum equal to `doubled` counts as: `Equal` at θ, `Less` just above θ.
    on_tie: Ordering,
}

impl Centre {
    /// θ itself.
    pub(super) fn at(doubled: f64) -> Self {
        Self { doubled, on_tie: Ordering::Equal }
    }

    /// A point above θ with no sum in between.
    pub(super) fn just_above(doubled: f64) -> Self {
        Self { doubled, on_tie: Ordering::Less }
    }

    fn compare(self, sum: f64) -> Ordering {
        match sum.partial_cmp(&self.doubled) {
            Some(Ordering::Equal) | None => self.on_tie,
            Some(order) => order,
        }
    }
}

/// Doubled midranks of the distances from a centre, without those of the zeros.
struct SignedRanks {
    doubled: Vec<usize>,
    /// Sum over all of `doubled`.
    total: usize,
    /// Sum over those of positive differences.
    positive_sum: usize,
}

impl SignedRanks {
    fn about(differences: &[f64], centre: Centre) -> Self {
        let signs: Vec<Ordering> = differences.iter().map(|&d| centre.compare(d + d)).collect();
        let mut ranks = Self { doubled: Vec::with_capacity(differences.len()), total: 0, positive_sum: 0 };
        for (&d, &sign) in differences.iter().zip(&signs) {
            if sign == Ordering::Equal {
                continue;
            }
            // Twice the midrank is 2·(closer ones) + (others as close) + 2. The loop meets `d`
            // itself, which is as close as itself, hence the 1.
            let mut rank = 1;
            for (&other, &other_sign) in differences.iter().zip(&signs) {
                rank += match distance_order(centre, (d, sign), (other, other_sign)) {
                    Ordering::Greater => 2,
                    Ordering::Equal => 1,
                    Ordering::Less => 0,
                };
            }
            ranks.doubled.push(rank);
            ranks.total += rank;
            if sign == Ordering::Greater {
                ranks.positive_sum += rank;
            }
        }
        ranks
    }

    fn distribution(&self) -> NullDistribution {
        if self.doubled.len() <= EXACT_LIMIT { NullDistribution::Exact } else { NullDistribution::Normal }
    }

    /// P(W+ >= observed). The distribution is symmetric, so this is P(W+ <= total - observed),
    /// which needs only the cells up to there.
    fn p_greater(&self) -> f64 {
        let negative_sum = self.total - self.positive_sum;
        match self.distribution() {
            NullDistribution::Exact => cumulative(&self.sums_up_to(negative_sum), negative_sum),
            NullDistribution::Normal => self.normal_tail(self.positive_sum),
        }
    }

    /// (P(W+ <= observed), P(W+ >= observed)).
    fn p_values(&self) -> (f64, f64) {
        let negative_sum = self.total - self.positive_sum;
        match self.distribution() {
            NullDistribution::Exact => {
                let sums = self.sums_up_to(negative_sum.max(self.positive_sum));
                (cumulative(&sums, self.positive_sum), cumulative(&sums, negative_sum))
            }
            NullDistribution::Normal => (self.normal_tail(negative_sum), self.normal_tail(self.positive_sum)),
        }
    }

    /// Probability of each doubled rank sum from 0 to `limit`, when every rank is in or out with
    /// probability one half. All terms are positive, so the error stays within n roundings.
    fn sums_up_to(&self, limit: usize) -> Vec<f64> {
        let mut probability = vec![0.0; limit + 1];
        probability[0] = 1.0;
        let mut reached = 0;
        for &rank in &self.doubled {
            reached = limit.min(reached + rank);
            for sum in (0..=reached).rev() {
                let with = if sum >= rank { probability[sum - rank] } else { 0.0 };
                probability[sum] = 0.5 * (probability[sum] + with);
            }
        }
        probability
    }

    /// Approximates P(W+ >= `sum` / 2). One doubled unit is the correction of half a rank.
    fn normal_tail(&self, sum: usize) -> f64 {
        let mean = self.total as f64 / 2.0;
        let variance: f64 = self.doubled.iter().map(|&r| (r * r) as f64 / 4.0).sum();
        normal_upper_tail((sum as f64 - mean - 1.0) / variance.sqrt())
    }
}

/// Compares the distances of two differences from the centre, by exact comparisons only:
/// on one side the values decide; across, |a-θ| > |b-θ| exactly when a + b > 2θ (a above, b below).
fn distance_order(centre: Centre, a: (f64, Ordering), b: (f64, Ordering)) -> Ordering {
    let by_value = |x: f64, y: f64| x.partial_cmp(&y).unwrap_or(Ordering::Equal);
    match (a.1, b.1) {
        (Ordering::Greater, Ordering::Less) => centre.compare(a.0 + b.0),
        (Ordering::Less, Ordering::Greater) => centre.compare(a.0 + b.0).reverse(),
        (Ordering::Less, _) => by_value(b.0, a.0),
        _ => by_value(a.0, b.0),
    }
}

/// Sum of the probabilities from 0 to `last`, which rounding must not take past 1.
fn cumulative(probability: &[f64], last: usize) -> f64 {
    probability.iter().take(last + 1).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_positive_reaches_the_smallest_p_value() {
        let d: Vec<f64> = (1..=10).map(f64::from).collect();
        let test = signed_rank(&d);
        assert_eq!(test.p_greater, 0.5f64.powi(10));
        assert_eq!(test.p_less, 1.0);
        assert_eq!(test.w_plus, 55.0);
    }

    #[test]
    fn zeros_are_ranked_but_carry_no_sign() {
        // Ranks: the two zeros share 1.5, then 3 for the positive and 4 for the negative.
        let test = signed_rank(&[0.0, 0.0, 1.0, -2.0]);
        assert_eq!((test.w_plus, test.signed), (3.0, 2));
        // Sums over {3, 4}: 0, 3, 4, 7.
        assert_eq!((test.p_less, test.p_greater), (0.5, 0.75));
    }

    #[test]
    fn nonsense_claims_nothing() {
        for d in [&[][..], &[f64::NAN, 1.0], &[f64::INFINITY], &[0.0, 0.0]] {
            let test = signed_rank(d);
            assert_eq!((test.p_less, test.p_greater), (1.0, 1.0), "{d:?}");
        }
    }

    #[test]
    fn the_approximation_meets_the_exact_distribution_at_the_limit() {
        // Ties and zeros in plenty; every 7th sign flipped, then more, from far out to the middle.
        for flip in [3, 4, 5, 7] {
            let d: Vec<f64> = (0..EXACT_LIMIT as i32)
                .map(|i| f64::from(i % 60) / 8.0 * if i % flip == 0 { -1.0 } else { 1.0 })
                .map(|d| if flip == 3 { d - 2.5 } else { d })
                .collect();
            let ranks = SignedRanks::about(&d, Centre::at(0.0));
            let exact = signed_rank(&d);
            assert_eq!(exact.distribution, NullDistribution::Exact);
            let approximate = ranks.normal_tail(ranks.positive_sum);
            // Absolute where it matters to nobody, relative where the tail is thin but not absurd.
            assert!((approximate - exact.p_greater).abs() < 1e-4);
            if exact.p_greater > 1e-4 {
                assert!((approximate / exact.p_greater - 1.0).abs() < 0.05);
            }
        }
    }
}

//! The statistics that decide a duel.
//!
//! Owns: estimating the effect of an arm against the baseline from paired blocks, testing it,
//! correcting for the number of metrics, calling a verdict, and planning how many pairs are needed.
//!
//! Takes: one number a pair, the log ratio `d = ln(arm) - ln(baseline)` of a cost (nanoseconds: more
//! is worse). For a metric where more is better, such as capacity, pass `-d`.
//!
//! Returns: plain values. Everything is a pure function of its arguments: no randomness, no clock.
//!
//! Must not know: records, histograms, scenarios, units other than nanoseconds, or how a report
//! words a result.
//!
//! # Input that makes no sense
//!
//! Nothing here panics. Empty or non-finite differences, levels outside their range and the like
//! give the answer that claims least: a p-value of 1, an unbounded interval, a verdict of
//! [`Verdict::Inconclusive`], `None` for a number of pairs.
//!
//! # Why the interval and the verdict cannot disagree
//!
//! Significance is decided by [`signed_rank`] at the level that [`holm`] gives a metric, and the
//! interval inverts the same test at the same level. For every sample, with ties and zeros,
//! `signed_rank(d).p_greater <= alpha` exactly when `lower_bound(d, alpha) > 0`, and
//! `p_less <= alpha` exactly when `upper_bound(d, alpha) < 0`; see [`interval`]
//! for the proof. [`judge_family`] puts these pieces together.

mod holm;
pub mod interval;
mod power;
mod proportion;
mod signed_rank;
mod verdict;

#[cfg(test)]
mod corpus_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod simulation_tests;

pub use holm::{HolmStep, holm};
pub use interval::{Estimate, confidence_interval, hodges_lehmann, lower_bound, upper_bound};
pub use power::{DEFAULT_POWER, minimum_detectable_effect, minimum_pairs, required_pairs, robust_sd};
pub use proportion::{clopper_pearson_upper, quantile_sorted, sign_test};
pub use signed_rank::{EXACT_LIMIT, NullDistribution, SignedRank, signed_rank};
pub use verdict::{FAMILY_ALPHA, Judgement, Metric, Significance, Verdict, effective_margin, judge, judge_family};

/// True if there is something to compute on: at least one value, all of them finite.
fn usable(differences: &[f64]) -> bool {
    !differences.is_empty() && differences.iter().all(|d| d.is_finite())
}

/// Quantile of the standard normal distribution; infinite at 0 and 1, NaN outside.
fn normal_quantile(probability: f64) -> f64 {
    if !(0.0..=1.0).contains(&probability) {
        return f64::NAN;
    }
    -std::f64::consts::SQRT_2 * statrs::function::erf::erfc_inv(2.0 * probability)
}

/// P(Z >= z) of the standard normal distribution.
fn normal_upper_tail(z: f64) -> f64 {
    0.5 * statrs::function::erf::erfc(z / std::f64::consts::SQRT_2)
}

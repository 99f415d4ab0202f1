//! Error rates and power on simulated runs, seeded, so that a failure is a change of the code.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::*;

/// Pair differences of a made-up machine.
struct Machine {
    rng: ChaCha8Rng,
    sd: f64,
    /// Correlation of one pair with the next.
    lag1: f64,
    /// Share of pairs with a spike of five standard deviations, either way.
    spiky: f64,
}

impl Machine {
    fn new(seed: u64, sd: f64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), sd, lag1: 0.0, spiky: 0.0 }
    }

    fn uniform(&mut self) -> f64 {
        ((self.rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let u = self.uniform();
        normal_quantile(u)
    }

    fn run(&mut self, pairs: usize, effect: f64) -> Vec<f64> {
        let mut previous = self.normal();
        (0..pairs)
            .map(|_| {
                previous = self.lag1 * previous + (1.0 - self.lag1 * self.lag1).sqrt() * self.normal();
                let spike = if self.uniform() < self.spiky { 5.0 * self.normal() } else { 0.0 };
                effect + self.sd * (previous + spike)
            })
            .collect()
    }

    /// Share of runs whose p-value for "greater" is at most `alpha`.
    fn rejections(&mut self, runs: usize, pairs: usize, effect: f64, alpha: f64) -> f64 {
        let rejected = (0..runs).filter(|_| signed_rank(&self.run(pairs, effect)).p_greater <= alpha).count();
        rejected as f64 / runs as f64
    }
}

#[test]
fn false_alarms_stay_at_their_level() {
    let rate = Machine::new(1, 0.047).rejections(4000, 16, 0.0, 0.01);
    assert!((0.005..=0.013).contains(&rate), "{rate}");
}

#[test]
fn a_little_autocorrelation_inflates_false_alarms_a_little() {
    // Pairs taken close together leave lag-1 correlations of this size between pairs. Theory:
    // the z-score grows by sqrt((1+r)/(1-r)), which at r = 0.1 turns 1% into 1.8%.
    let mut machine = Machine::new(2, 0.047);
    machine.lag1 = 0.1;
    let rate = machine.rejections(4000, 16, 0.0, 0.01);
    assert!((0.01..=0.025).contains(&rate), "{rate}");
}

#[test]
fn power_of_the_method_on_a_median() {
    // 20 metrics, family-wise 1%: +5% against pairs that scatter by 4.7%.
    let at_24 = Machine::new(3, 0.047).rejections(1500, 24, 0.05, 5e-4);
    assert!((0.84..=0.93).contains(&at_24), "{at_24}");
    let at_32 = Machine::new(4, 0.047).rejections(1500, 32, 0.05, 5e-4);
    assert!(at_32 >= 0.96, "{at_32}");
}

#[test]
fn the_minimum_detectable_effect_is_seen_as_often_as_promised() {
    for (seed, pairs, alpha) in [(5, 16, 1e-3), (6, 24, 5e-4), (7, 40, 5e-4)] {
        let effect = minimum_detectable_effect(pairs, 0.047, alpha, DEFAULT_POWER);
        let power = Machine::new(seed, 0.047).rejections(1000, pairs, effect, alpha);
        assert!((0.87..=0.94).contains(&power), "{pairs} pairs: {power}");
    }
    // Why the textbook formula is not used for so few pairs.
    let z = -normal_quantile(5e-4) + normal_quantile(DEFAULT_POWER);
    let textbook = z * 0.047 / 24f64.sqrt();
    let power = Machine::new(11, 0.047).rejections(1000, 24, textbook, 5e-4);
    assert!((0.70..=0.82).contains(&power), "{power}");
}

#[test]
fn spikes_cost_ranks_far_less_power_than_means() {
    const T_23_AT_1_PERCENT: f64 = 2.4999;
    let mut machine = Machine::new(8, 0.07);
    machine.spiky = 0.15;
    let (mut by_ranks, mut by_mean) = (0, 0);
    for _ in 0..1000 {
        let d = machine.run(24, 0.10);
        by_ranks += u32::from(signed_rank(&d).p_greater <= 0.01);
        let n = d.len() as f64;
        let mean = d.iter().sum::<f64>() / n;
        let variance = d.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        by_mean += u32::from(mean / (variance / n).sqrt() >= T_23_AT_1_PERCENT);
    }
    assert!(by_ranks >= 900, "{by_ranks}");
    assert!(by_mean <= by_ranks - 150, "{by_mean} against {by_ranks}");
}

#[test]
fn the_scale_estimate_is_unbiased_enough_and_shrugs_off_spikes() {
    let mean_scale = |spiky: f64| {
        let mut machine = Machine::new(9, 1.0);
        machine.spiky = spiky;
        let total: f64 = (0..500).map(|_| robust_sd(&machine.run(16, 0.0))).sum();
        total / 500.0
    };
    let clean = mean_scale(0.0);
    assert!((0.95..=1.05).contains(&clean), "{clean}");
    // The plain standard deviation would be 2.2.
    let spiky = mean_scale(0.15);
    assert!((1.0..=1.5).contains(&spiky), "{spiky}");
}

#[test]
fn family_wise_errors_each_way_and_coverage() {
    const RUNS: u64 = 600;
    const ALPHA: f64 = 0.05;
    let mut machine = Machine::new(10, 0.05);
    let (mut false_up, mut false_down, mut missed, mut bounds) = (0, 0, 0, 0);
    for _ in 0..RUNS {
        // Ten metrics: six without effect, two slower, two faster.
        let effects = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.08, 0.08, -0.08, -0.08];
        let runs: Vec<Vec<f64>> = effects.iter().map(|&e| machine.run(12, e)).collect();
        let metrics: Vec<Metric> = runs.iter().map(|differences| Metric { differences, margin_ln: 0.05 }).collect();
        let judgements = judge_family(&metrics, ALPHA);
        let any = |wanted: Significance, truth: fn(f64) -> bool| {
            judgements.iter().zip(effects).any(|(j, e)| truth(e) && j.significance == wanted)
        };
        false_up += u64::from(any(Significance::Higher, |e| e <= 0.0));
        false_down += u64::from(any(Significance::Lower, |e| e >= 0.0));
        for (judgement, effect) in judgements.iter().zip(effects) {
            bounds += 1;
            missed += u64::from(judgement.estimate.lower > effect);
        }
    }
    // Controlled at 5% each way; allow what 600 runs can show above it.
    for errors in [false_up, false_down] {
        let rate = errors as f64 / RUNS as f64;
        assert!((0.01..=0.07).contains(&rate), "{rate}");
    }
    // Each bound alone is held to a level between alpha / 10 and alpha.
    assert!(missed as f64 / (bounds as f64) < ALPHA / 5.0);
}

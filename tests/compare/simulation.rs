//! How often the judge is wrong, and how often it sees what is there: whole records of made-up runs, seeded.
//! `PGDUEL_SIMULATED_RUNS` takes more of them than a test has time for.

use pgduel::compare::{Gate, Outcome, Verdict, compare};
use pgduel::experiment::order;
use pgduel::record::{Side, Sides};
use pgduel::stats::{clopper_pearson_upper, signed_rank};

use crate::records::{Depth, Machine, Made, Statement, made, run};

/// Five scenarios of short blocks on a machine as noisy as shared ones are: 4.7% between pairs of medians.
fn five(slower: f64) -> Vec<Made> {
    ["one", "two", "three", "four", "five"]
        .into_iter()
        .enumerate()
        .map(|(place, name)| {
            let ratio = if place == 2 { slower } else { 1.0 };
            let statement = Statement { name: "history", median_ns: 410_000.0, ratio };
            let samples = Sides { before: 60, after: 60 };
            Made { before: vec![statement], samples, spread: 0.047, depth: Depth::StatementsOnly, ..made(name, 1.0) }
        })
        .collect()
}

/// Runs in which any gated metric regressed.
fn regressed(runs: u64, slower: f64) -> u64 {
    let any = |seed: &u64| {
        let comparison = compare(&run(10_000 + seed, &five(slower)));
        assert_eq!(comparison.gated_metrics, 5);
        let mut gated = comparison.scenarios.iter().flat_map(|one| &one.metrics).filter(|metric| metric.gate == Gate::Gated);
        let found = gated.any(|metric| metric.verdict == Verdict::Regressed);
        assert_eq!(found, comparison.outcome == Outcome::Surprise);
        found
    };
    (0..runs).filter(any).count() as u64
}

#[test]
fn runs_without_an_effect_are_false_alarms_once_in_a_hundred_at_most() {
    let runs = std::env::var("PGDUEL_SIMULATED_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let alarms = regressed(runs, 1.0);
    let (least, most) = (1.0 - clopper_pearson_upper(runs - alarms, runs, 0.99), clopper_pearson_upper(alarms, runs, 0.95));
    println!("{alarms} false regressions in {runs} A/A runs: at most {:.2}% at 95%", 100.0 * most);
    // So many would be a sign, at 99%, that the true rate is above the 1% that is promised.
    assert!(least <= 0.01, "{alarms} of {runs}: at least {:.2}%", 100.0 * least);
}

#[test]
fn a_third_slower_is_seen_in_nine_of_ten_quick_runs() {
    const RUNS: u64 = 60;
    let seen = regressed(RUNS, 1.3);
    println!("+30% was called regressed in {seen} of {RUNS} quick runs");
    assert!(seen * 10 >= RUNS * 9, "{seen}");
}

/// What disturbs blocks, by their position in time: log times of a run without an effect.
#[derive(Clone, Copy, Debug)]
enum Noise {
    /// Each block remembers this much of the one before it.
    Remembered(f64),
    /// Something that makes two blocks in a row slower, once in ten blocks.
    Bursts,
    /// Something that comes back every so many blocks.
    Period(u32),
}

impl Noise {
    fn blocks(self, random: &mut Machine, count: usize) -> Vec<f64> {
        let mut level = random.normal();
        let phase = random.uniform() * 8.0;
        let mut left = 0;
        let mut next = |position: usize| match self {
            Noise::Remembered(share) => {
                level = share * level + libm::sqrt(1.0 - share * share) * random.normal();
                level
            }
            Noise::Bursts => {
                left = if left == 0 && random.uniform() < 0.1 { 2 } else { i32::max(left - 1, 0) };
                random.normal() * 0.2 + if left > 0 { 2.0 } else { 0.0 }
            }
            Noise::Period(blocks) => {
                let turns = (position as f64 + phase) / f64::from(blocks);
                random.normal() * 0.2 + if turns.fract() < 0.5 { 2.0 } else { 0.0 }
            }
        };
        (0..count).map(&mut next).collect()
    }
}

/// Which block of a pair is the after side's.
type Order = fn(seed: u64, pair: u32) -> [Side; 2];

fn as_the_code_draws_it(seed: u64, pair: u32) -> [Side; 2] {
    order::pair(seed, "made/noise", pair).map(|slot| slot.side)
}

/// One coin for two pairs, ABBA or BAAB.
fn in_quads(seed: u64, pair: u32) -> [Side; 2] {
    let [one, two] = as_the_code_draws_it(seed, pair / 2);
    if pair.is_multiple_of(2) { [one, two] } else { [two, one] }
}

/// False calls in either direction at 1% each way over what the test's own steps allow, in runs of twelve pairs.
fn false_calls_over_nominal(noise: Noise, order: Order) -> f64 {
    const RUNS: u64 = 15_000;
    const PAIRS: u32 = 12;
    let mut random = Machine::new(77);
    let called = |differences: &[f64]| {
        let test = signed_rank(differences);
        usize::from(test.p_greater <= 0.01) + usize::from(test.p_less <= 0.01)
    };
    let mut calls = 0;
    for seed in 0..RUNS {
        let blocks = noise.blocks(&mut random, PAIRS as usize * 2);
        let differences: Vec<f64> = (0..PAIRS)
            .zip(blocks.chunks_exact(2))
            .map(|(pair, times)| if order(seed, pair)[0] == Side::Before { times[1] - times[0] } else { times[0] - times[1] })
            .collect();
        calls += called(&differences);
    }
    // P-values of 12 ranks move in steps: 33 of 4,096 is the largest one below 1%.
    calls as f64 / (2.0 * RUNS as f64) / (33.0 / 4096.0)
}

#[test]
fn noise_on_blocks_keeps_the_level_whatever_its_shape() {
    let remembered = [0.3, 0.6, 0.9].map(Noise::Remembered);
    let periods: Vec<Noise> = (2..=8).map(Noise::Period).collect();
    for noise in remembered.into_iter().chain([Noise::Bursts]).chain(periods) {
        let over = false_calls_over_nominal(noise, as_the_code_draws_it);
        println!("{noise:?}: {over:.2} of the nominal level");
        assert!((0.8..=1.2).contains(&over), "{noise:?}: {over:.2} of the nominal level");
    }
}

#[test]
fn quads_would_not_keep_it() {
    let over = [Noise::Bursts, Noise::Period(4), Noise::Period(5)].map(|noise| false_calls_over_nominal(noise, in_quads));
    println!("{over:.2?} of the nominal level");
    assert!(over.iter().all(|over| *over > 1.3), "{over:?}");
}

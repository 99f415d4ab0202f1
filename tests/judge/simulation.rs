//! How often the judge is wrong, and how often it sees what is there: whole records of made-up runs, seeded.
//! `PGDUEL_SIMULATED_RUNS` takes more of them than a test has time for.

use std::time::Duration;

use pgduel::experiment::order;
use pgduel::judge::{Gate, Outcome, Pair, Precision, Reached, Stopping, Verdict, compare};
use pgduel::record::{Mode, Side, Sides};
use pgduel::stats::{clopper_pearson_upper, confidence_interval, signed_rank};

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

/// The largest p-value of a signed-rank test over `pairs` pairs that is at most 1%: it moves in steps.
fn level(pairs: usize) -> f64 {
    // How many sets of ranks have which sum.
    let mut sets = vec![1.0];
    for rank in 1..=pairs {
        let mut more = vec![0.0; sets.len() + rank];
        for (sum, count) in sets.iter().enumerate() {
            more[sum] += count;
            more[sum + rank] += count;
        }
        sets = more;
    }
    let all = f64::powi(2.0, pairs as i32);
    let (mut level, mut tail) = (0.0, 0.0);
    for count in sets.iter().rev() {
        tail += count / all;
        if tail > 0.01 {
            break;
        }
        level = tail;
    }
    level
}

/// Blocks' log times of a run, block for block, to the differences of its pairs.
fn differences(seed: u64, blocks: &[f64], order: Order) -> Vec<f64> {
    let signed =
        |(pair, times): (u32, &[f64])| if order(seed, pair)[0] == Side::Before { times[1] - times[0] } else { times[0] - times[1] };
    (0..).zip(blocks.chunks_exact(2)).map(signed).collect()
}

/// How many pairs of a quick run are measured, by the rule that the code stops by, if blocks take as much longer as the noise makes them.
fn pairs_of_a_quick_run(blocks: &[f64], differences: &[f64]) -> usize {
    let (rule, mut reached) = (Stopping::new(Mode::Quick, 1), Reached::default());
    for (number, times) in (1..).zip(blocks.chunks_exact(2)) {
        reached.add(Pair::Kept, Duration::from_secs_f64(times[0].exp() + times[1].exp()));
        let narrow = || {
            let widest_half_width = confidence_interval(&differences[..number], 0.01).half_width();
            let widest_half_width_over_margin = widest_half_width / 0.05;
            Precision { kept_pairs: number as u32, gated_metrics: 1, widest_half_width_over_margin, widest_half_width }
                .is_enough(Mode::Quick)
        };
        if rule.enough(&reached, narrow).is_some() {
            return number;
        }
    }
    panic!("{} pairs are not enough", differences.len())
}

/// Calls in either direction at 1% each way in runs without an effect, over what the test's own steps allow. `pairs` says how many are measured.
fn false_calls_over_nominal(noise: Noise, order: Order, mut pairs: impl FnMut(&[f64], &[f64]) -> usize) -> f64 {
    const RUNS: u64 = 15_000;
    const MOST_PAIRS: usize = 18;
    // What differences of pairs scatter by, as log ratios: after the least number of pairs some runs' intervals are narrow and others' are not.
    const SPREAD: f64 = 0.18;
    let mut random = Machine::new(77);
    let sample = differences(0, &noise.blocks(&mut random, 4_000), order);
    let scale = SPREAD / libm::sqrt(sample.iter().map(|one| one * one).sum::<f64>() / sample.len() as f64);
    let levels: Vec<f64> = (0..=MOST_PAIRS).map(level).collect();
    let (mut calls, mut expected) = (0, 0.0);
    for seed in 0..RUNS {
        let blocks: Vec<f64> = noise.blocks(&mut random, MOST_PAIRS * 2).into_iter().map(|time| time * scale).collect();
        let all = differences(seed, &blocks, order);
        let measured = pairs(&blocks, &all);
        let test = signed_rank(&all[..measured]);
        calls += usize::from(test.p_greater <= 0.01) + usize::from(test.p_less <= 0.01);
        expected += 2.0 * levels[measured];
    }
    calls as f64 / expected
}

fn twelve(_: &[f64], _: &[f64]) -> usize {
    12
}

fn every_noise() -> impl Iterator<Item = Noise> {
    [0.3, 0.6, 0.9].map(Noise::Remembered).into_iter().chain([Noise::Bursts]).chain((2..=8).map(Noise::Period))
}

#[test]
fn noise_on_blocks_keeps_the_level_whatever_its_shape() {
    assert_eq!(level(12), 33.0 / 4096.0);
    for noise in every_noise() {
        let over = false_calls_over_nominal(noise, as_the_code_draws_it, twelve);
        println!("{noise:?}: {over:.2} of the nominal level");
        assert!((0.8..=1.2).contains(&over), "{noise:?}: {over:.2} of the nominal level");
    }
}

#[test]
fn a_run_that_goes_on_for_its_width_keeps_the_level_too() {
    for noise in [Noise::Remembered(0.6), Noise::Bursts, Noise::Period(2), Noise::Period(5)] {
        let (mut twelve, mut more) = (0, 0);
        let over = false_calls_over_nominal(noise, as_the_code_draws_it, |blocks, differences| {
            let pairs = pairs_of_a_quick_run(blocks, differences);
            *if pairs == 12 { &mut twelve } else { &mut more } += 1;
            pairs
        });
        println!("{noise:?}: {over:.2} of the nominal level; {twelve} runs of twelve pairs, {more} of more");
        assert!((0.8..=1.2).contains(&over), "{noise:?}: {over:.2} of the nominal level");
        assert!(twelve > 1_000 && more > 1_000, "{noise:?}: {twelve} runs of twelve pairs, {more} of more");
    }
}

#[test]
fn quads_would_not_keep_it() {
    let over = [Noise::Bursts, Noise::Period(4), Noise::Period(5)].map(|noise| false_calls_over_nominal(noise, in_quads, twelve));
    println!("{over:.2?} of the nominal level");
    assert!(over.iter().all(|over| *over > 1.3), "{over:?}");
}

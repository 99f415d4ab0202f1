//! How often the judge is wrong, and how often it sees what is there: whole records of made-up runs, seeded.
//! `PGDUEL_SIMULATED_RUNS` takes more of them than a test has time for.

use std::time::Duration;

use pgduel::experiment::order;
use pgduel::judge::{Gate, Outcome, Precision, Reached, RoundEnd, Stopping, Verdict, compare};
use pgduel::record::{Arms, Mode};
use pgduel::stats::{clopper_pearson_upper, confidence_interval, holm, signed_rank};

use crate::records::{Depth, Machine, Made, Statement, made, run};

/// Five scenarios of short blocks on a machine as noisy as shared ones are: 4.7% between pairs of medians.
fn five(slower: f64) -> Vec<Made> {
    ["one", "two", "three", "four", "five"]
        .into_iter()
        .enumerate()
        .map(|(place, name)| {
            let ratio = if place == 2 { slower } else { 1.0 };
            let statement = Statement { name: "history", median_ns: 410_000.0, ratio };
            let samples = Arms::two(60, 60);
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

/// Which arm each block of a round is of.
type Order = fn(seed: u64, round: u32, arms: usize) -> Vec<usize>;

fn as_the_code_draws_it(seed: u64, round: u32, arms: usize) -> Vec<usize> {
    order::round(seed, "made/noise", round, arms).iter().map(|slot| slot.arm.place()).collect()
}

/// One coin for two rounds, ABBA or BAAB.
fn in_quads(seed: u64, round: u32, arms: usize) -> Vec<usize> {
    let mut order = as_the_code_draws_it(seed, round / 2, arms);
    if !round.is_multiple_of(2) {
        order.reverse();
    }
    order
}

/// A balanced square: a random order, turned by one place from round to round, so that each arm has each place as often.
fn in_squares(seed: u64, round: u32, arms: usize) -> Vec<usize> {
    let mut order = as_the_code_draws_it(seed, round / arms as u32, arms);
    order.rotate_left(round as usize % arms);
    order
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

/// Blocks' log times of a run, block for block, to the differences of each arm's rounds from the baseline's.
fn differences(seed: u64, blocks: &[f64], arms: usize, order: Order) -> Vec<Vec<f64>> {
    let mut of_arms = vec![Vec::new(); arms - 1];
    for (round, times) in (0..).zip(blocks.chunks_exact(arms)) {
        let places = order(seed, round, arms);
        let of = |arm: usize| places.iter().position(|place| *place == arm).map_or(f64::NAN, |at| times[at]);
        of_arms.iter_mut().enumerate().for_each(|(arm, all)| all.push(of(arm + 1) - of(0)));
    }
    of_arms
}

/// How many rounds of a quick run of two arms are measured, by the rule that the code stops by, if blocks take as much longer as the noise makes
/// them.
fn rounds_of_a_quick_run(blocks: &[f64], differences: &[Vec<f64>]) -> usize {
    let (rule, mut reached) = (Stopping::new(Mode::Quick, 1), Reached::default());
    for (number, times) in (1..).zip(blocks.chunks_exact(2)) {
        reached.add(RoundEnd::Kept, Duration::from_secs_f64(times[0].exp() + times[1].exp()));
        let narrow = || {
            let widest_half_width = confidence_interval(&differences[0][..number], 0.01).half_width();
            let widest_half_width_over_margin = widest_half_width / 0.05;
            Precision { kept_pairs: number as u32, gated_metrics: 1, widest_half_width_over_margin, widest_half_width }
                .is_enough(Mode::Quick)
        };
        if rule.enough(&reached, narrow).is_some() {
            return number;
        }
    }
    panic!("{} rounds are not enough", differences[0].len())
}

const MOST_ROUNDS: usize = 18;
/// What differences of two blocks scatter by, as log ratios: after the least number of rounds some runs' intervals are narrow and others' are not.
const SPREAD: f64 = 0.18;

/// Many runs without an effect: blocks and differences by arm.
fn runs(noise: Noise, arms: usize, order: Order, many: u64) -> impl Iterator<Item = (Vec<f64>, Vec<Vec<f64>>)> {
    let mut random = Machine::new(77);
    let sample = differences(0, &noise.blocks(&mut random, 2_000 * arms), arms, order).concat();
    let scale = SPREAD / libm::sqrt(sample.iter().map(|one| one * one).sum::<f64>() / sample.len() as f64);
    (0..many).map(move |seed| {
        let blocks: Vec<f64> = noise.blocks(&mut random, MOST_ROUNDS * arms).into_iter().map(|time| time * scale).collect();
        let all = differences(seed, &blocks, arms, order);
        (blocks, all)
    })
}

/// Calls in either direction at 1% each way in runs without an effect, over what the test's own steps allow. `rounds` says how many are measured.
fn false_calls_over_nominal(noise: Noise, arms: usize, order: Order, mut rounds: impl FnMut(&[f64], &[Vec<f64>]) -> usize) -> f64 {
    let levels: Vec<f64> = (0..=MOST_ROUNDS).map(level).collect();
    let (mut calls, mut expected) = (0, 0.0);
    for (blocks, all) in runs(noise, arms, order, 15_000 / (arms as u64 - 1).min(4)) {
        let measured = rounds(&blocks, &all);
        for of_arm in &all {
            let test = signed_rank(&of_arm[..measured]);
            calls += usize::from(test.p_greater <= 0.01) + usize::from(test.p_less <= 0.01);
            expected += 2.0 * levels[measured];
        }
    }
    f64::from(calls as u32) / expected
}

fn twelve(_: &[f64], _: &[Vec<f64>]) -> usize {
    12
}

fn every_noise() -> impl Iterator<Item = Noise> {
    [0.3, 0.6, 0.9].map(Noise::Remembered).into_iter().chain([Noise::Bursts]).chain((2..=8).map(Noise::Period))
}

#[test]
fn noise_on_blocks_keeps_the_level_whatever_its_shape() {
    assert_eq!(level(12), 33.0 / 4096.0);
    for noise in every_noise() {
        let over = false_calls_over_nominal(noise, 2, as_the_code_draws_it, twelve);
        println!("{noise:?}: {over:.2} of the nominal level");
        assert!((0.8..=1.2).contains(&over), "{noise:?}: {over:.2} of the nominal level");
    }
}

#[test]
fn each_of_many_arms_keeps_the_level() {
    for arms in [3, 5, 8] {
        for noise in [Noise::Remembered(0.6), Noise::Remembered(0.9), Noise::Bursts, Noise::Period(3), Noise::Period(5), Noise::Period(8)] {
            let over = false_calls_over_nominal(noise, arms, as_the_code_draws_it, twelve);
            println!("{arms} arms, {noise:?}: {over:.2} of the nominal level");
            assert!((0.8..=1.2).contains(&over), "{arms} arms, {noise:?}: {over:.2} of the nominal level");
        }
    }
}

/// Runs, of so many, in which Holm's procedure over all arms calls any of those that equal the baseline slower. The last arm is slower by `effect`,
/// a log ratio; also how often it is found.
fn called_of_many(arms: usize, effect: f64, many: u64) -> (u64, u64) {
    let rounds = Stopping::new(Mode::Quick, arms - 1).least() as usize;
    let (mut wrong, mut found) = (0, 0);
    for (_, mut all) in runs(Noise::Remembered(0.6), arms, as_the_code_draws_it, many) {
        if effect > 0.0 {
            all.iter_mut().last().into_iter().flatten().for_each(|difference| *difference += effect);
        }
        let p: Vec<f64> = all.iter().map(|of_arm| signed_rank(&of_arm[..rounds]).p_greater).collect();
        let slower: Vec<bool> = holm(&p, 0.01).iter().map(|step| step.rejected).collect();
        let equal = if effect > 0.0 { arms - 2 } else { arms - 1 };
        wrong += u64::from(slower[..equal].contains(&true));
        found += u64::from(effect > 0.0 && slower[arms - 2]);
    }
    (wrong, found)
}

#[test]
fn no_arm_of_many_is_called_slower_more_than_once_in_a_hundred_runs() {
    for arms in [2, 3, 5, 8] {
        let many = 6_000;
        let (wrong, _) = called_of_many(arms, 0.0, many);
        let (beside, _) = called_of_many(arms.max(3), 0.3, many);
        println!("{arms} arms: any called slower in {wrong} of {many} runs without an effect, and in {beside} beside one that is");
        for wrong in [wrong, beside] {
            let least = 1.0 - clopper_pearson_upper(many - wrong, many, 0.99);
            assert!(least <= 0.01, "{arms} arms: {wrong} of {many}");
        }
    }
}

#[test]
fn a_third_slower_arm_is_seen_among_many() {
    for arms in [2, 3, 5, 8] {
        let many = 1_000;
        let (_, found) = called_of_many(arms, 1.3_f64.ln(), many);
        println!("{arms} arms: +30% found in {found} of {many} runs at a spread of {SPREAD}");
        // Each arm more makes the level stricter.
        let least = match arms {
            2 => 95,
            3 => 90,
            5 => 85,
            _ => 75,
        };
        assert!(found * 100 >= many * least, "{arms} arms: {found} of {many}");
    }
}

#[test]
fn a_run_that_goes_on_for_its_width_keeps_the_level_too() {
    for noise in [Noise::Remembered(0.6), Noise::Bursts, Noise::Period(2), Noise::Period(5)] {
        let (mut twelve, mut more) = (0, 0);
        let over = false_calls_over_nominal(noise, 2, as_the_code_draws_it, |blocks, differences| {
            let rounds = rounds_of_a_quick_run(blocks, differences);
            *if rounds == 12 { &mut twelve } else { &mut more } += 1;
            rounds
        });
        println!("{noise:?}: {over:.2} of the nominal level; {twelve} runs of twelve rounds, {more} of more");
        assert!((0.8..=1.2).contains(&over), "{noise:?}: {over:.2} of the nominal level");
        assert!(twelve > 1_000 && more > 1_000, "{noise:?}: {twelve} runs of twelve rounds, {more} of more");
    }
}

#[test]
fn quads_would_not_keep_it() {
    let over = [Noise::Bursts, Noise::Period(4), Noise::Period(5)].map(|noise| false_calls_over_nominal(noise, 2, in_quads, twelve));
    println!("{over:.2?} of the nominal level");
    assert!(over.iter().all(|over| *over > 1.3), "{over:?}");
}

#[test]
fn balanced_squares_would_not_keep_it_either() {
    let over = [Noise::Bursts, Noise::Remembered(0.9), Noise::Period(5), Noise::Period(8)]
        .map(|noise| false_calls_over_nominal(noise, 3, in_squares, twelve));
    println!("{over:.2?} of the nominal level");
    assert!(over.iter().any(|over| *over > 1.2), "{over:?}");
}

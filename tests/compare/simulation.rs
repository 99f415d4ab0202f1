//! How often the judge is wrong, and how often it sees what is there: whole records of made-up runs, seeded.
//! `PGDUEL_SIMULATED_RUNS` takes more of them than a test has time for.

use pgduel::compare::{Gate, Outcome, Verdict, compare};
use pgduel::record::Sides;
use pgduel::stats::clopper_pearson_upper;

use crate::records::{Depth, Made, Statement, made, run};

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

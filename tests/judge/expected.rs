//! Expectations of a scenario, a transaction and a statement, of all quantities or of one.

use pgduel::judge::{Comparison, Outcome, Quantity, ScenarioComparison, Standing, StatedQuantity, Verdict, compare};
use pgduel::record::{Arms, Expect, Expectation, Line, QuantityExpectations, Record, ScenarioRecord};

use crate::records::{Made, Statement, WORK, made, run};

use Expectation::{Improved, Regressed, Unchanged};

/// What came of the only expectation that is stated; `None` also where none is.
pub fn met(scenario: &ScenarioComparison) -> Option<bool> {
    assert!(scenario.expectations.len() < 2, "{:#?}", scenario.expectations);
    scenario.expectations.first().and_then(|stated| stated.met)
}

fn p50(expected: Expectation) -> Expect {
    Expect::Quantities(QuantityExpectations { p50: Some(expected), ..Default::default() })
}

fn p95(expected: Expectation) -> Expect {
    Expect::Quantities(QuantityExpectations { p95: Some(expected), ..Default::default() })
}

/// Two statements, the first and the second so many times as slow after as before.
fn two(first: f64, second: f64) -> Made {
    let statement = |name, ratio| Statement { name, median_ns: 2e6, ratio };
    Made { before: vec![statement("first", first), statement("second", second)], ..made("two", 1.0) }
}

/// The record of a run whose scenario states more than the generator can.
fn stating(made: Made, state: impl FnOnce(&mut ScenarioRecord)) -> Record {
    let mut record = run(3, &[made]);
    let scenario = record.lines.iter_mut().find_map(|line| match line {
        Line::Scenario(scenario) => Some(scenario),
        _ => None,
    });
    state(scenario.expect("a scenario"));
    record
}

/// The same on all arms, as a file states it.
fn of_statement(scenario: &mut ScenarioRecord, at: usize, expect: Expect) {
    let statements = &mut scenario.transactions[0].statements;
    for statement in [&mut statements.baseline[at], &mut statements.others[0][at]] {
        (statement.expect, statement.expect_why) = (Some(expect.clone()), Some("made up".into()));
    }
}

fn standings(comparison: &Comparison) -> Vec<(String, Verdict, Option<Standing>)> {
    let gated = comparison.scenarios[0].metrics.iter().filter(|metric| metric.gate == pgduel::judge::Gate::Gated);
    gated.map(|metric| (format!("{} {}", metric.subject(), metric.quantity.name()), metric.verdict, metric.standing)).collect()
}

#[test]
fn a_regression_of_a_statement_excuses_no_other() {
    let of_first = |scenario: &mut ScenarioRecord| of_statement(scenario, 0, Expect::Verdict(Regressed));
    let one = compare(&stating(two(1.5, 1.0), of_first));
    assert_eq!((one.outcome, met(&one.scenarios[0])), (Outcome::Passed, Some(true)), "{:#?}", standings(&one));
    let first: Vec<_> = standings(&one).into_iter().filter(|(name, ..)| name.starts_with("fetch/first")).collect();
    assert_eq!(first[0], ("fetch/first p50".into(), Verdict::Regressed, Some(Standing::Expected)));
    assert_eq!(first[1], ("fetch/first p95".into(), Verdict::Regressed, Some(Standing::Expected)), "the word covers it");

    let both = compare(&stating(two(1.5, 1.5), of_first));
    assert_eq!(
        (both.outcome, met(&both.scenarios[0])),
        (Outcome::Surprise, Some(true)),
        "the second statement's is none that was expected"
    );
    let surprises: Vec<String> =
        standings(&both).into_iter().filter(|(.., standing)| *standing == Some(Standing::Surprise)).map(|(name, ..)| name).collect();
    assert_eq!(surprises, ["fetch/second p50", "fetch/second p95"]);

    let covered = compare(&stating(two(1.5, 1.5), |scenario| scenario.expect = Some(Expect::Verdict(Regressed))));
    assert_eq!(covered.outcome, Outcome::Passed, "what is stated of the scenario covers all of it");
}

#[test]
fn the_nearest_expectation_speaks() {
    let of_transaction = |scenario: &mut ScenarioRecord, expect| scenario.transactions[0].expect = Some(Expect::Verdict(expect));
    let inner_and_outer = compare(&stating(two(1.5, 0.5), |scenario| {
        of_transaction(scenario, Improved);
        of_statement(scenario, 0, Expect::Verdict(Regressed));
    }));
    let all: Vec<Option<bool>> = inner_and_outer.scenarios[0].expectations.iter().map(|stated| stated.met).collect();
    assert_eq!((inner_and_outer.outcome, all), (Outcome::Passed, vec![Some(true), Some(true)]), "the transaction's is of the other one");

    let outer = compare(&stating(two(1.5, 0.5), |scenario| of_transaction(scenario, Improved)));
    assert_eq!((outer.outcome, met(&outer.scenarios[0])), (Outcome::Surprise, Some(false)));

    let over_the_scenario = compare(&stating(two(1.5, 1.5), |scenario| {
        scenario.expect = Some(Expect::Verdict(Improved));
        of_transaction(scenario, Regressed);
    }));
    let all: Vec<Option<bool>> = over_the_scenario.scenarios[0].expectations.iter().map(|stated| stated.met).collect();
    assert_eq!((over_the_scenario.outcome, all), (Outcome::Passed, vec![None, Some(true)]), "nothing is left for the scenario's to tell");
}

#[test]
fn a_quantity_that_is_named_covers_no_other() {
    let cases = [
        (1.5, p50(Regressed), Some(true), Outcome::Surprise, "p95"),
        (1.5, p95(Regressed), Some(true), Outcome::Surprise, "p50"),
        (0.5, p95(Regressed), Some(false), Outcome::Surprise, "p95"),
        (0.5, p50(Unchanged), Some(false), Outcome::Surprise, "p50"),
        (0.5, p95(Improved), Some(true), Outcome::Passed, ""),
        (0.5, p50(Improved), Some(true), Outcome::Passed, ""),
    ];
    for (ratio, expect, wanted, outcome, surprise) in cases {
        let comparison = compare(&stating(made("one", ratio), |scenario| of_statement(scenario, 0, expect.clone())));
        assert_eq!((met(&comparison.scenarios[0]), comparison.outcome), (wanted, outcome), "{ratio} {expect:?}");
        for (name, _, standing) in standings(&comparison) {
            assert_eq!(standing == Some(Standing::Surprise), !surprise.is_empty() && name.ends_with(surprise), "{ratio} {expect:?} {name}");
        }
    }
    let both = Expect::Quantities(QuantityExpectations { p50: Some(Regressed), p95: Some(Regressed), processor: None });
    let comparison = compare(&stating(made("one", 1.5), |scenario| of_statement(scenario, 0, both)));
    let all = &comparison.scenarios[0].expectations;
    assert_eq!(comparison.outcome, Outcome::Passed);
    assert_eq!(
        all.iter().map(|stated| (stated.quantity, stated.met)).collect::<Vec<_>>(),
        [(Some(StatedQuantity::P50), Some(true)), (Some(StatedQuantity::P95), Some(true))]
    );
    let of = |quantity| comparison.scenarios[0].metrics.iter().find(|one| one.quantity == quantity && one.statement.is_some()).unwrap();
    let speaking = comparison.scenarios[0].expectation_of(of(Quantity::ServiceP95)).unwrap();
    assert_eq!((speaking.quantity, speaking.why.as_deref()), (Some(StatedQuantity::P95), Some("made up")));
}

/// A quantity that the nearest one does not name is left to the next one outwards.
#[test]
fn what_is_not_named_is_left_to_the_next_one() {
    let comparison = compare(&stating(made("one", 1.5), |scenario| {
        scenario.expect = Some(Expect::Verdict(Regressed));
        of_statement(scenario, 0, p95(Regressed));
    }));
    let all: Vec<_> = comparison.scenarios[0].expectations.iter().map(|stated| stated.met).collect();
    assert_eq!((comparison.outcome, all), (Outcome::Passed, vec![Some(true), Some(true)]));
}

#[test]
fn an_inconclusive_quantity_contradicts_nothing() {
    for expect in [p50(Regressed), p95(Improved), p95(Unchanged)] {
        let noisy = Made { spread: 0.4, ..made("noisy", 1.0) };
        let comparison = compare(&stating(noisy, |scenario| of_statement(scenario, 0, expect.clone())));
        assert_eq!((met(&comparison.scenarios[0]), comparison.outcome), (None, Outcome::Inconclusive), "{expect:?}");
    }
}

/// Few transactions of fixed work have a median, and no 95th percentile.
#[test]
fn p50_is_the_median_of_fixed_work() {
    let samples = Arms::two(30, 30);
    let work = || Made { arrivals: WORK, samples: samples.clone(), ..made("work", 1.5) };
    let comparison = compare(&stating(work(), |scenario| of_statement(scenario, 0, p50(Regressed))));
    assert_eq!((comparison.outcome, met(&comparison.scenarios[0])), (Outcome::Passed, Some(true)));
    let comparison = compare(&stating(work(), |scenario| of_statement(scenario, 0, p95(Regressed))));
    assert_eq!((comparison.outcome, met(&comparison.scenarios[0])), (Outcome::Surprise, None));
}

#[test]
fn nothing_is_expected_of_a_variant_against_itself() {
    let mut record = stating(two(1.0, 1.0), |scenario| {
        scenario.transactions[0].expect = Some(Expect::Verdict(Improved));
        of_statement(scenario, 0, p95(Regressed));
    });
    record.header.aa = true;
    let comparison = compare(&record);
    assert_eq!((comparison.outcome, comparison.scenarios[0].expectations.len()), (Outcome::Passed, 0));
}

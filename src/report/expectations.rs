//! What was expected, and what came of it, in words.

use crate::judge::{ScenarioComparison, StatedExpectation};
use crate::record::{Expectation, StopReason};

use super::view::ExpectationView;
use super::words;

/// A stated expectation, after "expected".
pub fn expected_to(expectation: Expectation) -> &'static str {
    match expectation {
        Expectation::Improved => "to improve",
        Expectation::Regressed => "to regress",
        Expectation::Unchanged => "to stay the same",
    }
}

/// What an expectation is about: `fetch/history p95`; empty where it is about the whole scenario.
pub fn subject(stated: &StatedExpectation) -> String {
    let of = match (&stated.transaction, &stated.statement) {
        (Some(transaction), Some(statement)) => format!("{transaction}/{statement}"),
        (Some(transaction), None) => transaction.clone(),
        (None, _) => String::new(),
    };
    match stated.quantity {
        Some(quantity) => format!("{of} {}", quantity.name()).trim_start().to_owned(),
        None => of,
    }
}

/// What came of each expectation, in the order of the file; nothing where nothing was to be timed.
pub fn all(scenario: &ScenarioComparison) -> Vec<ExpectationView> {
    if scenario.stop == StopReason::ChecksOnly {
        return Vec::new();
    }
    let stated_together = |one: &StatedExpectation, other: &StatedExpectation| {
        (one.arm, &one.transaction, &one.statement) == (other.arm, &other.transaction, &other.statement)
    };
    let excuses = |stated: &[StatedExpectation]| {
        let regressed = scenario.metrics.iter().filter(|metric| words::expected_regression(metric));
        regressed.filter_map(|metric| scenario.expectation_of(metric)).any(|speaking| stated.contains(speaking))
    };
    let several = scenario.scenario.arms.count() > 2;
    let of = |stated: &[StatedExpectation]| match stated.first() {
        Some(first) if several => format!("On {}: ", scenario.scenario.arm_name(first.arm)),
        _ => String::new(),
    };
    let view = |stated: &[StatedExpectation]| ExpectationView {
        text: format!("{}{}", of(stated), sentences(stated)),
        contradicted: stated.iter().any(|one| one.met == Some(false)),
        excuses: excuses(stated),
    };
    scenario.expectations.chunk_by(stated_together).map(view).collect()
}

/// What came of what stands in one place of the file, with the reason that is given there.
fn sentences(stated: &[StatedExpectation]) -> String {
    let mut text = String::new();
    for alike in stated.chunk_by(|one, other| (one.expect, one.met) == (other.expect, other.met)) {
        let Some(first) = alike.first() else { continue };
        // `fetch/history p50 and p95`
        let more = alike.iter().skip(1).filter_map(|other| other.quantity).map(|quantity| format!(" and {}", quantity.name()));
        let subject = format!("{}{}", subject(first), more.collect::<String>());
        let expected = if subject.is_empty() { "Expected".to_owned() } else { format!("{subject}: expected") };
        let came = match first.met {
            Some(true) => "and so it came out",
            Some(false) => "but this run contradicts it",
            None => "but this run cannot tell",
        };
        text.push_str(&format!("{expected} {}, {came}. ", expected_to(first.expect)));
    }
    if let Some(why) = stated.first().and_then(|one| one.why.as_deref()) {
        text.push_str(&format!("Reason given: {why}"));
    }
    text.trim_end().to_owned()
}

//! Records that no run should leave, and expectations that only some metrics bear out.

use pgduel::judge::{Comparison, Gate, Outcome, Verdict, compare, precision};
use pgduel::record::{
    Accounting, Arm, Arms, Arrivals, BlockPurpose, BlockRecord, Discard, Expectation, Histogram, Line, Mode, Record, StopReason,
};

use crate::expected::met;
use crate::records::{Machine, Made, Statement, made, run, scenario, times};

fn edit(mut record: Record, mut change: impl FnMut(&mut BlockRecord)) -> Record {
    record.lines.iter_mut().for_each(|line| {
        if let Line::Block(block) = line {
            change(block);
        }
    });
    record
}

fn without(mut record: Record, unwanted: fn(&Line) -> bool) -> Record {
    record.lines.retain(|line| !unwanted(line));
    record
}

fn warns(comparison: &Comparison, word: &str) -> bool {
    comparison.scenarios.iter().flat_map(|one| &one.warnings).any(|warning| warning.contains(word))
}

#[test]
fn nothing_at_all_is_invalid() {
    assert_eq!(compare(&run(1, &[])).outcome, Outcome::Invalid);
    let mut nothing = run(1, &[]);
    nothing.lines.clear();
    assert_eq!(compare(&nothing).outcome, Outcome::Interrupted);
}

#[test]
fn blocks_without_their_scenario_are_invalid() {
    let comparison = compare(&without(run(1, &[made("lost", 0.5)]), |line| matches!(line, Line::Scenario(_))));
    assert_eq!(comparison.outcome, Outcome::Invalid);
    assert!(warns(&comparison, "no line that describes it"));
}

#[test]
fn a_killed_run_is_interrupted() {
    let killed = without(run(1, &[made("killed", 0.5)]), |line| matches!(line, Line::End(_) | Line::ScenarioEnd(_)));
    assert_eq!(compare(&killed).outcome, Outcome::Interrupted);
}

#[test]
fn one_side_only_is_no_pair() {
    let comparison = compare(&without(run(1, &[made("half", 0.5)]), |line| matches!(line, Line::Block(one) if one.arm == Arm::at(1))));
    let rounds = &comparison.scenarios[0].rounds;
    assert_eq!((rounds.kept, rounds.discarded, comparison.outcome), (0, 12, Outcome::Invalid));
    assert!(rounds.reasons.contains_key("not every block of the round was finished"), "{rounds:?}");
}

#[test]
fn a_pair_cut_short_by_the_budget_does_not_make_a_run_invalid() {
    let record = run(1, &[Made { pairs: 10, stop: StopReason::Budget, ..made("cut", 0.5) }]);
    let cut = edit(record, |block| {
        if block.round >= 7 {
            block.discard = Some(Discard::Interrupted);
        }
    });
    let comparison = compare(&cut);
    assert_eq!((comparison.scenarios[0].rounds.kept, comparison.scenarios[0].rounds.discarded), (7, 3));
    assert_ne!(comparison.outcome, Outcome::Invalid);
}

#[test]
fn no_pair_within_the_budget_is_inconclusive() {
    let comparison = compare(&run(1, &[Made { pairs: 0, stop: StopReason::Budget, ..made("late", 0.5) }]));
    assert_eq!(comparison.outcome, Outcome::Inconclusive);
    assert!(warns(&comparison, "inconclusive (budget)"));
}

#[test]
fn a_pair_number_used_twice_makes_two_pairs() {
    let mut record = run(1, &[Made { pairs: 6, ..made("twice", 0.5) }]);
    let again = run(2, &[Made { pairs: 6, ..made("twice", 0.5) }]);
    record.lines.extend(again.lines.into_iter().filter(|line| matches!(line, Line::Block(_))));
    assert_eq!(compare(&record).scenarios[0].rounds.kept, 12);
}

#[test]
fn counts_that_do_not_add_up_are_invalid_even_beyond_64_bits() {
    let lost = |accounting| compare(&edit(run(1, &[made("lost", 0.5)]), move |block| block.accounting = accounting));
    for accounting in
        [Accounting { scheduled: 10, ok: 9, ..Default::default() }, Accounting { ok: u64::MAX, error: u64::MAX, ..Default::default() }]
    {
        let comparison = lost(accounting);
        assert_eq!(comparison.outcome, Outcome::Invalid);
        assert!(warns(&comparison, "lost count"));
    }
}

#[test]
fn failures_and_unfinished_transactions_are_told() {
    let record = edit(run(1, &[made("failing", 0.5)]), |block| {
        if block.arm == Arm::at(1) {
            block.accounting = Accounting { scheduled: 420, ok: 400, error: 19, dropped: 0, in_flight: 1, ..Accounting::default() };
            block.errors.insert("57014".into(), times(1e8, 1.0, 19));
        }
    });
    let comparison = compare(&record);
    assert!(warns(&comparison, "4.8% of the transactions failed or had no answer on after"), "{:?}", comparison.scenarios[0].warnings);
    assert!(warns(&comparison, "12 transactions on after had not finished"));
    assert_eq!(comparison.scenarios[0].errors["57014"], Arms::two(0, 19 * 12));
}

#[test]
fn whoever_fails_is_not_called_improved() {
    let failing = |ratio: f64, before: u64, after: u64| {
        compare(&edit(run(1, &[made("failing", ratio)]), move |block| {
            let error = if block.arm == Arm::at(1) { after } else { before };
            block.accounting = Accounting { scheduled: 400 + error, ok: 400, error, dropped: 0, in_flight: 0, ..Accounting::default() };
        }))
    };
    let verdict = |comparison: &Comparison| comparison.scenarios[0].metrics[0].verdict;
    assert_eq!((failing(0.5, 0, 0).outcome, verdict(&failing(0.5, 0, 0))), (Outcome::Passed, Verdict::Improved));
    // A few failures, as deadlocks are, decide nothing.
    assert_eq!(verdict(&failing(0.5, 0, 2)), Verdict::Improved);
    let worse = failing(0.5, 0, 100);
    assert_eq!((worse.outcome, verdict(&worse)), (Outcome::Surprise, Verdict::Inconclusive));
    assert_eq!(worse.outcome.exit_code(false), 1);
    assert_eq!(failing(0.5, 10, 100).outcome, Outcome::Surprise);
    assert_eq!(failing(0.5, 100, 100).outcome, Outcome::Invalid);
    // What the baseline loses makes the candidate no slower.
    let mended = failing(2.0, 100, 0);
    assert_eq!(verdict(&mended), Verdict::Inconclusive);
    assert_eq!(verdict(&failing(0.5, 100, 0)), Verdict::Improved);
}

/// A run whose after side takes half the time, with so many failures of this kind in each block.
fn failing_by(code: &str, failures: impl Fn(&BlockRecord) -> u64) -> Comparison {
    compare(&edit(run(1, &[made("failing", 0.5)]), |block| {
        let error = failures(block);
        block.accounting = Accounting { scheduled: 400 + error, ok: 400, error, ..Accounting::default() };
        block.errors.insert(code.to_owned(), times(1e6, 1.0, error));
    }))
}

#[test]
fn failures_on_either_arm_alike_are_no_regression() {
    // 1.1% on the arm, 0.9% on the baseline; half of the pairs lean each way.
    let alike = failing_by("XX000", |block| match (block.arm.is_baseline(), block.round % 2) {
        (false, 0) => 6,
        (false, _) => 3,
        (true, 0) => 2,
        (true, _) => 5,
    });
    assert_eq!((alike.outcome, alike.scenarios[0].metrics[0].verdict), (Outcome::Inconclusive, Verdict::Inconclusive));
    assert!(warns(&alike, "not in more rounds than chance would make it"), "{:?}", alike.scenarios[0].warnings);
    // One of twelve blocks, as with fixed work of few transactions.
    let once = failing_by("XX000", |block| if block.arm == Arm::at(1) && block.round == 3 { 100 } else { 0 });
    assert_eq!((once.outcome, once.scenarios[0].metrics[0].verdict), (Outcome::Inconclusive, Verdict::Inconclusive));
    let seven = failing_by("XX000", |block| if block.arm == Arm::at(1) && block.round < 7 { 20 } else { 0 });
    assert_eq!(seven.outcome, Outcome::Inconclusive);
    let eight = failing_by("XX000", |block| if block.arm == Arm::at(1) && block.round < 8 { 20 } else { 0 });
    assert_eq!(eight.outcome, Outcome::Surprise);
}

#[test]
fn timeouts_and_conflicts_on_both_sides_are_the_loads_and_refusals_the_scenarios() {
    for code in ["40001", "40P01", "55P03", "57014"] {
        let comparison = failing_by(code, |_| 10);
        assert_eq!(
            (comparison.outcome, comparison.scenarios[0].metrics[0].verdict),
            (Outcome::Inconclusive, Verdict::Inconclusive),
            "{code}"
        );
        assert!(warns(&comparison, "after and the baseline fail, by timeouts and conflicts"), "{:?}", comparison.scenarios[0].warnings);
    }
    for code in ["23505", "XX000", "connection"] {
        assert_eq!(failing_by(code, |_| 10).outcome, Outcome::Invalid, "{code}");
    }
    let waited = compare(&edit(run(1, &[made("waiting", 0.5)]), |block| {
        block.accounting = Accounting { scheduled: 410, ok: 400, acquire_timeouts: 10, ..Accounting::default() };
    }));
    assert_eq!(waited.outcome, Outcome::Inconclusive);
}

#[test]
fn what_was_never_answered_is_a_failure() {
    let hanging = compare(&edit(run(1, &[made("hanging", 0.5)]), |block| {
        let in_flight = if block.arm == Arm::at(1) { 10 } else { 0 };
        block.accounting = Accounting { scheduled: 400, ok: 400 - in_flight, in_flight, ..Accounting::default() };
    }));
    assert_eq!((hanging.outcome, hanging.scenarios[0].metrics[0].verdict), (Outcome::Surprise, Verdict::Inconclusive));
}

#[test]
fn a_side_that_never_answers_cannot_pass() {
    let record = edit(run(1, &[made("mute", 0.5)]), |block| {
        if block.arm == Arm::at(1) {
            block.statements.values_mut().for_each(Histogram::clear);
            block.transactions.clear();
        }
    });
    let comparison = compare(&record);
    assert_eq!(comparison.outcome, Outcome::Inconclusive);
    assert!(warns(&comparison, "has no sample on after"));
    let metric = &comparison.scenarios[0].metrics[0];
    assert!(metric.gate == Gate::Gated && metric.ratio.is_none() && metric.rounds == 0);
    assert!(serde_json::to_string(&comparison).is_ok());
}

#[test]
fn a_statement_that_some_blocks_lack_rests_on_fewer_pairs() {
    let record = edit(run(1, &[made("gaps", 0.5)]), |block| {
        if block.round == 3 {
            block.statements.clear();
        }
    });
    assert_eq!(compare(&record).scenarios[0].metrics[0].rounds, 11);
}

#[test]
fn margins_without_sense_decide_nothing() {
    let mut record = run(1, &[made("margins", 3.0)]);
    for line in &mut record.lines {
        if let Line::Scenario(one) = line {
            one.margins.p50 = f64::NAN;
            one.margins.p95 = -1.0;
        }
    }
    assert_eq!(compare(&record).outcome, Outcome::Inconclusive);
}

#[test]
fn mixed_kinds_of_blocks_are_not_compared_with_each_other() {
    let record = edit(run(1, &[made("mixed", 0.5)]), |block| {
        if block.round == 4 {
            block.load.arrivals = Arrivals::Work { transactions: 1 };
        }
        if block.round == 5 {
            block.purpose = BlockPurpose::Capacity;
        }
    });
    let rounds = &compare(&record).scenarios[0].rounds;
    assert_eq!((rounds.kept, rounds.discarded), (10, 1));
}

/// Two statements with these ratios, and one that is too noisy to tell.
fn two(first: f64, second: f64, expect: Expectation) -> Made {
    let statement = |name, ratio| Statement { name, median_ns: 2e6, ratio };
    Made { before: vec![statement("first", first), statement("second", second)], expect: Some(expect), ..made("two", 1.0) }
}

#[test]
fn expectations_over_several_statements() {
    use Expectation::{Improved, Regressed, Unchanged};
    let cases = [
        (0.5, 1.0, Improved, Some(true), Outcome::Passed),
        (0.5, 1.5, Improved, Some(false), Outcome::Surprise),
        (1.0, 1.0, Improved, Some(false), Outcome::Surprise),
        (1.5, 1.0, Regressed, Some(true), Outcome::Passed),
        (1.0, 1.0, Regressed, Some(false), Outcome::Surprise),
        (1.0, 1.0, Unchanged, Some(true), Outcome::Passed),
        (0.5, 1.0, Unchanged, Some(false), Outcome::Surprise),
        (1.5, 1.0, Unchanged, Some(false), Outcome::Surprise),
    ];
    for (first, second, expect, wanted, outcome) in cases {
        let comparison = compare(&run(3, &[two(first, second, expect)]));
        assert_eq!((met(&comparison.scenarios[0]), comparison.outcome), (wanted, outcome), "{first} {second} {expect:?}");
    }
}

#[test]
fn what_is_inconclusive_never_contradicts() {
    for expect in [Expectation::Improved, Expectation::Regressed, Expectation::Unchanged] {
        let noisy = Made { spread: 0.4, expect: Some(expect), ..made("noisy", 1.0) };
        let comparison = compare(&run(4, &[noisy]));
        assert_eq!(comparison.scenarios[0].metrics[0].verdict, Verdict::Inconclusive);
        assert_eq!((met(&comparison.scenarios[0]), comparison.outcome), (None, Outcome::Inconclusive), "{expect:?}");
    }
}

#[test]
fn precision_grows_with_pairs_and_shrinks_with_metrics() {
    let made = Made { spread: 0.03, ..made("precise", 0.1) };
    let mut machine = Machine::new(7);
    let both = |machine: &mut Machine, pair| [Arm::BASELINE, Arm::at(1)].map(|side| machine.block(&made, pair, side));
    let blocks: Vec<BlockRecord> = (0..60).flat_map(|pair| both(&mut machine, pair)).collect();
    let at = |pairs: usize, metrics| precision(&blocks[..pairs * 2], &scenario(&made), metrics);
    assert_eq!(at(0, 2).kept_pairs, 0);
    assert!(!at(0, 2).is_enough(Mode::Default) && !at(4, 2).is_enough(Mode::Default));
    assert_eq!(at(4, 2).widest_half_width_over_margin, f64::INFINITY);
    assert!(!at(16, 2).is_enough(Mode::Default), "{:?}", at(16, 2));
    assert!(at(60, 2).is_enough(Mode::Default), "{:?}", at(60, 2));
    // A first look is content with 15%, whatever the margin.
    assert!(!at(6, 2).is_enough(Mode::Quick) && at(12, 2).is_enough(Mode::Quick), "{:?}", at(12, 2));
    assert!(at(12, 2).widest_half_width <= 1.15f64.ln() && !at(12, 2).is_enough(Mode::Default));
    assert_eq!((at(60, 2).kept_pairs, at(60, 2).gated_metrics), (60, 2));
    assert!(at(60, 40).widest_half_width_over_margin > at(60, 2).widest_half_width_over_margin);
    // Its own metrics are the least that it counts.
    assert_eq!(at(60, 0), at(60, 2));
}

#[test]
fn precision_is_blind_to_the_effect() {
    let widths = [0.2, 1.0, 3.0].map(|ratio| {
        let made = Made { spread: 0.05, ..made("blind", ratio) };
        let mut machine = Machine::new(8);
        let blocks: Vec<BlockRecord> =
            (0..16).flat_map(|pair| [Arm::BASELINE, Arm::at(1)].map(|side| machine.block(&made, pair, side))).collect();
        precision(&blocks, &scenario(&made), 2).widest_half_width_over_margin
    });
    // The same noise, up to the buckets of a histogram.
    assert!(widths.iter().all(|width| (width / widths[0] - 1.0).abs() < 0.05), "{widths:?}");
}

#[test]
fn other_scenarios_and_odd_blocks_do_not_make_it_precise() {
    let made = made("one", 1.0);
    let mut block = Machine::new(9).block(&made, 0, Arm::BASELINE);
    assert!(!precision(&[block.clone()], &scenario(&made), 1).is_enough(Mode::Default));
    block.scenario = "another".into();
    assert_eq!(precision(&[block.clone(), block], &scenario(&made), 1).kept_pairs, 0);
}

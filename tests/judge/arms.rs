//! More than two arms: each is judged against the baseline, by its own pairs.

use std::collections::BTreeMap;

use pgduel::judge::{Comparison, Gate, Outcome, Quantity, Standing, Unranked, Verdict, compare};
use pgduel::record::{Accounting, Arm, BlockRecord, Discard, Expect, Expectation, Line, Record};

use crate::records::{Made, made, run, times};

const AFTER: usize = 1;
const THIRD: usize = 2;

fn three(after: f64, third: f64) -> Made {
    Made { more: vec![third], pairs: 14, ..made("three", after) }
}

/// The median of an arm's statement.
fn median(comparison: &Comparison, arm: usize) -> (Verdict, u32, Option<Standing>) {
    let found = comparison.scenarios[0]
        .metrics
        .iter()
        .find(|metric| metric.arm == Arm::at(arm) && metric.quantity == Quantity::ServiceP50 && metric.gate == Gate::Gated);
    let metric = found.expect("it is gated");
    (metric.verdict, metric.rounds, metric.standing)
}

fn edited(made: Made, mut edit: impl FnMut(&mut BlockRecord)) -> Comparison {
    let mut record = run(31, &[made]);
    for line in &mut record.lines {
        if let Line::Block(block) = line {
            edit(block);
        }
    }
    compare(&record)
}

fn expecting(mut record: Record, expect: Expect) -> Comparison {
    for line in &mut record.lines {
        if let Line::Scenario(scenario) = line {
            scenario.expect = Some(expect.clone());
        }
    }
    compare(&record)
}

#[test]
fn each_arm_has_a_verdict_of_its_own() {
    let comparison = compare(&run(31, &[three(0.5, 1.3)]));
    assert_eq!(median(&comparison, AFTER), (Verdict::Improved, 14, None));
    assert_eq!(median(&comparison, THIRD), (Verdict::Regressed, 14, Some(Standing::Surprise)));
    // A median and a 95th percentile of each, in one family; the baseline has no metrics.
    assert_eq!((comparison.gated_metrics, comparison.outcome), (4, Outcome::Surprise));
    let scenario = &comparison.scenarios[0];
    assert!(scenario.metrics.iter().all(|metric| !metric.arm.is_baseline()));
    assert_eq!((scenario.rounds.kept, scenario.blocks.len(), scenario.versus()), (14, 42, "before → after, third".to_owned()));
}

#[test]
fn what_is_expected_of_one_arm_excuses_no_other() {
    let of_arms = |arms: &[(&str, Expectation)]| {
        Expect::Arms(arms.iter().map(|(arm, expect)| (arm.to_string(), Expect::Verdict(*expect))).collect::<BTreeMap<_, _>>())
    };
    let both_slower = run(31, &[three(1.3, 1.3)]);
    let of_third = expecting(both_slower.clone(), of_arms(&[("third", Expectation::Regressed)]));
    assert_eq!((median(&of_third, AFTER).2, median(&of_third, THIRD).2), (Some(Standing::Surprise), Some(Standing::Expected)));
    let of_all = expecting(both_slower, Expect::Verdict(Expectation::Regressed));
    assert_eq!(of_all.outcome, Outcome::Passed);
    // Each arm is held to what is expected of all.
    let one_faster = expecting(run(31, &[three(0.5, 1.3)]), Expect::Verdict(Expectation::Improved));
    let met: Vec<_> = one_faster.scenarios[0].expectations.iter().map(|stated| (stated.arm.place(), stated.met)).collect();
    assert_eq!((met, one_faster.outcome), (vec![(AFTER, Some(true)), (THIRD, Some(false))], Outcome::Surprise));
}

#[test]
fn a_block_that_is_discarded_takes_its_own_pair_and_the_baselines_all() {
    let discarding = |arm: usize| {
        edited(three(0.5, 1.3), |block| {
            if block.arm == Arm::at(arm) && block.round == 4 {
                block.discard = Some(Discard::Checkpoint);
            }
        })
    };
    let third = discarding(THIRD);
    assert_eq!((median(&third, AFTER).1, median(&third, THIRD).1), (14, 13));
    assert_eq!((third.scenarios[0].rounds.kept, third.scenarios[0].rounds.discarded), (13, 1));
    let hollow: Vec<usize> =
        third.scenarios[0].blocks.iter().filter(|point| point.discarded.is_some()).map(|one| one.arm.place()).collect();
    assert_eq!(hollow, [THIRD], "the baseline's block still counts for the other arm");
    let baseline = discarding(0);
    assert_eq!((median(&baseline, AFTER).1, median(&baseline, THIRD).1), (13, 13));
}

#[test]
fn an_arm_that_fails_takes_back_its_own_verdicts_alone() {
    let comparison = edited(three(0.5, 0.5), |block| {
        if block.arm == Arm::at(THIRD) {
            block.accounting = Accounting { scheduled: 420, ok: 400, error: 20, ..Accounting::default() };
            block.errors.insert("XX000".into(), times(1e6, 1.0, 20));
        }
    });
    assert_eq!((median(&comparison, AFTER).0, median(&comparison, THIRD).0), (Verdict::Improved, Verdict::Inconclusive));
    assert_eq!(comparison.outcome, Outcome::Surprise);
    let shares: Vec<f64> = comparison.scenarios[0].failed_share.values().map(|share| (share * 1000.0).round()).collect();
    assert_eq!(shares, [0.0, 0.0, 48.0]);
    assert!(comparison.scenarios[0].warnings.iter().any(|one| one.contains("failed or had no answer on third")));
}

#[test]
fn discards_that_lean_to_one_arm_are_held_against_it_alone() {
    let comparison = edited(Made { pairs: 24, spread: 0.005, ..three(1.0, 1.0) }, |block| {
        if block.arm == Arm::at(THIRD) && block.round < 9 {
            block.discard = Some(Discard::DiskReads { per_mille: 20 });
        }
    });
    assert_eq!((median(&comparison, AFTER).0, median(&comparison, THIRD).0), (Verdict::Unchanged, Verdict::Inconclusive));
    // What all but one suffered from is the fault of none: it stands at both blocks of a pair.
    let shared = edited(Made { pairs: 24, spread: 0.005, ..three(1.0, 1.0) }, |block| {
        if block.arm != Arm::at(THIRD) && block.round < 10 {
            block.discard = Some(Discard::Checkpoint);
        }
    });
    assert_eq!(median(&shared, AFTER).0, Verdict::Unchanged);
}

#[test]
fn the_best_arm_is_named_with_those_that_cannot_be_told_apart() {
    let best = |made: Made| {
        compare(&run(31, &[made])).scenarios[0]
            .best
            .iter()
            .map(|best| {
                let places = |arms: &[Arm]| arms.iter().map(|arm| arm.place()).collect::<Vec<_>>();
                (best.quantity, best.arm.place(), places(&best.tied), places(&best.slower))
            })
            .collect::<Vec<_>>()
    };
    let clear = best(three(0.5, 1.3));
    assert_eq!(clear[0], (Quantity::ServiceP50, AFTER, vec![], vec![0, THIRD]));
    let (_, arm, tied, slower) = best(Made { spread: 0.03, ..three(0.5, 0.5) })[0].clone();
    assert!([AFTER, THIRD].contains(&arm) && tied == [AFTER + THIRD - arm] && slower == [0], "{arm} {tied:?} {slower:?}");
    assert!(best(Made { more: vec![], ..three(0.5, 1.0) }).is_empty(), "of two arms the verdict says it");
}

#[test]
fn arms_that_are_not_ranked_have_a_reason() {
    let unranked = |comparison: Comparison| {
        let scenario = &comparison.scenarios[0];
        assert!(scenario.best.is_empty(), "{:?}", scenario.best);
        scenario.unranked
    };
    assert_eq!(unranked(compare(&run(31, &[Made { pairs: 9, ..three(0.5, 1.3) }]))), Some(Unranked::Rounds { whole: 9, least: 10 }));
    let failing = edited(three(0.5, 1.3), |block| {
        if block.arm == Arm::at(THIRD) {
            block.accounting =
                Accounting { ok: block.accounting.ok / 2, error: block.accounting.ok - block.accounting.ok / 2, ..block.accounting };
        }
    });
    assert_eq!(unranked(failing), Some(Unranked::Failing));
    let rare = edited(three(0.5, 1.3), |block| {
        if block.arm == Arm::at(THIRD) {
            block.statements.values_mut().for_each(|histogram| *histogram = times(2e6, 1.0, 10));
        }
    });
    assert_eq!(unranked(rare), Some(Unranked::NothingInCommon));
    assert_eq!(unranked(compare(&run(31, &[Made { more: vec![], ..three(0.5, 1.0) }]))), None);
}

/// One block that took ten times as long makes an arm's mean the worst, and it is the fastest all the same.
#[test]
fn an_outlier_does_not_make_the_faster_arm_the_slower_one() {
    let comparison = edited(Made { pairs: 18, spread: 0.005, ..three(0.5, 0.53) }, |block| {
        if block.arm == Arm::at(AFTER) && block.round == 3 {
            block.statements.values_mut().for_each(|histogram| *histogram = times(1e7, 1.0, 420));
        }
    });
    let best = &comparison.scenarios[0].best[0];
    assert_eq!(best.arm, Arm::at(AFTER));
    assert!(!best.slower.contains(&Arm::at(AFTER)));
}

#[test]
fn an_arm_of_which_nothing_is_judged_does_not_pass() {
    // Every round of the third arm is discarded; the other one is unchanged.
    let comparison = edited(Made { pairs: 24, spread: 0.005, ..three(1.0, 1.0) }, |block| {
        if block.arm == Arm::at(THIRD) {
            block.discard = Some(Discard::ServerRestarted);
        }
    });
    assert_eq!(median(&comparison, AFTER).0, Verdict::Unchanged);
    assert_eq!(comparison.outcome, Outcome::Invalid, "rounds of it were wanted");
    let few = edited(Made { pairs: 24, spread: 0.005, ..three(1.0, 1.0) }, |block| {
        if block.arm == Arm::at(THIRD) {
            block.statements.values_mut().for_each(|histogram| *histogram = times(2e6, 1.0, 20));
        }
    });
    assert_eq!((median(&few, AFTER).0, few.outcome), (Verdict::Unchanged, Outcome::Inconclusive));
    assert!(few.scenarios[0].warnings.iter().any(|one| one.starts_with("third: nothing is gated")), "{:?}", few.scenarios[0].warnings);
}

/// Three metrics of each of two arms: a median and a 95th percentile of the statement, and processor time.
#[test]
fn as_many_metrics_are_planned_with_as_arms_have() {
    let of = |more: Vec<f64>| pgduel::judge::most_gated(&crate::records::scenario(&Made { more, ..made("planned", 1.0) }));
    assert_eq!((of(vec![]), of(vec![1.0]), of(vec![1.0, 1.0])), (3, 6, 9));
}

/// Picked as the best of equal arms, none may be called better than another more than once in a hundred runs.
#[test]
fn the_best_of_equal_arms_beats_none() {
    let equal = |seed: u64| Made { more: vec![1.0, 1.0], spread: 0.05, ..made("equal", 1.0) }.at(seed);
    let wrong = (0..300)
        .filter(|seed| equal(*seed).scenarios[0].best.iter().any(|best| best.quantity == Quantity::ServiceP50 && !best.slower.is_empty()))
        .count();
    let least = 1.0 - pgduel::stats::clopper_pearson_upper(300 - wrong as u64, 300, 0.99);
    assert!(least <= 0.01, "{wrong} of 300");
}

impl Made {
    fn at(self, seed: u64) -> Comparison {
        compare(&run(50_000 + seed, &[Made { depth: crate::records::Depth::StatementsOnly, ..self }]))
    }
}

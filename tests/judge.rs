//! Verdicts and exit codes on checked-in records. `PGDUEL_BLESS=1` writes the records anew from the generator.

#[path = "judge/arms.rs"]
mod arms;
#[path = "judge/expected.rs"]
mod expected;
#[path = "judge/odd.rs"]
mod odd;
#[path = "judge/processor.rs"]
mod processor;
#[path = "judge/records.rs"]
mod records;
#[path = "judge/simulation.rs"]
mod simulation;

use std::path::PathBuf;

use pgduel::judge::{Comparison, Gate, Metric, Outcome, Quantity, ScenarioComparison, Verdict, compare};
use pgduel::record::{Arm, Arms, BlockRecord, CheckOutcome, Discard, Expectation, Line, Record, StopReason, Writer, read};

use expected::met;
use records::{Made, Statement, WORK, made, run};

/// The checked-in record of this name, which must be what the generator makes.
fn checked_in(name: &str, fresh: Record) -> Comparison {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/records").join(format!("{name}.jsonl"));
    if std::env::var_os("PGDUEL_BLESS").is_some() {
        let _ = std::fs::remove_file(&path);
        let mut writer = Writer::create(&path).unwrap();
        writer.append(&Line::Header(Box::new(fresh.header.clone()))).unwrap();
        fresh.lines.iter().for_each(|line| writer.append(line).unwrap());
    }
    let stored = read(&path).unwrap_or_else(|error| panic!("{error}; PGDUEL_BLESS=1 writes it"));
    let text = |record: &Record| record.lines.iter().map(|line| serde_json::to_string(line).unwrap()).collect::<Vec<_>>();
    assert_eq!(text(&stored).len(), text(&fresh).len(), "{name}: stale; PGDUEL_BLESS=1 writes it anew");
    for (number, (stored, fresh)) in text(&stored).iter().zip(&text(&fresh)).enumerate() {
        assert!(stored == fresh, "{name}, line {}: stale; PGDUEL_BLESS=1 writes it anew", number + 2);
    }
    compare(&stored)
}

fn only(comparison: &Comparison) -> &ScenarioComparison {
    assert_eq!(comparison.scenarios.len(), 1);
    &comparison.scenarios[0]
}

fn metric<'a>(scenario: &'a ScenarioComparison, statement: Option<&str>, quantity: Quantity) -> &'a Metric {
    let found = scenario.metrics.iter().find(|one| one.statement.as_deref() == statement && one.quantity == quantity);
    found.unwrap_or_else(|| panic!("no {statement:?} {quantity:?} in {:#?}", scenario.metrics))
}

fn history_p50(comparison: &Comparison) -> &Metric {
    metric(only(comparison), Some("history"), Quantity::ServiceP50)
}

fn why(metric: &Metric) -> &str {
    match &metric.gate {
        Gate::Gated => panic!("gated: {metric:#?}"),
        Gate::Shown { why } => why,
    }
}

#[test]
fn ten_times_faster_is_improved_and_passes() {
    let mut ten = made("improved", 0.1);
    ten.expect = Some(Expectation::Improved);
    let comparison = checked_in("improved", run(1, &[ten]));
    let p50 = history_p50(&comparison);
    assert_eq!(p50.verdict, Verdict::Improved);
    let ratio = p50.ratio.unwrap();
    assert!(ratio.lower < 0.1 && 0.1 < ratio.upper && ratio.upper < 0.12, "{ratio:?}");
    assert_eq!((comparison.outcome, met(only(&comparison))), (Outcome::Passed, Some(true)));
    assert_eq!((comparison.gated_metrics, comparison.minimum_rounds), (2, 8));
    assert_eq!(metric(only(&comparison), Some("history"), Quantity::ServiceP95).gate, Gate::Gated);
    assert!(p50.p.1 <= p50.level && p50.p.0 > 0.99);
}

#[test]
fn what_is_not_gated_says_why() {
    let comparison = checked_in("improved", run(1, &[Made { expect: Some(Expectation::Improved), ..made("improved", 0.1) }]));
    let scenario = only(&comparison);
    assert_eq!(why(metric(scenario, None, Quantity::ResponseP99)), "p99 is never gated as a ratio");
    assert!(why(metric(scenario, None, Quantity::ServiceP50)).contains("one by one"));
    assert!(why(metric(scenario, None, Quantity::ResponseP50)).contains("rate"));
    assert!(why(metric(scenario, None, Quantity::AcquireP50)).contains("pool"));
    let gates: Vec<bool> = scenario.metrics.iter().map(|metric| metric.gate == Gate::Gated).collect();
    assert!(gates.is_sorted_by(|a, b| a >= b), "gated metrics come first: {gates:?}");
}

#[test]
fn a_third_slower_is_a_surprise() {
    let comparison = checked_in("regressed", run(2, &[made("regressed", 1.3)]));
    assert_eq!(history_p50(&comparison).verdict, Verdict::Regressed);
    assert_eq!((comparison.outcome, met(only(&comparison))), (Outcome::Surprise, None));
    assert_eq!(comparison.outcome.exit_code(false), 1);
}

#[test]
fn one_variant_against_itself_is_unchanged() {
    let mut record = run(3, &[Made { expect: Some(Expectation::Improved), ..made("same", 1.0) }]);
    record.header.aa = true;
    let fresh = record.clone();
    let comparison = checked_in("same", record);
    assert_eq!(history_p50(&comparison).verdict, Verdict::Unchanged);
    // The stored header says A/A, so the author's expectation does not apply.
    assert_eq!((comparison.outcome, met(only(&comparison))), (Outcome::Passed, None));
    let mut duel = fresh;
    duel.header.aa = false;
    let duel = compare(&duel);
    assert_eq!((duel.outcome, met(only(&duel))), (Outcome::Surprise, Some(false)));
}

#[test]
fn a_false_alarm_of_an_aa_run_is_told() {
    let mut record = run(2, &[made("regressed", 1.3)]);
    record.header.aa = true;
    let comparison = compare(&record);
    assert_eq!(comparison.outcome, Outcome::Surprise);
    let warnings = &only(&comparison).warnings;
    assert!(warnings.iter().any(|warning| warning.starts_with("A/A") && warning.contains("fetch/history p50 regressed")), "{warnings:?}");
}

#[test]
fn noise_is_inconclusive_and_says_what_it_would_take() {
    let noisy = Made { spread: 0.25, stop: StopReason::Budget, ..made("noisy", 1.04) };
    let comparison = checked_in("noisy", run(4, &[noisy]));
    let p50 = history_p50(&comparison);
    assert_eq!(p50.verdict, Verdict::Inconclusive);
    assert!(p50.detectable.unwrap() > 1.2 && p50.rounds_needed.unwrap() > 100, "{p50:#?}");
    assert_eq!(comparison.outcome, Outcome::Inconclusive);
    assert_eq!((comparison.outcome.exit_code(false), comparison.outcome.exit_code(true)), (0, 3));
    let warnings = &only(&comparison).warnings;
    assert!(warnings.iter().any(|warning| warning.starts_with("inconclusive (budget): 2 of 2")), "{warnings:?}");
}

#[test]
fn an_expected_regression_passes() {
    let expected = Made { expect: Some(Expectation::Regressed), ..made("expected-regression", 1.3) };
    let comparison = checked_in("expected-regression", run(5, &[expected]));
    assert_eq!(history_p50(&comparison).verdict, Verdict::Regressed);
    assert_eq!((comparison.outcome, met(only(&comparison))), (Outcome::Passed, Some(true)));
}

#[test]
fn an_expectation_that_does_not_come_out_is_a_surprise() {
    let expected = Made { expect: Some(Expectation::Regressed), ..made("contradicted", 0.5) };
    let comparison = checked_in("contradicted", run(6, &[expected]));
    assert_eq!(history_p50(&comparison).verdict, Verdict::Improved);
    assert_eq!((comparison.outcome, met(only(&comparison))), (Outcome::Surprise, Some(false)));
}

fn two_discarded() -> Made {
    Made { discarded: 2, pairs: 14, ..made("discarded", 0.5) }
}

#[test]
fn discarded_rounds_are_left_out_and_counted() {
    let comparison = checked_in("discarded", run(7, &[two_discarded()]));
    let scenario = only(&comparison);
    assert_eq!((scenario.rounds.kept, scenario.rounds.discarded), (14, 2));
    assert_eq!(scenario.rounds.reasons.get("a checkpoint fell on one arm only"), Some(&2));
    assert_eq!(history_p50(&comparison).rounds, 14);
    let points: Vec<_> = scenario.blocks.iter().filter(|point| point.discarded.is_some()).collect();
    assert_eq!((points.len(), scenario.blocks.len()), (4, 32));
    assert_eq!(points[0].discarded.as_deref(), Some("a checkpoint fell on one arm only (after)"));
    assert_eq!(comparison.outcome, Outcome::Passed);
}

#[test]
fn a_latency_in_a_discarded_round_changes_nothing() {
    let record = run(7, &[two_discarded()]);
    let mut other = record.clone();
    for line in &mut other.lines {
        match line {
            Line::Block(block) if block.round == 2 => block.statements.clear(),
            _ => {}
        }
    }
    assert_eq!(history_p50(&compare(&record)).ratio, history_p50(&compare(&other)).ratio);
}

#[test]
fn many_discarded_rounds_make_no_run_invalid_and_one_arm_of_them_is_a_finding() {
    // Seven of seven are a coin's doing once in 64 times, eight of eight once in 128: the level is 1%.
    for (discarded, verdict, outcome) in [(7, Verdict::Unchanged, Outcome::Passed), (8, Verdict::Inconclusive, Outcome::Inconclusive)] {
        let comparison = compare(&run(8, &[Made { discarded, pairs: 20, spread: 0.005, ..made("many-discarded", 1.0) }]));
        assert_eq!((history_p50(&comparison).verdict, comparison.outcome), (verdict, outcome), "{discarded} discarded");
        let found = only(&comparison).warnings.iter().any(|one| one.contains("8 of 8 discarded rounds were discarded for after"));
        assert_eq!(found, discarded == 8, "{:?}", only(&comparison).warnings);
    }
    // It says nothing against a difference.
    let faster = compare(&run(8, &[Made { discarded: 8, pairs: 20, ..made("many-discarded", 0.5) }]));
    assert_eq!((history_p50(&faster).verdict, faster.outcome), (Verdict::Improved, Outcome::Passed));
}

/// The record with all of its blocks changed.
fn with_blocks(mut record: Record, change: impl Fn(&mut BlockRecord)) -> Record {
    for line in &mut record.lines {
        if let Line::Block(block) = line {
            change(block);
        }
    }
    record
}

#[test]
fn disturbed_blocks_keep_their_pairs_and_are_told() {
    let noisy = with_blocks(run(7, &[made("disturbed", 0.5)]), |block| {
        block.generator.longest_stall_ns = 14_000_000 + u64::from(block.round);
        block.generator.stolen_share = Some(0.2);
    });
    let comparison = compare(&noisy);
    let scenario = only(&comparison);
    assert_eq!((scenario.rounds.kept, scenario.rounds.discarded, comparison.outcome), (12, 0, Outcome::Passed));
    let disturbed = scenario.disturbed;
    assert_eq!((disturbed.blocks, disturbed.disturbed, disturbed.stalled, disturbed.late), (24, 24, 24, 0));
    assert_eq!(disturbed.longest_stall_ns, 14_000_011);
    assert!(why(metric(scenario, None, Quantity::ResponseP50)).contains("24 of 24 blocks were disturbed"));
    assert!(!why(metric(scenario, None, Quantity::ServiceP50)).contains("disturbed"));
    let quiet = compare(&run(7, &[made("disturbed", 0.5)]));
    assert_eq!((only(&quiet).disturbed.disturbed, history_p50(&quiet).ratio), (0, history_p50(&comparison).ratio));
}

#[test]
fn what_a_busy_generator_hides_is_not_unchanged() {
    let same = || run(8, &[Made { pairs: 24, spread: 0.005, ..made("busy", 1.0) }]);
    assert_eq!(history_p50(&compare(&same())).verdict, Verdict::Unchanged);
    let busy = |pairs: u32| {
        with_blocks(same(), |block| {
            if block.round < pairs && block.arm == Arm::at(1) {
                block.generator.cpu_share = 0.8;
            }
        })
    };
    let few = compare(&busy(4));
    assert_eq!(history_p50(&few).verdict, Verdict::Unchanged, "20 pairs say so without them");
    assert!(only(&few).warnings.iter().any(|one| one.contains("in 4 of 48 blocks")), "{:?}", only(&few).warnings);
    assert_eq!(history_p50(&compare(&busy(24))).verdict, Verdict::Inconclusive);
    let faster = with_blocks(run(8, &[made("busy", 0.5)]), |block| block.generator.cpu_share = 0.8);
    assert_eq!(history_p50(&compare(&faster)).verdict, Verdict::Improved, "half of the time is seen all the same");
}

#[test]
fn a_load_that_was_never_offered_is_invalid_and_other_discards_are_not() {
    let all = |stop, discard: Discard| {
        let record = run(8, &[Made { stop, ..made("none-kept", 0.5) }]);
        with_blocks(record, |block| block.discard = Some(discard.clone()).filter(|_| block.arm == Arm::at(1)))
    };
    let never = compare(&all(StopReason::NotOffered, Discard::NotOffered { lag_ns: 200_000_000 }));
    assert_eq!((never.outcome, never.outcome.exit_code(false)), (Outcome::Invalid, 4));
    assert_eq!(compare(&all(StopReason::Attempts, Discard::Checkpoint)).outcome, Outcome::Inconclusive);
}

#[test]
fn failed_checks_are_wrong_answers() {
    let failed = Made { pairs: 0, check: CheckOutcome::Failed, stop: StopReason::ChecksFailed, ..made("checks-failed", 1.0) };
    let comparison = checked_in("checks-failed", run(9, &[failed]));
    assert_eq!((comparison.outcome, comparison.outcome.exit_code(true)), (Outcome::WrongAnswers, 6));
    assert!(only(&comparison).metrics.is_empty());
}

#[test]
fn an_interrupted_run_keeps_its_numbers() {
    let cut = Made { pairs: 5, stop: StopReason::Interrupted, ..made("interrupted", 0.1) };
    let comparison = checked_in("interrupted", run(10, &[cut]));
    assert_eq!((comparison.outcome, comparison.outcome.exit_code(false)), (Outcome::Interrupted, 130));
    let p50 = history_p50(&comparison);
    // 2^-5 is above 1%: an estimate, but neither an interval nor a verdict.
    assert_eq!((p50.rounds, p50.verdict, p50.detectable), (5, Verdict::Inconclusive, None));
    let ratio = p50.ratio.unwrap();
    assert_eq!((ratio.lower, ratio.upper), (0.0, f64::INFINITY));
    let json = serde_json::to_value(p50).unwrap();
    assert!(json["ratio"]["upper"].is_null() && json["ratio"]["lower"] == 0.0 && json["verdict"] == "inconclusive", "{json}");
}

#[test]
fn a_percentile_of_too_few_samples_is_shown_only() {
    let few = Made { samples: Arms::two(53, 57), ..made("few-samples", 0.5) };
    let comparison = checked_in("few-samples", run(11, &[few]));
    let p95 = metric(only(&comparison), Some("history"), Quantity::ServiceP95);
    assert_eq!(why(p95), "too few samples: 53 a block, 400 needed");
    assert_eq!((comparison.gated_metrics, history_p50(&comparison).samples_per_block), (1, 53));
    assert_eq!(comparison.outcome, Outcome::Passed);
}

#[test]
fn fixed_work_is_judged_by_its_median() {
    let work = Made { arrivals: WORK, samples: Arms::two(30, 30), ..made("fixed-work", 0.01) };
    let comparison = checked_in("fixed-work", run(12, &[work]));
    let scenario = only(&comparison);
    let median = history_p50(&comparison);
    assert_eq!((&median.gate, median.verdict, comparison.gated_metrics), (&Gate::Gated, Verdict::Improved, 1));
    assert!(why(metric(scenario, Some("history"), Quantity::ServiceP95)).contains("too few samples"));
    let mean = metric(scenario, Some("history"), Quantity::ServiceMean);
    assert!(why(mean).contains("the median is judged"));
    assert!((mean.ratio.unwrap().point / median.ratio.unwrap().point - 1.0).abs() < 0.05);
    assert!(scenario.metrics.iter().all(|metric| !metric.quantity.name().contains("response")), "{:#?}", scenario.metrics);
}

#[test]
fn a_pause_in_fixed_work_moves_the_mean_and_not_the_verdict() {
    let work = Made { arrivals: WORK, samples: Arms::two(30, 30), ..made("paused", 1.0) };
    let paused = with_blocks(run(12, &[Made { spread: 0.005, ..work }]), |block| {
        if block.arm == Arm::at(1) {
            block.statements.values_mut().for_each(|times| times.record(90_000_000));
        }
    });
    let comparison = compare(&paused);
    assert_eq!(history_p50(&comparison).verdict, Verdict::Unchanged);
    assert_eq!(metric(only(&comparison), Some("history"), Quantity::ServiceMean).verdict, Verdict::Regressed);
    let warned = only(&comparison).warnings.iter().any(|one| one.contains("the mean of fetch/history is slower though its median"));
    assert!(warned, "{:?}", only(&comparison).warnings);
}

fn several() -> Made {
    let statement = |name, ratio| Statement { name, median_ns: 1.5e6, ratio };
    let before = vec![statement("conversation", 1.0), statement("messages", 1.0)];
    Made { before, after: Some(vec![statement("both", 0.6)]), ..made("other-statements", 1.0) }
}

#[test]
fn different_statements_are_judged_as_a_transaction() {
    let comparison = checked_in("other-statements", run(13, &[several()]));
    let scenario = only(&comparison);
    assert!(scenario.metrics.iter().all(|metric| metric.statement.is_none()));
    let p50 = metric(scenario, None, Quantity::ServiceP50);
    assert_eq!((&p50.gate, p50.verdict), (&Gate::Gated, Verdict::Improved));
    assert!((p50.ratio.unwrap().point - 0.3).abs() < 0.02);
    // Each statement still has its curve, on the side that has it.
    assert!(scenario.curves["fetch/both"].baseline.is_empty() && !scenario.curves["fetch/both"].others[0].is_empty());
}

#[test]
fn rollups_are_over_kept_blocks() {
    let record = run(7, &[two_discarded()]);
    let comparison = compare(&record);
    let scenario = only(&comparison);
    assert_eq!(scenario.server.baseline.blocks_hit, 12.0);
    assert_eq!(scenario.server.others[0].generic_share, 0.0);
    assert_eq!(scenario.capacity, Arms::two(Some(2000.0), Some(2500.0)));
    let classes: Vec<&str> = scenario.classes.iter().map(|row| row.class.as_str()).collect();
    assert_eq!(classes, ["whale", "tail"]);
    assert_eq!(scenario.classes[0].count, Arms::two(30, 30));
    let curve = &scenario.curves["fetch"].others[0];
    assert!(curve.len() > 10 && curve.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1));
}

fn swapped(record: &Record) -> Record {
    let mut other = record.clone();
    for line in &mut other.lines {
        match line {
            Line::Scenario(one) => one.transactions.iter_mut().for_each(|transaction| {
                let statements = &mut transaction.statements;
                std::mem::swap(&mut statements.baseline, &mut statements.others[0]);
            }),
            Line::Block(one) => one.arm = records::other(one.arm),
            Line::Probe(one) => one.arm = records::other(one.arm),
            _ => {}
        }
    }
    other
}

#[test]
fn swapping_sides_mirrors_every_verdict_and_inverts_every_ratio() {
    let near = |a: f64, b: f64| a == b || (a / b - 1.0).abs() < 1e-9;
    let mut seen = Vec::new();
    for (seed, ratio, spread) in (0..8u64).flat_map(|seed| [(seed, 0.93, 0.03), (seed, 1.02, 0.02), (seed, 1.6, 0.1)]) {
        // 40 µs and less, so that the floor decides the margin too.
        let small = Statement { name: "history", median_ns: if seed % 2 == 0 { 45_000.0 } else { 2e6 }, ratio };
        let record = run(seed, &[Made { before: vec![small], spread, pairs: 9, ..made("any", 1.0) }, several()]);
        let (here, there) = (compare(&record), compare(&swapped(&record)));
        let metrics = |comparison: &Comparison| comparison.scenarios.iter().flat_map(|one| one.metrics.clone()).collect::<Vec<_>>();
        assert_eq!(metrics(&here).len(), metrics(&there).len());
        for (a, b) in metrics(&here).iter().zip(&metrics(&there)) {
            let mirrored = match a.verdict {
                Verdict::Improved => Verdict::Regressed,
                Verdict::Regressed => Verdict::Improved,
                same => same,
            };
            assert_eq!((mirrored, &a.gate), (b.verdict, &b.gate), "{a:#?} {b:#?}");
            let (x, y) = (a.ratio.unwrap(), b.ratio.unwrap());
            assert!(near(x.point * y.point, 1.0) && near(x.lower, 1.0 / y.upper) && near(x.upper, 1.0 / y.lower), "{x:?} {y:?}");
            assert!(a.p == (b.p.1, b.p.0) && a.margin == b.margin && near(a.spread, b.spread));
            seen.push(a.verdict);
        }
    }
    for verdict in [Verdict::Improved, Verdict::Regressed, Verdict::Unchanged, Verdict::Inconclusive] {
        assert!(seen.contains(&verdict), "the property was not tried on {verdict:?}");
    }
}

#[test]
fn a_run_ends_as_its_worst_scenario() {
    let passed = made("passed", 0.5);
    let surprise = made("surprise", 1.5);
    let invalid = Made { stop: StopReason::Rejected { message: "syntax error".into() }, pairs: 0, ..made("invalid", 1.0) };
    let wrong = Made { stop: StopReason::ChecksFailed, check: CheckOutcome::Failed, pairs: 0, ..made("wrong", 1.0) };
    let broken = Made { stop: StopReason::Infrastructure { message: "gone".into() }, pairs: 0, ..made("broken", 1.0) };
    let order = [passed, surprise, invalid, wrong, broken];
    let codes: Vec<i32> = (1..=order.len()).map(|count| compare(&run(14, &order[..count])).outcome.exit_code(false)).collect();
    assert_eq!(codes, [0, 1, 4, 6, 5]);
}

#[test]
fn more_metrics_make_the_level_stricter() {
    let scenarios: Vec<Made> = ["a", "b", "c", "d", "e", "f", "g"].into_iter().map(|name| made(name, 1.0)).collect();
    let comparison = compare(&run(15, &scenarios));
    assert_eq!((comparison.gated_metrics, comparison.minimum_rounds), (14, 11));
    assert!(comparison.scenarios.iter().flat_map(|one| &one.metrics).filter(|one| one.gate == Gate::Gated).all(|one| one.level < 0.001));
    let value = comparison.scenarios[0].metrics[0].value_ns.map(|ns| ns / 2e6);
    assert!((value.baseline - 1.0).abs() < 0.02 && (value.arm - 1.0).abs() < 0.02);
}

#[test]
fn a_ratio_that_compiling_makes_is_told_to_be_one() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("results/2026-11-30-omniops.1/run.jsonl");
    let comparison = compare(&read(&path).unwrap());
    let mut told = Vec::new();
    for one in &comparison.scenarios {
        told.extend(one.warnings.iter().filter(|warning| warning.contains("(JIT)")).map(|warning| (&one.scenario.scenario, warning)));
    }
    let [(name, warning), (mix, _)] = told.as_slice() else { panic!("{told:#?}") };
    assert_eq!((name.as_str(), mix.as_str()), ("omniops/hourly-volume", "omniops/mix"));
    assert!(warning.starts_with("volume/messages (before-domain): compiling the plan (JIT) took 51.0 of its 58.2 ms"), "{warning}");
}

#[test]
fn what_the_host_took_is_weighted_by_the_length_of_blocks() {
    let mut record = run(16, &[made("stolen", 0.5)]);
    assert_eq!(only(&compare(&record)).stolen_share, None, "nobody knows");
    let blocks: Vec<_> =
        record.lines.iter_mut().filter_map(|line| if let Line::Block(block) = line { Some(block) } else { None }).collect();
    for (number, block) in blocks.into_iter().enumerate() {
        (block.duration_ns, block.generator.stolen_share) = if number == 0 { (0, Some(0.9)) } else { (1_000_000_000, Some(0.04)) };
    }
    assert!((only(&compare(&record)).stolen_share.unwrap() - 0.04).abs() < 1e-12);
}

/// A real run: one variant against itself while a rig took 25% of both processors, in bursts of 12 ms, swinging over 45 s. An earlier rule threw
/// away every pair of such a run.
#[test]
fn a_really_disturbed_run_is_judged_and_calls_nothing() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/records/really-disturbed.jsonl");
    let comparison = compare(&read(&path).unwrap());
    let scenario = only(&comparison);
    assert_eq!((scenario.rounds.kept, scenario.rounds.discarded, comparison.outcome), (17, 0, Outcome::Inconclusive));
    assert_eq!((scenario.disturbed.blocks, scenario.disturbed.disturbed), (34, 20));
    let gated = || scenario.metrics.iter().filter(|metric| metric.gate == Gate::Gated);
    assert!(gated().all(|metric| metric.verdict == Verdict::Inconclusive), "{:#?}", scenario.metrics);
    // Both are seen, and work scatters less than times.
    let spread = |quantity: Quantity| gated().find(|metric| metric.quantity == quantity).unwrap().spread;
    assert!(spread(Quantity::Processor) < 0.5 * spread(Quantity::ServiceP50));
    assert!(gated().all(|metric| metric.detectable.is_some()), "what could have been seen is told");
}

/// A real run: three tenths more work after, while a rig took 15% of both processors in bursts of 6 ms.
#[test]
fn a_really_disturbed_run_shows_what_was_planted() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/records/disturbed-and-slower.jsonl");
    let comparison = compare(&read(&path).unwrap());
    let scenario = only(&comparison);
    assert!(scenario.disturbed.disturbed > 0 && scenario.rounds.discarded == 0, "{:?}", scenario.disturbed);
    assert_eq!(comparison.outcome, Outcome::Surprise);
    let gated: Vec<_> = scenario.metrics.iter().filter(|metric| metric.gate == Gate::Gated).collect();
    for quantity in [Quantity::ServiceP50, Quantity::Processor] {
        let metric = gated.iter().find(|metric| metric.quantity == quantity).unwrap();
        assert_eq!(metric.verdict, Verdict::Regressed, "{metric:#?}");
        assert!((1.1..1.6).contains(&metric.ratio.unwrap().point), "{metric:#?}");
    }
}

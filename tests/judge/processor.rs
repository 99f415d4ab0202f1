//! Processor time of the server beside service times.

use pgduel::judge::{Comparison, Gate, Metric, Outcome, Quantity, Standing, Verdict, compare};
use pgduel::record::{Arm, Expect, Expectation, Line, NoProcessorTime, ProcessorTime, QuantityExpectations, Record};

use crate::records::{Made, made, run};

/// A run in which backends work for so long a transaction, with a little noise by pair.
fn working(made: Made, before_ns: f64, after_ns: f64) -> Record {
    let mut record = run(21, &[made]);
    for line in &mut record.lines {
        let Line::Block(block) = line else { continue };
        let each = if block.arm == Arm::BASELINE { before_ns } else { after_ns };
        let noise = 1.0 + 0.01 * f64::from((block.round * 7 + u32::from(block.arm == Arm::at(1)) * 3) % 5);
        let on_processor_ns = (each * noise * block.server.transactions as f64) as u64;
        block.server.processor = Some(ProcessorTime { on_processor_ns, waiting_ns: on_processor_ns / 2 });
    }
    record
}

fn work(comparison: &Comparison) -> Option<&Metric> {
    comparison.scenarios[0].metrics.iter().find(|metric| metric.quantity == Quantity::Processor)
}

fn warned(comparison: &Comparison, part: &str) -> bool {
    comparison.scenarios[0].warnings.iter().any(|warning| warning.contains(part))
}

/// A machine on which medians scatter so little that "unchanged" can be said.
fn calm(ratio: f64) -> Made {
    Made { pairs: 20, spread: 0.005, ..made("processor", ratio) }
}

#[test]
fn more_work_is_a_regression_also_where_times_do_not_show_it() {
    let comparison = compare(&working(calm(1.0), 1e6, 1.3e6));
    let work = work(&comparison).expect("processor time");
    assert_eq!((&work.gate, work.verdict, work.transaction.as_str()), (&Gate::Gated, Verdict::Regressed, "fetch"));
    assert!((work.ratio.unwrap().point - 1.3).abs() < 0.02 && (work.value_ns.baseline / 1e6 - 1.0).abs() < 0.05, "{work:?}");
    assert_eq!((comparison.outcome, comparison.gated_metrics), (Outcome::Surprise, 3));
    assert!(warned(&comparison, "more processor time for the same service times"), "{:?}", comparison.scenarios[0].warnings);
}

#[test]
fn what_follows_when_work_and_times_disagree() {
    let told = |ratio: f64, work: f64, part: &str| {
        let comparison = compare(&working(calm(ratio), 1e6, work * 1e6));
        assert!(warned(&comparison, part), "{ratio} {work}: {:?}", comparison.scenarios[0].warnings);
    };
    told(1.3, 1.0, "but not the server's processor time: the difference is waiting");
    told(0.7, 1.0, "but not the server's processor time: the difference is waiting");
    told(1.0, 0.7, "less processor time for the same service times");
    told(0.7, 1.3, "there is less waiting and more work");
    told(1.3, 0.7, "there is more waiting");
    let agreed = compare(&working(calm(0.7), 1e6, 0.7e6));
    assert!(!warned(&agreed, "processor time"), "{:?}", agreed.scenarios[0].warnings);
}

/// The record with some of its blocks without processor time.
fn without(mut record: Record, pair: u32, why: NoProcessorTime) -> Record {
    for line in &mut record.lines {
        if let Line::Block(block) = line
            && block.round == pair
        {
            (block.server.processor, block.server.no_processor) = (None, Some(why));
        }
    }
    record
}

#[test]
fn a_lost_connection_costs_its_pair_and_parallel_workers_all_of_it() {
    let lost = compare(&without(working(calm(1.0), 1e6, 1e6), 3, NoProcessorTime::ConnectionLost));
    assert_eq!(work(&lost).map(|metric| metric.rounds), Some(19));
    assert_eq!(lost.scenarios[0].no_processor, Some(NoProcessorTime::ConnectionLost));
    // Blocks without workers are those of small tenants: other work.
    let parallel = compare(&without(working(calm(1.0), 1e6, 1e6), 3, NoProcessorTime::ParallelWorkers));
    assert!(work(&parallel).is_none() && parallel.gated_metrics == 2);
    assert_eq!(parallel.scenarios[0].no_processor, Some(NoProcessorTime::ParallelWorkers));
    let unknown = compare(&run(21, &[calm(1.0)]));
    assert!(work(&unknown).is_none() && unknown.outcome == Outcome::Passed, "a record that does not know it");
}

#[test]
fn what_is_expected_of_a_part_says_nothing_of_the_work_of_all() {
    let slower = working(Made { pairs: 20, ..made("processor", 1.5) }, 1e6, 1.5e6);
    let stating = |of_statement: bool, expect: Option<Expect>| {
        let mut record = slower.clone();
        for line in &mut record.lines {
            if let Line::Scenario(scenario) = line {
                let statement = Some(Expect::Verdict(Expectation::Regressed)).filter(|_| of_statement);
                (scenario.transactions[0].statements.others[0][0].expect, scenario.expect) = (statement, expect.clone());
            }
        }
        let comparison = compare(&record);
        (work(&comparison).and_then(|work| work.standing), comparison.outcome)
    };
    let processor = |processor| Some(Expect::Quantities(QuantityExpectations { processor: Some(processor), ..Default::default() }));
    assert_eq!(stating(false, None), (Some(Standing::Surprise), Outcome::Surprise));
    assert_eq!(stating(true, None), (Some(Standing::Surprise), Outcome::Surprise));
    assert_eq!(stating(true, processor(Expectation::Regressed)), (Some(Standing::Expected), Outcome::Passed));
    assert_eq!(stating(false, processor(Expectation::Regressed)), (Some(Standing::Expected), Outcome::Surprise), "the times are none");
    assert_eq!(stating(true, processor(Expectation::Improved)), (Some(Standing::Surprise), Outcome::Surprise));
    assert_eq!(stating(false, Some(Expect::Verdict(Expectation::Regressed))), (Some(Standing::Expected), Outcome::Passed));
}

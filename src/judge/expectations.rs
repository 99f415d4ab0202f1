//! What the author expects, metric by metric: which of the stated expectations speaks for a metric, and what came of each.
//!
//! The nearest one speaks: a statement's own before its transaction's, and that before the scenario's. One that names quantities says nothing
//! of the others, for which the next one outwards speaks.

use serde::Serialize;

use super::outcome::gated;
use super::{Gate, Metric, Quantity, Verdict};
use crate::record::{Arm, Expect, Expectation, ScenarioRecord};

/// A verdict that the author expects, and what came of it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct StatedExpectation {
    /// The arm, beside the baseline.
    pub arm: Arm,
    /// The transaction; `None`: all that state nothing of their own.
    pub transaction: Option<String>,
    /// The statement; `None`: all of the transaction that state nothing of their own, and the transaction itself.
    pub statement: Option<String>,
    /// The quantity; `None`: all, held against the medians.
    pub quantity: Option<StatedQuantity>,
    /// The verdict.
    pub expect: Expectation,
    /// Why, if the author says.
    pub why: Option<String>,
    /// Whether it came out; `None` if that cannot be told.
    pub met: Option<bool>,
}

/// A quantity that can decide, as scenario files name it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatedQuantity {
    /// Median.
    P50,
    /// 95th percentile.
    P95,
    /// The server's processor time.
    Processor,
}

/// How the verdict of a gated metric stands to what was stated.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is the verdict that was expected.
    Expected,
    /// A regression that nobody expected, or a verdict for which an expectation did not come out.
    Surprise,
}

impl StatedQuantity {
    /// As scenario files name it.
    pub fn name(self) -> &'static str {
        match self {
            StatedQuantity::P50 => "p50",
            StatedQuantity::P95 => "p95",
            StatedQuantity::Processor => "processor",
        }
    }

    /// The one that a metric's quantity is stated as; `None` for those that never decide.
    fn of(quantity: Quantity) -> Option<StatedQuantity> {
        match quantity {
            Quantity::ServiceP50 => Some(StatedQuantity::P50),
            Quantity::ServiceP95 => Some(StatedQuantity::P95),
            Quantity::Processor => Some(StatedQuantity::Processor),
            Quantity::ServiceMean | Quantity::ResponseP50 | Quantity::ResponseP95 | Quantity::ResponseP99 | Quantity::AcquireP50 => None,
        }
    }
}

/// All that a scenario states, for one arm after the other, each transaction's before its statements', before anything is held against it.
pub(super) fn stated(scenario: &ScenarioRecord) -> Vec<StatedExpectation> {
    scenario.arms.rivals().flat_map(|arm| stated_of(scenario, arm)).collect()
}

fn stated_of(scenario: &ScenarioRecord, arm: Arm) -> Vec<StatedExpectation> {
    let mut all = Vec::new();
    let name = &scenario.arms.get(arm).name;
    let mut add = |transaction: Option<&str>, statement: Option<&str>, expect: &Option<Expect>, why: &Option<String>| {
        let mut push = |quantity: Option<StatedQuantity>, expect: Expectation| {
            let (transaction, statement) = (transaction.map(str::to_owned), statement.map(str::to_owned));
            all.push(StatedExpectation { arm, transaction, statement, quantity, expect, why: why.clone(), met: None });
        };
        match expect.as_ref().and_then(|expect| expect.of(name)) {
            None | Some(Expect::Arms(_)) => {}
            Some(Expect::Verdict(expect)) => push(None, *expect),
            Some(Expect::Quantities(of)) => {
                let quantities = [(StatedQuantity::P50, of.p50), (StatedQuantity::P95, of.p95), (StatedQuantity::Processor, of.processor)];
                quantities.into_iter().for_each(|(quantity, expect)| expect.into_iter().for_each(|expect| push(Some(quantity), expect)));
            }
        }
    };
    add(None, None, &scenario.expect, &scenario.expect_why);
    for transaction in &scenario.transactions {
        let of = Some(transaction.name.as_str());
        add(of, None, &transaction.expect, &transaction.expect_why);
        // Statements are judged one by one only where the baseline has the same ones.
        for statement in transaction.statements.get(arm) {
            add(of, Some(&statement.name), &statement.expect, &statement.expect_why);
        }
    }
    all
}

/// Tells each gated metric which expectation speaks for it, and each expectation what came of it.
pub(super) fn hold(expectations: &mut [StatedExpectation], metrics: &mut [Metric]) {
    for metric in metrics.iter_mut().filter(|metric| metric.gate == Gate::Gated) {
        // The outer ones stand before the inner ones.
        metric.expectation = expectations.iter().rposition(|stated| stated.covers(metric));
    }
    for (at, stated) in expectations.iter_mut().enumerate() {
        stated.met = stated.met(gated(metrics).filter(|metric| metric.expectation == Some(at)));
    }
    for metric in metrics.iter_mut().filter(|metric| metric.gate == Gate::Gated) {
        metric.standing = standing(metric.verdict, metric.expectation.and_then(|at| expectations.get(at)));
    }
}

impl StatedExpectation {
    /// Whether it speaks for a metric for which no nearer one does.
    fn covers(&self, metric: &Metric) -> bool {
        let transaction = self.transaction.as_ref().is_none_or(|name| *name == metric.transaction);
        let statement = self.statement.is_none() || self.statement == metric.statement;
        let quantity = self.quantity.is_none() || self.quantity == StatedQuantity::of(metric.quantity);
        self.arm == metric.arm && transaction && statement && quantity
    }

    /// Whether it came out by these metrics, for which it speaks; `None` if that cannot be told.
    ///
    /// Inconclusive metrics never contradict, nor let others do so while they might still bear the expectation out.
    fn met<'a>(&self, metrics: impl Iterator<Item = &'a Metric>) -> Option<bool> {
        let judged = self.quantity.unwrap_or(StatedQuantity::P50);
        let verdicts: Vec<Verdict> =
            metrics.filter(|metric| StatedQuantity::of(metric.quantity) == Some(judged)).map(|metric| metric.verdict).collect();
        if verdicts.is_empty() {
            return None;
        }
        let any = |verdict: Verdict| verdicts.contains(&verdict);
        let (improved, regressed, open) = (any(Verdict::Improved), any(Verdict::Regressed), any(Verdict::Inconclusive));
        match self.expect {
            Expectation::Improved if regressed => Some(false),
            Expectation::Improved if improved => Some(true),
            Expectation::Regressed if regressed => Some(true),
            Expectation::Unchanged if improved || regressed => Some(false),
            _ if open => None,
            Expectation::Unchanged => Some(true),
            Expectation::Improved | Expectation::Regressed => Some(false),
        }
    }
}

fn standing(verdict: Verdict, stated: Option<&StatedExpectation>) -> Option<Standing> {
    let as_expected = match stated.map(|stated| stated.expect) {
        Some(Expectation::Improved) => verdict == Verdict::Improved,
        Some(Expectation::Regressed) => verdict == Verdict::Regressed,
        Some(Expectation::Unchanged) => verdict == Verdict::Unchanged,
        None => false,
    };
    let contradicted = stated.is_some_and(|stated| stated.met == Some(false));
    match verdict {
        _ if as_expected => Some(Standing::Expected),
        Verdict::Inconclusive => None,
        Verdict::Regressed => Some(Standing::Surprise),
        Verdict::Improved | Verdict::Unchanged => contradicted.then_some(Standing::Surprise),
    }
}

//! A scenario as the record tells it.

use super::{Plan, variants};
use crate::load::program::describe;
use crate::record::{Histogram, LoadRecord, ScenarioRecord, Side, Sides, TenantClassRecord, TransactionRecord};
use crate::scenario::{Identity, Scenario, Transaction};

/// The scenario of a duel.
pub(super) fn record(plan: &Plan, scenario: &Scenario, load: LoadRecord) -> ScenarioRecord {
    let mut record = of_sides(scenario, variants(plan, scenario), Sides { before: Side::Before, after: Side::After }, load);
    if plan.aa {
        // A/A must find nothing, whatever the scenario expects of a duel.
        record.expect_nothing();
    }
    record
}

/// The scenario of a run of one variant, with the statements of one side on both: nothing is expected of it.
pub(super) fn record_of_one(scenario: &Scenario, variant: &str, side: Side, load: LoadRecord) -> ScenarioRecord {
    let variants = Sides { before: variant.to_owned(), after: variant.to_owned() };
    let mut record = of_sides(scenario, variants, Sides { before: side, after: side }, load);
    record.expect_nothing();
    record
}

/// `sides`: whose statements run as before and as after.
fn of_sides(scenario: &Scenario, variants: Sides<String>, sides: Sides<Side>, load: LoadRecord) -> ScenarioRecord {
    ScenarioRecord {
        scenario: scenario.path(),
        title: scenario.title.clone(),
        analysis: scenario.analysis.clone(),
        claims: scenario.claims.clone(),
        digest: scenario.digest.clone(),
        variants,
        overlays: scenario.overlays.clone(),
        transactions: scenario.transactions.iter().map(|transaction| transaction_record(transaction, sides)).collect(),
        load,
        expect: scenario.expected.as_ref().map(|expected| expected.expect),
        expect_why: scenario.expected.as_ref().map(|expected| expected.why.clone()),
        margins: scenario.margins,
        rtt_ns: scenario.load.rtt.as_nanos() as u64,
        rtt_per: scenario.load.rtt_per,
        writes: scenario.writes(),
        acquire_timeout_ns: scenario.load.acquire_timeout.map(|timeout| timeout.as_nanos() as u64),
        max_tries: scenario.load.max_tries,
    }
}

fn transaction_record(transaction: &Transaction, sides: Sides<Side>) -> TransactionRecord {
    TransactionRecord {
        name: transaction.name.clone(),
        weight: transaction.weight,
        identity: identity_name(&transaction.identity),
        writes: transaction.writes,
        statements: sides.map(|side| describe(transaction, *side)),
        requests: sides.map(|side| transaction.requests(*side)),
        expect: transaction.expected.as_ref().map(|expected| expected.expect),
        expect_why: transaction.expected.as_ref().map(|expected| expected.why.clone()),
    }
}

pub(super) fn class_record(scenario: &Scenario, side: Side, transaction: usize, class: &str, service: Histogram) -> TenantClassRecord {
    let name = scenario.transactions.get(transaction).map(|transaction| transaction.name.clone()).unwrap_or_default();
    TenantClassRecord { scenario: scenario.path(), side, transaction: name, class: class.to_owned(), service }
}

fn identity_name(identity: &Identity) -> String {
    match identity {
        Identity::Member { role: Some(role) } => role.clone(),
        Identity::Member { role: None } => "member".to_owned(),
        Identity::Anon => "anon".to_owned(),
        Identity::Service => "service".to_owned(),
        Identity::None => "none".to_owned(),
    }
}

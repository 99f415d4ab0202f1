//! A scenario as the record tells it.

use super::{Plan, variants};
use crate::load::program::describe;
use crate::record::{Histogram, LoadRecord, ScenarioRecord, Side, Sides, TenantClassRecord, TransactionRecord};
use crate::scenario::{Identity, Scenario, Transaction};

/// The scenario as the record tells it.
pub(super) fn record(plan: &Plan, scenario: &Scenario, load: LoadRecord) -> ScenarioRecord {
    ScenarioRecord {
        scenario: scenario.path(),
        title: scenario.title.clone(),
        analysis: scenario.analysis.clone(),
        claims: scenario.claims.clone(),
        digest: scenario.digest.clone(),
        variants: variants(plan, scenario),
        overlays: scenario.overlays.clone(),
        transactions: scenario.transactions.iter().map(transaction_record).collect(),
        load,
        // A/A must find nothing, whatever the scenario expects of a duel.
        expect: scenario.expect.as_ref().filter(|_| !plan.aa).map(|(expectation, _)| *expectation),
        expect_why: scenario.expect.as_ref().filter(|_| !plan.aa).map(|(_, why)| why.clone()),
        margins: scenario.margins,
        rtt_ns: scenario.load.rtt.as_nanos() as u64,
        rtt_per: scenario.load.rtt_per,
        writes: scenario.writes(),
    }
}

fn transaction_record(transaction: &Transaction) -> TransactionRecord {
    TransactionRecord {
        name: transaction.name.clone(),
        weight: transaction.weight,
        identity: identity_name(&transaction.identity),
        writes: transaction.writes,
        statements: Sides { before: describe(transaction, Side::Before), after: describe(transaction, Side::After) },
        requests: Sides { before: transaction.requests(Side::Before), after: transaction.requests(Side::After) },
    }
}

pub(super) fn class_record(scenario: &Scenario, side: Side, transaction: usize, class: &str, service: Histogram) -> TenantClassRecord {
    let name = scenario.transactions.get(transaction).map(|transaction| transaction.name.clone()).unwrap_or_default();
    TenantClassRecord { scenario: scenario.path(), side, transaction: name, class: class.to_owned(), service }
}

pub(super) fn identity_name(identity: &Identity) -> String {
    match identity {
        Identity::Member { role: Some(role) } => role.clone(),
        Identity::Member { role: None } => "member".to_owned(),
        Identity::Anon => "anon".to_owned(),
        Identity::Service => "service".to_owned(),
        Identity::None => "none".to_owned(),
    }
}

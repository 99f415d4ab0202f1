//! A scenario as the record tells it.

use super::Plan;
use crate::load::program::describe;
use crate::record::{Arm, ArmRecord, Histogram, Mode, ScenarioLoad, ScenarioRecord, TenantClassRecord, TransactionRecord};
use crate::scenario::{Address, Identity, Scenario, Transaction};

/// The scenario as it is run. One arm against itself or alone must find nothing, whatever the scenario expects of a duel.
pub(super) fn record(plan: &Plan, scenario: &Scenario, load: Option<ScenarioLoad>) -> ScenarioRecord {
    let mut record = ScenarioRecord {
        scenario: scenario.path(),
        title: scenario.title.clone(),
        analysis: scenario.analysis.clone(),
        claims: scenario.claims.clone(),
        digest: scenario.digest.clone(),
        arms: scenario.arms.map(|arm| ArmRecord {
            settings: arm.settings.iter().cloned().collect(),
            connections: arm.connections,
            arrivals: arm.arrivals.clone(),
            route: arm.route.as_ref().map(Address::to_string),
            factor: arm.factor.clone(),
            rtt_ns: arm.rtt.map(|rtt| rtt.as_nanos() as u64),
            ..ArmRecord::of(&arm.name, &arm.variant)
        }),
        overlays: scenario.overlays.clone(),
        transactions: scenario.transactions.iter().map(transaction_record).collect(),
        load,
        expect: scenario.expected.as_ref().map(|expected| expected.expect.clone()),
        expect_why: scenario.expected.as_ref().map(|expected| expected.why.clone()),
        margins: scenario.margins,
        rtt_ns: scenario.load.rtt.as_nanos() as u64,
        rtt_per: scenario.load.rtt_per,
        writes: scenario.writes(),
        acquire_timeout_ns: scenario.load.acquire_timeout.map(|timeout| timeout.as_nanos() as u64),
        max_tries: scenario.load.max_tries,
    };
    if plan.aa || plan.mode == Mode::Run {
        record.expect_nothing();
    }
    record
}

fn transaction_record(transaction: &Transaction) -> TransactionRecord {
    TransactionRecord {
        name: transaction.name.clone(),
        weight: transaction.weight,
        identity: identity_name(&transaction.identity),
        writes: transaction.writes,
        statements: transaction.statements.each(|arm| describe(transaction, arm)),
        requests: transaction.statements.each(|arm| transaction.requests(arm)),
        expect: transaction.expected.as_ref().map(|expected| expected.expect.clone()),
        expect_why: transaction.expected.as_ref().map(|expected| expected.why.clone()),
    }
}

pub(super) fn class_record(scenario: &Scenario, arm: Arm, transaction: usize, class: &str, service: Histogram) -> TenantClassRecord {
    let name = scenario.transactions.get(transaction).map(|transaction| transaction.name.clone()).unwrap_or_default();
    TenantClassRecord { scenario: scenario.path(), arm, transaction: name, class: class.to_owned(), service }
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

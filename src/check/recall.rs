//! Recall: which share of the exact nearest a search finds, by class of tenant.

use std::collections::{BTreeMap, BTreeSet};

use super::agreement::{KEPT, Whom, answers, worded};
use super::identities::class_tenants;
use super::visibility::counted;
use crate::dataset::TenantClass;
use crate::load::bind::{Mix, SequenceRange};
use crate::load::session::{Answer, Session, StatementAnswer};
use crate::record::{Arm, CheckKind, CheckOutcome, CheckRecord};
use crate::scenario::{AnswerRule, Scenario};

/// What the searches of one statement found, beside its exact form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Recall by tenant class.
    pub shares: BTreeMap<String, f64>,
    /// Classes of which every exact answer was empty.
    pub nothing: BTreeSet<String>,
    /// Searches that returned more rows than their exact form, in words.
    pub over: Vec<String>,
}

/// By `transaction/statement` of one arm.
pub type Recall = BTreeMap<String, Found>;

/// Compares each search with its exact form, for the whale, a middle and a tail tenant: the share of the exact answer's first column that
/// the search finds.
pub async fn recall(
    scenario: &Scenario,
    mix: &Mix,
    arm: Arm,
    search: &mut Session,
    exact: &mut Session,
    draws_per_class: u64,
) -> Result<Recall, String> {
    let mut recall = Recall::new();
    for (index, transaction) in scenario.transactions.iter().enumerate() {
        let statements = transaction.statements.get(arm);
        if statements.iter().all(|statement| statement.exact.is_none()) {
            continue;
        }
        let able = mix.tenants_for(index);
        for (class, tenant) in class_tenants(mix, &able) {
            let mut shares: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
            for draw in 0..draws_per_class {
                let sequence = SequenceRange::Check(0x3000 + index as u32).first() + draw;
                let arrival = mix.arrival_of(sequence, index, Some(tenant), None);
                let found = answers(search, &arrival).await.map_err(|error| error.to_string())?;
                let wanted = answers(exact, &arrival).await.map_err(|error| error.to_string())?;
                for statement in statements.iter().filter(|statement| statement.exact.is_some()) {
                    let by_name = |all: &[StatementAnswer]| all.iter().find(|a| a.statement == statement.name).map(|a| a.answer.clone());
                    let (Some(found), Some(wanted)) = (by_name(&found), by_name(&wanted)) else { continue };
                    shares.entry(&statement.name).or_default().extend(share_found(&found, &wanted));
                    let of = recall.entry(format!("{}/{}", transaction.name, statement.name)).or_default();
                    of.over.extend(over_answer(&found, &wanted).map(|over| format!("{}: {over}", worded(Whom::Usual, &arrival))));
                }
            }
            for (statement, shares) in shares {
                recall.entry(format!("{}/{statement}", transaction.name)).or_default().add(class, &shares);
            }
        }
    }
    Ok(recall)
}

impl Found {
    fn add(&mut self, class: TenantClass, shares: &[f64]) {
        let class = class.name().to_owned();
        if shares.is_empty() {
            self.nothing.insert(class);
        } else {
            self.shares.insert(class, shares.iter().sum::<f64>() / shares.len() as f64);
        }
    }
}

fn share_found(found: &Answer, wanted: &Answer) -> Option<f64> {
    let first = |answer: &Answer| answer.rows.iter().filter_map(|row| row.first().cloned().flatten()).collect::<Vec<_>>();
    let (found, wanted) = (first(found), first(wanted));
    (!wanted.is_empty()).then(|| wanted.iter().filter(|key| found.contains(key)).count() as f64 / wanted.len() as f64)
}

/// A search that returns more than its exact form would have perfect recall by returning everything.
fn over_answer(found: &Answer, wanted: &Answer) -> Option<String> {
    let (found, wanted) = (found.rows.len(), wanted.rows.len());
    (found > wanted).then(|| format!("the search returns {}, its exact form {wanted}", counted(found)))
}

/// The recall of an arm as a check: no search may return more than its exact form, and all but the baseline must reach what the scenario asks
/// for.
pub fn recall_record(scenario: &Scenario, arm: Arm, recall: &Recall, draws_per_class: u64) -> Vec<CheckRecord> {
    let rule = |name: &str| {
        let transaction = scenario.transactions.iter().find(|t| name.starts_with(&format!("{}/", t.name)))?;
        match transaction.answers.rule {
            AnswerRule::Recall(least) if !arm.is_baseline() => Some(least),
            _ => None,
        }
    };
    let describe = |(statement, found): (&String, &Found)| {
        let least = rule(statement);
        let short = found.shares.values().any(|share| least.is_some_and(|least| *share < least));
        let mut findings: Vec<String> = found.over.iter().take(KEPT).cloned().collect();
        if let Some(least) = least {
            let held = if short { "below" } else { "at least" };
            findings.push(format!("recall is {held} the {least} that the scenario asks for"));
        }
        if !found.shares.is_empty() {
            let shown: Vec<String> = found.shares.iter().map(|(class, share)| format!("{class} {share:.3}")).collect();
            findings.push(format!("share of the exact nearest found: {}", shown.join(", ")));
        }
        if !found.nothing.is_empty() {
            let classes: Vec<&str> = found.nothing.iter().map(String::as_str).collect();
            findings.push(format!("nothing to find, as the exact form returns no row: {}", classes.join(", ")));
        }
        CheckRecord {
            scenario: scenario.path(),
            kind: CheckKind::Recall,
            subject: statement.clone(),
            arm: Some(arm),
            cases: draws_per_class * (found.shares.len() + found.nothing.len()) as u64,
            outcome: if short || !found.over.is_empty() { CheckOutcome::Failed } else { CheckOutcome::Passed },
            findings,
        }
    };
    recall.iter().map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> Answer {
        Answer { columns: vec!["id".into()], rows: ids.iter().map(|id| vec![Some(id.to_string())]).collect() }
    }

    #[test]
    fn a_search_that_returns_everything_is_no_perfect_search() {
        let (all, nearest) = (ids(&["a", "b", "c"]), ids(&["a", "b"]));
        assert_eq!(share_found(&all, &nearest), Some(1.0));
        assert_eq!(over_answer(&all, &nearest).unwrap(), "the search returns 3 rows, its exact form 2");
        assert_eq!(over_answer(&nearest, &nearest), None);
        assert_eq!(over_answer(&ids(&["a"]), &nearest), None);
        assert_eq!(share_found(&all, &ids(&[])), None, "nothing to find");
    }

    #[test]
    fn recall_fails_by_too_few_and_by_too_many_and_says_where_nothing_was_to_be_found() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let scenario = crate::scenario::load(root, "omniops/vector-search").expect("a scenario that asks for a recall");
        let transaction = scenario.transactions.iter().find(|t| matches!(t.answers.rule, AnswerRule::Recall(_))).expect("a search");
        let record = |arm, found: &Found| {
            let recall = Recall::from([(format!("{}/search", transaction.name), found.clone())]);
            recall_record(&scenario, arm, &recall, 20).pop().expect("a record")
        };
        let mut found = Found::default();
        found.add(TenantClass::Whale, &[1.0, 1.0]);
        found.add(TenantClass::Tail, &[]);
        let passed = record(Arm::at(1), &found);
        assert_eq!((passed.outcome, passed.cases), (CheckOutcome::Passed, 40));
        assert_eq!(
            passed.findings,
            [
                "recall is at least the 0.95 that the scenario asks for",
                "share of the exact nearest found: whale 1.000",
                "nothing to find, as the exact form returns no row: tail",
            ]
        );

        let over = Found { over: vec!["the search returns 30 rows, its exact form 10".to_owned()], ..found.clone() };
        for arm in [Arm::BASELINE, Arm::at(1)] {
            let failed = record(arm, &over);
            assert_eq!((failed.outcome, &failed.findings[0]), (CheckOutcome::Failed, &over.over[0]));
        }
        found.add(TenantClass::Middle, &[0.5]);
        assert_eq!(record(Arm::at(1), &found).outcome, CheckOutcome::Failed);
        assert_eq!(record(Arm::BASELINE, &found).outcome, CheckOutcome::Passed);
    }
}

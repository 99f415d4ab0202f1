//! Agreement: the same draws on both sides give the answers that the scenario says they must, and searches find what is there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::answers::difference;
use super::identities::{representatives, stratified};
use crate::dataset::TenantClass;
use crate::load::bind::{Actor, Arrival, Mix, SequenceRange};
use crate::load::session::{Answer, End, Session, StatementAnswer};
use crate::record::{CheckKind, CheckOutcome, CheckRecord, Mode, Side, Sides};
use crate::scenario::{AnswerRule, Identity as Runs, Scenario, Transaction};

/// Draws of a transaction that reads.
const READ_DRAWS: u64 = 200;
/// Draws of a transaction that writes, at least.
const WRITE_DRAWS: u64 = 12;
/// Findings kept a transaction.
const KEPT: usize = 5;

/// How long one transaction may be checked, beyond the least number of draws.
fn patience(mode: Mode, writes: bool) -> Duration {
    match (mode, writes) {
        (Mode::Quick, false) => Duration::from_secs(4),
        (Mode::Quick, true) => Duration::from_secs(2),
        (_, false) => Duration::from_secs(30),
        (_, true) => Duration::from_secs(5),
    }
}

/// Runs every transaction with the same arrivals on both sides; one record a transaction. What writes is rolled back.
pub async fn check(scenario: &Scenario, mix: &Mix, sessions: &mut Sides<Session>, mode: Mode) -> Vec<CheckRecord> {
    let mut records = Vec::new();
    for (index, transaction) in scenario.transactions.iter().enumerate() {
        let mut tally = Tally::default();
        let began = Instant::now();
        let stratified = WRITE_DRAWS.max(stratified(mix.dataset()).len() as u64);
        // What runs as the service or as nobody is the same whoever the draw is for.
        let anyone = !matches!(transaction.identity, Runs::Member { .. });
        let least = if transaction.writes && anyone { WRITE_DRAWS } else { stratified };
        let most = if transaction.writes { least } else { READ_DRAWS };
        for draw in 0..most {
            if draw >= least && began.elapsed() > patience(mode, transaction.writes) || tally.findings.len() >= KEPT {
                break;
            }
            let arrival = arrival(mix, transaction, index, draw);
            tally.cases += 1;
            tally.compare(transaction, &arrival, sessions).await;
        }
        records.push(tally.record(scenario, transaction));
    }
    records
}

/// The first draws go through every tenant class and role; the rest come as they would under load.
pub fn arrival(mix: &Mix, transaction: &Transaction, index: usize, draw: u64) -> Arrival {
    let sequence = SequenceRange::Check(index as u32).first() + draw;
    let able = mix.tenants_for(index);
    let kinds: Vec<(u32, Option<u64>)> = stratified(mix.dataset())
        .into_iter()
        .filter_map(|identity| match (&identity.actor, identity.tenant) {
            (Actor::User(user), Some(tenant)) if able.contains(&tenant) => {
                let fits = match &transaction.identity {
                    Runs::Member { role: Some(role) } => user.memberships.iter().any(|m| m.tenant == tenant && *m.role == **role),
                    Runs::Member { role: None } => true,
                    _ => false,
                };
                Some((tenant, fits.then_some(user.row)))
            }
            _ => None,
        })
        .collect();
    match kinds.get(draw as usize) {
        Some((tenant, user)) => mix.arrival_of(sequence, index, Some(*tenant), *user),
        None => mix.arrival_of(sequence, index, None, None),
    }
}

#[derive(Default)]
struct Tally {
    cases: u64,
    findings: Vec<String>,
}

impl Tally {
    async fn compare(&mut self, transaction: &Transaction, arrival: &Arrival, sessions: &mut Sides<Session>) {
        let before = answers(&mut sessions.before, arrival).await;
        let after = answers(&mut sessions.after, arrival).await;
        let whom = whom(arrival);
        match (before, after) {
            (Ok(before), Ok(after)) => {
                for (b, a) in paired(&before, &after) {
                    if let Some(found) = difference(&transaction.answers, &b.answer, &a.answer) {
                        self.findings.push(format!("{whom}, statement {}: {found}", b.statement));
                    }
                }
            }
            (before, after) => {
                for (side, result) in [(Side::Before, before), (Side::After, after)] {
                    if let Err(error) = result {
                        self.findings.push(format!("{whom}: {} fails: {error}", side.name()));
                    }
                }
            }
        }
    }

    fn record(self, scenario: &Scenario, transaction: &Transaction) -> CheckRecord {
        let mut findings = self.findings;
        let outcome = if findings.is_empty() { CheckOutcome::Passed } else { CheckOutcome::Failed };
        if let (AnswerRule::Differs(why), true) = (&transaction.answers.rule, findings.is_empty()) {
            findings.push(format!("answers are not compared: {why}"));
        }
        CheckRecord {
            scenario: scenario.path(),
            kind: CheckKind::Answers,
            subject: transaction.name.clone(),
            side: None,
            cases: self.cases,
            outcome,
            findings,
        }
    }
}

async fn answers(session: &mut Session, arrival: &Arrival) -> Result<Vec<StatementAnswer>, String> {
    let mut answers = Vec::new();
    match session.run(arrival, End::Rollback, Some(&mut answers)).await {
        Ok(_) => Ok(answers),
        Err(error) => Err(error.to_string()),
    }
}

/// Statements of one name on both sides; if no name is shared, the last of each side.
fn paired<'a>(before: &'a [StatementAnswer], after: &'a [StatementAnswer]) -> Vec<(&'a StatementAnswer, &'a StatementAnswer)> {
    let shared: Vec<_> = before.iter().filter_map(|b| after.iter().find(|a| a.statement == b.statement).map(|a| (b, a))).collect();
    if shared.is_empty() { before.last().zip(after.last()).into_iter().collect() } else { shared }
}

fn whom(arrival: &Arrival) -> String {
    let who = match &arrival.actor {
        Actor::User(user) => format!("user {}", uuid::Uuid::from_bytes(user.id)),
        Actor::Anon => "anon".to_owned(),
        Actor::Service => "service role".to_owned(),
        Actor::Login => "login role".to_owned(),
    };
    match arrival.tenant {
        Some(tenant) => format!("tenant {tenant} ({}), {who}", arrival.class.name()),
        None => who,
    }
}

/// Recall by tenant class and statement of one side.
pub type Recall = BTreeMap<String, BTreeMap<String, f64>>;

/// Compares each search with its exact form, for the whale, a middle and a tail tenant: the share of the exact answer's first column that
/// the search finds.
pub async fn recall(
    scenario: &Scenario,
    mix: &Mix,
    side: Side,
    search: &mut Session,
    exact: &mut Session,
    draws_per_class: u64,
) -> Result<Recall, String> {
    let mut sums: BTreeMap<String, BTreeMap<String, (f64, f64)>> = BTreeMap::new();
    for (index, transaction) in scenario.transactions.iter().enumerate() {
        let statements = transaction.statements.get(side);
        if statements.iter().all(|statement| statement.exact.is_none()) {
            continue;
        }
        let able = mix.tenants_for(index);
        for (class, tenant) in class_tenants(mix, &able) {
            for draw in 0..draws_per_class {
                let sequence = SequenceRange::Check(0x3000 + index as u32).first() + draw;
                let arrival = mix.arrival_of(sequence, index, Some(tenant), None);
                let found = answers(search, &arrival).await?;
                let wanted = answers(exact, &arrival).await?;
                for statement in statements.iter().filter(|statement| statement.exact.is_some()) {
                    let by_name = |all: &[StatementAnswer]| all.iter().find(|a| a.statement == statement.name).map(|a| a.answer.clone());
                    let (Some(found), Some(wanted)) = (by_name(&found), by_name(&wanted)) else { continue };
                    if let Some(share) = share_found(&found, &wanted) {
                        let key = format!("{}/{}", transaction.name, statement.name);
                        let sum = sums.entry(key).or_default().entry(class.name().to_owned()).or_default();
                        *sum = (sum.0 + share, sum.1 + 1.0);
                    }
                }
            }
        }
    }
    let mean = |classes: BTreeMap<String, (f64, f64)>| classes.into_iter().map(|(class, (sum, n))| (class, sum / n)).collect();
    Ok(sums.into_iter().map(|(statement, classes)| (statement, mean(classes))).collect())
}

/// A tenant of each class that can run the transaction; the representative one if it can.
fn class_tenants(mix: &Mix, able: &[u32]) -> Vec<(TenantClass, u32)> {
    let typical = representatives(mix.dataset());
    TenantClass::ALL
        .iter()
        .filter_map(|class| {
            let of_class = |tenant: &&u32| mix.dataset().class(**tenant) == *class;
            let preferred = typical.iter().map(|(_, tenant)| tenant).filter(of_class).find(|tenant| able.contains(tenant));
            preferred.or_else(|| able.iter().find(of_class)).map(|tenant| (*class, *tenant))
        })
        .collect()
}

fn share_found(found: &Answer, wanted: &Answer) -> Option<f64> {
    let first = |answer: &Answer| answer.rows.iter().filter_map(|row| row.first().cloned().flatten()).collect::<Vec<_>>();
    let (found, wanted) = (first(found), first(wanted));
    (!wanted.is_empty()).then(|| wanted.iter().filter(|key| found.contains(key)).count() as f64 / wanted.len() as f64)
}

/// The recall of a side as a check: it must reach what the scenario asks for, on the after side.
pub fn recall_record(scenario: &Scenario, side: Side, recall: &Recall, draws_per_class: u64) -> Vec<CheckRecord> {
    let rule = |name: &str| {
        let transaction = scenario.transactions.iter().find(|t| name.starts_with(&format!("{}/", t.name)))?;
        match transaction.answers.rule {
            AnswerRule::Recall(least) if side == Side::After => Some(least),
            _ => None,
        }
    };
    let describe = |(statement, classes): (&String, &BTreeMap<String, f64>)| {
        let least = rule(statement);
        let short = classes.values().any(|share| least.is_some_and(|least| *share < least));
        let shown: Vec<String> = classes.iter().map(|(class, share)| format!("{class} {share:.3}")).collect();
        let mut findings = vec![format!("share of the exact nearest found: {}", shown.join(", "))];
        if let (true, Some(least)) = (short, least) {
            findings.insert(0, format!("recall is below the {least} that the scenario asks for"));
        }
        CheckRecord {
            scenario: scenario.path(),
            kind: CheckKind::Recall,
            subject: statement.clone(),
            side: Some(side),
            cases: draws_per_class * classes.len() as u64,
            outcome: if short { CheckOutcome::Failed } else { CheckOutcome::Passed },
            findings,
        }
    };
    recall.iter().map(describe).collect()
}

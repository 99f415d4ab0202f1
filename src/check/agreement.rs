//! Agreement: the same draws on both sides give the answers that the scenario says they must, and searches find what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::answers::difference;
use super::identities::{representatives, stratified};
use crate::dataset::{Tenant, TenantClass, User};
use crate::load::bind::{Actor, Arrival, Mix, SequenceRange};
use crate::load::session::{Answer, End, Session, SessionError, StatementAnswer};
use crate::record::{CheckKind, CheckOutcome, CheckRecord, Mode, Side, Sides};
use crate::scenario::{AnswerRule, Identity as Runs, Scenario, Transaction};

/// Draws of a transaction at most.
const MOST_DRAWS: u64 = 200;
/// Draws of a transaction, at least.
const LEAST_DRAWS: u64 = 12;
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

/// What the check found.
#[derive(Debug, Default)]
pub struct Agreement {
    /// One a transaction.
    pub records: Vec<CheckRecord>,
    /// Why there are no answers that could be right or wrong.
    pub unanswered: Option<Unanswered>,
}

/// Why a transaction has no answers.
#[derive(Debug)]
pub enum Unanswered {
    /// PostgreSQL rejects it whoever asks, on both sides alike.
    Rejected(SessionError),
    /// A connection was lost.
    Lost(Side, SessionError),
}

/// Runs every transaction with the same arrivals on both sides. What writes is rolled back.
pub async fn check(scenario: &Scenario, mix: &Mix, sessions: &mut Sides<Session>, mode: Mode) -> Agreement {
    let mut agreement = Agreement::default();
    for (index, transaction) in scenario.transactions.iter().enumerate() {
        let mut tally = Tally::default();
        let began = Instant::now();
        let draws = Draws::of(mix, transaction, index);
        // What runs as the service or as nobody is the same whoever the draw is for.
        let anyone = !matches!(transaction.identity, Runs::Member { .. });
        let least = if transaction.writes && anyone { LEAST_DRAWS } else { LEAST_DRAWS.max(draws.count()) };
        for draw in 0..MOST_DRAWS {
            let telling = tally.findings.len().max(tally.rejected.len()) >= KEPT || tally.lost.is_some();
            if telling || draw >= least && began.elapsed() > patience(mode, transaction.writes) {
                break;
            }
            let (whom, arrival) = draws.arrival(mix, index, draw);
            tally.cases += 1;
            tally.compare(transaction, whom, &arrival, sessions).await;
        }
        if let Some((side, error)) = tally.lost.take() {
            agreement.unanswered = Some(Unanswered::Lost(side, error));
            return agreement;
        }
        match tally.rejected_always() {
            Some(error) => agreement.unanswered = agreement.unanswered.or(Some(Unanswered::Rejected(error))),
            None => agreement.records.push(tally.record(scenario, transaction)),
        }
    }
    agreement
}

/// Whom a draw is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Whom {
    /// Whoever would run the transaction under load.
    Usual,
    /// A user in no tenant, or one who has not signed in, who asks with the parameters of a tenant's member.
    Stranger,
}

/// The draws that come first: every tenant class and role, then the user in no tenant once for each class, then nobody at all likewise.
struct Draws {
    members: Vec<(Tenant, Option<u64>)>,
    stranger: Option<User>,
    /// Whose parameters the stranger and nobody take.
    foreign: Vec<Tenant>,
}

impl Draws {
    fn of(mix: &Mix, transaction: &Transaction, index: usize) -> Draws {
        let able = mix.tenants_for(index);
        let mut draws = Draws { members: Vec::new(), stranger: None, foreign: Vec::new() };
        for identity in stratified(mix.dataset()) {
            let Actor::User(user) = identity.actor else { continue };
            match (identity.tenant, &transaction.identity) {
                (Some(tenant), runs) if able.contains(&tenant) => {
                    let fits = match runs {
                        Runs::Member { role: Some(role) } => user.memberships.iter().any(|m| m.tenant == tenant && *m.role == **role),
                        Runs::Member { role: None } => true,
                        _ => false,
                    };
                    draws.members.push((tenant, fits.then_some(user.row)));
                }
                (None, Runs::Member { .. }) => {
                    draws.foreign = class_tenants(mix, &able).into_iter().map(|(_, tenant)| tenant).collect();
                    draws.stranger = Some(user);
                }
                _ => {}
            }
        }
        draws
    }

    /// Draw number `draw`: after the first ones they come as they would under load.
    fn arrival(&self, mix: &Mix, index: usize, draw: u64) -> (Whom, Arrival) {
        let sequence = SequenceRange::Check(index as u32).first() + draw;
        let position = draw as usize;
        if let Some((tenant, user)) = self.members.get(position) {
            return (Whom::Usual, mix.arrival_of(sequence, index, Some(*tenant), *user));
        }
        match (self.foreign.get(position - self.members.len()), &self.stranger) {
            (Some(tenant), Some(stranger)) => {
                let arrival = mix.arrival_of(sequence, index, Some(*tenant), None);
                (Whom::Stranger, Arrival { actor: Actor::User(stranger.clone()), ..arrival })
            }
            _ => {
                let anon = position.checked_sub(self.members.len() + self.foreign.len()).and_then(|place| self.foreign.get(place));
                match anon {
                    Some(tenant) => {
                        let arrival = mix.arrival_of(sequence, index, Some(*tenant), None);
                        (Whom::Stranger, Arrival { actor: Actor::Anon, ..arrival })
                    }
                    None => (Whom::Usual, mix.arrival_of(sequence, index, None, None)),
                }
            }
        }
    }

    /// How many they are.
    fn count(&self) -> u64 {
        (self.members.len() + 2 * self.foreign.len()) as u64
    }
}

#[derive(Default)]
struct Tally {
    cases: u64,
    findings: Vec<String>,
    /// Whom both sides refuse with the same SQLSTATE, and with what words the one before does.
    rejected: Vec<(String, SessionError)>,
    lost: Option<(Side, SessionError)>,
}

impl Tally {
    async fn compare(&mut self, transaction: &Transaction, whom: Whom, arrival: &Arrival, sessions: &mut Sides<Session>) {
        // Each side has a database of its own, and nothing is timed: both at once take half as long.
        let (before, after) = tokio::join!(answers(&mut sessions.before, arrival), answers(&mut sessions.after, arrival));
        let refused = |error: &SessionError| whom == Whom::Stranger && !error.is_lost();
        let whom = worded(whom, arrival);
        match (before, after) {
            // Who belongs nowhere may be refused, if both sides refuse alike.
            (Err(before), Err(after)) if refused(&before) && refused(&after) && before.code() == after.code() => {}
            (Err(before), Err(after)) if !before.is_lost() && before.code() == after.code() => self.rejected.push((whom, before)),
            (Ok(before), Ok(after)) => {
                for (b, a) in paired(&before, &after) {
                    if let Some(found) = difference(&transaction.answers, b, a) {
                        self.findings.push(format!("{whom}, {}: {found}", pair_name(b, a)));
                    }
                }
            }
            (before, after) => {
                for (side, result) in [(Side::Before, before), (Side::After, after)] {
                    if let Err(error) = result {
                        if error.is_lost() {
                            self.lost = Some((side, error));
                            return;
                        }
                        self.findings.push(format!("{whom}: {} fails: {error}", side.name()));
                    }
                }
            }
        }
    }

    /// The reason, if no draw at all was answered, and none was answered on one side only.
    fn rejected_always(&mut self) -> Option<SessionError> {
        let always = self.cases > 0 && self.rejected.len() as u64 == self.cases;
        always.then(|| std::mem::take(&mut self.rejected).swap_remove(0).1)
    }

    fn record(self, scenario: &Scenario, transaction: &Transaction) -> CheckRecord {
        let mut findings = self.findings;
        findings.extend(self.rejected.iter().map(|(whom, error)| format!("{whom}: both sides fail: {error}")));
        findings.truncate(KEPT);
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

async fn answers(session: &mut Session, arrival: &Arrival) -> Result<Vec<StatementAnswer>, SessionError> {
    let mut answers = Vec::new();
    session.run(arrival, End::Rollback, Some(&mut answers)).await?;
    Ok(answers)
}

/// Statements of one name on both sides, and of those that only one side has, the last of each side.
fn paired<'a>(before: &'a [StatementAnswer], after: &'a [StatementAnswer]) -> Vec<(&'a StatementAnswer, &'a StatementAnswer)> {
    let partner = |of: &StatementAnswer, among: &'a [StatementAnswer]| among.iter().find(|other| other.statement == of.statement);
    let shared = before.iter().filter_map(|b| partner(b, after).map(|a| (b, a)));
    let last_of = |own: &'a [StatementAnswer], other: &'a [StatementAnswer]| own.iter().rfind(|own| partner(own, other).is_none());
    shared.chain(last_of(before, after).zip(last_of(after, before))).collect()
}

fn pair_name(before: &StatementAnswer, after: &StatementAnswer) -> String {
    match before.statement == after.statement {
        true => format!("statement {}", before.statement),
        false => format!("statements {} (before) and {} (after)", before.statement, after.statement),
    }
}

fn worded(whom: Whom, arrival: &Arrival) -> String {
    let who = match &arrival.actor {
        Actor::User(_) if whom == Whom::Stranger => "a user in no tenant".to_owned(),
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

/// By `transaction/statement` of one side.
pub type Recall = BTreeMap<String, Found>;

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
    let mut recall = Recall::new();
    for (index, transaction) in scenario.transactions.iter().enumerate() {
        let statements = transaction.statements.get(side);
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

/// A search that returns more than its exact form would have perfect recall by returning everything.
fn over_answer(found: &Answer, wanted: &Answer) -> Option<String> {
    let (found, wanted) = (found.rows.len(), wanted.rows.len());
    (found > wanted).then(|| format!("the search returns {found} row(s), its exact form {wanted}"))
}

/// The recall of a side as a check: no search may return more than its exact form, and the after side must reach what the scenario asks for.
pub fn recall_record(scenario: &Scenario, side: Side, recall: &Recall, draws_per_class: u64) -> Vec<CheckRecord> {
    let rule = |name: &str| {
        let transaction = scenario.transactions.iter().find(|t| name.starts_with(&format!("{}/", t.name)))?;
        match transaction.answers.rule {
            AnswerRule::Recall(least) if side == Side::After => Some(least),
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
            side: Some(side),
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

    fn answered(names: &[&str]) -> Vec<StatementAnswer> {
        names.iter().map(|name| StatementAnswer { statement: name.to_string(), answer: Answer::default(), affected: 0 }).collect()
    }

    fn pairs(before: &[&str], after: &[&str]) -> Vec<(String, String)> {
        let (before, after) = (answered(before), answered(after));
        paired(&before, &after).into_iter().map(|(b, a)| (b.statement.clone(), a.statement.clone())).collect()
    }

    fn named(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(b, a)| (b.to_string(), a.to_string())).collect()
    }

    #[test]
    fn what_only_one_side_has_is_compared_beside_what_both_have() {
        assert_eq!(pairs(&["a", "b"], &["a", "c"]), named(&[("a", "a"), ("b", "c")]));
        assert_eq!(pairs(&["b", "d", "a"], &["c", "a"]), named(&[("a", "a"), ("d", "c")]), "the last of each side");
        assert_eq!(pairs(&["read", "write"], &["write"]), named(&[("write", "write")]), "nothing stands against `read`");
        assert_eq!(pairs(&["a", "b"], &["c"]), named(&[("b", "c")]));
    }

    fn ids(ids: &[&str]) -> Answer {
        Answer { columns: vec!["id".into()], rows: ids.iter().map(|id| vec![Some(id.to_string())]).collect() }
    }

    #[test]
    fn a_search_that_returns_everything_is_no_perfect_search() {
        let (all, nearest) = (ids(&["a", "b", "c"]), ids(&["a", "b"]));
        assert_eq!(share_found(&all, &nearest), Some(1.0));
        assert_eq!(over_answer(&all, &nearest).unwrap(), "the search returns 3 row(s), its exact form 2");
        assert_eq!(over_answer(&nearest, &nearest), None);
        assert_eq!(over_answer(&ids(&["a"]), &nearest), None);
        assert_eq!(share_found(&all, &ids(&[])), None, "nothing to find");
    }

    #[test]
    fn recall_fails_by_too_few_and_by_too_many_and_says_where_nothing_was_to_be_found() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let scenario = crate::scenario::load(root, "omniops/vector-search").expect("a scenario that asks for a recall");
        let transaction = scenario.transactions.iter().find(|t| matches!(t.answers.rule, AnswerRule::Recall(_))).expect("a search");
        let record = |side, found: &Found| {
            let recall = Recall::from([(format!("{}/search", transaction.name), found.clone())]);
            recall_record(&scenario, side, &recall, 20).pop().expect("a record")
        };
        let mut found = Found::default();
        found.add(TenantClass::Whale, &[1.0, 1.0]);
        found.add(TenantClass::Tail, &[]);
        let passed = record(Side::After, &found);
        assert_eq!((passed.outcome, passed.cases), (CheckOutcome::Passed, 40));
        assert_eq!(
            passed.findings,
            [
                "recall is at least the 0.95 that the scenario asks for",
                "share of the exact nearest found: whale 1.000",
                "nothing to find, as the exact form returns no row: tail",
            ]
        );

        let over = Found { over: vec!["the search returns 30 row(s), its exact form 10".to_owned()], ..found.clone() };
        for side in Side::BOTH {
            let failed = record(side, &over);
            assert_eq!((failed.outcome, &failed.findings[0]), (CheckOutcome::Failed, &over.over[0]));
        }
        found.add(TenantClass::Middle, &[0.5]);
        assert_eq!(record(Side::After, &found).outcome, CheckOutcome::Failed);
        assert_eq!(record(Side::Before, &found).outcome, CheckOutcome::Passed);
    }
}

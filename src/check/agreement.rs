//! Agreement: runs the same draws on every arm, and compares each arm's answers with the baseline's by the rule of the scenario.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::answers::{Names, difference};
use super::identities::{class_tenants, stratified};
use crate::dataset::{Tenant, User};
use crate::load::bind::{Actor, Arrival, Mix, SequenceRange};
use crate::load::session::{End, Session, SessionError, StatementAnswer};
use crate::record::{Arm, Arms, CheckKind, CheckOutcome, CheckRecord, Mode};
use crate::scenario::{AnswerRule, Identity as Runs, Scenario, Transaction};

/// Draws of a transaction at most.
const MOST_DRAWS: u64 = 200;
/// Draws of a transaction, at least. Quick mode halves it for transactions that write and that no member runs.
const LEAST_DRAWS: u64 = 12;
/// Findings kept a transaction.
pub(super) const KEPT: usize = 5;

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
    /// PostgreSQL rejects it whoever asks, on all arms alike.
    Rejected(SessionError),
    /// A connection was lost.
    Lost(Arm, SessionError),
}

/// Runs every transaction with the same arrivals on all arms. What writes is rolled back.
pub async fn check(scenario: &Scenario, mix: &Mix, sessions: &mut Arms<Session>, mode: Mode) -> Agreement {
    let mut agreement = Agreement::default();
    for (index, transaction) in scenario.transactions.iter().enumerate() {
        let mut tally = Tally::default();
        let began = Instant::now();
        let draws = Draws::of(mix, transaction, index);
        // What runs as the service or as nobody is the same whoever the draw is for.
        let anyone = !matches!(transaction.identity, Runs::Member { .. });
        let least = match (transaction.writes && anyone, mode) {
            (true, Mode::Quick) => LEAST_DRAWS / 2,
            (true, _) => LEAST_DRAWS,
            (false, _) => LEAST_DRAWS.max(draws.count()),
        };
        for draw in 0..MOST_DRAWS {
            let telling = tally.findings.len().max(tally.rejected.len()) >= KEPT || tally.lost.is_some();
            if telling || draw >= least && began.elapsed() > patience(mode, transaction.writes) {
                break;
            }
            let (whom, arrival) = draws.arrival(mix, index, draw);
            tally.cases += 1;
            tally.compare(scenario, transaction, whom, &arrival, sessions).await;
        }
        if let Some((arm, error)) = tally.lost.take() {
            agreement.unanswered = Some(Unanswered::Lost(arm, error));
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
pub(super) enum Whom {
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
    /// Whom all arms refuse with the same SQLSTATE, and with what words the baseline does.
    rejected: Vec<(String, SessionError)>,
    lost: Option<(Arm, SessionError)>,
}

impl Tally {
    async fn compare(
        &mut self,
        scenario: &Scenario,
        transaction: &Transaction,
        whom: Whom,
        arrival: &Arrival,
        sessions: &mut Arms<Session>,
    ) {
        // Each arm has a database of its own, and nothing is timed: all at once take less time.
        let answered = join_all(sessions.values_mut().map(|session| answers(session, arrival))).await;
        let lost = |result: &Result<_, SessionError>| result.as_ref().is_err_and(SessionError::is_lost);
        let first_lost = answered.iter().position(lost);
        let Ok(mut answered) = Arms::try_from(answered) else { return };
        if let Some(arm) = first_lost.map(Arm::at) {
            let result = std::mem::replace(answered.get_mut(arm), Ok(Vec::new()));
            self.lost = result.err().map(|error| (arm, error));
            return;
        }
        let stranger = whom == Whom::Stranger;
        let whom = worded(whom, arrival);
        // That no arm does better is no excuse.
        let changed = |(arm, result): (Arm, &Result<_, SessionError>)| match result {
            Err(error @ SessionError::Changed { .. }) => Some(format!("{whom}: {}: {error}", scenario.arms.get(arm).name)),
            _ => None,
        };
        let changed: Vec<String> = answered.iter().filter_map(changed).collect();
        if !changed.is_empty() {
            self.findings.extend(changed);
            return;
        }
        let code = |arm: Arm| answered.get(arm).as_ref().err().map(SessionError::code);
        let alike = |arm: &Arm| code(*arm).is_some() && code(*arm) == code(Arm::BASELINE);
        if answered.rivals().all(|arm| alike(&arm)) && code(Arm::BASELINE).is_some() {
            // Who belongs nowhere may be refused, if all arms refuse alike.
            if let (false, Err(error)) = (stranger, answered.baseline) {
                self.rejected.push((whom, error));
            }
            return;
        }
        let name = |arm: Arm| scenario.arms.get(arm).name.as_str();
        let differing: Vec<Arm> = answered.rivals().filter(|arm| !alike(arm)).collect();
        if let Err(error) = &answered.baseline {
            self.findings.push(format!("{whom}: {} fails: {error}", name(Arm::BASELINE)));
        }
        for arm in differing {
            match (&answered.baseline, answered.get(arm)) {
                (_, Err(error)) => self.findings.push(format!("{whom}: {} fails: {error}", name(arm))),
                (Ok(baseline), Ok(other)) => {
                    let names = Names { baseline: name(Arm::BASELINE), arm: name(arm) };
                    for (b, a) in paired(baseline, other) {
                        if let Some(found) = difference(&transaction.answers, names, b, a) {
                            self.findings.push(format!("{whom}, {}: {found}", pair_name(names, b, a)));
                        }
                    }
                }
                (Err(_), Ok(_)) => {}
            }
        }
    }

    /// The reason, if no draw at all was answered, and none was answered on some arms only.
    fn rejected_always(&mut self) -> Option<SessionError> {
        let always = self.cases > 0 && self.rejected.len() as u64 == self.cases;
        always.then(|| std::mem::take(&mut self.rejected).swap_remove(0).1)
    }

    fn record(self, scenario: &Scenario, transaction: &Transaction) -> CheckRecord {
        let mut findings = self.findings;
        findings.extend(self.rejected.iter().map(|(whom, error)| format!("{whom}: all arms fail: {error}")));
        findings.truncate(KEPT);
        let outcome = if findings.is_empty() { CheckOutcome::Passed } else { CheckOutcome::Failed };
        if let (AnswerRule::Differs(why), true) = (&transaction.answers.rule, findings.is_empty()) {
            findings.push(format!("answers are not compared: {why}"));
        }
        CheckRecord {
            scenario: scenario.path(),
            kind: CheckKind::Answers,
            subject: transaction.name.clone(),
            arm: None,
            cases: self.cases,
            outcome,
            findings,
        }
    }
}

pub(super) async fn answers(session: &mut Session, arrival: &Arrival) -> Result<Vec<StatementAnswer>, SessionError> {
    let mut answers = Vec::new();
    session.run(arrival, End::Rollback, Some(&mut answers)).await?;
    Ok(answers)
}

/// Statements of one name on the baseline and an arm, and of those that only one of them has, the last of each.
fn paired<'a>(baseline: &'a [StatementAnswer], arm: &'a [StatementAnswer]) -> Vec<(&'a StatementAnswer, &'a StatementAnswer)> {
    let partner = |of: &StatementAnswer, among: &'a [StatementAnswer]| among.iter().find(|other| other.statement == of.statement);
    let shared = baseline.iter().filter_map(|b| partner(b, arm).map(|a| (b, a)));
    let last_of = |own: &'a [StatementAnswer], other: &'a [StatementAnswer]| own.iter().rfind(|own| partner(own, other).is_none());
    shared.chain(last_of(baseline, arm).zip(last_of(arm, baseline))).collect()
}

fn pair_name(names: Names<'_>, baseline: &StatementAnswer, arm: &StatementAnswer) -> String {
    match baseline.statement == arm.statement {
        true => format!("statement {}", baseline.statement),
        false => format!("statements {} ({}) and {} ({})", baseline.statement, names.baseline, arm.statement, names.arm),
    }
}

pub(super) fn worded(whom: Whom, arrival: &Arrival) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::session::Answer;

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
    fn what_only_one_arm_has_is_compared_beside_what_both_have() {
        assert_eq!(pairs(&["a", "b"], &["a", "c"]), named(&[("a", "a"), ("b", "c")]));
        assert_eq!(pairs(&["b", "d", "a"], &["c", "a"]), named(&[("a", "a"), ("d", "c")]), "the last of each arm");
        assert_eq!(pairs(&["read", "write"], &["write"]), named(&[("write", "write")]), "nothing stands against `read`");
        assert_eq!(pairs(&["a", "b"], &["c"]), named(&[("b", "c")]));
    }
}

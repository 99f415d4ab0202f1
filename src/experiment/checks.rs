//! What comes before any timing: answers, isolation and recall of every arm, and how long one session takes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Event;
use super::rejection::{self, Form, is_servers_fault};
use super::route::Route;
use super::scenario_duel::{Halt, ScenarioDuel};
use crate::check::agreement::{self, Unanswered};
use crate::check::isolation;
use crate::check::recall::{self, Recall};
use crate::load::bind::{Mix, SequenceRange};
use crate::load::program::Program;
use crate::load::session::{End, Session, SessionError};
use crate::record::{Arm, Arms, CheckKind, CheckOutcome, CheckRecord, Line, StopReason};
use crate::target::Login;

/// Searches a tenant class for recall.
const RECALL_DRAWS: u64 = 20;

/// What the checks found.
pub(super) struct Checked {
    /// Whether any failed: then nothing is timed.
    pub(super) failed: bool,
    /// Recall of each search.
    pub(super) recall: Arms<Recall>,
}

/// Time of a transaction on a single session.
pub(super) struct SingleTimes {
    /// What the server takes.
    pub(super) direct: Arms<Duration>,
    /// With the round-trip time that the scenario injects: what a block of it takes.
    pub(super) paced: Arms<Duration>,
}

impl ScenarioDuel<'_, '_> {
    /// Answers, isolation, recall. Nothing that they do stays.
    pub(super) async fn checks(&mut self, mix: &Mix, routes: &Arms<Route>) -> Result<Checked, Halt> {
        self.environment.progress.event(&Event::Checking { scenario: &self.scenario.path() });
        let mut failed = self.isolation(mix, routes).await?;
        let now = mix.dataset().now();
        let mut opened = Vec::new();
        for route in routes.values() {
            opened.push(route.session(now).await);
        }
        if opened.iter().any(Result::is_err) {
            // A leak that was found weighs more than a statement that cannot be prepared.
            return if failed { Ok(Checked { failed, recall: no_recall(routes) }) } else { Err(self.not_prepared(opened)) };
        }
        let mut sessions = arms_of(opened.into_iter().flatten().collect())?;
        let agreement = agreement::check(self.scenario, mix, &mut sessions, self.plan.mode).await;
        failed |= self.append_checks(agreement.records)?;
        match agreement.unanswered {
            // What failed before weighs more than that the rest cannot be asked.
            Some(_) if failed => return Ok(Checked { failed, recall: no_recall(routes) }),
            Some(Unanswered::Rejected(error)) if is_servers_fault(error.code()) => return Err(Halt::Failed(error.into())),
            Some(Unanswered::Rejected(error)) => {
                let message = rejection::describe(self.scenario, Arm::BASELINE, Form::Timed, &error);
                return Err(Halt::Stop(StopReason::Rejected { message }));
            }
            Some(Unanswered::Lost(arm, error)) if error.code() == "answer" => {
                let name = &self.scenario.arms.get(arm).name;
                let message = format!("{}: {name}, {error}; have it return fewer rows", self.scenario.file.display());
                return Err(Halt::Stop(StopReason::Rejected { message }));
            }
            Some(Unanswered::Lost(arm, error)) => {
                let name = &self.scenario.arms.get(arm).name;
                let error = anyhow::Error::new(error).context(format!("the connection to {name} was lost in the checks"));
                return Err(Halt::Failed(error));
            }
            None => {}
        }
        let mut recall = no_recall(routes);
        for (arm, route) in routes.iter() {
            *recall.get_mut(arm) = match self.recall(mix, arm, route, sessions.get_mut(arm)).await {
                Err(_) if failed => return Ok(Checked { failed, recall: no_recall(routes) }),
                found => found?,
            };
            let found = recall::recall_record(self.scenario, arm, recall.get(arm), RECALL_DRAWS);
            failed |= self.append_checks(found)?;
        }
        Ok(Checked { failed, recall })
    }

    /// Whether every identity sees its rows and no others, on every arm; in the record at once, so that a leak is told whatever else fails.
    async fn isolation(&mut self, mix: &Mix, routes: &Arms<Route>) -> Result<bool, Halt> {
        let path = self.scenario.path();
        let mut failed = false;
        for (arm, route) in routes.iter() {
            let records = match self.arenas.isolated.records(&route.database, &path, arm) {
                Some(passed) => passed,
                None => {
                    let variant = self.variant(arm)?;
                    let server = self.environment.server;
                    let mut connection = server.connect_as(Login::Requests, &route.database).await.map_err(anyhow::Error::from)?;
                    let login = self.plan.suite.login.as_deref();
                    let found = isolation::check(&mut connection, mix.dataset(), variant, login, &path, arm).await?;
                    let _ = sqlx::Connection::close(connection).await;
                    self.arenas.isolated.keep(&route.database, &found);
                    found
                }
            };
            failed |= self.append_checks(records)?;
        }
        Ok(failed)
    }

    /// Adds checks to the record; returns whether any of them failed.
    fn append_checks(&mut self, records: Vec<CheckRecord>) -> Result<bool, Halt> {
        let failed = records.iter().any(|record| record.outcome == CheckOutcome::Failed);
        for record in records {
            self.append(Line::Check(record))?;
        }
        Ok(failed)
    }

    /// How long one session takes for a transaction, without and with the round-trip time.
    pub(super) async fn time(&self, mix: &Mix, routes: &Arms<Route>) -> Result<SingleTimes, Halt> {
        let now = mix.dataset().now();
        let mut sessions = Vec::new();
        for (arm, route) in routes.iter() {
            let unpaced = Program { request_pause_ns: 0, ..(*route.program).clone() };
            sessions.push(route.session_with(unpaced, now).await.map_err(|error| self.refused(arm, Form::Timed, error))?);
        }
        let direct = time_sessions(mix, &mut arms_of(sessions)?, SequenceRange::Probe(0x100)).await;
        if self.scenario.arms.arms().all(|arm| self.scenario.rtt(arm).is_zero()) {
            return Ok(SingleTimes { paced: direct.clone(), direct });
        }
        let mut sessions = Vec::new();
        for (arm, route) in routes.iter() {
            sessions.push(route.loaded_session(now).await.map_err(|error| self.refused(arm, Form::Timed, error))?);
        }
        let paced = time_sessions(mix, &mut arms_of(sessions)?, SequenceRange::Probe(0x101)).await;
        Ok(SingleTimes { direct, paced })
    }

    /// Why a session could not be opened: PostgreSQL rejects a statement, or the server or the connection failed.
    fn refused(&self, arm: Arm, form: Form, error: SessionError) -> Halt {
        match error {
            SessionError::Rejected { .. } if !is_servers_fault(error.code()) => {
                Halt::Stop(StopReason::Rejected { message: rejection::describe(self.scenario, arm, form, &error) })
            }
            error => Halt::Failed(error.into()),
        }
    }

    /// A statement that PostgreSQL will not even prepare.
    fn not_prepared(&mut self, opened: Vec<Result<Session, SessionError>>) -> Halt {
        for (place, result) in opened.into_iter().enumerate() {
            let Err(error) = result else { continue };
            if is_servers_fault(error.code()) {
                return Halt::Failed(error.into());
            }
            let arm = Arm::at(place);
            let message = rejection::describe(self.scenario, arm, Form::Timed, &error);
            let record = CheckRecord::warning(self.scenario.path(), CheckKind::Answers, "prepare".to_owned(), Some(arm), message.clone());
            return match self.append(Line::Check(record)) {
                Ok(()) => Halt::Stop(StopReason::Rejected { message }),
                Err(halt) => halt,
            };
        }
        Halt::Failed(anyhow::anyhow!("every arm was prepared"))
    }

    async fn recall(&self, mix: &Mix, arm: Arm, route: &Route, search: &mut Session) -> Result<Recall, Halt> {
        let Some(exact) = Program::exact(self.scenario, arm) else { return Ok(Recall::new()) };
        let opened = route.session_with(exact, mix.dataset().now()).await;
        let mut exact = opened.map_err(|error| self.refused(arm, Form::Exact, error))?;
        let recall = recall::recall(self.scenario, mix, arm, search, &mut exact, RECALL_DRAWS).await;
        Ok(recall.map_err(|error| anyhow::anyhow!(error))?)
    }
}

fn no_recall(routes: &Arms<Route>) -> Arms<Recall> {
    routes.map(|_| Recall::new())
}

/// What was made for one arm after the other.
fn arms_of<T>(values: Vec<T>) -> anyhow::Result<Arms<T>> {
    Arms::try_from(values).map_err(anyhow::Error::msg)
}

/// Time of a transaction of the mix on a session of each arm: medians by transaction, weighted by how often the mix draws it, over a quarter
/// of a second a session after a few warm ones, or after one where they are slow. Sessions take turns with the same arrivals, and a median
/// forgets pauses, so that on a machine that others use the sessions' ratio still comes out the same.
/// It commits, as a block does; what writes works on a copy that is thrown away.
pub(super) async fn time_sessions(mix: &Mix, sessions: &mut Arms<Session>, numbers: SequenceRange) -> Arms<Duration> {
    const EACH: Duration = Duration::from_millis(250);
    let all = sessions.count() as u32;
    let first = numbers.first();
    let began = Instant::now();
    let mut times: Arms<BTreeMap<usize, Vec<Duration>>> = sessions.map(|_| BTreeMap::new());
    let mut drawn: BTreeMap<usize, u32> = BTreeMap::new();
    for number in 0..1_000u64 {
        let arrival = mix.arrival(first + number);
        *drawn.entry(arrival.transaction).or_default() += 1;
        for (session, times) in sessions.values_mut().zip(times.values_mut()) {
            let result = session.run(&arrival, End::Commit, None).await;
            if let Ok(result) = result {
                times.entry(arrival.transaction).or_default().push(result.done.saturating_duration_since(result.sent));
            }
        }
        let elapsed = began.elapsed();
        if elapsed > EACH * all && number >= 3 || elapsed > EACH * 2 * all && number >= 1 {
            break;
        }
    }
    times.map(|times| typical(times, &drawn))
}

/// Medians by transaction, weighted.
fn typical(times: &BTreeMap<usize, Vec<Duration>>, drawn: &BTreeMap<usize, u32>) -> Duration {
    let (mut sum, mut weights) = (Duration::ZERO, 0);
    for (transaction, times) in times {
        let mut times = times.clone();
        // The first ones met cold caches and unplanned statements.
        times.drain(..times.len().saturating_sub(1).min(3));
        times.sort_unstable();
        let weight = drawn.get(transaction).copied().unwrap_or(0);
        sum += times.get(times.len() / 2).copied().unwrap_or_default() * weight;
        weights += weight;
    }
    sum / weights.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_does_not_move_what_a_transaction_takes() {
        let ms = Duration::from_millis;
        let mut quick = vec![ms(2); 9];
        let drawn = BTreeMap::from([(0, 10), (1, 5)]);
        let of = |quick: &[Duration]| typical(&BTreeMap::from([(0, quick.to_vec()), (1, vec![ms(8); 5])]), &drawn);
        quick.push(ms(2));
        assert_eq!(of(&quick), ms(4), "two of 2 ms for each of 8 ms");
        quick[3] = ms(900);
        assert_eq!(of(&quick), ms(4));
        assert_eq!(of(&[ms(70), ms(2)]), ms(4), "the first one was cold");
        assert_eq!(typical(&BTreeMap::new(), &drawn), Duration::ZERO, "all of them failed");
    }
}

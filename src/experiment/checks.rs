//! What comes before any timing: answers, isolation and recall of both sides, and how long one session takes.

use std::time::{Duration, Instant};

use super::rejection::{self, Form};
use super::scenario_duel::{Halt, ScenarioDuel};
use super::side::SideUnderTest;
use crate::check::agreement::{self, Unanswered};
use crate::check::isolation;
use crate::check::recall::{self, Recall};
use crate::load::bind::{Mix, SequenceRange};
use crate::load::program::Program;
use crate::load::session::{End, Session, SessionError};
use crate::record::{CheckKind, CheckOutcome, CheckRecord, Line, Side, Sides, StopReason};
use crate::scenario::{Identity, Transaction};

/// Searches a tenant class for recall.
const RECALL_DRAWS: u64 = 20;

/// What the checks found.
pub(super) struct Checked {
    /// Whether any failed: then nothing is timed.
    pub(super) failed: bool,
    /// Recall of each search.
    pub(super) recall: Sides<Recall>,
}

/// Mean time of a transaction on a single session.
pub(super) struct SingleTimes {
    /// What the server takes.
    pub(super) direct: Sides<Duration>,
    /// With the round-trip time that the scenario injects: what a block of it takes.
    pub(super) paced: Sides<Duration>,
}

impl ScenarioDuel<'_, '_> {
    /// Answers, isolation, recall. Nothing that they do stays.
    pub(super) async fn checks(&mut self, mix: &Mix, sides: &Sides<SideUnderTest>) -> Result<Checked, Halt> {
        self.environment.progress.note("checking answers and isolation");
        let mut failed = self.isolation(mix, sides).await?;
        self.policies_that_do_not_act(sides).await?;
        let now = mix.dataset().now();
        let mut sessions = match (sides.before.session(now).await, sides.after.session(now).await) {
            (Ok(before), Ok(after)) => Sides { before, after },
            // A leak that was found weighs more than a statement that cannot be prepared.
            _ if failed => return Ok(Checked { failed, recall: Sides::default() }),
            (before, after) => return Err(self.not_prepared(before, after)),
        };
        let agreement = agreement::check(self.scenario, mix, &mut sessions, self.plan.mode).await;
        failed |= self.append_checks(agreement.records)?;
        match agreement.unanswered {
            // What failed before weighs more than that the rest cannot be asked.
            Some(_) if failed => return Ok(Checked { failed, recall: Sides::default() }),
            Some(Unanswered::Rejected(error)) => {
                let message = rejection::describe(self.scenario, Side::Before, Form::Timed, &error);
                return Err(Halt::Stop(StopReason::Rejected { message }));
            }
            Some(Unanswered::Lost(side, error)) => {
                let error = anyhow::Error::new(error).context(format!("the connection to the {} side was lost in the checks", side.name()));
                return Err(Halt::Failed(error));
            }
            None => {}
        }
        let mut recall = Sides::<Recall>::default();
        for side in Side::BOTH {
            *recall.get_mut(side) = self.recall(mix, side, sides.get(side), sessions.get_mut(side)).await?;
            failed |=
                self.append_checks(recall::recall_record(self.scenario, side, recall.get(side), RECALL_DRAWS).into_iter().collect())?;
        }
        Ok(Checked { failed, recall })
    }

    /// Whether every identity sees its rows and no others, on both sides; in the record at once, so that a leak is told whatever else fails.
    async fn isolation(&mut self, mix: &Mix, sides: &Sides<SideUnderTest>) -> Result<bool, Halt> {
        let path = self.scenario.path();
        let mut failed = false;
        for side in Side::BOTH {
            let variant = self.variant(side)?;
            let records = match self.arenas.isolated.records(&variant.name, side, &path) {
                Some(passed) => passed,
                None => {
                    let name = variant.name.clone();
                    let mut connection = self.environment.server.connect(&sides.get(side).database).await.map_err(anyhow::Error::from)?;
                    let found = isolation::check(&mut connection, mix.dataset(), variant, &path, side).await?;
                    let _ = sqlx::Connection::close(connection).await;
                    self.arenas.isolated.keep(&name, side, &found);
                    found
                }
            };
            failed |= self.append_checks(records)?;
        }
        Ok(failed)
    }

    /// Warns of scripts that nobody is signed in for, where there are policies: the login role is a superuser, whom none of them holds.
    async fn policies_that_do_not_act(&mut self, sides: &Sides<SideUnderTest>) -> Result<(), Halt> {
        let bare = |one: &&Transaction| one.script.is_some() && one.identity == Identity::None;
        let names: Vec<String> = self.scenario.transactions.iter().filter(bare).map(|one| one.name.clone()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let mut guarded = false;
        for side in Side::BOTH {
            let mut connection = self.environment.server.connect(&sides.get(side).database).await.map_err(anyhow::Error::from)?;
            guarded |= sqlx::query_scalar::<_, bool>("select exists (select from pg_class where relrowsecurity and relkind in ('r', 'p'))")
                .fetch_one(&mut connection)
                .await
                .map_err(anyhow::Error::from)?;
            let _ = sqlx::Connection::close(connection).await;
        }
        if !guarded {
            return Ok(());
        }
        let finding = "runs as the login role, a superuser, for whom no policy acts; give it an identity, such as \"member\", and take begin and \
                       end out of the script, to measure what users get";
        let warn = |subject| CheckRecord::warning(self.scenario.path(), CheckKind::Environment, subject, None, finding.to_owned());
        let warnings = names.into_iter().map(warn).collect();
        self.append_checks(warnings).map(drop)
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
    pub(super) async fn time(&self, mix: &Mix, sides: &Sides<SideUnderTest>) -> Result<SingleTimes, Halt> {
        let (mut direct, mut paced) = (Sides::<Duration>::default(), Sides::<Duration>::default());
        for side in Side::BOTH {
            let route = sides.get(side);
            let program = Program { request_pause_ns: 0, ..(*route.program).clone() };
            let mut session = route.session_with(program, mix.dataset().now()).await.map_err(anyhow::Error::from)?;
            *direct.get_mut(side) = time_single(mix, &mut session, SequenceRange::Probe(0x100)).await;
            *paced.get_mut(side) = *direct.get(side);
            if !self.scenario.load.rtt.is_zero() {
                let mut session = route.loaded_session(mix.dataset().now()).await.map_err(anyhow::Error::from)?;
                *paced.get_mut(side) = time_single(mix, &mut session, SequenceRange::Probe(0x101)).await;
            }
        }
        Ok(SingleTimes { direct, paced })
    }

    /// A statement that PostgreSQL will not even prepare.
    fn not_prepared(&mut self, before: Result<Session, SessionError>, after: Result<Session, SessionError>) -> Halt {
        for (side, result) in [(Side::Before, before), (Side::After, after)] {
            let Err(error) = result else { continue };
            if error.is_lost() && error.code() == "connection" {
                return Halt::Failed(error.into());
            }
            let message = rejection::describe(self.scenario, side, Form::Timed, &error);
            let record = CheckRecord::warning(self.scenario.path(), CheckKind::Answers, "prepare".to_owned(), Some(side), message.clone());
            return match self.append(Line::Check(record)) {
                Ok(()) => Halt::Stop(StopReason::Rejected { message }),
                Err(halt) => halt,
            };
        }
        Halt::Failed(anyhow::anyhow!("both sides were prepared"))
    }

    async fn recall(&self, mix: &Mix, side: Side, route: &SideUnderTest, search: &mut Session) -> Result<Recall, Halt> {
        let Some(exact) = Program::exact(self.scenario, side) else { return Ok(Recall::new()) };
        let mut exact = match route.session_with(exact, mix.dataset().now()).await {
            Ok(session) => session,
            Err(error @ SessionError::Rejected { .. }) => {
                return Err(Halt::Stop(StopReason::Rejected { message: rejection::describe(self.scenario, side, Form::Exact, &error) }));
            }
            Err(error) => return Err(Halt::Failed(error.into())),
        };
        let recall = recall::recall(self.scenario, mix, side, search, &mut exact, RECALL_DRAWS).await;
        Ok(recall.map_err(|error| anyhow::anyhow!(error))?)
    }
}

/// Mean time of a transaction of the mix on one session, from up to a quarter of a second of them after a few warm ones, or after one where
/// they are slow.
/// It commits, as a block does; what writes works on a copy that is thrown away.
pub(super) async fn time_single(mix: &Mix, session: &mut Session, numbers: SequenceRange) -> Duration {
    let first = numbers.first();
    let began = Instant::now();
    let mut times = Vec::new();
    for number in 0..1_000u64 {
        let arrival = mix.arrival(first + number);
        let result = session.run(&arrival, End::Commit, None).await;
        if let Ok(result) = result {
            times.push(result.done.saturating_duration_since(result.sent));
        }
        let elapsed = began.elapsed();
        if elapsed > Duration::from_millis(250) && number >= 3 || elapsed > Duration::from_millis(500) && number >= 1 {
            break;
        }
    }
    // The first ones met cold caches and unplanned statements.
    let warm = &times[times.len().saturating_sub(1).min(3)..];
    warm.iter().sum::<Duration>() / warm.len().max(1) as u32
}

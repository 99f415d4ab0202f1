//! The course of a run: the template, then one scenario after the other, and nothing left behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::databases::{self, VariantDatabase};
use super::scenario_duel::{self, ScenarioDuel};
use super::{DEFAULT_BUDGET, Environment, Plan};
use crate::check::isolation;
use crate::dataset::Dataset;
use crate::record::{End, Line, LoadRecord, Mode, ScenarioEnd, Side, StopReason};
use crate::scenario::{Scenario, Transaction};

/// How often seeding and checks look for a signal.
const STOP_POLL: Duration = Duration::from_millis(50);

/// Variant databases of a run, by variant, side and build: made once, whatever the number of scenarios.
pub(super) type Made = BTreeMap<(String, Side, u32), VariantDatabase>;

/// State of a run over its scenarios.
pub struct Duels<'a> {
    plan: &'a Plan,
    started: Instant,
    prefix: String,
    made: Made,
    isolated: isolation::Passed,
}

impl<'a> Duels<'a> {
    /// Before the first scenario.
    pub fn new(plan: &'a Plan, started: Instant) -> Duels<'a> {
        Duels { plan, started, prefix: databases::run_prefix('d'), made: Made::new(), isolated: isolation::Passed::default() }
    }

    /// Runs every scenario and leaves no database of the run behind, however it ends.
    pub async fn run(mut self, environment: &mut Environment<'_>, dataset: &Arc<Dataset>, digest: &str) -> anyhow::Result<()> {
        let result = self.scenarios(environment, dataset, digest).await;
        let _ = databases::set_autovacuum(environment.server, true).await;
        // Also copies that were still being made when something failed.
        let dropped = databases::drop_duels(environment.server, &format!("{}_", self.prefix)).await;
        result?;
        if let Err(error) = dropped {
            // What was measured is worth more: a server that went away keeps the record from no end.
            environment.progress.note(&format!("databases of this run may be left behind: {error:#}"));
        }
        let interrupted = environment.stop.load(Ordering::Relaxed);
        let finished_at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        environment.record.append(&Line::End(End { interrupted, finished_at }))?;
        Ok(())
    }

    async fn scenarios(&mut self, environment: &mut Environment<'_>, dataset: &Arc<Dataset>, digest: &str) -> anyhow::Result<()> {
        databases::drop_stale_duels(environment.server).await?;
        let stop = environment.stop.clone();
        let seeding = databases::template(environment.server, &self.plan.suite, dataset, digest, environment.progress);
        let template = match until_stopped(&stop, seeding).await {
            None => return Ok(()),
            Some(Ok(template)) => template,
            Some(Err(error)) => return self.no_template(environment, error),
        };
        for (index, scenario) in self.plan.scenarios.iter().enumerate() {
            if environment.stop.load(Ordering::Relaxed) {
                break;
            }
            if self.plan.budget.is_some_and(|budget| self.started.elapsed() >= budget) {
                self.skip(environment, scenario)?;
                continue;
            }
            let deadline = self.deadline(index);
            self.scenario(environment, dataset, &template, scenario, deadline).await?;
        }
        Ok(())
    }

    /// Shared SQL that PostgreSQL rejects is the fault of a file, and makes every scenario invalid; anything else ends the run.
    fn no_template(&self, environment: &mut Environment<'_>, error: anyhow::Error) -> anyhow::Result<()> {
        let Some(message) = databases::rejection(&error) else { return Err(error) };
        environment.progress.note(&message);
        for scenario in &self.plan.scenarios {
            let stop = StopReason::Rejected { message: message.clone() };
            let end = ScenarioEnd { scenario: scenario.path(), stop, warnings: Vec::new(), elapsed_ns: 0 };
            environment.record.append(&Line::ScenarioEnd(end))?;
        }
        Ok(())
    }

    /// A scenario for which the budget has no time left.
    fn skip(&self, environment: &mut Environment<'_>, scenario: &Scenario) -> anyhow::Result<()> {
        environment.progress.note(&format!("{}: skipped, the budget is spent", scenario.path()));
        let record = scenario_duel::record(self.plan, scenario, LoadRecord::NotOffered);
        environment.record.append(&Line::Scenario(Box::new(record)))?;
        let end = ScenarioEnd { scenario: scenario.path(), stop: StopReason::Budget, warnings: Vec::new(), elapsed_ns: 0 };
        environment.record.append(&Line::ScenarioEnd(end))?;
        Ok(())
    }

    /// What is left of the budget is shared evenly among the scenarios that are left.
    fn deadline(&self, index: usize) -> Option<Instant> {
        let now = Instant::now();
        let left = (self.plan.scenarios.len() - index).max(1) as u32;
        match (self.plan.budget, self.plan.mode) {
            (Some(budget), _) => Some(now + (self.started + budget).saturating_duration_since(now) / left),
            (None, Mode::Default) => Some(now + DEFAULT_BUDGET),
            (None, _) => None,
        }
    }

    async fn scenario(
        &mut self,
        environment: &mut Environment<'_>,
        dataset: &Arc<Dataset>,
        template: &str,
        scenario: &Scenario,
        deadline: Option<Instant>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        environment.progress.note(&format!("{}: {}", scenario.path(), scenario.title));
        let mut duel = ScenarioDuel {
            plan: self.plan,
            environment,
            scenario,
            dataset,
            template,
            made: &mut self.made,
            isolated: &mut self.isolated,
            prefix: &self.prefix,
            run_started: self.started,
            deadline,
            gated: gated_metrics(self.plan),
            warnings: Vec::new(),
        };
        let stop = duel.run().await?;
        let warnings = duel.warnings;
        let elapsed_ns = began.elapsed().as_nanos() as u64;
        environment.record.append(&Line::ScenarioEnd(ScenarioEnd { scenario: scenario.path(), stop, warnings, elapsed_ns }))?;
        Ok(())
    }
}

/// Drives `work` to its end, or drops it at a signal: `None`. Only for what may be left half-done.
pub(super) async fn until_stopped<T>(stop: &AtomicBool, work: impl Future<Output = T>) -> Option<T> {
    let stopped = async {
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(STOP_POLL).await;
        }
    };
    tokio::select! {
        done = work => Some(done),
        () = stopped => None,
    }
}

/// Metrics of a run that may be gated, at most: two quantiles a compared statement or transaction.
pub fn gated_metrics(plan: &Plan) -> usize {
    let of = |transaction: &Transaction| match transaction.comparable_by_statement() {
        true => 2 * (transaction.statements.before.len() + usize::from(transaction.writes)),
        false => 2,
    };
    plan.scenarios.iter().flat_map(|scenario| &scenario.transactions).map(of).sum()
}

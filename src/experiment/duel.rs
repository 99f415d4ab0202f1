//! The course of a run: the template, then one scenario after the other, and nothing left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::data::{self, Data};
use super::databases::{self, VariantDatabase};
use super::describe;
use super::rounds::Aim;
use super::scenario_duel::{Left, Measuring, ScenarioDuel};
use super::{BUDGET_OF_AN_ARM, Environment, Event, Plan};
use crate::check::isolation;
use crate::judge::{self, Stopping};
use crate::record::{End, Line, Mode, Notice, ScenarioEnd, StopReason};
use crate::scenario::{ArmDatabase, Scenario};

/// What the end of a long run takes at most.
const LONGEST_END: Duration = Duration::from_secs(15);
/// How often seeding and checks look for a signal.
const STOP_POLL: Duration = Duration::from_millis(50);

/// Databases of arms of one set of data, and their builds: made once, whatever the number of scenarios.
pub(super) type Made = BTreeMap<(ArmDatabase, u32), VariantDatabase>;

/// One set of data, and what was made of it so far.
pub(super) struct Arenas {
    pub(super) data: Data,
    /// The seeded template.
    pub(super) template: String,
    /// How the names of its databases begin.
    pub(super) prefix: String,
    pub(super) made: Made,
    /// Copies of databases that count function calls.
    pub(super) counting: BTreeSet<String>,
    /// Databases whose isolation has passed in this run.
    pub(super) isolated: isolation::Passed,
}

/// State of a run over its scenarios.
pub struct Duels<'a> {
    plan: &'a Plan,
    started: Instant,
    prefix: String,
    arenas: Vec<Arenas>,
    /// Scenarios that are come back to.
    open: Vec<Open>,
}

/// A scenario that was left open, by its number in the plan.
struct Open {
    index: usize,
    measuring: Box<Measuring>,
    notices: Vec<Notice>,
    elapsed: Duration,
}

impl<'a> Duels<'a> {
    /// Before the first scenario.
    pub fn new(plan: &'a Plan, started: Instant) -> Duels<'a> {
        let kind = if plan.mode == Mode::Run { 'r' } else { 'd' };
        Duels { plan, started, prefix: databases::run_prefix(kind), arenas: Vec::new(), open: Vec::new() }
    }

    /// Runs every scenario and leaves no database of the run behind, however it ends.
    pub async fn run(mut self, environment: &mut Environment<'_>) -> anyhow::Result<()> {
        let result = self.scenarios(environment).await;
        let _ = databases::set_autovacuum(environment.server, true).await;
        // Also copies that were still being made when something failed.
        let prefix = format!("{}_", self.prefix);
        let dropped = databases::drop_duels(environment.server, |name| name.starts_with(&prefix)).await;
        result?;
        if let Err(error) = dropped {
            // What was measured is worth more: a server that went away keeps the record from no end.
            environment.progress.event(&Event::LeftBehind { error: &format!("{error:#}") });
        }
        let interrupted = environment.stop.load(Ordering::Relaxed);
        let finished_at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        environment.record.append(&Line::End(End { interrupted, finished_at }))?;
        Ok(())
    }

    async fn scenarios(&mut self, environment: &mut Environment<'_>) -> anyhow::Result<()> {
        databases::tidy_up(environment.server, environment.progress).await;
        let stop = environment.stop.clone();
        // Seeded at once, so that no scenario pays for its data.
        for (number, overlays) in data::overlay_sets(self.plan).into_iter().enumerate() {
            let data = Data::plan(self.plan, overlays, environment.server).await?;
            let seeding = databases::template(environment.server, &self.plan.suite, &data.dataset, &data.digest, environment.progress);
            let template = match until_stopped(&stop, seeding).await {
                None => return Ok(()),
                Some(Ok(template)) => template,
                Some(Err(error)) => return self.no_template(environment, error),
            };
            let prefix = format!("{}_{number}", self.prefix);
            let (made, counting, isolated) = (Made::new(), BTreeSet::new(), isolation::Passed::default());
            self.arenas.push(Arenas { data, template, prefix, made, counting, isolated });
        }
        for (index, scenario) in self.plan.scenarios.iter().enumerate() {
            if environment.stop.load(Ordering::Relaxed) {
                break;
            }
            if self.budget().is_some_and(|budget| self.started.elapsed() >= budget) {
                self.skip(environment, scenario)?;
                continue;
            }
            self.scenario(environment, index, scenario).await?;
            if self.open.is_empty() {
                self.drop_unneeded(environment, index + 1).await;
            }
        }
        self.spend_the_rest(environment).await
    }

    /// What is left of the budget goes to the scenarios that came to no end: first to those that still can get as many pairs as it takes to
    /// decide anything, those that need least first; then to where intervals are widest.
    async fn spend_the_rest(&mut self, environment: &mut Environment<'_>) -> anyhow::Result<()> {
        let end = self.budget().map(|budget| self.started + budget);
        if !self.open.is_empty() {
            let unsure = self.open.iter().filter(|open| open.measuring.enough().is_none()).count();
            environment.progress.event(&Event::SpendingTheRest { scenarios: unsure });
        }
        while !self.open.is_empty() {
            let left = end.map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()));
            let stopped = environment.stop.load(Ordering::Relaxed);
            let next = (!left.is_zero() && !stopped).then(|| self.neediest(left)).flatten();
            let (number, last) = next.map_or((0, true), |number| (number, false));
            let Open { index, measuring, mut notices, mut elapsed } = self.open.swap_remove(number);
            let Some(scenario) = self.plan.scenarios.get(index) else { continue };
            let began = Instant::now();
            let Some(mut duel) = self.duel(environment, scenario, end) else { continue };
            let progressed = match (last, stopped) {
                (false, _) => duel.go_on(measuring).await,
                (true, false) => {
                    let stop = measuring.enough().cloned().unwrap_or(StopReason::Budget);
                    duel.finish(measuring, stop).await
                }
                (true, true) => duel.finish(measuring, StopReason::Interrupted).await,
            };
            notices.append(&mut duel.notices);
            elapsed += began.elapsed();
            match progressed {
                Left::Open(measuring) => self.open.push(Open { index, measuring, notices, elapsed }),
                Left::Nothing(stop) => end_scenario(environment, scenario, stop, notices, elapsed)?,
            }
        }
        Ok(())
    }

    /// The open scenario that the next pairs should go to; `None` if there is none for which `left` would be enough.
    fn neediest(&self, left: Duration) -> Option<usize> {
        let gated = gated_metrics(self.plan);
        let wanted = Stopping::new(self.plan.mode, gated).least();
        let missing = |open: &Open| open.measuring.course.missing(wanted);
        let unsure = || self.open.iter().enumerate().filter(|(_, open)| open.measuring.enough().is_none());
        let too_few = unsure().filter(|(_, open)| !missing(open).is_zero() && missing(open) <= left);
        let cheapest = too_few.min_by_key(|(_, open)| missing(open)).map(|(number, _)| number);
        let precision = |open: &Open| judge::precision(open.measuring.course.blocks(), open.measuring.record(), gated);
        let width = |open: &Open| precision(open).widest_half_width_over_margin;
        let decidable = unsure().filter(|(_, open)| missing(open).is_zero());
        cheapest.or_else(|| decidable.max_by(|(_, one), (_, other)| width(one).total_cmp(&width(other))).map(|(number, _)| number))
    }

    /// Drops databases that no scenario from number `next` on needs: many variants of large data would fill a disk.
    async fn drop_unneeded(&mut self, environment: &Environment<'_>, next: usize) {
        for arenas in &mut self.arenas {
            let later = self.plan.scenarios.iter().skip(next).filter(|scenario| data::overlays_of(scenario) == arenas.data.overlays);
            let needed: BTreeSet<ArmDatabase> = later.flat_map(Scenario::databases).collect();
            let unneeded = arenas.made.extract_if(.., |(database, _), _| !needed.contains(database));
            for (_, database) in unneeded {
                // One that stays is dropped at the end of the run.
                let is_meant = |name: &str| databases::is_copy_of(name, &database.name);
                arenas.counting.retain(|copy| !is_meant(copy));
                let _ = databases::drop_duels(environment.server, is_meant).await;
            }
        }
    }

    /// Shared SQL that PostgreSQL rejects is the fault of a file, and makes every scenario invalid; anything else ends the run.
    fn no_template(&self, environment: &mut Environment<'_>, error: anyhow::Error) -> anyhow::Result<()> {
        let Some(message) = databases::rejection(&error) else { return Err(error) };
        environment.progress.event(&Event::SharedSqlRejected { message: &message });
        for scenario in &self.plan.scenarios {
            let stop = StopReason::Rejected { message: message.clone() };
            end_scenario(environment, scenario, stop, Vec::new(), Duration::ZERO)?;
        }
        Ok(())
    }

    /// A scenario for which the budget has no time left.
    fn skip(&self, environment: &mut Environment<'_>, scenario: &Scenario) -> anyhow::Result<()> {
        environment.progress.event(&Event::Skipped { scenario: &scenario.path() });
        let record = describe::record(self.plan, scenario, None);
        environment.record.append(&Line::Scenario(Box::new(record)))?;
        end_scenario(environment, scenario, StopReason::Budget, Vec::new(), Duration::ZERO)
    }

    /// The budget without what it takes to end: the last block's drain, dropping databases, writing reports.
    fn budget(&self) -> Option<Duration> {
        self.plan.budget.map(|budget| budget - (budget / 100).min(LONGEST_END))
    }

    /// What is left of the budget is shared among the scenarios that are left, by their arms.
    fn deadline(&self, index: usize) -> Option<Instant> {
        let now = Instant::now();
        let arms = |scenarios: &[Scenario]| scenarios.iter().map(|scenario| scenario.arms.count() as u32).sum::<u32>().max(1);
        let left = self.plan.scenarios.get(index..).unwrap_or_default();
        let own = arms(left.get(..1).unwrap_or_default());
        match (self.budget(), self.plan.mode) {
            (Some(budget), _) => Some(now + (self.started + budget).saturating_duration_since(now) / arms(left) * own),
            (None, Mode::Default) => Some(now + BUDGET_OF_AN_ARM * own),
            (None, _) => None,
        }
    }

    async fn scenario(&mut self, environment: &mut Environment<'_>, index: usize, scenario: &Scenario) -> anyhow::Result<()> {
        let began = Instant::now();
        let deadline = self.deadline(index);
        let (number, of) = (index + 1, self.plan.scenarios.len());
        environment.progress.event(&Event::Scenario { scenario: &scenario.path(), title: &scenario.title, number, of });
        // Where several share a budget, none takes more than it needs before all have had their turn.
        let shared = self.plan.budget.is_some() && self.plan.mode == Mode::Default && self.plan.scenarios.len() > 1;
        let aim = if shared { Aim::Least } else { Aim::All };
        let Some(mut duel) = self.duel(environment, scenario, deadline) else { return Ok(()) };
        let left = duel.begin(aim).await?;
        let notices = duel.notices;
        let elapsed = began.elapsed();
        match left {
            Left::Open(measuring) => self.open.push(Open { index, measuring, notices, elapsed }),
            Left::Nothing(stop) => end_scenario(environment, scenario, stop, notices, elapsed)?,
        }
        Ok(())
    }

    fn duel<'b, 'e>(
        &'b mut self,
        environment: &'b mut Environment<'e>,
        scenario: &'b Scenario,
        deadline: Option<Instant>,
    ) -> Option<ScenarioDuel<'b, 'e>> {
        let overlays = data::overlays_of(scenario);
        let arenas = self.arenas.iter_mut().find(|arenas| arenas.data.overlays == overlays)?;
        let gated = gated_metrics(self.plan);
        let notices = Vec::new();
        Some(ScenarioDuel { plan: self.plan, environment, scenario, arenas, run_started: self.started, deadline, gated, notices })
    }
}

fn end_scenario(
    environment: &mut Environment<'_>,
    scenario: &Scenario,
    stop: StopReason,
    notices: Vec<Notice>,
    elapsed: Duration,
) -> anyhow::Result<()> {
    let elapsed_ns = elapsed.as_nanos() as u64;
    environment.progress.event(&Event::ScenarioEnded { scenario: &scenario.path(), stop: &stop });
    environment.record.append(&Line::ScenarioEnd(ScenarioEnd { scenario: scenario.path(), stop, notices, elapsed_ns }))?;
    Ok(())
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

/// Metrics of a run that may be gated, at most.
fn gated_metrics(plan: &Plan) -> usize {
    let records = plan.scenarios.iter().map(|scenario| describe::record(plan, scenario, None));
    records.map(|record| judge::most_gated(&record)).sum()
}

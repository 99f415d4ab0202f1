//! The course of a run: template, sides, then each scenario from checks to evidence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::block::{BlockContext, ClassSums, Measured, faults};
use super::databases::{self, VariantDatabase};
use super::offer::{self, Offer, Probed, SLOW};
use super::order::{Slot, default_pairs, quad, quick_pairs};
use super::side::SideUnderTest;
use super::{DEFAULT_BUDGET, Environment, Plan, evidence, rejection, variants};
use crate::check::{agreement, isolation};
use crate::dataset::Dataset;
use crate::load::bind::{Mix, Range64};
use crate::load::block::{Work, prepare};
use crate::load::program::{Program, describe};
use crate::load::session::{Session, SessionError};
use crate::record::{
    AppliedFile, BlockRecord, CheckKind, CheckOutcome, CheckRecord, Discard, End, Line, LoadRecord, Mode, ProbeRecord, ScenarioEnd,
    ScenarioRecord, Side, Sides, StopReason, TenantClassRecord, TransactionRecord, VariantRecord,
};
use crate::scenario::{Identity, RttPer, Scenario};
use crate::suite::Variant;

/// Executions of each statement on each new connection before anything is measured: five custom plans, then the choice is made.
pub(super) const WARM_UP: u32 = 6;
/// Share of pairs that may be discarded.
const DISCARD_LIMIT: f64 = 0.20;
/// Pairs after which the share of discarded ones is looked at.
const DISCARD_FROM: u32 = 5;
/// Quads on one clone of a writing scenario in quick mode.
const QUICK_QUADS_A_CLONE: u32 = 3;
/// How often seeding and checks look for a signal.
const STOP_POLL: Duration = Duration::from_millis(50);
/// Searches a tenant class for recall.
const RECALL_DRAWS: u64 = 20;

/// State of a run over its scenarios.
pub struct Duels<'a> {
    plan: &'a Plan,
    started: Instant,
    prefix: String,
    /// Variant databases of this run by variant and copy.
    made: BTreeMap<(String, Side), VariantDatabase>,
    gated: usize,
}

/// Why a scenario ended early, on the way out of nested calls.
enum Halt {
    Stop(StopReason),
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Halt {
    fn from(error: anyhow::Error) -> Halt {
        Halt::Failed(error)
    }
}

impl<'a> Duels<'a> {
    /// Before the first scenario.
    pub fn new(plan: &'a Plan, started: Instant, _environment: &Environment<'_>) -> Duels<'a> {
        let prefix = format!("pgduel_d_{}", std::process::id());
        Duels { plan, started, prefix, made: BTreeMap::new(), gated: gated_metrics(plan) }
    }

    /// Runs every scenario and leaves no database of the run behind, however it ends.
    pub async fn run(mut self, environment: &mut Environment<'_>, dataset: &Arc<Dataset>, digest: &str) -> anyhow::Result<()> {
        let result = self.scenarios(environment, dataset, digest).await;
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
        let mut warnings = Vec::new();
        let mut announced = false;
        let stop = match self.measure(environment, dataset, template, scenario, deadline, &mut warnings, &mut announced).await {
            Ok(stop) | Err(Halt::Stop(stop)) => stop,
            Err(Halt::Failed(error)) => StopReason::Infrastructure { message: format!("{error:#}") },
        };
        if !announced {
            let record = self.scenario_record(scenario, LoadRecord::NotOffered);
            environment.record.append(&Line::Scenario(Box::new(record)))?;
        }
        let elapsed_ns = began.elapsed().as_nanos() as u64;
        let end = ScenarioEnd { scenario: scenario.path(), stop, warnings, elapsed_ns };
        environment.record.append(&Line::ScenarioEnd(end))?;
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    async fn measure(
        &mut self,
        environment: &mut Environment<'_>,
        dataset: &Arc<Dataset>,
        template: &str,
        scenario: &Scenario,
        deadline: Option<Instant>,
        warnings: &mut Vec<String>,
        announced: &mut bool,
    ) -> Result<StopReason, Halt> {
        let mix = Arc::new(Mix::new(dataset.clone(), scenario, self.plan.seed).map_err(anyhow::Error::from)?);
        let (made, resident) = self.make_sides(environment, template, scenario).await?;
        let mut sides = self.routes(environment, scenario, &made, scenario.writes())?;
        let mut single = Sides { before: Duration::ZERO, after: Duration::ZERO };

        if scenario.writes() {
            self.clone_working(environment, &made, &sides).await?;
        }
        let stop = environment.stop.clone();
        let checked = until_stopped(&stop, self.checks(environment, scenario, &mix, &sides, &mut single)).await;
        let failed = checked.unwrap_or(Err(Halt::Stop(StopReason::Interrupted)))?;
        if failed || self.plan.mode == Mode::ChecksOnly {
            return Ok(if failed { StopReason::ChecksFailed } else { StopReason::ChecksOnly });
        }
        for side in Side::BOTH {
            databases::warm(environment.server, &sides.get(side).database).await?;
        }

        let slow = single.before.max(single.after) > SLOW;
        if slow && scenario.load.plans == crate::scenario::Plans::Auto {
            sides.before.pin_custom_plans();
            sides.after.pin_custom_plans();
            warnings.push("a transaction takes more than 50 ms: plans are pinned to custom, and connections are warmed once".to_owned());
        }
        let context = BlockContext {
            scenario,
            server: environment.server,
            mix: mix.clone(),
            seed: self.plan.seed,
            warm_up: if slow { 1 } else { WARM_UP },
            run_started: self.started,
            stop: environment.stop.clone(),
        };
        let offer = self.probe(environment, &context, &sides, single).await?;
        let record = self.scenario_record(scenario, offer.record(scenario.load.connections));
        append(environment, Line::Scenario(Box::new(record.clone())))?;
        *announced = true;
        if !resident {
            warnings.push("both working sets together do not fit in shared buffers: reads from disk are part of the result".to_owned());
        }
        if scenario.writes() {
            // The probe has written.
            self.clone_working(environment, &made, &sides).await?;
        }
        let mut course = Course { kept: Vec::new(), discarded: 0, classes: Default::default(), quad: 0, clones: 0 };
        let stop = self.blocks(environment, &context, &sides, &made, &offer, &record, resident, deadline, &mut course).await?;
        for side in Side::BOTH {
            for (transaction, class, service) in course.classes.get(side).iter() {
                append(environment, Line::TenantClass(class_record(scenario, side, transaction, class.name(), service.clone())))?;
            }
        }
        if stop != StopReason::Interrupted {
            evidence::collect(environment, scenario, &mix, &sides, &self.plan.suite).await?;
        }
        Ok(stop)
    }

    /// The databases of both sides, made once a run and variant; A/A needs two of the same.
    async fn make_sides(
        &mut self,
        environment: &mut Environment<'_>,
        template: &str,
        scenario: &Scenario,
    ) -> Result<(Sides<VariantDatabase>, bool), Halt> {
        let names = variants(self.plan, scenario);
        let mut made = Vec::new();
        for side in Side::BOTH {
            let variant = self.variant(names.get(side))?.clone();
            let key = (variant.name.clone(), side);
            let database = match self.made.get(&key) {
                Some(database) => database.clone(),
                None => {
                    environment.progress.note(&format!("applying {} ({})", variant.name, side.name()));
                    let name = format!("{}_{}_{}", self.prefix, databases::sql_name(&variant.name), side.name());
                    let result = databases::make_variant(environment.server, template, &name, &variant).await;
                    let database = result.map_err(|error| match databases::rejection(&error) {
                        Some(message) => Halt::Stop(StopReason::Rejected { message }),
                        None => Halt::Failed(error),
                    })?;
                    self.made.insert(key, database.clone());
                    database
                }
            };
            made.push(database);
        }
        let (Some(after), Some(before)) = (made.pop(), made.pop()) else {
            return Err(Halt::Failed(anyhow::anyhow!("a duel needs two sides")));
        };
        let both = Sides { before, after };
        let bytes = both.map(|database| database.table_bytes + database.index_bytes);
        let resident = databases::is_resident(environment.server, bytes.before + bytes.after).await?;
        for side in Side::BOTH {
            let database = both.get(side);
            append(
                environment,
                Line::Variant(VariantRecord {
                    scenario: scenario.path(),
                    side,
                    variant: names.get(side).clone(),
                    applied: database.applied.clone() as Vec<AppliedFile>,
                    table_bytes: database.table_bytes,
                    index_bytes: database.index_bytes,
                    resident,
                }),
            )?;
        }
        Ok((both, resident))
    }

    fn variant(&self, name: &str) -> anyhow::Result<&Variant> {
        self.plan.suite.variants.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.plan.suite.variants.keys().map(String::as_str).collect();
            anyhow::anyhow!("suite {} has no variant {name}; it has {}", self.plan.suite.name, known.join(", "))
        })
    }

    fn routes(
        &self,
        environment: &Environment<'_>,
        scenario: &Scenario,
        made: &Sides<VariantDatabase>,
        writes: bool,
    ) -> anyhow::Result<Sides<SideUnderTest>> {
        let rtt = match scenario.load.rtt_per {
            RttPer::RoundTrip => scenario.load.rtt,
            RttPer::Request => Duration::ZERO,
        };
        let route = |side: Side| {
            let database = &made.get(side).name;
            let database = if writes { format!("{database}_w") } else { database.clone() };
            SideUnderTest::new(environment.server, &database, Arc::new(Program::new(scenario, side)), rtt)
        };
        Ok(Sides { before: route(Side::Before)?, after: route(Side::After)? })
    }

    /// Fresh copies of both sides for a scenario that writes.
    async fn clone_working(
        &self,
        environment: &Environment<'_>,
        made: &Sides<VariantDatabase>,
        sides: &Sides<SideUnderTest>,
    ) -> anyhow::Result<()> {
        for side in Side::BOTH {
            databases::clone_database(environment.server, &made.get(side).name, &sides.get(side).database).await?;
        }
        for side in Side::BOTH {
            databases::warm(environment.server, &sides.get(side).database).await?;
        }
        Ok(())
    }

    /// Answers, isolation, recall. Returns whether any failed; times a single session on the way.
    async fn checks(
        &self,
        environment: &mut Environment<'_>,
        scenario: &Scenario,
        mix: &Mix,
        sides: &Sides<SideUnderTest>,
        single: &mut Sides<Duration>,
    ) -> Result<bool, Halt> {
        environment.progress.note("checking answers and isolation");
        let mut records = Vec::new();
        let names = variants(self.plan, scenario);
        for side in Side::BOTH {
            let mut connection = environment.server.connect(&sides.get(side).database).await.map_err(anyhow::Error::from)?;
            let variant = self.variant(names.get(side))?;
            records.extend(isolation::check(&mut connection, mix.dataset(), variant, &scenario.path(), side).await?);
            let _ = sqlx::Connection::close(connection).await;
        }
        let now = mix.dataset().now();
        let before = sides.before.session(now).await;
        let after = sides.after.session(now).await;
        let mut sessions = match (before, after) {
            (Ok(before), Ok(after)) => Sides { before, after },
            (before, after) => return self.rejected(environment, scenario, before, after),
        };
        records.extend(agreement::check(scenario, mix, &mut sessions, self.plan.mode).await);
        for side in Side::BOTH {
            records.extend(self.recall(scenario, mix, side, sides.get(side), sessions.get_mut(side)).await?);
            *single.get_mut(side) = time_single(mix, sessions.get_mut(side)).await;
        }
        let failed = records.iter().any(|record| record.outcome == CheckOutcome::Failed);
        for record in records {
            append(environment, Line::Check(record))?;
        }
        Ok(failed)
    }

    /// A statement that PostgreSQL will not even prepare.
    fn rejected(
        &self,
        environment: &mut Environment<'_>,
        scenario: &Scenario,
        before: Result<Session, SessionError>,
        after: Result<Session, SessionError>,
    ) -> Result<bool, Halt> {
        for (side, result) in [(Side::Before, before), (Side::After, after)] {
            let Err(error) = result else { continue };
            if error.is_lost() && error.code() == "connection" {
                return Err(Halt::Failed(error.into()));
            }
            let message = rejection::describe(scenario, side, &error);
            append(
                environment,
                Line::Check(CheckRecord {
                    scenario: scenario.path(),
                    kind: CheckKind::Answers,
                    subject: "prepare".to_owned(),
                    side: Some(side),
                    cases: 1,
                    outcome: CheckOutcome::Warning,
                    findings: vec![message.clone()],
                }),
            )?;
            return Err(Halt::Stop(StopReason::Rejected { message }));
        }
        Ok(false)
    }

    async fn recall(
        &self,
        scenario: &Scenario,
        mix: &Mix,
        side: Side,
        route: &SideUnderTest,
        search: &mut Session,
    ) -> Result<Vec<CheckRecord>, Halt> {
        let Some(exact) = Program::exact(scenario, side) else { return Ok(Vec::new()) };
        let mut exact = match route.session_with(exact, mix.dataset().now()).await {
            Ok(session) => session,
            Err(error @ SessionError::Rejected { .. }) => {
                return Err(Halt::Stop(StopReason::Rejected { message: rejection::describe(scenario, side, &error) }));
            }
            Err(error) => return Err(Halt::Failed(error.into())),
        };
        let recall =
            agreement::recall(scenario, mix, side, search, &mut exact, RECALL_DRAWS).await.map_err(|error| anyhow::anyhow!(error))?;
        Ok(agreement::recall_record(scenario, side, &recall, RECALL_DRAWS))
    }

    fn scenario_record(&self, scenario: &Scenario, load: LoadRecord) -> ScenarioRecord {
        ScenarioRecord {
            scenario: scenario.path(),
            title: scenario.title.clone(),
            analysis: scenario.analysis.clone(),
            claims: scenario.claims.clone(),
            digest: scenario.digest.clone(),
            variants: variants(self.plan, scenario),
            transactions: scenario
                .transactions
                .iter()
                .map(|transaction| TransactionRecord {
                    name: transaction.name.clone(),
                    weight: transaction.weight,
                    identity: identity_name(&transaction.identity),
                    writes: transaction.writes,
                    statements: Sides { before: describe(transaction, Side::Before), after: describe(transaction, Side::After) },
                })
                .collect(),
            load,
            // A/A must find nothing, whatever the scenario expects of a duel.
            expect: scenario.expect.as_ref().filter(|_| !self.plan.aa).map(|(expectation, _)| *expectation),
            expect_why: scenario.expect.as_ref().filter(|_| !self.plan.aa).map(|(_, why)| why.clone()),
            margins: scenario.margins,
            rtt_ns: scenario.load.rtt.as_nanos() as u64,
            writes: scenario.writes(),
        }
    }

    async fn probe(
        &self,
        environment: &mut Environment<'_>,
        context: &BlockContext<'_>,
        sides: &Sides<SideUnderTest>,
        single: Sides<Duration>,
    ) -> Result<Offer, Halt> {
        let scenario = context.scenario;
        let connections = scenario.load.connections;
        let mut probed = single.map(|single| Probed { single: *single, capacity: None });
        if offer::worth_probing_capacity(single, connections, self.plan.mode) {
            environment.progress.note("probing capacity");
            for (number, side) in Side::BOTH.into_iter().enumerate() {
                let work = Work::Closed { settle: Duration::from_millis(200), measure: probe_length(self.plan.mode) };
                let spec = context.spec(sides.get(side), work, connections, Range64::Probe(number as u32).first(), 0x1000 + number as u32);
                let prepared = prepare(spec).await.map_err(anyhow::Error::from)?;
                let result = prepared.run().await.map_err(anyhow::Error::from)?;
                let ok = result.recording.accounting.ok;
                let capacity = ok as f64 / result.duration.as_secs_f64().max(1e-9);
                probed.get_mut(side).capacity = Some(capacity);
                append(
                    environment,
                    Line::Probe(ProbeRecord {
                        scenario: scenario.path(),
                        side,
                        connections,
                        capacity_per_second: capacity,
                        transactions: ok,
                    }),
                )?;
            }
        }
        Ok(offer::choose(scenario, self.plan.mode, probed))
    }

    #[allow(clippy::too_many_arguments)]
    async fn blocks(
        &self,
        environment: &mut Environment<'_>,
        context: &BlockContext<'_>,
        sides: &Sides<SideUnderTest>,
        made: &Sides<VariantDatabase>,
        offer: &Offer,
        record: &ScenarioRecord,
        resident: bool,
        deadline: Option<Instant>,
        course: &mut Course,
    ) -> Result<StopReason, Halt> {
        let wanted = match self.plan.mode {
            Mode::Default => default_pairs(self.gated),
            _ => quick_pairs(self.gated),
        };
        loop {
            if record.writes && course.quad > 0 && self.needs_clone(course) {
                self.clone_working(environment, made, sides).await?;
                course.clones = course.quad;
            }
            let slots = quad(self.plan.seed, &record.scenario, course.quad);
            course.quad += 1;
            for pair in slots.chunks_exact(2) {
                let kept = self.pair(environment, context, sides, offer, [pair[0], pair[1]], resident, course).await?;
                if environment.stop.load(Ordering::Relaxed) {
                    return Ok(StopReason::Interrupted);
                }
                let pairs = course.pairs();
                if kept {
                    environment.progress.pairs(&record.scenario, pairs, wanted);
                }
                let all = pairs + course.discarded;
                if all >= DISCARD_FROM.max(wanted) && f64::from(course.discarded) > DISCARD_LIMIT * f64::from(all) {
                    return Ok(StopReason::TooManyDiscarded);
                }
                if pairs >= wanted && self.plan.mode != Mode::Default {
                    return Ok(StopReason::Pairs);
                }
                if pairs >= wanted && (environment.enough)(record, &course.kept) {
                    return Ok(StopReason::Precise);
                }
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    return Ok(StopReason::Budget);
                }
            }
        }
    }

    fn needs_clone(&self, course: &Course) -> bool {
        let quads = if self.plan.mode == Mode::Default { 1 } else { QUICK_QUADS_A_CLONE };
        course.quad - course.clones >= quads
    }

    /// Runs one pair and records both blocks; returns whether it may be used.
    #[allow(clippy::too_many_arguments)]
    async fn pair(
        &self,
        environment: &mut Environment<'_>,
        context: &BlockContext<'_>,
        sides: &Sides<SideUnderTest>,
        offer: &Offer,
        slots: [Slot; 2],
        resident: bool,
        course: &mut Course,
    ) -> Result<bool, Halt> {
        let mut blocks: Sides<Option<Measured>> = Sides { before: None, after: None };
        for slot in slots {
            let measured = context.run(slot, sides.get(slot.side), offer).await?;
            *blocks.get_mut(slot.side) = Some(measured);
        }
        let (Some(before), Some(after)) = (blocks.before, blocks.after) else { return Ok(false) };
        let classes = Sides { before: before.classes, after: after.classes };
        let mut records = Sides { before: before.record, after: after.record };
        let faults = faults(&records, context.scenario.writes(), resident);
        let kept = faults.before.is_none() && faults.after.is_none();
        records.before.discard = faults.before;
        records.after.discard = faults.after;
        let in_order = |side: Side| slots.iter().position(|slot| slot.side == side);
        let mut both: Vec<BlockRecord> = vec![records.before, records.after];
        both.sort_by_key(|block| in_order(block.side));
        for block in both {
            append(environment, Line::Block(Box::new(block.clone())))?;
            if kept {
                course.classes.get_mut(block.side).add(classes.get(block.side));
                course.kept.push(block);
            } else if !matches!(block.discard, Some(Discard::Interrupted) | None) {
                environment.progress.note(&format!("pair {} discarded: {:?}", block.pair, block.discard));
            }
        }
        course.discarded += u32::from(!kept);
        Ok(kept)
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

/// What a scenario's blocks have given so far.
struct Course {
    kept: Vec<BlockRecord>,
    discarded: u32,
    classes: Sides<ClassSums>,
    quad: u32,
    /// Quads run when the working copies were last cloned.
    clones: u32,
}

impl Course {
    fn pairs(&self) -> u32 {
        self.kept.len() as u32 / 2
    }
}

fn append(environment: &mut Environment<'_>, line: Line) -> Result<(), Halt> {
    environment.record.append(&line).map_err(|error| Halt::Failed(anyhow::Error::new(error).context("cannot write the run record")))
}

pub(super) fn class_record(
    scenario: &Scenario,
    side: Side,
    transaction: usize,
    class: &str,
    service: crate::record::Histogram,
) -> TenantClassRecord {
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

/// Metrics of a run that may be gated, at most: two quantiles a compared statement or transaction.
pub fn gated_metrics(plan: &Plan) -> usize {
    let of = |transaction: &crate::scenario::Transaction| match transaction.comparable_by_statement() {
        true => 2 * transaction.statements.before.len(),
        false => 2,
    };
    plan.scenarios.iter().flat_map(|scenario| &scenario.transactions).map(of).sum()
}

fn probe_length(mode: Mode) -> Duration {
    match mode {
        Mode::Default => Duration::from_secs(2),
        _ => Duration::from_millis(500),
    }
}

/// Mean time of a transaction of the mix on one session, from up to a quarter of a second of them after a few warm ones.
pub(super) async fn time_single(mix: &Mix, session: &mut Session) -> Duration {
    let first = Range64::Probe(0x100).first();
    let began = Instant::now();
    let mut times = Vec::new();
    for number in 0..1_000u64 {
        let arrival = mix.arrival(first + number);
        let result = session.run(&arrival, crate::load::session::End::Rollback, None).await;
        if let Ok(result) = result {
            times.push(result.done.saturating_duration_since(result.sent));
        }
        if began.elapsed() > Duration::from_millis(250) && number >= 3 {
            break;
        }
    }
    // The first ones met cold caches and unplanned statements.
    let warm = &times[times.len().min(3).min(times.len().saturating_sub(1))..];
    warm.iter().sum::<Duration>() / warm.len().max(1) as u32
}

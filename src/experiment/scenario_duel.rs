//! One scenario of a duel, from its arms' databases to the evidence: builds, checks, probes, rounds of blocks, capacity, plans.
//!
//! The steps stand in files of their own: `checks` is what comes before any timing, `rounds` what is judged, `capacity` what is shown
//! beside it, `evidence` why it is so.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::block::{BlockContext, Overrun};
use super::databases::{self, VariantDatabase};
use super::describe::{class_record, record};
use super::duel::{Arenas, until_stopped};
use super::evidence::{self, Collector};
use super::offer::{Offer, Probed, SLOW};
use super::rounds::{Aim, Course};
use super::route::Route;
use super::{Environment, Event, Plan};
use crate::load::bind::Mix;
use crate::load::program::Program;
use crate::record::{Arm, Arms, Line, Mode, Notice, ScenarioRecord, StopReason, VariantRecord, nanoseconds};
use crate::scenario::{Plans, Scenario};
use crate::suite::Variant;

/// Executions of each statement on each new connection before anything is measured: five custom plans, then the choice is made. One where a
/// transaction is slow, as its plans are pinned.
pub(super) fn warm_up(slow: bool) -> u32 {
    if slow { 1 } else { 6 }
}

/// Rounds that follow each other on one build of the databases: as many as share a copy where a scenario writes.
pub(super) const ROUNDS_A_BUILD: u32 = 2;

/// How often each variant is built in a run of this mode.
pub fn builds(mode: Mode) -> u32 {
    match mode {
        Mode::Default => 2,
        Mode::Quick | Mode::ChecksOnly | Mode::Run => 1,
    }
}

/// One scenario and what it takes to run it.
pub(super) struct ScenarioDuel<'a, 'e> {
    pub(super) plan: &'a Plan,
    pub(super) environment: &'a mut Environment<'e>,
    pub(super) scenario: &'a Scenario,
    pub(super) arenas: &'a mut Arenas,
    pub(super) run_started: Instant,
    pub(super) deadline: Option<Instant>,
    /// Gated metrics of the whole run.
    pub(super) gated: usize,
    /// What a reader must know, one line each.
    pub(super) notices: Vec<Notice>,
}

/// Why a scenario ended early, on the way out of nested calls.
pub(super) enum Halt {
    Stop(StopReason),
    Failed(anyhow::Error),
}

/// What PostgreSQL rejects stops the scenario; anything else is a failure.
impl From<anyhow::Error> for Halt {
    fn from(error: anyhow::Error) -> Halt {
        match databases::rejection(&error) {
            Some(message) => Halt::Stop(StopReason::Rejected { message }),
            None => Halt::Failed(error),
        }
    }
}

/// The databases of all arms. In a long run each is built twice: physical layout is luck, and should not decide.
pub(super) struct Arena {
    /// By build.
    builds: Vec<Arms<VariantDatabase>>,
    /// Routes by build; one only where a scenario writes, as it works on clones.
    routes: Vec<Arms<Route>>,
    /// Whether all of it fits in shared buffers.
    pub(super) resident: bool,
}

impl Arena {
    /// The build that a round runs on, and the ways there.
    pub(super) fn of_round(&self, round: u32) -> (u32, &Arms<Route>) {
        let build = (round / ROUNDS_A_BUILD) as usize % self.builds.len();
        (build as u32, &self.routes[build % self.routes.len()])
    }

    /// The ways to the first build.
    pub(super) fn first(&self) -> &Arms<Route> {
        &self.routes[0]
    }
}

/// A scenario whose rounds have begun.
pub(super) struct Measuring {
    mix: Arc<Mix>,
    arena: Arena,
    offer: Offer,
    probed: Arms<Probed>,
    record: ScenarioRecord,
    pub(super) course: Course,
    /// Executions before measuring, on each new connection.
    warm_up: u32,
    /// Why no more rounds are needed, once they are not.
    enough: Option<StopReason>,
}

impl Measuring {
    /// Why no more rounds are needed; `None` if more would make it surer.
    pub(super) fn enough(&self) -> Option<&StopReason> {
        self.enough.as_ref()
    }

    /// The scenario as the record tells it.
    pub(super) fn record(&self) -> &ScenarioRecord {
        &self.record
    }
}

/// How far a scenario has come.
pub(super) enum Left {
    /// To its end.
    Nothing(StopReason),
    /// It can be decided, or has had its share of the time; it is come back to when all others have had theirs.
    Open(Box<Measuring>),
}

impl<'a> ScenarioDuel<'a, '_> {
    pub(super) fn context(&self, mix: Arc<Mix>, warm_up: u32) -> BlockContext<'a> {
        BlockContext {
            scenario: self.scenario,
            server: self.environment.server,
            mix,
            seed: self.plan.seed,
            warm_up,
            count_busy: false,
            run_started: self.run_started,
            deadline: self.deadline,
            stop: self.environment.stop.clone(),
        }
    }
}

impl ScenarioDuel<'_, '_> {
    /// Runs it as far as the aim goes; all that was found is in the record by then, but for its end. An error means that the record cannot be
    /// written.
    pub(super) async fn begin(&mut self, aim: Aim) -> anyhow::Result<Left> {
        let mut announced = false;
        let left = match self.measure(aim, &mut announced).await {
            Ok(left) => left,
            Err(halt) => Left::Nothing(self.stop_of(halt)),
        };
        if !announced {
            let record = record(self.plan, self.scenario, None);
            self.environment.record.append(&Line::Scenario(Box::new(record)))?;
        }
        Ok(left)
    }

    /// Runs some more rounds of a scenario that was left open.
    pub(super) async fn go_on(&mut self, mut measuring: Box<Measuring>) -> Left {
        match self.some_more(&mut measuring).await {
            Ok(enough @ (None | Some(StopReason::Precise))) => {
                measuring.enough = enough;
                Left::Open(measuring)
            }
            Ok(Some(stop)) => self.finish(measuring, stop).await,
            Err(halt) => {
                let stop = self.stop_of(halt);
                self.finish(measuring, stop).await
            }
        }
    }

    async fn some_more(&mut self, measuring: &mut Measuring) -> Result<Option<StopReason>, Halt> {
        measuring.course.forget_clones();
        self.ready(&measuring.arena).await?;
        let context = self.context(measuring.mix.clone(), measuring.warm_up);
        let Measuring { arena, offer, record, course, .. } = measuring;
        self.rounds(&context, arena, offer, record, course, Aim::More).await
    }

    /// What follows the last round.
    pub(super) async fn finish(&mut self, measuring: Box<Measuring>, stop: StopReason) -> Left {
        let closed = async {
            self.record_classes(&measuring.course)?;
            if matches!(stop, StopReason::Precise | StopReason::Budget) {
                let context = self.context(measuring.mix.clone(), measuring.warm_up);
                self.capacity(&context, &measuring.arena, &measuring.offer, &measuring.probed).await?;
            }
            Ok(())
        };
        match closed.await {
            Ok(()) => Left::Nothing(stop),
            Err(halt) => Left::Nothing(self.stop_of(halt)),
        }
    }

    fn stop_of(&mut self, halt: Halt) -> StopReason {
        match halt {
            Halt::Stop(stop) => stop,
            Halt::Failed(error) if error.is::<Overrun>() && self.out_of_time() => {
                let seconds = error.downcast_ref::<Overrun>().map_or(0, Overrun::seconds);
                self.notices.push(Notice::CutOff { seconds });
                StopReason::Budget
            }
            Halt::Failed(error) => StopReason::Infrastructure { message: format!("{error:#}") },
        }
    }

    async fn measure(&mut self, aim: Aim, announced: &mut bool) -> Result<Left, Halt> {
        let mix = Arc::new(Mix::new(self.arenas.data.dataset.clone(), self.scenario, self.plan.seed).map_err(anyhow::Error::from)?);
        let mut arena = self.arena().await?;
        match self.scenario.writes() {
            true => self.clone_working(&arena, 0).await?,
            false => self.declare(&arena).await?,
        }
        if let Some(length) = self.plan.one_block {
            return self.one_block(mix, arena, length, announced).await;
        }
        let stop = self.environment.stop.clone();
        let checked = until_stopped(&stop, self.checks(&mix, arena.first())).await;
        let checked = checked.unwrap_or(Err(Halt::Stop(StopReason::Interrupted)))?;
        if checked.failed || self.plan.mode == Mode::ChecksOnly {
            return Ok(Left::Nothing(if checked.failed { StopReason::ChecksFailed } else { StopReason::ChecksOnly }));
        }
        let times = until_stopped(&stop, self.time(&mix, arena.first())).await;
        let times = times.unwrap_or(Err(Halt::Stop(StopReason::Interrupted)))?;
        let slow = self.settle(&mut arena, &times.direct);
        self.ready(&arena).await?;
        let warm_up = warm_up(slow);
        let context = self.context(mix.clone(), warm_up);
        let (offer, probed) = self.probe(&context, arena.first(), &times, arena.resident).await?;
        let record = record(self.plan, self.scenario, Some(offer.record(self.scenario)));
        self.append(Line::Scenario(Box::new(record.clone())))?;
        *announced = true;
        let course = Course::of(arena.first());
        let mut measuring = Box::new(Measuring { mix, arena, offer, probed, record, course, warm_up, enough: None });
        let Measuring { arena, offer, record, course, .. } = &mut *measuring;
        let enough = self.rounds(&context, arena, offer, record, course, aim).await?;
        if enough != Some(StopReason::Interrupted) {
            let routes = measuring.arena.first();
            let (server, scenario, suite) = (self.environment.server, self.scenario, &self.plan.suite);
            let collector = Collector { server, scenario, mix: &measuring.mix, suite, warm_up };
            let collected = evidence::collect(self.environment, &collector, routes, &checked.recall, &mut self.arenas.counting);
            // What was measured is whole by now; a signal only ends the looking for reasons.
            until_stopped(&stop, collected).await.unwrap_or(Ok(()))?;
        }
        match (enough, aim) {
            (enough @ (None | Some(StopReason::Precise)), Aim::Least) => {
                measuring.enough = enough;
                Ok(Left::Open(measuring))
            }
            (stop, _) => Ok(self.finish(measuring, stop.unwrap_or(StopReason::Budget)).await),
        }
    }

    /// Reads all arms into memory, has their databases plan as this scenario says, and lets autovacuum run only where there is something for it to
    /// do: other scenarios may have used both server and databases.
    pub(super) async fn ready(&self, arena: &Arena) -> Result<(), Halt> {
        self.declare(arena).await?;
        databases::set_autovacuum(self.environment.server, self.scenario.writes()).await?;
        if self.scenario.writes() {
            // Working copies are warmed as they are made.
            return Ok(());
        }
        for route in arena.routes.iter().flat_map(Arms::values) {
            databases::warm(self.environment.server, &route.database).await?;
        }
        Ok(())
    }

    /// Has the databases of arms that have a route tell their connections what others ask for themselves.
    async fn declare(&self, arena: &Arena) -> anyhow::Result<()> {
        for route in arena.routes.iter().flat_map(Arms::values) {
            route.declare(self.environment.server).await?;
        }
        Ok(())
    }

    /// Decides how statements are planned. Returns whether a transaction is slow.
    pub(super) fn settle(&mut self, arena: &mut Arena, direct: &Arms<Duration>) -> bool {
        let slow = direct.values().any(|time| *time > SLOW);
        if slow && self.scenario.load.plans == Plans::Auto {
            arena.routes.iter_mut().flat_map(Arms::values_mut).for_each(Route::pin_custom_plans);
            self.notices.push(Notice::SlowTransactions { limit_ns: nanoseconds(SLOW) });
        }
        if !arena.resident {
            let databases = arena.builds.iter().map(Arms::count).sum::<usize>() as u32;
            self.notices.push(Notice::NotResident { databases });
        }
        slow
    }

    /// The databases of all arms, made once a run, as many of each variant as a scenario has arms of it.
    async fn arena(&mut self) -> Result<Arena, Halt> {
        let count = builds(self.plan.mode);
        let mut builds = Vec::new();
        for build in 0..count {
            let mut made = Vec::new();
            for arm in self.scenario.arms.arms() {
                made.push(self.build(arm, build).await?);
            }
            builds.push(Arms::try_from(made).map_err(anyhow::Error::msg)?);
        }
        let bytes = builds.iter().flat_map(Arms::values).map(|one: &VariantDatabase| one.table_bytes + one.index_bytes).sum();
        let resident = databases::is_resident(self.environment.server, bytes).await?;
        for (arm, spec) in self.scenario.arms.iter() {
            let database = builds[0].get(arm);
            let record = VariantRecord {
                scenario: self.scenario.path(),
                arm,
                variant: spec.variant.clone(),
                applied: database.applied.clone(),
                table_bytes: database.table_bytes,
                index_bytes: database.index_bytes,
                resident,
                builds: count,
            };
            self.append(Line::Variant(record))?;
        }
        let routed = if self.scenario.writes() { 1 } else { builds.len() };
        let routes = builds.iter().take(routed).map(|made| self.routes(made)).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Arena { builds, routes, resident })
    }

    async fn build(&mut self, arm: Arm, build: u32) -> Result<VariantDatabase, Halt> {
        let variant = self.variant(arm)?.clone();
        let key = (self.scenario.database(arm), build);
        let factor = key.0.factor.as_ref();
        if let Some(database) = self.arenas.made.get(&key) {
            return Ok(database.clone());
        }
        let again = key.0.copy > 0 || build > 0;
        self.environment.progress.event(&Event::Applying { variant: &variant.name, factor, again });
        let value = factor.map_or_else(String::new, |factor| format!(" {}", factor.value));
        let routed = key.0.routed.as_ref().map_or_else(String::new, |routed| format!(" {} {:?}", routed.route, routed.settings));
        let called = format!("{}{value}{routed}", variant.name);
        let name = format!("{}_{}_{}_{build}", self.arenas.prefix, databases::sql_name(&called), key.0.copy);
        let (server, progress) = (self.environment.server, self.environment.progress);
        let database = databases::make_variant(server, &self.arenas.template, &name, &variant, factor, progress).await?;
        self.arenas.made.insert(key, database.clone());
        Ok(database)
    }

    /// The variant of an arm.
    pub(super) fn variant(&self, arm: Arm) -> anyhow::Result<&'_ Variant> {
        let name = &self.scenario.arms.get(arm).variant;
        self.plan.suite.variants.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.plan.suite.variants.keys().map(String::as_str).collect();
            anyhow::anyhow!("suite {} has no variant {name}; it has {}", self.plan.suite.name, known.join(", "))
        })
    }

    fn routes(&self, made: &Arms<VariantDatabase>) -> anyhow::Result<Arms<Route>> {
        made.try_each(|arm| {
            let database = &made.get(arm).name;
            let database = if self.scenario.writes() { format!("{database}_w") } else { database.clone() };
            let program = Arc::new(Program::new(self.scenario, arm));
            let login = super::route::login(&self.plan.suite, self.scenario);
            let info = self.environment.server.conn_info_as(login, &database);
            Ok(Route::new(&info, program, self.scenario.arms.get(arm), self.scenario.wire_rtt(arm))?)
        })
    }

    /// Fresh copies of all arms of a build for a scenario that writes.
    pub(super) async fn clone_working(&self, arena: &Arena, build: u32) -> anyhow::Result<()> {
        let Some(made) = arena.builds.get(build as usize) else { return Ok(()) };
        let server = self.environment.server;
        let pairs = || made.values().zip(arena.first().values());
        // All are awaited, so that none is made after the run has dropped its databases.
        let cloned = join_all(pairs().map(|(made, copy)| databases::clone_database(server, &made.name, &copy.database))).await;
        cloned.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        self.declare(arena).await?;
        let warmed = join_all(pairs().map(|(_, copy)| databases::warm(server, &copy.database))).await;
        warmed.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        Ok(())
    }

    pub(super) fn record_classes(&mut self, course: &Course) -> Result<(), Halt> {
        for (arm, classes) in course.classes.iter() {
            for (transaction, class, service) in classes.iter() {
                self.append(Line::TenantClass(class_record(self.scenario, arm, transaction, class.name(), service.clone())))?;
            }
        }
        Ok(())
    }

    /// Adds a line to the record.
    pub(super) fn append(&mut self, line: Line) -> Result<(), Halt> {
        let written = self.environment.record.append(&line);
        written.map_err(|error| Halt::Failed(anyhow::Error::new(error).context("cannot write the run record")))
    }

    pub(super) fn out_of_time(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Whether a signal asked the run to stop.
    pub(super) fn stopped(&self) -> bool {
        self.environment.stop.load(Ordering::Relaxed)
    }
}

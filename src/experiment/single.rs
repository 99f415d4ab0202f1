//! One variant under load, without a rival: for a look at throughput and latency, and for sizing.
//!
//! Seeds (or finds) the template, makes the variant, loads it in one block, and writes the same lines as a duel of one arm. Nothing is checked here, and nothing can be concluded about another variant.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::block::{BlockContext, ClassSums, Measured};
use super::checks::time_sessions;
use super::data::{self, Data};
use super::databases::{self, VariantDatabase};
use super::describe::{class_record, record};
use super::duel::until_stopped;
use super::offer::{BlockLength, Offer, SLOW};
use super::order::Slot;
use super::rejection::{self, Form, is_servers_fault};
use super::route::{self, Route};
use super::scenario_duel::WARM_UP;
use super::{Environment, Event, Plan, header, locked};
use crate::dataset::Dataset;
use crate::load::bind::{Mix, SequenceRange};
use crate::load::program::Program;
use crate::load::session::SessionError;
use crate::record::{Arm, Arms, Arrivals, BlockPurpose, End, Line, Notice, ScenarioEnd, StopReason, VariantRecord, nanoseconds};
use crate::scenario::{Plans, Rate, Scenario};
use crate::suite::Variant;

/// What to load.
#[derive(Clone, Debug)]
pub struct Single {
    /// Suite, sizes and seed; its first scenario is the one that runs, with the one arm, the arrivals, connections and round-trip time it says.
    pub plan: Plan,
    /// The variant of that arm.
    pub variant: Variant,
    /// How long.
    pub length: BlockLength,
}

/// Loads one variant and records it. An error means that nothing could be recorded; what fails later stands in the record.
pub async fn run_single(single: &Single, environment: &mut Environment<'_>) -> anyhow::Result<()> {
    let started = Instant::now();
    route::reachable(environment.server, &single.plan.scenarios).await?;
    locked(environment, async |environment| single_under_lock(single, environment, started).await).await
}

async fn single_under_lock(single: &Single, environment: &mut Environment<'_>, started: Instant) -> anyhow::Result<()> {
    let plan = &single.plan;
    let data = Data::plan(plan, data::common_overlays(plan), environment.server).await?;
    environment.record.append(&Line::Header(Box::new(header(plan, environment.server, &data).await?)))?;
    if let Some(scenario) = plan.scenarios.first() {
        let mut notices = Vec::new();
        let name = database_name(single);
        let stop = match seed_and_load(single, environment, &data, scenario, &name, started, &mut notices).await {
            Ok(stop) => stop,
            Err(error) => stop_of(scenario, &error),
        };
        if let Err(error) = databases::drop_duels(environment.server, &name).await {
            // What was measured is worth more.
            environment.progress.event(&Event::LeftBehind { error: &format!("{error:#}") });
        }
        let elapsed_ns = started.elapsed().as_nanos() as u64;
        environment.progress.event(&Event::ScenarioEnded { scenario: &scenario.path(), stop: &stop });
        environment.record.append(&Line::ScenarioEnd(ScenarioEnd { scenario: scenario.path(), stop, notices, elapsed_ns }))?;
    }
    let interrupted = environment.stop.load(Ordering::Relaxed);
    let finished_at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    environment.record.append(&Line::End(End { interrupted, finished_at }))?;
    Ok(())
}

fn database_name(single: &Single) -> String {
    format!("{}_{}", databases::run_prefix('r'), databases::sql_name(&single.variant.name))
}

#[allow(clippy::too_many_arguments)]
async fn seed_and_load(
    single: &Single,
    environment: &mut Environment<'_>,
    data: &Data,
    scenario: &Scenario,
    name: &str,
    started: Instant,
    notices: &mut Vec<Notice>,
) -> anyhow::Result<StopReason> {
    databases::tidy_up(environment.server, environment.progress).await;
    let stop = environment.stop.clone();
    let seeding = databases::template(environment.server, &single.plan.suite, &data.dataset, &data.digest, environment.progress);
    let Some(template) = until_stopped(&stop, seeding).await else { return Ok(StopReason::Interrupted) };
    let factor = scenario.arms.baseline.factor.as_ref();
    environment.progress.event(&Event::Applying { variant: &single.variant.name, factor, again: false });
    let made = databases::make_variant(environment.server, &template?, name, &single.variant, factor, environment.progress).await?;
    load(single, environment, &data.dataset, scenario, &made, started, notices).await
}

fn stop_of(scenario: &Scenario, error: &anyhow::Error) -> StopReason {
    if let Some(message) = databases::rejection(error) {
        return StopReason::Rejected { message };
    }
    match error.downcast_ref::<SessionError>() {
        Some(error) if !is_servers_fault(error.code()) => {
            StopReason::Rejected { message: rejection::describe(scenario, Arm::BASELINE, Form::Timed, error) }
        }
        _ => StopReason::Infrastructure { message: format!("{error:#}") },
    }
}

async fn load(
    single: &Single,
    environment: &mut Environment<'_>,
    dataset: &Arc<Dataset>,
    scenario: &Scenario,
    made: &VariantDatabase,
    started: Instant,
    notices: &mut Vec<Notice>,
) -> anyhow::Result<StopReason> {
    let offer = offer(scenario, single.length);
    let resident = databases::is_resident(environment.server, made.table_bytes + made.index_bytes).await?;
    let described = record(&single.plan, scenario, Some(offer.record(scenario)));
    environment.record.append(&Line::Scenario(Box::new(described)))?;
    environment.record.append(&Line::Variant(VariantRecord {
        scenario: scenario.path(),
        arm: Arm::BASELINE,
        variant: single.variant.name.clone(),
        applied: made.applied.clone(),
        table_bytes: made.table_bytes,
        index_bytes: made.index_bytes,
        resident,
        builds: 1,
    }))?;
    if !resident {
        notices.push(Notice::NotResident { databases: 1 });
    }
    let mix = Arc::new(Mix::new(dataset.clone(), scenario, single.plan.seed)?);
    let program = Arc::new(Program::new(scenario, Arm::BASELINE));
    let mut route = Route::new(environment.server, &made.name, program, &scenario.arms.baseline, scenario.wire_rtt(Arm::BASELINE))?;
    route.declare(environment.server).await?;
    let session = route.session(dataset.now()).await?;
    let mut sessions = Arms::new(session, Vec::new());
    let timing = until_stopped(&environment.stop, time_sessions(&mix, &mut sessions, SequenceRange::Probe(0x100)));
    let Some(Arms { baseline: alone, .. }) = timing.await else { return Ok(StopReason::Interrupted) };
    drop(sessions);
    databases::warm(environment.server, &made.name).await?;
    let slow = alone > SLOW;
    if slow && scenario.load.plans == Plans::Auto {
        route.pin_custom_plans();
        route.declare(environment.server).await?;
        notices.push(Notice::SlowTransactions { limit_ns: nanoseconds(SLOW) });
    }
    let context = BlockContext {
        scenario,
        server: environment.server,
        mix,
        seed: single.plan.seed,
        warm_up: if slow { 1 } else { WARM_UP },
        count_busy: true,
        run_started: started,
        deadline: None,
        stop: environment.stop.clone(),
    };
    let seconds = (single.length.settle + single.length.measure).as_secs_f64();
    environment.progress.event(&Event::Loading { scenario: &scenario.path(), variant: &single.variant.name, seconds });
    let slot = Slot { round: 0, position: 0, arm: Arm::BASELINE };
    let Measured { record, classes } = context.run(slot, &route, &offer, BlockPurpose::Scenario).await?;
    environment.progress.event(&Event::of_block(&record, &scenario.arms.baseline.name));
    environment.record.append(&Line::Block(Box::new(record)))?;
    let mut sums = ClassSums::default();
    sums.add(&classes);
    for (transaction, class, service) in sums.iter() {
        let line = class_record(scenario, Arm::BASELINE, transaction, class.name(), service.clone());
        environment.record.append(&Line::TenantClass(line))?;
    }
    Ok(if environment.stop.load(Ordering::Relaxed) { StopReason::Interrupted } else { StopReason::Budget })
}

/// Without a rate, every connection is kept busy: there is no rival whose capacity a rate would have to suit.
fn offer(scenario: &Scenario, length: BlockLength) -> Offer {
    let arrivals = match (&scenario.arms.baseline.arrivals, &scenario.load.rate) {
        (Some(own), _) => own.clone(),
        (None, Rate::Stated(Arrivals::Work { .. }) | Rate::Auto | Rate::Work) => Arrivals::Closed,
        (None, Rate::Stated(arrivals)) => arrivals.clone(),
    };
    Offer::same(arrivals, Arms::new(scenario.connections(Arm::BASELINE), Vec::new()), length)
}

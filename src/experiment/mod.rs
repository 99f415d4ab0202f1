//! The experiment: from scenarios and a server to a record.
//!
//! Seeds (or finds) the template, makes the arms, and for each scenario: checks, probes, rounds of blocks, evidence. Everything it
//! learns goes to the record at once. What it must know of judging, which blocks are no good and when there are enough of them, it asks
//! [`crate::judge`].

mod block;
mod capacity;
mod checks;
mod data;
mod describe;
mod databases;
mod duel;
pub mod events;
mod evidence;
mod explain;
pub mod offer;
pub mod order;
mod rejection;
mod rounds;
mod route;
mod scenario_duel;
mod single;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::dataset::Sizing;
use crate::record::{DatasetDescription, Header, Line, Machine, Mode, SCHEMA_VERSION, ServerDescription, Writer};
use crate::scenario::Scenario;
use crate::suite::Suite;
use crate::target::{HostKind, RunLock, Server, ServerKind};

pub use data::{Data, has_templates, overlay_sets, plan_dataset};
pub use databases::{VariantDatabase, clone_database, make_variant, template, template_digest};
pub use events::{Event, Progress};
pub use offer::BlockLength;
pub use route::connect_target;
pub use scenario_duel::builds;

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The suite.
    pub suite: Suite,
    /// Scenarios in the order in which they are to run.
    pub scenarios: Vec<Scenario>,
    /// Size of the data.
    pub sizing: Sizing,
    /// Seed of data, arrivals and parameters.
    pub seed: u64,
    /// Seed of the order of blocks: another one in each run.
    pub order_seed: u64,
    /// Length and aim.
    pub mode: Mode,
    /// Time for all of it; `None`: quick mode's own length, or [`BUDGET_OF_AN_ARM`] for each arm of a scenario.
    pub budget: Option<Duration>,
    /// The one block of a run of one arm.
    pub one_block: Option<BlockLength>,
    /// Every arm is the baseline.
    pub aa: bool,
    /// An inconclusive run ends with exit code 3.
    pub inconclusive_fails: bool,
    /// The command line, secrets redacted.
    pub command: String,
}

/// Time that a scenario gets in default mode for each of its arms: those of a sweep get as many rounds as two would.
pub const BUDGET_OF_AN_ARM: Duration = Duration::from_secs(120);

/// What a run needs beside its plan.
pub struct Environment<'a> {
    /// The server.
    pub server: &'a Server,
    /// Where everything is written.
    pub record: &'a mut Writer,
    /// Set when the run is to stop.
    pub stop: Arc<AtomicBool>,
    /// Who watches.
    pub progress: &'a dyn Progress,
}

/// Runs the plan. What goes wrong with one scenario is recorded and the next one runs; an error here means that nothing can.
pub async fn run(plan: &Plan, environment: &mut Environment<'_>) -> anyhow::Result<()> {
    let started = Instant::now();
    route::reachable(environment.server, &plan.suite, &plan.scenarios).await?;
    if let Server::External(_) = environment.server {
        let place = environment.server.conn_info(environment.server.admin_database());
        environment.progress.event(&Event::OwnServer { place: &place.to_string() });
    }
    // It says of the run's databases that they are in use.
    let lock = RunLock::take(environment.server).await?;
    environment.server.belongs_to(lock.name());
    let result = recorded(plan, environment, started).await;
    lock.release().await;
    result
}

async fn recorded(plan: &Plan, environment: &mut Environment<'_>, started: Instant) -> anyhow::Result<()> {
    let data = Data::plan(plan, data::common_overlays(plan), environment.server).await?;
    environment.record.append(&Line::Header(Box::new(header(plan, environment.server, &data).await?)))?;
    duel::Duels::new(plan, started).run(environment).await
}

async fn header(plan: &Plan, server: &Server, data: &Data) -> anyhow::Result<Header> {
    let dataset = &data.dataset;
    let rows = dataset.tables().into_iter().map(|table| (dataset.table_name(table).to_owned(), dataset.rows(table))).collect();
    Ok(Header {
        schema_version: SCHEMA_VERSION,
        pgduel: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        command: plan.command.clone(),
        suite: plan.suite.name.clone(),
        mode: plan.mode,
        aa: plan.aa,
        seed: plan.seed,
        order_seed: plan.order_seed,
        budget_seconds: plan.budget.map(|budget| budget.as_secs_f64()),
        inconclusive_fails: plan.inconclusive_fails,
        machine: machine(),
        server: describe(server).await?,
        dataset: DatasetDescription {
            scale: plan.sizing.scale,
            vectors: dataset.vector_rows(),
            overlays: data.overlays.clone(),
            now: crate::load::bind::timestamp(dataset.now()),
            tenants: u64::from(dataset.tenants()),
            rows,
            digest: data.digest.clone(),
        },
    })
}

async fn describe(server: &Server) -> anyhow::Result<ServerDescription> {
    let found = server.describe().await.context("cannot describe the server")?;
    Ok(ServerDescription {
        kind: match found.kind {
            ServerKind::Embedded => "embedded",
            ServerKind::External => "external",
        }
        .to_owned(),
        version: found.version,
        version_num: u32::try_from(found.version_num).unwrap_or(0),
        pgvector: found.pgvector_version,
        local: found.host == HostKind::Loopback,
        settings: found.settings,
    })
}

/// The machine that this process runs on.
pub fn machine() -> Machine {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    let release = rustix::system::uname();
    Machine {
        cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: memory.unwrap_or(0) * 1024,
        os: format!("{} {}", release.sysname().to_string_lossy(), release.release().to_string_lossy()),
    }
}

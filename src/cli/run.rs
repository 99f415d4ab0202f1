//! `pgduel run`: one variant under load.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::args::{Cli, RunArgs};
use super::progress::Console;
use super::{CommandResult, Failure, arms, duel, estimate, out, project, report, server};
use crate::dataset::Sizing;
use crate::experiment::{self, BlockLength, Environment, Plan};
use crate::record::{Arrivals, Mode, Spacing, Writer, nanoseconds};
use crate::scenario::stages::{LONGEST, MOST_PER_SECOND, SHORTEST, stages};
use crate::scenario::{Load, Rate, Scenario};
use crate::target::Lifetime;

/// Longest load before measuring begins; a fifth of the measured time if that is less.
const LONGEST_SETTLE: Duration = Duration::from_secs(2);
/// How long is measured, where nothing says so.
const USUAL_TIME: Duration = Duration::from_secs(10);

/// `pgduel run`
pub fn run(cli: &Cli, args: &RunArgs) -> CommandResult {
    let console = Console::new(cli.quiet, args.progress);
    let root = project::root(cli)?;
    let plan = plan(&root, args)?;
    let folder = duel::output_folder(&root, args.out.as_deref(), &plan.suite.name)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(anyhow::Error::from)?;
    let stop = Arc::new(AtomicBool::new(false));
    runtime.spawn(duel::watch_signals(stop.clone()));
    let result = runtime.block_on(measure(args, &plan, &folder, &console, stop));
    console.finish();
    if result.is_err() {
        duel::remove_unused(&folder);
    }
    result?;
    let code = report::publish_run(&folder, args.json)?;
    // Also of a run that did not end well: its record is what tells why.
    if !args.json && !cli.quiet {
        out::say(&format!("recorded in {}", folder.join("run.jsonl").display()));
    }
    Ok(code)
}

async fn measure(args: &RunArgs, plan: &Plan, folder: &Path, console: &Console, stop: Arc<AtomicBool>) -> Result<(), Failure> {
    let server = server::choose(&args.server, Lifetime::ThisProcess).await?;
    // One copy of the data for the variant, and one more that a writing scenario changes.
    let copies = if plan.scenarios.iter().any(Scenario::writes) { 2 } else { 1 };
    let fits = estimate::check(plan, copies, &server, args.size.consent()).await;
    let result = match fits {
        Ok(()) => record(plan, folder, &server, console, stop).await,
        Err(failure) => Err(failure),
    };
    let stopped = server.finish().await.map_err(anyhow::Error::from);
    result.and(stopped.map_err(Failure::Infrastructure))
}

async fn record(
    plan: &Plan,
    folder: &Path,
    server: &crate::target::Server,
    console: &Console,
    stop: Arc<AtomicBool>,
) -> Result<(), Failure> {
    let mut record = Writer::create(&folder.join("run.jsonl")).map_err(anyhow::Error::from)?;
    let mut environment = Environment { server, record: &mut record, stop, progress: console };
    experiment::run(plan, &mut environment).await.map_err(Failure::from)
}

fn plan(root: &Path, args: &RunArgs) -> Result<Plan, Failure> {
    args.size.check()?;
    if !args.scenario.contains('/') {
        return Err(Failure::Usage(format!("{} is no scenario; one is named SUITE/SCENARIO, and pgduel list shows all", args.scenario)));
    }
    let (suite, scenarios) = duel::find(root, std::slice::from_ref(&args.scenario))?;
    let Some(mut scenario) = scenarios.into_iter().next() else {
        return Err(Failure::Usage(format!("there is no scenario {}; pgduel list shows all", args.scenario)));
    };
    scenario = arms::chosen(&suite, scenario, std::slice::from_ref(&args.variant))?;
    adjust(&mut scenario, args)?;
    let measure = args.time.unwrap_or(USUAL_TIME);
    let length = BlockLength { settle: LONGEST_SETTLE.min(measure / 5), measure };
    Ok(Plan {
        suite,
        scenarios: vec![scenario],
        sizing: Sizing { scale: args.size.scale, vectors: args.size.vectors, overlays: Vec::new() },
        seed: args.size.seed,
        // One block has no order.
        order_seed: 0,
        inconclusive_fails: false,
        mode: Mode::Run,
        budget: None,
        one_block: Some(length),
        aa: false,
        command: duel::command_line(),
    })
}

/// What the command line says about load, instead of what the scenario says.
fn adjust(scenario: &mut Scenario, args: &RunArgs) -> Result<(), Failure> {
    let arm = &mut scenario.arms.baseline;
    if let Some(rtt) = args.rtt {
        (scenario.load.rtt, arm.rtt) = (rtt, None);
    }
    if let Some(connections) = args.connections {
        (scenario.load.connections, arm.connections) = (within("--connections", connections)?, None);
    }
    if args.clients.is_some() || args.users.is_some() || args.rate.is_some() || !args.stages.is_empty() {
        arm.arrivals = None;
    }
    if let Some(clients) = args.clients {
        scenario.load.rate = Rate::Stated(Arrivals::Closed);
        (scenario.load.connections, scenario.arms.baseline.connections) = (within("--clients", clients)?, None);
    }
    if let Some(users) = args.users {
        let users = within("--users", users)?;
        scenario.load.rate = Rate::Stated(Arrivals::Users { users, think_ns: nanoseconds(args.think) });
    }
    match args.rate {
        Some(rate) if !(rate.is_finite() && rate > 0.0 && rate <= MOST_PER_SECOND) => {
            return Err(Failure::Usage(format!("--rate {rate} is out of range; use more than 0 and at most {MOST_PER_SECOND} a second")));
        }
        Some(per_second) => scenario.load.rate = Rate::Stated(Arrivals::Poisson { per_second }),
        None => {}
    }
    if args.time.is_some_and(|time| !(SHORTEST..=LONGEST).contains(&time)) {
        return Err(Failure::Usage("--time is out of range; use 100ms to 24h".to_owned()));
    }
    if !args.stages.is_empty() {
        let stages = stages(&args.stages).map_err(|message| Failure::Usage(format!("--stages: {message}")))?;
        scenario.load.rate = Rate::Stated(Arrivals::Stages { spacing: Spacing::Poisson, stages });
    } else if args.time.is_some() && matches!(scenario.load.rate, Rate::Stated(Arrivals::Stages { .. })) {
        return Err(Failure::Usage(format!(
            "--time: the stages of {} say how long it runs; --rate or --stages replaces them",
            scenario.path()
        )));
    }
    Ok(())
}

fn within(option: &str, number: u32) -> Result<u32, Failure> {
    match number {
        1..=Load::MOST_SESSIONS => Ok(number),
        _ => Err(Failure::Usage(format!("{option} {number} is out of range; use 1 to {}", Load::MOST_SESSIONS))),
    }
}

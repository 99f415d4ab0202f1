//! `pgduel run`: one variant under load.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::args::{Cli, RunArgs};
use super::progress::Console;
use super::{CommandResult, Failure, duel, estimate, out, project, report, server};
use crate::dataset::Sizing;
use crate::diagnostic::closest;
use crate::experiment::{self, BlockLength, Environment, Plan, Single};
use crate::record::{Mode, Side, Spacing, Writer};
use crate::scenario::stages::{LONGEST, MOST_PER_SECOND, SHORTEST, stages};
use crate::scenario::{Arrival, Scenario};
use crate::suite::{Suite, Variant};
use crate::target::Lifetime;

/// Longest load before measuring begins; a fifth of the measured time if that is less.
const LONGEST_SETTLE: Duration = Duration::from_secs(2);
/// How long is measured, where nothing says so.
const USUAL_TIME: Duration = Duration::from_secs(10);
/// Copies of the template: the variant.
const COPIES: u64 = 1;
/// More sessions than any PostgreSQL takes.
const MOST_CONNECTIONS: u32 = 10_000;

/// `pgduel run`
pub fn run(cli: &Cli, args: &RunArgs) -> CommandResult {
    let root = project::root(cli)?;
    let single = single(&root, args)?;
    let folder = duel::output_folder(&root, args.out.as_deref(), &single.plan.suite.name)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(anyhow::Error::from)?;
    let console = Console::new(cli.quiet);
    let stop = Arc::new(AtomicBool::new(false));
    runtime.spawn(duel::watch_signals(stop.clone()));
    let result = runtime.block_on(measure(args, &single, &folder, &console, stop));
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

async fn measure(args: &RunArgs, single: &Single, folder: &Path, console: &Console, stop: Arc<AtomicBool>) -> Result<(), Failure> {
    let server = server::choose(&args.server, Lifetime::ThisProcess).await?;
    let fits = estimate::check(&single.plan, COPIES, &server, args.size.consent()).await;
    let result = match fits {
        Ok(()) => record(single, folder, &server, console, stop).await,
        Err(failure) => Err(failure),
    };
    let stopped = server.finish().await.map_err(anyhow::Error::from);
    result.and(stopped.map_err(Failure::Infrastructure))
}

async fn record(
    single: &Single,
    folder: &Path,
    server: &crate::target::Server,
    console: &Console,
    stop: Arc<AtomicBool>,
) -> Result<(), Failure> {
    let mut record = Writer::create(&folder.join("run.jsonl")).map_err(anyhow::Error::from)?;
    let mut environment = Environment { server, record: &mut record, stop, progress: console };
    experiment::run_single(single, &mut environment).await.map_err(Failure::from)
}

fn single(root: &Path, args: &RunArgs) -> Result<Single, Failure> {
    args.size.check()?;
    if !args.scenario.contains('/') {
        return Err(Failure::Usage(format!("{} is no scenario; one is named SUITE/SCENARIO, and pgduel list shows all", args.scenario)));
    }
    let (suite, scenarios) = duel::find(root, std::slice::from_ref(&args.scenario))?;
    let Some(mut scenario) = scenarios.into_iter().next() else {
        return Err(Failure::Usage(format!("there is no scenario {}; pgduel list shows all", args.scenario)));
    };
    let variant = variant(&suite, &args.variant)?.clone();
    let side = side(&suite, &scenario, &variant)?;
    adjust(&mut scenario, args)?;
    let length = match &scenario.load.arrival {
        Arrival::Stages { stages, .. } => BlockLength::of_stages(stages),
        _ => {
            let measure = args.time.unwrap_or(USUAL_TIME);
            BlockLength { settle: LONGEST_SETTLE.min(measure / 5), measure }
        }
    };
    let plan = Plan {
        suite,
        scenarios: vec![scenario],
        sizing: Sizing { scale: args.size.scale, vectors: args.size.vectors, overlays: Vec::new() },
        seed: args.size.seed,
        // One block has no order.
        order_seed: 0,
        inconclusive_fails: false,
        mode: Mode::Run,
        budget: None,
        aa: false,
        command: duel::command_line(),
    };
    Ok(Single { plan, variant, side, length })
}

fn variant<'a>(suite: &'a Suite, name: &str) -> Result<&'a Variant, Failure> {
    suite.variants.get(name).ok_or_else(|| {
        let known: Vec<&str> = suite.variants.keys().map(String::as_str).collect();
        let near = closest(name, known.iter().copied()).map(|near| format!(" Did you mean {near}?")).unwrap_or_default();
        Failure::Usage(format!("suite {} has no variant {name}; it has {}.{near}", suite.name, known.join(", ")))
    })
}

/// Whose statements suit a variant: the side it is, or that of the nearest variant it builds on; any where both sides run the same.
fn side(suite: &Suite, scenario: &Scenario, variant: &Variant) -> Result<Side, Failure> {
    let mut at = Some(variant);
    // As many steps as there are variants: files that build on each other in a circle were refused when the suite was read.
    for _ in 0..=suite.variants.len() {
        let Some(variant) = at else { break };
        for one in [Side::After, Side::Before] {
            if *scenario.duel.get(one) == variant.name {
                return Ok(one);
            }
        }
        at = variant.from.as_ref().and_then(|from| suite.variants.get(from));
    }
    let text = |side: Side| {
        let statements = scenario.transactions.iter().flat_map(move |one| one.statements.get(side));
        statements.map(|statement| (&statement.name, &statement.sql)).collect::<Vec<_>>()
    };
    if text(Side::Before) == text(Side::After) {
        return Ok(Side::Before);
    }
    let (before, after) = (&scenario.duel.before, &scenario.duel.after);
    let has = format!("{} has statements for {before} and for {after}", scenario.path());
    Err(Failure::Usage(format!("{has}, and {} builds on neither; use one of the two", variant.name)))
}

/// What the command line says about load, instead of what the scenario says.
fn adjust(scenario: &mut Scenario, args: &RunArgs) -> Result<(), Failure> {
    if let Some(rtt) = args.rtt {
        scenario.load.rtt = rtt;
    }
    if let Some(connections) = args.connections {
        scenario.load.connections = within("--connections", connections)?;
    }
    if let Some(clients) = args.clients {
        scenario.load.arrival = Arrival::Closed(within("--clients", clients)?);
    }
    if let Some(users) = args.users {
        scenario.load.arrival = Arrival::Users { users: within("--users", users)?, think: args.think };
    }
    match args.rate {
        Some(rate) if !(rate.is_finite() && rate > 0.0 && rate <= MOST_PER_SECOND) => {
            return Err(Failure::Usage(format!("--rate {rate} is out of range; use more than 0 and at most {MOST_PER_SECOND} a second")));
        }
        Some(rate) => scenario.load.arrival = Arrival::Poisson(rate),
        None => {}
    }
    if args.time.is_some_and(|time| !(SHORTEST..=LONGEST).contains(&time)) {
        return Err(Failure::Usage("--time is out of range; use 100ms to 24h".to_owned()));
    }
    if !args.stages.is_empty() {
        let stages = stages(&args.stages).map_err(|message| Failure::Usage(format!("--stages: {message}")))?;
        scenario.load.arrival = Arrival::Stages { spacing: Spacing::Poisson, stages };
    } else if args.time.is_some() && matches!(scenario.load.arrival, Arrival::Stages { .. }) {
        return Err(Failure::Usage(format!(
            "--time: the stages of {} say how long it runs; --rate or --stages replaces them",
            scenario.path()
        )));
    }
    Ok(())
}

fn within(option: &str, number: u32) -> Result<u32, Failure> {
    match number {
        1..=MOST_CONNECTIONS => Ok(number),
        _ => Err(Failure::Usage(format!("{option} {number} is out of range; use 1 to {MOST_CONNECTIONS}"))),
    }
}

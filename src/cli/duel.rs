//! `pgduel duel`: the main job.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::args::{Cli, DuelArgs, Inconclusive};
use super::progress::Console;
use super::{CommandResult, Failure, arms, estimate, out, project, report, server};
use crate::dataset::Sizing;
use crate::diagnostic::closest;
use crate::experiment::{self, Environment, Plan};
use crate::record::{Mode, Writer};
use crate::scenario::{self, Scenario};
use crate::shown::masked;
use crate::suite::{self, Suite};
use crate::target::Lifetime;

/// Vectors in quick mode unless told otherwise.
const QUICK_VECTORS: u64 = 5_000;

/// `pgduel duel`
pub fn duel(cli: &Cli, args: &DuelArgs) -> CommandResult {
    let console = Console::new(cli.quiet, args.progress);
    let root = project::root(cli)?;
    let plan = plan(&root, args)?;
    let folder = output_folder(&root, args.out.as_deref(), &plan.suite.name)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(anyhow::Error::from)?;
    let stop = Arc::new(AtomicBool::new(false));
    runtime.spawn(watch_signals(stop.clone()));
    let result = runtime.block_on(measure(args, &plan, &folder, &console, stop));
    console.finish();
    if result.is_err() {
        remove_unused(&folder);
    }
    result?;
    report::publish(&folder, args.json)
}

async fn measure(args: &DuelArgs, plan: &Plan, folder: &Path, console: &Console, stop: Arc<AtomicBool>) -> Result<(), Failure> {
    let server = server::choose(&args.server, Lifetime::ThisProcess).await?;
    if let Err(failure) = estimate::check(plan, copies(plan), &server, args.size.consent()).await {
        server.finish().await.map_err(anyhow::Error::from)?;
        return Err(failure);
    }
    let mut record = Writer::create(&folder.join("run.jsonl")).map_err(anyhow::Error::from)?;
    let mut environment = Environment { server: &server, record: &mut record, stop, progress: console };
    let result = experiment::run(plan, &mut environment).await.map_err(Failure::from);
    let stopped = server.finish().await.map_err(anyhow::Error::from);
    // Why the run failed says more than that its server does not stop either.
    result.and(stopped.map_err(Failure::Infrastructure))
}

/// Copies of the template that are there at one time, at most: for each database of an arm its builds and one in which calls are counted, and for
/// what writes a working copy of each and its counting one.
fn copies(plan: &Plan) -> u64 {
    let of = |one: &Scenario| one.databases().map(|database| (one.overlays.clone(), database)).collect::<Vec<_>>();
    // A database is there from the first scenario that needs it to the last; scenarios that share a budget are come back to.
    let shared = plan.budget.is_some() && plan.mode == Mode::Default;
    let held = |index: usize| {
        let so_far: BTreeSet<_> = plan.scenarios.iter().take(index + 1).flat_map(of).collect();
        let still: BTreeSet<_> = plan.scenarios.iter().skip(if shared { 0 } else { index }).flat_map(of).collect();
        so_far.intersection(&still).count() as u64
    };
    let most = (0..plan.scenarios.len()).map(held).max().unwrap_or(0);
    let writing = plan.scenarios.iter().filter(|one| one.writes()).map(|one| 2 * one.arms.count() as u64).max().unwrap_or(0);
    most * (u64::from(experiment::builds(plan.mode)) + 1) + writing
}

/// Removes the folder of a run that never got to its record; one with a record stays.
pub(super) fn remove_unused(folder: &Path) {
    let record = folder.join("run.jsonl");
    if std::fs::metadata(&record).is_ok_and(|file| file.len() == 0) {
        let _ = std::fs::remove_file(record);
    }
    let _ = std::fs::remove_dir(folder);
}

/// The first signal lets the run drain and save what it has; the second ends it at once.
pub(super) async fn watch_signals(stop: Arc<AtomicBool>) {
    watch_signals_saying("stopping: what was measured is saved; once more ends at once", stop).await;
}

/// The same, with other words at the first signal.
pub(super) async fn watch_signals_saying(words: &str, stop: Arc<AtomicBool>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else { return };
    let mut hangup = (!leaves_hangups_alone()).then(|| signal(SignalKind::hangup()).ok()).flatten();
    loop {
        let hung_up = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        let insists = tokio::select! {
            _ = interrupt.recv() => true,
            _ = terminate.recv() => true,
            // Closing a terminal sends SIGHUP twice: the shell sends one, and the kernel another when the shell exits.
            _ = hung_up => false,
        };
        match stop.swap(true, Ordering::Relaxed) {
            true if insists => std::process::exit(super::exit::INTERRUPTED),
            true => {}
            false => out::say(words),
        }
    }
}

/// Whether SIGHUP was ignored when this process began, as `nohup` has it, or where that cannot be told.
fn leaves_hangups_alone() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_none_or(|ignored| ignored & 1 == 1)
}

fn plan(root: &Path, args: &DuelArgs) -> Result<Plan, Failure> {
    args.size.check()?;
    let named = arms::named(&args.arms, args.aa)?;
    let (suite, mut scenarios) = find(root, &args.scenarios)?;
    if let Some(rtt) = args.rtt {
        if let Some(scenario) = scenarios.iter().find(|scenario| scenario.arms.values().any(|arm| arm.rtt.is_some())) {
            return Err(Failure::Usage(format!("--rtt: arms of {} have round-trip times of their own", scenario.path())));
        }
        scenarios.iter_mut().for_each(|scenario| scenario.load.rtt = rtt);
    }
    if !named.is_empty() {
        scenarios = scenarios.into_iter().map(|scenario| arms::chosen(&suite, scenario, &named)).collect::<Result<_, Failure>>()?;
    }
    if args.aa {
        scenarios = scenarios.into_iter().map(Scenario::against_itself).collect();
    }
    let mode = match (args.checks_only, args.quick) {
        (true, _) => Mode::ChecksOnly,
        (false, true) => Mode::Quick,
        (false, false) => Mode::Default,
    };
    let vectors = args.size.vectors.or_else(|| args.quick.then_some(QUICK_VECTORS));
    Ok(Plan {
        suite,
        scenarios,
        sizing: Sizing { scale: args.size.scale, vectors, overlays: Vec::new() },
        seed: args.size.seed,
        order_seed: rand::random(),
        inconclusive_fails: args.inconclusive == Inconclusive::Fail,
        mode,
        budget: args.budget,
        one_block: None,
        aa: args.aa,
        command: command_line(),
    })
}

/// The command as it was given. A connection string is left out: it may hold a password, and is taken from the environment as well.
pub(super) fn command_line() -> String {
    let mut words = Vec::new();
    let mut skip = false;
    for word in std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()) {
        if std::mem::take(&mut skip) || word.starts_with("--database-url=") {
            continue;
        }
        skip = word == "--database-url";
        if !skip {
            // One in another place keeps its password to itself.
            words.push(server::quoted(&masked(&word)));
        }
    }
    format!("pgduel {}", words.join(" "))
}

/// Suite and scenarios that the arguments name, held against each other.
pub(super) fn find(root: &Path, named: &[String]) -> Result<(Suite, Vec<Scenario>), Failure> {
    let mut paths: Vec<String> = Vec::new();
    for name in named {
        let suite = name.split('/').next().unwrap_or_default();
        let all = scenario::discover(root, suite).unwrap_or_default();
        let found: Vec<String> = if name.contains('/') { all.iter().filter(|path| *path == name).cloned().collect() } else { all.clone() };
        if found.is_empty() {
            return Err(Failure::Usage(unknown(root, name, &all)));
        }
        paths.extend(found.into_iter().filter(|path| !paths.contains(path)).collect::<Vec<_>>());
    }
    let suite_of = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
    let suite_name = paths.first().map(|path| suite_of(path)).unwrap_or_default();
    if let Some(other) = paths.iter().find(|path| suite_of(path) != suite_name) {
        return Err(Failure::Usage(format!("one run has one suite: {suite_name} and {} were named; make two runs", suite_of(other))));
    }
    let suite = suite::load(&root.join("seeds").join(&suite_name)).map_err(Failure::Files)?;
    let catalog = project::catalog(&suite).map_err(|diagnostic| Failure::Files(vec![diagnostic]))?;
    let mut scenarios = Vec::new();
    let mut wrong = Vec::new();
    for path in paths {
        match scenario::load(root, &path) {
            Ok(scenario) => {
                wrong.extend(scenario::check(&scenario, &suite, &*catalog));
                scenarios.push(scenario);
            }
            Err(errors) => wrong.extend(errors),
        }
    }
    if wrong.is_empty() { Ok((suite, scenarios)) } else { Err(Failure::Files(wrong)) }
}

fn unknown(root: &Path, name: &str, scenarios: &[String]) -> String {
    let suites = scenario::suites(root).unwrap_or_default();
    let known: Vec<&str> = suites.iter().chain(scenarios).map(String::as_str).collect();
    // Within a suite only the last part can be mistaken: what is shared makes everything look close.
    let near = match name.split_once('/') {
        Some((suite, rest)) if suites.iter().any(|known| known == suite) => {
            let of_suite = scenarios.iter().filter_map(|path| path.strip_prefix(suite)?.strip_prefix('/'));
            closest(rest, of_suite).map(|near| format!("{suite}/{near}"))
        }
        // Who leaves out the suite means the scenario of that name.
        _ => {
            let last = |path: &&String| path.rsplit('/').next().is_some_and(|last| last == name);
            let without_suite = scenarios.iter().find(last).map(String::as_str);
            without_suite.or_else(|| closest(name, known.iter().copied())).map(str::to_owned)
        }
    };
    match near {
        Some(near) => format!("there is no suite or scenario {name}; did you mean {near}? pgduel list shows all"),
        None => format!("there is no suite or scenario {name}; pgduel list shows all"),
    }
}

/// A new folder for the run: the one that was named, or `results/<date>-<suite>.<n>` with the first free n.
pub(super) fn output_folder(root: &Path, out: Option<&Path>, suite: &str) -> Result<PathBuf, Failure> {
    let cannot = |folder: &Path, error: std::io::Error| Failure::Usage(format!("cannot make {}: {error}", folder.display()));
    if let Some(out) = out {
        if let Some(parent) = out.parent() {
            std::fs::create_dir_all(parent).map_err(|error| cannot(out, error))?;
        }
        return std::fs::create_dir(out).map(|()| out.to_owned()).map_err(|error| cannot(out, error));
    }
    let results = root.join("results");
    std::fs::create_dir_all(&results).map_err(|error| cannot(&results, error))?;
    let date = chrono::Local::now().format("%Y-%m-%d");
    for number in 1..10_000 {
        let folder = results.join(format!("{date}-{suite}.{number}"));
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot(&folder, error)),
        }
    }
    Err(Failure::Usage(format!("{} is full of runs of today; name a folder with --out", results.display())))
}

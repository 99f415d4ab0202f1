//! `pgduel pgbench`: pgbench's flags and scripts on this engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};

use super::duel::watch_signals_saying;
use super::libpq::{self, Named};
use super::pgbench_progress::{self, Columns};
use super::{CommandResult, Failure, out};
use crate::diagnostic::{Source, read_text};
use crate::load::wire::{ConnectTarget, Connection};
use crate::pgbench::builtin::{BUILTINS, Builtin};
use crate::pgbench::client::{Program, QueryMode};
use crate::pgbench::live::Live;
use crate::pgbench::log::LogOptions;
use crate::pgbench::options::{Length, Options};
use crate::pgbench::run::{self, RunError};
use crate::pgbench::setup;
use crate::report::{Details, pgbench_json, pgbench_text};
use crate::script::{Script, Symbols, is_variable_name};
use crate::shown::plain;

/// pgbench's own exit codes.
const RUN_FAILED: i32 = 2;
pub(super) const NOT_BEGUN: i32 = 1;
/// Names a seed where no option does.
const SEED_VARIABLE: &str = "PGBENCH_RANDOM_SEED";
/// The largest of pgbench's whole numbers.
const MOST: i64 = i32::MAX as i64;

/// `pgduel pgbench`
#[derive(Args, Debug)]
#[command(
    version,
    disable_help_flag = true,
    after_help = "\
Examples:
  pgduel pgbench -S -c 8 -j 2 -T 10 -M prepared bench    the built-in point select, for ten seconds
  pgduel pgbench -f mine.sql@3 -b simple-update -T 60    two scripts, the first three times as often
  pgduel pgbench -R 500 -L 20 -T 60                      500 transactions a second, late after 20 ms
  pgduel pgbench -f mine.sql -t 1000 --json | jq .all.latency

The flags, scripts and report are those of pgbench(1), and percentiles follow. Tables are made by pgbench -i. The exit code is 0, \
1 if the run could not begin, 2 if it failed on the way, 130 if it was interrupted.

Not supported: -i and its options, --aggregate-interval, --verbose-errors, --debug, \\shell, \\setshell, \\aset, pipelines."
)]
pub struct PgbenchArgs {
    /// Database, a URL postgresql://user:password@host:port/database, or "host=... dbname=..." [default: PGDATABASE, PGUSER, your name]
    pub database: Option<String>,
    /// Script from a file, with a weight behind @; may be given several times
    #[arg(short = 'f', long = "file", value_name = "FILE[@WEIGHT]", value_parser = numbered)]
    pub files: Vec<Numbered>,
    /// Built-in script (tpcb-like, simple-update, select-only, or a beginning of it), with a weight behind @; list shows them
    #[arg(short = 'b', long = "builtin", value_name = "NAME[@WEIGHT]", value_parser = numbered)]
    pub builtins: Vec<Numbered>,
    /// The same as -b select-only
    #[arg(short = 'S', long, num_args = 0, default_missing_value = "select-only", action = ArgAction::Append, value_parser = numbered)]
    pub select_only: Vec<Numbered>,
    /// The same as -b simple-update
    #[arg(short = 'N', long, num_args = 0, default_missing_value = "simple-update", action = ArgAction::Append, value_parser = numbered)]
    pub skip_some_updates: Vec<Numbered>,
    /// Clients, each with a connection of its own
    #[arg(short = 'c', long = "client", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub clients: u32,
    /// Threads that the clients share
    #[arg(short = 'j', long = "jobs", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub threads: u32,
    /// Transactions a client [default: 10]
    #[arg(short = 't', long, conflicts_with = "time", value_parser = clap::value_parser!(u32).range(1..=MOST))]
    pub transactions: Option<u32>,
    /// Seconds
    #[arg(short = 'T', long, value_parser = clap::value_parser!(u32).range(1..=MOST))]
    pub time: Option<u32>,
    /// How statements are sent
    #[arg(short = 'M', long, value_enum, default_value_t = Protocol::Simple)]
    pub protocol: Protocol,
    /// Transactions a second, over all clients, at random intervals; latency counts from when they were due
    #[arg(short = 'R', long)]
    pub rate: Option<f64>,
    /// Milliseconds after which a transaction is late; with -R, one that would begin later than that is skipped
    #[arg(short = 'L', long)]
    pub latency_limit: Option<f64>,
    /// Runs of a transaction that loses against another one; 0 for no limit, which needs -L or -T
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=MOST))]
    pub max_tries: u32,
    /// Connect anew for each transaction
    #[arg(short = 'C', long)]
    pub connect: bool,
    /// Variable of the scripts
    #[arg(short = 'D', long = "define", value_name = "NAME=VALUE")]
    pub define: Vec<String>,
    /// Scale to report, and for scripts of your own; built-in ones look it up
    #[arg(short = 's', long, value_parser = clap::value_parser!(i64).range(1..=MOST))]
    pub scale: Option<i64>,
    /// Do not vacuum before the run
    #[arg(short = 'n', long)]
    pub no_vacuum: bool,
    /// Vacuum all four tables before the run
    #[arg(short = 'v', long)]
    pub vacuum_all: bool,
    /// Report times by command
    #[arg(short = 'r', long)]
    pub report_per_command: bool,
    /// Report serialization failures and deadlocks apart
    #[arg(long)]
    pub failures_detailed: bool,
    /// Show progress every so many seconds
    #[arg(short = 'P', long, value_parser = clap::value_parser!(u32).range(1..=MOST))]
    pub progress: Option<u32>,
    /// Show progress with the time of day, seconds since 1970, instead of that since the start
    #[arg(long)]
    pub progress_timestamp: bool,
    /// Seed of random numbers: a number, or time or rand for a new one [default: PGBENCH_RANDOM_SEED, time]
    #[arg(long, allow_hyphen_values = true)]
    pub random_seed: Option<String>,
    /// Print a built-in script and end
    #[arg(long, value_name = "NAME")]
    pub show_script: Option<String>,
    /// Print JSON instead of pgbench's report
    #[arg(long)]
    pub json: bool,
    /// Server's host, or the folder of its socket [default: PGHOST, the socket]
    #[arg(short = 'h', long)]
    pub host: Option<String>,
    /// Server's port [default: PGPORT, 5432]
    #[arg(short = 'p', long)]
    pub port: Option<u16>,
    /// User to connect as [default: PGUSER, your name]
    #[arg(short = 'U', long)]
    pub username: Option<String>,
    /// Make the tables: that is left to pgbench
    #[arg(short = 'i', long, hide = true)]
    pub initialize: bool,
    /// Write a line a transaction to pgbench_log.PROCESS, and .THREAD behind that for threads but the first
    #[arg(short = 'l', long)]
    pub log: bool,
    /// How the names of those files begin
    #[arg(long, default_value = "pgbench_log", requires = "log")]
    pub log_prefix: String,
    /// Share of the transactions that -l writes
    #[arg(long, default_value_t = 1.0, requires = "log")]
    pub sampling_rate: f64,
    /// Sums of -l over an interval
    #[arg(long, hide = true)]
    pub aggregate_interval: Option<u32>,
    /// Print help
    #[arg(long, short = '?', action = ArgAction::Help)]
    pub help: Option<bool>,
}

/// A script that was named, and how many were named before: they run and are reported in the order of the arguments.
#[derive(Clone, Debug)]
pub struct Numbered {
    place: usize,
    name: String,
}

fn numbered(name: &str) -> Result<Numbered, std::convert::Infallible> {
    // Arguments are read in their order.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    Ok(Numbered { place: NEXT.fetch_add(1, Ordering::Relaxed), name: name.to_owned() })
}

/// pgbench's `-M`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Protocol {
    /// Values put into the text
    Simple,
    /// Text and values apart
    Extended,
    /// Prepared once a connection
    Prepared,
}

/// Runs it, with pgbench's exit codes.
pub fn pgbench(args: &PgbenchArgs) -> CommandResult {
    execute(args).or_else(|failure| {
        super::complain(&failure);
        Ok(NOT_BEGUN)
    })
}

fn execute(args: &PgbenchArgs) -> CommandResult {
    if let Some(name) = &args.show_script {
        let builtin = Builtin::find(name).map_err(Failure::Usage)?;
        out::print(&format!("-- {}: {}\n{}\n", builtin.name, builtin.title, builtin.text()))?;
        return Ok(super::exit::PASS);
    }
    if args.builtins.iter().any(|builtin| builtin.name == "list") {
        let list: String = BUILTINS.iter().map(|builtin| format!("  {:>13}: {}\n", builtin.name, builtin.title)).collect();
        out::print(&format!("Available builtin scripts:\n{list}"))?;
        return Ok(super::exit::PASS);
    }
    refuse_unsupported(args)?;
    let mut symbols = Symbols::new();
    let variables = definitions(args, &mut symbols)?;
    let named = named_scripts(args);
    // As in pgbench, one of weight 0 is among them too.
    let builtin = named.iter().any(|script| script.kind == Kind::Builtin);
    let scripts = scripts(&named, &mut symbols)?;
    let protocol = match args.protocol {
        Protocol::Simple => QueryMode::Simple,
        Protocol::Extended => QueryMode::Extended,
        Protocol::Prepared => QueryMode::Prepared,
    };
    let program = Arc::new(Program::new(scripts, symbols, protocol));
    let options = options(args, variables)?;
    let named = Named { database: args.database.as_deref(), host: args.host.as_deref(), port: args.port, user: args.username.as_deref() };
    let target = libpq::target(&named)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(anyhow::Error::from)?;
    runtime.block_on(measure(args, program, options, target, builtin))
}

fn refuse_unsupported(args: &PgbenchArgs) -> Result<(), Failure> {
    let why = if args.initialize {
        "pgduel makes no tables of pgbench's: use pgbench -i"
    } else if args.aggregate_interval.is_some() {
        "--aggregate-interval is not supported: --json has the percentiles, and -l each transaction"
    } else if !(args.sampling_rate > 0.0 && args.sampling_rate <= 1.0) {
        "--sampling-rate is above 0 and at most 1"
    } else if args.max_tries == 0 && args.latency_limit.is_none() && args.time.is_none() {
        "--max-tries 0 sets no limit to tries, so -L or -T must"
    } else if args.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
        "-R takes a rate above 0"
    } else if args.latency_limit.is_some_and(|limit| !limit.is_finite() || limit <= 0.0 || limit > 1e9) {
        "-L takes milliseconds above 0"
    } else {
        return Ok(());
    };
    Err(Failure::Usage(why.to_owned()))
}

fn definitions(args: &PgbenchArgs, symbols: &mut Symbols) -> Result<Vec<(String, String)>, Failure> {
    let mut variables = Vec::new();
    for definition in &args.define {
        match definition.split_once('=') {
            Some((name, value)) if is_variable_name(name) => {
                symbols.number(name);
                variables.push((name.to_owned(), value.to_owned()));
            }
            _ => {
                return Err(Failure::Usage(format!(
                    "-D {definition}: a definition is NAME=VALUE, the name of letters, digits and underscores"
                )));
            }
        }
    }
    Ok(variables)
}

/// Where a script comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Builtin,
    File,
}

/// A script as an argument names it.
struct Mention<'a> {
    place: usize,
    /// With its weight, if it has one.
    name: &'a str,
    kind: Kind,
}

/// All scripts that were named, in their order; the first built-in one if none was.
fn named_scripts(args: &PgbenchArgs) -> Vec<Mention<'_>> {
    let mut named: Vec<Mention<'_>> = Vec::new();
    let of_kinds = [
        (&args.files, Kind::File),
        (&args.builtins, Kind::Builtin),
        (&args.select_only, Kind::Builtin),
        (&args.skip_some_updates, Kind::Builtin),
    ];
    for (numbered, kind) in of_kinds {
        named.extend(numbered.iter().map(|one| Mention { place: one.place, name: &one.name, kind }));
    }
    if named.is_empty() {
        named.push(Mention { place: 0, name: "tpcb-like", kind: Kind::Builtin });
    }
    named.sort_by_key(|one| one.place);
    named
}

fn scripts(named: &[Mention<'_>], symbols: &mut Symbols) -> Result<Vec<Script>, Failure> {
    let mut scripts = Vec::new();
    for Mention { name, kind, .. } in named {
        let (name, weight) = weighted(name)?;
        if *kind == Kind::Builtin {
            let builtin = Builtin::find(name).map_err(Failure::Usage)?;
            scripts.push(builtin.script(weight, symbols).map_err(Failure::Files)?);
            continue;
        }
        let path = PathBuf::from(name);
        let text = read_text(&path).map_err(|diagnostic| Failure::Files(vec![diagnostic]))?;
        scripts.push(Script::read(&Source::new(&path, &text), weight, symbols).map_err(Failure::Files)?);
    }
    // One of weight 0 never runs, and keeps its number in report and log.
    match scripts.iter().any(|script| script.weight > 0) {
        true => Ok(scripts),
        false => Err(Failure::Usage("every script has weight 0, so there is nothing to run".to_owned())),
    }
}

/// `name@3`
fn weighted(text: &str) -> Result<(&str, u64), Failure> {
    let Some((name, weight)) = text.rsplit_once('@') else { return Ok((text, 1)) };
    match weight.parse::<u32>() {
        Ok(weight) => Ok((name, u64::from(weight))),
        // A file may have an @ in its name.
        Err(_) if Path::new(text).exists() => Ok((text, 1)),
        Err(_) => Err(Failure::Usage(format!("{text}: a weight is a whole number behind @"))),
    }
}

fn options(args: &PgbenchArgs, variables: Vec<(String, String)>) -> Result<Options, Failure> {
    let seed = seed(args.random_seed.as_deref())?;
    let millis = |ms: f64| Duration::from_secs_f64(ms / 1e3);
    Ok(Options {
        clients: args.clients as usize,
        threads: args.threads.min(args.clients) as usize,
        length: match (args.time, args.transactions) {
            (Some(seconds), _) => Length::Time(Duration::from_secs(u64::from(seconds))),
            (None, count) => Length::Transactions(count.map_or(10, u64::from)),
        },
        rate: args.rate,
        latency_limit: args.latency_limit.map(millis),
        connect_limit: libpq::connect_limit()?,
        max_tries: (args.max_tries > 0).then_some(args.max_tries),
        reconnect: args.connect,
        by_command: args.report_per_command,
        seed,
        scale: args.scale.unwrap_or(1),
        variables,
        log: args.log.then(|| LogOptions {
            prefix: args.log_prefix.clone(),
            sampling_rate: args.sampling_rate,
            detailed: args.failures_detailed,
        }),
    })
}

/// The seed that an option or pgbench's variable of the environment names, which is told as pgbench tells it; else a new one.
fn seed(named: Option<&str>) -> Result<u64, Failure> {
    let variable = std::env::var_os(SEED_VARIABLE).map(|value| value.to_string_lossy().into_owned());
    let (text, origin) = match (named, &variable) {
        (Some(text), _) => (text, "--random-seed"),
        (None, Some(text)) => (text.as_str(), SEED_VARIABLE),
        (None, None) => return Ok(rand::random()),
    };
    // As in pgbench, a negative number is what its bits are without a sign.
    let negative = || text.parse::<i64>().ok().map(|number| number as u64);
    let seed =
        match text {
            "time" | "rand" => rand::random(),
            number => number.parse().ok().or_else(negative).ok_or_else(|| {
                Failure::Usage(format!("{origin} is \"{number}\"; it may be a whole number of up to 64 bits, time or rand"))
            })?,
        };
    out::say(&format!("pgduel pgbench: setting random seed to {seed}"));
    Ok(seed)
}

async fn measure(args: &PgbenchArgs, program: Arc<Program>, mut options: Options, target: ConnectTarget, builtin: bool) -> CommandResult {
    let failed = |message: String| {
        out::say(&format!("pgduel pgbench: {message}"));
        Ok(NOT_BEGUN)
    };
    let mut connection = match Connection::connect_within(&target, options.connect_limit.unwrap_or(Duration::MAX)).await {
        Ok(connection) => connection,
        Err(error) => return failed(error.to_string()),
    };
    if builtin {
        match setup::scale(&mut connection).await {
            Ok(scale) => {
                if args.scale.is_some_and(|given| given != scale) {
                    out::say(&format!("pgduel pgbench: scale option ignored, using count from pgbench_branches table ({scale})"));
                }
                options.scale = scale;
            }
            Err(error) => return failed(error.to_string()),
        }
    }
    if !args.no_vacuum {
        for problem in setup::vacuum(&mut connection, args.vacuum_all).await {
            out::say(&format!("pgduel pgbench: {problem} (ignoring this error and continuing anyway)"));
        }
    }
    connection.close().await;
    let stop = Arc::new(AtomicBool::new(false));
    tokio::spawn(watch_signals_saying("stopping: what was measured is reported; once more ends at once", stop.clone()));
    let live = args.progress.map(|_| Arc::new(Live::default()));
    let running = run::run(program.clone(), options.clone(), target, live.clone(), stop.clone());
    let progress = pgbench_progress::report(args.progress, live, Columns::of(&options, args.progress_timestamp));
    let outcome = tokio::select! {
        outcome = running => outcome,
        () = progress => return failed("the progress report ended".to_owned()),
    };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error @ RunError::Interrupted) => {
            out::say(&format!("pgduel pgbench: {error}"));
            return Ok(super::exit::INTERRUPTED);
        }
        Err(error) => return failed(error.to_string()),
    };
    for aborted in &outcome.aborted {
        out::say(&format!("pgduel pgbench: {aborted}"));
    }
    let details = Details {
        failures: args.failures_detailed,
        deviation: args.progress.is_some() || args.rate.is_some() || args.latency_limit.is_some(),
    };
    let text = match args.json {
        true => pgbench_json(&program, &options, &outcome)?,
        // pgbench shows a script's tabs as they are.
        false => pgbench_text(&program, &options, details, &outcome).split('\t').map(plain).collect::<Vec<_>>().join("\t"),
    };
    out::print(&text)?;
    if !outcome.aborted.is_empty() {
        out::say("pgduel pgbench: Run was aborted; the above results are incomplete.");
    }
    if outcome.interrupted {
        let seconds = outcome.elapsed.as_secs_f64();
        let cut_off = match outcome.cut_off {
            0 => String::new(),
            1 => " 1 transaction was still running and was cancelled.".to_owned(),
            more => format!(" {more} transactions were still running and were cancelled."),
        };
        out::say(&format!("pgduel pgbench: interrupted after {seconds:.1} s; the above results are of what was done until then.{cut_off}"));
        return Ok(super::exit::INTERRUPTED);
    }
    if !outcome.aborted.is_empty() {
        return Ok(RUN_FAILED);
    }
    Ok(super::exit::PASS)
}

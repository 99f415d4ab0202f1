//! The command line: its words and what they say about themselves.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::Failure;
use super::estimate::Consent;
use super::pgbench::PgbenchArgs;
use crate::scenario::Load;
use crate::scenario::stages::{Kind, LONGEST, MOST_PER_SECOND, SHORTEST, Step};

/// Two PostgreSQL schemas enter, the numbers decide.
///
/// pgduel seeds synthetic multi-tenant data, proves that a schema before and after a migration give the same, isolated answers, replays
/// scenario files against both in interleaved blocks, and says what got faster or slower, by how much, and how sure that is.
#[derive(Debug, Parser)]
#[command(name = "pgduel", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// Project folder: the one that holds scenarios/ and seeds/ [default: this one or the nearest above]
    #[arg(long, global = true, value_name = "DIR", display_order = 900)]
    pub project: Option<PathBuf>,
    /// Say nothing of progress: only results, and what went wrong
    #[arg(long, short, global = true, display_order = 901)]
    pub quiet: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How progress is told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum ProgressFormat {
    /// Words and bars for people
    #[default]
    Text,
    /// A JSON object a line, for tools
    Json,
}

const EXIT_CODES: &str = "\
Exit codes:
    0  pass
    1  regressed unexpectedly, or not as stated
    2  usage or file error
    3  inconclusive (--inconclusive fail)
    4  invalid run
    5  server or machine failed
    6  wrong answers, a leak, or a search that finds too little
  130  interrupted

Start with:
  pgduel list                                 what there is to run
  pgduel duel omniops/history-fetch --quick   a first duel, in about a minute
  pgduel help duel                            everything about one command, with examples";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List suites, their variants and scenarios
    List(ListArgs),
    /// Validate scenario and suite files; needs no database
    Lint(LintArgs),
    /// Duel variants: seed, check, interleave, compare, report
    Duel(DuelArgs),
    /// Load one variant: throughput, latency, errors
    Run(RunArgs),
    /// Describe two recorded runs side by side; judges nothing
    Compare(CompareArgs),
    /// Render a recorded run again: verdicts and all formats from run.jsonl alone
    Report(ReportArgs),
    /// Run pgbench's scripts, with pgbench's flags and report
    Pgbench(Box<PgbenchArgs>),
    /// Start, stop or look at the embedded server
    Server(ServerArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

/// `pgduel list`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  pgduel list                          suites, their variants and scenarios
  pgduel list --json | jq '.suites[].scenarios[].path'")]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `pgduel lint`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  pgduel lint                                        all of the project
  pgduel lint scenarios/omniops/history-fetch.toml   one file

Editors check and complete scenario files with docs/schema/scenario.schema.json.")]
pub struct LintArgs {
    /// Files and folders [default: all of the project]
    pub paths: Vec<PathBuf>,
}

/// `pgduel duel`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  pgduel duel omniops/history-fetch --quick     a first look at one scenario, in about a minute
  pgduel duel omniops --budget 40m              every scenario of the suite, in 40 minutes
  pgduel duel omniops/join-7d --arms before-domain,after,after-repaired
                                                other variants, each judged against the first
  pgduel duel omniops/join-7d --aa              the baseline on every arm: must find nothing
  pgduel duel omniops --checks-only             answers and isolation only, nothing is timed")]
pub struct DuelArgs {
    /// Suites or scenarios, such as omniops or omniops/history-fetch
    #[arg(required = true, value_name = "SUITE[/SCENARIO]")]
    pub scenarios: Vec<String>,
    /// A first look: short blocks (0.3 s or more) and few rounds, for large effects on medians
    #[arg(long)]
    pub quick: bool,
    /// Time for all of it, such as 90s, 40m or 2h [default: 2m for each arm of each scenario; none with --quick]
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub budget: Option<Duration>,
    /// Round-trip time to inject into every scenario, such as 5ms [default: what each scenario says]
    #[arg(long, value_parser = round_trip, value_name = "TIME")]
    pub rtt: Option<Duration>,
    #[command(flatten)]
    pub size: SizeArgs,
    /// Arms of the scenario, or variants, to duel in place of all that it names; the baseline first
    #[arg(long, value_delimiter = ',', value_name = "A,B,...")]
    pub arms: Vec<String>,
    /// Duel the baseline against itself, on as many arms: shows what noise alone looks like here
    #[arg(long)]
    pub aa: bool,
    /// Check answers and isolation, then stop
    #[arg(long)]
    pub checks_only: bool,
    /// What to make of gated metrics that stayed inconclusive
    #[arg(long, value_enum, default_value_t = Inconclusive::Pass)]
    pub inconclusive: Inconclusive,
    #[command(flatten)]
    pub server: ServerChoice,
    /// Folder for this run's record and reports; must not exist [default: results/<date>-<suite>.<n>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print the comparison as JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Format of the progress on standard error
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub progress: ProgressFormat,
}

/// How much data, and which.
#[derive(Args, Debug)]
pub struct SizeArgs {
    /// Factor on the row counts of the dataset, 0.01 to 1000
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub scale: f64,
    /// Number of vectors [default: the dataset's number times the scale; 5000 in pgduel duel --quick]
    #[arg(long)]
    pub vectors: Option<u64>,
    /// Seed of data, arrivals and parameters; the order of blocks is another one in each run
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Proceed despite apparently insufficient disk space
    #[arg(long)]
    pub yes: bool,
}

impl SizeArgs {
    /// Refuses what is out of range.
    pub fn check(&self) -> Result<(), Failure> {
        if !(0.01..=1000.0).contains(&self.scale) {
            return Err(Failure::Usage(format!("--scale {} is out of range; use 0.01 to 1000", self.scale)));
        }
        if self.vectors == Some(0) {
            return Err(Failure::Usage("--vectors 0 is out of range; use 1 or more".to_owned()));
        }
        Ok(())
    }

    /// Whether `--yes` was given.
    pub fn consent(&self) -> Consent {
        if self.yes { Consent::Given } else { Consent::Needed }
    }
}

/// `pgduel run`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  pgduel run omniops/history-fetch --variant after
      every connection busy, for 10 s
  pgduel run omniops/history-fetch --variant after --clients 32
      32 sessions
  pgduel run omniops/mix --variant after --rate 500 --connections 8
      500 arrivals a second on a pool of 8 connections
  pgduel run omniops/mix --variant after --users 1000 --think 2s --connections 8
      a thousand users on the same pool, each with two seconds between an answer and its next question
  pgduel run omniops/mix --variant after --connections 8 --stages ramp:800:20s,hold:300:10s,spike:2000:1s,hold:300:10s
      the load that the pool sustains, and how long it takes to recover from a spike
  pgduel run omniops/mix --variant after --rtt 5ms --time 1m --json
      at a round-trip time of 5 ms, for tools

Response is from the intended start to the last row, waiting for a connection (acquire) included; service is from the first byte sent.

Nothing is checked and nothing compared here: that is what pgduel duel does. pgduel report shows the record again, and pgduel compare \
lays it beside another one.")]
pub struct RunArgs {
    /// The scenario, such as omniops/history-fetch
    #[arg(value_name = "SUITE/SCENARIO")]
    pub scenario: String,
    /// The variant to load, or an arm of the scenario; pgduel list shows all variants
    #[arg(long, value_name = "NAME")]
    pub variant: String,
    /// Closed loop: run N sessions concurrently, each as fast as it can [default: what the scenario says, or all connections]
    #[arg(long, value_name = "N", conflicts_with = "rate")]
    pub clients: Option<u32>,
    /// N users who share the pool: each thinks, asks, and waits for its answer
    #[arg(long, value_name = "N", conflicts_with_all = ["rate", "clients"])]
    pub users: Option<u32>,
    /// How long a user thinks on average, such as 2s (exponential)
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "1s", requires = "users")]
    pub think: Duration,
    /// Open loop: so many arrivals a second (Poisson), whether the server keeps up or not
    #[arg(long, value_name = "PER_SECOND", allow_negative_numbers = true)]
    pub rate: Option<f64>,
    /// Open loop at a rate that changes, one stage after the other: ramp (evenly to it), hold (from the beginning of the stage) or spike
    /// (like hold; a later ramp resumes from the rate before the spike), such as ramp:400:10s,hold:400:30s,spike:2000:1s. They say how long the run is, and all of it is measured. Arrivals are Poisson
    #[arg(long, value_parser = step, value_name = "KIND:PER_SECOND:TIME", value_delimiter = ',', conflicts_with_all = ["rate", "clients", "users", "time"])]
    pub stages: Vec<Step>,
    /// Connections in the pool [default: what the scenario says]
    #[arg(long, value_name = "N", conflicts_with = "clients")]
    pub connections: Option<u32>,
    /// How long to measure, such as 30s or 5m; warm-up comes first: a fifth, at most 2s [default: 10s]
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub time: Option<Duration>,
    /// Round-trip time to inject, such as 5ms [default: what the scenario says]
    #[arg(long, value_parser = round_trip, value_name = "TIME")]
    pub rtt: Option<Duration>,
    #[command(flatten)]
    pub size: SizeArgs,
    #[command(flatten)]
    pub server: ServerChoice,
    /// Folder for this run's record and report; must not exist [default: results/<date>-<suite>.<n>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    pub json: bool,
    /// Format of the progress on standard error
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub progress: ProgressFormat,
}

/// `pgduel compare`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  pgduel compare results/2026-01-15-omniops.1 results/2026-01-16-omniops.1
  pgduel compare old/run.jsonl new/run.jsonl --json

It says what differs between the two (machine, server, settings, data, load), warns where numbers must not be held against each \
other, and gives both runs' values. It never judges: machines drift between sessions by more than most changes matter. For a \
verdict, duel both states in one run.")]
pub struct CompareArgs {
    /// A run's folder, or its run.jsonl
    pub baseline: PathBuf,
    /// Another one of the same kind
    pub run: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What to make of inconclusive metrics.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Inconclusive {
    /// Exit code 0.
    Pass,
    /// Exit code 3.
    Fail,
}

/// Which server.
#[derive(Args, Debug)]
pub struct ServerChoice {
    /// Your own server instead of the embedded one: postgresql://user:password@host:port/database. pgduel makes databases of its own
    /// there and touches no other
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Allow a server that is not on this machine
    #[arg(long)]
    pub allow_host: bool,
    /// The embedded one.
    #[command(flatten)]
    pub embedded: EmbeddedChoice,
}

/// How the embedded server is run.
#[derive(Args, Debug)]
pub struct EmbeddedChoice {
    /// Folder with the PostgreSQL programs for the embedded server [default: the newest installation that has pgvector]
    #[arg(long, value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
    /// Whether the embedded server waits for the disk at commit; off is for trying things out, and is recorded
    #[arg(long, value_enum, default_value_t = Fsync::On)]
    pub fsync: Fsync,
}

/// Whether commits wait for the disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Fsync {
    /// A commit returns when it is on the disk
    On,
    /// A commit returns at once
    Off,
}

/// `pgduel report`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  pgduel report results/2026-01-15-omniops.1                    write report.md, .json and .html beside the record
  pgduel report results/2026-01-15-omniops.1 --format md        print Markdown, for a pull request
  pgduel report run.jsonl --format json | jq .comparison.outcome

The exit code is that of the run, but never 3. A run of one variant (pgduel run) has the formats terminal and json.")]
pub struct ReportArgs {
    /// A run's folder, or its run.jsonl
    pub run: PathBuf,
    /// Print this format instead of writing all of them beside the record
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}

/// Report formats.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// The table for the terminal.
    Terminal,
    /// Markdown, for a pull request.
    Md,
    /// JSON, for tools.
    Json,
    /// One HTML file.
    Html,
}

/// `pgduel server`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  pgduel server start      leave one running: later runs need not wait for it
  pgduel server status     what runs, and where
  pgduel server stop       stop all that no run is using

Clusters live in $PGDUEL_HOME, or in the user's cache folder, and keep seeded data between runs. pgduel duel starts one by itself.")]
pub struct ServerArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub action: ServerAction,
}

/// Actions on the embedded server.
#[derive(Debug, Subcommand)]
pub enum ServerAction {
    /// Start it and leave it running, so that later runs need not
    #[command(after_help = "\
Examples:
  pgduel server start
  pgduel server start --pg-bin /usr/lib/postgresql/17/bin
  eval \"$(pgduel server start -q)\"     look into it with psql

Prints the command that connects psql. A server that already runs is left running.")]
    Start {
        #[command(flatten)]
        server: EmbeddedChoice,
    },
    /// Print how other programs reach it: PGHOST, PGPORT, PGUSER and PGPASSWORD, for a shell
    #[command(after_help = "\
Example:
  eval \"$(pgduel server env)\"     then psql, createdb, pgbench and pgduel pgbench go to it

One that does not run is started. The password is read from its file by the shell.")]
    Env {
        #[command(flatten)]
        server: EmbeddedChoice,
    },
    /// Stop every one that no run is using
    #[command(after_help = "Example:\n  pgduel server stop")]
    Stop,
    /// Say what runs, and where
    #[command(after_help = "Example:\n  pgduel server status")]
    Status,
    /// Drop databases that killed runs left behind, and list those that stay
    #[command(after_help = "\
Examples:
  pgduel server clean
  pgduel server clean pgduel_t_omniops_0f595ec8469a     drop this seeded template as well
  pgduel server clean --database-url postgresql://user:password@127.0.0.1:5432/postgres

Only databases with pgduel's mark are touched. One that a run is using stays.")]
    Clean {
        /// Databases of pgduel's to drop as well, such as templates
        #[arg(value_name = "DATABASE")]
        databases: Vec<String>,
        #[command(flatten)]
        server: ServerChoice,
    },
}

/// `pgduel completions`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  pgduel completions bash > ~/.local/share/bash-completion/completions/pgduel
  pgduel completions zsh > \"${fpath[1]}/_pgduel\"
  pgduel completions fish > ~/.config/fish/completions/pgduel.fish")]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// `90s`, `40m`, `2h`, `5ms`, `100us`.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.trim().parse().map_err(|_| format!("{text:?} is no time; write a number and a unit, such as 90s or 40m"))?;
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("{text:?} has no unit that is known; use us, ms, s, m or h, such as 90s or 40m")),
    };
    // A year is longer than anything that is meant, and clocks can still add it.
    let longest = Duration::from_secs(365 * 24 * 3600);
    Duration::try_from_secs_f64(number * seconds).ok().filter(|time| *time <= longest).ok_or_else(|| format!("{text:?} is out of range"))
}

/// A stage of a rate that changes.
fn step(text: &str) -> Result<Step, String> {
    let wrong = || {
        format!("{text:?} is no stage; write its kind, arrivals a second and a time, such as ramp:400:10s; kinds are ramp, hold and spike")
    };
    let mut parts = text.split(':');
    let (Some(kind), Some(rate), Some(length), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(wrong());
    };
    let (_, kind) = Kind::ALL.into_iter().find(|(word, _)| *word == kind.trim()).ok_or_else(wrong)?;
    let per_second: f64 = rate.trim().parse().map_err(|_| wrong())?;
    if !(0.0..=MOST_PER_SECOND).contains(&per_second) {
        return Err(format!("{text:?} is out of range; use 0 to {MOST_PER_SECOND} a second"));
    }
    let length = duration(length.trim())?;
    if !(SHORTEST..=LONGEST).contains(&length) {
        return Err(format!("{text:?} is out of range; use 100ms to 24h"));
    }
    Ok(Step { kind, per_second, length })
}

/// A round-trip time; the limit is that of scenario files.
fn round_trip(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    match time <= Load::LONGEST_RTT {
        true => Ok(time),
        false => Err(format!("{text:?} is out of range; use at most {}s", Load::LONGEST_RTT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert!(duration("3000000000000000h").is_err() && duration("8761h").is_err() && duration("-1s").is_err());
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("20ms"), Ok(Duration::from_millis(20)));
        for wrong in ["", "5", "m", "-1s", "5 parsecs", "1e400s", "NaNs"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}

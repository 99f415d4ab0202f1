//! The command line: its words and what they say about themselves.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Two PostgreSQL schemas enter, the numbers decide.
///
/// pgduel seeds synthetic multi-tenant data, proves that a schema before and after a migration give the same, isolated answers, replays
/// scenario files against both in interleaved blocks, and says what got faster or slower, by how much, and how sure that is.
#[derive(Debug, Parser)]
#[command(name = "pgduel", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// Project folder: the one that holds scenarios/ and seeds/ [default: this one or the nearest above]
    #[arg(long, global = true, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 pass; 1 something regressed unexpectedly, or an expectation was contradicted; 2 usage or file error;
3 inconclusive (with --inconclusive=fail); 4 invalid run; 5 infrastructure; 6 wrong answers or a leak; 130 interrupted.

Start with: pgduel list; pgduel duel omniops/history-fetch --quick";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List suites, their variants and scenarios
    List(ListArgs),
    /// Validate scenario and suite files; needs no database
    Lint(LintArgs),
    /// Duel two variants: seed, check, interleave, compare, report
    Duel(DuelArgs),
    /// Render a recorded run again: verdicts and all formats from run.jsonl alone
    Report(ReportArgs),
    /// Start, stop or look at the embedded server
    Server(ServerArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

/// `pgduel list`
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `pgduel lint`
#[derive(Args, Debug)]
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
  pgduel duel omniops/join-7d --aa              the same variant twice: must find nothing
  pgduel duel omniops --checks-only             answers and isolation only, nothing is timed")]
pub struct DuelArgs {
    /// Suites or scenarios, such as omniops or omniops/history-fetch
    #[arg(required = true, value_name = "SUITE[/SCENARIO]")]
    pub scenarios: Vec<String>,
    /// A first look: blocks of 0.75 s and few pairs; sees effects of about 30% on medians
    #[arg(long)]
    pub quick: bool,
    /// Time for all of it, such as 90s, 40m or 2h [default: 4m a scenario]
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub budget: Option<Duration>,
    /// Round-trip time to inject into every scenario, such as 5ms [default: what each scenario says]
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub rtt: Option<Duration>,
    /// Factor on the row counts of the dataset, 0.01 to 1000
    #[arg(long, default_value_t = 1.0)]
    pub scale: f64,
    /// Number of vectors [default: 5000 with --quick, else the dataset's number times the scale]
    #[arg(long)]
    pub vectors: Option<u64>,
    /// Seed of data, arrivals, parameters and block order
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Duel the first variant against itself: shows what noise alone looks like here
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
    /// They do.
    On,
    /// They do not.
    Off,
}

/// `pgduel report`
#[derive(Args, Debug)]
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
pub struct ServerArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub action: ServerAction,
}

/// Actions on the embedded server.
#[derive(Debug, Subcommand)]
pub enum ServerAction {
    /// Start it and leave it running, so that later runs need not
    Start {
        #[command(flatten)]
        server: ServerChoice,
    },
    /// Stop it
    Stop,
    /// Say what runs and where
    Status,
}

/// `pgduel completions`
#[derive(Args, Debug)]
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
    Duration::try_from_secs_f64(number * seconds).map_err(|_| format!("{text:?} is out of range"))
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
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("20ms"), Ok(Duration::from_millis(20)));
        for wrong in ["", "5", "m", "-1s", "5 parsecs", "1e400s", "NaNs"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}

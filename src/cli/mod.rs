//! The commands: one file each, which parses, calls and prints. No SQL, no arithmetic.

mod args;
mod arms;
mod conninfo;
mod contrast;
mod duel;
mod estimate;
mod libpq;
pub mod lint;
pub mod list;
mod out;
mod pgbench;
mod pgbench_progress;
mod pgpass;
mod progress;
mod project;
mod report;
mod run;
mod server;

use std::io::{IsTerminal, Write};

use clap::{CommandFactory, Parser};

use crate::shown::masked;
use crate::target::TargetError;

pub use args::{Cli, Command};

/// Exit codes, as the README lists them.
pub mod exit {
    /// Everything as it should be.
    pub const PASS: i32 = 0;
    /// Usage or file error.
    pub const USAGE: i32 = 2;
    /// Server or machine failed.
    pub const INFRASTRUCTURE: i32 = 5;
    /// Somebody ended it before its time.
    pub const INTERRUPTED: i32 = 130;
}

/// What a command ended with: an exit code, or an error that is yet to be printed.
pub type CommandResult = Result<i32, Failure>;

/// An error with the exit code that it means.
#[derive(Debug)]
pub enum Failure {
    /// A file that a person wrote, or arguments: exit code 2.
    Files(Vec<crate::diagnostic::Diagnostic>),
    /// Arguments, in words: exit code 2.
    Usage(String),
    /// Server, machine, record: exit code 5.
    Infrastructure(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        match error.downcast_ref::<TargetError>() {
            Some(target) if target.is_users_to_mend() => Failure::Usage(format!("{error:#}")),
            _ => Failure::Infrastructure(error),
        }
    }
}

/// Parses the arguments, runs the command, prints what went wrong, and gives the exit code.
pub fn main() -> i32 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; clap prints each where it belongs.
            let usage = if std::env::args_os().nth(1).is_some_and(|word| word == "pgbench") { pgbench::NOT_BEGUN } else { exit::USAGE };
            let code = if error.use_stderr() { usage } else { exit::PASS };
            let plain = error.to_string();
            let _ = match masked(&plain) {
                shown if error.use_stderr() && shown != plain => write!(std::io::stderr(), "{shown}"),
                _ => error.print(),
            };
            return code;
        }
    };
    match execute(&cli) {
        Ok(code) => code,
        Err(failure) => {
            complain(&failure);
            match failure {
                Failure::Files(_) | Failure::Usage(_) => exit::USAGE,
                Failure::Infrastructure(_) => exit::INFRASTRUCTURE,
            }
        }
    }
}

fn execute(cli: &Cli) -> CommandResult {
    match &cli.command {
        Command::List(args) => project::list(cli, args),
        Command::Lint(args) => project::lint(cli, args),
        Command::Duel(args) => duel::duel(cli, args),
        Command::Run(args) => run::run(cli, args),
        Command::Compare(args) => contrast::compare(args),
        Command::Report(args) => report::report(args),
        Command::Pgbench(args) => pgbench::pgbench(args),
        Command::Server(args) => server::server(cli, args),
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "pgduel", &mut script);
            out::print_bytes(&script)?;
            Ok(exit::PASS)
        }
    }
}

fn complain(failure: &Failure) {
    match failure {
        Failure::Files(diagnostics) => {
            let style = style(std::io::stderr().is_terminal());
            diagnostics.iter().for_each(|diagnostic| out::say_painted(&lint::rendered(diagnostic, style)));
        }
        Failure::Usage(text) => out::say(&format!("pgduel: {text}")),
        Failure::Infrastructure(error) => out::say(&format!("pgduel: {error:#}")),
    }
}

/// How findings look on a terminal, and elsewhere.
fn style(terminal: bool) -> lint::Style {
    match terminal {
        true => lint::Style::Graphical { columns: terminal_width(), colour: lint::Colour::On },
        false => lint::Style::Plain,
    }
}

/// Columns of the terminal, or 100 where there is none.
pub fn terminal_width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout()).map_or(100, |size| usize::from(size.ws_col).max(40))
}

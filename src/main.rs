//! The `pgduel` command: exit codes and error printing, once.

use std::process::ExitCode;

fn main() -> ExitCode {
    let code = pgduel::cli::main();
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

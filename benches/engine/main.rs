//! The load engine beside pgbench: `make bench` writes docs/engine.
//!
//! Both run the same script with the same flags on the same server, in processes of their own and in turn, a run or a slice of one at a time, so
//! that what the machine does meanwhile meets both alike. A second pgbench runs beside them: how far it is from the first is what this machine
//! cannot tell apart. Where both are compared, numbers are ratios of runs in the same turn.

#[path = "../../tests/support/about.rs"]
mod about;
mod arena;
mod beside;
mod ceilings;
mod duel;
mod lag;
mod memory;
#[path = "../../tests/support/nothing.rs"]
mod nothing;
mod rtt;
mod slices;
mod throughput;

use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Tables of the engine beside the installed pgbench, as Markdown.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which; all of them if none is named
    #[arg(value_enum)]
    tables: Vec<TableName>,
    /// Neighbours a row of the throughput table
    #[arg(long, default_value_t = 18)]
    pairs: usize,
    /// Neighbours a row of the lag table
    #[arg(long, default_value_t = 30)]
    lag_pairs: usize,
    /// Seconds a run
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Seconds of the memory run
    #[arg(long, default_value_t = 600)]
    memory_seconds: u64,
    /// Scale of pgbench's tables
    #[arg(long, default_value_t = 50)]
    scale: u32,
    /// Only rows whose name has this in it
    #[arg(long, default_value = "")]
    only: String,
    /// Cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum TableName {
    /// Transactions a second, and processor time a transaction
    Throughput,
    /// Lateness under a rate
    Lag,
    /// What the generator could do if the server did nothing
    Ceilings,
    /// The same of the engine of `duel` and `run`
    Duel,
    /// Injected round-trip time
    Rtt,
    /// Resident memory over time
    Memory,
    /// sysbench, and fewer round trips
    Beside,
}

impl Arguments {
    /// Neighbours where nothing is asked of the numbers.
    fn fewer(&self) -> usize {
        self.pairs.div_ceil(2)
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let wanted = |table| arguments.tables.is_empty() || arguments.tables.contains(&table);
    let arena = arena::Arena::new(arguments.scale)?;
    println!("# The load engine beside pgbench\n");
    println!(
        "Made by `make bench`; do not edit. Why the engine is as it is: [architecture.md](../architecture.md#decisions-and-what-they-rest-on). `duel` and \
         `run` share the connection, its clock and its pauses with `pgduel pgbench`, and have a table of their own, [duel.md](duel.md).\n"
    );
    println!("{}\n", arena.description());
    if wanted(TableName::Throughput) {
        throughput::table(&arena, arguments.pairs, arguments.seconds, &arguments.only)?;
    }
    if wanted(TableName::Lag) {
        lag::table(&arena, arguments.lag_pairs, arguments.seconds, &arguments.only)?;
    }
    if wanted(TableName::Ceilings) {
        ceilings::table(&arena, arguments.fewer(), arguments.seconds, &arguments.only)?;
    }
    if wanted(TableName::Duel) {
        let nothing = nothing::answer_at_once()?;
        duel::table(&arena, &arguments, nothing)?;
    }
    if wanted(TableName::Rtt) {
        rtt::table(&arena, &arguments.only)?;
    }
    if wanted(TableName::Memory) {
        memory::table(&arena, Duration::from_secs(arguments.memory_seconds), &arguments.only)?;
    }
    if wanted(TableName::Beside) {
        beside::table(&arena, arguments.fewer(), arguments.seconds, arguments.scale)?;
    }
    arena.finish()
}

//! Whether the engine's memory stays what it is.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::arena::Arena;

/// Until everything has its size.
const WARM_UP: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_secs(5);

/// Prints the table.
pub fn table(arena: &Arena, length: Duration, only: &str) -> anyhow::Result<()> {
    if !"memory".contains(only) {
        return Ok(());
    }
    println!("## Memory\n");
    println!(
        "Point selects at full speed, `-M prepared`, 32 clients on 2 threads, for {} s. Resident memory of the process.\n",
        length.as_secs()
    );
    println!("| after {} s | at the end | most | grown by | transactions |", WARM_UP.as_secs());
    println!("|---|---|---|---|---|");
    let arguments = ["-n", "-S", "-M", "prepared", "-c32", "-j2"].map(str::to_owned);
    let arguments: Vec<String> = arguments.into_iter().chain([format!("-T{}", length.as_secs())]).collect();
    let began = Instant::now();
    let mut first = None;
    let (mut last, mut most) = (0, 0);
    let reading = arena.watch(&arguments, LOOK, |resident| {
        last = resident;
        most = most.max(resident);
        if began.elapsed() >= WARM_UP {
            first.get_or_insert(resident);
        }
    })?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let first = first.context("the memory run is shorter than its warm-up")?;
    println!(
        "| {:.1} MiB | {:.1} MiB | {:.1} MiB | {:+.1} MiB | {} |\n",
        mib(first),
        mib(last),
        mib(most),
        mib(last) - mib(first),
        reading.transactions
    );
    users(arena)
}

/// Ten thousand users who share a pool.
fn users(arena: &Arena) -> anyhow::Result<()> {
    let mut most = 0;
    let arguments = ["--users", "10000", "--think", "5s", "--connections", "50", "--time", "30s"];
    arena.watch_users(&arguments, Duration::from_millis(500), |resident| most = most.max(resident))?;
    println!(
        "`pgduel run` with 10,000 users on 50 connections, seeding and reports included: at most {:.1} MiB.\n",
        most as f64 / f64::from(1 << 20)
    );
    Ok(())
}

//! Lateness under a rate: from when a transaction was due to when it began.

use std::path::PathBuf;

use anyhow::Context;

use super::arena::{Arena, Program, ratio, shown};

/// Clients and threads.
const CLIENTS: u32 = 8;
const THREADS: u32 = 2;

/// Prints the table.
pub fn table(arena: &Arena, pairs: usize, seconds: u32, only: &str) -> anyhow::Result<()> {
    println!("## Lateness\n");
    println!(
        "Point selects at half of what pgbench reaches without a rate, Poisson, {CLIENTS} clients on {THREADS} threads, `-M prepared`, {pairs} \
         runs of {seconds} s each in turn. Lateness counts from when a transaction was due to when the program began it, in whole microseconds. p50 is a ratio of \
         runs of the same turn with its interval of 95%, p99 that of all transactions together.\n"
    );
    println!("| rate | p50, pgduel / pgbench | at most | pooled p99, pgduel | pgbench | ratio | at most |");
    println!("|---|---|---|---|---|---|---|");
    if !"lag".contains(only) {
        return Ok(());
    }
    let flags: Vec<String> =
        ["-n", "-S", "-M", "prepared"].map(str::to_owned).into_iter().chain([format!("-c{CLIENTS}"), format!("-j{THREADS}")]).collect();
    let timed: Vec<String> = flags.iter().cloned().chain([format!("-T{seconds}")]).collect();
    let rate = (arena.run(Program::Pgbench, &timed)?.tps / 2.0).round();
    let timed: Vec<String> = timed.into_iter().chain(["-R".to_owned(), rate.to_string(), "-l".to_owned()]).collect();
    let mut pooled = [Vec::new(), Vec::new()];
    let mut ratios = Vec::new();
    for turn in 0..pairs {
        let mut medians = [0.0; 2];
        let order = if turn % 2 == 0 { [0, 1] } else { [1, 0] };
        for arm in order {
            let program = [Program::Pgduel, Program::Pgbench][arm];
            let mut lags = lags(arena, program, &timed)?;
            lags.sort_unstable();
            // The logs have whole microseconds, cut off: 0 is half a microsecond, near enough.
            medians[arm] = quantile(&lags, 0.5) + 0.5;
            pooled[arm].append(&mut lags);
        }
        ratios.push(medians[0] / medians[1]);
    }
    let [ours, theirs] = pooled.map(|mut lags| {
        lags.sort_unstable();
        quantile(&lags, 0.99)
    });
    println!("| {rate}/s | **{}** | 1.10 | {ours:.0} µs | {theirs:.0} µs | **{:.2}** | 1.25 |\n", shown(&ratio(&ratios)), ours / theirs);
    Ok(())
}

/// What each transaction was late by, µs, from the logs that both programs write: the last number of a line.
pub fn lags(arena: &Arena, program: Program, arguments: &[String]) -> anyhow::Result<Vec<u64>> {
    arena.run(program, arguments)?;
    let mut lags = Vec::new();
    for log in logs(arena)? {
        let text = std::fs::read_to_string(&log)?;
        std::fs::remove_file(&log)?;
        for line in text.lines() {
            let lag = line.rsplit(' ').next().and_then(|word| word.parse().ok());
            lags.push(lag.with_context(|| format!("{}: no lag in '{line}'", log.display()))?);
        }
    }
    Ok(lags)
}

fn logs(arena: &Arena) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(arena.folder.path())? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pgbench_log.")) {
            found.push(path);
        }
    }
    Ok(found)
}

fn quantile(sorted: &[u64], probability: f64) -> f64 {
    let place = (probability * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).map_or(f64::NAN, |lag| *lag as f64)
}

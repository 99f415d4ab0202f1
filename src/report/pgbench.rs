//! A run of pgbench's scripts, in pgbench's words: tools that read its report read this one. Percentiles, which it does not have, follow at the
//! end.

use std::fmt::Write;

use serde::Serialize;

use crate::pgbench::client::{Program, QueryMode};
use crate::pgbench::options::{Length, Options};
use crate::pgbench::run::Outcome;
use crate::pgbench::tally::ScriptTally;
use crate::record::Histogram;

/// Version of the JSON form. Raised when a reader of the former version would misread it.
pub const PGBENCH_JSON_VERSION: u32 = 1;

/// Quantiles that are shown, with their names.
const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)];

/// What is shown besides the results.
#[derive(Clone, Copy, Debug, Default)]
pub struct Details {
    /// `--failures-detailed`
    pub failures: bool,
    /// Whether latency was timed for its own sake: `-P`, `-R`, `-L`.
    pub deviation: bool,
}

/// The report, for people and for tools that know pgbench's.
pub fn pgbench_text(program: &Program, options: &Options, details: Details, outcome: &Outcome) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = write_text(&mut out, program, options, details, outcome);
    out
}

fn write_text(out: &mut String, program: &Program, options: &Options, details: Details, outcome: &Outcome) -> std::fmt::Result {
    let all = outcome.tally.all();
    let seconds = outcome.elapsed.as_secs_f64();
    let kind = match program.scripts.as_slice() {
        [one] => one.name.as_str(),
        _ => "multiple scripts",
    };
    writeln!(out, "transaction type: {kind}")?;
    writeln!(out, "scaling factor: {}", options.scale)?;
    writeln!(out, "query mode: {}", mode(program.mode))?;
    writeln!(out, "number of clients: {}", options.clients)?;
    writeln!(out, "number of threads: {}", options.threads)?;
    if let Some(tries) = options.max_tries {
        writeln!(out, "maximum number of tries: {tries}")?;
    }
    let interrupted = if outcome.interrupted { format!(" (interrupted after {seconds:.1} s)") } else { String::new() };
    match options.length {
        Length::Time(length) => {
            writeln!(out, "duration: {} s{interrupted}", length.as_secs())?;
            writeln!(out, "number of transactions actually processed: {}", all.done)?;
        }
        Length::Transactions(count) => {
            writeln!(out, "number of transactions per client: {count}{interrupted}")?;
            writeln!(out, "number of transactions actually processed: {}/{}", all.done, count.saturating_mul(options.clients as u64))?;
        }
    }
    lost(out, "", options, details, &all)?;
    if all.done + all.skipped == 0 {
        // As in pgbench: there is nothing that the rest could be of.
        return Ok(());
    }
    skipped(out, "", options, &all)?;
    if let Some(limit) = options.latency_limit {
        let late = 100.0 * all.late as f64 / all.done.max(1) as f64;
        let limit = limit.as_secs_f64() * 1e3;
        writeln!(out, "number of transactions above the {limit:.1} ms latency limit: {}/{} ({late:.3}%)", all.late, all.done)?;
    }
    if details.deviation {
        latency(out, "", &all)?;
    } else {
        let including = if all.failures() > 0 { " (including failures)" } else { "" };
        // As pgbench reckons it where it does not time each transaction: all clients' time over all transactions.
        let average = 1e3 * seconds * options.clients as f64 / (all.done + all.failures()).max(1) as f64;
        writeln!(out, "latency average = {average:.3} ms{including}")?;
    }
    if options.rate.is_some() {
        let lag = &outcome.tally.lag;
        let mean_ns = if lag.count() == 0 { f64::NAN } else { outcome.tally.mean_lag_ns() };
        writeln!(out, "rate limit schedule lag: avg {:.3} (max {:.3}) ms", ms(mean_ns), ms(lag.max() as f64))?;
    }
    let tps = all.done as f64 / seconds.max(1e-9);
    if options.reconnect {
        let connections = outcome.tally.connections.max(1) as f64;
        writeln!(out, "average connection time = {:.3} ms", 1e3 * outcome.tally.connecting.as_secs_f64() / connections)?;
        writeln!(out, "tps = {tps:.6} (including reconnection times)")?;
    } else {
        writeln!(out, "initial connection time = {:.3} ms", 1e3 * outcome.connecting.as_secs_f64())?;
        writeln!(out, "tps = {tps:.6} (without initial connection time)")?;
    }
    percentiles(out, "latency", &all.latency)?;
    if options.rate.is_some() {
        percentiles(out, "schedule lag", &outcome.tally.lag)?;
    }
    scripts(out, program, options, details, outcome)
}

/// A share of all transactions in percent. As in pgbench it is no number where there was no transaction.
fn percent(count: u64, of: u64) -> f64 {
    100.0 * count as f64 / of as f64
}

/// What did not succeed, or not at once; of all scripts or of one, whose lines begin with a dash.
fn lost(out: &mut String, dash: &str, options: &Options, details: Details, tally: &ScriptTally) -> std::fmt::Result {
    let share = |count| percent(count, tally.total());
    writeln!(out, "{dash}number of failed transactions: {} ({:.3}%)", tally.failures(), share(tally.failures()))?;
    if details.failures {
        let (serialization, deadlocks) = (tally.serialization_failures, tally.deadlock_failures);
        writeln!(out, "{dash}number of serialization failures: {serialization} ({:.3}%)", share(serialization))?;
        writeln!(out, "{dash}number of deadlock failures: {deadlocks} ({:.3}%)", share(deadlocks))?;
    }
    if options.max_tries != Some(1) {
        writeln!(out, "{dash}number of transactions retried: {} ({:.3}%)", tally.retried, share(tally.retried))?;
        writeln!(out, "{dash}total number of retries: {}", tally.retries)?;
    }
    Ok(())
}

fn skipped(out: &mut String, dash: &str, options: &Options, tally: &ScriptTally) -> std::fmt::Result {
    if options.rate.is_none() || options.latency_limit.is_none() || tally.total() == 0 {
        return Ok(());
    }
    writeln!(out, "{dash}number of transactions skipped: {} ({:.3}%)", tally.skipped, percent(tally.skipped, tally.total()))
}

fn latency(out: &mut String, dash: &str, tally: &ScriptTally) -> std::fmt::Result {
    if tally.done == 0 {
        return Ok(());
    }
    writeln!(out, "{dash}latency average = {:.3} ms", ms(tally.mean_ns()))?;
    writeln!(out, "{dash}latency stddev = {:.3} ms", ms(tally.deviation_ns()))
}

fn percentiles(out: &mut String, what: &str, times: &Histogram) -> std::fmt::Result {
    write!(out, "{what} percentiles:")?;
    for (name, quantile) in QUANTILES {
        if let Some(value) = times.quantile(quantile) {
            write!(out, " {name} = {:.3} ms,", ms(value))?;
        }
    }
    writeln!(out, " max = {:.3} ms", ms(times.max() as f64))
}

fn scripts(out: &mut String, program: &Program, options: &Options, details: Details, outcome: &Outcome) -> std::fmt::Result {
    let several = program.scripts.len() > 1;
    let weights: u64 = program.scripts.iter().map(|script| script.weight).sum();
    let done = outcome.tally.all().done;
    for (number, (script, tally)) in program.scripts.iter().zip(&outcome.tally.scripts).enumerate() {
        if several {
            let targets = 100.0 * script.weight as f64 / weights.max(1) as f64;
            writeln!(out, "SQL script {}: {}", number + 1, script.name)?;
            writeln!(out, " - weight: {} (targets {targets:.1}% of total)", script.weight)?;
            let share = percent(tally.done, done);
            let tps = tally.done as f64 / outcome.elapsed.as_secs_f64().max(1e-9);
            writeln!(out, " - {} transactions ({share:.1}% of total, tps = {tps:.6})", tally.done)?;
            lost(out, " - ", options, details, tally)?;
            skipped(out, " - ", options, tally)?;
            latency(out, " - ", tally)?;
        }
        if options.by_command {
            let retries = options.max_tries != Some(1);
            let what = if retries { ", failures and retries" } else { " and failures" };
            writeln!(out, "{}statement latencies in milliseconds{what}:", if several { " - " } else { "" })?;
            for (command, times) in script.commands.iter().zip(&tally.commands) {
                write!(out, "   {:>11.3}  {:>10}", ms(times.mean_ns()), times.failures)?;
                if retries {
                    write!(out, "  {:>10}", times.retries)?;
                }
                writeln!(out, "  {}", command.text)?;
            }
        }
    }
    Ok(())
}

fn mode(mode: QueryMode) -> &'static str {
    match mode {
        QueryMode::Simple => "simple",
        QueryMode::Extended => "extended",
        QueryMode::Prepared => "prepared",
    }
}

fn ms(ns: f64) -> f64 {
    ns / 1e6
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    query_mode: &'static str,
    scale: i64,
    clients: usize,
    threads: usize,
    seed: u64,
    seconds: f64,
    connecting_seconds: f64,
    interrupted: bool,
    cut_off: u64,
    transactions_per_second: f64,
    all: Script<'a>,
    scripts: Vec<Script<'a>>,
    lag: Option<Times>,
    aborted: &'a [String],
}

#[derive(Serialize)]
struct Script<'a> {
    name: &'a str,
    weight: u64,
    done: u64,
    late: u64,
    skipped: u64,
    serialization_failures: u64,
    deadlock_failures: u64,
    retried: u64,
    retries: u64,
    latency: Times,
    commands: Vec<Command<'a>>,
}

#[derive(Serialize)]
struct Command<'a> {
    line: usize,
    text: &'a str,
    failures: u64,
    retries: u64,
    times: Times,
}

/// Times in ns; null where there is no sample.
#[derive(Serialize)]
struct Times {
    count: u64,
    mean_ns: Option<f64>,
    p50_ns: Option<f64>,
    p90_ns: Option<f64>,
    p95_ns: Option<f64>,
    p99_ns: Option<f64>,
    p999_ns: Option<f64>,
    max_ns: u64,
}

impl Times {
    fn of(times: &Histogram) -> Times {
        let [p50_ns, p90_ns, p95_ns, p99_ns, p999_ns] = QUANTILES.map(|(_, quantile)| times.quantile(quantile));
        Times { count: times.count(), mean_ns: times.mean(), p50_ns, p90_ns, p95_ns, p99_ns, p999_ns, max_ns: times.max() }
    }
}

/// The report as JSON with a line end. Times are ns.
pub fn pgbench_json(program: &Program, options: &Options, outcome: &Outcome) -> anyhow::Result<String> {
    let script = |name, weight, tally: &ScriptTally, commands| Script {
        name,
        weight,
        done: tally.done,
        late: tally.late,
        skipped: tally.skipped,
        serialization_failures: tally.serialization_failures,
        deadlock_failures: tally.deadlock_failures,
        retried: tally.retried,
        retries: tally.retries,
        latency: Times::of(&tally.latency),
        commands,
    };
    let all = outcome.tally.all();
    let seconds = outcome.elapsed.as_secs_f64();
    let scripts = program.scripts.iter().zip(&outcome.tally.scripts).map(|(one, tally)| {
        let commands = one.commands.iter().zip(&tally.commands).filter(|_| options.by_command);
        let commands = commands.map(|(command, times)| Command {
            line: command.line,
            text: &command.text,
            failures: times.failures,
            retries: times.retries,
            times: Times::of(&times.times),
        });
        script(one.name.as_str(), one.weight, tally, commands.collect())
    });
    let document = Document {
        format: "pgduel-pgbench",
        version: PGBENCH_JSON_VERSION,
        query_mode: mode(program.mode),
        scale: options.scale,
        clients: options.clients,
        threads: options.threads,
        seed: options.seed,
        seconds,
        connecting_seconds: outcome.connecting.as_secs_f64(),
        interrupted: outcome.interrupted,
        cut_off: outcome.cut_off,
        transactions_per_second: all.done as f64 / seconds.max(1e-9),
        all: script("all", program.scripts.iter().map(|script| script.weight).sum(), &all, Vec::new()),
        scripts: scripts.collect(),
        lag: options.rate.map(|_| Times::of(&outcome.tally.lag)),
        aborted: &outcome.aborted,
    };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    Ok(text)
}

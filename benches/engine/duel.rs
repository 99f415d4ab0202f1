//! The engine that `duel` and `run` use, in this process, beside pgbench: connections, scheduler, queue and recorder of a block.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use pgduel::dataset::{Dataset, Sizing};
use pgduel::load::bind::Mix;
use pgduel::load::block::{BlockResult, BlockSpec, prepare};
use pgduel::load::program::Program;
use pgduel::load::wire::{ConnectTarget, Host};
use pgduel::record::{Arm, Arrivals, BlockLoad, Histogram};
use pgduel::{scenario, suite};

use super::Arguments;
use super::arena::{Arena, Program as Yardstick, in_turn, ratio, shown};
use super::throughput::IDENTITY;

const CLIENTS: u32 = 8;
const THREADS: usize = 2;
const MILLION: f64 = 1e6;
/// Arrivals a second, of a million.
const RATE: f64 = 25_000.0;

/// A point select as pgbench has it, and the same for a signed-in user of a suite that has some.
const SCENARIO: &str = r#"
title = "Point selects"
duel  = ["before", "after"]

[[transaction]]
name   = "select"
"#;
const POINT: &str = "script = \"point.sql\"\nvariables = { scale = SCALE }\n";
const POINT_SQL: &str = "\\set aid random(1, 100000 * :scale)\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n";
const ONE: &str = "script = \"one.sql\"\n";
const SIGNED_IN: &str = r#"
identity = "member"
draw.aid = { int = [1, LAST] }

[[transaction.statement]]
name = "select"
sql  = "select abalance from pgbench_accounts where aid = :aid"
"#;

/// Transactions of one kind, ready to be run in blocks.
struct Subject {
    program: Arc<Program>,
    mix: Arc<Mix>,
    target: ConnectTarget,
    blocks: AtomicU64,
}

/// What one block came to.
struct Block {
    result: BlockResult,
    /// Processor time of this process while it ran, connecting left out.
    cpu: Duration,
}

impl Block {
    fn tps(&self) -> f64 {
        self.result.recording.completed as f64 / self.result.duration.as_secs_f64()
    }

    fn cpu_per_transaction(&self) -> f64 {
        self.cpu.as_secs_f64() / self.result.finished.max(1) as f64
    }
}

impl Subject {
    fn new(arena: &Arena, transaction: &str, scale: u32) -> anyhow::Result<Subject> {
        arena.script("point.sql", POINT_SQL)?;
        arena.script("one.sql", "SELECT 1;\n")?;
        let transaction = transaction.replace("SCALE", &scale.to_string()).replace("LAST", &(scale * 100_000).to_string());
        let file = arena.folder.path().join("select.toml");
        let read = scenario::parse("bench", "select", &file, &format!("{SCENARIO}{transaction}"));
        let mut scenario = read.map_err(|found| anyhow!("{}", found.iter().map(|one| one.plain()).collect::<Vec<_>>().join("; ")))?;
        // Both sides would be the same; one is run.
        scenario.load.connections = CLIENTS;
        let model = suite::load(std::path::Path::new("examples/notes/seeds/notes")).map_err(|_| anyhow!("the example's suite"))?.model;
        let dataset = Dataset::plan(model, Sizing { scale: 0.1, vectors: None, overlays: Vec::new() }, 1)?;
        let mix = Mix::new(Arc::new(dataset), &scenario, 1)?;
        let program = Program::new(&scenario, Arm::BASELINE);
        Ok(Subject { program: Arc::new(program), mix: Arc::new(mix), target: arena.target()?, blocks: AtomicU64::new(0) })
    }

    /// The same against another server.
    fn at(mut self, port: u16) -> Subject {
        self.target.host = Host::Tcp("127.0.0.1".to_owned());
        self.target.port = port;
        self
    }

    fn run(&self, arena: &Arena, load: BlockLoad, connections: u32, threads: usize) -> anyhow::Result<Block> {
        let number = self.blocks.fetch_add(1, Ordering::Relaxed);
        let (warm_up_sequence, first_sequence) = (1 << 42 | number << 20, number << 20);
        let spec = BlockSpec {
            load: BlockLoad { connections, warm_up: 6, warm_up_sequence, first_sequence, seed: number, ..load },
            target: self.target.clone(),
            program: self.program.clone(),
            mix: self.mix.clone(),
            threads,
            stop: Arc::new(AtomicBool::new(false)),
        };
        arena.block_on(async {
            let prepared = prepare(spec).await?;
            let before = own_cpu()?;
            let result = prepared.run().await?;
            Ok(Block { result, cpu: own_cpu()?.saturating_sub(before) })
        })
    }
}

fn own_cpu() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok(Duration::from_micros((usage.user_time() + usage.system_time()).num_microseconds().try_into()?))
}

fn closed(seconds: u32) -> BlockLoad {
    BlockLoad::new(Arrivals::Closed, Duration::ZERO, Duration::from_secs(seconds.into()))
}

/// Prints the tables.
pub fn table(arena: &Arena, arguments: &Arguments, port_of_nothing: u16) -> anyhow::Result<()> {
    let Arguments { pairs, lag_pairs, seconds, scale, .. } = *arguments;
    println!("## `duel` and `run`\n");
    println!(
        "Their blocks bind parameters from the dataset, keep a queue, and record acquire, service and response times by transaction, statement and \
         tenant class. In this process, {CLIENTS} connections on {THREADS} threads; beside it pgbench with as many clients, `-M prepared`.\n"
    );
    println!("| closed loop | throughput, duel / pgbench | CPU per transaction, duel / pgbench |");
    println!("|---|---|---|");
    let flags = |script: &[String]| -> Vec<String> {
        let usual = ["-n", "-M", "prepared"].map(str::to_owned).into_iter().chain(script.iter().cloned());
        usual.chain([format!("-c{CLIENTS}"), format!("-j{THREADS}"), format!("-T{seconds}")]).collect()
    };
    let point = Subject::new(arena, POINT, scale)?;
    let signed_in = Subject::new(arena, SIGNED_IN, scale)?;
    let identity = arena.script("identity.sql", IDENTITY)?;
    let rows =
        [("point select", &point, flags(&["-S".to_owned()])), ("identity transaction", &signed_in, flags(&["-f".to_owned(), identity]))];
    let wanted = |name: &str| name.contains(arguments.only.as_str());
    for (name, subject, yardstick) in rows.iter().filter(|(name, ..)| wanted(name)) {
        eprintln!("duel: {name}");
        let (mut throughput, mut cpu) = (Vec::new(), Vec::new());
        for turn in 0..pairs {
            let (block, reading) =
                in_turn(turn, || subject.run(arena, closed(seconds), CLIENTS, THREADS), || arena.run(Yardstick::Pgbench, yardstick))?;
            throughput.push(block.tps() / reading.tps);
            cpu.push(block.cpu_per_transaction() / reading.cpu_per_transaction());
        }
        println!("| {name} | {} | {} |", shown(&ratio(&throughput)), shown(&ratio(&cpu)));
    }
    println!();
    if wanted("ceilings") {
        ceilings(arena, arguments.fewer(), seconds, scale, port_of_nothing)?;
    }
    if wanted("a million arrivals") {
        a_million(arena, scale, port_of_nothing)?;
    }
    if wanted("lateness") {
        lateness(arena, &point, lag_pairs, seconds, &flags(&["-S".to_owned()]))?;
    }
    Ok(())
}

/// Whether any of a million arrivals is lost.
fn a_million(arena: &Arena, scale: u32, port: u16) -> anyhow::Result<()> {
    eprintln!("duel: a million arrivals");
    let nothing = Subject::new(arena, ONE, scale)?.at(port);
    let measure = Duration::from_secs_f64(MILLION / RATE);
    let work = BlockLoad::new(Arrivals::Constant { per_second: RATE }, Duration::ZERO, measure);
    let sum = nothing.run(arena, work, CLIENTS, THREADS)?.result.recording.accounting;
    println!(
        "A million arrivals at {RATE}/s, against nothing: {} scheduled = {} ok + {} error + {} given up + {} dropped + {} in flight. {}\n",
        sum.scheduled,
        sum.ok,
        sum.error,
        sum.acquire_timeouts,
        sum.dropped,
        sum.in_flight,
        if sum.balances() { "None is lost." } else { "**Some are lost.**" }
    );
    anyhow::ensure!(sum.balances() && sum.scheduled == MILLION as u64, "some of a million arrivals are lost: {sum:?}");
    Ok(())
}

/// What the engine could do if the server did nothing.
fn ceilings(arena: &Arena, pairs: usize, seconds: u32, scale: u32, port: u16) -> anyhow::Result<()> {
    println!("| one thread, {CLIENTS} connections, {pairs} turns | throughput, of point selects | CPU per transaction, of point selects |");
    println!("|---|---|---|");
    let point = Subject::new(arena, POINT, scale)?;
    let one = Subject::new(arena, ONE, scale)?;
    let nothing = Subject::new(arena, ONE, scale)?.at(port);
    for (name, subject) in [("nothing", &nothing), ("`SELECT 1`", &one)] {
        eprintln!("duel: ceiling, {name}");
        let (mut throughput, mut cpu) = (Vec::new(), Vec::new());
        for turn in 0..pairs {
            let run = |subject: &Subject| subject.run(arena, closed(seconds), CLIENTS, 1);
            let (this, base) = in_turn(turn, || run(subject), || run(&point))?;
            throughput.push(this.tps() / base.tps());
            cpu.push(this.cpu_per_transaction() / base.cpu_per_transaction());
        }
        println!("| {name} | {} | {} |", shown(&ratio(&throughput)), shown(&ratio(&cpu)));
    }
    println!();
    Ok(())
}

/// From when an arrival was due to when it had a connection, beside pgbench's lag.
fn lateness(arena: &Arena, point: &Subject, pairs: usize, seconds: u32, flags: &[String]) -> anyhow::Result<()> {
    eprintln!("duel: lateness");
    println!(
        "Open loop, point selects at half of what pgbench reaches without a rate, Poisson, {pairs} runs of {seconds} s each in turn. The bottom row is the \
         scheduler's own part, from when an arrival was due to when it stood in the queue. Of a hundredth of all transactions together most can \
         come from one moment at which the host stood still, on whose turn it was then; so there is the ratio of p99 by turn, too.\n"
    );
    println!("| rate | p50, duel / pgbench | at most | p99 by turn, duel / pgbench | pooled p99, duel | pgbench | ratio | at most |");
    println!("|---|---|---|---|---|---|---|---|");
    let rate = (arena.run(Yardstick::Pgbench, flags)?.tps / 2.0).round();
    let limited: Vec<String> = flags.iter().cloned().chain(["-R".to_owned(), rate.to_string(), "-l".to_owned()]).collect();
    let work = BlockLoad::new(Arrivals::Poisson { per_second: rate }, Duration::ZERO, Duration::from_secs(seconds.into()));
    let mut pooled = [Histogram::new(), Histogram::new()];
    let mut theirs = Histogram::new();
    let mut medians: [Vec<f64>; 2] = Default::default();
    let mut slowest: [Vec<f64>; 2] = Default::default();
    let quantile = |histogram: &Histogram, probability| histogram.quantile(probability).unwrap_or(f64::NAN);
    for turn in 0..pairs {
        let (block, lags) =
            in_turn(turn, || point.run(arena, work.clone(), CLIENTS, THREADS), || super::lag::lags(arena, Yardstick::Pgbench, &limited))?;
        let mut other = Histogram::new();
        lags.iter().for_each(|lag| other.record(lag * 1_000));
        let recording = &block.result.recording;
        let times = recording.transactions.first().context("one transaction")?;
        for (row, ours) in [&times.acquire, &recording.lag].into_iter().enumerate() {
            medians[row].push(quantile(ours, 0.5) / quantile(&other, 0.5));
            slowest[row].push(quantile(ours, 0.99) / quantile(&other, 0.99));
            pooled[row].add(ours);
        }
        theirs.add(&other);
    }
    let p99 = |histogram: &Histogram| quantile(histogram, 0.99) / 1e3;
    for (row, (name, bounds)) in [("to a connection", ("1.10", "1.25")), ("to the queue", ("", ""))].into_iter().enumerate() {
        println!(
            "| {rate}/s, {name} | **{}** | {} | {} | {:.0} µs | {:.0} µs | **{:.2}** | {} |",
            shown(&ratio(&medians[row])),
            bounds.0,
            shown(&ratio(&slowest[row])),
            p99(&pooled[row]),
            p99(&theirs),
            p99(&pooled[row]) / p99(&theirs),
            bounds.1
        );
    }
    println!();
    Ok(())
}

//! Which length and number of blocks gives the narrowest intervals in the same wall time?
//!
//! ```sh
//! cargo run --release --example blocks -- --seconds 3600
//! scripts/blocks.sh 3600      # on the machine as it is and under the rig, into docs/blocks.md
//! ```
//!
//! Short blocks make many pairs, but each pays for new connections, their warm-up and the observer, and its quantiles rest on few samples.
//! This measures both at once: pairs of blocks of the same work (A/A), as a duel runs them, for each statement and each setting of settle and
//! measured time. Settings take turns in random order, so that the machine's moods meet all of them alike; a coin decides which block of a
//! pair is before. From the spread of the log ratios, and from how many pairs fit in a minute, follows how wide the interval of a minute is.
//!
//! Open loop at half of the capacity that a probe finds, on an embedded server. Some statements only compute, so that nothing but their time
//! differs between them; scenarios of the Omniops suite read data of tenants that are large and small; their seeded template stays for the next run. Other work on the machine is for the rig:
//! `steal --share 0.15 --burst 6ms -- target/release/examples/blocks`.

#[path = "common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use clap::Parser;
use pgduel::dataset::{Dataset, Sizing};
use pgduel::experiment::offer::load_threads;
use pgduel::experiment::{Event, Progress, connect_target, make_variant, template, template_digest};
use pgduel::load::bind::{Mix, SequenceRange};
use pgduel::load::block::{BlockResult, BlockSpec, prepare};
use pgduel::load::identity::SEARCH_PATH;
use pgduel::load::patience::BlockEnd;
use pgduel::load::program::Program;
use pgduel::load::wire::ConnectTarget;
use pgduel::observe::snapshot;
use pgduel::record::{Arm, Arrivals, BlockLoad, Histogram};
use pgduel::scenario::{self, Scenario};
use pgduel::stats::{confidence_interval, minimum_pairs, robust_sd};
use pgduel::suite::{self, Suite};
use pgduel::target::{DatabaseMark, EmbeddedOptions, EmbeddedServer, Purpose, Server, create_database, drop_database, make_roles, prewarm};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sqlx::Connection;

/// As in a duel: connections, executions before anything is measured, and samples from which a p95 is judged.
const CONNECTIONS: u32 = 4;
const WARM_UP: u32 = 6;
const SAMPLES_FOR_P95: u64 = 400;
/// Share of the capacity that is offered.
const UTILISATION: f64 = 0.5;
/// One-sided level of the intervals, and the quantile of the normal distribution that belongs to it.
const ALPHA: f64 = 0.005;
const Z: f64 = 2.5758;
/// Cost of ranks against means, as `pgduel::stats` plans with it.
const RANK_PENALTY: f64 = 1.05;
/// Pairs from which their spread is told at all.
const PAIRS_FOR_SPREAD: usize = 4;
/// What a pair takes beside its blocks, at least; only to see whether another one fits.
const OVERHEAD: Duration = Duration::from_millis(400);
/// Wall times for which the table tells the interval's half-width, s: a minute, and what a scenario gets by default.
const WALL_TIMES: [f64; 2] = [60.0, 240.0];
/// Of statements that read nothing.
const DATABASE: &str = "pgduel_blocks";
/// Suite of the scenarios, and how many vectors it has here: none is searched, and their index takes longest to build.
const SUITE: &str = "omniops";
const VECTORS: u64 = 100;

/// Spread of pairs of blocks by their length, as a section of Markdown.
#[derive(Debug, Parser)]
struct Arguments {
    /// For all of it, calibration included
    #[arg(long, default_value_t = 1800, value_parser = clap::value_parser!(u64).range(30..=86_400))]
    seconds: u64,
    /// What the statements that only compute take, ms: 0.1 to 1000
    #[arg(long, value_delimiter = ',', num_args = 0.., default_value = "0.2,2,20", value_parser = statement)]
    statements: Vec<f64>,
    /// Reading scenarios of the Omniops suite; their before side is measured
    #[arg(long, value_delimiter = ',', num_args = 0.., default_value = "history-fetch,trend-30d,join-7d")]
    scenarios: Vec<String>,
    /// Settle and measured time of a block, s
    #[arg(long, value_delimiter = ',', default_value = "0.075+0.3,0.125+0.5,0.25+0.75,0.375+1.5,0.75+3")]
    settings: Vec<Setting>,
    /// Seed of orders and arrivals
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What is done to the machine meanwhile
    #[arg(long, default_value = "On the machine as it is")]
    heading: String,
}

/// Settle and measured time of a block.
#[derive(Clone, Copy, Debug)]
struct Setting {
    settle: Duration,
    measure: Duration,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Setting, String> {
        let seconds = |text: &str, least: f64| text.parse::<f64>().ok().filter(|seconds| (least..=60.0).contains(seconds));
        let read = text.split_once('+').and_then(|(settle, measure)| Some((seconds(settle, 0.0)?, seconds(measure, 0.05)?)));
        let (settle, measure) = read.ok_or("expected SETTLE+MEASURE in seconds, such as 0.25+0.75; at most 60 each")?;
        Ok(Setting { settle: Duration::from_secs_f64(settle), measure: Duration::from_secs_f64(measure) })
    }
}

impl Setting {
    fn name(&self) -> String {
        format!("{} + {} s", self.settle.as_secs_f64(), self.measure.as_secs_f64())
    }

    /// What a pair will take, or somewhat less.
    fn pair_length(&self) -> Duration {
        (self.settle + self.measure) * 2 + OVERHEAD
    }
}

fn statement(text: &str) -> Result<f64, String> {
    let read = text.parse().ok().filter(|ms| (0.1..=1000.0).contains(ms));
    read.ok_or_else(|| "a number of milliseconds from 0.1 to 1000 is wanted".to_owned())
}

/// The server, and what all blocks share.
struct Bench {
    server: Server,
    suite: Suite,
    dataset: Arc<Dataset>,
    stop: Arc<AtomicBool>,
    seed: u64,
    /// Blocks so far: each has sequence numbers of its own.
    blocks: u32,
}

/// A statement or scenario that is measured.
struct Statement {
    name: String,
    /// What it was made of, for the table.
    about: String,
    target: ConnectTarget,
    program: Arc<Program>,
    mix: Arc<Mix>,
    /// Median of one session.
    found_ms: f64,
    capacity_per_second: f64,
}

/// Pairs of one statement and setting.
#[derive(Default)]
struct Series {
    pairs: usize,
    time: Duration,
    /// Samples of all blocks.
    samples: u64,
    /// Log ratios, after over before.
    p50: Vec<f64>,
    p95: Vec<f64>,
    /// Of the backends, where it could be had.
    processor: Vec<f64>,
}

/// What the seeder does goes to stderr.
struct Notes;

impl Progress for Notes {
    fn event(&self, event: &Event<'_>) {
        if let Event::Seeding | Event::TemplateFound { .. } = event {
            eprintln!("blocks: {event:?}");
        }
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(&arguments))
}

async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let mut bench = Bench::start(arguments.seed).await?;
    let measured = bench.measure(arguments, began).await;
    // The database goes, whatever became of the blocks.
    let about = common::about(&bench.server).await;
    let mut dropped = drop_database(&bench.server, DATABASE).await;
    for name in &arguments.scenarios {
        dropped = dropped.and(drop_database(&bench.server, &variant_database(name)).await);
    }
    let interrupted = bench.stop.load(Ordering::Relaxed);
    bench.server.finish().await?;
    dropped?;
    let (statements, table) = measured?;
    println!("## {}\n", arguments.heading);
    println!(
        "Made by `{}` in {:.0} s.{}\n",
        command(),
        began.elapsed().as_secs_f64(),
        if interrupted { " It was interrupted." } else { "" }
    );
    println!("{}\n", about?);
    for (statement, series) in statements.iter().zip(&table) {
        println!("{}", section(statement, &arguments.settings, series));
    }
    Ok(if interrupted { ExitCode::from(130) } else { ExitCode::SUCCESS })
}

/// This program's command line, without the folder that it lies in.
fn command() -> String {
    let words = std::env::args().skip(1).map(|word| if word.contains(' ') { format!("'{word}'") } else { word });
    std::iter::once("blocks".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

impl Bench {
    async fn start(seed: u64) -> anyhow::Result<Bench> {
        let stop = Arc::new(AtomicBool::new(false));
        stop_on_signals(stop.clone())?;
        let server: Server = EmbeddedServer::start(&EmbeddedOptions::default()).await?.into();
        let mut admin = server.connect_admin().await?;
        // What a killed run left.
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("drop database if exists {DATABASE} with (force)"))).execute(&mut admin).await?;
        admin.close().await?;
        create_database(&server, DATABASE, None, &DatabaseMark::new(Purpose::Scratch, "blocks")).await?;
        let suite = suite::load(&Path::new("seeds").join(SUITE)).map_err(|_| anyhow!("run this from the project's folder"))?;
        let sizing = Sizing { scale: 1.0, vectors: Some(VECTORS), overlays: Vec::new() };
        let dataset = Arc::new(Dataset::plan(suite.model.clone(), sizing, 1)?);
        Ok(Bench { server, suite, dataset, stop, seed, blocks: 0 })
    }

    /// Calibrates, probes, and runs pairs until time is up.
    async fn measure(&mut self, arguments: &Arguments, began: Instant) -> anyhow::Result<(Vec<Statement>, Vec<Vec<Series>>)> {
        let mut statements = Vec::new();
        for wanted_ms in &arguments.statements {
            statements.push(self.calibrate(*wanted_ms).await.with_context(|| format!("the statement of {wanted_ms} ms"))?);
        }
        if !arguments.scenarios.is_empty() {
            make_roles(&self.server, None).await?;
            let digest = template_digest(&self.suite, &self.dataset, "blocks", &self.server).await?;
            let from = template(&self.server, &self.suite, &self.dataset, &digest, &Notes).await?;
            for name in &arguments.scenarios {
                statements.push(self.scenario(name, &from).await.with_context(|| format!("the scenario {name}"))?);
            }
        }
        for statement in &mut statements {
            let probe = self.closed(statement, CONNECTIONS, Duration::from_secs(2)).await?;
            statement.capacity_per_second = probe.recording.accounting.ok as f64 / probe.duration.as_secs_f64().max(1e-9);
            eprintln!(
                "blocks: {} takes {:.3} ms; {CONNECTIONS} connections do {:.0}/s",
                statement.name, statement.found_ms, statement.capacity_per_second
            );
        }
        let count = arguments.settings.len();
        let mut table: Vec<Vec<Series>> = statements.iter().map(|_| (0..count).map(|_| Series::default()).collect()).collect();
        let mut turns: Vec<(usize, usize)> =
            (0..statements.len()).flat_map(|statement| (0..count).map(move |setting| (statement, setting))).collect();
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let end = began + Duration::from_secs(arguments.seconds);
        let mut fits = true;
        for round in 1.. {
            turns.shuffle(&mut random);
            for (number, setting) in &turns {
                let (Some(statement), Some(length)) = (statements.get(*number), arguments.settings.get(*setting)) else { continue };
                if Instant::now() + length.pair_length() > end {
                    fits = false;
                    continue;
                }
                let first = if random.random::<bool>() { Arm::BASELINE } else { Arm::at(1) };
                let Some(series) = table.get_mut(*number).and_then(|row| row.get_mut(*setting)) else { continue };
                if !self.pair(statement, length, first, series).await? {
                    return Ok((statements, table));
                }
            }
            eprintln!("blocks: {round} rounds, {:.0} s of {}", began.elapsed().as_secs_f64(), arguments.seconds);
            if !fits {
                break;
            }
        }
        Ok((statements, table))
    }

    /// Runs a pair; false if it was interrupted.
    async fn pair(&mut self, statement: &Statement, setting: &Setting, first: Arm, series: &mut Series) -> anyhow::Result<bool> {
        let began = Instant::now();
        let arrivals = Arrivals::Poisson { per_second: statement.capacity_per_second * UTILISATION };
        let load = BlockLoad::new(arrivals, setting.settle, setting.measure);
        // Both blocks of a pair have the same arrivals.
        let number = self.blocks;
        let mut found = Vec::new();
        for _ in 0..2 {
            let result = self.observed(statement, load.clone(), number).await?;
            if result.end != BlockEnd::Finished {
                return Ok(false);
            }
            let processor = result.processor.as_ref().ok().map(|time| time.on_processor_ns as f64 / result.finished.max(1) as f64);
            found.push((service(&result)?, processor));
        }
        let [one, two] = found.try_into().map_err(|_| anyhow!("a pair has two blocks"))?;
        let ((before, processor_before), (after, processor_after)) = if first == Arm::BASELINE { (one, two) } else { (two, one) };
        series.pairs += 1;
        series.time += began.elapsed();
        series.samples += before.count() + after.count();
        let ratio = |quantile: f64| Some((after.quantile(quantile)? / before.quantile(quantile)?).ln());
        series.p50.extend(ratio(0.5));
        if before.count().min(after.count()) >= SAMPLES_FOR_P95 {
            series.p95.extend(ratio(0.95));
        }
        series.processor.extend(processor_before.zip(processor_after).map(|(before, after)| (after / before).ln()));
        Ok(true)
    }

    /// A block with all that a duel does around it: an observer's connection, and the server's counters before and after.
    async fn observed(&mut self, statement: &Statement, load: BlockLoad, number: u32) -> anyhow::Result<BlockResult> {
        let prepared = prepare(self.spec(statement, load, CONNECTIONS, number)).await?;
        let mut observer = self.server.connect(&statement.target.database).await?;
        let before = snapshot(&mut observer).await?;
        let result = prepared.run().await?;
        let after = snapshot(&mut observer).await?;
        let _ = before.until(&after);
        observer.close().await?;
        Ok(result)
    }

    fn spec(&mut self, statement: &Statement, load: BlockLoad, connections: u32, number: u32) -> BlockSpec {
        self.blocks += 1;
        let (warm_up_sequence, first_sequence) = (SequenceRange::WarmUp(self.blocks).first(), SequenceRange::Round(number).first());
        let mix = statement.mix.weights().to_vec();
        BlockSpec {
            load: BlockLoad { connections, warm_up: WARM_UP, warm_up_sequence, first_sequence, seed: self.seed, mix, ..load },
            target: statement.target.clone(),
            program: statement.program.clone(),
            mix: statement.mix.clone(),
            threads: load_threads(),
            stop: self.stop.clone(),
        }
    }

    async fn closed(&mut self, statement: &Statement, connections: u32, measure: Duration) -> anyhow::Result<BlockResult> {
        let load = BlockLoad::new(Arrivals::Closed, Duration::from_millis(100), measure);
        let number = self.blocks;
        let result = prepare(self.spec(statement, load, connections, number)).await?.run().await?;
        anyhow::ensure!(result.end == BlockEnd::Finished, "it did not run to its end: {:?}", result.end);
        Ok(result)
    }

    /// Median of one session, ms.
    async fn single(&mut self, statement: &Statement) -> anyhow::Result<f64> {
        let result = self.closed(statement, 1, Duration::from_millis(400)).await?;
        Ok(service(&result)?.quantile(0.5).context("no sample")? / 1e6)
    }

    /// Finds how many rows take the time that is wanted.
    async fn calibrate(&mut self, wanted_ms: f64) -> anyhow::Result<Statement> {
        let mut rows = 1_000;
        let mut best: Option<Statement> = None;
        // The time grows with the rows and has a fixed part, so the proportion is off at first.
        for _ in 0..8 {
            let scenario = computing(rows)?;
            let mut statement = self.statement(format!("{wanted_ms} ms"), format!("{rows} rows counted"), DATABASE, &scenario)?;
            statement.found_ms = self.single(&statement).await?;
            let found_ms = statement.found_ms;
            let error = |found_ms: f64| (found_ms / wanted_ms).ln().abs();
            if best.as_ref().is_none_or(|best| error(found_ms) < error(best.found_ms)) {
                best = Some(statement);
            }
            if error(found_ms) < 0.03 {
                break;
            }
            rows = ((rows as f64 * wanted_ms / found_ms) as u64).clamp(1, 100_000_000);
        }
        best.context("nothing was measured")
    }

    /// The baseline of a scenario, in a copy of the template that is read into memory, as a duel does.
    async fn scenario(&mut self, name: &str, template: &str) -> anyhow::Result<Statement> {
        let file = PathBuf::from(format!("scenarios/{SUITE}/{name}.toml"));
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let scenario = parsed(SUITE, name, &file, &text)?;
        anyhow::ensure!(!scenario.writes(), "it writes, and its data would not stay as they are");
        let variant = self.suite.variants.get(&scenario.arms.baseline.variant).context("its baseline is no variant of the suite")?;
        let database = variant_database(name);
        make_variant(&self.server, template, &database, variant, None, &Notes).await?;
        let mut connection = self.server.connect(&database).await?;
        prewarm(&mut connection).await?;
        connection.close().await?;
        let mut statement = self.statement(name.to_owned(), format!("{SUITE}/{name}, {}", variant.name), &database, &scenario)?;
        statement.found_ms = self.single(&statement).await?;
        Ok(statement)
    }

    fn statement(&self, name: String, about: String, database: &str, scenario: &Scenario) -> anyhow::Result<Statement> {
        let mix = Arc::new(Mix::new(self.dataset.clone(), scenario, 1)?);
        let program = Arc::new(Program::new(scenario, Arm::BASELINE));
        let mut target = connect_target(&self.server.conn_info(database));
        target.settings = vec![("search_path".to_owned(), SEARCH_PATH.to_owned())];
        Ok(Statement { name, about, target, program, mix, found_ms: 0.0, capacity_per_second: 0.0 })
    }
}

fn variant_database(scenario: &str) -> String {
    format!("{DATABASE}_{}", scenario.replace('-', "_"))
}

/// The first signal ends it with what there is, the second at once.
fn stop_on_signals(stop: Arc<AtomicBool>) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stop.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        }
    });
    Ok(())
}

/// A statement that only computes: rows are counted as they are made, none is kept.
fn computing(rows: u64) -> anyhow::Result<Scenario> {
    let text = format!(
        "title = \"Blocks\"\nduel = [\"before\", \"after\"]\n\n[[transaction]]\nname = \"only\"\nidentity = \"none\"\n\n\
         [[transaction.statement]]\nname = \"only\"\nsql = \"select count(*) from (select generate_series(1, {rows})) as series\"\n"
    );
    parsed("blocks", "only", Path::new("only.toml"), &text)
}

fn parsed(suite: &str, name: &str, file: &Path, text: &str) -> anyhow::Result<Scenario> {
    let read = scenario::parse(suite, name, file, text);
    read.map_err(|found| anyhow!("{}", found.iter().map(|one| one.plain()).collect::<Vec<_>>().join("; ")))
}

fn service(result: &BlockResult) -> anyhow::Result<Histogram> {
    Ok(result.recording.transactions.first().context("there is one transaction")?.service.clone())
}

fn section(statement: &Statement, settings: &[Setting], series: &[Series]) -> String {
    let mut text = format!(
        "### {}\n\n{}, {:.3} ms alone; at {:.0}/s, half of what {CONNECTIONS} connections can do.\n\n",
        statement.name,
        statement.about,
        statement.found_ms,
        statement.capacity_per_second * UTILISATION
    );
    let minutes = WALL_TIMES.map(|seconds| format!("in {} min", seconds / 60.0)).join(" | ");
    text.push_str(&format!(
        "| settle + measure | pairs | a minute | samples a block | p50: sd | half-width {minutes} | p95: sd | half-width {minutes} | \
         processor: sd | half-width {minutes} |\n"
    ));
    text.push_str(&format!("|{}\n", "---|".repeat(7 + 3 * WALL_TIMES.len())));
    for (setting, series) in settings.iter().zip(series) {
        let per_second = series.pairs as f64 / series.time.as_secs_f64().max(1e-9);
        text.push_str(&format!(
            "| {} | {} | {:.1} | {:.0} | {} | {} | {} |\n",
            setting.name(),
            series.pairs,
            per_second * 60.0,
            series.samples as f64 / (series.pairs.max(1) * 2) as f64,
            cells(&series.p50, per_second),
            cells(&series.p95, per_second),
            cells(&series.processor, per_second)
        ));
    }
    text
}

/// Spread of the log ratios, and half-widths for each of the wall times.
fn cells(differences: &[f64], pairs_per_second: f64) -> String {
    if differences.len() < PAIRS_FOR_SPREAD {
        return vec!["–"; 1 + WALL_TIMES.len()].join(" | ");
    }
    let widths = WALL_TIMES.map(|seconds| match half_width(differences, pairs_per_second * seconds) {
        Width::Exact(width) => format!("±{:.1}%", width * 100.0),
        Width::Planned(width) => format!("≈ ±{:.1}%", width * 100.0),
        Width::TooFewPairs => "too few pairs".to_owned(),
    });
    format!("{:.1}% | {}", robust_sd(differences) * 100.0, widths.join(" | "))
}

/// Half-width of an interval, as a log ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Width {
    /// The exact one over the measured pairs, brought to another number of pairs.
    Exact(f64),
    /// From the spread alone, where fewer were measured than have an interval.
    Planned(f64),
    /// So few pairs have no interval at this level.
    TooFewPairs,
}

/// What an interval over `pairs` pairs would have, if they scatter as the measured ones do.
fn half_width(measured: &[f64], pairs: f64) -> Width {
    let Some(fewest) = minimum_pairs(1, ALPHA) else { return Width::TooFewPairs };
    if pairs < fewest as f64 {
        return Width::TooFewPairs;
    }
    // By which pairs the width goes down, small samples included: that is how `pgduel::stats` plans.
    let effective = |pairs: f64| pairs.floor() - Z * Z / 2.0;
    match measured.len() >= fewest {
        true => {
            let width = confidence_interval(measured, ALPHA).half_width();
            Width::Exact(width * (effective(measured.len() as f64) / effective(pairs)).sqrt())
        }
        false => Width::Planned(Z * robust_sd(measured) * (RANK_PENALTY / effective(pairs)).sqrt()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sample with a standard deviation of 0.1.
    fn normal(count: usize, seed: u64) -> Vec<f64> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let inverse = |p: f64| -std::f64::consts::SQRT_2 * statrs::function::erf::erfc_inv(2.0 * p);
        (0..count).map(|_| 0.1 * inverse(1.0 - random.random::<f64>())).collect()
    }

    /// Mean half-width over many samples of `measured` pairs.
    fn mean_width(measured: usize, pairs: f64) -> f64 {
        let widths = (0..40).map(|seed| match half_width(&normal(measured, seed), pairs) {
            Width::Exact(width) | Width::Planned(width) => width,
            Width::TooFewPairs => panic!("{pairs} pairs are enough"),
        });
        widths.sum::<f64>() / 40.0
    }

    #[test]
    fn too_few_pairs_have_no_interval() {
        assert_eq!(half_width(&normal(40, 1), 7.9), Width::TooFewPairs);
        assert!(matches!(half_width(&normal(40, 1), 8.0), Width::Exact(_)));
        assert!(matches!(half_width(&normal(7, 1), 8.0), Width::Planned(_)));
    }

    #[test]
    fn what_was_measured_needs_no_scaling() {
        let measured = normal(30, 1);
        assert_eq!(half_width(&measured, 30.0), Width::Exact(confidence_interval(&measured, ALPHA).half_width()));
    }

    #[test]
    fn scaled_widths_are_those_of_as_many_pairs() {
        for pairs in [10, 16, 30] {
            let exact = mean_width(pairs, pairs as f64);
            for measured in [40, 7] {
                let scaled = mean_width(measured, pairs as f64);
                assert!((scaled / exact - 1.0).abs() < 0.12, "{pairs} pairs by {measured}: {scaled} for {exact}");
            }
        }
    }

    #[test]
    fn settings_are_read_or_refused() {
        let read: Setting = "0.25+0.75".parse().unwrap();
        assert_eq!((read.settle, read.measure), (Duration::from_millis(250), Duration::from_millis(750)));
        for text in ["", "1", "1+", "+1", "1+0", "-1+1", "1+100", "NaN+1", "1+inf"] {
            assert!(text.parse::<Setting>().is_err(), "{text}");
        }
    }
}

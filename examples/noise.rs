//! Sums up runs whose right verdict is known: `noise FOLDER` prints docs/noise.md from a folder as `scripts/aa-runs.sh` leaves it.
//!
//! Judges the runs with the library, so that the table can be made again from the records.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, ensure};
use pgduel::judge::{Comparison, Gate, Metric, Outcome, Quantity, Verdict, compare};
use pgduel::record::{Header, read};
use pgduel::stats::{clopper_pearson_upper, quantile_sorted};
use serde::Deserialize;

/// Confidence of the bounds on rates.
const CONFIDENCE: f64 = 0.95;
/// Runs of one variant against itself, and of planted work, in a condition.
const SAME_RUNS: u64 = 30;
const PLANTED_RUNS: u64 = 20;
/// False calls that are no sign of a wrong level: in a condition, and in all three.
const FALSE_CALLS: u64 = 2;
const FALSE_CALLS_OF_ALL: u64 = 4;

/// What is done to the machine while runs run; `scripts/noise/conditions.sh` does it.
struct Condition {
    /// Folder of its runs.
    name: &'static str,
    title: &'static str,
    /// Planted effects that may be missed.
    misses: u64,
}

const CONDITIONS: [Condition; 3] = [
    Condition { name: "quiet", title: "quiet", misses: 2 },
    Condition { name: "steady", title: "15% taken, bursts of 6 ms", misses: 2 },
    Condition { name: "swinging", title: "25% taken, bursts of 12 ms, swinging over 45 s", misses: 6 },
];

/// A judged run.
struct Run {
    header: Header,
    comparison: Comparison,
    seconds: f64,
    /// Share of the processors that the rig took.
    taken: Option<f64>,
}

/// All runs of a condition.
struct Series {
    condition: &'static Condition,
    same: Tally,
    planted: Tally,
    long: Vec<Run>,
    first: Option<Header>,
}

/// What a set of runs says, in the words of the table.
#[derive(Default)]
struct Tally {
    runs: u64,
    invalid: u64,
    regressed: u64,
    improved: u64,
    unchanged: u64,
    inconclusive: u64,
    /// Runs that called a median regressed or improved, and such that called processor time so.
    by_median: u64,
    by_processor: u64,
    /// After over before of the median, ascending, as are all that follow.
    ratios: Vec<f64>,
    /// Standard deviation of pairs, percent: of the median and of processor time.
    median_spreads: Vec<f64>,
    processor_spreads: Vec<f64>,
    pairs: Vec<f64>,
    discarded: Vec<f64>,
    detectable: Vec<f64>,
    seconds: Vec<f64>,
    /// Percent of the processors: by the machine's host, as the records tell it, and by the rig.
    stolen: Vec<f64>,
    taken: Vec<f64>,
}

/// What the rig reports.
#[derive(Deserialize)]
struct RigReport {
    taken_shares: Vec<f64>,
}

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args_os().skip(1);
    let folder = words.next().filter(|_| words.next().is_none()).context("name the folder of the runs, and nothing else")?;
    let series = CONDITIONS.iter().map(|condition| Series::read(Path::new(&folder), condition)).collect::<anyhow::Result<Vec<_>>>()?;
    let series: Vec<Series> = series.into_iter().filter(|one| one.first.is_some()).collect();
    let Some(first) = series.first().and_then(|one| one.first.as_ref()) else {
        anyhow::bail!("there is no complete run in {}", folder.display());
    };
    println!("# Noise: what this judge gets wrong\n");
    println!("Made by `scripts/aa-runs.sh`; do not edit. How to read it: [method.md](method.md#how-to-check-the-judge).\n");
    println!("{}\n", machine(first));
    println!("## Targets\n\n{}", targets(&series));
    println!("## A variant against itself (A/A)\n\n{}", table(&series, |one| &one.same, false_calls));
    println!("## Three tenths more work after\n\n{}", table(&series, |one| &one.planted, missed));
    println!("What was planted, by one long run in each condition:\n");
    for one in &series {
        println!("- {}: {}", one.condition.title, one.long.first().map_or_else(|| "no long run.".to_owned(), long_run));
    }
    Ok(())
}

impl Series {
    /// The complete runs of a condition; none if it has no folder.
    fn read(folder: &Path, condition: &'static Condition) -> anyhow::Result<Series> {
        let folder = folder.join(condition.name);
        let (mut same, mut planted, mut long) = (Vec::new(), Vec::new(), Vec::new());
        for name in complete(&folder)? {
            let into = match name.split('-').next() {
                Some("same") => &mut same,
                Some("planted") => &mut planted,
                Some("long") => &mut long,
                _ => continue,
            };
            into.push(Run::read(&folder.join(&name)).with_context(|| format!("{}/{name}", folder.display()))?);
        }
        let first = [&same, &planted, &long].into_iter().find_map(|runs| runs.first()).map(|run| run.header.clone());
        Ok(Series { condition, same: Tally::of(&same), planted: Tally::of(&planted), long, first })
    }
}

/// Names of the runs that have ended, in order.
fn complete(folder: &Path) -> anyhow::Result<Vec<String>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("done")) {
            names.extend(path.file_stem().and_then(OsStr::to_str).map(str::to_owned));
        }
    }
    names.sort();
    Ok(names)
}

impl Run {
    fn read(folder: &Path) -> anyhow::Result<Run> {
        let record = read(&folder.join("run.jsonl"))?;
        let comparison = compare(&record);
        // Exit code and seconds.
        let done = std::fs::read_to_string(folder.with_extension("done"))?;
        let seconds = done.split_whitespace().nth(1).and_then(|word| word.parse().ok()).context("no seconds in its .done file")?;
        let report = folder.with_extension("rig.json");
        let taken = match report.exists() {
            true => {
                let report: RigReport = serde_json::from_str(&std::fs::read_to_string(&report)?).context("what the rig took")?;
                ensure!(!report.taken_shares.is_empty(), "the rig had no processor");
                Some(report.taken_shares.iter().sum::<f64>() / report.taken_shares.len() as f64)
            }
            false => None,
        };
        Ok(Run { header: record.header, comparison, seconds, taken })
    }
}

/// Gated metrics of a run, all of them.
fn gated(run: &Run) -> impl Iterator<Item = &Metric> {
    run.comparison.scenarios.iter().flat_map(|scenario| &scenario.metrics).filter(|metric| metric.gate == Gate::Gated)
}

/// The one that the effect was planted on.
fn central(run: &Run) -> Option<&Metric> {
    gated(run).find(|metric| metric.quantity == Quantity::ServiceP50)
}

/// A run that says of itself that it cannot be used is no trial; whether it can be is decided without a look at latencies.
fn is_usable(run: &Run) -> bool {
    !matches!(run.comparison.outcome, Outcome::Invalid | Outcome::Interrupted | Outcome::Infrastructure)
}

impl Tally {
    fn of(runs: &[Run]) -> Tally {
        let mut tally = Tally::default();
        for run in runs {
            tally.add(run);
        }
        let Tally { ratios, median_spreads, processor_spreads, pairs, discarded, detectable, seconds, stolen, taken, .. } = &mut tally;
        for values in [ratios, median_spreads, processor_spreads, pairs, discarded, detectable, seconds, stolen, taken] {
            values.sort_by(f64::total_cmp);
        }
        tally
    }

    fn add(&mut self, run: &Run) {
        self.runs += 1;
        self.seconds.push(run.seconds);
        self.taken.extend(run.taken.map(|share| share * 100.0));
        for scenario in &run.comparison.scenarios {
            self.stolen.extend(scenario.stolen_share.map(|share| share * 100.0));
            self.discarded.push(f64::from(scenario.rounds.discarded));
        }
        let Some(metric) = central(run).filter(|_| is_usable(run)) else {
            self.invalid += 1;
            return;
        };
        let any = |verdict: Verdict| gated(run).any(|metric| metric.verdict == verdict);
        let count = match () {
            () if any(Verdict::Regressed) => &mut self.regressed,
            () if any(Verdict::Improved) => &mut self.improved,
            () if any(Verdict::Inconclusive) => &mut self.inconclusive,
            () => &mut self.unchanged,
        };
        *count += 1;
        let called = |of: Quantity| {
            let differs = |metric: &Metric| matches!(metric.verdict, Verdict::Regressed | Verdict::Improved);
            gated(run).any(|metric| metric.quantity == of && differs(metric))
        };
        self.by_median += u64::from(called(Quantity::ServiceP50));
        self.by_processor += u64::from(called(Quantity::Processor));
        let spread = |of: Quantity| gated(run).find(|metric| metric.quantity == of).map(|metric| metric.spread * 100.0);
        self.median_spreads.extend(spread(Quantity::ServiceP50));
        self.processor_spreads.extend(spread(Quantity::Processor));
        self.ratios.extend(metric.ratio.map(|ratio| ratio.point));
        self.pairs.push(f64::from(metric.rounds));
        self.detectable.extend(metric.detectable);
    }

    fn usable(&self) -> u64 {
        self.runs - self.invalid
    }

    fn called(&self) -> u64 {
        self.regressed + self.improved
    }

    fn bound(&self, events: u64) -> String {
        match self.usable() {
            0 => "no usable run".to_owned(),
            runs => format!("{events} of {runs}: at most {:.1}%", clopper_pearson_upper(events, runs, CONFIDENCE) * 100.0),
        }
    }
}

/// What a target has come to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reached {
    Met,
    Missed,
    /// So few runs cannot tell.
    Open,
}

/// Whether `bad` of `runs` runs are no more than the target's share, which is `allowed` of `planned`.
fn reached(bad: u64, runs: u64, allowed: u64, planned: u64) -> Reached {
    let allowed = allowed * runs.max(planned) / planned;
    match bad {
        bad if bad > allowed => Reached::Missed,
        _ if runs < planned => Reached::Open,
        _ => Reached::Met,
    }
}

fn cell(reached: Reached, counted: u64, runs: u64) -> String {
    match reached {
        Reached::Met => format!("met: {counted} of {runs}"),
        Reached::Missed => format!("**missed**: {counted} of {runs}"),
        Reached::Open => format!("too few runs: {counted} of {runs}"),
    }
}

fn targets(series: &[Series]) -> String {
    let sum = |count: &dyn Fn(&Series) -> u64| series.iter().map(count).sum::<u64>();
    let mut text = head("target", series, "all");
    let mut row = |name: String, each: &dyn Fn(&Series) -> String, all: String| {
        let cells: Vec<String> = series.iter().map(each).collect();
        text.push_str(&format!("| {name} | {} | {all} |\n", cells.join(" | ")));
    };
    let conditions = CONDITIONS.len() as u64;
    let of_all = (sum(&|one| one.same.called()), sum(&|one| one.same.runs));
    row(
        format!("A/A: at most {FALSE_CALLS} false calls of {SAME_RUNS}, {FALSE_CALLS_OF_ALL} of all {}", SAME_RUNS * conditions),
        &|one| cell(reached(one.same.called(), one.same.runs, FALSE_CALLS, SAME_RUNS), one.same.called(), one.same.runs),
        cell(reached(of_all.0, of_all.1, FALSE_CALLS_OF_ALL, SAME_RUNS * conditions), of_all.0, of_all.1),
    );
    let invalid = |one: &Series| one.same.invalid + one.planted.invalid;
    let runs = |one: &Series| one.same.runs + one.planted.runs;
    let planned = SAME_RUNS + PLANTED_RUNS;
    let of_all = (sum(&invalid), sum(&runs));
    row(
        "no run invalid".to_owned(),
        &|one| cell(reached(invalid(one), runs(one), 0, planned), invalid(one), runs(one)),
        cell(reached(of_all.0, of_all.1, 0, planned * conditions), of_all.0, of_all.1),
    );
    let wanted: Vec<String> = series.iter().map(|one| (PLANTED_RUNS - one.condition.misses).to_string()).collect();
    row(
        format!("three tenths more found in {} of {PLANTED_RUNS}", wanted.join(", ")),
        &|one| {
            let (found, runs) = (one.planted.regressed, one.planted.runs);
            cell(reached(runs - found, runs, one.condition.misses, PLANTED_RUNS), found, runs)
        },
        String::new(),
    );
    text
}

/// The first lines of a table with a column for each condition, and one for all where it has a name.
fn head(name: &str, series: &[Series], all: &str) -> String {
    let titles: Vec<&str> = series.iter().map(|one| one.condition.title).chain((!all.is_empty()).then_some(all)).collect();
    format!("| {name} | {} |\n|---|{}\n", titles.join(" | "), "---|".repeat(titles.len()))
}

/// `median (least to most)` of an ascending sample.
fn spread(values: &[f64], digits: usize) -> String {
    match (values.first(), values.last()) {
        (Some(least), Some(most)) => {
            format!("{:.digits$} ({least:.digits$} to {most:.digits$})", quantile_sorted(values, 0.5))
        }
        _ => "none".to_owned(),
    }
}

fn machine(header: &Header) -> String {
    let memory = header.machine.memory_bytes as f64 / f64::from(1 << 30);
    format!(
        "{}, {} cores, {memory:.1} GB, {}; PostgreSQL {}, {}; pgduel {}, from {}.\n\nWhat is taken is taken of each processor, by \
         `examples/steal.rs`. Three numbers in a cell are the median over the runs and, in brackets, the least and the most.",
        header.machine.cpu,
        header.machine.cores,
        header.machine.os,
        header.server.version.split(' ').nth(1).unwrap_or("unknown"),
        header.server.kind,
        header.pgduel,
        header.started_at,
    )
}

fn table(series: &[Series], tally: impl Fn(&Series) -> &Tally, wrong: impl Fn(&Tally) -> String) -> String {
    let mut text = head("", series, "");
    let mut row = |name: &str, cell: &dyn Fn(&Tally) -> String| {
        let cells: Vec<String> = series.iter().map(|one| cell(tally(one))).collect();
        text.push_str(&format!("| {name} | {} |\n", cells.join(" | ")));
    };
    row("runs", &|tally| tally.runs.to_string());
    row("invalid, so in no verdict below", &|tally| tally.invalid.to_string());
    row("called regressed", &|tally| tally.regressed.to_string());
    row("called improved", &|tally| tally.improved.to_string());
    row("called unchanged", &|tally| tally.unchanged.to_string());
    row("inconclusive", &|tally| tally.inconclusive.to_string());
    row(&format!("wrong verdicts, and the bound of their rate at {:.0}%", CONFIDENCE * 100.0), &wrong);
    row("runs that called the median different", &|tally| tally.by_median.to_string());
    row("runs that called processor time different", &|tally| tally.by_processor.to_string());
    row("spread of pairs, median of service times, %", &|tally| spread(&tally.median_spreads, 1));
    row("spread of pairs, processor time, %", &|tally| spread(&tally.processor_spreads, 1));
    row("ratio after / before of the median", &|tally| spread(&tally.ratios, 3));
    row("smallest visible ratio", &|tally| spread(&tally.detectable, 3));
    row("pairs", &|tally| spread(&tally.pairs, 0));
    row("pairs discarded", &|tally| spread(&tally.discarded, 0));
    row("taken by the rig, %", &|tally| spread(&tally.taken, 1));
    row("stolen by the machine's own host, %", &|tally| spread(&tally.stolen, 1));
    row("length of a run, s", &|tally| spread(&tally.seconds, 0));
    text
}

fn false_calls(tally: &Tally) -> String {
    format!("regressed {}; improved {}", tally.bound(tally.regressed), tally.bound(tally.improved))
}

fn missed(tally: &Tally) -> String {
    format!("missed {}", tally.bound(tally.usable() - tally.regressed))
}

fn long_run(run: &Run) -> String {
    let told = central(run).filter(|_| is_usable(run)).and_then(|metric| Some((metric, metric.ratio?)));
    match told {
        Some((metric, ratio)) => format!(
            "{:.3} [{:.3}, {:.3}] times the time before ({:.3} ms before), over {} pairs in {:.0} s.",
            ratio.point,
            ratio.lower,
            ratio.upper,
            metric.value_ns.baseline / 1e6,
            metric.rounds,
            run.seconds,
        ),
        None => "the long run cannot be used.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_with_all_runs_and_missed_as_soon_as_it_cannot_be_met() {
        assert_eq!(reached(2, 30, 2, 30), Reached::Met);
        assert_eq!(reached(3, 30, 2, 30), Reached::Missed);
        assert_eq!(reached(2, 29, 2, 30), Reached::Open);
        assert_eq!(reached(3, 3, 2, 30), Reached::Missed);
        assert_eq!(reached(0, 0, 0, 50), Reached::Open);
        assert_eq!(reached(1, 1, 0, 50), Reached::Missed);
    }

    #[test]
    fn more_runs_allow_as_large_a_share() {
        assert_eq!(reached(4, 60, 2, 30), Reached::Met);
        assert_eq!(reached(5, 60, 2, 30), Reached::Missed);
        assert_eq!(reached(3, 44, 2, 30), Reached::Missed, "a share is rounded down");
    }
}

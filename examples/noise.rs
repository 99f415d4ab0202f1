//! Sums up runs whose right verdict is known: `noise --same RUN... --planted RUN... --long RUN...` prints a Markdown table.
//!
//! Takes run folders as `scripts/aa-runs.sh` leaves them. Judges them with the library, so that a table can be made again from the records.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use pgduel::compare::{Comparison, Gate, Metric, Outcome, Quantity, Verdict, compare};
use pgduel::record::{Header, read};
use pgduel::stats::{clopper_pearson_upper, quantile_sorted};

/// Confidence of the bounds on rates.
const CONFIDENCE: f64 = 0.95;

/// A judged run.
struct Run {
    header: Header,
    comparison: Comparison,
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
    /// After over before of the median (or mean, in fixed work), ascending.
    ratios: Vec<f64>,
    pairs: Vec<f64>,
    detectable: Vec<f64>,
}

fn main() -> anyhow::Result<()> {
    let (mut same, mut planted, mut long) = (Vec::new(), Vec::new(), Vec::new());
    let mut into: Option<&mut Vec<Run>> = None;
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "--same" => into = Some(&mut same),
            "--planted" => into = Some(&mut planted),
            "--long" => into = Some(&mut long),
            _ => match &mut into {
                Some(runs) => runs.push(load(Path::new(&word))?),
                None => bail!("{word} stands before --same, --planted or --long"),
            },
        }
    }
    let Some(first) = same.first().or(planted.first()) else { bail!("name at least one run after --same or --planted") };
    println!("{}", machine(&first.header));
    let (same, planted) = (Tally::of(&same), Tally::of(&planted));
    println!("{}", table(&same, &planted));
    for run in &long {
        println!("{}", long_run(run));
    }
    Ok(())
}

fn load(folder: &Path) -> anyhow::Result<Run> {
    let file: PathBuf = if folder.is_dir() { folder.join("run.jsonl") } else { folder.to_owned() };
    let record = read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let comparison = compare(&record);
    Ok(Run { header: record.header, comparison })
}

/// Gated metrics of a run, all of them.
fn gated(run: &Run) -> impl Iterator<Item = &Metric> {
    run.comparison.scenarios.iter().flat_map(|scenario| &scenario.metrics).filter(|metric| metric.gate == Gate::Gated)
}

/// The one that the effect was planted on.
fn central(run: &Run) -> Option<&Metric> {
    gated(run).find(|metric| matches!(metric.quantity, Quantity::ServiceP50 | Quantity::ServiceMean))
}

impl Tally {
    fn of(runs: &[Run]) -> Tally {
        let mut tally = Tally::default();
        for run in runs {
            tally.add(run);
        }
        for values in [&mut tally.ratios, &mut tally.pairs, &mut tally.detectable] {
            values.sort_by(f64::total_cmp);
        }
        tally
    }

    fn add(&mut self, run: &Run) {
        self.runs += 1;
        // A run that says of itself that it cannot be used is no trial; whether it can be is decided without a look at latencies.
        let usable = !matches!(run.comparison.outcome, Outcome::Invalid | Outcome::Interrupted | Outcome::Infrastructure);
        let Some(metric) = central(run).filter(|_| usable) else {
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
        self.ratios.extend(metric.ratio.map(|ratio| ratio.point));
        self.pairs.push(f64::from(metric.pairs));
        self.detectable.extend(metric.detectable);
    }

    fn usable(&self) -> u64 {
        self.runs - self.invalid
    }

    fn bound(&self, events: u64) -> String {
        match self.usable() {
            0 => "no usable run".to_owned(),
            runs => format!("{events} of {runs}: at most {:.1}%", clopper_pearson_upper(events, runs, CONFIDENCE) * 100.0),
        }
    }

    fn missed(&self) -> u64 {
        self.usable() - self.regressed
    }
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
        "{}, {} cores, {memory:.1} GB, {}; PostgreSQL {}, {}; pgduel {}, {}.\n",
        header.machine.cpu,
        header.machine.cores,
        header.machine.os,
        header.server.version.split(' ').nth(1).unwrap_or("unknown"),
        header.server.kind,
        header.pgduel,
        header.started_at,
    )
}

fn table(same: &Tally, planted: &Tally) -> String {
    let mut text = String::from("| | the same on both sides (A/A) | three tenths more work after |\n|---|---|---|\n");
    let mut row = |name: &str, cell: &dyn Fn(&Tally) -> String| {
        text.push_str(&format!("| {name} | {} | {} |\n", cell(same), cell(planted)));
    };
    row("runs", &|tally| tally.runs.to_string());
    row("invalid, so not counted below", &|tally| tally.invalid.to_string());
    row("called regressed", &|tally| tally.regressed.to_string());
    row("called improved", &|tally| tally.improved.to_string());
    row("called unchanged", &|tally| tally.unchanged.to_string());
    row("inconclusive", &|tally| tally.inconclusive.to_string());
    row("pairs: median (least to most)", &|tally| spread(&tally.pairs, 0));
    row("ratio after / before of the gated median: median (least to most)", &|tally| spread(&tally.ratios, 3));
    row("smallest visible ratio: median (least to most)", &|tally| spread(&tally.detectable, 3));
    text.push_str(&format!(
        "| rate of wrong verdicts, bound at 95% | false regressions {}; false improvements {} | missed {} |\n",
        same.bound(same.regressed),
        same.bound(same.improved),
        planted.bound(planted.missed())
    ));
    text
}

fn long_run(run: &Run) -> String {
    let told = central(run).and_then(|metric| Some((metric, metric.ratio?)));
    match told {
        Some((metric, ratio)) => format!(
            "What was planted, by one long run of {} pairs: {:.3} [{:.3}, {:.3}] times the time before ({:.3} ms before).",
            metric.pairs,
            ratio.point,
            ratio.lower,
            ratio.upper,
            metric.value_ns.before / 1e6
        ),
        None => "The long run gave no usable pair.".to_owned(),
    }
}

//! Two recorded runs side by side: what they share, what differs, and both runs' values. Nothing is judged.
//!
//! Runs of different sessions differ in ways that no statistic of one of them can see (what else the machine did, how its memory was laid
//! out), so there is no verdict here, only a description, and a list of what keeps even that from being fair.
//!
//! Takes two [`Record`]s, returns a [`Contrast`]. Pure. Must not know: tokio, sqlx, the clock, how a report lays anything out.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::judge::{Comparison, Metric, ScenarioComparison, compare};
use crate::record::{Arm, Arrivals, Header, Record, ScenarioLoad, ScenarioRecord};
use crate::summary::{Percentiles, Summary, summarise};

/// Rates found by probes differ by this much without a reason.
const RATE_NOISE: f64 = 0.10;

/// Of two runs: the baseline's and the other's.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Two<T> {
    /// The baseline's.
    pub baseline: T,
    /// The other's.
    pub run: T,
}

impl<T> Two<T> {
    fn map<U>(&self, read: impl Fn(&T) -> U) -> Two<U> {
        Two { baseline: read(&self.baseline), run: read(&self.run) }
    }
}

/// Two runs, described.
#[derive(Clone, Debug, Serialize)]
pub struct Contrast {
    /// When, what and where, one fact a line; those that differ and those that do not.
    pub facts: Vec<Fact>,
    /// Why numbers must not be held against each other, one reason a line; empty if none was found.
    pub not_comparable: Vec<String>,
    /// Scenarios of either run, in the baseline's order.
    pub scenarios: Vec<ScenarioContrast>,
}

/// One fact about both runs.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Fact {
    /// What.
    pub name: String,
    /// Both values, as text.
    pub value: Two<String>,
    /// Whether it is a setting of the server.
    pub setting: bool,
}

impl Fact {
    /// Whether both runs say the same.
    pub fn is_same(&self) -> bool {
        self.value.baseline == self.value.run
    }
}

/// One scenario in both runs.
#[derive(Clone, Debug, Serialize)]
pub struct ScenarioContrast {
    /// Its path.
    pub scenario: String,
    /// Whether each run has it.
    pub present: Two<bool>,
    /// Why its numbers must not be held against each other.
    pub not_comparable: Vec<String>,
    /// Both runs' values.
    pub rows: Vec<Row>,
}

/// One quantity of one arm in both runs.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `transaction`, `transaction/statement`, or empty for the whole.
    pub subject: String,
    /// What of it, such as `p50`.
    pub quantity: &'static str,
    /// The arm, for duels; of a ratio, the one that is held against the baseline.
    pub arm: Option<String>,
    /// What the values are.
    pub unit: Unit,
    /// Both values; `None` where a run has none.
    pub value: Two<Option<f64>>,
    /// The run's over the baseline's; `None` where they must not be held against each other.
    pub ratio: Option<f64>,
}

/// What a value is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Transactions a second.
    PerSecond,
    /// An arm's time over the baseline's.
    Ratio,
}

/// Why two records cannot even be laid side by side.
#[derive(Debug, thiserror::Error)]
pub enum ContrastError {
    /// A duel and a run of one variant.
    #[error("one is a duel and the other a run of one variant: they measure different things; name two of a kind")]
    Kinds,
    /// No scenario in common.
    #[error("the runs have no scenario in common: one has {0}, the other {1}")]
    NothingShared(String, String),
}

/// Lays two runs side by side.
pub fn contrast(baseline: &Record, run: &Record) -> Result<Contrast, ContrastError> {
    let headers = Two { baseline: &baseline.header, run: &run.header };
    let scenarios = match (summarise(baseline), summarise(run)) {
        (Some(baseline), Some(run)) => of_runs(&baseline, &run),
        (None, None) => of_duels(&compare(baseline), &compare(run)),
        _ => return Err(ContrastError::Kinds),
    };
    if !scenarios.iter().any(|one| one.present.baseline && one.present.run) {
        let named = |read: fn(&Two<bool>) -> bool| {
            let names: Vec<&str> = scenarios.iter().filter(|one| read(&one.present)).map(|one| one.scenario.as_str()).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        return Err(ContrastError::NothingShared(named(|present| present.baseline), named(|present| present.run)));
    }
    let not_comparable = not_comparable(headers);
    let mut scenarios = scenarios;
    for one in scenarios.iter_mut().filter(|one| !not_comparable.is_empty() || !one.not_comparable.is_empty()) {
        one.rows.iter_mut().for_each(|row| row.ratio = None);
    }
    Ok(Contrast { facts: facts(headers), not_comparable, scenarios })
}

fn facts(headers: Two<&Header>) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |name: &str, value: Two<String>| facts.push(Fact { name: name.to_owned(), value, setting: false });
    add("started", headers.map(|h| h.started_at.clone()));
    add("command", headers.map(|h| h.command.clone()));
    add("suite", headers.map(|h| h.suite.clone()));
    add("mode", headers.map(|h| format!("{}{}", h.mode.name(), if h.aa { ", A/A" } else { "" })));
    add("seed", headers.map(|h| h.seed.to_string()));
    add("pgduel", headers.map(|h| h.pgduel.clone()));
    add("record version", headers.map(|h| h.schema_version.to_string()));
    add("processor", headers.map(|h| h.machine.cpu.clone()));
    add("cores", headers.map(|h| h.machine.cores.to_string()));
    add("memory", headers.map(|h| format!("{} MiB", h.machine.memory_bytes >> 20)));
    add("system", headers.map(|h| h.machine.os.clone()));
    add("server", headers.map(|h| h.server.version.split(" on ").next().unwrap_or_default().to_owned()));
    add("server is", headers.map(|h| format!("{}, {}", h.server.kind, if h.server.local { "local" } else { "remote" })));
    add("pgvector", headers.map(|h| h.server.pgvector.clone().unwrap_or_else(|| "none".to_owned())));
    add("scale", headers.map(|h| h.dataset.scale.to_string()));
    add("vectors", headers.map(|h| h.dataset.vectors.to_string()));
    add("overlays", headers.map(|h| h.dataset.overlays.join(", ")));
    add("data's clock", headers.map(|h| h.dataset.now.clone()));
    add("dataset", headers.map(|h| h.dataset.digest.chars().take(12).collect()));
    let names: BTreeSet<&String> = headers.baseline.server.settings.keys().chain(headers.run.server.settings.keys()).collect();
    for name in names {
        let value = headers.map(|h| h.server.settings.get(name).cloned().unwrap_or_else(|| "not recorded".to_owned()));
        facts.push(Fact { name: name.clone(), value, setting: true });
    }
    facts
}

fn not_comparable(headers: Two<&Header>) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut differs = |what: &str, value: Two<String>, so: &str| {
        if value.baseline != value.run {
            reasons.push(format!("{what} differs ({} and {}): {so}", value.baseline, value.run));
        }
    };
    differs("the record's version", headers.map(|h| h.schema_version.to_string()), "the same name may mean something else");
    differs("the suite", headers.map(|h| h.suite.clone()), "other data and other statements");
    differs("the seed", headers.map(|h| h.seed.to_string()), "other data and other arrivals");
    differs("the scale", headers.map(|h| h.dataset.scale.to_string()), "more rows cost more");
    differs("the number of vectors", headers.map(|h| h.dataset.vectors.to_string()), "more rows cost more");
    differs("the server's version", headers.map(|h| version(h)), "another planner and executor");
    let none = || "none".to_owned();
    differs("pgvector's version", headers.map(|h| h.server.pgvector.clone().unwrap_or_else(none)), "another vector index");
    differs("the processor", headers.map(|h| h.machine.cpu.clone()), "another machine");
    differs("the number of cores", headers.map(|h| h.machine.cores.to_string()), "another machine");
    differs("the kind of server", headers.map(|h| h.server.kind.clone()), "another place and other settings");
    let data = headers.map(|h| (h.seed, h.dataset.scale.to_bits(), h.dataset.vectors, h.server.version_num, &h.dataset.digest));
    // Seed, sizes and versions decide the digest too; it is told only where they do not explain it.
    let explained =
        (data.baseline.0, data.baseline.1, data.baseline.2, data.baseline.3) != (data.run.0, data.run.1, data.run.2, data.run.3);
    if data.baseline.4 != data.run.4 && !explained {
        reasons.push("the dataset's digest differs: its file, the shared SQL or its overlays were changed in between".to_owned());
    }
    let settings: Vec<&str> = headers
        .baseline
        .server
        .settings
        .iter()
        .filter(|(name, value)| headers.run.server.settings.get(*name).is_some_and(|other| other != *value))
        .map(|(name, _)| name.as_str())
        .collect();
    if !settings.is_empty() {
        reasons.push(format!("settings of the server differ: {}", settings.join(", ")));
    }
    reasons
}

fn version(header: &Header) -> String {
    header.server.version.split(" on ").next().unwrap_or_default().to_owned()
}

/// What keeps one scenario's numbers from being held against each other.
fn scenario_differs(baseline: &ScenarioRecord, run: &ScenarioRecord) -> Vec<String> {
    let mut reasons = Vec::new();
    if baseline.digest != run.digest {
        reasons.push("the scenario's file was changed in between".to_owned());
    }
    if baseline.arms != run.arms {
        let told = |one: &ScenarioRecord| one.arms.values().map(ToString::to_string).collect::<Vec<_>>().join(" / ");
        reasons.push(format!("the arms differ: {} and {}", told(baseline), told(run)));
    }
    if baseline.rtt_ns != run.rtt_ns {
        let ms = |one: &ScenarioRecord| one.rtt_ns as f64 / 1e6;
        reasons.push(format!("the round-trip time differs: {} ms and {} ms", ms(baseline), ms(run)));
    } else if baseline.rtt_ns > 0 && baseline.rtt_per != run.rtt_per {
        reasons.push("the round-trip time was charged a request in one, and a round trip in the other".to_owned());
    }
    if baseline.overlays != run.overlays {
        reasons.push("the overlays of the dataset differ".to_owned());
    }
    reasons.extend(load_differs(baseline.load.as_ref(), run.load.as_ref()));
    reasons
}

fn load_differs(baseline: Option<&ScenarioLoad>, run: Option<&ScenarioLoad>) -> Option<String> {
    let (one, other) = match (baseline, run) {
        (Some(one), Some(other)) if kind(one) == kind(other) => (one, other),
        (None, None) => return None,
        _ => {
            let name = |load: Option<&ScenarioLoad>| load.map_or("no load", kind);
            return Some(format!("load was offered in another way: {} and {}", name(baseline), name(run)));
        }
    };
    if one.connections != other.connections {
        let noun = if one.arrivals.has_queue() { "connections" } else { "sessions" };
        return Some(format!("the number of {noun} differs: {} and {}", one.connections, other.connections));
    }
    match (&one.arrivals, &other.arrivals) {
        (Arrivals::Stages { .. }, _) => (one.arrivals != other.arrivals).then(|| "stages differ".to_owned()),
        (Arrivals::Users { .. }, _) => (one.arrivals != other.arrivals).then(|| "users or their thinking differ".to_owned()),
        // A probe may choose another number of transactions in each run; sessions are compared above.
        (Arrivals::Closed | Arrivals::Work { .. }, _) => None,
        (Arrivals::Poisson { per_second: rate } | Arrivals::Constant { per_second: rate }, run) => {
            let (probed, noise) = match (&one.chosen, &other.chosen) {
                (Some(_), Some(_)) => (true, RATE_NOISE),
                (None, None) => (false, 1e-9),
                _ => (true, 1e-9),
            };
            let (rate, other) = (*rate, run.per_second());
            let far = (other / rate - 1.0).abs() > noise || !(other / rate).is_finite();
            let chose = if probed { ", as a probe chose it; a rate in the scenario is the same in each run" } else { "" };
            far.then(|| format!("the rate differs: {rate:.0}/s and {other:.0}/s{chose}"))
        }
    }
}

fn kind(load: &ScenarioLoad) -> &'static str {
    match load.arrivals {
        Arrivals::Poisson { .. } | Arrivals::Constant { .. } => "open loop",
        Arrivals::Stages { .. } => "open loop in stages",
        Arrivals::Users { .. } => "users who share a pool",
        Arrivals::Closed => "closed loop",
        Arrivals::Work { .. } => "fixed work",
    }
}

/// What one run says of one scenario: its description, and values by what they are of.
struct Told {
    record: ScenarioRecord,
    values: Vec<(Key, f64)>,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Key {
    subject: String,
    quantity: &'static str,
    arm: Option<String>,
    unit: Unit,
}

fn of_duels(baseline: &Comparison, run: &Comparison) -> Vec<ScenarioContrast> {
    let told = |comparison: &Comparison| -> Vec<Told> {
        let values = |one: &ScenarioComparison| one.metrics.iter().flat_map(|metric| metric_values(&one.scenario, metric)).collect();
        comparison.scenarios.iter().map(|one| Told { record: one.scenario.clone(), values: values(one) }).collect()
    };
    side_by_side(&told(baseline), &told(run))
}

fn metric_values(scenario: &ScenarioRecord, metric: &Metric) -> Vec<(Key, f64)> {
    let (subject, quantity) = (metric.subject(), metric.quantity.name());
    let key = |arm: Arm, unit: Unit| Key { subject: subject.clone(), quantity, arm: Some(scenario.arm_name(arm)), unit };
    let mut values = Vec::new();
    // Told with each arm: a key that is there already changes nothing.
    values.push((key(Arm::BASELINE, Unit::Ns), metric.value_ns.baseline));
    values.push((key(metric.arm, Unit::Ns), metric.value_ns.arm));
    values.extend(metric.ratio.map(|ratio| (key(metric.arm, Unit::Ratio), ratio.point)));
    values
}

fn of_runs(baseline: &Summary, run: &Summary) -> Vec<ScenarioContrast> {
    let told = |summary: &Summary| -> Vec<Told> {
        summary.scenario.iter().map(|scenario| Told { record: scenario.clone(), values: run_values(summary) }).collect()
    };
    side_by_side(&told(baseline), &told(run))
}

fn run_values(summary: &Summary) -> Vec<(Key, f64)> {
    let Some(load) = &summary.load else { return Vec::new() };
    let key = |subject: &str, quantity, unit: Unit| Key { subject: subject.to_owned(), quantity, arm: None, unit };
    let mut values = vec![(key("", "throughput", Unit::PerSecond), load.throughput_per_second)];
    let mut add = |subject: &str, names: [&'static str; 3], times: &Percentiles| {
        for (name, value) in names.into_iter().zip([times.p50, times.p95, times.p99]) {
            values.extend(value.map(|value| (key(subject, name, Unit::Ns), value)));
        }
    };
    for one in &load.transactions {
        add(&one.name, ["response p50", "response p95", "response p99"], &one.response);
        add(&one.name, ["service p50", "service p95", "service p99"], &one.service);
        for statement in &one.statements {
            add(&format!("{}/{}", one.name, statement.name), ["p50", "p95", "p99"], &statement.service);
        }
    }
    values
}

fn side_by_side(baseline: &[Told], run: &[Told]) -> Vec<ScenarioContrast> {
    let mut names: Vec<&str> = Vec::new();
    for told in baseline.iter().chain(run) {
        if !names.contains(&told.record.scenario.as_str()) {
            names.push(&told.record.scenario);
        }
    }
    names.into_iter().map(|name| one_scenario(name, named(baseline, name), named(run, name))).collect()
}

fn named<'a>(all: &'a [Told], name: &str) -> Option<&'a Told> {
    all.iter().find(|told| told.record.scenario == name)
}

fn one_scenario(name: &str, baseline: Option<&Told>, run: Option<&Told>) -> ScenarioContrast {
    let not_comparable = match (baseline, run) {
        (Some(baseline), Some(run)) => scenario_differs(&baseline.record, &run.record),
        _ => Vec::new(),
    };
    let both = Two { baseline, run }.map(|told| told.map(|told| told.values.as_slice()).unwrap_or_default());
    let mut order: Vec<&Key> = Vec::new();
    for (key, _) in both.baseline.iter().chain(both.run) {
        if !order.contains(&key) {
            order.push(key);
        }
    }
    let maps = both.map(|values| values.iter().map(|(key, value)| (key, *value)).collect::<BTreeMap<&Key, f64>>());
    let rows = order.into_iter().map(|key| row(key, maps.map(|map| map.get(key).copied().filter(|value| value.is_finite())))).collect();
    let present = Two { baseline: baseline.is_some(), run: run.is_some() };
    ScenarioContrast { scenario: name.to_owned(), present, not_comparable, rows }
}

fn row(key: &Key, value: Two<Option<f64>>) -> Row {
    let ratio = value.baseline.zip(value.run).map(|(baseline, run)| run / baseline).filter(|ratio| ratio.is_finite());
    Row { subject: key.subject.clone(), quantity: key.quantity, arm: key.arm.clone(), unit: key.unit, value, ratio }
}

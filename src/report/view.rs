//! The run as rows and sentences, ready to be laid out. Templates and terminal read this, and only this.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::compare::{Gate, Metric, ScenarioComparison, Verdict};
use crate::record::{CheckOutcome, CheckRecord, EvidenceRecord, Header, LoadRecord, Side, Sides};

use super::format::{self, NOTHING, TimeUnit, change};
use super::words::{self, Tone};
use super::{Ending, Run};

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct RunView {
    pub suite: String,
    pub version: String,
    pub started_at: String,
    pub mode: &'static str,
    pub tone: Tone,
    pub headline: String,
    pub ending: Option<&'static str>,
    pub tiles: Vec<Tile>,
    pub scenarios: Vec<ScenarioView>,
    pub facts: Vec<FactGroup>,
    pub command: String,
    pub gated_metrics: u32,
    pub minimum_pairs: u32,
}

/// A number on top of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Tile {
    pub tone: Tone,
    pub symbol: &'static str,
    pub number: usize,
    pub label: &'static str,
}

/// Facts about one thing: label and value.
#[derive(Clone, Debug, Serialize)]
pub struct FactGroup {
    pub title: &'static str,
    pub facts: Vec<(String, String)>,
}

/// One scenario.
#[derive(Clone, Debug, Serialize)]
pub struct ScenarioView {
    pub anchor: String,
    pub path: String,
    pub title: String,
    pub analysis: String,
    pub claims: Vec<String>,
    pub before: String,
    pub after: String,
    pub tone: Tone,
    pub symbol: &'static str,
    pub verdict: String,
    pub expectation: Option<String>,
    pub expectation_contradicted: bool,
    pub load: String,
    pub load_why: Option<String>,
    pub rtt: String,
    pub pairs: String,
    pub discarded: Vec<String>,
    pub stop: String,
    /// `None` where metrics speak; else the word that stands in their place.
    pub stopped_short: Option<&'static str>,
    pub metrics: Vec<MetricView>,
    pub inconclusive: Vec<String>,
    pub capacity: Option<Sides<String>>,
    pub classes: Vec<ClassView>,
    pub errors: Vec<(String, Sides<String>)>,
    pub checks: Vec<CheckView>,
    pub failures: Vec<CheckView>,
    pub warnings: Vec<String>,
    pub evidence: Vec<EvidenceView>,
    pub counters: Vec<(&'static str, Sides<String>)>,
    pub statements: Vec<StatementView>,
    pub databases: Vec<DatabaseView>,
}

/// One metric.
#[derive(Clone, Debug, Serialize)]
pub struct MetricView {
    pub subject: String,
    pub quantity: &'static str,
    pub before: String,
    pub after: String,
    pub change: String,
    pub interval: String,
    pub tone: Tone,
    pub symbol: &'static str,
    pub verdict: String,
    pub pairs: u32,
    pub samples: String,
    pub margin: String,
    pub gated: bool,
    pub why: Option<String>,
}

/// One tenant class of one transaction.
#[derive(Clone, Debug, Serialize)]
pub struct ClassView {
    pub transaction: String,
    pub class: String,
    pub count: Sides<String>,
    pub p50: Sides<String>,
    pub p95: Sides<String>,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckView {
    pub kind: &'static str,
    pub subject: String,
    pub side: Option<&'static str>,
    pub cases: String,
    pub outcome: &'static str,
    pub tone: Tone,
    pub symbol: &'static str,
    pub findings: Vec<String>,
}

/// Plan and counters of one statement for one identity, side by side.
#[derive(Clone, Debug, Serialize)]
pub struct EvidenceView {
    pub statement: String,
    pub identity: String,
    pub plan: Sides<Option<String>>,
    /// Buffers, rows, function calls, recall: label, before, after.
    pub counters: Vec<(String, Sides<String>)>,
}

/// A statement's text; one for both sides where they agree.
#[derive(Clone, Debug, Serialize)]
pub struct StatementView {
    pub name: String,
    pub identity: String,
    pub side: &'static str,
    pub executions: String,
    pub sql: String,
}

/// How a database was made.
#[derive(Clone, Debug, Serialize)]
pub struct DatabaseView {
    pub side: &'static str,
    pub variant: String,
    pub tables: String,
    pub indexes: String,
    pub resident: &'static str,
    pub applied: Vec<String>,
}

/// The view of a run.
pub fn view(run: &Run<'_>) -> RunView {
    let (tone, headline) = words::headline(run);
    let scenarios = run.comparison.scenarios.iter().enumerate();
    RunView {
        suite: run.header.suite.clone(),
        version: run.header.pgduel.clone(),
        started_at: run.header.started_at.clone(),
        mode: words::mode(run.header.mode),
        tone,
        headline,
        ending: if run.ending == Ending::Complete { None } else { words::ending(run.ending) },
        tiles: tiles(run),
        scenarios: scenarios.map(|(index, one)| scenario(index, one, run.header)).collect(),
        facts: vec![run_facts(run), machine_facts(run.header), dataset_facts(run.header)],
        command: run.header.command.clone(),
        gated_metrics: run.comparison.gated_metrics,
        minimum_pairs: run.comparison.minimum_pairs,
    }
}

fn tiles(run: &Run<'_>) -> Vec<Tile> {
    let verdicts = [Verdict::Improved, Verdict::Regressed, Verdict::Unchanged, Verdict::Inconclusive];
    let mut tiles: Vec<Tile> = verdicts
        .into_iter()
        .map(|verdict| {
            let tone = words::verdict_tone(verdict);
            let number = words::tally(run.comparison, verdict);
            Tile { tone, symbol: words::symbol(tone), number, label: words::verdict(verdict) }
        })
        .collect();
    let failed = run.comparison.scenarios.iter().filter_map(words::stopped_short).filter(|(tone, _)| *tone == Tone::Failed).count();
    let label = if failed == 1 { "scenario failed" } else { "scenarios failed" };
    tiles.push(Tile { tone: Tone::Failed, symbol: words::symbol(Tone::Failed), number: failed, label });
    tiles
}

fn scenario(index: usize, one: &ScenarioComparison, header: &Header) -> ScenarioView {
    let record = &one.scenario;
    let (tone, verdict) = scenario_verdict(one);
    let load_why = match &record.load {
        LoadRecord::FixedWork { why, .. } => Some(why.clone()).filter(|why| !why.is_empty()),
        LoadRecord::Open { .. } | LoadRecord::Closed { .. } => None,
    };
    let checks: Vec<CheckView> = one.checks.iter().map(check).collect();
    let name = |check: &CheckView| check.outcome == words::check_outcome(CheckOutcome::Failed);
    ScenarioView {
        anchor: anchor(index, &record.scenario),
        path: record.scenario.clone(),
        title: record.title.clone(),
        analysis: record.analysis.clone(),
        claims: record.claims.clone(),
        before: record.variants.before.clone(),
        after: record.variants.after.clone(),
        tone,
        symbol: words::symbol(tone),
        verdict,
        expectation: words::expectation_met(one),
        expectation_contradicted: one.expectation_met == Some(false),
        load: words::load(&record.load),
        load_why,
        rtt: words::rtt(record.rtt_ns, header.server.local),
        pairs: words::pairs(one),
        discarded: one.pairs.reasons.iter().map(|(reason, times)| format!("{times}× {reason}")).collect(),
        stop: words::stop(&one.stop),
        stopped_short: words::stopped_short(one).map(|(_, word)| word),
        metrics: one.metrics.iter().map(|metric| metric_view(metric, one)).collect(),
        inconclusive: inconclusive(one),
        capacity: capacity(one.capacity),
        classes: classes(one),
        errors: one.errors.iter().map(|(code, counts)| (code.clone(), counts.map(|number| format::count(*number)))).collect(),
        failures: checks.iter().filter(|check| name(check)).cloned().collect(),
        checks,
        warnings: one.warnings.clone(),
        evidence: evidence(&one.evidence),
        counters: counters(one),
        statements: statements(one),
        databases: databases(one),
    }
}

/// One word for a scenario: that of its gated metrics if they agree, else how many are what.
fn scenario_verdict(one: &ScenarioComparison) -> (Tone, String) {
    if let Some((tone, word)) = words::stopped_short(one) {
        return (tone, word.to_owned());
    }
    let gated: Vec<&Metric> = one.metrics.iter().filter(|metric| metric.gate == Gate::Gated).collect();
    let worst_first = [Verdict::Regressed, Verdict::Inconclusive, Verdict::Improved, Verdict::Unchanged];
    let parts: Vec<(Verdict, usize)> = worst_first
        .into_iter()
        .map(|verdict| (verdict, gated.iter().filter(|metric| metric.verdict == verdict).count()))
        .filter(|(_, number)| *number > 0)
        .collect();
    match (parts.as_slice(), gated.first()) {
        ([(verdict, _)], Some(first)) => (words::verdict_tone(*verdict), words::verdict_in(first, one)),
        ([(verdict, _), ..], _) => {
            let text: Vec<String> = parts.iter().map(|(verdict, number)| format!("{number} {}", words::verdict(*verdict))).collect();
            (words::verdict_tone(*verdict), text.join(", "))
        }
        _ => (Tone::Inconclusive, "nothing to decide".to_owned()),
    }
}

fn anchor(index: usize, path: &str) -> String {
    let slug: String = path.chars().map(|one| if one.is_ascii_alphanumeric() { one.to_ascii_lowercase() } else { '-' }).collect();
    format!("s{}-{slug}", index + 1)
}

/// One metric, laid out; also what charts label their rows with.
pub fn metric_view(metric: &Metric, one: &ScenarioComparison) -> MetricView {
    let unit = TimeUnit::of(&[metric.value_ns.before, metric.value_ns.after]);
    let change = change(metric.ratio.as_ref(), metric.verdict);
    let tone = words::verdict_tone(metric.verdict);
    MetricView {
        subject: words::subject(metric),
        quantity: words::quantity(metric.quantity),
        before: unit.show(metric.value_ns.before),
        after: unit.show(metric.value_ns.after),
        change: change.words,
        interval: change.interval,
        tone,
        symbol: words::symbol(tone),
        verdict: words::verdict_in(metric, one),
        pairs: metric.pairs,
        samples: format::count(metric.samples_per_block),
        margin: format!("±{}", format::percent(metric.margin - 1.0)),
        gated: metric.gate == Gate::Gated,
        why: match &metric.gate {
            Gate::Gated => None,
            Gate::Shown { why } => Some(why.clone()),
        },
    }
}

fn inconclusive(one: &ScenarioComparison) -> Vec<String> {
    let open = one.metrics.iter().filter(|metric| metric.gate == Gate::Gated && metric.verdict == Verdict::Inconclusive);
    open.map(|metric| format!("{} {}: {}.", words::subject(metric), words::quantity(metric.quantity), words::inconclusive(metric))).collect()
}

fn capacity(capacity: Sides<Option<f64>>) -> Option<Sides<String>> {
    if capacity.before.is_none() && capacity.after.is_none() {
        return None;
    }
    Some(capacity.map(|value| value.map_or_else(|| NOTHING.to_owned(), |value| format!("{}/s", format::significant(value)))))
}

fn classes(one: &ScenarioComparison) -> Vec<ClassView> {
    let times = |values: Sides<Option<f64>>| {
        let unit = TimeUnit::of(&[values.before.unwrap_or(f64::NAN), values.after.unwrap_or(f64::NAN)]);
        values.map(|value| value.map_or_else(|| NOTHING.to_owned(), |ns| unit.show(ns)))
    };
    one.classes
        .iter()
        .map(|row| ClassView {
            transaction: row.transaction.clone(),
            class: row.class.clone(),
            count: row.count.map(|number| format::count(*number)),
            p50: times(row.p50_ns),
            p95: times(row.p95_ns),
        })
        .collect()
}

fn check(record: &CheckRecord) -> CheckView {
    let tone = match record.outcome {
        CheckOutcome::Passed => Tone::Improved,
        CheckOutcome::Warning => Tone::Inconclusive,
        CheckOutcome::Failed => Tone::Failed,
    };
    CheckView {
        kind: words::check(record.kind),
        subject: record.subject.clone(),
        side: record.side.map(Side::name),
        cases: format::count(record.cases),
        outcome: words::check_outcome(record.outcome),
        tone,
        symbol: match tone {
            Tone::Improved => "✓",
            Tone::Inconclusive => "!",
            _ => words::symbol(tone),
        },
        findings: record.findings.clone(),
    }
}

/// Both sides of each statement and identity, in the order in which they were taken.
fn evidence(records: &[EvidenceRecord]) -> Vec<EvidenceView> {
    let mut pairs: Vec<((&str, &str), Sides<Option<&EvidenceRecord>>)> = Vec::new();
    for record in records {
        let key = (record.statement.as_str(), record.identity.as_str());
        match pairs.iter_mut().find(|(other, _)| *other == key) {
            Some((_, sides)) => *sides.get_mut(record.side) = Some(record),
            None => {
                let mut sides = Sides::default();
                *sides.get_mut(record.side) = Some(record);
                pairs.push((key, sides));
            }
        }
    }
    pairs
        .into_iter()
        .map(|((statement, identity), sides)| EvidenceView {
            statement: statement.to_owned(),
            identity: identity.to_owned(),
            plan: sides.map(|record| record.map(|record| record.plan.clone())),
            counters: evidence_counters(sides),
        })
        .collect()
}

fn evidence_counters(sides: Sides<Option<&EvidenceRecord>>) -> Vec<(String, Sides<String>)> {
    let shown = |read: &dyn Fn(&EvidenceRecord) -> Option<String>| {
        sides.map(|record| record.and_then(read).unwrap_or_else(|| NOTHING.to_owned()))
    };
    let names = |read: &dyn Fn(&EvidenceRecord) -> Vec<String>| -> BTreeSet<String> {
        [sides.before, sides.after].into_iter().flatten().flat_map(read).collect()
    };
    let mut rows = vec![
        ("Buffers touched".to_owned(), shown(&|record| Some(format::count(record.buffers)))),
        ("Rows returned".to_owned(), shown(&|record| Some(format::count(record.rows)))),
    ];
    for name in names(&|record| record.function_calls.keys().cloned().collect()) {
        // A function that only one side calls was called 0 times on the other.
        let calls = shown(&|record| Some(format::count(record.function_calls.get(&name).copied().unwrap_or(0))));
        rows.push((format!("Calls of {name}"), calls));
    }
    for class in names(&|record| record.recall.keys().cloned().collect()) {
        rows.push((format!("Recall, {class}"), shown(&|record| record.recall.get(&class).map(|recall| format!("{recall:.3}")))));
    }
    rows
}

fn counters(one: &ScenarioComparison) -> Vec<(&'static str, Sides<String>)> {
    if one.pairs.kept == 0 {
        return Vec::new();
    }
    let server = &one.server;
    vec![
        ("Blocks hit", server.map(|side| format::significant(side.blocks_hit))),
        ("Blocks read", server.map(|side| format::significant(side.blocks_read))),
        ("WAL", server.map(|side| format::bytes(side.wal_bytes))),
        ("Temporary files", server.map(|side| format::bytes(side.temp_bytes))),
        ("Executions with a generic plan", server.map(|side| format::percent(side.generic_share))),
    ]
}

fn statements(one: &ScenarioComparison) -> Vec<StatementView> {
    let mut rows = Vec::new();
    for transaction in &one.scenario.transactions {
        let both = transaction.statements.before == transaction.statements.after;
        let sides: &[(&'static str, Side)] =
            if both { &[("both sides", Side::Before)] } else { &[("before", Side::Before), ("after", Side::After)] };
        for (label, side) in sides {
            rows.extend(transaction.statements.get(*side).iter().map(|statement| StatementView {
                name: format!("{}/{}", transaction.name, statement.name),
                identity: transaction.identity.clone(),
                side: label,
                executions: words::plural(statement.executions, "execution"),
                sql: statement.sql.trim().to_owned(),
            }));
        }
    }
    rows
}

fn databases(one: &ScenarioComparison) -> Vec<DatabaseView> {
    one.variants
        .iter()
        .map(|variant| DatabaseView {
            side: variant.side.name(),
            variant: variant.variant.clone(),
            tables: format::bytes(variant.table_bytes as f64),
            indexes: format::bytes(variant.index_bytes as f64),
            resident: if variant.resident { "fits in shared buffers" } else { "larger than shared buffers" },
            applied: variant
                .applied
                .iter()
                .map(|file| {
                    let statements = words::plural(u64::from(file.statements), "statement");
                    format!("{} ({statements}, {})", file.file, format::duration(file.duration_ns as f64))
                })
                .collect(),
        })
        .collect()
}

fn fact(label: &str, value: impl Into<String>) -> (String, String) {
    (label.to_owned(), value.into())
}

fn run_facts(run: &Run<'_>) -> FactGroup {
    let header = run.header;
    let mut facts = vec![
        fact("pgduel", &header.pgduel),
        fact("Started", &header.started_at),
        fact("Mode", if header.aa { format!("{}, A/A", words::mode(header.mode)) } else { words::mode(header.mode).to_owned() }),
        fact("Seed", header.seed.to_string()),
    ];
    if let Some(budget) = header.budget_seconds {
        facts.push(fact("Budget", format!("{} s", format::significant(budget))));
    }
    if run.comparison.gated_metrics > 0 {
        let value = format!("{}, {} pairs at least", run.comparison.gated_metrics, run.comparison.minimum_pairs);
        facts.push(fact("Gated metrics", value));
    }
    FactGroup { title: "Run", facts }
}

fn machine_facts(header: &Header) -> FactGroup {
    let (machine, server) = (&header.machine, &header.server);
    let mut facts = vec![
        fact("Processor", format!("{}, {}", machine.cpu, words::plural(machine.cores as u64, "core"))),
        fact("Memory", format::bytes(machine.memory_bytes as f64)),
        fact("System", &machine.os),
        fact("Server", format!("{}, {}", server.version, server.kind)),
        fact("Reached by", if server.local { "loopback or Unix socket" } else { "network" }),
        fact("pgvector", server.pgvector.as_deref().unwrap_or("not installed")),
    ];
    facts.extend(server.settings.iter().map(|(name, value)| fact(name, value)));
    FactGroup { title: "Machine and server", facts }
}

fn dataset_facts(header: &Header) -> FactGroup {
    let dataset = &header.dataset;
    let mut facts = vec![
        fact("Scale", format!("{}", dataset.scale)),
        fact("Tenants", format::count(dataset.tenants)),
        fact("Vectors", format::count(dataset.vectors)),
        fact("Its clock", &dataset.now),
    ];
    if !dataset.overlays.is_empty() {
        facts.push(fact("Overlays", dataset.overlays.join(", ")));
    }
    let rows: &BTreeMap<String, u64> = &dataset.rows;
    facts.extend(rows.iter().map(|(table, rows)| (format!("{table} rows"), format::count(*rows))));
    facts.push(fact("Digest", &dataset.digest));
    FactGroup { title: "Dataset", facts }
}

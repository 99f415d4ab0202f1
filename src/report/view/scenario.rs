//! Rows of one scenario.

use std::collections::BTreeSet;

use crate::judge::{Gate, Interval, Metric, OwnRate, OwnRateRow, ScenarioComparison, ServerPerTransaction, Verdict};
use crate::record::{
    CheckKind, CheckOutcome, CheckRecord, EvidenceRecord, Header, LoadRecord, Side, Sides, StatementStatistics, StopReason,
};
use crate::report::format::{self, NOTHING, TimeUnit, change};
use crate::report::words::{self, Tone};
use crate::report::{expectations, recall};

use super::{CheckView, ClassView, DatabaseView, EvidenceView, MetricView, ScenarioView, StatementView};

/// The rows of one scenario.
pub fn scenario(index: usize, one: &ScenarioComparison, header: &Header, minimum_pairs: u32) -> ScenarioView {
    let record = &one.scenario;
    let (tone, verdict) = scenario_verdict(one);
    let load_why = match &record.load {
        LoadRecord::FixedWork { why, .. } => Some(why.clone()).filter(|why| !why.is_empty()),
        LoadRecord::Open { .. }
        | LoadRecord::Stages { .. }
        | LoadRecord::Users { .. }
        | LoadRecord::Closed { .. }
        | LoadRecord::Nothing => None,
    };
    let checks = checks(&one.checks);
    let failed = |check: &&CheckView| check.outcome == words::check_outcome(CheckOutcome::Failed);
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
        expectations: expectations::all(one),
        recall: recall(&one.checks),
        recall_shift: recall::shift(one).map(|shift| shift.brief()),
        timed: !matches!(one.stop, StopReason::ChecksFailed | StopReason::ChecksOnly | StopReason::Rejected { .. }),
        load: words::load(&record.load),
        load_why,
        rtt: words::rtt(record.rtt_ns, record.rtt_per, header.server.local),
        pairs: words::pairs(one),
        discarded: discarded(one),
        disturbed: words::disturbed(&one.disturbed),
        stop: stop(one),
        stopped_short: words::stopped_short(one).map(|(_, word)| word),
        first: first(one),
        metrics: one.metrics.iter().map(|metric| metric_view(metric, one)).collect(),
        inconclusive: inconclusive(one, minimum_pairs),
        capacity: capacity(one.capacity),
        capacity_change: one.capacity_ratio.as_ref().map(capacity_change),
        own_rate: own_rate(&one.own_rate),
        classes: classes(one),
        errors: one.errors.iter().map(|(code, counts)| (code.clone(), counts.map(|number| format::count(*number)))).collect(),
        failures: checks.iter().filter(failed).cloned().collect(),
        checks,
        warnings: one.warnings.clone(),
        evidence: evidence(&one.evidence),
        counters: counters(one),
        statements: statements(one),
        databases: databases(one),
    }
}

/// A search that became faster by finding less, or slower by finding more, must not pass for a mere change of speed.
fn recall(checks: &[CheckRecord]) -> Vec<String> {
    let said = checks.iter().filter(|check| check.kind == CheckKind::Recall);
    let line = |check: &CheckRecord| {
        let side = check.side.map(|side| format!(", {}", side.name())).unwrap_or_default();
        format!("Recall of {}{side}: {}", check.subject, check.findings.join("; "))
    };
    said.filter(|check| !check.findings.is_empty()).map(line).collect()
}

/// Why it stopped; where this was for discarded pairs, also why those were.
fn stop(one: &ScenarioComparison) -> String {
    let stop = words::stop(&one.stop);
    match one.stop {
        StopReason::Attempts if !one.pairs.reasons.is_empty() => format!("{stop} Discarded: {}.", discarded(one).join("; ")),
        _ => stop,
    }
}

fn discarded(one: &ScenarioComparison) -> Vec<String> {
    one.pairs.reasons.iter().map(|(reason, times)| format!("{times}× {reason}")).collect()
}

fn first(one: &ScenarioComparison) -> Option<(String, String)> {
    let metric = one.metrics.iter().find(|metric| metric.gate == Gate::Gated)?;
    let change = change(metric.ratio.as_ref(), metric.verdict).text();
    Some((format!("{} {}", metric.subject(), metric.quantity.name()), change))
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
    let expected = gated.iter().filter(|metric| words::expected_regression(metric)).count();
    let said = |verdict: Verdict, number: usize| match verdict {
        Verdict::Regressed if expected == number => format!("{} (expected)", words::verdict(verdict)),
        Verdict::Regressed if expected > 0 => format!("{} ({expected} expected)", words::verdict(verdict)),
        verdict => words::verdict(verdict).to_owned(),
    };
    match (parts.as_slice(), gated.first()) {
        ([(Verdict::Regressed, number)], _) if 0 < expected && expected < *number => {
            (Tone::Regressed, format!("{number} {}", said(Verdict::Regressed, *number)))
        }
        ([(verdict, _)], Some(first)) => {
            let unexpected = if words::unexpected(first) { " (not expected)" } else { "" };
            (words::verdict_tone(*verdict), format!("{}{unexpected}", words::verdict_in(first, one)))
        }
        ([(verdict, _), ..], _) => {
            let text: Vec<String> = parts.iter().map(|(verdict, number)| format!("{number} {}", said(*verdict, *number))).collect();
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
        subject: metric.subject(),
        quantity: metric.quantity.name(),
        before: unit.show(metric.value_ns.before),
        after: unit.show(metric.value_ns.after),
        change: change.words,
        interval: change.interval,
        tone,
        symbol: words::symbol(tone),
        verdict: words::verdict_in(metric, one),
        pairs: metric.pairs,
        samples: format::count(metric.samples_per_block),
        margin: words::margin(metric, one),
        gated: metric.gate == Gate::Gated,
        unexpected: words::unexpected(metric),
        why: match &metric.gate {
            Gate::Gated => None,
            Gate::Shown { why } => Some(why.clone()),
        },
    }
}

fn inconclusive(one: &ScenarioComparison, minimum_pairs: u32) -> Vec<String> {
    let open = one.metrics.iter().filter(|metric| metric.gate == Gate::Gated && metric.verdict == Verdict::Inconclusive);
    open.map(|metric| format!("{} {}: {}.", metric.subject(), metric.quantity.name(), words::inconclusive(metric, one, minimum_pairs)))
        .collect()
}

fn capacity_change(ratio: &Interval) -> String {
    let bound = |value: f64| format::factor(value, 2);
    format!("{}× as much [{}, {}]", bound(ratio.point), bound(ratio.lower), bound(ratio.upper))
}

/// What users of one side alone would see, at half of what it can do.
fn own_rate(rates: &Sides<Option<OwnRate>>) -> Vec<(String, Sides<String>)> {
    let (Some(before), Some(after)) = (&rates.before, &rates.after) else { return Vec::new() };
    let rate = |rate: &OwnRate| format!("{}/s", format::significant(rate.rate_per_second));
    let disturbed = |rate: &OwnRate| format!("{} of {}", rate.disturbed, rate.blocks);
    let mut rows = vec![("Rate".to_owned(), Sides { before: rate(before), after: rate(after) })];
    if before.disturbed + after.disturbed > 0 {
        let label = "Disturbed blocks (late starts and a busy generator are in these times)";
        rows.push((label.to_owned(), Sides { before: disturbed(before), after: disturbed(after) }));
    }
    let shown = |value: Option<f64>| value.map_or_else(|| NOTHING.to_owned(), format::duration);
    for (b, a) in before.transactions.iter().zip(&after.transactions) {
        let mut row = |what: &str, value: fn(&OwnRateRow) -> Option<f64>| {
            rows.push((format!("{} {what}", b.transaction), Sides { before: shown(value(b)), after: shown(value(a)) }));
        };
        row("response p50", |row| row.response_p50_ns);
        row("response p95", |row| row.response_p95_ns);
        row("response p99", |row| row.response_p99_ns);
        row("wait for a connection p95", |row| row.acquire_p95_ns);
    }
    rows
}

fn capacity(capacity: Sides<Option<f64>>) -> Option<Sides<String>> {
    if capacity.before.is_none() && capacity.after.is_none() {
        return None;
    }
    Some(capacity.map(|value| value.map_or_else(|| NOTHING.to_owned(), |value| format!("{}/s", format::significant(value)))))
}

fn classes(one: &ScenarioComparison) -> Vec<ClassView> {
    // One unit for the whole table: classes are compared with each other too.
    let all = one.classes.iter().flat_map(|row| [row.p50_ns.before, row.p50_ns.after, row.p95_ns.before, row.p95_ns.after]);
    let unit = TimeUnit::of(&all.flatten().collect::<Vec<_>>());
    let times = |values: Sides<Option<f64>>| values.map(|value| value.map_or_else(|| NOTHING.to_owned(), |ns| unit.show(ns)));
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

/// Checks as rows: what passed without a finding takes one row a kind and side, or a kind where both sides had the same checks.
fn checks(records: &[CheckRecord]) -> Vec<CheckView> {
    let quiet = |record: &&CheckRecord| record.outcome == CheckOutcome::Passed && record.findings.is_empty();
    let mut rows: Vec<CheckView> = records.iter().filter(|record| !quiet(record)).map(check).collect();
    let quiet: Vec<&CheckRecord> = records.iter().filter(quiet).collect();
    let mut kinds: Vec<CheckKind> = Vec::new();
    for record in &quiet {
        if !kinds.contains(&record.kind) {
            kinds.push(record.kind);
        }
    }
    for kind in kinds {
        let of = |side: Option<Side>| -> Vec<&CheckRecord> {
            quiet.iter().copied().filter(|record| record.kind == kind && record.side == side).collect()
        };
        let subjects = |all: &[&CheckRecord]| all.iter().map(|record| record.subject.clone()).collect::<Vec<_>>();
        let (neither, before, after) = (of(None), of(Some(Side::Before)), of(Some(Side::After)));
        rows.extend(together(&neither, subjects(&neither), None));
        if subjects(&before) == subjects(&after) {
            let names = subjects(&before);
            rows.extend(together(&[before, after].concat(), names, Some("both sides")));
        } else {
            rows.extend(together(&before, subjects(&before), Some(Side::Before.name())));
            rows.extend(together(&after, subjects(&after), Some(Side::After.name())));
        }
    }
    rows
}

/// Passed checks of one kind as one row.
fn together(records: &[&CheckRecord], subjects: Vec<String>, side: Option<&'static str>) -> Option<CheckView> {
    let cases = records.iter().map(|record| record.cases).fold(0_u64, u64::saturating_add);
    let first = check(records.first()?);
    Some(CheckView { subject: subjects.join(", "), number: records.len(), side, cases: format::count(cases), ..first })
}

fn check(record: &CheckRecord) -> CheckView {
    let shown = recall::only_shown(record) && record.outcome == CheckOutcome::Passed;
    let tone = match record.outcome {
        CheckOutcome::Passed if shown => Tone::Unchanged,
        CheckOutcome::Passed => Tone::Passed,
        CheckOutcome::Warning => Tone::Inconclusive,
        CheckOutcome::Failed => Tone::Failed,
    };
    CheckView {
        kind: words::check(record.kind),
        subject: record.subject.clone(),
        number: 1,
        side: record.side.map(Side::name),
        cases: format::count(record.cases),
        outcome: if shown { "shown" } else { words::check_outcome(record.outcome) },
        tone,
        symbol: match tone {
            Tone::Inconclusive => "!",
            // Nothing was judged, so nothing is the same either.
            Tone::Unchanged => "·",
            _ => words::symbol(tone),
        },
        findings: record.findings.clone(),
    }
}

/// Statement and identity.
type Key<'a> = (&'a str, &'a str);

/// Both sides of each statement and identity, in the order in which they were taken.
fn evidence(records: &[EvidenceRecord]) -> Vec<EvidenceView> {
    let mut pairs: Vec<(Key<'_>, Sides<Option<&EvidenceRecord>>)> = Vec::new();
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
    let shown =
        |read: &dyn Fn(&EvidenceRecord) -> Option<String>| sides.map(|record| record.and_then(read).unwrap_or_else(|| NOTHING.to_owned()));
    let names = |read: &dyn Fn(&EvidenceRecord) -> Vec<String>| -> BTreeSet<String> {
        [sides.before, sides.after].into_iter().flatten().flat_map(read).collect()
    };
    let mut rows = vec![
        ("Buffers touched".to_owned(), shown(&|record| Some(format::count(record.buffers)))),
        ("Rows returned".to_owned(), shown(&|record| Some(format::count(record.rows)))),
    ];
    rows.extend(statistics(sides.map(|record| record.and_then(|record| record.statistics))));
    for name in names(&|record| record.function_calls.keys().cloned().collect()) {
        // A function that only one side calls was called 0 times on the other.
        let calls = shown(&|record| Some(format::count(record.function_calls.get(&name).copied().unwrap_or(0))));
        rows.push((format!("Calls of {name} in the transaction"), calls));
    }
    for class in names(&|record| record.recall.keys().cloned().collect()) {
        rows.push((format!("Recall, {class}"), shown(&|record| record.recall.get(&class).map(|recall| format!("{recall:.3}")))));
    }
    rows
}

/// What the server counted over its stretch of load, an execution; nothing where neither side has it or neither side did it.
fn statistics(sides: Sides<Option<StatementStatistics>>) -> Vec<(String, Sides<String>)> {
    type Read = fn(&StatementStatistics) -> u64;
    type Show = fn(f64) -> String;
    let rows: [(&str, Read, Show); 6] = [
        ("Server's mean, execution only", |one| one.execution_ns, format::duration),
        ("Server's mean, rows", |one| one.rows, format::mean_count),
        ("Server's mean, blocks hit", |one| one.blocks_hit, format::mean_count),
        ("Server's mean, blocks read", |one| one.blocks_read, format::mean_count),
        ("Server's mean, temporary blocks", |one| one.temp_blocks, format::mean_count),
        ("Server's mean, WAL", |one| one.wal_bytes, format::bytes),
    ];
    let counted = |read: Read| [sides.before, sides.after].iter().flatten().any(|one| read(one) > 0);
    let mean = |read: Read, show: Show| {
        sides.map(|one| one.map_or_else(|| NOTHING.to_owned(), |one| show(read(&one) as f64 / one.calls.max(1) as f64)))
    };
    let mut told: Vec<_> =
        rows.into_iter().filter(|(_, read, _)| counted(*read)).map(|(label, read, show)| (label.to_owned(), mean(read, show))).collect();
    if counted(|one| one.processor_ns.unwrap_or(0)) {
        let mean = |one: StatementStatistics| one.processor_ns.map(|ns| format::duration(ns as f64));
        told.push(("Mean time on a processor".to_owned(), sides.map(|one| one.and_then(mean).unwrap_or_else(|| NOTHING.to_owned()))));
    }
    if counted(|one| one.calls) {
        let executions = sides.map(|one| one.map_or_else(|| NOTHING.to_owned(), |one| format::count(one.calls)));
        told.push(("Executions behind the server's means".to_owned(), executions));
    }
    told
}

fn counters(one: &ScenarioComparison) -> Vec<(&'static str, Sides<String>)> {
    type Read = fn(&ServerPerTransaction) -> f64;
    type Show = fn(f64) -> String;
    let rows: [(&'static str, Read, Show); 5] = [
        ("Blocks hit", |side| side.blocks_hit, format::mean_count),
        ("Blocks read", |side| side.blocks_read, format::mean_count),
        ("WAL", |side| side.wal_bytes, format::bytes),
        ("Temporary files", |side| side.temp_bytes, format::bytes),
        ("Executions with a generic plan", |side| side.generic_share, format::percent),
    ];
    // What neither side did needs no line.
    let told = rows.into_iter().filter(|(_, read, _)| read(&one.server.before) != 0.0 || read(&one.server.after) != 0.0);
    told.map(|(label, read, show)| (label, one.server.map(|side| show(read(side))))).collect()
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

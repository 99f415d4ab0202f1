//! Rows of one scenario.

use std::collections::BTreeSet;

use crate::judge::{Gate, Interval, Metric, OwnRate, OwnRateRow, ScenarioComparison, ServerPerTransaction, Verdict};
use crate::record::{
    Arm, Arms, CheckKind, CheckOutcome, CheckRecord, EvidenceRecord, Header, ScenarioRecord, StatementStatistics, StopReason,
};
use crate::report::format::{self, NOTHING, TimeUnit, change};
use crate::report::words::{self, Tone};
use crate::report::{chart, expectations, recall};

use super::{ArmView, CheckView, ClassView, DatabaseView, EvidenceView, MetricView, ScenarioView, StatementView};

/// The rows of one scenario.
pub fn scenario(index: usize, one: &ScenarioComparison, header: &Header, minimum_rounds: u32) -> ScenarioView {
    let record = &one.scenario;
    let (tone, verdict) = scenario_verdict(one);
    // Of an open loop it is said with the load itself.
    let load_why = record.load.as_ref().filter(|load| load.arrivals.is_work()).and_then(|load| load.chosen).map(|why| why.to_string());
    let checks = checks(record, &one.checks);
    let failed = |check: &&CheckView| check.outcome == words::check_outcome(CheckOutcome::Failed);
    ScenarioView {
        anchor: anchor(index, &record.scenario),
        path: record.scenario.clone(),
        title: record.title.clone(),
        analysis: record.analysis.clone(),
        claims: record.claims.clone(),
        arms: record.arms.arms().map(|arm| arm_view(record, arm)).collect(),
        versus: one.versus(),
        arms_told: words::arms(record),
        tone,
        symbol: words::symbol(tone),
        verdict,
        expectations: expectations::all(one),
        best: one.best.iter().map(|best| words::best(best, record)).chain(one.unranked.map(words::unranked)).collect(),
        recall: recall(record, &one.checks),
        recall_shift: recall::widest(one).map(|(_, shift)| shift.brief()),
        timed: !matches!(one.stop, StopReason::ChecksFailed | StopReason::ChecksOnly | StopReason::Rejected { .. }),
        load: words::load(record.load.as_ref()),
        load_why,
        rtt: words::rtt(record.rtt_ns, record.rtt_per, header.server.local),
        rounds: words::rounds(one),
        discarded: discarded(one),
        disturbed: words::disturbed(&one.disturbed),
        stop: stop(one),
        stopped_short: words::stopped_short(one).map(|(_, word)| word),
        first: first(one),
        metrics: one.metrics.iter().map(|metric| metric_view(metric, one)).collect(),
        inconclusive: inconclusive(one, minimum_rounds),
        capacity: capacity(&one.capacity),
        capacity_change: capacity_change(one),
        own_rate: own_rate(&one.own_rate),
        classes: classes(one),
        errors: one.errors.iter().map(|(code, counts)| (code.clone(), cells(counts, |number| format::count(*number)))).collect(),
        failures: checks.iter().filter(failed).cloned().collect(),
        checks,
        warnings: one.warnings.clone(),
        evidence: evidence(record, &one.evidence),
        counters: counters(one),
        statements: statements(one),
        databases: databases(one),
    }
}

/// A search that became faster by finding less, or slower by finding more, must not pass for a mere change of speed.
fn recall(record: &ScenarioRecord, checks: &[CheckRecord]) -> Vec<String> {
    let said = checks.iter().filter(|check| check.kind == CheckKind::Recall);
    let line = |check: &CheckRecord| {
        let arm = check.arm.map(|arm| format!(", {}", record.arm_name(arm))).unwrap_or_default();
        format!("Recall of {}{arm}: {}", check.subject, check.findings.join("; "))
    };
    said.filter(|check| !check.findings.is_empty()).map(line).collect()
}

/// Why it stopped; where this was for discarded rounds, also why those were.
fn stop(one: &ScenarioComparison) -> String {
    let stop = words::stop(&one.stop);
    match one.stop {
        StopReason::Attempts if !one.rounds.reasons.is_empty() => format!("{stop} Discarded: {}.", discarded(one).join("; ")),
        _ => stop,
    }
}

fn discarded(one: &ScenarioComparison) -> Vec<String> {
    one.rounds.reasons.iter().map(|(reason, times)| format!("{times}× {reason}")).collect()
}

/// The first gated metric, of each arm that has it: its name and its change.
fn first(one: &ScenarioComparison) -> Vec<(String, String)> {
    let gated = || one.metrics.iter().filter(|metric| metric.gate == Gate::Gated);
    let Some(first) = gated().next() else { return Vec::new() };
    let named = |metric: &Metric| (words::named(metric, one), change(metric.ratio.as_ref(), metric.verdict).text());
    gated().filter(|metric| metric.is_like(first)).map(named).collect()
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
    let value = metric.value_ns;
    // One unit for all arms: they are compared with each other too.
    let alike = one.metrics.iter().filter(|other| other.is_like(metric));
    let unit = TimeUnit::of(&alike.flat_map(|other| [other.value_ns.baseline, other.value_ns.arm]).collect::<Vec<_>>());
    let change = change(metric.ratio.as_ref(), metric.verdict);
    let tone = words::verdict_tone(metric.verdict);
    MetricView {
        subject: metric.subject(),
        quantity: metric.quantity.name(),
        arm: one.arm_of(metric).map(str::to_owned),
        name: words::named(metric, one),
        baseline: unit.show(value.baseline),
        value: unit.show(value.arm),
        change: change.words,
        interval: change.interval,
        tone,
        symbol: words::symbol(tone),
        verdict: words::verdict_in(metric, one),
        rounds: metric.rounds,
        samples: format::count(metric.samples_per_block),
        margin: words::margin(metric, one),
        gated: metric.gate == Gate::Gated,
        unexpected: words::unexpected(metric),
        recall_shift: recall::shift(one, metric.arm).map(|shift| shift.brief()),
        why: match &metric.gate {
            Gate::Gated => None,
            Gate::Shown { why } => Some(why.clone()),
        },
    }
}

fn inconclusive(one: &ScenarioComparison, minimum_rounds: u32) -> Vec<String> {
    let open = one.metrics.iter().filter(|metric| metric.gate == Gate::Gated && metric.verdict == Verdict::Inconclusive);
    open.map(|metric| format!("{}: {}.", words::named(metric, one), words::inconclusive(metric, one, minimum_rounds))).collect()
}

/// A text for each arm.
fn cells<T>(values: &Arms<T>, show: impl Fn(&T) -> String) -> Vec<String> {
    values.values().map(show).collect()
}

/// The same, where some arms have nothing to show.
fn cells_or_nothing<T>(values: &Arms<Option<T>>, show: impl Fn(&T) -> String) -> Vec<String> {
    cells(values, |value| value.as_ref().map_or_else(|| NOTHING.to_owned(), &show))
}

/// An arm as it is named and coloured.
fn arm_view(record: &ScenarioRecord, arm: Arm) -> ArmView {
    ArmView { name: record.arm_name(arm), color: chart::color(arm) }
}

fn capacity_change(one: &ScenarioComparison) -> Vec<String> {
    let bound = |value: f64| format::factor(value, 2);
    let told = |(arm, ratio): (Arm, &Option<Interval>)| {
        let ratio = ratio.as_ref()?;
        let of = if one.scenario.arms.count() > 2 { format!("{}: ", one.scenario.arm_name(arm)) } else { String::new() };
        Some(format!("{of}{}× as much [{}, {}]", bound(ratio.point), bound(ratio.lower), bound(ratio.upper)))
    };
    one.capacity_ratio.iter().filter_map(told).collect()
}

/// What users of one arm alone would see, at half of what it can do.
fn own_rate(rates: &Arms<Option<OwnRate>>) -> Vec<(String, Vec<String>)> {
    let all: Vec<&OwnRate> = rates.values().flatten().collect();
    let (Some(first), true) = (all.first(), all.len() == rates.count()) else { return Vec::new() };
    let of = |show: &dyn Fn(&OwnRate) -> String| all.iter().map(|rate| show(rate)).collect::<Vec<String>>();
    let mut rows = vec![("Rate".to_owned(), of(&|rate| format!("{}/s", format::significant(rate.rate_per_second))))];
    if all.iter().any(|rate| rate.disturbed > 0) {
        let label = "Disturbed blocks (late starts and a busy generator are in these times)";
        rows.push((label.to_owned(), of(&|rate| format!("{} of {}", rate.disturbed, rate.blocks))));
    }
    for (place, transaction) in first.transactions.iter().enumerate() {
        let mut row = |what: &str, value: fn(&OwnRateRow) -> Option<f64>| {
            let shown = |rate: &OwnRate| rate.transactions.get(place).and_then(value).map_or_else(|| NOTHING.to_owned(), format::duration);
            rows.push((format!("{} {what}", transaction.transaction), of(&shown)));
        };
        row("response p50", |row| row.response_p50_ns);
        row("response p95", |row| row.response_p95_ns);
        row("response p99", |row| row.response_p99_ns);
        row("wait for a connection p95", |row| row.acquire_p95_ns);
    }
    rows
}

fn capacity(capacity: &Arms<Option<f64>>) -> Vec<String> {
    if capacity.values().all(Option::is_none) {
        return Vec::new();
    }
    cells_or_nothing(capacity, |value| format!("{}/s", format::significant(*value)))
}

fn classes(one: &ScenarioComparison) -> Vec<ClassView> {
    // One unit for the whole table: classes are compared with each other too.
    let all = one.classes.iter().flat_map(|row| row.p50_ns.values().chain(row.p95_ns.values()));
    let unit = TimeUnit::of(&all.flatten().copied().collect::<Vec<_>>());
    let times = |values: &Arms<Option<f64>>| cells_or_nothing(values, |ns| unit.show(*ns));
    one.classes
        .iter()
        .map(|row| ClassView {
            transaction: row.transaction.clone(),
            class: row.class.clone(),
            count: cells(&row.count, |number| format::count(*number)),
            p50: times(&row.p50_ns),
            p95: times(&row.p95_ns),
        })
        .collect()
}

/// Checks as rows: what passed without a finding takes one row a kind and arm, or a kind where all arms had the same checks.
fn checks(scenario: &ScenarioRecord, records: &[CheckRecord]) -> Vec<CheckView> {
    let quiet = |record: &&CheckRecord| record.outcome == CheckOutcome::Passed && record.findings.is_empty();
    let mut rows: Vec<CheckView> = records.iter().filter(|record| !quiet(record)).map(|record| check(scenario, record)).collect();
    let quiet: Vec<&CheckRecord> = records.iter().filter(quiet).collect();
    let mut kinds: Vec<CheckKind> = Vec::new();
    for record in &quiet {
        if !kinds.contains(&record.kind) {
            kinds.push(record.kind);
        }
    }
    for kind in kinds {
        let of = |arm: Option<Arm>| -> Vec<&CheckRecord> {
            quiet.iter().copied().filter(|record| record.kind == kind && record.arm == arm).collect()
        };
        let subjects = |all: &[&CheckRecord]| all.iter().map(|record| record.subject.clone()).collect::<Vec<_>>();
        let together = |records: &[&CheckRecord], arm: Option<String>| {
            let cases = records.iter().map(|record| record.cases).fold(0_u64, u64::saturating_add);
            let mut subjects = subjects(records);
            // Once each, where several arms have them.
            let mut seen = BTreeSet::new();
            subjects.retain(|subject| seen.insert(subject.clone()));
            let first = check(scenario, records.first()?);
            Some(CheckView { subject: subjects.join(", "), number: records.len(), arm, cases: format::count(cases), ..first })
        };
        rows.extend(together(&of(None), None));
        let by_arm = scenario.arms.each(|arm| of(Some(arm)));
        if by_arm.values().all(|records| subjects(records) == subjects(&by_arm.baseline)) {
            let all: Vec<&CheckRecord> = by_arm.into_iter().flatten().collect();
            rows.extend(together(&all, Some("all arms".to_owned())));
        } else {
            rows.extend(by_arm.iter().filter_map(|(arm, records)| together(records, Some(scenario.arm_name(arm)))));
        }
    }
    rows
}

fn check(scenario: &ScenarioRecord, record: &CheckRecord) -> CheckView {
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
        arm: record.arm.map(|arm| scenario.arm_name(arm)),
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

/// Every arm of each statement and identity, in the order in which they were taken.
fn evidence(scenario: &ScenarioRecord, records: &[EvidenceRecord]) -> Vec<EvidenceView> {
    let mut found: Vec<(Key<'_>, Arms<Option<&EvidenceRecord>>)> = Vec::new();
    for record in records.iter().filter(|record| scenario.arms.has(record.arm)) {
        let key = (record.statement.as_str(), record.identity.as_str());
        let at = found.iter().position(|(other, _)| *other == key).unwrap_or_else(|| {
            found.push((key, scenario.arms.map(|_| None)));
            found.len() - 1
        });
        *found[at].1.get_mut(record.arm) = Some(record);
    }
    found
        .into_iter()
        .map(|((statement, identity), arms)| EvidenceView {
            statement: statement.to_owned(),
            identity: identity.to_owned(),
            plans: arms.values().map(|record| record.map(|record| record.plan.clone())).collect(),
            counters: evidence_counters(&arms),
        })
        .collect()
}

fn evidence_counters(arms: &Arms<Option<&EvidenceRecord>>) -> Vec<(String, Vec<String>)> {
    let shown = |read: &dyn Fn(&EvidenceRecord) -> Option<String>| {
        cells(arms, |record| record.and_then(read).unwrap_or_else(|| NOTHING.to_owned()))
    };
    let names =
        |read: &dyn Fn(&EvidenceRecord) -> Vec<String>| -> BTreeSet<String> { arms.values().copied().flatten().flat_map(read).collect() };
    let mut rows = vec![
        ("Buffers touched".to_owned(), shown(&|record| Some(format::count(record.buffers)))),
        ("Rows returned".to_owned(), shown(&|record| Some(format::count(record.rows)))),
    ];
    rows.extend(statistics(&arms.map(|record| record.and_then(|record| record.statistics))));
    for name in names(&|record| record.function_calls.keys().cloned().collect()) {
        // A function that only one arm calls was called 0 times on the others.
        let calls = shown(&|record| Some(format::count(record.function_calls.get(&name).copied().unwrap_or(0))));
        rows.push((format!("Calls of {name} in the transaction"), calls));
    }
    for class in names(&|record| record.recall.keys().cloned().collect()) {
        rows.push((format!("Recall, {class}"), shown(&|record| record.recall.get(&class).map(|recall| format!("{recall:.3}")))));
    }
    rows
}

/// What the server counted over its stretch of load, an execution; nothing where no arm has it or no arm did it.
fn statistics(arms: &Arms<Option<StatementStatistics>>) -> Vec<(String, Vec<String>)> {
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
    let counted = |read: Read| arms.values().flatten().any(|one| read(one) > 0);
    let mean = |read: Read, show: Show| cells_or_nothing(arms, |one| show(read(one) as f64 / one.calls.max(1) as f64));
    let mut told: Vec<_> =
        rows.into_iter().filter(|(_, read, _)| counted(*read)).map(|(label, read, show)| (label.to_owned(), mean(read, show))).collect();
    if counted(|one| one.processor_ns.unwrap_or(0)) {
        let known = arms.map(|one| one.and_then(|one| one.processor_ns));
        told.push(("Mean time on a processor".to_owned(), cells_or_nothing(&known, |ns| format::duration(*ns as f64))));
    }
    if counted(|one| one.calls) {
        told.push(("Executions behind the server's means".to_owned(), cells_or_nothing(arms, |one| format::count(one.calls))));
    }
    told
}

fn counters(one: &ScenarioComparison) -> Vec<(&'static str, Vec<String>)> {
    type Read = fn(&ServerPerTransaction) -> f64;
    type Show = fn(f64) -> String;
    let rows: [(&'static str, Read, Show); 5] = [
        ("Blocks hit", |arm| arm.blocks_hit, format::mean_count),
        ("Blocks read", |arm| arm.blocks_read, format::mean_count),
        ("WAL", |arm| arm.wal_bytes, format::bytes),
        ("Temporary files", |arm| arm.temp_bytes, format::bytes),
        ("Executions with a generic plan", |arm| arm.generic_share, format::percent),
    ];
    // What no arm did needs no line.
    let told = rows.into_iter().filter(|(_, read, _)| one.server.values().any(|arm| read(arm) != 0.0));
    told.map(|(label, read, show)| (label, cells(&one.server, |arm| show(read(arm))))).collect()
}

/// Statements by transaction; arms that run the same ones are told together.
fn statements(one: &ScenarioComparison) -> Vec<StatementView> {
    let mut rows = Vec::new();
    for transaction in &one.scenario.transactions {
        let mut alike: Vec<Vec<Arm>> = Vec::new();
        for (arm, statements) in transaction.statements.iter() {
            match alike.iter_mut().find(|arms| arms.first().is_some_and(|first| transaction.statements.get(*first) == statements)) {
                Some(arms) => arms.push(arm),
                None => alike.push(vec![arm]),
            }
        }
        let all = alike.len() == 1;
        for arms in alike {
            let Some(first) = arms.first() else { continue };
            let names: Vec<String> = arms.iter().map(|arm| one.scenario.arm_name(*arm)).collect();
            let label = if all { "all arms".to_owned() } else { names.join(", ") };
            rows.extend(transaction.statements.get(*first).iter().map(|statement| StatementView {
                name: format!("{}/{}", transaction.name, statement.name),
                identity: transaction.identity.clone(),
                arms: label.clone(),
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
            arm: arm_view(&one.scenario, variant.arm),
            variant: variant.variant.clone(),
            changes: words::changes(one.scenario.arms.get(variant.arm)),
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

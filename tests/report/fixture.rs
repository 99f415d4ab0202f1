//! A run made by hand, with one of each: improved, regressed as expected, unchanged, inconclusive, leaked, fixed work, open bounds,
//! names that are too long, text that tries to be markup. Nothing in it was measured.

use std::collections::BTreeMap;

use pgduel::judge::*;
use pgduel::record::*;

pub const HOSTILE: &str = "<script>alert('plan')</script> & \"quoted\" `tick` | pipe";

pub fn header() -> Header {
    let settings = [("shared_buffers", "1GB"), ("work_mem", "4MB"), ("jit", "off"), ("fsync", "on"), ("random_page_cost", "1.1")];
    let rows = [("organizations", 40), ("members", 212), ("conversations", 2_132), ("messages", 5_998), ("page_embeddings", 20_229)];
    Header {
        schema_version: SCHEMA_VERSION,
        pgduel: "0.1.0".into(),
        started_at: "2026-01-15T09:30:00Z".into(),
        command: "pgduel duel omniops/history-fetch omniops/messages-policy omniops/session-lookup omniops/rls-select-all \
                  omniops/embedding-ingestion --quick --seed 42"
            .into(),
        suite: "omniops".into(),
        mode: Mode::Quick,
        aa: false,
        seed: 42,
        order_seed: 7,
        budget_seconds: Some(180.0),
        inconclusive_fails: false,
        machine: Machine { cpu: "Example CPU @ 2.50GHz".into(), cores: 2, memory_bytes: 8 << 30, os: "Linux 6.1.0".into() },
        server: ServerDescription {
            kind: "embedded".into(),
            version: "PostgreSQL 15.14 on x86_64-pc-linux-gnu, compiled by gcc".into(),
            version_num: 150_014,
            pgvector: Some("0.8.0".into()),
            local: true,
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        },
        dataset: DatasetDescription {
            scale: 1.0,
            vectors: 5_000,
            overlays: vec![],
            now: "2026-01-01T00:00:00Z".into(),
            tenants: 40,
            rows: rows.map(|(table, rows)| (table.to_owned(), rows)).into(),
            digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(),
        },
    }
}

pub fn comparison() -> Comparison {
    let scenarios = vec![history(), policy(), lookup(), leak(), ingestion()];
    Comparison { scenarios, outcome: Outcome::WrongAnswers, minimum_rounds: 12, gated_metrics: 8 }
}

/// The same run without the scenario that leaks.
pub fn healthy() -> Comparison {
    let mut comparison = comparison();
    comparison.scenarios.retain(|one| one.outcome != Outcome::WrongAnswers);
    comparison.outcome = Outcome::Inconclusive;
    comparison
}

fn interval(point: f64, lower: f64, upper: f64) -> Option<Interval> {
    Some(Interval { point, lower, upper })
}

struct Measured {
    statement: Option<&'static str>,
    quantity: Quantity,
    ns: (f64, f64),
    ratio: Option<Interval>,
    verdict: Verdict,
}

fn metric(transaction: &str, measured: Measured) -> Metric {
    let shown = |why: &str| Gate::Shown { why: why.into() };
    let (gate, margin) = match measured.quantity {
        Quantity::ServiceP50 => (Gate::Gated, 1.05),
        Quantity::ServiceMean => (shown("one pause of the machine moves a mean: the median is judged"), 1.05),
        Quantity::ServiceP95 => (Gate::Gated, 1.10),
        Quantity::ResponseP50 => (shown("belongs to the whole transaction and depends on the rate"), 1.05),
        // So short that the floor of 20 µs is the margin.
        Quantity::AcquireP50 => (shown("belongs to the whole transaction and depends on the rate"), 9.7),
        Quantity::ResponseP99 => (shown("a 99th percentile spreads too much to be judged as a ratio"), 1.10),
        _ => (shown("belongs to the whole transaction and depends on the rate"), 1.10),
    };
    let open = measured.verdict == Verdict::Inconclusive;
    Metric {
        arm: Arm::at(1),
        transaction: transaction.into(),
        statement: measured.statement.map(Into::into),
        quantity: measured.quantity,
        value_ns: Both { baseline: measured.ns.0, arm: measured.ns.1 },
        ratio: measured.ratio,
        rounds: 12,
        samples_per_block: 318,
        gate,
        verdict: measured.verdict,
        margin,
        p: (0.9998, 0.0002),
        level: 0.0011,
        spread: 0.047,
        detectable: if open { Some(1.118) } else { Some(1.06) },
        rounds_needed: if open { Some(34) } else { Some(9) },
        taken_back: None,
        expectation: None,
        standing: None,
    }
}

/// Latencies that look like latencies: a body, and a tail that grows.
fn curve(median: f64, tail: f64) -> Vec<(f64, f64)> {
    let quantiles =
        [0.0, 0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 1.0];
    let at = |quantile: f64| {
        let rarity: f64 = -(1.0_f64 - quantile.min(0.9998)).log10();
        median * (0.72 + 0.93 * rarity + tail * rarity.powi(3) / 9.0)
    };
    quantiles.map(|quantile| (quantile, at(quantile).round())).to_vec()
}

fn blocks(before: f64, after: f64, pairs: u32) -> Vec<BlockPoint> {
    let mut points = Vec::new();
    for pair in 0..pairs {
        let first = if matches!(pair % 4, 0 | 3) { Arm::BASELINE } else { Arm::at(1) };
        for (index, arm) in [first, if first.is_baseline() { Arm::at(1) } else { Arm::BASELINE }].into_iter().enumerate() {
            let position = pair * 2 + index as u32;
            let wobble = 1.0 + 0.03 * f64::from((position * 7) % 5) - 0.06 + if pair == 5 { 0.45 } else { 0.0 };
            points.push(BlockPoint {
                position,
                round: pair,
                arm,
                started_seconds: 14.0 + f64::from(position) * 1.12,
                value_ns: (wobble * if arm == Arm::BASELINE { before } else { after }).round(),
                discarded: (pair == 5).then(|| "checkpoint on one arm only".to_owned()),
            });
        }
    }
    points
}

fn record(path: &str, title: &str, analysis: &str, sql: &str) -> ScenarioRecord {
    let statement = StatementRecord {
        name: "history".into(),
        sql: sql.into(),
        executions: 1,
        controls_transaction: false,
        expect: None,
        expect_why: None,
    };
    ScenarioRecord {
        scenario: path.into(),
        title: title.into(),
        analysis: analysis.into(),
        claims: vec!["O-01".into(), "O-03".into()],
        digest: "00".into(),
        arms: Arms::two("before-domain", "after").map(|name| ArmRecord::of(name, name)),
        transactions: vec![TransactionRecord {
            name: "fetch".into(),
            weight: 1.0,
            identity: "member".into(),
            writes: false,
            statements: Arms::two(vec![statement.clone()], vec![statement]),
            requests: Arms::two(1, 1),
            expect: None,
            expect_why: None,
        }],
        load: Some(ScenarioLoad { arrivals: Arrivals::Poisson { per_second: 412.3 }, connections: 4, chosen: Some(LoadChoice::Probed) }),
        expect: None,
        expect_why: None,
        margins: Margins::default(),
        rtt_ns: 0,
        rtt_per: Default::default(),
        acquire_timeout_ns: None,
        max_tries: 1,
        overlays: vec![],
        writes: false,
    }
}

fn scenario(record: ScenarioRecord, metrics: Vec<Metric>, outcome: Outcome) -> ScenarioComparison {
    let database = |arm, variant: &str, indexes| VariantRecord {
        scenario: record.scenario.clone(),
        arm,
        variant: variant.into(),
        applied: vec![AppliedFile { file: format!("seeds/omniops/{variant}.sql"), statements: 23, duration_ns: 184_000_000 }],
        table_bytes: 96 << 20,
        index_bytes: indexes,
        resident: true,
        builds: 1,
    };
    let check = |kind, subject: &str, cases| CheckRecord {
        scenario: record.scenario.clone(),
        kind,
        subject: subject.into(),
        arm: None,
        cases,
        outcome: CheckOutcome::Passed,
        findings: vec![],
    };
    ScenarioComparison {
        variants: vec![database(Arm::BASELINE, "before-domain", 31 << 20), database(Arm::at(1), "after", 38 << 20)],
        checks: vec![check(CheckKind::Answers, "fetch", 200), check(CheckKind::Isolation, "conversations", 12)],
        metrics,
        best: vec![],
        unranked: None,
        capacity: Arms::two(None, None),
        capacity_ratio: Arms::two(None, None),
        failed_share: Arms::two(Default::default(), Default::default()),
        own_rate: Arms::two(None, None),
        evidence: vec![],
        curves: BTreeMap::new(),
        blocks: vec![],
        classes: vec![],
        errors: BTreeMap::new(),
        server: Arms::two(Default::default(), Default::default()),
        no_processor: None,
        rounds: RoundCount { kept: 12, discarded: 0, reasons: BTreeMap::new() },
        disturbed: DisturbedBlocks { blocks: 24, ..Default::default() },
        stolen_share: None,
        stop: StopReason::Rounds,
        warnings: vec![],
        outcome,
        expectations: vec![],
        scenario: record,
    }
}

/// States an expectation, of the scenario or, where a quantity is named, of this quantity of `fetch/history`, and what came of it.
pub fn expect(one: &mut ScenarioComparison, quantity: Option<StatedQuantity>, expect: Expectation, why: Option<&str>, met: bool) {
    let (transaction, statement) = match quantity {
        Some(_) => (Some("fetch".to_owned()), Some("history".to_owned())),
        None => (None, None),
    };
    let at = one.expectations.len();
    one.expectations.push(StatedExpectation {
        arm: Arm::at(1),
        transaction,
        statement,
        quantity,
        expect,
        why: why.map(str::to_owned),
        met: Some(met),
    });
    let named = |metric: &&mut Metric| quantity.is_none_or(|quantity| metric.quantity.name() == quantity.name());
    for metric in one.metrics.iter_mut().filter(|metric| metric.gate == Gate::Gated).filter(named) {
        let standing = if met { Standing::Expected } else { Standing::Surprise };
        (metric.expectation, metric.standing) = (Some(at), Some(standing));
    }
}

fn history() -> ScenarioComparison {
    let sql = "select role, content from messages\n where conversation_id = :conversation\n order by created_at limit 20";
    let analysis = "Every reply of the assistant first reads **the last 20 messages** of the conversation.\n\n\
        - before: the policy calls `auth.uid()` for each row and walks a join\n- after: the policy is one hashed subquery\n\n\
        See [the manual](https://www.postgresql.org/docs/15/ddl-rowsecurity.html). <b>Raw</b> markup stays text.";
    let mut record = record("omniops/history-fetch", "Conversation history fetch", analysis, sql);
    record.expect = Some(Expect::Verdict(Expectation::Improved));
    let of = |statement, quantity, ns, ratio, verdict| metric("fetch", Measured { statement, quantity, ns, ratio, verdict });
    let metrics = vec![
        of(Some("history"), Quantity::ServiceP50, (1_243_000.0, 112_400.0), interval(0.0905, 0.0826, 0.102), Verdict::Improved),
        of(Some("history"), Quantity::ServiceP95, (3_920_000.0, 251_000.0), interval(0.0641, 0.0512, 0.0810), Verdict::Improved),
        of(None, Quantity::ResponseP50, (2_110_000.0, 731_000.0), interval(0.346, 0.310, 0.390), Verdict::Improved),
        of(None, Quantity::ResponseP99, (9_310_000.0, 2_030_000.0), interval(0.218, 0.09, 0.61), Verdict::Inconclusive),
        of(None, Quantity::AcquireP50, (8_100.0, 2_300.0), None, Verdict::Inconclusive),
    ];
    let mut one = scenario(record, metrics, Outcome::Passed);
    expect(&mut one, None, Expectation::Improved, None, true);
    one.capacity = Arms::two(Some(824.6), Some(5_310.0));
    one.curves.insert("fetch".into(), Arms::two(curve(2_110_000.0, 1.4), curve(731_000.0, 0.8)));
    one.curves.insert("fetch/history".into(), Arms::two(curve(1_243_000.0, 1.0), curve(112_400.0, 0.7)));
    one.blocks = blocks(1_243_000.0, 112_400.0, 13);
    one.rounds = RoundCount { kept: 12, discarded: 1, reasons: [("checkpoint on one arm only".to_owned(), 1)].into() };
    one.classes = [("whale", 1_600_000.0, 131_000.0), ("middle", 1_200_000.0, 110_000.0), ("tail", 910_000.0, 104_000.0)]
        .map(|(class, before, after)| ClassRow {
            transaction: "fetch".into(),
            class: class.into(),
            count: Arms::two(1_310, 1_310),
            p50_ns: Arms::two(Some(before), Some(after)),
            p95_ns: Arms::two(Some(before * 2.9), if class == "tail" { None } else { Some(after * 2.1) }),
        })
        .to_vec();
    let counters =
        |hit, generic| ServerPerTransaction { blocks_hit: hit, blocks_read: 0.0, wal_bytes: 0.0, temp_bytes: 0.0, generic_share: generic };
    one.server = Arms::two(counters(1_243.0, 0.0), counters(12.4, 0.98));
    one.evidence = vec![evidence(Arm::BASELINE, SLOW_PLAN, 1_243, 612), evidence(Arm::at(1), FAST_PLAN, 12, 1)];
    one
}

const SLOW_PLAN: &str = "Limit  (cost=412.10..412.15 rows=20 width=118) (actual time=1.210..1.214 rows=20 loops=1)\n  Buffers: shared hit=1243\n  ->  Sort  (cost=412.10..412.55 rows=180 width=118) (actual time=1.209..1.211 rows=20 loops=1)\n        Sort Key: messages.created_at\n        Sort Method: top-N heapsort  Memory: 31kB\n        ->  Seq Scan on messages  (cost=0.00..407.31 rows=180 width=118) (actual time=0.012..1.150 rows=204 loops=1)\n              Filter: ((conversation_id = $1) AND (SubPlan 1))\n              Rows Removed by Filter: 5794\nPlanning Time: 0.210 ms\nExecution Time: 1.251 ms";
const FAST_PLAN: &str = "Limit  (cost=0.28..18.40 rows=20 width=118) (actual time=0.031..0.058 rows=20 loops=1)\n  Buffers: shared hit=12\n  InitPlan 1 (returns $1)\n  ->  Index Scan using idx_messages_conversation_created on messages  (actual time=0.030..0.055 rows=20 loops=1)\n        Index Cond: (conversation_id = $1)\n        Filter: (note <> '<script>alert(''plan'')</script>')\nPlanning Time: 0.190 ms\nExecution Time: 0.081 ms";

fn evidence(arm: Arm, plan: &str, buffers: u64, calls: u64) -> EvidenceRecord {
    EvidenceRecord {
        scenario: "omniops/history-fetch".into(),
        arm,
        statement: "fetch/history".into(),
        identity: "whale member".into(),
        plan: plan.into(),
        plan_json: serde_json::json!([{ "Plan": { "Node Type": "Limit" } }]),
        rows: 20,
        buffers,
        function_calls: [("auth.uid".to_owned(), calls)].into(),
        statistics: Some(StatementStatistics {
            transactions: 64,
            calls: 64,
            rows: 1_280,
            execution_ns: 64 * 1_000 * buffers,
            blocks_hit: 64 * buffers,
            blocks_read: 3,
            temp_blocks: 0,
            wal_bytes: 0,
            processor_ns: None,
        }),
        recall: BTreeMap::new(),
    }
}

fn policy() -> ScenarioComparison {
    let analysis = "The new policy of `messages` reads the parent conversation for one row, where the old one did not.";
    let mut record = record("omniops/messages-policy", "Messages policy for one conversation", analysis, "select count(*) from messages");
    let regressed = Some(Expectation::Regressed);
    let why = "the policy gains a join (X-45).";
    let statements = &mut record.transactions[0].statements;
    for statement in [&mut statements.baseline[0], &mut statements.others[0][0]] {
        statement.expect = Some(Expect::Quantities(QuantityExpectations { p50: regressed, p95: regressed, processor: None }));
        statement.expect_why = Some(why.into());
    }
    record.rtt_ns = 20_000_000;
    let of = |quantity, ns, ratio, verdict| metric("fetch", Measured { statement: Some("history"), quantity, ns, ratio, verdict });
    let metrics = vec![
        of(Quantity::ServiceP50, (211_000.0, 274_000.0), interval(1.30, 1.21, 1.39), Verdict::Regressed),
        of(Quantity::ServiceP95, (402_000.0, 603_000.0), interval(1.5, 1.12, f64::INFINITY), Verdict::Regressed),
    ];
    let mut one = scenario(record, metrics, Outcome::Passed);
    for quantity in [StatedQuantity::P50, StatedQuantity::P95] {
        expect(&mut one, Some(quantity), Expectation::Regressed, Some(why), true);
    }
    one.curves.insert("fetch/history".into(), Arms::two(curve(211_000.0, 0.9), curve(274_000.0, 1.2)));
    one.blocks = blocks(211_000.0, 274_000.0, 12);
    one
}

fn lookup() -> ScenarioComparison {
    let path = "omniops/session-lookup-by-a-name-that-someone-made-much-longer-than-any-table-was-made-for";
    let title = "Session lookup, whose title is long enough to need more than a single line on any screen there is";
    let record = record(path, title, "Finds a conversation by its session.", HOSTILE);
    let of = |statement, quantity, ns, ratio, verdict| {
        metric("look-up-the-session-of-a-visitor", Measured { statement, quantity, ns, ratio, verdict })
    };
    let statement = Some("select-conversation-by-session-id-and-domain");
    let metrics = vec![
        of(statement, Quantity::ServiceP50, (84_100.0, 84_300.0), interval(1.002, 0.98, 1.03), Verdict::Unchanged),
        of(statement, Quantity::ServiceP95, (160_000.0, 149_000.0), interval(0.93, 0.74, 1.17), Verdict::Inconclusive),
        of(Some("touch"), Quantity::ServiceP50, (61_000.0, 55_000.0), interval(0.9, 0.0, 1.4), Verdict::Inconclusive),
    ];
    let mut one = scenario(record, metrics, Outcome::Inconclusive);
    one.stop = StopReason::Budget;
    one.warnings = vec!["The data fits in shared buffers before, but not after: caches differ.".into(), HOSTILE.into()];
    one.errors.insert("40001 serialization_failure".into(), Arms::two(3, 0));
    one.errors.insert("57014 query_canceled".into(), Arms::two(0, 1_204));
    one.curves.insert("look-up/select".into(), Arms::two(curve(84_100.0, 2.0), curve(84_300.0, 1.9)));
    one.blocks = blocks(84_100.0, 84_300.0, 12);
    one
}

fn leak() -> ScenarioComparison {
    let record = record(
        "omniops/rls-select-all",
        "RLS select of all conversations",
        "Reads everything that the member may see.",
        "select * from conversations",
    );
    let mut one = scenario(record, vec![], Outcome::WrongAnswers);
    one.stop = StopReason::ChecksFailed;
    one.rounds = RoundCount::default();
    let failed = CheckRecord {
        scenario: one.scenario.scenario.clone(),
        kind: CheckKind::Isolation,
        subject: "conversations".into(),
        arm: Some(Arm::at(1)),
        cases: 12,
        outcome: CheckOutcome::Failed,
        findings: vec![
            "member 7 of tenant 3 (tail) sees 1 row that is not theirs: id 0b5c2f1e-7d0a-4f0e-9d53-1f3a6f0c9e11 of tenant 0 (whale)".into(),
            "admin 2 of tenant 3 (tail) sees 1 row that is not theirs: id 0b5c2f1e-7d0a-4f0e-9d53-1f3a6f0c9e11 of tenant 0 (whale)".into(),
        ],
    };
    let plan = CheckRecord {
        kind: CheckKind::Plan,
        subject: "fetch/history".into(),
        cases: 1,
        outcome: CheckOutcome::Warning,
        findings: vec![format!("idx_conversations_org is not in the plan: {HOSTILE}")],
        ..failed.clone()
    };
    one.checks.insert(0, failed);
    one.checks.insert(1, plan);
    one
}

fn ingestion() -> ScenarioComparison {
    let mut record = record(
        "omniops/embedding-ingestion",
        "Embedding ingestion, row by row against 100 a statement",
        "One statement for 100 rows saves 99 round trips.",
        "insert into page_embeddings select * from rows",
    );
    record.writes = true;
    record.load = Some(ScenarioLoad {
        arrivals: Arrivals::Work { transactions: 1_150 },
        connections: 1,
        chosen: Some(LoadChoice::Apart { times: 110.0 }),
    });
    let of = |quantity, ns, ratio, verdict| metric("ingest", Measured { statement: None, quantity, ns, ratio, verdict });
    let metrics = vec![
        of(Quantity::ServiceP50, (1_480_000_000.0, 12_100_000.0), interval(0.00818, 0.0079, 0.0085), Verdict::Improved),
        of(Quantity::ServiceMean, (1_510_000_000.0, 12_900_000.0), interval(0.00854, 0.0077, 0.0095), Verdict::Improved),
    ];
    let mut one = scenario(record, metrics, Outcome::Passed);
    one.curves.insert("ingest".into(), Arms::two(vec![(0.5, 1.4e9), (0.9, 1.9e9), (1.0, 2e9)], curve(12_100_000.0, 0.5)));
    one.blocks = blocks(1_480_000_000.0, 12_100_000.0, 12);
    let counters = |wal| ServerPerTransaction { blocks_hit: 812.0, blocks_read: 1.5, wal_bytes: wal, temp_bytes: 0.0, generic_share: 1.0 };
    one.server = Arms::two(counters(1_310_720.0), counters(655_360.0));
    one
}

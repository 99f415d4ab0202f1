//! Makes records of runs that never happened, the same ones each time.

use std::collections::BTreeMap;
use std::time::Duration;

use pgduel::record::{
    Accounting, Arm, ArmRecord, Arms, Arrivals, BlockLoad, BlockPurpose, BlockRecord, CheckKind, CheckOutcome, CheckRecord, Discard, End,
    Expect, Expectation, GeneratorReport, Header, Histogram, Line, LoadChoice, Margins, Mode, ProbeRecord, Record, ScenarioEnd,
    ScenarioLoad, ScenarioRecord, ServerDelta, StatementRecord, StopReason, TenantClassRecord, TransactionRecord, TransactionTimes,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A statement of a made-up scenario.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    pub name: &'static str,
    /// Median on the before side, ns.
    pub median_ns: f64,
    /// After over before.
    pub ratio: f64,
}

/// How much of a block is made up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Depth {
    /// All of it.
    Full,
    /// Only what can be gated: makes thousands of blocks in seconds.
    StatementsOnly,
}

/// What transactions begin with, where nothing else is said; and fixed work.
pub const POISSON: Arrivals = Arrivals::Poisson { per_second: 560.0 };
pub const WORK: Arrivals = Arrivals::Work { transactions: 30 };

/// A made-up scenario with one transaction, `fetch`.
#[derive(Clone, Debug)]
pub struct Made {
    pub name: &'static str,
    pub before: Vec<Statement>,
    /// Statements of the after side, if they are others.
    pub after: Option<Vec<Statement>>,
    pub arrivals: Arrivals,
    pub samples: Arms<u64>,
    pub pairs: u32,
    /// Standard deviation of the pairs' log ratios of a median.
    pub spread: f64,
    /// Pairs that are discarded, beside the others, for what befell the after side.
    pub discarded: u32,
    pub expect: Option<Expectation>,
    pub stop: StopReason,
    pub check: CheckOutcome,
    pub depth: Depth,
    /// Arms more, by how many times as long their statements take as the baseline's.
    pub more: Vec<f64>,
}

pub fn made(name: &'static str, ratio: f64) -> Made {
    Made {
        name,
        before: vec![Statement { name: "history", median_ns: 2e6, ratio }],
        after: None,
        arrivals: POISSON,
        samples: Arms::two(420, 420),
        pairs: 12,
        spread: 0.015,
        discarded: 0,
        expect: None,
        stop: StopReason::Rounds,
        check: CheckOutcome::Passed,
        depth: Depth::Full,
        more: vec![],
    }
}

/// The other one of two arms.
pub fn other(arm: Arm) -> Arm {
    if arm.is_baseline() { Arm::at(1) } else { Arm::BASELINE }
}

/// Blocks of a made-up machine: every block of a pair has a level of its own.
pub struct Machine {
    random: ChaCha8Rng,
}

impl Machine {
    pub fn new(seed: u64) -> Machine {
        Machine { random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Between 0 and 1.
    pub fn uniform(&mut self) -> f64 {
        ((self.random.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller; libm, so that every platform makes the same bytes.
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        libm::sqrt(-2.0 * libm::log(u)) * libm::cos(2.0 * std::f64::consts::PI * v)
    }

    /// The lines of one scenario.
    pub fn scenario(&mut self, made: &Made) -> Vec<Line> {
        let mut lines = vec![Line::Scenario(Box::new(scenario(made))), Line::Check(check(made))];
        for (arm, capacity_per_second) in [(Arm::BASELINE, 2000.0), (Arm::at(1), 2500.0)] {
            let probe = ProbeRecord { scenario: path(made), arm, connections: 4, capacity_per_second, transactions: 400 };
            lines.push(Line::Probe(probe));
        }
        for pair in 0..made.pairs + made.discarded {
            // One after every second good one.
            let discard = (pair % 3 == 2 && pair / 3 < made.discarded).then_some(Discard::Checkpoint);
            let first = if pair % 4 == 1 || pair % 4 == 2 { Arm::at(1) } else { Arm::BASELINE };
            for (offset, arm) in [first, other(first)].into_iter().enumerate() {
                let mut block = self.block(made, pair, arm);
                block.position = pair * 2 + offset as u32;
                block.started_ns = u64::from(block.position) * 1_000_000_000;
                block.discard = discard.clone().filter(|_| arm == Arm::at(1));
                lines.push(Line::Block(Box::new(block)));
            }
            for (place, ratio) in made.more.iter().enumerate() {
                let slower = |one: &Statement| Statement { ratio: *ratio, ..*one };
                let other = Made { before: made.before.iter().map(slower).collect(), ..made.clone() };
                let block = self.block(&other, pair, Arm::at(place + 2));
                lines.push(Line::Block(Box::new(block)));
            }
        }
        for (arm, class) in [(Arm::BASELINE, "tail"), (Arm::at(1), "tail"), (Arm::BASELINE, "whale"), (Arm::at(1), "whale")] {
            let service = times(made.before[0].median_ns, 1.0, 30);
            lines.push(Line::TenantClass(TenantClassRecord {
                scenario: path(made),
                arm,
                transaction: "fetch".into(),
                class: class.into(),
                service,
            }));
        }
        lines.push(Line::ScenarioEnd(ScenarioEnd {
            scenario: path(made),
            stop: made.stop.clone(),
            notices: vec![],
            elapsed_ns: 30_000_000_000,
        }));
        lines
    }

    /// One block. Half of a pair's variance is each block's; a 95th percentile scatters three times as much as a median.
    pub fn block(&mut self, made: &Made, pair: u32, arm: Arm) -> BlockRecord {
        let statements = match &made.after {
            Some(after) if !arm.is_baseline() => after,
            _ => &made.before,
        };
        let samples = *made.samples.get(arm);
        let mut sum = Histogram::new();
        let mut by_statement = BTreeMap::new();
        let mut total_ns = 0.0;
        for statement in statements {
            let level = made.spread / std::f64::consts::SQRT_2;
            let ratio = if !arm.is_baseline() { statement.ratio } else { 1.0 };
            let median_ns = statement.median_ns * ratio * libm::exp(level * self.normal());
            let histogram = times(median_ns, libm::exp(3.0 * level * self.normal()), samples);
            total_ns += median_ns;
            if made.depth == Depth::Full {
                sum.add(&histogram);
            }
            by_statement.insert(format!("fetch/{}", statement.name), histogram);
        }
        let transactions = match made.depth {
            Depth::StatementsOnly => BTreeMap::new(),
            Depth::Full => {
                let service = if statements.len() == 1 { sum } else { times(total_ns, 1.0, samples) };
                let whole = TransactionTimes {
                    response: service.clone(),
                    acquire: times(3_000.0, 1.0, samples.min(50)),
                    service,
                    ..TransactionTimes::default()
                };
                BTreeMap::from([("fetch".to_owned(), whole)])
            }
        };
        BlockRecord {
            scenario: path(made),
            round: pair,
            position: 0,
            arm,
            build: 0,
            purpose: BlockPurpose::Scenario,
            load: BlockLoad {
                first_sequence: u64::from(pair) * 100_000,
                ..BlockLoad::new(made.arrivals.clone(), Duration::ZERO, Duration::from_millis(750))
            },
            started_ns: 0,
            duration_ns: 750_000_000,
            drain_ns: 0,
            completed: 0,
            accounting: Accounting { scheduled: samples, ok: samples, ..Default::default() },
            stages: Vec::new(),
            transactions,
            statements: by_statement,
            errors: BTreeMap::new(),
            generator: GeneratorReport { threads: 1, connections: 4, achieved_share: 1.0, ..Default::default() },
            server: ServerDelta { blocks_hit: samples * 12, transactions: samples, custom_plans: samples, ..Default::default() },
            discard: None,
        }
    }
}

/// So many times around a median: a logistic distribution of logarithms, cut into equal shares. The upper half is stretched by `tail`, which
/// moves the 95th percentile and leaves the median.
pub fn times(median_ns: f64, tail: f64, samples: u64) -> Histogram {
    let mut histogram = Histogram::new();
    for index in 0..samples {
        let share = (index as f64 + 0.5) / samples as f64;
        let distance = 0.12 * libm::log(share / (1.0 - share));
        let above = if share > 0.6 { tail } else { 1.0 };
        histogram.record((median_ns * libm::exp(distance) * above) as u64);
    }
    histogram
}

pub fn path(made: &Made) -> String {
    format!("made/{}", made.name)
}

fn statements(list: &[Statement]) -> Vec<StatementRecord> {
    let record = |one: &Statement| StatementRecord {
        name: one.name.into(),
        sql: format!("select '{}'", one.name),
        executions: 1,
        controls_transaction: false,
        expect: None,
        expect_why: None,
    };
    list.iter().map(record).collect()
}

pub fn scenario(made: &Made) -> ScenarioRecord {
    let after = made.after.as_ref().unwrap_or(&made.before);
    ScenarioRecord {
        scenario: path(made),
        title: made.name.replace('-', " "),
        analysis: String::new(),
        claims: vec![],
        digest: "0".repeat(64),
        arms: Arms::new("before", ["after", "third", "fourth"].into_iter().take(1 + made.more.len()).collect())
            .map(|name| ArmRecord::of(name, name)),
        transactions: vec![TransactionRecord {
            name: "fetch".into(),
            weight: 1.0,
            identity: "member".into(),
            writes: false,
            statements: Arms::new(statements(&made.before), vec![statements(after); 1 + made.more.len()]),
            requests: Arms::new(1, vec![1; 1 + made.more.len()]),
            expect: None,
            expect_why: None,
        }],
        load: Some(ScenarioLoad { arrivals: made.arrivals.clone(), connections: 4, chosen: Some(LoadChoice::Probed) }),
        expect: made.expect.map(Expect::Verdict),
        expect_why: made.expect.map(|_| "made up".into()),
        margins: Margins::default(),
        rtt_ns: 0,
        rtt_per: Default::default(),
        acquire_timeout_ns: None,
        max_tries: 1,
        overlays: vec![],
        writes: false,
    }
}

fn check(made: &Made) -> CheckRecord {
    let findings = match made.check {
        CheckOutcome::Failed => vec!["draw 17 (tail member): before gives 20 rows, after 19".to_owned()],
        _ => vec![],
    };
    CheckRecord {
        scenario: path(made),
        kind: CheckKind::Answers,
        subject: "fetch".into(),
        arm: None,
        cases: 200,
        outcome: made.check,
        findings,
    }
}

pub fn header() -> Header {
    Header {
        schema_version: pgduel::record::SCHEMA_VERSION,
        pgduel: "0.1.0".into(),
        started_at: "2025-01-01T00:00:00Z".into(),
        command: "pgduel duel made --quick".into(),
        suite: "made".into(),
        mode: Mode::Quick,
        aa: false,
        seed: 1,
        order_seed: 7,
        budget_seconds: None,
        inconclusive_fails: false,
        machine: Default::default(),
        server: Default::default(),
        dataset: Default::default(),
    }
}

/// A whole run of these scenarios.
pub fn run(seed: u64, scenarios: &[Made]) -> Record {
    let mut machine = Machine::new(seed);
    let mut lines: Vec<Line> = scenarios.iter().flat_map(|made| machine.scenario(made)).collect();
    let interrupted = scenarios.iter().any(|made| made.stop == StopReason::Interrupted);
    lines.push(Line::End(End { interrupted, finished_at: "2025-01-01T00:03:00Z".into() }));
    Record { header: header(), lines, torn: false }
}

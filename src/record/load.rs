//! Load as data: how transactions begin, and what a block is to do. It holds no handle of a process, so that it can be stored, and sent elsewhere.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How transactions begin.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Arrivals {
    /// Open loop, independent users: exponential gaps.
    Poisson {
        /// Arrivals a second, on average.
        per_second: f64,
    },
    /// Open loop, equal gaps.
    Constant {
        /// Arrivals a second.
        per_second: f64,
    },
    /// Open loop at a rate that changes from stage to stage, and within them. It ends with the last.
    Stages {
        /// How arrivals follow each other.
        spacing: Spacing,
        /// One after the other.
        stages: Vec<Stage>,
    },
    /// Users who share the pool: each thinks, asks, and waits for the answer.
    Users {
        /// How many.
        users: u32,
        /// How long each thinks, on average (exponential), ns.
        think_ns: u64,
    },
    /// Closed loop: each connection begins its next transaction as soon as the last is done, until time is up.
    Closed,
    /// Fixed work: likewise, until so many transactions have begun in all.
    Work {
        /// Transactions a block.
        transactions: u64,
    },
}

impl Arrivals {
    /// Whether a schedule decides when they begin, whatever the server does.
    pub fn is_open(&self) -> bool {
        matches!(self, Arrivals::Poisson { .. } | Arrivals::Constant { .. } | Arrivals::Stages { .. })
    }

    /// Whether transactions have intended starts, and wait for a connection from then on.
    pub fn has_queue(&self) -> bool {
        self.is_open() || matches!(self, Arrivals::Users { .. })
    }

    /// Whether a number of transactions ends a block, and not time.
    pub fn is_work(&self) -> bool {
        matches!(self, Arrivals::Work { .. })
    }

    /// Whether blocks of both can be set against each other: what begins a transaction is the same, if not how often.
    pub fn is_like(&self, other: &Arrivals) -> bool {
        (self.is_open() && other.is_open()) || std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Arrivals a second of an open loop; the mean, where that changes. 0 for the others.
    pub fn per_second(&self) -> f64 {
        match self {
            Arrivals::Poisson { per_second } | Arrivals::Constant { per_second } => *per_second,
            Arrivals::Stages { stages, .. } => {
                stages.iter().map(Stage::arrivals).sum::<f64>() / stages_length(stages).as_secs_f64().max(1e-9)
            }
            Arrivals::Users { .. } | Arrivals::Closed | Arrivals::Work { .. } => 0.0,
        }
    }

    /// Its stages, if it has some.
    pub fn stages(&self) -> &[Stage] {
        match self {
            Arrivals::Stages { stages, .. } => stages,
            _ => &[],
        }
    }

    /// The stage that an intended start is in, ns from the start of the block.
    pub fn stage_at(&self, offset_ns: u64) -> Option<usize> {
        let mut end = 0_u64;
        self.stages().iter().position(|stage| {
            end = end.saturating_add(stage.length_ns);
            offset_ns < end
        })
    }
}

/// In few words: `400/s`, `30 users`.
impl std::fmt::Display for Arrivals {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Arrivals::Poisson { per_second } => write!(out, "{per_second}/s"),
            Arrivals::Constant { per_second } => write!(out, "{per_second}/s evenly"),
            Arrivals::Stages { stages, .. } => write!(out, "{} stages", stages.len()),
            Arrivals::Users { users, .. } => write!(out, "{users} users"),
            Arrivals::Closed => out.write_str("closed loop"),
            Arrivals::Work { transactions } => write!(out, "{transactions} transactions"),
        }
    }
}

/// A stretch of an open loop in which the rate stays, or changes evenly.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Stage {
    /// Arrivals a second at its beginning.
    pub from_per_second: f64,
    /// Arrivals a second at its end.
    pub to_per_second: f64,
    /// How long it is, ns.
    pub length_ns: u64,
}

impl Stage {
    /// Arrivals that are due in it, on average.
    pub fn arrivals(&self) -> f64 {
        (self.from_per_second + self.to_per_second) / 2.0 * self.length_ns as f64 / 1e9
    }
}

/// How long stages are in all.
pub fn stages_length(stages: &[Stage]) -> Duration {
    Duration::from_nanos(stages.iter().fold(0, |sum, stage| sum.saturating_add(stage.length_ns)))
}

/// How arrivals follow each other where the rate changes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// Independent users, as many as the rate says at every moment.
    Poisson,
    /// Each as soon as the rate has come to one more.
    Constant,
}

/// The load of a scenario's own blocks. An arm may have another rate and another pool.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct ScenarioLoad {
    /// How transactions begin.
    pub arrivals: Arrivals,
    /// Connections in the pool; of a closed loop, its sessions.
    pub connections: u32,
    /// Why it is this load, where the scenario leaves it to pgduel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<LoadChoice>,
}

/// Why a load is what it is, where the scenario leaves it to pgduel.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum LoadChoice {
    /// A rate: half of what the slowest arm did in a probe.
    Probed,
    /// Fixed work: a timed block at half of the capacity would hold too few transactions.
    TooFew {
        /// How many.
        transactions: u64,
    },
    /// Fixed work: no rate is fair to all arms.
    Apart {
        /// How many times as long as the fastest arm the slowest one takes.
        times: f64,
    },
    /// Fixed work: all connections together do less than half of what single sessions promise.
    Saturated,
}

impl std::fmt::Display for LoadChoice {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LoadChoice::Probed => out.write_str("rate found by probe"),
            LoadChoice::TooFew { transactions } => {
                write!(out, "a timed block at half of capacity would hold too few transactions, about {transactions}")
            }
            LoadChoice::Apart { times } => {
                let decimals = usize::from(*times < 10.0);
                write!(out, "one arm takes {times:.decimals$} times as long as another: no rate is fair to both")
            }
            LoadChoice::Saturated => out.write_str(
                "with all connections busy, it does less than half of what single sessions promise: too little for a timed block",
            ),
        }
    }
}

/// What a block is to do.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct BlockLoad {
    /// How transactions begin.
    pub arrivals: Arrivals,
    /// Connections in the pool; of a closed loop, its sessions.
    pub connections: u32,
    /// Load that is not measured, before the stretch that is, ns. 0 for fixed work, all of which is measured.
    pub settle_ns: u64,
    /// The measured stretch, ns. 0 where no time ends it.
    pub measure_ns: u64,
    /// Weights of the scenario's transactions, in its order.
    pub mix: Vec<f64>,
    /// Seed of what is drawn: gaps, transactions, tenants, parameters.
    pub seed: u64,
    /// First sequence number of its transactions. The blocks of a round have the same, so that they draw the same.
    pub first_sequence: u64,
    /// Executions of each transaction on each connection before load begins.
    pub warm_up: u32,
    /// First sequence number of those.
    pub warm_up_sequence: u64,
    /// When it gives up.
    pub limits: Limits,
    /// Whether to count connections at work, which takes a thread that wakes every two milliseconds.
    pub count_busy: bool,
}

impl BlockLoad {
    /// Of one transaction on one connection, with the usual limits, from the first sequence number on.
    pub fn new(arrivals: Arrivals, settle: Duration, measure: Duration) -> BlockLoad {
        BlockLoad {
            arrivals,
            connections: 1,
            settle_ns: nanoseconds(settle),
            measure_ns: nanoseconds(measure),
            mix: vec![1.0],
            seed: 0,
            first_sequence: 0,
            warm_up: 0,
            warm_up_sequence: 0,
            limits: Limits::default(),
            count_busy: false,
        }
    }

    /// Load that is not measured.
    pub fn settle(&self) -> Duration {
        Duration::from_nanos(self.settle_ns)
    }

    /// The measured stretch.
    pub fn measure(&self) -> Duration {
        Duration::from_nanos(self.measure_ns)
    }

    /// How long work is given; zero where no time ends it.
    pub fn length(&self) -> Duration {
        self.settle() + self.measure()
    }
}

/// What a block does not wait for, or try, any longer.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Limits {
    /// Longest wait of a transaction for a connection, ns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acquire_ns: Option<u64>,
    /// Runs of a transaction that loses against another one; 1 or more.
    pub tries: u32,
    /// For running transactions, after the end of the block, ns.
    pub drain_ns: u64,
    /// For running transactions, after a signal to stop, ns.
    pub stop_ns: u64,
    /// For a lost server to come back, ns: all outages of one connection in the block together.
    pub outage_ns: u64,
    /// For one transaction where no time ends the block (fixed work), and for opening and warming a connection, ns.
    pub transaction_ns: u64,
}

impl Limits {
    /// Time that running transactions have after a signal to stop; then they are cancelled.
    pub const AFTER_A_SIGNAL: Duration = Duration::from_secs(1);
}

impl Default for Limits {
    fn default() -> Limits {
        const SECOND: u64 = 1_000_000_000;
        Limits {
            acquire_ns: None,
            tries: 1,
            drain_ns: 30 * SECOND,
            stop_ns: Limits::AFTER_A_SIGNAL.as_nanos() as u64,
            outage_ns: 30 * SECOND,
            transaction_ns: 600 * SECOND,
        }
    }
}

/// What a block is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockPurpose {
    /// The scenario's load: what arms are judged by.
    Scenario,
    /// How much an arm can do: a closed loop, shown and not judged.
    Capacity,
    /// An open loop at half of the arm's own capacity, as users of that arm alone would see it: shown and not judged.
    OwnRate,
}

impl BlockPurpose {
    /// A block of it, in words.
    pub fn block(self) -> &'static str {
        match self {
            BlockPurpose::Scenario => "block",
            BlockPurpose::Capacity => "capacity block",
            BlockPurpose::OwnRate => "own-rate block",
        }
    }
}

/// As a record has it. What is too long for it is as long as there is room for.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

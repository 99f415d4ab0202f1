//! The run record: everything that was measured, and nothing that can be derived from it.
//!
//! A record is a file of JSON lines, `run.jsonl`. Each line is one [`Line`], appended and flushed as soon as the thing it tells of is
//! over, so that a killed run keeps every finished block. The first line is always [`Header`]; a run that came to its end has [`End`] as
//! its last. A torn last line is ignored by the reader ([`read`]).
//!
//! This module is the narrow waist of pgduel: the measuring half writes it, the judging half (`compare`, `claims`, `report`) reads
//! nothing else. It therefore knows neither PostgreSQL clients nor statistics, and no percentile is stored in it, only histograms.
//! All times are nanoseconds unless a name says otherwise.

mod file;
mod histogram;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use file::{ReadError, Record, Writer, read};
pub use histogram::{Histogram, HistogramError};

/// Version of the line format. Raised when a reader of the former version would misread a line.
pub const SCHEMA_VERSION: u32 = 1;

/// One line of `run.jsonl`.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub enum Line {
    /// What ran, where, with which arguments. Always the first line.
    Header(Box<Header>),
    /// A scenario as it was run: transactions, statements, load, expectations.
    Scenario(Box<ScenarioRecord>),
    /// How one variant's database was made, and how large it is.
    Variant(VariantRecord),
    /// What the checks before timing found.
    Check(CheckRecord),
    /// Closed-loop capacity of one side, found by a short probe.
    Probe(ProbeRecord),
    /// One measured block.
    Block(Box<BlockRecord>),
    /// Service times by tenant class, summed over the kept blocks of a side.
    TenantClass(TenantClassRecord),
    /// Plan and counters of one statement on one side.
    Evidence(Box<EvidenceRecord>),
    /// The scenario is over, and why it stopped.
    ScenarioEnd(ScenarioEnd),
    /// The run is over. Missing in a run that was killed.
    End(End),
}

/// One of the two variants of a duel. The first one named is `Before`, the baseline.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The baseline.
    Before,
    /// The candidate.
    After,
}

impl Side {
    /// Both sides, baseline first.
    pub const BOTH: [Side; 2] = [Side::Before, Side::After];

    /// The opposite side.
    pub fn other(self) -> Side {
        match self {
            Side::Before => Side::After,
            Side::After => Side::Before,
        }
    }

    /// `before` or `after`.
    pub fn name(self) -> &'static str {
        match self {
            Side::Before => "before",
            Side::After => "after",
        }
    }
}

/// A value for each side.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Sides<T> {
    /// The baseline's.
    pub before: T,
    /// The candidate's.
    pub after: T,
}

impl<T> Sides<T> {
    /// The value of `side`.
    pub fn get(&self, side: Side) -> &T {
        match side {
            Side::Before => &self.before,
            Side::After => &self.after,
        }
    }

    /// The value of `side`, to change it.
    pub fn get_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Before => &mut self.before,
            Side::After => &mut self.after,
        }
    }

    /// The same computation for both sides.
    pub fn map<U>(&self, mut f: impl FnMut(&T) -> U) -> Sides<U> {
        Sides { before: f(&self.before), after: f(&self.after) }
    }
}

/// The length and the aim of a run.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A first look: short blocks, few pairs.
    Quick,
    /// The full measurement.
    Default,
    /// Checks only; nothing was timed.
    ChecksOnly,
    /// One variant under load, in one block that counts as `before`; nothing was checked or compared.
    Run,
}

/// What ran, where, and with which arguments.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Header {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Version of pgduel.
    pub pgduel: String,
    /// When the run started, RFC 3339, UTC.
    pub started_at: String,
    /// The command line that makes this run again, secrets redacted.
    pub command: String,
    /// Name of the suite.
    pub suite: String,
    /// Length and aim.
    pub mode: Mode,
    /// Whether both sides are the same variant (`--aa`): a run that must find nothing.
    pub aa: bool,
    /// Seed of data, arrivals, parameters and block order.
    pub seed: u64,
    /// Whole budget in seconds, if one was given.
    pub budget_seconds: Option<f64>,
    /// Machine of the load generator.
    pub machine: Machine,
    /// The server under test.
    pub server: ServerDescription,
    /// The synthetic data.
    pub dataset: DatasetDescription,
}

/// Machine of the load generator.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Machine {
    /// Processor, as the kernel names it.
    pub cpu: String,
    /// Cores the process may use.
    pub cores: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Operating system and kernel release.
    pub os: String,
}

/// The server under test: what identifies it, and the settings that move numbers. Holds no secret.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct ServerDescription {
    /// `embedded` or `external`.
    pub kind: String,
    /// Full version text of the server.
    pub version: String,
    /// `server_version_num`.
    pub version_num: u32,
    /// Installed version of pgvector, if any.
    pub pgvector: Option<String>,
    /// Whether the server is reached over loopback or a Unix socket.
    pub local: bool,
    /// Settings that move numbers, by name, as `current_setting` prints them.
    pub settings: BTreeMap<String, String>,
}

/// The synthetic data.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct DatasetDescription {
    /// Factor on the row counts of the dataset file.
    pub scale: f64,
    /// Number of vectors.
    pub vectors: u64,
    /// Overlays that were loaded too.
    pub overlays: Vec<String>,
    /// The dataset's own clock, RFC 3339.
    pub now: String,
    /// Number of tenants.
    pub tenants: u64,
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
    /// SHA-256 of everything that decides the data and the shared schema, hexadecimal.
    pub digest: String,
}

/// A scenario as it was run.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct ScenarioRecord {
    /// Path below `scenarios/` without extension, such as `omniops/history-fetch`.
    pub scenario: String,
    /// Title of the file.
    pub title: String,
    /// Why the scenario exists and what PostgreSQL does; Markdown.
    pub analysis: String,
    /// Claim ids it bears on.
    pub claims: Vec<String>,
    /// SHA-256 of the scenario file, hexadecimal.
    pub digest: String,
    /// Names of the two variants.
    pub variants: Sides<String>,
    /// Its transactions.
    pub transactions: Vec<TransactionRecord>,
    /// How load was offered.
    pub load: LoadRecord,
    /// The verdict that the scenario's author expects, if stated.
    pub expect: Option<Expectation>,
    /// Why this is expected, if the author says.
    pub expect_why: Option<String>,
    /// Margins that decide what matters.
    pub margins: Margins,
    /// Injected round-trip time of each side, ns: 0 when none was injected. One hop is charged a statement, or a request where the
    /// scenario charges requests.
    pub rtt_ns: u64,
    /// Whether the scenario changes data.
    pub writes: bool,
}

/// What is stated of a scenario before it is measured.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// The candidate is faster.
    Improved,
    /// The candidate is slower.
    Regressed,
    /// No difference that matters.
    Unchanged,
}

/// Relative margins and the absolute floor below which a difference does not matter.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Margins {
    /// For medians and fixed work; 0.05 is 5%.
    pub p50: f64,
    /// For 95th percentiles.
    pub p95: f64,
    /// Absolute floor, ns.
    pub floor_ns: u64,
}

impl Default for Margins {
    fn default() -> Margins {
        Margins { p50: 0.05, p95: 0.10, floor_ns: 20_000 }
    }
}

/// A transaction as it was run.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct TransactionRecord {
    /// Its name.
    pub name: String,
    /// Its share in the mix, relative to the others.
    pub weight: f64,
    /// Who runs it.
    pub identity: String,
    /// Whether it changes data.
    pub writes: bool,
    /// Statements by side, in order. Statements of one name on both sides are compared; if the lists differ, the whole transaction is.
    pub statements: Sides<Vec<StatementRecord>>,
}

/// A statement as it was run.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct StatementRecord {
    /// Its name, unique in its transaction and side.
    pub name: String,
    /// Its text, with `:name` parameters.
    pub sql: String,
    /// Executions a transaction (more than 1 for row-by-row work).
    pub executions: u64,
}

/// How load was offered in the timed part.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LoadRecord {
    /// Open loop at one rate for both sides.
    Open {
        /// Arrivals a second.
        rate_per_second: f64,
        /// `poisson` or `constant`.
        arrivals: String,
        /// Connections in the pool.
        connections: u32,
        /// Whether the rate was found by the probe (`auto`) or pinned by the scenario.
        auto: bool,
    },
    /// A fixed number of transactions, closed loop.
    FixedWork {
        /// Sessions that work side by side.
        sessions: u32,
        /// Transactions a block, by side.
        iterations: Sides<u64>,
        /// Why fixed work was chosen.
        why: String,
    },
    /// Closed loop for a fixed time.
    Closed {
        /// Sessions that work side by side.
        sessions: u32,
    },
    /// No load: the scenario ended before it was offered any.
    NotOffered,
}

/// How one variant's database was made.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct VariantRecord {
    /// The scenario.
    pub scenario: String,
    /// The side.
    pub side: Side,
    /// Name of the variant.
    pub variant: String,
    /// Files applied on top of the template, in order, with the time each took.
    pub applied: Vec<AppliedFile>,
    /// Bytes of all tables.
    pub table_bytes: u64,
    /// Bytes of all indexes.
    pub index_bytes: u64,
    /// Whether both working sets fit in shared buffers (1.2 times both sizes).
    pub resident: bool,
}

/// One SQL file that was applied.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct AppliedFile {
    /// Path relative to the project.
    pub file: String,
    /// Statements in it.
    pub statements: u32,
    /// Time to apply all of them, ns.
    pub duration_ns: u64,
}

/// What the checks before timing found for one transaction or table.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct CheckRecord {
    /// The scenario.
    pub scenario: String,
    /// Which check.
    pub kind: CheckKind,
    /// What was checked: a transaction, a table, or a statement.
    pub subject: String,
    /// The side, where only one is concerned.
    pub side: Option<Side>,
    /// How many cases were looked at (draws, identities).
    pub cases: u64,
    /// How it came out.
    pub outcome: CheckOutcome,
    /// What was found, one finding a line, most telling first; capped.
    pub findings: Vec<String>,
}

/// The checks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckKind {
    /// Both sides give the answers that the scenario says they must.
    Answers,
    /// Every identity sees exactly the keys that the model gives it.
    Isolation,
    /// The plan uses what the scenario is about.
    Plan,
    /// Recall of a vector search against exact search.
    Recall,
    /// Nothing else needs the server's attention: settings, leftovers, connections.
    Environment,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckOutcome {
    /// As it must be.
    Passed,
    /// Worth a look; does not stop the run.
    Warning,
    /// Wrong answers or a leak; nothing is timed.
    Failed,
}

/// Closed-loop capacity of one side.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct ProbeRecord {
    /// The scenario.
    pub scenario: String,
    /// The side.
    pub side: Side,
    /// Connections in use.
    pub connections: u32,
    /// Transactions a second.
    pub capacity_per_second: f64,
    /// Transactions counted.
    pub transactions: u64,
}

/// How the work of a block was given.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockKind {
    /// Open loop for a fixed time.
    Timed,
    /// Closed loop for a fixed number of transactions.
    FixedWork,
    /// Closed loop for a fixed time, all connections busy: capacity.
    Capacity,
}

/// One measured block: one stretch of one scenario on one side.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct BlockRecord {
    /// The scenario.
    pub scenario: String,
    /// Pair it belongs to; block pairs are the sampling unit.
    pub pair: u32,
    /// Quad (ABBA or BAAB) it belongs to.
    pub quad: u32,
    /// Position in the run, counting all blocks of the scenario.
    pub position: u32,
    /// The side.
    pub side: Side,
    /// How work was given.
    pub kind: BlockKind,
    /// First sequence number of its arrivals; the other block of the pair has the same.
    pub first_sequence: u64,
    /// Offset from the start of the run, ns.
    pub started_ns: u64,
    /// Measured stretch, settle time excluded, ns.
    pub duration_ns: u64,
    /// Where every scheduled transaction of the measured stretch ended up.
    pub accounting: Accounting,
    /// By transaction name.
    pub transactions: BTreeMap<String, TransactionTimes>,
    /// Service time by `transaction/statement`; one sample an execution, or a transaction where a statement is repeated (its sum).
    pub statements: BTreeMap<String, Histogram>,
    /// Failed transactions by SQLSTATE (or `acquire-timeout`, `connection`), with the time they took.
    pub errors: BTreeMap<String, Histogram>,
    /// What the generator says of itself.
    pub generator: GeneratorReport,
    /// What the server counted meanwhile.
    pub server: ServerDelta,
    /// Why the pair of this block must not be used, decided without looking at its latency.
    pub discard: Option<Discard>,
}

/// Where every scheduled transaction ended up: `scheduled = ok + error + dropped + in_flight`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Accounting {
    /// Intended starts within the measured stretch.
    pub scheduled: u64,
    /// Finished well.
    pub ok: u64,
    /// Finished with an error.
    pub error: u64,
    /// Never started (the run was interrupted first).
    pub dropped: u64,
    /// Still running when draining was given up.
    pub in_flight: u64,
}

impl Accounting {
    /// Whether the identity holds. A record from elsewhere may hold any counts, so the sum has room for all of them.
    pub fn balances(&self) -> bool {
        let ended: u128 = [self.ok, self.error, self.dropped, self.in_flight].into_iter().map(u128::from).sum();
        u128::from(self.scheduled) == ended
    }
}

/// Times of the successful runs of one transaction.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct TransactionTimes {
    /// From the intended start to the last row of the last statement.
    pub response: Histogram,
    /// From the intended start of waiting for a connection to having one.
    pub acquire: Histogram,
    /// From the first byte sent to the last row, preamble and commit included.
    pub service: Histogram,
}

/// What the generator says of itself over a block.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct GeneratorReport {
    /// From the intended start to entering the pool's queue.
    pub lag: Histogram,
    /// Processor time of the generator's threads over the block's wall time and threads; 1.0 is fully busy.
    pub cpu_share: f64,
    /// Longest time a load thread went without running its event loop, ns.
    pub longest_stall_ns: u64,
    /// Transactions finished over transactions offered.
    pub achieved_share: f64,
}

/// Counters of the server over a block, this database only where the server tells databases apart.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct ServerDelta {
    /// Blocks found in shared buffers.
    pub blocks_hit: u64,
    /// Blocks read from disk or the kernel's cache.
    pub blocks_read: u64,
    /// Temporary bytes written.
    pub temp_bytes: u64,
    /// WAL bytes of the whole server.
    pub wal_bytes: u64,
    /// Checkpoints, timed and requested.
    pub checkpoints: u64,
    /// Autovacuum and autoanalyze runs on this database's tables.
    pub autovacuums: u64,
    /// Committed transactions.
    pub commits: u64,
    /// Rolled back transactions.
    pub rollbacks: u64,
    /// Deadlocks.
    pub deadlocks: u64,
    /// Executions with a generic plan, summed over the pool's prepared statements.
    pub generic_plans: u64,
    /// Executions with a custom plan.
    pub custom_plans: u64,
    /// Transactions of the scenario that finished between the two snapshots, settle time included: what to divide the others by.
    pub transactions: u64,
}

/// Why a pair is not used. Every reason can be seen without looking at latency.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Discard {
    /// Transactions entered the pool's queue late: p99 of the lag in ns.
    GeneratorLag {
        /// 99th percentile of the lag, ns.
        p99_ns: u64,
    },
    /// The generator used more processor than it may.
    GeneratorBusy {
        /// Percent of a core a thread.
        percent: u32,
    },
    /// An event loop did not run for more than 10 ms.
    GeneratorStall {
        /// The longest stall, ns.
        stall_ns: u64,
    },
    /// Fewer than 99% of the offered transactions finished.
    NotAchieved {
        /// Per mille that finished.
        per_mille: u32,
    },
    /// A checkpoint fell on one side only.
    Checkpoint,
    /// An autovacuum or autoanalyze fell on one side only.
    Autovacuum,
    /// Blocks were read from disk on one side only though the data fits in memory.
    DiskReads {
        /// Per mille of blocks read.
        per_mille: u32,
    },
    /// The run was interrupted in this pair.
    Interrupted,
}

/// Service times of one transaction for one class of tenants, summed over the kept blocks.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct TenantClassRecord {
    /// The scenario.
    pub scenario: String,
    /// The side.
    pub side: Side,
    /// The transaction.
    pub transaction: String,
    /// `whale`, `middle`, or `tail`.
    pub class: String,
    /// Service times.
    pub service: Histogram,
}

/// Plan and counters of one statement on one side, taken outside the timed blocks.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct EvidenceRecord {
    /// The scenario.
    pub scenario: String,
    /// The side.
    pub side: Side,
    /// `transaction/statement`.
    pub statement: String,
    /// Who the plan was taken for, such as `whale member`.
    pub identity: String,
    /// EXPLAIN (ANALYZE, BUFFERS) of the prepared statement as the tenant role, as text.
    pub plan: String,
    /// The same as JSON, for tools.
    pub plan_json: serde_json::Value,
    /// Rows returned.
    pub rows: u64,
    /// Shared buffers hit and read by the execution.
    pub buffers: u64,
    /// Calls of functions (among them the counting twin of `auth.uid()`) over one execution, by name.
    pub function_calls: BTreeMap<String, u64>,
    /// Recall against exact search by tenant class, for vector searches; 1.0 is perfect.
    pub recall: BTreeMap<String, f64>,
}

/// Why a scenario stopped.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct ScenarioEnd {
    /// The scenario.
    pub scenario: String,
    /// Why.
    pub stop: StopReason,
    /// What a reader must know, one line each.
    pub warnings: Vec<String>,
    /// Time spent on it, ns.
    pub elapsed_ns: u64,
}

/// Why a scenario stopped.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum StopReason {
    /// The wanted number of pairs was measured and every interval is narrow enough.
    Precise,
    /// The wanted number of pairs was measured (quick mode).
    Pairs,
    /// The budget was spent; for a run of one variant, its time.
    Budget,
    /// The checks failed, so nothing was timed.
    ChecksFailed,
    /// Only checks were asked for.
    ChecksOnly,
    /// PostgreSQL rejected a variant's SQL or a statement.
    Rejected {
        /// What it said.
        message: String,
    },
    /// More than a fifth of the pairs had to be discarded.
    TooManyDiscarded,
    /// The user interrupted it.
    Interrupted,
    /// Server or machine failed.
    Infrastructure {
        /// What failed.
        message: String,
    },
}

/// The run is over.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct End {
    /// Whether a signal ended it.
    pub interrupted: bool,
    /// When, RFC 3339, UTC.
    pub finished_at: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_no_run_has_neither_balance_nor_overflow() {
        let most = Accounting { scheduled: 1, ok: u64::MAX, error: u64::MAX, dropped: u64::MAX, in_flight: 5 };
        assert!(!most.balances(), "not even modulo 2^64");
        assert!(Accounting { scheduled: 6, ok: 1, error: 1, dropped: 2, in_flight: 2 }.balances());
        assert!(!Accounting { scheduled: 7, ok: 1, error: 1, dropped: 2, in_flight: 2 }.balances());
    }
}

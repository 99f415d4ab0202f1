//! What was found outside the measured blocks: checks before timing, plans and counters after it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Arm, Histogram};

/// What the checks before timing found for one transaction or table.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct CheckRecord {
    /// The scenario.
    pub scenario: String,
    /// Which check.
    pub kind: CheckKind,
    /// What was checked: a transaction, a table, or a statement.
    pub subject: String,
    /// The arm, where only one is concerned.
    pub arm: Option<Arm>,
    /// How many cases were looked at (draws, identities).
    pub cases: u64,
    /// How it came out.
    pub outcome: CheckOutcome,
    /// What was found, one finding a line, most telling first; capped.
    pub findings: Vec<String>,
}

impl CheckRecord {
    /// A warning: something to know, which nothing fails for.
    pub fn warning(scenario: String, kind: CheckKind, subject: String, arm: Option<Arm>, finding: String) -> CheckRecord {
        CheckRecord { scenario, kind, subject, arm, cases: 1, outcome: CheckOutcome::Warning, findings: vec![finding] }
    }
}

/// The checks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckKind {
    /// All arms give the answers that the scenario says they must.
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

/// Service times of one transaction for one class of tenants, summed over the kept blocks.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct TenantClassRecord {
    /// The scenario.
    pub scenario: String,
    /// The arm.
    pub arm: Arm,
    /// The transaction.
    pub transaction: String,
    /// `whale`, `middle`, or `tail`.
    pub class: String,
    /// Service times.
    pub service: Histogram,
}

/// Plan and counters of one statement on one arm, taken outside the timed blocks.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct EvidenceRecord {
    /// The scenario.
    pub scenario: String,
    /// The arm.
    pub arm: Arm,
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
    /// Calls of functions (among them the counting twin of `auth.uid()`) over one run of the whole transaction, by name; told on its first
    /// statement.
    pub function_calls: BTreeMap<String, u64>,
    /// What the server itself counted of the statement over a stretch of load of its own; `None` where it has no `pg_stat_statements`.
    #[serde(default)]
    pub statistics: Option<StatementStatistics>,
    /// Recall against exact search by tenant class, for vector searches; 1.0 is perfect.
    pub recall: BTreeMap<String, f64>,
}

/// Counters of `pg_stat_statements` for one statement over some transactions, drawn as under load, on one connection.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct StatementStatistics {
    /// Transactions of the scenario that were run.
    pub transactions: u64,
    /// Executions of the statement.
    pub calls: u64,
    /// Rows returned or affected.
    pub rows: u64,
    /// Time in the executor, ns: no planning, no network.
    pub execution_ns: u64,
    /// Blocks found in shared buffers.
    pub blocks_hit: u64,
    /// Blocks read from disk or the kernel's cache.
    pub blocks_read: u64,
    /// Temporary blocks written.
    pub temp_blocks: u64,
    /// WAL bytes.
    pub wal_bytes: u64,
    /// Time of the backend on a processor for one execution, on average, ns: with planning and the protocol's part, without the network.
    /// `None` where it is not known (see [`NoProcessorTime`](super::NoProcessorTime)), as for a statement that used parallel workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor_ns: Option<u64>,
}

//! The run record: everything that was measured, and nothing that can be derived from it.
//!
//! A record is a file of JSON lines, `run.jsonl`. Each line is one [`Line`], appended and flushed as soon as the thing it tells of is
//! over, so that a killed run keeps every finished block. The first line is always [`Header`]; a run that came to its end has [`End`] as
//! its last. A torn last line is ignored by the reader ([`read`]).
//!
//! This module is the narrow waist of pgduel: the measuring half writes it, the judging half (`judge`, `claims`, `report`) reads
//! nothing else. It therefore knows neither PostgreSQL clients nor statistics, and no percentile is stored in it, only histograms.
//! All times are nanoseconds unless a name says otherwise.

mod arm;
mod block;
mod check;
mod disturbance;
mod expectation;
mod file;
mod header;
mod histogram;
mod load;
mod notice;
mod processor;
mod scenario;
mod sum;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use arm::{Arm, Arms};
pub use block::{Accounting, BlockRecord, Busy, Discard, GeneratorReport, ProbeRecord, ServerDelta, StageTimes, TransactionTimes};
pub use check::{CheckKind, CheckOutcome, CheckRecord, EvidenceRecord, StatementStatistics, TenantClassRecord};
pub use disturbance::Disturbance;
pub use expectation::{Expect, Expectation, QuantityExpectations};
pub use file::{ReadError, Record, Writer, read};
pub use header::{DatasetDescription, Header, Machine, ServerDescription};
pub use histogram::{Histogram, HistogramError};
pub use load::{Arrivals, BlockLoad, BlockPurpose, Limits, LoadChoice, ScenarioLoad, Spacing, Stage, nanoseconds, stages_length};
pub use notice::Notice;
pub use processor::{NoProcessorTime, ProcessorTime};
pub use scenario::{
    AppliedFile, ArmRecord, Factor, Margins, RttPer, ScenarioRecord, StatementRecord, TransactionRecord, VariantRecord,
    comparable_by_statement,
};

/// Version of the line format. Raised when a reader of the former version would misread a line.
pub const SCHEMA_VERSION: u32 = 5;

/// One line of `run.jsonl`.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub enum Line {
    /// What ran, where, with which arguments. Always the first line.
    Header(Box<Header>),
    /// A scenario as it was run: transactions, statements, load, expectations.
    Scenario(Box<ScenarioRecord>),
    /// How one arm's database was made, and how large it is.
    Variant(VariantRecord),
    /// What the checks before timing found.
    Check(CheckRecord),
    /// Closed-loop capacity of one arm, found by a short probe.
    Probe(ProbeRecord),
    /// One measured block.
    Block(Box<BlockRecord>),
    /// Service times by tenant class, summed over the kept blocks of an arm.
    TenantClass(TenantClassRecord),
    /// Plan and counters of one statement on one arm.
    Evidence(Box<EvidenceRecord>),
    /// The scenario is over, and why it stopped.
    ScenarioEnd(ScenarioEnd),
    /// The run is over. Missing in a run that was killed.
    End(End),
}

/// The length and the aim of a run.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A first look: short blocks, few rounds.
    Quick,
    /// The full measurement.
    Default,
    /// Checks only; nothing was timed.
    ChecksOnly,
    /// One arm under load; nothing was checked or compared.
    Run,
}

impl Mode {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Quick => "quick",
            Mode::Default => "default",
            Mode::ChecksOnly => "checks-only",
            Mode::Run => "run",
        }
    }
}

/// Why a scenario stopped.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct ScenarioEnd {
    /// The scenario.
    pub scenario: String,
    /// Why.
    pub stop: StopReason,
    /// What a reader must know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
    /// Time spent on it, ns.
    pub elapsed_ns: u64,
}

/// Why a scenario stopped.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum StopReason {
    /// The wanted number of rounds was measured and every interval is narrow enough.
    Precise,
    /// Quick mode measured as many rounds as it takes.
    Rounds,
    /// Quick mode ran twice the rounds that it needs, and too few of them could be kept.
    Attempts,
    /// The generator could not offer the load in any of the first rounds.
    NotOffered,
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
pub(crate) use block::tests;

//! What ran, where, and on which data.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Mode;

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
    /// Whether every arm is the baseline (`--aa`): a run that must find nothing.
    pub aa: bool,
    /// Seed of data, arrivals and parameters.
    pub seed: u64,
    /// Seed of the order of blocks, drawn anew for each run: the same order in every run would lean all of them the same way. 0 where no order was drawn.
    #[serde(default)]
    pub order_seed: u64,
    /// Whole budget in seconds, if one was given.
    pub budget_seconds: Option<f64>,
    /// Whether an inconclusive run ends with exit code 3 (`--inconclusive fail`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inconclusive_fails: bool,
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

//! What a scenario's measuring came upon, and its reader must know.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a reader of a scenario's numbers must know.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(tag = "notice", rename_all = "kebab-case")]
pub enum Notice {
    /// Transactions are slow, so that statements are planned for their values each time, and connections are warmed by one execution.
    SlowTransactions {
        /// From which time of a transaction on, ns.
        limit_ns: u64,
    },
    /// What the arms work on does not fit in the server's shared buffers.
    NotResident {
        /// Databases that were to fit.
        databases: u32,
    },
    /// A transaction was cancelled because the budget was spent.
    CutOff {
        /// After so long, s.
        seconds: u64,
    },
}

impl std::fmt::Display for Notice {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Notice::SlowTransactions { limit_ns } => {
                let limit = *limit_ns as f64 / 1e6;
                write!(out, "a transaction takes more than {limit} ms: plans are pinned to custom, and connections are warmed once")
            }
            Notice::NotResident { databases } => {
                let what = if *databases == 1 { "the data does" } else { "the working sets together do" };
                write!(out, "{what} not fit in shared buffers: reads from disk are part of the result")
            }
            Notice::CutOff { seconds } => {
                write!(out, "a transaction had not ended after {seconds} s, and was cancelled: the budget was spent")
            }
        }
    }
}

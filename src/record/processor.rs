//! Time that the server's backends took on processors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Time of the backends that carried the load, summed over all of them, from the end of their warm-up until each had ended its last
/// transaction: over the transactions that [`ServerDelta::transactions`](super::ServerDelta::transactions) counts, settle time included.
///
/// From Linux's `/proc/PID/schedstat` (proc(5), and `Documentation/scheduler/sched-stats.rst` of the kernel). Not in it are the server's other
/// processes: those that write WAL and checkpoints, and the I/O workers that read for backends since PostgreSQL 18. Where the kernel is not told
/// of steal (`CONFIG_PARAVIRT_TIME_ACCOUNTING`), time that the host of a virtual machine took is part of the time on a processor. A core that
/// shares its parts with another one (SMT), or is clocked lower, takes longer for the same work, and no kernel corrects that.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct ProcessorTime {
    /// On a processor, in user and in kernel mode, ns.
    pub on_processor_ns: u64,
    /// Ready to run, while others had the processor, ns.
    pub waiting_ns: u64,
}

/// Why there is no [`ProcessorTime`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoProcessorTime {
    /// The system is not Linux.
    NotLinux,
    /// No process of this machine could be confirmed to be the backend.
    OtherHostOrContainer,
    /// The kernel does not account for it.
    NoAccounting,
    /// A backend ended before it was read at the end, and took with it what it had used.
    ConnectionLost,
    /// A transaction was cancelled, as nobody waited for it any longer: it is counted nowhere, but used a processor.
    Unfinished,
    /// Parallel workers ran, or may have. They are processes of their own, and gone when they could be read.
    ParallelWorkers,
}

impl NoProcessorTime {
    /// The reason as the end of a sentence that says that the time is not known.
    pub fn reason(self) -> &'static str {
        match self {
            NoProcessorTime::NotLinux => "only Linux tells it",
            NoProcessorTime::OtherHostOrContainer => {
                "the server's processes cannot be seen from here, as on another host, in a container, or behind a pooler"
            }
            NoProcessorTime::NoAccounting => "this machine's kernel does not count it",
            NoProcessorTime::ConnectionLost => "a connection was lost, and its time with it",
            NoProcessorTime::Unfinished => "a transaction was cancelled before it had ended",
            NoProcessorTime::ParallelWorkers => "parallel workers ran, or may have, and theirs cannot be read",
        }
    }
}

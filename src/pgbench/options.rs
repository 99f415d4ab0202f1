//! What pgbench's options say.

use std::time::Duration;

use super::log::LogOptions;

/// How long a run goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// So many transactions a client (`-t`).
    Transactions(u64),
    /// For so long (`-T`); what runs at its end is finished.
    Time(Duration),
}

/// What pgbench's options say.
#[derive(Clone, Debug)]
pub struct Options {
    /// `-c`
    pub clients: usize,
    /// `-j`
    pub threads: usize,
    /// `-t`, `-T`
    pub length: Length,
    /// `-R`: transactions a second over all clients, Poisson.
    pub rate: Option<f64>,
    /// `-L`
    pub latency_limit: Option<Duration>,
    /// How long connecting may take; `None`: as long as the operating system lets it.
    pub connect_limit: Option<Duration>,
    /// `--max-tries`; `None`: without limit.
    pub max_tries: Option<u32>,
    /// `-C`: a connection for each transaction.
    pub reconnect: bool,
    /// `-r`: times by command.
    pub by_command: bool,
    /// Seed of all random numbers.
    pub seed: u64,
    /// `:scale`
    pub scale: i64,
    /// `-D`
    pub variables: Vec<(String, String)>,
    /// `-l`
    pub log: Option<LogOptions>,
}

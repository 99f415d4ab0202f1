//! `pgduel pgbench`: scripts run as pgbench runs them, with its flags.
//!
//! `builtin` holds the scripts that come along, `setup` asks the server what pgbench asks. A `client` runs a script on its
//! connection, a `runner` one transaction after the other by it, `run` spreads them over threads as the `options` say, `tally` holds what came of it, `log` has a line for each transaction, `live` counts for those who look on. What a script is and
//! reckons stands in [`crate::script`].
//!
//! What pgbench(1) says is followed. Must not know how results are printed.

mod affinity;
pub mod builtin;
pub mod client;
pub mod live;
pub mod log;
pub mod options;
pub mod run;
mod runner;
pub mod setup;
pub mod tally;

//! `pgduel pgbench`: scripts run as pgbench runs them, with its flags.
//!
//! `builtin` holds the scripts that come along, `setup` asks the server what pgbench asks. A `client` runs one script after the other on one
//! connection, `run` spreads clients over threads, `tally` holds what came of it, `log` has a line for each transaction. What a script is and
//! reckons stands in [`crate::script`].
//!
//! What pgbench(1) says is followed. Must not know how results are printed.

pub mod builtin;
pub mod client;
pub mod log;
pub mod run;
pub mod setup;
pub mod tally;

//! pgbench's scripts, read and run as pgbench does: `pgduel pgbench`.
//!
//! From text to commands, all of it pure: `lexer` and `expression` read what `\set` and `\if` reckon with, `evaluate`, `function`, `value`
//! and `random` reckon, `reader` and `build` make a `script` of a whole file, `builtin` holds the scripts that come along. From commands to load: a
//! `client` runs one script after the other on one connection, `run` spreads clients over threads, `tally` holds what came of it,
//! `log` has a line for each transaction.
//!
//! What pgbench(1) says is followed, and the same names and distributions are promised, but not the same sequence of random numbers.
//! Must not know how results are printed.

mod build;
pub mod builtin;
pub mod client;
pub mod evaluate;
pub mod expression;
pub mod function;
mod lexer;
pub mod log;
pub mod random;
mod reader;
pub mod run;
pub mod script;
pub mod setup;
pub mod tally;
pub mod value;

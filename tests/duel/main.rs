//! Whole runs of the built binary against a real PostgreSQL: what is planted in a copy of `examples/notes` must be found.
//!
//! Timed blocks hold a fixed number of transactions, so that runs take seconds. No test asserts a time; effects are of a factor of ten.

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/nothing.rs"]
mod nothing;
#[path = "../support/pooler.rs"]
mod pooler;

mod answers;
mod arms;
mod bottleneck;
mod course;
mod failures;
mod outages;
mod pool;
mod processor;
mod project;
mod records;
mod rejected;
mod rights;
mod script;
mod secrets;
mod signals;
mod verdicts;

//! pgduel: two schemas enter, the numbers decide.
//!
//! Data goes one way, and the modules are listed in that order:
//!
//! ```text
//!  scenarios/*.toml ─┐                                     ┌─> compare ─> report
//!                    ├─> experiment ──> record (run.jsonl) ┘
//!  seeds/*  ─────────┘   │ target   server, databases
//!                        │ seed     dataset -> rows -> COPY
//!                        │ load     schedule, sessions, histograms
//!                        │ check    answers and isolation, before timing
//!                        └ observe  the server's counters
//! ```
//!
//! [`record`] is the narrow waist. What is left of it is asynchronous and talks to PostgreSQL; what is right of it never names tokio or
//! sqlx, computes each number once, and can be tested from recorded runs alone.

pub mod diagnostic;
pub mod dataset;
pub mod suite;
pub mod scenario;
pub mod seed;
pub mod target;
pub mod load;
pub mod check;
pub mod observe;
pub mod experiment;
pub mod record;
pub mod stats;
pub mod compare;
pub mod report;
pub mod cli;

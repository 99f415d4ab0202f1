//! pgduel: two schemas enter, the numbers decide.
//!
//! Data goes one way, and the modules are listed in that order:
//!
//! ```text
//!  scenarios/*.toml ─┐                                     ┌─> judge ──> contrast ─┐
//!                    ├─> experiment ──> record (run.jsonl) ┼─> summary ────────────┼─> report
//!  seeds/*  ─────────┘   │ target   server, databases      └───────────────────────┘
//!                        │ seed     dataset -> rows -> COPY
//!                        │ load     schedule, sessions, histograms
//!                        │ check    answers and isolation, before timing
//!                        └ observe  the server's counters
//! ```
//!
//! [`record`] is the narrow waist. What is left of it is asynchronous and talks to PostgreSQL; what is right of it never names tokio or
//! sqlx, computes each number once, and can be tested from recorded runs alone. [`judge`] knows nothing of [`experiment`], which asks it when
//! enough is measured.
//!
//! Which module may use which. `tests/modules.rs` reads this table and holds the code against it, so a new dependency is a decision:
//!
//! | module | may use |
//! |---|---|
//! | shown | |
//! | diagnostic | shown |
//! | sql | |
//! | script | diagnostic, sql |
//! | dataset | diagnostic |
//! | suite | dataset, diagnostic, sql |
//! | scenario | dataset, diagnostic, record, script, sql, suite |
//! | seed | dataset |
//! | target | shown, sql |
//! | load | dataset, record, scenario, script |
//! | check | dataset, load, record, scenario, suite, target |
//! | observe | record |
//! | pgbench | diagnostic, load, record, script |
//! | experiment | check, dataset, judge, load, observe, record, scenario, seed, suite, target |
//! | record | |
//! | stats | |
//! | judge | record, stats |
//! | summary | record |
//! | contrast | judge, record, summary |
//! | report | contrast, judge, pgbench, record, shown, summary |
//! | cli | all |

pub mod shown;
pub mod diagnostic;
pub mod sql;
pub mod script;
pub mod dataset;
pub mod suite;
pub mod scenario;
pub mod seed;
pub mod target;
pub mod load;
pub mod check;
pub mod observe;
pub mod pgbench;
pub mod experiment;
pub mod record;
pub mod stats;
pub mod judge;
pub mod summary;
pub mod contrast;
pub mod report;
pub mod cli;

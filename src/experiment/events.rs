//! What happens in an experiment, as values: who watches turns them into words, bars or lines for tools.

use std::path::Path;

use serde::Serialize;

use crate::record::{BlockPurpose, BlockRecord, Discard, Disturbance, Factor, StopReason};

/// Something that happened, or begins.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event<'a> {
    /// The server is the user's own, at this place.
    OwnServer { place: &'a str },
    /// A database of another run, which was killed, was dropped.
    OrphanDropped { database: &'a str },
    /// What other runs left behind could not be looked for or dropped.
    OrphansKept { error: &'a str },
    /// Databases of this run could not be dropped.
    LeftBehind { error: &'a str },
    /// The data is there already, as this database.
    TemplateFound { database: &'a str },
    /// The tables of the data are filled.
    Seeding,
    /// A table is filled, with so many rows.
    TableBegun { table: &'a str, rows: u64 },
    /// So many more rows of it were sent since the last time.
    RowsSent { table: &'a str, rows: u64 },
    /// It is complete.
    TableDone { table: &'a str },
    /// Indexes that all variants share are built.
    SharedIndexes { file: &'a Path },
    /// The data is vacuumed and analysed.
    Vacuuming,
    /// An index has been building for long; percent where the server tells.
    IndexBuilding { table: &'a str, phase: &'a str, percent: Option<f64> },
    /// SQL that all variants share was rejected.
    SharedSqlRejected { message: &'a str },
    /// A scenario begins: the `number`th of `of`, from 1.
    Scenario { scenario: &'a str, title: &'a str, number: usize, of: usize },
    /// A variant's SQL is applied to a database of its own; `again` where it has been to another one.
    Applying { variant: &'a str, factor: Option<&'a Factor>, again: bool },
    /// Answers and isolation are checked.
    Checking { scenario: &'a str },
    /// Capacity is probed, to find a rate.
    Probing { scenario: &'a str },
    /// Rounds begin: so many at least.
    Measuring { scenario: &'a str, arms: usize, least: u32 },
    /// One variant is loaded for so many seconds.
    Loading { scenario: &'a str, variant: &'a str, seconds: f64 },
    /// A block is over, and what disturbed it.
    Block { scenario: &'a str, round: u32, arm: &'a str, purpose: BlockPurpose, seconds: f64, disturbed: Vec<Disturbance> },
    /// A round counts: so many do by now for every arm, of those that are aimed at.
    RoundKept { scenario: &'a str, kept: u32, wanted: u32 },
    /// The intervals of an arm are narrow enough: more rounds would make none of its verdicts surer.
    ArmDecided { scenario: &'a str, arm: &'a str, rounds: u32 },
    /// A block does not count.
    BlockDiscarded { scenario: &'a str, round: u32, arm: &'a str, reason: &'a Discard },
    /// Plans and function calls are collected.
    CollectingEvidence { scenario: &'a str },
    /// What each arm can do at most is measured.
    MeasuringCapacity { scenario: &'a str },
    /// A scenario is over.
    ScenarioEnded { scenario: &'a str, stop: &'a StopReason },
    /// The budget has no time left for a scenario.
    Skipped { scenario: &'a str },
    /// What is left of the budget goes to so many scenarios.
    SpendingTheRest { scenarios: usize },
}

impl<'a> Event<'a> {
    /// That a block of an arm of this name is over.
    pub(super) fn of_block(block: &'a BlockRecord, arm: &'a str) -> Event<'a> {
        let seconds = block.duration_ns as f64 / 1e9;
        Event::Block {
            scenario: &block.scenario,
            round: block.round,
            arm,
            purpose: block.purpose,
            seconds,
            disturbed: block.disturbances(),
        }
    }
}

/// Who watches an experiment.
pub trait Progress: Sync {
    /// Told of everything, in order.
    fn event(&self, event: &Event<'_>);
}

/// What the seeder tells, as events.
pub(super) struct Seeding<'a>(pub &'a dyn Progress);

impl crate::seed::Progress for Seeding<'_> {
    fn start(&self, table: &str, rows: u64) {
        self.0.event(&Event::TableBegun { table, rows });
    }

    fn advance(&self, table: &str, rows: u64) {
        self.0.event(&Event::RowsSent { table, rows });
    }

    fn finish(&self, table: &str) {
        self.0.event(&Event::TableDone { table });
    }
}

//! The run as rows and sentences, ready to be laid out. Templates and terminal read this, and only this.

mod run;
mod scenario;

use serde::Serialize;

use super::words::Tone;

pub use run::view;
pub use scenario::metric_view;

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct RunView {
    pub suite: String,
    pub version: String,
    pub started_at: String,
    pub mode: &'static str,
    pub tone: Tone,
    pub headline: String,
    /// What the outcome does not rest on, and a reader must know all the same.
    pub aside: Option<String>,
    /// Exit code and what it means.
    pub exit: String,
    /// How to read the numbers, in sentences.
    pub legend: Vec<String>,
    /// What a reader must know besides, of all scenarios.
    pub notes: Vec<Note>,
    pub ending: Option<&'static str>,
    /// The arms, where all scenarios have the same.
    pub arms: Option<Vec<ArmView>>,
    pub tiles: Vec<Tile>,
    pub scenarios: Vec<ScenarioView>,
    pub facts: Vec<FactGroup>,
    pub command: String,
    pub gated_metrics: u32,
    pub minimum_rounds: u32,
}

/// An arm, and the number of its colour.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ArmView {
    pub name: String,
    pub color: usize,
}

/// A warning of one scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Note {
    pub path: String,
    pub anchor: String,
    pub text: String,
}

/// A number on top of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Tile {
    pub tone: Tone,
    pub symbol: &'static str,
    pub number: usize,
    pub label: &'static str,
}

/// Facts about one thing: label and value.
#[derive(Clone, Debug, Serialize)]
pub struct FactGroup {
    pub title: &'static str,
    pub facts: Vec<(String, String)>,
}

/// One scenario.
#[derive(Clone, Debug, Serialize)]
pub struct ScenarioView {
    pub anchor: String,
    pub path: String,
    pub title: String,
    pub analysis: String,
    pub claims: Vec<String>,
    pub arms: Vec<ArmView>,
    /// The arms in a line.
    pub versus: String,
    /// What they are, where their names alone do not tell.
    pub arms_told: Option<String>,
    pub tone: Tone,
    pub symbol: &'static str,
    pub verdict: String,
    /// What was expected, and what came of it.
    pub expectations: Vec<ExpectationView>,
    /// Which of several arms is the fastest, a line a metric.
    pub best: Vec<String>,
    /// How much of what a search should find it found, a line an arm.
    pub recall: Vec<String>,
    /// Recall of the arm in which it differs most, short: to stand beside a change of speed.
    pub recall_shift: Option<String>,
    /// Whether it came to timing: where it did not, there are no rounds to miss.
    pub timed: bool,
    pub load: String,
    pub load_why: Option<String>,
    pub rtt: String,
    pub rounds: String,
    pub discarded: Vec<String>,
    /// What disturbed blocks that count.
    pub disturbed: Option<String>,
    pub stop: String,
    /// The first gated metric and its change, for a line that has no room for more.
    pub first: Vec<(String, String)>,
    /// `None` where metrics speak; else the word that stands in their place.
    pub stopped_short: Option<&'static str>,
    pub metrics: Vec<MetricView>,
    pub inconclusive: Vec<String>,
    /// By arm; empty where it was not measured.
    pub capacity: Vec<String>,
    /// How capacity changed, with its interval, of each arm for which it was measured.
    pub capacity_change: Vec<String>,
    /// Rates and times at half of each arm's own capacity, by arm.
    pub own_rate: Vec<(String, Vec<String>)>,
    pub classes: Vec<ClassView>,
    /// By SQLSTATE and arm.
    pub errors: Vec<(String, Vec<String>)>,
    pub checks: Vec<CheckView>,
    pub failures: Vec<CheckView>,
    pub warnings: Vec<String>,
    pub evidence: Vec<EvidenceView>,
    /// By arm.
    pub counters: Vec<(&'static str, Vec<String>)>,
    pub statements: Vec<StatementView>,
    pub databases: Vec<DatabaseView>,
}

/// What was expected in one place of the scenario's file, and what came of it, in sentences.
#[derive(Clone, Debug, Serialize)]
pub struct ExpectationView {
    pub text: String,
    pub contradicted: bool,
    /// Whether a metric regressed that it says would regress.
    pub excuses: bool,
}

/// One metric.
#[derive(Clone, Debug, Serialize)]
pub struct MetricView {
    pub subject: String,
    pub quantity: &'static str,
    /// The arm, where there are several beside the baseline.
    pub arm: Option<String>,
    /// Subject, quantity, arm.
    pub name: String,
    pub baseline: String,
    pub value: String,
    pub change: String,
    pub interval: String,
    pub tone: Tone,
    pub symbol: &'static str,
    pub verdict: String,
    pub rounds: u32,
    pub samples: String,
    pub margin: String,
    pub gated: bool,
    /// Against what the author stated.
    pub unexpected: bool,
    /// Recall of its arm, where it is not the baseline's.
    pub recall_shift: Option<String>,
    pub why: Option<String>,
}

/// One tenant class of one transaction.
#[derive(Clone, Debug, Serialize)]
pub struct ClassView {
    pub transaction: String,
    pub class: String,
    /// By arm.
    pub count: Vec<String>,
    pub p50: Vec<String>,
    pub p95: Vec<String>,
}

/// One check, or several of a kind that passed.
#[derive(Clone, Debug, Serialize)]
pub struct CheckView {
    pub kind: &'static str,
    pub subject: String,
    /// Checks in this row.
    pub number: usize,
    pub arm: Option<String>,
    pub cases: String,
    pub outcome: &'static str,
    pub tone: Tone,
    pub symbol: &'static str,
    pub findings: Vec<String>,
}

/// Plans and counters of one statement for one identity, by arm.
#[derive(Clone, Debug, Serialize)]
pub struct EvidenceView {
    pub statement: String,
    pub identity: String,
    pub plans: Vec<Option<String>>,
    /// Buffers, rows, function calls, recall.
    pub counters: Vec<(String, Vec<String>)>,
}

/// A statement's text; one for all arms where they agree.
#[derive(Clone, Debug, Serialize)]
pub struct StatementView {
    pub name: String,
    pub identity: String,
    pub arms: String,
    pub executions: String,
    pub sql: String,
}

/// How a database was made.
#[derive(Clone, Debug, Serialize)]
pub struct DatabaseView {
    pub arm: ArmView,
    pub variant: String,
    /// What else differs from other arms.
    pub changes: Vec<String>,
    pub tables: String,
    pub indexes: String,
    pub resident: &'static str,
    pub applied: Vec<String>,
}

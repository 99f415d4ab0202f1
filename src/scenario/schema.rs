//! The scenario file as a JSON schema, so that editors complete and explain it.
//!
//! These types are never read into: `wire` walks the file itself, to find every error at once and to know its place. A test holds the two
//! together: each key that is described here is read there, and the other way round.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;

/// Version of the scenario format. It is raised when a file of the former version would be read as something else; a new key does not raise it.
pub const SCENARIO_VERSION: u32 = 1;

/// The JSON schema (draft 7, which TOML editors know) of a scenario file.
pub fn scenario_schema() -> String {
    pretty::<ScenarioFile>(SCENARIO_VERSION)
}

/// The JSON schema of a line of `run.jsonl`.
pub fn run_schema() -> String {
    pretty::<crate::record::Line>(crate::record::SCHEMA_VERSION)
}

/// The schema of a type, with the version of its format: a keyword of our own, which validators pass over.
fn pretty<T: JsonSchema>(version: u32) -> String {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>();
    schema.insert("version".to_owned(), version.into());
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

/// A pgduel scenario: what is replayed, by whom, how fast, and which variants duel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ScenarioFile {
    /// One line for people.
    pub title: String,
    /// Two or more variants of the suite, the baseline first. In its place each arm may be written out.
    pub duel: Option<Vec<String>>,
    /// The arms, the baseline first, where duel does not name them.
    pub arm: Option<Vec<Arm>>,
    /// Makes an arm of the one that is named for each value: { batch = [1, 10, 100] }. `{{batch}}` stands for the value; connections, rate and rtt
    /// are those of the arm itself.
    pub sweep: Option<BTreeMap<String, Vec<super::schema_draw::Scalar>>>,
    /// Ids of the published claims that it bears on.
    pub claims: Option<Vec<String>>,
    /// Overlays of the dataset that are loaded for it.
    pub overlays: Option<Vec<String>>,
    /// What the author expects of all transactions that state nothing of their own. Needs expect-why.
    pub expect: Option<Expect>,
    /// Why that is expected.
    pub expect_why: Option<String>,
    /// Why the scenario exists and what PostgreSQL does; Markdown, shown in the report.
    pub analysis: Option<String>,
    /// Differences below these do not matter.
    pub margins: Option<Margins>,
    /// How load is offered.
    pub load: Option<Load>,
    /// What runs: one table a kind of transaction.
    pub transaction: Vec<Transaction>,
}

/// An arm: what is set against the others.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Arm {
    /// Its name, by which statements tell arms apart: letters, digits, - and _. Default: the variant's.
    pub name: Option<String>,
    /// The variant of the suite that it runs on.
    pub variant: String,
    /// Settings of its connections, such as { work_mem = "64MB" }.
    pub set: Option<BTreeMap<String, super::schema_draw::Scalar>>,
    /// Connections in its pool, or sessions of a closed loop. Default: those of the load.
    pub connections: Option<u32>,
    /// Where its load connects instead of the server itself: host:port, or folder:port of a socket, of a pooler that leads to the same server.
    pub route: Option<String>,
    /// When its transactions start: an open loop or users, as the others have. Default: as the load says.
    pub rate: Option<Rate>,
    /// Injected round-trip time with a unit. Default: that of the load.
    pub rtt: Option<String>,
}

/// What is expected. A statement's own expectation goes before its transaction's, and that before the file's.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Expect {
    /// Of all quantities; held against the medians.
    Verdict(Expected),
    /// Of the quantities that are named.
    Quantities(Quantities),
    /// Of the arms that are named.
    Arms(BTreeMap<String, Expect>),
}

/// A verdict for each quantity that can decide.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Quantities {
    /// Of medians.
    pub p50: Option<Expected>,
    /// Of 95th percentiles.
    pub p95: Option<Expected>,
    /// Of the server's processor time, which is one for all transactions: at the top of the file only.
    pub processor: Option<Expected>,
}

/// A verdict that is expected.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// Faster than the baseline.
    Improved,
    /// Slower than the baseline.
    Regressed,
    /// No difference that matters.
    Unchanged,
}

/// Differences below these do not matter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Margins {
    /// For medians and processor time, such as "5%" (the default).
    pub p50: Option<String>,
    /// For 95th percentiles, such as "10%" (the default).
    pub p95: Option<String>,
    /// Absolute floor with a unit, such as "20us" (the default).
    pub floor: Option<String>,
}

/// How load is offered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Load {
    /// When transactions start. Default "auto": a Poisson rate found by a probe, or fixed work where that does not fit.
    pub rate: Option<Rate>,
    /// Connections in the pool, 1 to 10000. Default 4. Closed loops and fixed work name their sessions instead.
    pub connections: Option<u32>,
    /// Injected round-trip time with a unit, such as "20ms". Default "0ms".
    pub rtt: Option<String>,
    /// What one round-trip time is charged for. Default "round-trip".
    pub rtt_per: Option<RttPer>,
    /// How PostgreSQL plans prepared statements. Default "auto".
    pub plans: Option<Plans>,
    /// Longest wait for a connection with a unit, such as "5s"; one that waits longer gives up. Default: none.
    pub acquire_timeout: Option<String>,
    /// Runs of a transaction that ends in a serialization failure or a deadlock, 1 to 100. Default 1.
    pub max_tries: Option<u32>,
}

/// When transactions start.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Rate {
    /// Poisson, so many a second.
    PerSecond(f64),
    /// Chosen by a probe.
    Auto(Auto),
    /// Poisson, so many a second.
    Poisson(Poisson),
    /// One every 1/rate seconds.
    Constant(Constant),
    /// So many sessions, each starting its next transaction when the last one is done.
    Closed(Closed),
    /// Users who share the pool.
    Users(Users),
    /// A rate that changes.
    Stages(Stages),
    /// Fixed work: sessions, and transactions a block.
    Work(Work),
}

/// Chosen by a probe.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Auto {
    /// Chosen by a probe.
    Auto,
}

/// Poisson arrivals.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Poisson {
    /// Transactions a second.
    pub poisson: f64,
}

/// Even arrivals.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// Transactions a second.
    pub constant: f64,
}

/// A rate that changes: one stage after the other. They say how long a block is, and all of it is measured.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stages {
    /// 1 to 100, at most 24 hours in all. A ramp at the beginning starts from nothing.
    pub stages: Vec<Stage>,
    /// Whether arrivals are independent of each other (the default) or come evenly.
    pub arrivals: Option<Spacing>,
}

/// A stage, with one of three kinds of rate, in transactions a second.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Changes evenly, from what the rate was to this.
    pub ramp: Option<f64>,
    /// This, from the beginning of the stage.
    pub hold: Option<f64>,
    /// This, and after the stage what the rate was before.
    pub spike: Option<f64>,
    /// How long, with a unit, such as "10s"; at least 100ms.
    #[serde(rename = "for")]
    pub length: String,
}

/// How arrivals follow each other.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// Independent of each other, as those of users who do not know of each other.
    Poisson,
    /// Evenly.
    Constant,
}

/// Users who share the pool: each thinks, asks, and waits for the answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// How many, 1 to 10000.
    pub users: u32,
    /// How long each thinks on average, with a unit. Default "1s".
    pub think: Option<String>,
}

/// Closed loop.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    /// Sessions side by side.
    pub closed: u32,
}

/// Fixed work.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Sessions side by side.
    pub work: u32,
    /// Transactions a block; chosen by a probe if left out.
    pub transactions: Option<u64>,
}

/// What one round-trip time is charged for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RttPer {
    /// Every round trip to the database.
    RoundTrip,
    /// Every request of the application.
    Request,
}

/// How PostgreSQL plans prepared statements.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Plans {
    /// PostgreSQL chooses.
    Auto,
    /// Planned anew each time.
    Custom,
    /// One plan for all parameters.
    Generic,
}

/// What one arrival runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Transaction {
    /// Its name: letters, digits, - and _.
    pub name: String,
    /// Share in the mix, relative to the others. Default 1.
    pub weight: Option<f64>,
    /// Who runs it: "member", a role of the dataset ("owner", "admin", ...), "anon", "service", or "none" (no preamble). Only with script may
    /// it be left out, which is "none".
    pub identity: Option<String>,
    /// Which tenants it is run for. Default "by-weight".
    pub tenants: Option<Tenants>,
    /// Whether it changes data. Default false.
    pub writes: Option<bool>,
    /// How each arm's answers must relate to the baseline's. Default "same".
    pub answers: Option<Answers>,
    /// Columns of the answer that are not compared.
    pub ignore: Option<Vec<String>>,
    /// Relative tolerance for floating-point values. Default 1e-9.
    pub tolerance: Option<f64>,
    /// Where each :name comes from. :now, the dataset's clock, is always there.
    pub draw: Option<BTreeMap<String, Draw>>,
    /// The statements, in order.
    pub statement: Option<Vec<Statement>>,
    /// A pgbench script in their place: its path from the scenario's folder.
    pub script: Option<String>,
    /// Values of variables that the script does not set itself, as with pgbench -D.
    pub variables: Option<BTreeMap<String, Variable>>,
    /// What the author expects of it, and of its statements that state nothing of their own. Needs expect-why.
    pub expect: Option<Expect>,
    /// Why that is expected.
    pub expect_why: Option<String>,
}

/// The value of a script's variable.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Variable {
    /// A number.
    Number(f64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(String),
}

/// Which tenants a transaction is run for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tenants {
    /// As often as they have data.
    ByWeight,
    /// All alike.
    Uniform,
    /// Always the largest.
    Whale,
}

/// How each arm's answers must relate to the baseline's.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Answers {
    /// By a rule.
    Rule(AnswerRule),
    /// They may differ, and why.
    Differs(Differs),
    /// Vector search: the share of exact nearest neighbours that every arm but the baseline must reach.
    Recall(Recall),
}

/// A rule for answers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerRule {
    /// The same rows in the same order.
    Same,
    /// The same rows in any order.
    SameRows,
    /// The same number of rows.
    SameCount,
}

/// Answers may differ.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Differs {
    /// Why they may.
    pub differs: String,
}

/// Recall of a vector search.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recall {
    /// From 0.01 to 1, such as 0.95. A statement of each of these arms needs its `exact` form.
    pub recall: f64,
}

pub use super::schema_draw::{Draw, Statement};

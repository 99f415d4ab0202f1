//! A scenario as it was run: what it says, how load was offered, how its databases were made.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Arm, Arms, Arrivals, Expect, ScenarioLoad};

/// A scenario as it was run.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct ScenarioRecord {
    /// Path below `scenarios/` without extension, such as `omniops/history-fetch`.
    pub scenario: String,
    /// Title of the file.
    pub title: String,
    /// Why the scenario exists and what PostgreSQL does; Markdown.
    pub analysis: String,
    /// Claim ids it bears on.
    pub claims: Vec<String>,
    /// SHA-256 of the scenario file, hexadecimal.
    pub digest: String,
    /// Its arms.
    pub arms: Arms<ArmRecord>,
    /// Overlays of the dataset that it was run on.
    #[serde(default)]
    pub overlays: Vec<String>,
    /// Its transactions.
    pub transactions: Vec<TransactionRecord>,
    /// How load was offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<ScenarioLoad>,
    /// What the author expects of all transactions that state nothing of their own, if anything.
    pub expect: Option<Expect>,
    /// Why this is expected, if the author says.
    pub expect_why: Option<String>,
    /// Margins that decide what matters.
    pub margins: Margins,
    /// Injected round-trip time, ns: 0 when none was injected.
    pub rtt_ns: u64,
    /// What one such time was charged for.
    #[serde(default)]
    pub rtt_per: RttPer,
    /// Whether the scenario changes data.
    pub writes: bool,
    /// Longest wait for a connection, ns, if there was a limit.
    #[serde(default)]
    pub acquire_timeout_ns: Option<u64>,
    /// Runs of a transaction that lost against another one, at most.
    #[serde(default = "once")]
    pub max_tries: u32,
}

impl ScenarioRecord {
    /// What an arm is called, for people.
    pub fn arm_name(&self, arm: Arm) -> String {
        match self.arms.has(arm) {
            true => self.arms.get(arm).name.clone(),
            false => arm.to_string(),
        }
    }

    /// Takes out what is expected of it and of its parts: of one variant against itself nothing is.
    pub fn expect_nothing(&mut self) {
        (self.expect, self.expect_why) = (None, None);
        for transaction in &mut self.transactions {
            (transaction.expect, transaction.expect_why) = (None, None);
            let statements = &mut transaction.statements;
            for statement in statements.values_mut().flatten() {
                (statement.expect, statement.expect_why) = (None, None);
            }
        }
    }
}

/// What one injected round-trip time is charged for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RttPer {
    /// Every round trip between harness and database, on the wire.
    #[default]
    RoundTrip,
    /// Every request of the application, which may hold several round trips: a pause before each request.
    Request,
}

/// Relative margins and the absolute floor below which a difference does not matter.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Margins {
    /// For medians and processor time; 0.05 is 5%.
    pub p50: f64,
    /// For 95th percentiles.
    pub p95: f64,
    /// Absolute floor, ns.
    pub floor_ns: u64,
}

impl Default for Margins {
    fn default() -> Margins {
        Margins { p50: 0.05, p95: 0.10, floor_ns: 20_000 }
    }
}

/// A transaction as it was run.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct TransactionRecord {
    /// Its name.
    pub name: String,
    /// Its share in the mix, relative to the others.
    pub weight: f64,
    /// Who runs it.
    pub identity: String,
    /// Whether it changes data.
    pub writes: bool,
    /// Statements by arm, in order. Statements of one name on an arm and the baseline are compared; if the lists or the requests differ, the
    /// whole transaction is.
    pub statements: Arms<Vec<StatementRecord>>,
    /// Requests that the application makes for it, by arm: each is a transaction of the server, with a preamble and a commit.
    pub requests: Arms<u64>,
    /// What the author expects of the transaction and those of its statements that state nothing of their own, if it is stated there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
    /// Why this is expected, if the author says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_why: Option<String>,
}

impl TransactionRecord {
    /// Whether an arm's statements can be compared with the baseline's one by one.
    pub fn comparable_by_statement(&self, arm: Arm) -> bool {
        let of = |arm: Arm| (self.statements.get(arm).iter().map(|one| one.name.as_str()), *self.requests.get(arm));
        comparable_by_statement(of(Arm::BASELINE), of(arm))
    }
}

/// Whether statements of two arms can be compared one by one: the same names in the same order, and as many requests around them.
pub fn comparable_by_statement<'a>(
    (names, requests): (impl ExactSizeIterator<Item = &'a str>, u64),
    (other_names, other_requests): (impl Iterator<Item = &'a str>, u64),
) -> bool {
    names.len() > 0 && names.eq(other_names) && requests == other_requests
}

/// An arm as it was run.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct ArmRecord {
    /// Its name, which no other arm of the scenario has.
    pub name: String,
    /// The variant that it runs on.
    pub variant: String,
    /// Settings of its connections.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Connections in its pool, where they are not the load's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Where its load connects, where that is not the server itself: `host:port` of a pooler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// How its transactions begin, where that is not as the load says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<Arrivals>,
    /// Injected round-trip time, ns, where it is not the scenario's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_ns: Option<u64>,
    /// What a sweep set for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<Factor>,
}

/// What a sweep varies, and its value for one arm.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Factor {
    /// Its name; `{{name}}` stands for the value in SQL and settings.
    pub name: String,
    /// The value, as text.
    pub value: String,
}

impl Factor {
    /// The factors that are no placeholder: each arm gets a pool, a round-trip time or a rate of its own.
    pub const CONNECTIONS: &str = "connections";
    /// See [`Factor::CONNECTIONS`].
    pub const RTT: &str = "rtt";
    /// See [`Factor::CONNECTIONS`].
    pub const RATE: &str = "rate";

    /// What stands for the value.
    pub fn placeholder(&self) -> String {
        format!("{{{{{}}}}}", self.name)
    }

    /// A text with the value in each of its places; as it is where there is no sweep.
    pub fn fill(factor: Option<&Factor>, text: &str) -> String {
        factor.map_or_else(|| text.to_owned(), |factor| text.replace(&factor.placeholder(), &factor.value))
    }
}

/// Its name, and what it changes beside statements.
impl std::fmt::Display for ArmRecord {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.name)?;
        let variant = (self.variant != self.name).then(|| format!("on {}", self.variant));
        let changes: Vec<String> = variant.into_iter().chain(self.changes()).collect();
        if changes.is_empty() { Ok(()) } else { write!(out, " ({})", changes.join(", ")) }
    }
}

impl ArmRecord {
    /// What it changes beside its variant and its statements. What a sweep set is not told: it stands in the name.
    pub fn changes(&self) -> impl Iterator<Item = String> {
        let settings = self.settings.iter().map(|(name, value)| format!("{name} = {value}"));
        let swept = |name: &str| self.factor.as_ref().is_some_and(|factor| factor.name == name);
        let connections = self.connections.filter(|_| !swept(Factor::CONNECTIONS));
        let connections = connections.map(|number| format!("{number} connection{}", if number == 1 { "" } else { "s" }));
        let rtt = self.rtt_ns.filter(|_| !swept(Factor::RTT)).map(|rtt| format!("{} ms RTT", rtt as f64 / 1e6));
        let rate = self.arrivals.as_ref().filter(|_| !swept(Factor::RATE)).map(Arrivals::to_string);
        let route = self.route.as_ref().map(|route| format!("through {route}"));
        settings.chain(connections).chain(rtt).chain(rate).chain(route)
    }

    /// A variant, and nothing else that differs.
    pub fn of(name: &str, variant: &str) -> ArmRecord {
        ArmRecord {
            name: name.to_owned(),
            variant: variant.to_owned(),
            settings: BTreeMap::new(),
            connections: None,
            route: None,
            arrivals: None,
            rtt_ns: None,
            factor: None,
        }
    }
}

/// A statement as it was run.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct StatementRecord {
    /// Its name, unique in its transaction and arm.
    pub name: String,
    /// Its text, with `:name` parameters.
    pub sql: String,
    /// Executions a transaction (more than 1 for row-by-row work).
    pub executions: u64,
    /// Whether it begins or ends a transaction.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub controls_transaction: bool,
    /// What the author expects of the statement, if it is stated there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
    /// Why this is expected, if the author says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_why: Option<String>,
}

/// How the database of an arm was made.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct VariantRecord {
    /// The scenario.
    pub scenario: String,
    /// The arm.
    pub arm: Arm,
    /// Name of the variant.
    pub variant: String,
    /// Files applied on top of the template, in order, with the time each took.
    pub applied: Vec<AppliedFile>,
    /// Bytes of all tables.
    pub table_bytes: u64,
    /// Bytes of all indexes.
    pub index_bytes: u64,
    /// Whether the working sets of all arms, in all their builds, fit in shared buffers (1.2 times their sizes).
    pub resident: bool,
    /// How often the database was built from the template; rounds alternate between the builds, two at a time.
    #[serde(default = "once")]
    pub builds: u32,
}

fn once() -> u32 {
    1
}

/// One SQL file that was applied.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct AppliedFile {
    /// Path relative to the project.
    pub file: String,
    /// Statements in it.
    pub statements: u32,
    /// Time to apply all of them, ns.
    pub duration_ns: u64,
}

//! Scenarios: what is replayed, by whom, how fast, and what is expected of it.
//!
//! `wire` alone knows TOML: it turns a file into the types below, validated and immutable. `check` holds a scenario against its suite and
//! dataset, `sql` finds the `:name` parameters, `files` knows where scenarios lie, `schema` is the file format for editors. Nothing here
//! talks to PostgreSQL.

mod catalog;
mod check;
mod files;
mod origin;
pub mod schema;
mod schema_draw;
pub mod script;
pub mod sql;
mod sql_rules;
pub mod stages;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::record::{Arm, Arms, Arrivals, Expect, Factor, Margins, RttPer, comparable_by_statement};

pub use catalog::DatasetCatalog;
pub use check::{Catalog, check, check_names};
pub use files::{discover, load, suites};
pub use origin::Origin;
pub use script::ScriptedTransaction;
pub use wire::parse;

/// A scenario file, validated.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Suite (first folder below `scenarios/`).
    pub suite: String,
    /// Name below the suite's folder.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// Places of its keys, for messages. A scenario that no file made has the default.
    pub origin: Origin,
    /// SHA-256 of the file's bytes, hexadecimal.
    pub digest: String,
    /// Title for people.
    pub title: String,
    /// Why it exists; Markdown.
    pub analysis: String,
    /// Claim ids.
    pub claims: Vec<String>,
    /// The arms, the baseline first. A scenario file has two or more; `run` loads one.
    pub arms: Arms<ArmSpec>,
    /// Overlays of the dataset it needs.
    pub overlays: Vec<String>,
    /// What is expected of all transactions that state nothing of their own.
    pub expected: Option<Expected>,
    /// What matters.
    pub margins: Margins,
    /// How load is offered.
    pub load: Load,
    /// What runs.
    pub transactions: Vec<Transaction>,
}

impl Scenario {
    /// `suite/name`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.suite, self.name)
    }

    /// Whether any transaction changes data.
    pub fn writes(&self) -> bool {
        self.transactions.iter().any(|transaction| transaction.writes)
    }

    /// Connections in an arm's pool.
    pub fn connections(&self, arm: Arm) -> u32 {
        self.arms.get(arm).connections.unwrap_or(self.load.connections)
    }

    /// An arm's injected round-trip time.
    pub fn rtt(&self, arm: Arm) -> Duration {
        self.arms.get(arm).rtt.unwrap_or(self.load.rtt)
    }

    /// Round-trip time to hold every message of an arm back for; none where requests are charged, before each of which there is a pause instead.
    pub fn wire_rtt(&self, arm: Arm) -> Duration {
        match self.load.rtt_per {
            RttPer::RoundTrip => self.rtt(arm),
            RttPer::Request => Duration::ZERO,
        }
    }

    /// Connections that carry load at once, at most.
    pub fn sessions(&self) -> u32 {
        self.arms.arms().map(|arm| self.connections(arm)).max().unwrap_or(0)
    }

    /// The database that an arm runs on.
    pub fn database(&self, arm: Arm) -> ArmDatabase {
        let spec = self.arms.get(arm);
        let alike = |other: &&ArmSpec| other.variant == spec.variant && other.factor == spec.factor;
        let copy = self.arms.values().take(arm.place()).filter(alike).count();
        let routed = spec.route.clone().map(|route| Routed { route, settings: spec.settings.clone() });
        ArmDatabase { variant: spec.variant.clone(), factor: spec.factor.clone(), routed, copy }
    }

    /// The databases that its arms run on.
    pub fn databases(&self) -> impl Iterator<Item = ArmDatabase> {
        self.arms.arms().map(|arm| self.database(arm))
    }

    /// The same with other arms, each of which runs the statements of an arm that is there. What is expected stays with the arms that it was stated
    /// of, where the baseline is what it was.
    pub fn with_arms(mut self, arms: &Arms<(ArmSpec, Arm)>) -> Scenario {
        let is_there = |arm: &&ArmSpec| arms.others.iter().any(|(other, _)| other == *arm);
        let rivals: Vec<String> = self.arms.others.iter().filter(is_there).map(|arm| arm.name.clone()).collect();
        let same = arms.baseline.0 == self.arms.baseline;
        let stays = |expected: &mut Option<Expected>| {
            let Some(stated) = expected.take().filter(|_| same) else { return };
            let of = |name: &String| Some((name.clone(), stated.expect.of(name)?.clone()));
            *expected = Some(Expected { expect: Expect::Arms(rivals.iter().filter_map(of).collect()), why: stated.why.clone() });
        };
        stays(&mut self.expected);
        for transaction in &mut self.transactions {
            stays(&mut transaction.expected);
            transaction.statements.values_mut().flatten().for_each(|statement| stays(&mut statement.expected));
        }
        let names = |arms: &Arms<ArmSpec>| arms.values().map(|arm| arm.name.clone()).collect::<Vec<_>>().join(", ");
        let written_for = names(&self.arms);
        self.arms = arms.map(|(spec, _)| spec.clone());
        if !self.analysis.is_empty() && names(&self.arms) != written_for {
            self.analysis = format!("*Written for the arms {written_for}; this run has others.*\n\n{}", self.analysis);
        }
        for transaction in &mut self.transactions {
            transaction.statements = arms.map(|(_, runs)| transaction.statements.get(*runs).clone());
        }
        self
    }

    /// The same with the baseline on every arm, which must find nothing. Recall is what it is there, and nothing is expected of it.
    pub fn against_itself(self) -> Scenario {
        let baseline = self.arms.baseline.clone();
        let again = |number| (ArmSpec { name: format!("{}-{number}", baseline.name), ..baseline.clone() }, Arm::BASELINE);
        let others = (2..=self.arms.count().max(2)).map(again).collect();
        let arms = Arms::new((baseline.clone(), Arm::BASELINE), others);
        let mut scenario = self.with_arms(&arms);
        for transaction in &mut scenario.transactions {
            if let AnswerRule::Recall(least) = &mut transaction.answers.rule {
                *least = 0.0;
            }
        }
        scenario
    }
}

/// Whether two arms run the same: statements, what each is repeated over, requests and settings.
pub fn run_alike(transactions: &[Transaction], one: Arm, other: Arm) -> bool {
    fn what(statement: &Statement) -> impl PartialEq + '_ {
        (&statement.name, &statement.sql, &statement.each, statement.request, &statement.settings)
    }
    transactions.iter().all(|transaction| {
        let [one, other] = [one, other].map(|arm| transaction.statements.get(arm).iter().map(what));
        one.eq(other)
    })
}

/// An arm of the experiment: what is set against the others.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmSpec {
    /// Its name, which no other arm has.
    pub name: String,
    /// The variant that it runs on.
    pub variant: String,
    /// Settings of its connections, in file order.
    pub settings: Vec<(String, String)>,
    /// Connections in its pool, if they are its own.
    pub connections: Option<u32>,
    /// Where its load connects, if not to the server itself.
    pub route: Option<Address>,
    /// How its transactions begin, if not as the load states; then that is stated, and alike.
    pub arrivals: Option<Arrivals>,
    /// Injected round-trip time, if it is its own.
    pub rtt: Option<Duration>,
    /// What a sweep set for it.
    pub factor: Option<Factor>,
}

impl ArmSpec {
    /// Whether another arm changes the same beside variant, statements and files.
    pub fn changes_like(&self, other: &ArmSpec) -> bool {
        let what = |arm: &ArmSpec| (arm.settings.clone(), arm.connections, arm.route.clone(), arm.arrivals.clone(), arm.rtt);
        what(self) == what(other)
    }

    /// A variant, and nothing else that differs.
    pub fn of(variant: &str) -> ArmSpec {
        ArmSpec {
            name: variant.to_owned(),
            variant: variant.to_owned(),
            settings: Vec::new(),
            connections: None,
            route: None,
            arrivals: None,
            rtt: None,
            factor: None,
        }
    }
}

/// Where something listens.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Address {
    /// A host, or the folder of a Unix socket.
    pub host: String,
    /// The port; of a socket, the number in its file's name.
    pub port: u16,
}

impl Address {
    /// From `host:port`, `[::1]:6432` or `/folder:6432`.
    pub fn parse(text: &str) -> Option<Address> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port > 0)?;
        (!host.is_empty()).then(|| Address { host: host.to_owned(), port })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(out, "[{}]:{}", self.host, self.port),
            false => write!(out, "{}:{}", self.host, self.port),
        }
    }
}

/// What the connections of an arm that has a route are told by its database: a pooler does not pass on what they ask for themselves.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Routed {
    /// Where its load connects.
    pub route: Address,
    /// Settings, in file order.
    pub settings: Vec<(String, String)>,
}

/// Which database an arm runs on: scenarios with such an arm can share it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ArmDatabase {
    /// The variant.
    pub variant: String,
    /// What a sweep set in the variant's files.
    pub factor: Option<Factor>,
    /// The route and the settings that go with it.
    pub routed: Option<Routed>,
    /// How many arms of the scenario before it have one of the same variant and value.
    pub copy: usize,
}

/// What the author expects, with the reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expected {
    /// The verdict, or one for each quantity.
    pub expect: Expect,
    /// Why.
    pub why: String,
}

/// How load is offered.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// When transactions start.
    pub rate: Rate,
    /// Connections in the pool; of a closed loop, its sessions.
    pub connections: u32,
    /// Injected round-trip time.
    pub rtt: Duration,
    /// What one round-trip time is charged for.
    pub rtt_per: RttPer,
    /// How statements are planned.
    pub plans: Plans,
    /// Longest wait for a connection; one that waits longer gives up.
    pub acquire_timeout: Option<Duration>,
    /// Runs of a transaction that loses against another one, at most; 1 or more.
    pub max_tries: u32,
}

impl Load {
    /// Most sessions, or connections in a pool: more than any PostgreSQL takes.
    pub const MOST_SESSIONS: u32 = 10_000;
    /// Longest injected round-trip time.
    pub const LONGEST_RTT: Duration = Duration::from_secs(10);
}

impl Default for Load {
    /// What holds where a file says nothing.
    fn default() -> Load {
        Load {
            rate: Rate::Auto,
            connections: 4,
            rtt: Duration::ZERO,
            rtt_per: RttPer::RoundTrip,
            plans: Plans::Auto,
            acquire_timeout: None,
            max_tries: 1,
        }
    }
}

/// When transactions start.
#[derive(Clone, Debug, PartialEq)]
pub enum Rate {
    /// Poisson at a rate found by a probe, or fixed work where that does not fit.
    Auto,
    /// Fixed work, as many transactions as a probe finds fit.
    Work,
    /// As stated.
    Stated(Arrivals),
}

/// How PostgreSQL plans prepared statements.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Plans {
    /// `plan_cache_mode = auto`
    Auto,
    /// `force_custom_plan`
    Custom,
    /// `force_generic_plan`
    Generic,
}

/// What one arrival runs.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Its name.
    pub name: String,
    /// Share in the mix.
    pub weight: f64,
    /// Who runs it.
    pub identity: Identity,
    /// Which tenants it is run for.
    pub tenants: TenantPick,
    /// Whether it changes data.
    pub writes: bool,
    /// How each arm's answers must relate to the baseline's.
    pub answers: Answers,
    /// Parameters, by name, in file order.
    pub draws: Vec<(String, Draw)>,
    /// Statements by arm. If the file does not tell arms apart, all are the same.
    pub statements: Arms<Vec<Statement>>,
    /// The pgbench script that the statements are from.
    pub script: Option<Arc<ScriptedTransaction>>,
    /// What is expected of it, and of its statements that state nothing of their own.
    pub expected: Option<Expected>,
}

impl Transaction {
    /// Whether an arm's statements can be compared with the baseline's one by one.
    pub fn comparable_by_statement(&self, arm: Arm) -> bool {
        let of = |arm: Arm| (self.statements.get(arm).iter().map(|one| one.name.as_str()), self.requests(arm));
        comparable_by_statement(of(Arm::BASELINE), of(arm))
    }

    /// Executions of a statement of this transaction.
    pub fn executions(&self, statement: &Statement) -> u64 {
        let Some(each) = &statement.each else { return 1 };
        let count = self.draws.iter().find_map(|(name, draw)| match draw {
            Draw::Rows { count, .. } if *name == each.parameter => Some(u64::from(*count)),
            _ => None,
        });
        count.unwrap_or(1).div_ceil(u64::from(each.chunk.max(1)))
    }

    /// Transactions of the server that an arm makes where no identity is set: one for each execution, but for what stands between begin and
    /// commit.
    pub fn commits(&self, arm: Arm) -> u64 {
        let statements = self.statements.get(arm);
        let word =
            |statement: &Statement| statement.sql.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default().to_lowercase();
        let branches = self.script.as_ref().is_some_and(|script| script.branches());
        let is_one = |statements: &[Statement]| match statements {
            [first, inner @ .., last] if !branches => {
                ["begin", "start"].contains(&word(first).as_str())
                    && ["end", "commit", "rollback", "abort"].contains(&word(last).as_str())
                    && inner.iter().all(|statement| !statement.controls_transaction)
            }
            _ => false,
        };
        if is_one(statements) { 1 } else { statements.iter().map(|statement| self.executions(statement)).sum() }
    }

    /// Requests that an arm makes: each is a transaction of the server.
    pub fn requests(&self, arm: Arm) -> u64 {
        let statements = self.statements.get(arm);
        let repeated = |statement: &&Statement| statement.repeats_request();
        let numbers: std::collections::BTreeSet<Option<u32>> = statements.iter().filter(|s| !repeated(s)).map(|s| s.request).collect();
        statements.iter().filter(repeated).map(|statement| self.executions(statement)).sum::<u64>() + numbers.len() as u64
    }
}

/// Who runs a transaction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Identity {
    /// A signed-in user who is a member of the drawn tenant, with this role there if one is named: role `authenticated`, JWT claims.
    Member {
        /// Role in the tenant, such as `owner`.
        role: Option<String>,
    },
    /// Role `anon`, claims without `sub`.
    Anon,
    /// Role `service_role`, which bypasses row-level security.
    Service,
    /// No preamble: the login role, statements outside any transaction block unless the scenario opens one.
    None,
}

/// Which tenants a transaction is run for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TenantPick {
    /// As often as they have data.
    ByWeight,
    /// All alike.
    Uniform,
    /// Always the whale.
    Whale,
}

/// How each arm's answers must relate to the baseline's.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    /// The rule.
    pub rule: AnswerRule,
    /// Columns that are left out of the comparison.
    pub ignore: Vec<String>,
    /// Relative tolerance for floating-point values.
    pub tolerance: f64,
}

/// The rule of [`Answers`].
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerRule {
    /// The same rows in the same order.
    Same,
    /// The same rows in any order.
    SameRows,
    /// The same number of rows.
    SameCount,
    /// May differ, for this reason.
    Differs(String),
    /// Vector search: the share of exact nearest neighbours on every arm but the baseline must reach this.
    Recall(f64),
}

/// One statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Name, unique in its transaction and arm.
    pub name: String,
    /// Text as written.
    pub sql: String,
    /// The text with `$1`, `$2`, ... and the parameter name of each.
    pub parameters: (String, Vec<String>),
    /// Runs once per chunk of this many elements of an array or row-set parameter.
    pub each: Option<Each>,
    /// Request it belongs to (statements of one request share a PostgREST transaction); `None`: all in one.
    pub request: Option<u32>,
    /// Settings that are set locally before it, such as `hnsw.ef_search`.
    pub settings: Vec<(String, String)>,
    /// Exact form for recall, if the statement is an approximate search.
    pub exact: Option<String>,
    /// What its plan must hold, such as `Index Scan using idx_messages_conversation_created`.
    pub plan_has: Vec<String>,
    /// What its plan must not hold.
    pub plan_lacks: Vec<String>,
    /// Whether it begins or ends a transaction.
    pub controls_transaction: bool,
    /// `\gset`: the columns of its one row become variables of the script, each with this prefix.
    pub capture: Option<String>,
    /// What is expected of it.
    pub expected: Option<Expected>,
}

impl Statement {
    /// A statement that is nothing but this text, without a name.
    pub fn of(sql: String) -> Statement {
        Statement {
            name: String::new(),
            sql,
            parameters: Default::default(),
            each: None,
            request: None,
            settings: Vec::new(),
            exact: None,
            plan_has: Vec::new(),
            plan_lacks: Vec::new(),
            controls_transaction: false,
            capture: None,
            expected: None,
        }
    }

    /// Whether each execution is a request of its own.
    pub fn repeats_request(&self) -> bool {
        self.each.as_ref().is_some_and(|each| each.repeat == Repeat::Request)
    }
}

/// Repetition of a statement over the elements of a parameter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Each {
    /// The parameter (a `rows` draw).
    pub parameter: String,
    /// Elements a statement.
    pub chunk: u32,
    /// What every chunk is.
    pub repeat: Repeat,
}

/// What every chunk of a repeated statement is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Repeat {
    /// A statement; all of them share their request's transaction.
    #[default]
    Statement,
    /// A request of its own, with preamble and commit, as an application sends it that calls the API row by row.
    Request,
}

/// Where a parameter's value comes from. A pure function of (seed, sequence number).
#[derive(Clone, Debug, PartialEq)]
pub enum Draw {
    /// A column of a row of the dataset.
    Row {
        /// Table.
        from: String,
        /// Column; the key if not named.
        column: Option<String>,
        /// Rows to choose among.
        within: Within,
        /// How to choose.
        pick: Pick,
    },
    /// Another column of a row that was drawn before: `(parameter, column)`.
    Of(String, String),
    /// The tenant's key, or another column of the tenants table.
    Tenant(Option<String>),
    /// The identity's user id.
    User,
    /// A whole number, both ends included.
    Int {
        /// Least.
        min: i64,
        /// Greatest.
        max: i64,
        /// How to choose.
        pick: Pick,
    },
    /// A constant.
    Constant(Constant),
    /// One of these texts, all alike.
    Choice(Vec<String>),
    /// The dataset's now minus this.
    Ago(Duration),
    /// A text of so many words.
    Words(u32),
    /// A uuid that is in no dataset.
    NewUuid,
    /// A query vector for `table.column`.
    QueryVector(String, String),
    /// `count` new rows of a table, as a JSON array of objects, owned by the tenant (or by a row drawn before).
    Rows {
        /// Table.
        table: String,
        /// How many.
        count: u32,
        /// Parameter of the drawn parent row; `None`: parents drawn within the tenant.
        parent: Option<String>,
    },
}

/// A constant in a scenario file.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// Whole number.
    Int(i64),
    /// Number.
    Float(f64),
    /// Text.
    Text(String),
    /// Truth value.
    Bool(bool),
}

/// Rows among which a draw chooses.
#[derive(Clone, Debug, PartialEq)]
pub enum Within {
    /// The whole table.
    All,
    /// The drawn tenant's rows.
    Tenant,
    /// Children of the row that this parameter drew.
    Parameter(String),
    /// Rows of an overlay of this size.
    Overlay {
        /// Its name.
        overlay: String,
        /// Size, such as the number of messages.
        size: u64,
    },
}

/// How a draw chooses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pick {
    /// All alike.
    Uniform,
    /// Zipf with this exponent; which rows are hot is a shuffle by the seed.
    Zipf(f64),
    /// Gaussian around the middle; the parameter is pgbench's.
    Gaussian(f64),
    /// Newest rows most often: exponential over age rank, with this pgbench parameter.
    Recent(f64),
}

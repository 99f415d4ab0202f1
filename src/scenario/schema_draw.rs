//! Draws and statements, as the JSON schema describes them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Where a parameter's value comes from. The same on all arms: a pure function of the seed and the transaction's number.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Draw {
    /// The identity's user id, the tenant's key, or a uuid that is in no dataset.
    Word(Word),
    /// A constant number.
    Number(f64),
    /// A constant truth value.
    Bool(bool),
    /// A column of a row of the dataset.
    Row(Row),
    /// Another column of a row that was drawn before.
    Of(Of),
    /// A column of the tenant's row.
    Tenant(Tenant),
    /// A whole number.
    Int(Int),
    /// One of these texts, all alike.
    Choice(Choice),
    /// The dataset's now minus this.
    Ago(Ago),
    /// A text of so many words.
    Words(Words),
    /// A query vector, near what the tenant has.
    QueryVector(QueryVector),
    /// New rows as a JSON array of objects, for inserts.
    Rows(Rows),
    /// A constant, where the bare text would mean something else.
    Const(Const),
    /// A constant text.
    Text(String),
}

/// Words with a meaning.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// The identity's user id.
    User,
    /// The tenant's key.
    Tenant,
    /// A uuid that is in no dataset.
    NewUuid,
}

/// A column of a row of the dataset.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The table.
    pub from: String,
    /// The column. Default: the key.
    pub column: Option<String>,
    /// Rows to choose among: "tenant" (default), "all", or the name of an earlier draw (children of that row).
    pub within: Option<String>,
    /// How to choose. Default "uniform".
    pub pick: Option<Pick>,
    /// An overlay of the dataset, instead of `within`. Needs size.
    pub overlay: Option<String>,
    /// Which rows of the overlay.
    pub size: Option<u64>,
}

/// How to choose among rows or numbers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Pick {
    /// With the usual parameter: zipf 1.1, recent 5, gaussian 3.
    Word(PickWord),
    /// A few rows are drawn most often.
    Zipf(Zipf),
    /// Newest rows most often.
    Recent(Recent),
    /// Rows in the middle most often.
    Gaussian(Gaussian),
}

/// How to choose, with the usual parameter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PickWord {
    /// All alike.
    Uniform,
    /// A few rows are drawn most often (exponent 1.1).
    Zipf,
    /// Newest rows most often (parameter 5).
    Recent,
    /// Rows in the middle most often (parameter 3).
    Gaussian,
}

/// A few rows are drawn most often.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zipf {
    /// The exponent, 0.1 to 10.
    pub zipf: f64,
}

/// Newest rows most often.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recent {
    /// pgbench's exponential parameter, 0.1 to 100; larger is more lopsided.
    pub recent: f64,
}

/// Rows in the middle most often.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gaussian {
    /// pgbench's Gaussian parameter, 2 to 100; larger is narrower.
    pub gaussian: f64,
}

/// Another column of a row that was drawn before.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Of {
    /// Name of the earlier draw.
    pub of: String,
    /// The column.
    pub column: String,
}

/// A column of the tenant's row.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// The column of the tenants table.
    pub tenant: String,
}

/// A whole number.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Int {
    /// The least and the greatest.
    pub int: [i64; 2],
    /// How to choose: anything but "recent". Default "uniform".
    pub pick: Option<Pick>,
}

/// One of these texts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The texts.
    pub choice: Vec<String>,
}

/// The dataset's now minus this.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ago {
    /// A duration with a unit, such as "30d".
    pub ago: String,
}

/// A text of so many words.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// How many.
    pub words: u32,
}

/// A query vector.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct QueryVector {
    /// `table.column` of the vectors to search in.
    pub query_vector: String,
}

/// New rows as a JSON array of objects.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// The table.
    pub rows: String,
    /// How many.
    pub count: u32,
    /// Name of an earlier draw of a row that owns them. Default: parents are drawn within the tenant.
    pub parent: Option<String>,
}

/// A constant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Const {
    /// Its value.
    pub r#const: Scalar,
}

/// A text, a number or a truth value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// Text.
    Text(String),
    /// Number.
    Number(f64),
    /// Truth value.
    Bool(bool),
}

/// One value for all arms, or one for each by its name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PerArm<T> {
    /// The same for all.
    Plain(T),
    /// Told apart.
    Apart(BTreeMap<String, T>),
}

/// How many elements a statement takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Chunk {
    /// So many.
    Count(u32),
    /// As many as the sweep says for an arm: "{{batch}}".
    Swept(String),
}

/// The arms that run a statement.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Only {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// What each repetition of a statement is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Repeat {
    /// A statement; all share one request and its transaction.
    Statement,
    /// A request of its own.
    Request,
}

/// One statement, timed on its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Statement {
    /// Its name: letters, digits, - and _. Statements of one name on an arm and the baseline are compared.
    pub name: String,
    /// The arms that run it, by name. Default: all.
    pub only: Option<Only>,
    /// Number of the request that it belongs to; statements of one request share a transaction. Default: all in one.
    pub request: Option<u32>,
    /// One SQL statement with :name parameters, or one for each arm.
    pub sql: PerArm<String>,
    /// The exact form of a vector search, for recall; or one for each arm.
    pub exact: Option<PerArm<String>>,
    /// Run once per chunk of a `rows` draw: { rows = 1 }; or one for each arm.
    pub each: Option<PerArm<BTreeMap<String, Chunk>>>,
    /// What each repetition is. Default: a statement, all in one request.
    pub repeat: Option<Repeat>,
    /// Settings that are set locally, such as { "hnsw.ef_search" = "100" }; or one for each arm.
    pub set: Option<PerArm<BTreeMap<String, Scalar>>>,
    /// Texts that the plan must hold, on all arms but the baseline; or one for each arm.
    pub plan_has: Option<PerArm<Vec<String>>>,
    /// Texts that the plan must not hold, on all arms but the baseline; or one for each arm.
    pub plan_lacks: Option<PerArm<Vec<String>>>,
    /// What the author expects of it. Needs expect-why.
    pub expect: Option<super::schema::Expect>,
    /// Why that is expected.
    pub expect_why: Option<String>,
}

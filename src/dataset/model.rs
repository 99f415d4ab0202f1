//! What a dataset file says, resolved: names are numbers, durations are microseconds, every reference exists and no cycle is left.

use std::sync::Arc;

use super::{ColumnId, TableId, Value};

/// What `dataset.toml` says, validated.
#[derive(Clone, Debug)]
pub struct Model {
    /// For people.
    pub title: String,
    /// The dataset's clock, microseconds since 1970-01-01 UTC.
    pub now_us: i64,
    pub(super) tenants: TableId,
    /// Exponent of tenant sizes.
    pub(super) tenant_zipf: f64,
    pub(super) membership: Option<MembershipModel>,
    pub(super) tables: Vec<TableModel>,
    pub(super) overlays: Vec<OverlayModel>,
}

#[derive(Clone, Debug)]
pub(super) struct MembershipModel {
    pub users: TableId,
    pub table: TableId,
    /// Strongest first; the last takes whoever is left.
    pub roles: Vec<RoleModel>,
    /// Share of users without the strongest role who have a second tenant.
    pub second: f64,
}

#[derive(Clone, Debug)]
pub(super) struct RoleModel {
    pub name: Arc<str>,
    pub share: RoleShare,
}

/// How many of a tenant's users have a role.
#[derive(Clone, Copy, Debug)]
pub(super) enum RoleShare {
    /// So many, the first of the tenant.
    First(u64),
    /// A share of the tenant's users, rounded, after those before.
    Share(f64),
    /// All who are left.
    Rest,
}

#[derive(Clone, Debug)]
pub(super) struct TableModel {
    pub name: String,
    pub size: Size,
    /// Never fewer, at any scale.
    pub least: u64,
    pub key: ColumnId,
    pub parent: Option<TableId>,
    pub skew: Skew,
    /// Children of each parent, at the least.
    pub at_least: u64,
    pub order: Order,
    pub sizing: SizedBy,
    pub columns: Vec<ColumnModel>,
}

/// How many rows a table has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    /// In all, at scale 1.
    Total(u64),
    /// For each parent, from one number to another.
    Each(u64, u64),
    /// One for each home membership and one for each guest.
    Memberships,
}

/// How unevenly rows fall on parents of equal weight.
#[derive(Clone, Copy, Debug)]
pub(super) enum Skew {
    Even,
    /// By position among siblings.
    Zipf(f64),
    /// Random, with this sigma.
    LogNormal(f64),
}

/// In which order rows are loaded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Time(ColumnId),
    Shuffled,
    Key,
}

/// What a table's size follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum SizedBy {
    Scale,
    Vectors,
}

#[derive(Clone, Debug)]
pub(super) struct ColumnModel {
    pub name: String,
    pub cell: Cell,
}

#[derive(Clone, Debug)]
pub(super) struct OverlayModel {
    pub name: String,
    pub table: TableId,
    pub child: TableId,
    pub sizes: Vec<u64>,
    pub copies: u64,
}

/// A column of a table.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct ColumnRef {
    pub table: TableId,
    pub column: ColumnId,
}

/// A generator with its share of NULL.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub kind: Kind,
    pub null: f64,
}

/// How a value comes about.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Uuid,
    /// Row number from 1.
    Serial,
    /// Position among siblings from 0.
    Position,
    /// Number of siblings, itself included.
    Siblings,
    Const(Value),
    Choice {
        values: Vec<Value>,
        cumulative: Vec<f64>,
    },
    /// By position among siblings.
    Cycle(Vec<Value>),
    Int(i64, i64),
    Float(f64, f64, NumberAs),
    LogNormal {
        median: f64,
        sigma: f64,
        min: f64,
        max: f64,
        as_: NumberAs,
    },
    Bool(f64),
    /// Of the parent, or an ancestor.
    Ancestor(ColumnRef),
    /// Of the first row of a table in the same tenant.
    First(ColumnRef),
    /// Of any row of a table in the same tenant.
    Pick(ColumnRef),
    /// Of the same row.
    Same(ColumnId),
    Template(Vec<Piece>),
    Recent {
        window_us: i64,
        half_life_us: Option<i64>,
        rhythm: Rhythm,
    },
    /// After a column of the same row.
    After {
        column: ColumnId,
        within_us: i64,
    },
    /// After a column of the parent, step by step.
    Step {
        after: ColumnRef,
        step_us: i64,
        jitter: f64,
    },
    Json(Vec<(String, Cell)>),
    Array {
        of: Box<Cell>,
        low: u64,
        high: u64,
    },
    Fake(FakeKind),
    /// Words, from one number to another.
    Words(u64, u64),
    /// Sentences of a chat, words from one number to another.
    Chat(u64, u64),
    /// Sentences of a web page, characters from one number to another.
    Page(u64, u64),
    Vector(VectorModel),
    MemberUser,
    MemberTenant,
    MemberRole,
}

/// Which kind of number is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) enum NumberAs {
    Float,
    Int,
    Decimal(u8),
}

/// Whether events follow the hours of a day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rhythm {
    Flat,
    Day,
}

#[derive(Clone, Debug)]
pub(super) enum Piece {
    Literal(String),
    Hex(u64),
    Row,
    Position,
    Int(i64, i64),
    Fake(FakeKind),
    Column(ColumnRef),
}

/// Kinds of made-up text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum FakeKind {
    Name,
    Company,
    Email,
    Domain,
    Sentence,
    Paragraph,
    Title,
    Url,
    Word,
    City,
}

impl FakeKind {
    /// All, by the name they have in a file.
    pub const WORDS: [(&'static str, FakeKind); 10] = [
        ("name", FakeKind::Name),
        ("company", FakeKind::Company),
        ("email", FakeKind::Email),
        ("domain", FakeKind::Domain),
        ("sentence", FakeKind::Sentence),
        ("paragraph", FakeKind::Paragraph),
        ("title", FakeKind::Title),
        ("url", FakeKind::Url),
        ("word", FakeKind::Word),
        ("city", FakeKind::City),
    ];
}

/// A mixture of low-rank clusters on the unit sphere.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct VectorModel {
    pub dim: usize,
    pub clusters: u64,
    /// Dimensions in which a cluster spreads.
    pub rank: usize,
    /// Length of the deviation within those, in lengths of a centre.
    pub spread: f64,
    /// Length of the deviation in all dimensions.
    pub noise: f64,
    /// Exponent of cluster sizes.
    pub cluster_zipf: f64,
    /// Share of a tenant's vectors that lie in the few clusters it prefers.
    pub tenant_affinity: f64,
}

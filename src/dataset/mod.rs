//! The synthetic data of a suite, as a model: tables, tenants, skew, and the value of every cell.
//!
//! A [`Model`] is what `dataset.toml` says. A [`Dataset`] is a model at a size and a seed. From it, the value of column c in row i of
//! table t is a pure function of (seed, t, c, i): the same on every machine, with any number of threads, in any order. Nothing here
//! does I/O or knows SQL; `seed` turns rows into COPY, `check` asks who may see which row, `load::bind` draws parameters.
//!
//! Rows of a table are numbered from 0 and laid out by owner: the children of one parent are neighbours, and so are all rows of one
//! tenant. Who owns row i is therefore a binary search, and "the conversations of tenant 7" is a range. The order in which
//! rows are *loaded* is another one ([`Dataset::load_order`]), because a heap sorted by tenant would flatter every index.

use std::ops::Range;
use std::sync::Arc;

/// Number of a table in its dataset, in file order.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TableId(pub u16);

/// Number of a column in its table, in file order.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ColumnId(pub u16);

/// Number of a tenant, from 0; 0 is the largest (the whale).
pub type Tenant = u32;

/// One value of a cell or a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// boolean
    Bool(bool),
    /// smallint, integer, bigint
    Int(i64),
    /// real, double precision, and numeric with a limited number of digits
    Float(f64),
    /// numeric: unscaled value and number of digits after the point
    Decimal(i64, u8),
    /// text, varchar; also JSON text for json and jsonb
    Text(Arc<str>),
    /// uuid, in network order
    Uuid([u8; 16]),
    /// timestamptz: microseconds since 1970-01-01 UTC
    Timestamp(i64),
    /// json, jsonb: the document's text
    Json(Arc<str>),
    /// vector
    Vector(Arc<[f32]>),
    /// An array of any of the others (one kind each)
    Array(Vec<Value>),
}

/// How large a tenant is among its peers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TenantClass {
    /// The largest tenant.
    Whale,
    /// The upper half, without the whale.
    Middle,
    /// The lower half by size.
    Tail,
}

impl TenantClass {
    /// All, largest first.
    pub const ALL: [TenantClass; 3] = [TenantClass::Whale, TenantClass::Middle, TenantClass::Tail];

    /// `whale`, `middle`, `tail`.
    pub fn name(self) -> &'static str {
        match self {
            TenantClass::Whale => "whale",
            TenantClass::Middle => "middle",
            TenantClass::Tail => "tail",
        }
    }
}

/// How large a dataset is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizing {
    /// Factor on row counts, 0.01 to 1,000.
    pub scale: f64,
    /// Rows of the tables that hold vectors; `None`: by `scale`, as the others.
    pub vectors: Option<u64>,
    /// Names of overlays to load too.
    pub overlays: Vec<String>,
}

/// One membership of a user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Membership {
    /// The tenant.
    pub tenant: Tenant,
    /// Role by name, such as `owner`.
    pub role: Arc<str>,
}

/// A person who can sign in.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Row in the users table.
    pub row: u64,
    /// Identity, what `auth.uid()` gives.
    pub id: [u8; 16],
    /// Memberships; the first is the home tenant.
    pub memberships: Vec<Membership>,
}

/// What `dataset.toml` says, validated.
#[derive(Clone, Debug)]
pub struct Model {}

/// A model at a size and a seed.
#[derive(Clone, Debug)]
pub struct Dataset {}

/// What is wrong with a dataset file, or a size it cannot have.
#[derive(Debug, thiserror::Error)]
#[error("dataset")]
pub struct DatasetError {}

impl Model {
    /// Parses and validates `text`, the contents of `file` (only named in errors).
    pub fn parse(file: &str, text: &str) -> Result<Model, DatasetError> {
        let _ = (file, text);
        todo!()
    }
}

impl Dataset {
    /// Plans the dataset: row counts, owners, memberships. No row is generated yet.
    pub fn plan(model: Arc<Model>, sizing: Sizing, seed: u64) -> Result<Dataset, DatasetError> {
        let _ = (model, sizing, seed);
        todo!()
    }
    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        todo!()
    }
    /// The seed.
    pub fn seed(&self) -> u64 {
        todo!()
    }
    /// The dataset's clock, microseconds since 1970-01-01 UTC.
    pub fn now(&self) -> i64 {
        todo!()
    }
    /// Ids of all tables, in load order (parents first).
    pub fn tables(&self) -> Vec<TableId> {
        todo!()
    }
    /// The table of the tenants themselves.
    pub fn tenants_table(&self) -> TableId {
        todo!()
    }
    /// A table by name (`messages`, `auth.users`).
    pub fn table(&self, name: &str) -> Option<TableId> {
        let _ = name;
        todo!()
    }
    /// Name of a table as SQL has it, schema-qualified if not in public.
    pub fn table_name(&self, table: TableId) -> &str {
        let _ = table;
        todo!()
    }
    /// Names of the columns that are generated, in order.
    pub fn columns(&self, table: TableId) -> Vec<&str> {
        let _ = table;
        todo!()
    }
    /// A column by name.
    pub fn column(&self, table: TableId, name: &str) -> Option<ColumnId> {
        let _ = (table, name);
        todo!()
    }
    /// The primary key column.
    pub fn key(&self, table: TableId) -> ColumnId {
        let _ = table;
        todo!()
    }
    /// Number of rows.
    pub fn rows(&self, table: TableId) -> u64 {
        let _ = table;
        todo!()
    }
    /// The value of a cell. Rows past the end are fresh rows (see [`Dataset::fresh_row`]) of an arbitrary parent.
    pub fn value(&self, table: TableId, row: u64, column: ColumnId) -> Value {
        let _ = (table, row, column);
        todo!()
    }
    /// A whole row.
    pub fn row(&self, table: TableId, row: u64) -> Vec<Value> {
        let _ = (table, row);
        todo!()
    }
    /// A row that is not in the dataset, for inserts: `number` makes its key unique, `parent` (a row of the parent table) owns it.
    pub fn fresh_row(&self, table: TableId, number: u64, parent: u64) -> Vec<Value> {
        let _ = (table, number, parent);
        todo!()
    }
    /// Row numbers in the order they are to be loaded (by time or shuffled, as the model says), a pure function as well.
    pub fn load_order(&self, table: TableId) -> Vec<u64> {
        let _ = table;
        todo!()
    }
    /// Number of tenants.
    pub fn tenants(&self) -> u32 {
        todo!()
    }
    /// The tenant's own row in the tenants table is row `tenant`; this is the class it belongs to.
    pub fn class(&self, tenant: Tenant) -> TenantClass {
        let _ = tenant;
        todo!()
    }
    /// Share of the data that belongs to each tenant; sums to 1.
    pub fn tenant_weights(&self) -> &[f64] {
        todo!()
    }
    /// Which tenant a row belongs to; `None` for tables that belong to nobody.
    pub fn tenant_of(&self, table: TableId, row: u64) -> Option<Tenant> {
        let _ = (table, row);
        todo!()
    }
    /// Row ranges of a tenant, at most two (a membership table has home and guest rows), never empty ones.
    pub fn rows_of_tenant(&self, table: TableId, tenant: Tenant) -> Vec<Range<u64>> {
        let _ = (table, tenant);
        todo!()
    }
    /// The parent table of a table, if it has one.
    pub fn parent_table(&self, table: TableId) -> Option<TableId> {
        let _ = table;
        todo!()
    }
    /// Row of the parent table that owns `row`.
    pub fn parent_of(&self, table: TableId, row: u64) -> Option<u64> {
        let _ = (table, row);
        todo!()
    }
    /// Rows of `child` (whose parent table is `parent`) that `row` owns.
    pub fn children_of(&self, parent: TableId, row: u64, child: TableId) -> Range<u64> {
        let _ = (parent, row, child);
        todo!()
    }
    /// The users table.
    pub fn users_table(&self) -> Option<TableId> {
        todo!()
    }
    /// Role names, strongest first.
    pub fn roles(&self) -> Vec<Arc<str>> {
        todo!()
    }
    /// A user by row of the users table.
    pub fn user(&self, row: u64) -> User {
        let _ = row;
        todo!()
    }
    /// Rows of the users table whose membership of `tenant` has `role` (`None`: any role), in rising order.
    pub fn members(&self, tenant: Tenant, role: Option<&str>) -> Vec<u64> {
        let _ = (tenant, role);
        todo!()
    }
    /// Rows of an overlay with their size, such as conversations of 100, 1,000 and 10,000 messages: `(size, row)`.
    pub fn overlay_rows(&self, overlay: &str) -> Vec<(u64, u64)> {
        let _ = overlay;
        todo!()
    }
    /// A query vector for a vector column: from the same mixture, held out of the data, near what `tenant` has.
    pub fn query_vector(&self, table: TableId, column: ColumnId, number: u64, tenant: Tenant) -> Option<Arc<[f32]>> {
        let _ = (table, column, number, tenant);
        todo!()
    }
    /// Estimated bytes on disk, heap and indexes, before anything is loaded.
    pub fn estimated_bytes(&self) -> u64 {
        todo!()
    }
}

/// The random stream of a purpose and a number: a window of a ChaCha8 stream, the same on every machine.
pub fn stream(seed: u64, purpose: &str, number: u64) -> rand_chacha::ChaCha8Rng {
    let _ = (seed, purpose, number);
    todo!()
}

//! The synthetic data of a suite, as a model: tables, tenants, skew, and the value of every cell.
//!
//! A [`Model`] is what `dataset.toml` says. A [`Dataset`] is a model at a size and a seed. From it, the value of column c in row i of
//! table t is a pure function of (seed, t, c, i): the same on every machine, with any number of threads, in any order. Nothing here
//! does I/O or knows SQL; `seed` turns rows into COPY, `check` asks who may see which row, `load::bind` draws parameters.
//!
//! Rows of a table are numbered from 0 and laid out by owner: the children of one parent are neighbours, and so are all rows of one
//! tenant. Who owns row i is therefore a binary search, and "the conversations of tenant 7" is a range. The order in which
//! rows are *loaded* is another one ([`Dataset::load_order`]), because a heap sorted by tenant would flatter every index.

//!
//! Parts: `wire` and `forms` read the file into a [`Model`]; `plan` makes counts and owners of it; `people` knows tenants and users;
//! `generate` makes values with `text`, `vector` and `rng`.

mod digest;
mod error;
mod forms;
mod generate;
mod model;
mod people;
mod plan;
mod read;
mod rng;
mod text;
mod vector;
mod wire;

use std::ops::Range;
use std::sync::Arc;

pub use digest::digest;
pub use error::{DatasetError, FileError};
pub use model::Model;
pub use rng::Streams;

use generate::Place;
use model::{ColumnModel, Kind, Order, TableModel};
use plan::{FRESH, Plan, TablePlan};
use vector::Mixture;

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

/// A model at a size and a seed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dataset {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    model: Arc<Model>,
    sizing: Sizing,
    seed: u64,
    plan: Plan,
    /// By table and column.
    columns: Vec<Vec<ColumnState>>,
    /// For the parents of fresh rows, by table.
    strays: Vec<Streams>,
}

/// What a column needs for its values.
#[derive(Debug)]
struct ColumnState {
    streams: Streams,
    mixture: Option<Mixture>,
}

impl Model {
    /// Parses and validates `text`, the contents of `file` (only named in errors).
    pub fn parse(file: &str, text: &str) -> Result<Model, DatasetError> {
        wire::parse(file, text)
    }
}

impl Dataset {
    /// Plans the dataset: row counts, owners, memberships. No row is generated yet.
    pub fn plan(model: Arc<Model>, sizing: Sizing, seed: u64) -> Result<Dataset, DatasetError> {
        let plan = plan::plan(&model, &sizing, seed)?;
        let state = |table: &TableModel, column: &ColumnModel| {
            let purpose = format!("{}.{}", table.name, column.name);
            let mixture = match &column.cell.kind {
                Kind::Vector(vector) => Some(Mixture::new(vector, seed, &purpose)),
                _ => None,
            };
            ColumnState { streams: Streams::new(seed, &purpose), mixture }
        };
        let columns = model.tables.iter().map(|t| t.columns.iter().map(|c| state(t, c)).collect()).collect();
        let strays = model.tables.iter().map(|t| Streams::new(seed, &format!("{}/stray", t.name))).collect();
        Ok(Dataset { inner: Arc::new(Inner { model, sizing, seed, plan, columns, strays }) })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.inner.model
    }

    /// The size it was planned with.
    pub fn sizing(&self) -> &Sizing {
        &self.inner.sizing
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.inner.seed
    }

    /// The dataset's clock, microseconds since 1970-01-01 UTC.
    pub fn now(&self) -> i64 {
        self.inner.model.now_us
    }

    /// Ids of all tables, in load order (parents first).
    pub fn tables(&self) -> Vec<TableId> {
        (0..self.inner.model.tables.len() as u16).map(TableId).collect()
    }

    /// A table by name (`messages`, `auth.users`).
    pub fn table(&self, name: &str) -> Option<TableId> {
        self.tables().into_iter().find(|t| self.table_name(*t) == name)
    }

    /// Name of a table as SQL has it, schema-qualified if not in public.
    pub fn table_name(&self, table: TableId) -> &str {
        self.table_model(table).map_or("", |t| &t.name)
    }

    /// Names of the columns that are generated, in order.
    pub fn columns(&self, table: TableId) -> Vec<&str> {
        self.table_model(table).map_or_else(Vec::new, |t| t.columns.iter().map(|c| c.name.as_str()).collect())
    }

    /// A column by name.
    pub fn column(&self, table: TableId, name: &str) -> Option<ColumnId> {
        let number = self.table_model(table)?.columns.iter().position(|c| c.name == name)?;
        u16::try_from(number).ok().map(ColumnId)
    }

    /// The primary key column.
    pub fn key(&self, table: TableId) -> ColumnId {
        self.table_model(table).map_or(ColumnId(0), |t| t.key)
    }

    /// Number of rows, overlays included.
    pub fn rows(&self, table: TableId) -> u64 {
        self.plan_of(table).map_or(0, |p| p.rows)
    }

    /// The value of a cell. Rows past the end are fresh rows (see [`Dataset::fresh_row`]) of an arbitrary parent.
    pub fn value(&self, table: TableId, row: u64, column: ColumnId) -> Value {
        self.cell_at(self.place(table, row), column)
    }

    /// A whole row.
    pub fn row(&self, table: TableId, row: u64) -> Vec<Value> {
        self.row_at(self.place(table, row))
    }

    /// A row that is not in the dataset, for inserts: `number` makes its key unique, `parent` (a row of the parent table) owns it.
    /// Its times are now and a little later.
    pub fn fresh_row(&self, table: TableId, number: u64, parent: u64) -> Vec<Value> {
        let parent = self.parent_table(table).map(|_| parent);
        self.row_at(Place { table, row: FRESH | number & (FRESH - 1), parent })
    }

    fn row_at(&self, place: Place) -> Vec<Value> {
        let columns = self.table_model(place.table).map_or(0, |t| t.columns.len() as u16);
        (0..columns).map(|c| self.cell_at(place, ColumnId(c))).collect()
    }

    /// Row numbers in the order they are to be loaded (by time or shuffled, as the model says), a pure function as well.
    pub fn load_order(&self, table: TableId) -> Vec<u64> {
        let rows = self.rows(table);
        match self.table_model(table).map_or(Order::Key, |t| t.order) {
            Order::Key => (0..rows).collect(),
            Order::Shuffled => {
                let purpose = format!("{}/order", self.table_name(table));
                rng::shuffled(&mut stream(self.seed(), &purpose, 0), rows)
            }
            Order::Time(column) => {
                let time = |row| if let Value::Timestamp(us) = self.value(table, row, column) { us } else { i64::MIN };
                let mut order: Vec<(i64, u64)> = (0..rows).map(|row| (time(row), row)).collect();
                order.sort_unstable();
                order.into_iter().map(|(_, row)| row).collect()
            }
        }
    }

    /// Number of tenants.
    pub fn tenants(&self) -> u32 {
        self.inner.plan.tenant_weights.len() as u32
    }

    /// The tenants table: row `t` is tenant `t`.
    pub fn tenants_table(&self) -> TableId {
        self.inner.model.tenants
    }

    /// Share of the data that belongs to each tenant; sums to 1.
    pub fn tenant_weights(&self) -> &[f64] {
        &self.inner.plan.tenant_weights
    }

    /// The parent table of a table, if it has one.
    pub fn parent_table(&self, table: TableId) -> Option<TableId> {
        self.table_model(table)?.parent
    }

    /// Row of the parent table that owns `row`.
    pub fn parent_of(&self, table: TableId, row: u64) -> Option<u64> {
        self.place(table, row).parent
    }

    /// Rows of `child` (whose parent table is `parent`) that `row` owns, without the overlays' own rows of `child`
    /// ([`Dataset::overlay_rows`]).
    pub fn children_of(&self, parent: TableId, row: u64, child: TableId) -> Range<u64> {
        match self.plan_of(child).filter(|_| self.parent_table(child) == Some(parent)) {
            Some(plan) => plan.children(row),
            None => 0..0,
        }
    }

    /// Rows of an overlay with their size, such as conversations of 100, 1,000 and 10,000 messages: `(size, row)`. Empty if it is not
    /// loaded.
    pub fn overlay_rows(&self, overlay: &str) -> Vec<(u64, u64)> {
        let number = self.inner.model.overlays.iter().position(|o| o.name == overlay);
        number.and_then(|n| self.inner.plan.overlays.get(n)).cloned().unwrap_or_default()
    }

    /// A query vector for a vector column: from the same mixture, held out of the data, near what `tenant` has.
    pub fn query_vector(&self, table: TableId, column: ColumnId, number: u64, tenant: Tenant) -> Option<Arc<[f32]>> {
        self.mixture(table, column).map(|m| m.query(number, u64::from(tenant)))
    }

    /// Names of a table's columns that hold vectors.
    pub fn vector_columns(&self, table: TableId) -> Vec<String> {
        let columns = self.table_model(table).map_or(&[][..], |model| &model.columns);
        columns.iter().filter(|column| matches!(column.cell.kind, Kind::Vector(_))).map(|column| column.name.clone()).collect()
    }

    /// Names of all overlays of the model, loaded or not.
    pub fn overlay_names(&self) -> Vec<String> {
        self.inner.model.overlays.iter().map(|overlay| overlay.name.clone()).collect()
    }

    /// Table and sizes of an overlay of the model, loaded or not.
    pub fn overlay(&self, name: &str) -> Option<(TableId, Vec<u64>)> {
        let overlay = self.inner.model.overlays.iter().find(|overlay| overlay.name == name)?;
        Some((overlay.table, overlay.sizes.clone()))
    }

    /// Rows that hold vectors, over all tables.
    pub fn vector_rows(&self) -> u64 {
        let holds = |table: &TableId| {
            self.table_model(*table).is_some_and(|model| model.columns.iter().any(|column| matches!(column.cell.kind, Kind::Vector(_))))
        };
        self.tables().into_iter().filter(holds).map(|table| self.rows(table)).sum()
    }

    /// Estimated bytes on disk, heap and indexes, before anything is loaded. From a few rows of each table; good to a factor of
    /// about 1.5.
    pub fn estimated_bytes(&self) -> u64 {
        self.tables().into_iter().map(|t| self.estimated_table_bytes(t)).fold(0, u64::saturating_add)
    }

    /// The same of one table.
    pub fn estimated_table_bytes(&self, table: TableId) -> u64 {
        self.bytes_a_row(table).saturating_mul(self.rows(table))
    }

    /// Bytes of a row: tuple header and line pointer (28), values, about 40 an index for three of them. A vector of more than 2 kB
    /// lies in TOAST in four pieces a page of 8 kB, and once more in its index, as pages of HNSW hold whole vectors.
    fn bytes_a_row(&self, table: TableId) -> u64 {
        const SAMPLE: u64 = 32;
        let rows = self.rows(table);
        let columns = self.table_model(table).map_or(&[][..], |t| &t.columns);
        let mut bytes = 28 + 3 * 40;
        for (number, column) in columns.iter().enumerate() {
            if let Kind::Vector(vector) = &column.cell.kind {
                let pages = (vector.dim as u64 * 4).div_ceil(7_900).max(1);
                bytes += if vector.dim > 500 { 2 * pages * 8_192 } else { 3 * (vector.dim as u64 * 4) };
                continue;
            }
            let sampled = SAMPLE.min(rows);
            let size = |i| width(&self.value(table, i * (rows / sampled.max(1)), ColumnId(number as u16)));
            bytes += (0..sampled).map(size).sum::<u64>() / sampled.max(1);
        }
        bytes
    }

    fn table_model(&self, table: TableId) -> Option<&TableModel> {
        self.inner.model.tables.get(usize::from(table.0))
    }

    fn column_model(&self, table: TableId, column: ColumnId) -> Option<&ColumnModel> {
        self.table_model(table)?.columns.get(usize::from(column.0))
    }

    fn layout(&self) -> &Plan {
        &self.inner.plan
    }

    fn plan_of(&self, table: TableId) -> Option<&TablePlan> {
        self.inner.plan.tables.get(usize::from(table.0))
    }

    fn state(&self, table: TableId, column: ColumnId) -> Option<&ColumnState> {
        self.inner.columns.get(usize::from(table.0))?.get(usize::from(column.0))
    }

    fn mixture(&self, table: TableId, column: ColumnId) -> Option<&Mixture> {
        self.state(table, column)?.mixture.as_ref()
    }

    /// The parent row that owns a row; of a fresh row, any.
    fn owner(&self, table: TableId, row: u64) -> Option<u64> {
        let parents = self.plan_of(self.parent_table(table)?)?.base;
        let plan = self.plan_of(table)?;
        if row < plan.rows {
            return plan.parent(row);
        }
        let strays = self.inner.strays.get(usize::from(table.0))?;
        (parents > 0).then(|| rng::below(&mut strays.at(row), parents))
    }
}

/// Bytes of a value in a heap tuple.
fn width(value: &Value) -> u64 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int(_) | Value::Float(_) | Value::Timestamp(_) | Value::Decimal(..) => 8,
        Value::Uuid(_) => 16,
        Value::Text(text) => text.len() as u64 + 4,
        // jsonb has an entry of 4 bytes for each key and value.
        Value::Json(text) => text.len() as u64 + 24,
        Value::Vector(x) => x.len() as u64 * 4 + 8,
        Value::Array(items) => 24 + items.iter().map(width).sum::<u64>(),
    }
}

/// The random stream of a purpose and a number, the same on every machine. For many numbers of one purpose keep a [`Streams`].
pub fn stream(seed: u64, purpose: &str, number: u64) -> rand_chacha::ChaCha8Rng {
    Streams::new(seed, purpose).at(number)
}

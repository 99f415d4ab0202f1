//! From a sequence number to what one arrival runs: transaction, tenant, identity, parameters.
//!
//! Pure: the same (seed, sequence number) gives the same [`Arrival`] on every machine and for both variants, and no database is asked.
//! Because parameters come from the dataset's model, the harness knows which tenant every row it asks for belongs to.

mod json;
pub use json::{array as json_array, decimal, timestamp};
pub mod pick;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::dataset::{ColumnId, Dataset, TableId, Tenant, TenantClass, User, Value, stream};
use crate::scenario::{Constant, Draw, Identity, Pick, Scenario, TenantPick, Transaction, Within};

/// Bits of a sequence number that count arrivals within a block; the bits above tell blocks apart.
const SEQUENCE_BITS: u32 = 20;

/// Arrivals that one block can hold before it would run into the numbers of the next.
pub const SEQUENCES_PER_BLOCK: u64 = 1 << SEQUENCE_BITS;

/// What a range of sequence numbers is for. Ranges never overlap, so no warm-up ever replays what is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Range64 {
    /// The measured part of pair `n`, both blocks alike.
    Pair(u32),
    /// Warm-up before block `n`.
    WarmUp(u32),
    /// Capacity probe `n`.
    Probe(u32),
    /// Checks before timing.
    Check(u32),
    /// Evidence: plans and counters.
    Evidence(u32),
}

impl Range64 {
    /// First sequence number of the range.
    pub fn first(self) -> u64 {
        let (purpose, number) = match self {
            Range64::Pair(n) => (0, n),
            Range64::WarmUp(n) => (1, n),
            Range64::Probe(n) => (2, n),
            Range64::Check(n) => (3, n),
            Range64::Evidence(n) => (4, n),
        };
        // 22 bits of blocks for each purpose: four million blocks.
        (purpose << 42) | (u64::from(n22(number)) << SEQUENCE_BITS)
    }
}

fn n22(number: u32) -> u32 {
    number & 0x3f_ffff
}

/// What one arrival runs.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its number.
    pub sequence: u64,
    /// Position of its transaction in the scenario.
    pub transaction: usize,
    /// The tenant it is run for.
    pub tenant: Option<Tenant>,
    /// Size class of that tenant.
    pub class: TenantClass,
    /// Who runs it.
    pub actor: Actor,
    /// A value for each draw of the transaction, in order.
    pub values: Vec<Bound>,
}

impl Arrival {
    /// Leaves one row of each drawn row set.
    pub fn keep_one_row(&mut self) {
        for value in &mut self.values {
            if let Bound::Rows(rows) = value {
                rows.truncate(1);
            }
        }
    }
}

/// Who runs a transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Actor {
    /// A signed-in user.
    User(User),
    /// Role anon.
    Anon,
    /// Role service_role.
    Service,
    /// The login role, no preamble.
    Login,
}

/// The value of a draw.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// One value.
    One(Value),
    /// Rows to insert, each a JSON object.
    Rows(Vec<String>),
}

/// Why a scenario cannot be bound to a dataset.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A table that the dataset lacks.
    #[error("transaction {transaction}, draw.{draw}: the dataset has no table {table}; it has {known}")]
    Table {
        /// Transaction.
        transaction: String,
        /// Draw.
        draw: String,
        /// Named table.
        table: String,
        /// What there is.
        known: String,
    },
    /// A column that the table lacks.
    #[error("transaction {transaction}, draw.{draw}: table {table} has no column {column}; it has {known}")]
    Column {
        /// Transaction.
        transaction: String,
        /// Draw.
        draw: String,
        /// Table.
        table: String,
        /// Named column.
        column: String,
        /// What there is.
        known: String,
    },
    /// A draw that another needs and that is no row.
    #[error("transaction {transaction}, draw.{draw}: {parameter} is not a row drawn before it")]
    Parameter {
        /// Transaction.
        transaction: String,
        /// Draw.
        draw: String,
        /// Named parameter.
        parameter: String,
    },
    /// No tenant can run it.
    #[error(
        "transaction {transaction}: no tenant has what it draws (rows of {tables}, a member with the role {role}); \
         use a larger --scale or another draw"
    )]
    NoTenant {
        /// Transaction.
        transaction: String,
        /// Tables that it draws from within the tenant.
        tables: String,
        /// Role that it asks for.
        role: String,
    },
    /// An overlay without rows of that size.
    #[error("transaction {transaction}, draw.{draw}: overlay {overlay} is not loaded or has no rows of size {size}")]
    Overlay {
        /// Transaction.
        transaction: String,
        /// Draw.
        draw: String,
        /// Overlay.
        overlay: String,
        /// Size.
        size: u64,
    },
}

/// A scenario's transactions, ready to be drawn from a dataset.
#[derive(Debug)]
pub struct Mix {
    dataset: Arc<Dataset>,
    seed: u64,
    transactions: Vec<Bindable>,
    total_weight: f64,
}

#[derive(Debug)]
struct Bindable {
    weight: f64,
    identity: Identity,
    tenant_pick: TenantPick,
    /// Tenants that can run it, with cumulated weights.
    tenants: Vec<(Tenant, f64)>,
    draws: Vec<Ready>,
}

/// A draw with its names looked up.
#[derive(Debug)]
enum Ready {
    Row { table: TableId, column: ColumnId, within: ReadyWithin, pick: Pick, recent: Option<Arc<BTreeMap<Tenant, Vec<u64>>>> },
    Of { draw: usize, table: TableId, column: ColumnId },
    Tenant { table: TableId, column: ColumnId },
    User,
    Int { min: i64, max: i64, pick: Pick },
    Fixed(Value),
    Choice(Vec<Arc<str>>),
    Words(u32),
    NewUuid,
    QueryVector { table: TableId, column: ColumnId },
    Rows { table: TableId, count: u32, parent: Option<usize> },
}

#[derive(Debug)]
enum ReadyWithin {
    All,
    Tenant,
    Children { draw: usize, table: TableId },
    Listed(Vec<u64>),
}

impl Mix {
    /// Looks up every name of the scenario in the dataset.
    pub fn new(dataset: Arc<Dataset>, scenario: &Scenario, seed: u64) -> Result<Mix, BindError> {
        let transactions =
            scenario.transactions.iter().map(|transaction| Bindable::new(&dataset, transaction)).collect::<Result<Vec<_>, _>>()?;
        let total_weight = transactions.iter().map(|t| t.weight).sum();
        Ok(Mix { dataset, seed, transactions, total_weight })
    }

    /// The dataset that parameters are drawn from.
    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// What arrival `sequence` runs.
    pub fn arrival(&self, sequence: u64) -> Arrival {
        let mut rng = stream(self.seed, "arrival", sequence);
        let mut point = rng.random::<f64>() * self.total_weight;
        let mut transaction = 0;
        for (index, candidate) in self.transactions.iter().enumerate() {
            transaction = index;
            point -= candidate.weight;
            if point < 0.0 {
                break;
            }
        }
        self.build(sequence, transaction, None, None, &mut rng)
    }

    /// The arrival of one transaction, for checks: with a tenant and a user of the caller's choice where given.
    pub fn arrival_of(&self, sequence: u64, transaction: usize, tenant: Option<Tenant>, user: Option<u64>) -> Arrival {
        let mut rng = stream(self.seed, "arrival", sequence);
        self.build(sequence, transaction, tenant, user, &mut rng)
    }

    /// Tenants that can run a transaction: they have rows of every table it draws from.
    pub fn tenants_for(&self, transaction: usize) -> Vec<Tenant> {
        self.transactions.get(transaction).map(|t| t.tenants.iter().map(|(tenant, _)| *tenant).collect()).unwrap_or_default()
    }

    fn build(&self, sequence: u64, index: usize, tenant: Option<Tenant>, user: Option<u64>, rng: &mut ChaCha8Rng) -> Arrival {
        let transaction = &self.transactions[index];
        let tenant = tenant.or_else(|| transaction.pick_tenant(rng));
        let actor = self.actor(transaction, tenant, user, rng);
        let mut values = Vec::with_capacity(transaction.draws.len());
        let mut rows = Vec::with_capacity(transaction.draws.len());
        for draw in &transaction.draws {
            let (row, bound) = self.draw(draw, sequence, tenant, &actor, &rows, rng);
            rows.push(row);
            values.push(bound);
        }
        let class = tenant.map_or(TenantClass::Tail, |tenant| self.dataset.class(tenant));
        Arrival { sequence, transaction: index, tenant, class, actor, values }
    }

    fn actor(&self, transaction: &Bindable, tenant: Option<Tenant>, user: Option<u64>, rng: &mut ChaCha8Rng) -> Actor {
        match &transaction.identity {
            Identity::Anon => Actor::Anon,
            Identity::Service => Actor::Service,
            Identity::None => Actor::Login,
            Identity::Member { role } => {
                let row = user.or_else(|| {
                    let members = self.dataset.members(tenant?, role.as_deref());
                    (!members.is_empty()).then(|| members[pick::uniform(members.len() as u64, rng) as usize])
                });
                row.map_or(Actor::Anon, |row| Actor::User(self.dataset.user(row)))
            }
        }
    }

    fn draw(
        &self,
        draw: &Ready,
        sequence: u64,
        tenant: Option<Tenant>,
        actor: &Actor,
        rows: &[Option<u64>],
        rng: &mut ChaCha8Rng,
    ) -> (Option<u64>, Bound) {
        let dataset = &*self.dataset;
        let one = |value| (None, Bound::One(value));
        match draw {
            Ready::Row { table, column, within, pick, recent } => {
                let row = match (within, recent, tenant) {
                    (ReadyWithin::Tenant, Some(by_age), Some(tenant)) => {
                        by_age.get(&tenant).and_then(|rows| pick::index(*pick, rows.len() as u64, rng).map(|i| rows[i as usize]))
                    }
                    _ => {
                        let ranges = self.ranges(*table, within, tenant, rows);
                        let total = ranges.iter().map(|r| r.end - r.start).sum();
                        pick::index(*pick, total, rng).and_then(|index| nth(&ranges, index))
                    }
                };
                let row = match within {
                    ReadyWithin::Listed(listed) => row.and_then(|index| listed.get(index as usize).copied()),
                    _ => row,
                };
                (row, Bound::One(row.map_or(Value::Null, |row| dataset.value(*table, row, *column))))
            }
            Ready::Of { draw, table, column } => {
                let row = rows.get(*draw).copied().flatten();
                (row, Bound::One(row.map_or(Value::Null, |row| dataset.value(*table, row, *column))))
            }
            Ready::Tenant { table, column } => {
                let row = tenant.map(u64::from);
                (row, Bound::One(row.map_or(Value::Null, |row| dataset.value(*table, row, *column))))
            }
            Ready::User => one(match actor {
                Actor::User(user) => Value::Uuid(user.id),
                _ => Value::Null,
            }),
            Ready::Int { min, max, pick } => {
                let span = (i128::from(*max) - i128::from(*min) + 1).clamp(1, i128::from(u64::MAX)) as u64;
                let offset = pick::index(*pick, span, rng).unwrap_or(0);
                one(Value::Int(min.saturating_add_unsigned(offset)))
            }
            Ready::Fixed(value) => one(value.clone()),
            Ready::Choice(texts) => {
                let text = texts.get(pick::uniform(texts.len() as u64, rng) as usize);
                one(text.map_or(Value::Null, |text| Value::Text(text.clone())))
            }
            Ready::Words(count) => one(Value::Text(pick::words(*count, rng).into())),
            Ready::NewUuid => one(Value::Uuid(pick::uuid(rng))),
            Ready::QueryVector { table, column } => {
                let vector = dataset.query_vector(*table, *column, sequence, tenant.unwrap_or(0));
                one(vector.map_or(Value::Null, Value::Vector))
            }
            Ready::Rows { table, count, parent } => {
                (None, Bound::Rows(self.fresh_rows(*table, *count, *parent, sequence, tenant, rows, rng)))
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn fresh_rows(
        &self,
        table: TableId,
        count: u32,
        parent: Option<usize>,
        sequence: u64,
        tenant: Option<Tenant>,
        rows: &[Option<u64>],
        rng: &mut ChaCha8Rng,
    ) -> Vec<String> {
        let dataset = &*self.dataset;
        let columns = dataset.columns(table);
        let owners = match (dataset.parent_table(table), tenant) {
            (Some(parent), Some(tenant)) => dataset.rows_of_tenant(parent, tenant),
            (Some(parent), None) => std::iter::once(0..dataset.rows(parent)).collect(),
            (None, _) => Vec::new(),
        };
        let total = owners.iter().map(|r| r.end - r.start).sum();
        (0..u64::from(count))
            .map(|position| {
                let drawn = parent.and_then(|draw| rows.get(draw).copied().flatten());
                let owner = drawn.or_else(|| pick::index(Pick::Uniform, total, rng).and_then(|i| nth(&owners, i))).unwrap_or(0);
                // Numbers never meet: a sequence number is used once in a run, and takes `count` of them.
                let number = sequence.wrapping_mul(u64::from(count)).wrapping_add(position);
                json::object(&columns, &dataset.fresh_row(table, number, owner))
            })
            .collect()
    }

    fn ranges(&self, table: TableId, within: &ReadyWithin, tenant: Option<Tenant>, rows: &[Option<u64>]) -> Vec<Range<u64>> {
        let dataset = &*self.dataset;
        match within {
            ReadyWithin::All => std::iter::once(0..dataset.rows(table)).collect(),
            ReadyWithin::Tenant => tenant.map(|tenant| dataset.rows_of_tenant(table, tenant)).unwrap_or_default(),
            ReadyWithin::Children { draw, table: parent } => {
                let row = rows.get(*draw).copied().flatten();
                row.map(|row| dataset.children_of(*parent, row, table)).into_iter().collect()
            }
            ReadyWithin::Listed(listed) => std::iter::once(0..listed.len() as u64).collect(),
        }
    }
}

fn nth(ranges: &[Range<u64>], mut index: u64) -> Option<u64> {
    for range in ranges {
        let length = range.end - range.start;
        if index < length {
            return Some(range.start + index);
        }
        index -= length;
    }
    None
}

impl Bindable {
    fn new(dataset: &Dataset, transaction: &Transaction) -> Result<Bindable, BindError> {
        let mut draws: Vec<Ready> = Vec::new();
        for (name, draw) in &transaction.draws {
            let names = Names { dataset, transaction, draw: name, earlier: &draws };
            let ready = names.resolve(draw)?;
            draws.push(ready);
        }
        let mut bindable = Bindable {
            weight: transaction.weight,
            identity: transaction.identity.clone(),
            tenant_pick: transaction.tenants,
            tenants: Vec::new(),
            draws,
        };
        bindable.find_tenants(dataset, transaction)?;
        Ok(bindable)
    }

    /// Tenants with a member of the wanted role and rows of every table drawn from within the tenant.
    fn find_tenants(&mut self, dataset: &Dataset, transaction: &Transaction) -> Result<(), BindError> {
        let mut needed = Vec::new();
        for draw in &self.draws {
            match draw {
                Ready::Row { table, within: ReadyWithin::Tenant, .. } => needed.push(*table),
                Ready::Rows { table, parent: None, .. } => needed.extend(dataset.parent_table(*table)),
                _ => {}
            }
        }
        let role = match &self.identity {
            Identity::Member { role } => Some(role.as_deref()),
            _ => None,
        };
        let mut cumulated = 0.0;
        for tenant in 0..dataset.tenants() {
            let has_rows = needed.iter().all(|table| !dataset.rows_of_tenant(*table, tenant).is_empty());
            let has_member = role.is_none_or(|role| !dataset.members(tenant, role).is_empty());
            let wanted = self.tenant_pick != TenantPick::Whale || tenant == 0;
            if has_rows && has_member && wanted {
                cumulated += match self.tenant_pick {
                    TenantPick::ByWeight => dataset.tenant_weights().get(tenant as usize).copied().unwrap_or(0.0),
                    TenantPick::Uniform | TenantPick::Whale => 1.0,
                };
                self.tenants.push((tenant, cumulated));
            }
        }
        if self.tenants.is_empty() {
            return Err(BindError::NoTenant {
                transaction: transaction.name.clone(),
                tables: needed.iter().map(|table| dataset.table_name(*table)).collect::<Vec<_>>().join(", "),
                role: role.flatten().unwrap_or("any").to_owned(),
            });
        }
        Ok(())
    }

    fn pick_tenant(&self, rng: &mut ChaCha8Rng) -> Option<Tenant> {
        let total = self.tenants.last()?.1;
        let point = rng.random::<f64>() * total;
        let index = self.tenants.partition_point(|(_, cumulated)| *cumulated <= point);
        self.tenants.get(index.min(self.tenants.len() - 1)).map(|(tenant, _)| *tenant)
    }
}

/// Looks names up and says what there is instead.
struct Names<'a> {
    dataset: &'a Dataset,
    transaction: &'a Transaction,
    draw: &'a str,
    earlier: &'a [Ready],
}

impl Names<'_> {
    fn resolve(&self, draw: &Draw) -> Result<Ready, BindError> {
        Ok(match draw {
            Draw::Row { from, column, within, pick } => {
                let table = self.table(from)?;
                let column = self.column(table, column.as_deref())?;
                let within = self.within(within)?;
                let recent = match (pick, &within) {
                    (Pick::Recent(_), ReadyWithin::Tenant) => Some(self.by_age(table)?),
                    _ => None,
                };
                Ready::Row { table, column, within, pick: *pick, recent }
            }
            Draw::Of(parameter, column) => {
                let (draw, table) = self.earlier_row(parameter)?;
                Ready::Of { draw, table, column: self.column(table, Some(column))? }
            }
            Draw::Tenant(column) => {
                // Tenants are the rows of the root table, which is the first in load order by construction of the model.
                let table = self.dataset.tenants_table();
                Ready::Tenant { table, column: self.column(table, column.as_deref())? }
            }
            Draw::User => Ready::User,
            Draw::Int { min, max, pick } => Ready::Int { min: *min, max: *max, pick: *pick },
            Draw::Constant(constant) => Ready::Fixed(match constant {
                Constant::Int(value) => Value::Int(*value),
                Constant::Float(value) => Value::Float(*value),
                Constant::Text(text) => Value::Text(text.as_str().into()),
                Constant::Bool(value) => Value::Bool(*value),
            }),
            Draw::Choice(texts) => Ready::Choice(texts.iter().map(|text| text.as_str().into()).collect()),
            Draw::Ago(ago) => Ready::Fixed(Value::Timestamp(self.dataset.now() - ago.as_micros() as i64)),
            Draw::Words(count) => Ready::Words(*count),
            Draw::NewUuid => Ready::NewUuid,
            Draw::QueryVector(table, column) => {
                let table = self.table(table)?;
                Ready::QueryVector { table, column: self.column(table, Some(column))? }
            }
            Draw::Rows { table, count, parent } => {
                let table = self.table(table)?;
                let parent = parent.as_deref().map(|parameter| self.earlier_row(parameter)).transpose()?;
                Ready::Rows { table, count: *count, parent: parent.map(|(draw, _)| draw) }
            }
        })
    }

    fn within(&self, within: &Within) -> Result<ReadyWithin, BindError> {
        Ok(match within {
            Within::All => ReadyWithin::All,
            Within::Tenant => ReadyWithin::Tenant,
            Within::Parameter(parameter) => {
                let (draw, table) = self.earlier_row(parameter)?;
                ReadyWithin::Children { draw, table }
            }
            Within::Overlay { overlay, size } => {
                let rows: Vec<u64> =
                    self.dataset.overlay_rows(overlay).into_iter().filter(|(s, _)| s == size).map(|(_, row)| row).collect();
                if rows.is_empty() {
                    return Err(BindError::Overlay {
                        transaction: self.transaction.name.clone(),
                        draw: self.draw.to_owned(),
                        overlay: overlay.clone(),
                        size: *size,
                    });
                }
                ReadyWithin::Listed(rows)
            }
        })
    }

    fn table(&self, name: &str) -> Result<TableId, BindError> {
        self.dataset.table(name).ok_or_else(|| BindError::Table {
            transaction: self.transaction.name.clone(),
            draw: self.draw.to_owned(),
            table: name.to_owned(),
            known: self.dataset.tables().iter().map(|table| self.dataset.table_name(*table)).collect::<Vec<_>>().join(", "),
        })
    }

    fn column(&self, table: TableId, name: Option<&str>) -> Result<ColumnId, BindError> {
        let Some(name) = name else { return Ok(self.dataset.key(table)) };
        self.dataset.column(table, name).ok_or_else(|| BindError::Column {
            transaction: self.transaction.name.clone(),
            draw: self.draw.to_owned(),
            table: self.dataset.table_name(table).to_owned(),
            column: name.to_owned(),
            known: self.dataset.columns(table).join(", "),
        })
    }

    fn earlier_row(&self, parameter: &str) -> Result<(usize, TableId), BindError> {
        let index = self.transaction.draws.iter().position(|(name, _)| name == parameter);
        index
            .and_then(|index| match self.earlier.get(index)? {
                Ready::Row { table, .. } | Ready::Of { table, .. } | Ready::Tenant { table, .. } => Some((index, *table)),
                _ => None,
            })
            .ok_or_else(|| BindError::Parameter {
                transaction: self.transaction.name.clone(),
                draw: self.draw.to_owned(),
                parameter: parameter.to_owned(),
            })
    }

    /// Rows of each tenant, newest first.
    fn by_age(&self, table: TableId) -> Result<Arc<BTreeMap<Tenant, Vec<u64>>>, BindError> {
        let column = self.column(table, Some("created_at"))?;
        let dataset = self.dataset;
        let by_age = (0..dataset.tenants()).map(|tenant| {
            let mut rows: Vec<(i64, u64)> = dataset
                .rows_of_tenant(table, tenant)
                .into_iter()
                .flatten()
                .map(|row| match dataset.value(table, row, column) {
                    Value::Timestamp(at) => (-at, row),
                    _ => (0, row),
                })
                .collect();
            rows.sort_unstable();
            (tenant, rows.into_iter().map(|(_, row)| row).collect())
        });
        Ok(Arc::new(by_age.collect()))
    }
}

//! The names of a scenario's draws, looked up in a dataset once, before any arrival.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::course::Start;
use crate::dataset::{ColumnId, Dataset, TableId, Tenant, Value};
use crate::scenario::{Constant, Draw, Identity, Pick, TenantPick, Transaction, Within};

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

#[derive(Debug)]
pub(super) struct Bindable {
    pub(super) identity: Identity,
    pub(super) tenant_pick: TenantPick,
    /// Tenants that can run it, with cumulated weights.
    pub(super) tenants: Vec<(Tenant, f64)>,
    pub(super) draws: Vec<Ready>,
    pub(super) script: Option<Start>,
}

/// A draw with its names looked up.
#[derive(Debug)]
pub(super) enum Ready {
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
    Rows { table: TableId, count: u32, parent: Option<usize>, offset: u64 },
}

#[derive(Debug)]
pub(super) enum ReadyWithin {
    All,
    Tenant,
    Children { draw: usize, table: TableId },
    Listed(Vec<u64>),
}

impl Bindable {
    pub(super) fn new(dataset: &Dataset, transaction: &Transaction, clients: u32, seed: u64) -> Result<Bindable, BindError> {
        let mut draws: Vec<Ready> = Vec::new();
        for (name, draw) in &transaction.draws {
            let names = Names { dataset, transaction, draw: name, earlier: &draws };
            let ready = names.resolve(draw)?;
            draws.push(ready);
        }
        let mut bindable = Bindable {
            identity: transaction.identity.clone(),
            tenant_pick: transaction.tenants,
            tenants: Vec::new(),
            draws,
            script: transaction.script.as_ref().map(|script| Start::new(script, clients, seed)),
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

    pub(super) fn pick_tenant(&self, rng: &mut ChaCha8Rng) -> Option<Tenant> {
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
                Ready::Rows { table, count: *count, parent: parent.map(|(draw, _)| draw), offset: 0 }
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

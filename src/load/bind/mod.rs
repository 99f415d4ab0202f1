//! From a sequence number to what one arrival runs: transaction, tenant, identity, parameters.
//!
//! Pure: the same (seed, sequence number) gives the same [`Arrival`] on every machine and for both variants, and no database is asked.
//! Because parameters come from the dataset's model, the harness knows which tenant every row it asks for belongs to.

mod arrival;
mod course;
mod json;
pub mod pick;
mod resolve;

use std::ops::Range;
use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::dataset::{Dataset, TableId, Tenant, TenantClass, Value, stream};
use crate::record::BlockLoad;
use crate::scenario::{Identity, Pick, Scenario};
use crate::script::random::Random;

pub use arrival::{Actor, Arrival, Bound, SEQUENCES_PER_BLOCK, SequenceRange};
pub use course::Course;
pub use json::{array as json_array, text, timestamp};
pub use resolve::BindError;

use resolve::{Bindable, Ready, ReadyWithin};

/// A scenario's transactions, ready to be drawn from a dataset.
#[derive(Debug)]
pub struct Mix {
    dataset: Arc<Dataset>,
    seed: u64,
    /// By transaction.
    weights: Vec<f64>,
    total_weight: f64,
    transactions: Arc<[Bindable]>,
    /// New rows that all transactions together would insert: what one sequence number sets aside of their numbers.
    rows_a_sequence: u64,
}

impl Mix {
    /// Looks up every name of the scenario in the dataset.
    pub fn new(dataset: Arc<Dataset>, scenario: &Scenario, seed: u64) -> Result<Mix, BindError> {
        let clients = scenario.sessions();
        let bindable = |transaction| Bindable::new(&dataset, transaction, clients, seed);
        let mut transactions = scenario.transactions.iter().map(bindable).collect::<Result<Vec<_>, _>>()?;
        let weights: Vec<f64> = scenario.transactions.iter().map(|transaction| transaction.weight).collect();
        let total_weight = weights.iter().sum();
        let mut rows_a_sequence = 0;
        for draw in transactions.iter_mut().flat_map(|transaction| &mut transaction.draws) {
            if let Ready::Rows { count, offset, .. } = draw {
                *offset = rows_a_sequence;
                rows_a_sequence += u64::from(*count);
            }
        }
        Ok(Mix { dataset, seed, weights, total_weight, transactions: transactions.into(), rows_a_sequence })
    }

    /// The same transactions, drawn by the seed and the weights of a load; `None` if it is a load of other transactions. What a script has as
    /// `:random_seed` stays.
    pub fn under(&self, load: &BlockLoad) -> Option<Mix> {
        let total_weight: f64 = load.mix.iter().sum();
        let suits = load.mix.len() == self.transactions.len()
            && load.mix.iter().all(|weight| *weight >= 0.0)
            && total_weight > 0.0
            && total_weight.is_finite();
        suits.then(|| Mix {
            dataset: self.dataset.clone(),
            seed: load.seed,
            weights: load.mix.clone(),
            total_weight,
            transactions: self.transactions.clone(),
            rows_a_sequence: self.rows_a_sequence,
        })
    }

    /// Weights of the transactions, in order.
    pub fn weights(&self) -> &[f64] {
        &self.weights
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
        for (index, weight) in self.weights.iter().enumerate() {
            transaction = index;
            point -= weight;
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
        let course = transaction.script.as_ref().map(|script| Box::new(script.follow(Random::new(rng.random()), &mut values)));
        Arrival { sequence, transaction: index, tenant, class, actor, values, course }
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
            Ready::Rows { table, count, parent, offset } => {
                // Numbers never meet: a sequence number is used once in a run, and each draw of it has numbers of its own.
                let first = sequence.wrapping_mul(self.rows_a_sequence).wrapping_add(*offset);
                (None, Bound::Rows(self.fresh_rows(*table, first..first.saturating_add(u64::from(*count)), *parent, tenant, rows, rng)))
            }
        }
    }

    fn fresh_rows(
        &self,
        table: TableId,
        numbers: Range<u64>,
        parent: Option<usize>,
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
        numbers
            .map(|number| {
                let drawn = parent.and_then(|draw| rows.get(draw).copied().flatten());
                let owner = drawn.or_else(|| pick::index(Pick::Uniform, total, rng).and_then(|i| nth(&owners, i))).unwrap_or(0);
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

//! How many rows there are and who owns them: counts, prefix sums, guests, overlays. Linear in the number of rows, no value is made.
//!
//! Rows fall on parents by systematic rounding of cumulative shares: totals are exact, each parent gets its share rounded down or
//! up, and so does each tenant as a whole. (Largest remainders would hand all rows of a table smaller than its parent's to
//! whoever has the largest fractions.)

use std::ops::Range;

use super::error::DatasetError;
use super::model::*;
use super::rng::{self, Streams};
use super::{Sizing, TableId, Tenant};

/// Row numbers from here on are fresh rows, which are in no dataset.
pub(super) const FRESH: u64 = 1 << 62;

/// More rows than anyone loads; keeps arithmetic far from overflow.
const MOST_ROWS: f64 = 1e11;

#[derive(Debug)]
pub(super) struct Plan {
    pub tables: Vec<TablePlan>,
    pub tenant_weights: Vec<f64>,
    pub guests: Guests,
    /// `(size, row)` of each overlay, as in the model; empty if not loaded.
    pub overlays: Vec<Vec<(u64, u64)>>,
}

#[derive(Debug, Default)]
pub(super) struct TablePlan {
    /// Rows without overlays.
    pub base: u64,
    /// All rows.
    pub rows: u64,
    /// First row of each parent, and the number of rows at the end; empty without parent.
    pub offsets: Vec<u64>,
    /// Rows of overlays, behind the others.
    pub extra: Vec<Extra>,
}

/// A run of overlay rows of one parent.
#[derive(Debug)]
pub(super) struct Extra {
    pub start: u64,
    pub count: u64,
    pub parent: u64,
}

/// Second memberships, sorted by tenant, then user.
#[derive(Debug, Default)]
pub(super) struct Guests {
    pub list: Vec<(Tenant, u64)>,
    /// `(user, index in list)`, sorted by user.
    pub by_user: Vec<(u64, u64)>,
}

impl Guests {
    /// Indexes of a tenant's guests.
    pub fn of_tenant(&self, tenant: Tenant) -> Range<u64> {
        let from = self.list.partition_point(|(t, _)| *t < tenant);
        let to = self.list.partition_point(|(t, _)| *t <= tenant);
        from as u64..to as u64
    }
}

impl TablePlan {
    /// The weight of each row: what falls on its parent, shared among siblings.
    fn spread(&self, mass: Vec<f64>) -> Vec<f64> {
        if self.offsets.is_empty() {
            return mass;
        }
        let mut own = Vec::new();
        for (family, mass) in self.offsets.windows(2).zip(&mass) {
            let n = family[1] - family[0];
            own.extend(std::iter::repeat_n(mass / n.max(1) as f64, n as usize));
        }
        own
    }

    /// Rows that a parent row owns.
    pub fn children(&self, parent: u64) -> Range<u64> {
        // A parent behind the base rows is an overlay's row itself; its children are the runs behind this table's base rows.
        if parent.saturating_add(1) >= self.offsets.len() as u64 {
            let at = self.extra.partition_point(|e| e.parent < parent);
            return match self.extra.get(at).filter(|e| e.parent == parent) {
                Some(extra) => extra.start..extra.start + extra.count,
                None => self.rows..self.rows,
            };
        }
        let at = usize::try_from(parent).unwrap_or(usize::MAX);
        match (self.offsets.get(at), at.checked_add(1).and_then(|next| self.offsets.get(next))) {
            (Some(from), Some(to)) => *from..*to,
            _ => self.rows..self.rows,
        }
    }

    /// The parent row that owns a row.
    pub fn parent(&self, row: u64) -> Option<u64> {
        if row >= self.rows || self.offsets.is_empty() {
            return None;
        }
        if row >= self.base {
            let at = self.extra.partition_point(|e| e.start <= row);
            return self.extra.get(..at).and_then(|e| e.iter().rev().find(|e| row < e.start + e.count)).map(|e| e.parent);
        }
        Some(self.offsets.partition_point(|o| *o <= row) as u64 - 1)
    }
}

/// What a plan rests on.
struct Planner<'a> {
    model: &'a Model,
    sizing: &'a Sizing,
    seed: u64,
}

/// Plans all tables.
pub(super) fn plan(model: &Model, sizing: &Sizing, seed: u64) -> Result<Plan, DatasetError> {
    check_sizing(model, sizing)?;
    let planner = Planner { model, sizing, seed };
    let mut plan = Plan {
        tables: Vec::with_capacity(model.tables.len()),
        tenant_weights: Vec::new(),
        guests: Guests::default(),
        overlays: vec![Vec::new(); model.overlays.len()],
    };
    let mut weights: Vec<Vec<f64>> = Vec::new();
    for (number, table) in model.tables.iter().enumerate() {
        let id = TableId(number as u16);
        let has_children = model.tables.iter().any(|t| t.parent == Some(id));
        let (mut planned, mass) = match table.parent {
            Some(parent) => planner.owned(&plan, table, parent, &weights)?,
            None => planner.unowned(&mut plan, id, table)?,
        };
        planned.rows = planned.base;
        weights.push(if has_children { planned.spread(mass) } else { Vec::new() });
        plan.tables.push(planned);
    }
    overlay(model, sizing, &mut plan)?;
    Ok(plan)
}

fn sizing_error(message: String, help: impl Into<String>) -> DatasetError {
    DatasetError::Sizing { message, help: help.into() }
}

fn check_sizing(model: &Model, sizing: &Sizing) -> Result<(), DatasetError> {
    if !(0.01..=1000.0).contains(&sizing.scale) {
        return Err(sizing_error(format!("scale {} is out of range", sizing.scale), "0.01 to 1000"));
    }
    if let Some(vectors) = sizing.vectors.filter(|n| !(1..=1_000_000_000).contains(n)) {
        return Err(sizing_error(format!("{vectors} vectors are out of range"), "1 to 1000000000"));
    }
    match sizing.overlays.iter().find(|name| model.overlays.iter().all(|o| &o.name != *name)) {
        None => Ok(()),
        Some(name) => {
            let known: Vec<&str> = model.overlays.iter().map(|o| o.name.as_str()).collect();
            let help = if known.is_empty() { "this dataset has none".to_owned() } else { format!("overlays: {}", known.join(", ")) };
            Err(sizing_error(format!("there is no overlay `{name}`"), help))
        }
    }
}

/// Rows of a table sized in all.
fn scaled(model: &Model, sizing: &Sizing, table: &TableModel, rows: u64) -> Result<u64, DatasetError> {
    let factor = match (table.sizing, sizing.vectors) {
        (SizedBy::Vectors, Some(vectors)) => {
            let all: u64 =
                model.tables.iter().filter(|t| t.sizing == SizedBy::Vectors).map(|t| if let Size::Total(n) = t.size { n } else { 0 }).sum();
            vectors as f64 / all.max(1) as f64
        }
        _ => sizing.scale,
    };
    let scaled = libm::round(rows as f64 * factor);
    if scaled > MOST_ROWS {
        return Err(sizing_error(format!("table {} would have {scaled:.0} rows", table.name), "a smaller scale"));
    }
    Ok((scaled as u64).max(table.least))
}

impl Planner<'_> {
    fn unowned(&self, plan: &mut Plan, id: TableId, table: &TableModel) -> Result<(TablePlan, Vec<f64>), DatasetError> {
        let (model, sizing, seed) = (self.model, self.sizing, self.seed);
        let base = match table.size {
            Size::Total(rows) => scaled(model, sizing, table, rows)?,
            Size::Each(..) => 0,
            Size::Memberships => {
                plan.guests = guests(model, seed, plan);
                let users = model.membership.as_ref().map_or(0, |m| rows(plan, m.users));
                users + plan.guests.list.len() as u64
            }
        };
        let exponent = if id == model.tenants { model.tenant_zipf } else { 0.0 };
        let mut weights: Vec<f64> = rng::zipf(base, exponent).collect();
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= total);
        if id == model.tenants {
            if u32::try_from(base).is_err() {
                return Err(sizing_error(format!("there would be {base} tenants"), "fewer than 4294967296"));
            }
            plan.tenant_weights = weights.clone();
        }
        Ok((TablePlan { base, ..TablePlan::default() }, weights))
    }

    fn owned(&self, plan: &Plan, table: &TableModel, parent: TableId, weights: &[Vec<f64>]) -> Result<(TablePlan, Vec<f64>), DatasetError> {
        let (model, sizing, seed) = (self.model, self.sizing, self.seed);
        let parents = rows(plan, parent);
        let parent_weights = weights.get(usize::from(parent.0)).map_or(&[][..], Vec::as_slice);
        let (offsets, mass) = match table.size {
            Size::Total(rows) => {
                let least = table.at_least.saturating_mul(parents);
                let total = scaled(model, sizing, table, rows)?.max(least);
                if total as f64 > MOST_ROWS {
                    return Err(sizing_error(format!("table {} would have {total} rows", table.name), "a smaller scale"));
                }
                let mass = masses(seed, plan, table, parent, parent_weights);
                let dither = rng::unit(&mut Streams::new(seed, &format!("{}/allocate", table.name)).at(0));
                (allocate(&mass, total, table.at_least, dither), mass)
            }
            Size::Each(low, high) => {
                let streams = Streams::new(seed, &format!("{}/each", table.name));
                let low = low.max(table.at_least);
                let mut sum = 0u64;
                let mut offsets = vec![0];
                for row in 0..parents {
                    sum += low + rng::below(&mut streams.at(row), high.max(low) - low + 1);
                    offsets.push(sum);
                }
                (offsets, parent_weights.to_vec())
            }
            Size::Memberships => (vec![0], Vec::new()),
        };
        let base = offsets.last().copied().unwrap_or(0);
        Ok((TablePlan { base, offsets, ..TablePlan::default() }, mass))
    }
}

fn rows(plan: &Plan, table: TableId) -> u64 {
    plan.tables.get(usize::from(table.0)).map_or(0, |t| t.base)
}

/// How much of the table falls on each parent, before rounding.
fn masses(seed: u64, plan: &Plan, table: &TableModel, parent: TableId, weights: &[f64]) -> Vec<f64> {
    let mut masses = weights.to_vec();
    match table.skew {
        Skew::Even => {}
        Skew::LogNormal(sigma) => {
            let streams = Streams::new(seed, &format!("{}/skew", table.name));
            for (row, mass) in masses.iter_mut().enumerate() {
                let z = rng::normal(&mut streams.at(row as u64));
                *mass *= libm::exp(sigma * z - sigma * sigma / 2.0);
            }
        }
        Skew::Zipf(s) => {
            let alone = [0, masses.len() as u64];
            let offsets = plan.tables.get(usize::from(parent.0)).map_or(&alone[..], |p| &p.offsets);
            let offsets = if offsets.is_empty() { &alone[..] } else { offsets };
            for family in offsets.windows(2) {
                let range = family[0] as usize..family[1] as usize;
                let Some(family) = masses.get_mut(range) else { continue };
                let share: Vec<f64> = rng::zipf(family.len() as u64, s).collect();
                let mean = share.iter().sum::<f64>() / family.len().max(1) as f64;
                family.iter_mut().zip(share).for_each(|(mass, share)| *mass *= share / mean);
            }
        }
    }
    masses
}

/// Prefix sums of `total` rows over parents in proportion to their mass, each at least `least`.
fn allocate(mass: &[f64], total: u64, least: u64, dither: f64) -> Vec<u64> {
    let sums = rng::cumulate(mass.iter().copied());
    let all = sums.last().copied().unwrap_or(0.0);
    let free = total.saturating_sub(least.saturating_mul(mass.len() as u64));
    let mut offsets = Vec::with_capacity(mass.len() + 1);
    offsets.push(0);
    for (i, sum) in sums.iter().enumerate() {
        let last = i + 1 == sums.len();
        let share = if last || all <= 0.0 { free } else { ((sum / all * free as f64 + dither) as u64).min(free) };
        offsets.push(share + least * (i as u64 + 1));
    }
    offsets
}

/// Who among the users has a second tenant, and which.
fn guests(model: &Model, seed: u64, plan: &Plan) -> Guests {
    let Some(membership) = &model.membership else { return Guests::default() };
    let Some(users) = plan.tables.get(usize::from(membership.users.0)) else { return Guests::default() };
    let cumulative = rng::cumulate(plan.tenant_weights.iter().copied());
    let owners = match membership.roles.first().map(|r| r.share) {
        Some(RoleShare::First(n)) => n,
        _ => 0,
    };
    let streams = Streams::new(seed, "membership/second");
    let mut list = Vec::new();
    for (home, family) in users.offsets.windows(2).enumerate() {
        for user in (family[0] + owners).min(family[1])..family[1] {
            let mut rng = streams.at(user);
            if rng::unit(&mut rng) >= membership.second || cumulative.len() < 2 {
                continue;
            }
            let drawn = rng::by_weight(&mut rng, &cumulative);
            // The home itself is no second tenant: its share goes to the next one.
            let tenant = if drawn == home { (drawn + 1) % cumulative.len() } else { drawn };
            list.push((tenant as Tenant, user));
        }
    }
    list.sort_unstable();
    let mut by_user: Vec<(u64, u64)> = list.iter().enumerate().map(|(i, (_, user))| (*user, i as u64)).collect();
    by_user.sort_unstable();
    Guests { list, by_user }
}

/// Appends the rows of the overlays that are asked for.
fn overlay(model: &Model, sizing: &Sizing, plan: &mut Plan) -> Result<(), DatasetError> {
    for (number, overlay) in model.overlays.iter().enumerate().filter(|(_, o)| sizing.overlays.contains(&o.name)) {
        let parent = model.tables.get(usize::from(overlay.table.0)).and_then(|t| t.parent);
        let owner = parent
            .and_then(|p| first_of_whale(model, plan, p))
            .ok_or_else(|| sizing_error(format!("overlay `{}` has no parent row in the largest tenant", overlay.name), "a larger scale"))?;
        let mut rows = Vec::new();
        if let Some(table) = plan.tables.get_mut(usize::from(overlay.table.0)) {
            let sizes = overlay.sizes.iter().flat_map(|size| std::iter::repeat_n(*size, overlay.copies as usize));
            rows = sizes.zip(table.rows..).collect();
            table.extra.push(Extra { start: table.rows, count: rows.len() as u64, parent: owner });
            table.rows += rows.len() as u64;
        }
        if let Some(child) = plan.tables.get_mut(usize::from(overlay.child.0)) {
            for (size, row) in &rows {
                child.extra.push(Extra { start: child.rows, count: *size, parent: *row });
                child.rows += size;
            }
        }
        if let Some(place) = plan.overlays.get_mut(number) {
            *place = rows;
        }
    }
    Ok(())
}

fn first_of_whale(model: &Model, plan: &Plan, table: TableId) -> Option<u64> {
    if table == model.tenants {
        return (rows(plan, table) > 0).then_some(0);
    }
    // All rows of tenant 0 come first in every table that descends from the tenants, by construction.
    let planned = plan.tables.get(usize::from(table.0))?;
    let mut row = 0;
    let mut at = table;
    while at != model.tenants {
        row = plan.tables.get(usize::from(at.0))?.parent(row)?;
        at = model.tables.get(usize::from(at.0))?.parent?;
    }
    (row == 0 && planned.base > 0).then_some(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn allocation_is_exact_and_fair(
            mass in prop::collection::vec(0.0f64..1e6, 1..200), total in 0u64..100_000, least in 0u64..4, dither in 0.0f64..1.0,
        ) {
            let total = total.max(least * mass.len() as u64);
            let offsets = allocate(&mass, total, least, dither);
            prop_assert_eq!(offsets.len(), mass.len() + 1);
            prop_assert_eq!(*offsets.last().unwrap(), total);
            prop_assert!(offsets.windows(2).all(|w| w[1] - w[0] >= least));
            let all: f64 = mass.iter().sum();
            if all > 0.0 {
                let free = (total - least * mass.len() as u64) as f64;
                for (family, m) in offsets.windows(2).zip(&mass) {
                    let share = m / all * free + least as f64;
                    prop_assert!(((family[1] - family[0]) as f64 - share).abs() <= 1.01, "{} for {share}", family[1] - family[0]);
                }
            }
        }
    }
}

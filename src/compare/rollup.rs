//! Sums over kept blocks, for charts and tables. Decides nothing.

use std::collections::BTreeMap;

use super::metrics::service;
use super::series::{Fate, Pairs};
use super::{BlockPoint, ClassRow, Quantity, ServerPerTransaction};
use crate::record::{BlockKind, BlockRecord, Histogram, ProbeRecord, ScenarioRecord, ServerDelta, Side, Sides, TenantClassRecord};
use crate::stats::quantile_sorted;

/// Closed-loop transactions a second: the median of what was measured with the most connections.
pub(super) fn capacity(probes: &[&ProbeRecord], blocks: &[&BlockRecord]) -> Sides<Option<f64>> {
    let of_side = |side: Side| {
        let widest = probes.iter().filter(|probe| probe.side == side).map(|probe| probe.connections).max();
        let probed = probes.iter().filter(|probe| probe.side == side && Some(probe.connections) == widest);
        let measured = blocks.iter().filter(|block| block.side == side && block.kind == BlockKind::Capacity);
        let per_second = |block: &&BlockRecord| block.accounting.ok as f64 / (block.duration_ns as f64 / 1e9);
        let mut values: Vec<f64> = probed.map(|probe| probe.capacity_per_second).chain(measured.map(per_second)).collect();
        values.retain(|value| value.is_finite() && *value > 0.0);
        values.sort_by(f64::total_cmp);
        Some(quantile_sorted(&values, 0.5)).filter(|value| value.is_finite())
    };
    Sides { before: of_side(Side::Before), after: of_side(Side::After) }
}

/// Response by transaction and service by `transaction/statement`.
pub(super) fn curves(pairs: &Pairs<'_>) -> BTreeMap<String, Sides<Vec<(f64, f64)>>> {
    let mut sums: BTreeMap<&str, Sides<Histogram>> = BTreeMap::new();
    for side in Side::BOTH {
        for block in pairs.kept_blocks(side) {
            let responses = block.transactions.iter().map(|(name, times)| (name.as_str(), &times.response));
            let services = block.statements.iter().map(|(name, times)| (name.as_str(), times));
            for (name, times) in responses.chain(services).filter(|(_, times)| !times.is_empty()) {
                sums.entry(name).or_default().get_mut(side).add(times);
            }
        }
    }
    let curve = |times: &Histogram| if times.is_empty() { Vec::new() } else { times.percentile_curve() };
    sums.into_iter().map(|(name, sides)| (name.to_owned(), sides.map(curve))).collect()
}

/// All blocks in the order they ran, used or not.
pub(super) fn block_points(scenario: &ScenarioRecord, pairs: &Pairs<'_>) -> Vec<BlockPoint> {
    let first = scenario.transactions.first().map(|transaction| transaction.name.as_str());
    let mut points: Vec<BlockPoint> = Vec::new();
    for slot in &pairs.slots {
        let discarded = match &slot.fate {
            Fate::Kept => None,
            Fate::Disturbed { words, .. } => Some(words.clone()),
            Fate::Unfinished(reason) => Some((*reason).to_owned()),
        };
        for block in [slot.blocks.before, slot.blocks.after].into_iter().flatten() {
            let headline = service(block.kind).first().copied().unwrap_or(Quantity::ServiceP50);
            let times = first.and_then(|name| block.transactions.get(name));
            points.push(BlockPoint {
                position: block.position,
                pair: block.pair,
                side: block.side,
                started_seconds: block.started_ns as f64 / 1e9,
                value_ns: times.and_then(|times| headline.of(&times.service)).unwrap_or(f64::NAN),
                discarded: discarded.clone(),
            });
        }
    }
    points.sort_by_key(|point| point.position);
    points
}

/// Service times by transaction, in the scenario's order, and by class of tenants, the largest first.
pub(super) fn classes(scenario: &ScenarioRecord, records: &[&TenantClassRecord]) -> Vec<ClassRow> {
    const LARGEST_FIRST: [&str; 3] = ["whale", "middle", "tail"];
    let place_of = |name: &str| scenario.transactions.iter().position(|one| one.name == name).unwrap_or(usize::MAX);
    let size_of = |class: &str| LARGEST_FIRST.iter().position(|one| *one == class).unwrap_or(usize::MAX);
    let mut sums: BTreeMap<(usize, &str, usize, &str), Sides<Histogram>> = BTreeMap::new();
    for record in records {
        let key = (place_of(&record.transaction), record.transaction.as_str(), size_of(&record.class), record.class.as_str());
        sums.entry(key).or_default().get_mut(record.side).add(&record.service);
    }
    sums.into_iter()
        .map(|((_, transaction, _, class), times)| ClassRow {
            transaction: transaction.to_owned(),
            class: class.to_owned(),
            count: times.map(Histogram::count),
            p50_ns: times.map(|times| times.quantile(0.5)),
            p95_ns: times.map(|times| times.quantile(0.95)),
        })
        .collect()
}

/// Failed transactions by SQLSTATE.
pub(super) fn errors(pairs: &Pairs<'_>) -> BTreeMap<String, Sides<u64>> {
    let mut counts: BTreeMap<String, Sides<u64>> = BTreeMap::new();
    for side in Side::BOTH {
        for (state, times) in pairs.kept_blocks(side).flat_map(|block| &block.errors) {
            let count = counts.entry(state.clone()).or_default().get_mut(side);
            *count = count.saturating_add(times.count());
        }
    }
    counts
}

/// The server's counters divided by the transactions between the same two snapshots.
pub(super) fn server(pairs: &Pairs<'_>) -> Sides<ServerPerTransaction> {
    let of_side = |side: Side| {
        let sum = |count: fn(&ServerDelta) -> u64| pairs.kept_blocks(side).map(|block| count(&block.server) as f64).sum::<f64>();
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let transactions = sum(|server| server.transactions);
        let generic = sum(|server| server.generic_plans);
        ServerPerTransaction {
            blocks_hit: share(sum(|server| server.blocks_hit), transactions),
            blocks_read: share(sum(|server| server.blocks_read), transactions),
            wal_bytes: share(sum(|server| server.wal_bytes), transactions),
            temp_bytes: share(sum(|server| server.temp_bytes), transactions),
            generic_share: share(generic, generic + sum(|server| server.custom_plans)),
        }
    };
    Sides { before: of_side(Side::Before), after: of_side(Side::After) }
}

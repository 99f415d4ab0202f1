//! Sums over kept blocks, for charts and tables. Decides nothing.

use std::collections::BTreeMap;

use super::series::{Fate, Pairs};
use super::{BlockPoint, ClassRow, DisturbedBlocks, Interval, OwnRate, OwnRateRow, Quantity, ServerPerTransaction};
use crate::record::{
    BlockKind, BlockRecord, Disturbance, Histogram, NoProcessorTime, ProbeRecord, ScenarioRecord, ServerDelta, Side, Sides,
    TenantClassRecord,
};
use crate::stats::{FAMILY_ALPHA, confidence_interval, quantile_sorted};

/// Closed-loop transactions a second by side: the median of the blocks that measured it, else what the probe with the most connections found.
pub(super) fn capacity(probes: &[&ProbeRecord], blocks: &[&BlockRecord]) -> Sides<Option<f64>> {
    let of_side = |side: Side| {
        let measured: Vec<f64> = of_kind(blocks, BlockKind::Capacity, side).map(per_second).collect();
        let widest = probes.iter().filter(|probe| probe.side == side).map(|probe| probe.connections).max();
        let probed = probes.iter().filter(|probe| probe.side == side && Some(probe.connections) == widest);
        let mut values = if measured.is_empty() { probed.map(|probe| probe.capacity_per_second).collect() } else { measured };
        values.retain(|value| value.is_finite() && *value > 0.0);
        values.sort_by(f64::total_cmp);
        Some(quantile_sorted(&values, 0.5)).filter(|value| value.is_finite())
    };
    Sides { before: of_side(Side::Before), after: of_side(Side::After) }
}

/// Capacity after over before with its interval at the level of a single metric, from pairs of capacity blocks; `None` with fewer than 2.
pub(super) fn capacity_ratio(blocks: &[&BlockRecord]) -> Option<Interval> {
    let of_side = |side: Side| of_kind(blocks, BlockKind::Capacity, side).map(|block| (block.pair, per_second(block)));
    let before: BTreeMap<u32, f64> = of_side(Side::Before).collect();
    let differences: Vec<f64> = of_side(Side::After)
        .filter_map(|(pair, after)| before.get(&pair).map(|before| (after / before).ln()))
        .filter(|difference| difference.is_finite())
        .collect();
    let ratio = confidence_interval(&differences, FAMILY_ALPHA).exp();
    (differences.len() >= 2).then_some(Interval { point: ratio.point, lower: ratio.lower, upper: ratio.upper })
}

/// What users of one side alone would see at half of its own capacity; `None` where no block measured it.
pub(super) fn own_rate(scenario: &ScenarioRecord, blocks: &[&BlockRecord]) -> Sides<Option<OwnRate>> {
    let of_side = |side: Side| {
        let measured: Vec<&BlockRecord> = of_kind(blocks, BlockKind::OwnRate, side).collect();
        let seconds: f64 = measured.iter().map(|block| block.duration_ns as f64 / 1e9).sum();
        let scheduled: f64 = measured.iter().map(|block| block.accounting.scheduled as f64).sum();
        let row = |name: &str| {
            let mut times = (Histogram::default(), Histogram::default());
            for transaction in measured.iter().filter_map(|block| block.transactions.get(name)) {
                times.0.add(&transaction.response);
                times.1.add(&transaction.acquire);
            }
            let (response, acquire) = times;
            OwnRateRow {
                transaction: name.to_owned(),
                response_p50_ns: response.quantile(0.5),
                response_p95_ns: response.quantile(0.95),
                response_p99_ns: response.quantile(0.99),
                acquire_p95_ns: acquire.quantile(0.95),
            }
        };
        (seconds > 0.0).then(|| OwnRate {
            rate_per_second: scheduled / seconds,
            blocks: measured.len() as u32,
            disturbed: measured.iter().filter(|block| !block.disturbances().is_empty()).count() as u32,
            transactions: scenario.transactions.iter().map(|transaction| row(&transaction.name)).collect(),
        })
    };
    Sides { before: of_side(Side::Before), after: of_side(Side::After) }
}

fn of_kind<'a>(blocks: &'a [&BlockRecord], kind: BlockKind, side: Side) -> impl Iterator<Item = &'a BlockRecord> {
    blocks.iter().copied().filter(move |block| block.side == side && block.kind == kind && block.discard.is_none())
}

fn per_second(block: &BlockRecord) -> f64 {
    block.accounting.ok as f64 / (block.duration_ns as f64 / 1e9)
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

/// What disturbed blocks of the pairs that are used.
pub(super) fn disturbed(pairs: &Pairs<'_>) -> DisturbedBlocks {
    let mut sum = DisturbedBlocks::default();
    for block in pairs.all_kept_blocks() {
        sum.blocks += 1;
        let found = block.disturbances();
        sum.disturbed += u32::from(!found.is_empty());
        for one in found {
            match one {
                Disturbance::Late { lag_ns } => {
                    sum.late += 1;
                    sum.longest_lag_ns = sum.longest_lag_ns.max(lag_ns);
                }
                Disturbance::Stalled { stall_ns } => {
                    sum.stalled += 1;
                    sum.longest_stall_ns = sum.longest_stall_ns.max(stall_ns);
                }
                Disturbance::Busy { .. } => sum.busy += 1,
                Disturbance::Unfinished { .. } => sum.unfinished += 1,
            }
        }
    }
    sum
}

/// Over all blocks, used or not, each by its length.
pub(super) fn stolen_share(blocks: &[&BlockRecord]) -> Option<f64> {
    let known = blocks.iter().filter_map(|block| Some((block.generator.stolen_share?, block.duration_ns as f64)));
    let (stolen, all) = known.fold((0.0, 0.0), |(stolen, all), (share, length)| (stolen + share * length, all + length));
    (all > 0.0).then(|| stolen / all)
}

/// All blocks in the order they ran, used or not.
pub(super) fn block_points(scenario: &ScenarioRecord, pairs: &Pairs<'_>) -> Vec<BlockPoint> {
    let first = scenario.transactions.first().map(|transaction| transaction.name.as_str());
    let mut points: Vec<BlockPoint> = Vec::new();
    for slot in &pairs.slots {
        let discarded = match &slot.fate {
            Fate::Kept => None,
            Fate::Discarded { words, .. } => Some(words.clone()),
            Fate::Unfinished(reason) => Some((*reason).to_owned()),
        };
        for block in [slot.blocks.before, slot.blocks.after].into_iter().flatten() {
            let times = first.and_then(|name| block.transactions.get(name));
            points.push(BlockPoint {
                position: block.position,
                pair: block.pair,
                side: block.side,
                started_seconds: block.started_ns as f64 / 1e9,
                value_ns: times.and_then(|times| Quantity::ServiceP50.of(&times.service)).unwrap_or(f64::NAN),
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

/// Why processor time is not known of all blocks of the pairs that are used: workers before all else, as they are part of the work.
pub(super) fn no_processor(pairs: &Pairs<'_>) -> Option<NoProcessorTime> {
    let reasons = || pairs.all_kept_blocks().filter_map(|block| block.server.no_processor);
    reasons().find(|reason| *reason == NoProcessorTime::ParallelWorkers).or(reasons().next())
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

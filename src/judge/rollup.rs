//! Sums over kept blocks, for charts and tables. Decides nothing.

use std::collections::BTreeMap;

use super::group::Group;
use super::series::{Fate, Slot};
use super::{BlockPoint, ClassRow, DisturbedBlocks, Interval, OwnRate, OwnRateRow, Quantity, Rival, ServerPerTransaction};
use crate::record::{
    Arm, Arms, BlockPurpose, BlockRecord, Disturbance, Histogram, NoProcessorTime, ScenarioRecord, ServerDelta, TenantClassRecord,
};
use crate::stats::{FAMILY_ALPHA, confidence_interval, quantile_sorted};

/// Blocks that are used, by arm.
type Kept<'a> = Arms<Vec<&'a BlockRecord>>;

/// Closed-loop transactions a second by arm: the median of the blocks that measured it, else what the probe with the most connections found.
pub(super) fn capacity(group: &Group<'_>) -> Arms<Option<f64>> {
    group.scenario.arms.each(|arm| {
        let measured: Vec<f64> = of_purpose(&group.blocks, BlockPurpose::Capacity, arm).map(per_second).collect();
        let of_arm = || group.probes.iter().filter(|probe| probe.arm == arm);
        let widest = of_arm().map(|probe| probe.connections).max();
        let probed = of_arm().filter(|probe| Some(probe.connections) == widest);
        let values = if measured.is_empty() { probed.map(|probe| probe.capacity_per_second).collect() } else { measured };
        typical_rate(&values)
    })
}

/// The median of what blocks did a second; `None` if none did anything.
pub fn typical_rate(per_second: &[f64]) -> Option<f64> {
    let mut values: Vec<f64> = per_second.iter().copied().filter(|value| value.is_finite() && *value > 0.0).collect();
    values.sort_by(f64::total_cmp);
    Some(quantile_sorted(&values, 0.5)).filter(|value| value.is_finite())
}

/// Each arm's capacity over the baseline's with its interval at the level of a single metric, from rounds of capacity blocks; `None` with fewer
/// than 2.
pub(super) fn capacity_ratio(group: &Group<'_>) -> Arms<Option<Interval>> {
    let of_arm = |arm: Arm| of_purpose(&group.blocks, BlockPurpose::Capacity, arm).map(|block| (block.round, per_second(block)));
    let baseline: BTreeMap<u32, f64> = of_arm(Arm::BASELINE).collect();
    group.scenario.arms.each(|arm| {
        let differences: Vec<f64> = of_arm(arm)
            .filter(|_| !arm.is_baseline())
            .filter_map(|(round, own)| baseline.get(&round).map(|baseline| (own / baseline).ln()))
            .filter(|difference| difference.is_finite())
            .collect();
        let ratio = confidence_interval(&differences, FAMILY_ALPHA).exp();
        (differences.len() >= 2).then_some(Interval { point: ratio.point, lower: ratio.lower, upper: ratio.upper })
    })
}

/// What users of one arm alone would see at half of its own capacity; `None` where no block measured it.
pub(super) fn own_rate(group: &Group<'_>) -> Arms<Option<OwnRate>> {
    group.scenario.arms.each(|arm| {
        let measured: Vec<&BlockRecord> = of_purpose(&group.blocks, BlockPurpose::OwnRate, arm).collect();
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
            transactions: group.scenario.transactions.iter().map(|transaction| row(&transaction.name)).collect(),
        })
    })
}

fn of_purpose<'a>(blocks: &'a [&BlockRecord], purpose: BlockPurpose, arm: Arm) -> impl Iterator<Item = &'a BlockRecord> {
    blocks.iter().copied().filter(move |block| block.arm == arm && block.purpose == purpose && block.discard.is_none())
}

fn per_second(block: &BlockRecord) -> f64 {
    block.accounting.ok as f64 / (block.duration_ns as f64 / 1e9)
}

/// Response by transaction and service by `transaction/statement`.
pub(super) fn curves(kept: &Kept<'_>) -> BTreeMap<String, Arms<Vec<(f64, f64)>>> {
    let mut sums: BTreeMap<&str, Arms<Histogram>> = BTreeMap::new();
    for (arm, block) in kept.iter().flat_map(|(arm, blocks)| blocks.iter().map(move |block| (arm, block))) {
        let responses = block.transactions.iter().map(|(name, times)| (name.as_str(), &times.response));
        let services = block.statements.iter().map(|(name, times)| (name.as_str(), times));
        for (name, times) in responses.chain(services).filter(|(_, times)| !times.is_empty()) {
            sums.entry(name).or_insert_with(|| kept.map(|_| Histogram::default())).get_mut(arm).add(times);
        }
    }
    let curve = |times: &Histogram| if times.is_empty() { Vec::new() } else { times.percentile_curve() };
    sums.into_iter().map(|(name, arms)| (name.to_owned(), arms.map(curve))).collect()
}

/// What disturbed the blocks that are used.
pub(super) fn disturbed(kept: &Kept<'_>) -> DisturbedBlocks {
    let mut sum = DisturbedBlocks::default();
    for block in kept.values().flatten() {
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

/// All blocks in the order they ran, used or not. The baseline's is used where any arm is compared with it.
pub(super) fn block_points(scenario: &ScenarioRecord, rivals: &[Rival<'_>]) -> Vec<BlockPoint> {
    let first = scenario.transactions.first().map(|transaction| transaction.name.as_str());
    let point = |block: &BlockRecord, slot: &Slot<'_>| {
        let times = first.and_then(|name| block.transactions.get(name));
        let reasons = match &slot.fate {
            Fate::Kept => None,
            Fate::Discarded { .. } => {
                let both = [slot.blocks.baseline, slot.blocks.arm].into_iter().flatten();
                let told = both.filter_map(|block| Some(format!("{} ({})", block.discard.as_ref()?, scenario.arm_name(block.arm))));
                Some(told.collect::<Vec<_>>().join("; "))
            }
            Fate::Unfinished(reason) => Some((*reason).to_owned()),
        };
        BlockPoint {
            position: block.position,
            round: block.round,
            arm: block.arm,
            started_seconds: block.started_ns as f64 / 1e9,
            value_ns: times.and_then(|times| Quantity::ServiceP50.of(&times.service)).unwrap_or(f64::NAN),
            discarded: reasons,
        }
    };
    let mut baselines: BTreeMap<(u32, u32), BlockPoint> = BTreeMap::new();
    let mut points: Vec<BlockPoint> = Vec::new();
    for slot in rivals.iter().flat_map(|rival| &rival.pairs.slots) {
        points.extend(slot.blocks.arm.map(|block| point(block, slot)));
        let Some(baseline) = slot.blocks.baseline.map(|block| point(block, slot)) else { continue };
        let told = baselines.entry(slot.round).or_insert_with(|| baseline.clone());
        if baseline.discarded.is_none() {
            *told = baseline;
        }
    }
    points.extend(baselines.into_values());
    points.sort_by_key(|point| point.position);
    points
}

/// Service times by transaction, in the scenario's order, and by class of tenants, the largest first.
pub(super) fn classes(scenario: &ScenarioRecord, records: &[&TenantClassRecord]) -> Vec<ClassRow> {
    const LARGEST_FIRST: [&str; 3] = ["whale", "middle", "tail"];
    let place_of = |name: &str| scenario.transactions.iter().position(|one| one.name == name).unwrap_or(usize::MAX);
    let size_of = |class: &str| LARGEST_FIRST.iter().position(|one| *one == class).unwrap_or(usize::MAX);
    let mut sums: BTreeMap<(usize, &str, usize, &str), Arms<Histogram>> = BTreeMap::new();
    for record in records.iter().filter(|record| scenario.arms.has(record.arm)) {
        let key = (place_of(&record.transaction), record.transaction.as_str(), size_of(&record.class), record.class.as_str());
        sums.entry(key).or_insert_with(|| scenario.arms.map(|_| Histogram::default())).get_mut(record.arm).add(&record.service);
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
pub(super) fn errors(kept: &Kept<'_>) -> BTreeMap<String, Arms<u64>> {
    let mut counts: BTreeMap<String, Arms<u64>> = BTreeMap::new();
    for (arm, blocks) in kept.iter() {
        for (state, times) in blocks.iter().flat_map(|block| &block.errors) {
            let count = counts.entry(state.clone()).or_insert_with(|| kept.map(|_| 0)).get_mut(arm);
            *count = count.saturating_add(times.count());
        }
    }
    counts
}

/// Why processor time is not known of all blocks that are used: workers before all else, as they are part of the work.
pub(super) fn no_processor(kept: &Kept<'_>) -> Option<NoProcessorTime> {
    let reasons = || kept.values().flatten().filter_map(|block| block.server.no_processor);
    reasons().find(|reason| *reason == NoProcessorTime::ParallelWorkers).or(reasons().next())
}

/// The server's counters divided by the transactions between the same two snapshots.
pub(super) fn server(kept: &Kept<'_>) -> Arms<ServerPerTransaction> {
    kept.map(|blocks| {
        let sum = |count: fn(&ServerDelta) -> u64| blocks.iter().map(|block| count(&block.server) as f64).sum::<f64>();
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
    })
}

//! Whether a pair of blocks may be used: decided by what disturbed it, the same way for both sides, and never by which side was faster.

use crate::record::{BlockKind, BlockRecord, Discard, Histogram, Side, Sides};

/// Lag from which the generator was too late, if it is also more than a tenth of the median response.
const LAG_LIMIT_NS: u64 = 1_000_000;
/// Arrivals that must be late before lag is held against a block, however few it holds.
const FEWEST_LATE: f64 = 5.0;
/// Share of a core a generator thread may use.
const BUSY_LIMIT: f64 = 0.70;
/// Longest time a load thread may have stood still.
const STALL_LIMIT_NS: u64 = 10_000_000;
/// Share of offered transactions that must finish.
const ACHIEVED_LIMIT: f64 = 0.99;
/// Share of blocks that may come from disk on one side where all data fits in memory.
const DISK_LIMIT: f64 = 0.01;

/// Why a pair must not be used, decided without a look at its latency; told on the block that is at fault.
///
/// `crowded`: whether a load thread serves several sessions of a closed loop, so that one's answer may wait while it sees to another's.
pub fn faults(pair: &Sides<BlockRecord>, writes: bool, resident: bool, crowded: bool) -> Sides<Option<Discard>> {
    // One measure for both sides: a slow side must not be allowed more lag than a fast one.
    let median = median_response(&pair.before).min(median_response(&pair.after));
    let mut faults = pair.map(|block| block.discard.clone().or_else(|| generator_fault(block, median, crowded)));
    if let (Some(before), Some(after)) = (shortfall(&pair.before), shortfall(&pair.after)) {
        // One side alone that does not keep up with the rate is a result.
        faults.before = faults.before.take().or(Some(before));
        faults.after = faults.after.take().or(Some(after));
    }
    if !writes {
        for side in Side::BOTH {
            let (block, other) = (pair.get(side), pair.get(side.other()));
            let fault = one_sided_fault(block, other, resident);
            let slot = faults.get_mut(side);
            *slot = slot.take().or(fault);
        }
    }
    faults
}

fn one_sided_fault(block: &BlockRecord, other: &BlockRecord, resident: bool) -> Option<Discard> {
    if block.server.checkpoints > 0 && other.server.checkpoints == 0 {
        return Some(Discard::Checkpoint);
    }
    if block.server.autovacuums > 0 && other.server.autovacuums == 0 {
        return Some(Discard::Autovacuum);
    }
    let share = |block: &BlockRecord| {
        let all = block.server.blocks_hit + block.server.blocks_read;
        block.server.blocks_read as f64 / all.max(1) as f64
    };
    let (own, theirs) = (share(block), share(other));
    (resident && own > DISK_LIMIT && theirs <= DISK_LIMIT).then_some(Discard::DiskReads { per_mille: (own * 1000.0) as u32 })
}

/// Whether the generator itself held back what was measured: for a block that is looked at alone.
pub fn bottleneck(block: &BlockRecord) -> Option<Discard> {
    let busy = block.generator.cpu_share > BUSY_LIMIT;
    generator_fault(block, median_response(block), false)
        .or_else(|| shortfall(block))
        .or(busy.then_some(Discard::GeneratorBusy { percent: (block.generator.cpu_share * 100.0) as u32 }))
}

/// Only an open loop can fall behind. Where each transaction waits for the last and has a thread to itself, the generator's own time is in no
/// interval.
fn generator_fault(block: &BlockRecord, median_ns: f64, crowded: bool) -> Option<Discard> {
    let open = is_open(block);
    if !open && !crowded {
        return None;
    }
    let generator = &block.generator;
    let lag = common_lag(&generator.lag);
    let tenth = if median_ns.is_finite() { (median_ns / 10.0) as u64 } else { 0 };
    if open && lag > LAG_LIMIT_NS.max(tenth) {
        return Some(Discard::GeneratorLag { lag_ns: lag });
    }
    if generator.cpu_share > BUSY_LIMIT {
        return Some(Discard::GeneratorBusy { percent: (generator.cpu_share * 100.0) as u32 });
    }
    if generator.longest_stall_ns > STALL_LIMIT_NS {
        return Some(Discard::GeneratorStall { stall_ns: generator.longest_stall_ns });
    }
    None
}

/// Whether too little of what was offered had finished when draining was given up.
fn shortfall(block: &BlockRecord) -> Option<Discard> {
    let share = block.generator.achieved_share;
    (is_open(block) && share < ACHIEVED_LIMIT).then_some(Discard::NotAchieved { per_mille: (share * 1000.0) as u32 })
}

fn is_open(block: &BlockRecord) -> bool {
    matches!(block.kind, BlockKind::Timed | BlockKind::OwnRate | BlockKind::Users)
}

/// The least median response of a block's transactions, ns; infinite if none finished.
fn median_response(block: &BlockRecord) -> f64 {
    block.transactions.values().filter_map(|times| times.response.quantile(0.5)).fold(f64::INFINITY, f64::min)
}

/// The lag that 1% of the arrivals exceeded, and no fewer than [`FEWEST_LATE`] of them, ns: one pause of the machine delays the few arrivals
/// that fall into it, and is no sign of a generator that cannot keep up.
fn common_lag(lag: &Histogram) -> u64 {
    let share = (FEWEST_LATE / lag.count().max(1) as f64).clamp(0.01, 1.0);
    lag.quantile(1.0 - share).unwrap_or(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{GeneratorReport, ServerDelta, TransactionTimes};

    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::new();
        values.into_iter().for_each(|value| histogram.record(value));
        histogram
    }

    fn block(side: Side, response_ns: u64, late: u64, late_ns: u64) -> BlockRecord {
        let lags = (0..300).map(|number| if number < late { late_ns } else { 20_000 });
        let times = TransactionTimes { response: histogram([response_ns; 300]), ..Default::default() };
        BlockRecord {
            scenario: "s".to_owned(),
            pair: 0,
            quad: 0,
            position: 0,
            side,
            build: 0,
            kind: BlockKind::Timed,
            first_sequence: 0,
            started_ns: 0,
            duration_ns: 750_000_000,
            drain_ns: 0,
            completed: 0,
            accounting: Default::default(),
            stages: Vec::new(),
            transactions: [("t".to_owned(), times)].into(),
            statements: Default::default(),
            errors: Default::default(),
            generator: GeneratorReport {
                lag: histogram(lags),
                cpu_share: 0.1,
                longest_stall_ns: 0,
                achieved_share: 1.0,
                ..Default::default()
            },
            server: Default::default(),
            discard: None,
        }
    }

    fn found(before: BlockRecord, after: BlockRecord) -> Sides<Option<Discard>> {
        faults(&Sides { before, after }, false, true, false)
    }

    #[test]
    fn a_busy_generator_is_held_against_a_closed_loop_only_if_sessions_share_a_thread() {
        let busy = |side| {
            let mut block = block(side, 1_000_000, 0, 0);
            block.kind = BlockKind::FixedWork;
            block.generator.cpu_share = 0.9;
            block
        };
        let pair = Sides { before: busy(Side::Before), after: busy(Side::After) };
        let none = faults(&pair, false, true, false);
        assert_eq!((none.before, none.after), (None, None));
        let crowded = faults(&pair, false, true, true);
        assert_eq!(crowded.before, Some(Discard::GeneratorBusy { percent: 90 }));
    }

    #[test]
    fn a_load_thread_that_stood_still_is_a_stall() {
        let mut stalled = block(Side::After, 2_000_000, 0, 0);
        stalled.generator.longest_stall_ns = 9_000_000;
        assert_eq!(found(block(Side::Before, 2_000_000, 0, 0), stalled.clone()).after, None);
        stalled.generator.longest_stall_ns = 11_000_000;
        let fault = Some(Discard::GeneratorStall { stall_ns: 11_000_000 });
        assert_eq!(bottleneck(&stalled), fault);
        assert_eq!(found(block(Side::Before, 2_000_000, 0, 0), stalled).after, fault);
    }

    #[test]
    fn what_the_server_did_beside_is_held_against_a_pair_if_one_side_alone_had_it() {
        type Disturb = fn(&mut ServerDelta);
        let disturbances: [(Disturb, Discard); 3] = [
            (|server| server.checkpoints = 1, Discard::Checkpoint),
            (|server| server.autovacuums = 2, Discard::Autovacuum),
            (|server| (server.blocks_hit, server.blocks_read) = (900, 100), Discard::DiskReads { per_mille: 100 }),
        ];
        for (disturb, fault) in disturbances {
            let quiet = block(Side::Before, 2_000_000, 0, 0);
            let mut disturbed = block(Side::After, 2_000_000, 0, 0);
            disturb(&mut disturbed.server);
            assert_eq!(found(quiet.clone(), disturbed.clone()), Sides { before: None, after: Some(fault) });
            let mut both = quiet.clone();
            disturb(&mut both.server);
            assert_eq!(found(both, disturbed.clone()), Sides { before: None, after: None });
            // Who writes makes checkpoints and work for autovacuum, and that is part of the difference.
            let pair = Sides { before: quiet, after: disturbed };
            assert_eq!(faults(&pair, true, true, false), Sides { before: None, after: None });
        }
    }

    #[test]
    fn a_few_late_arrivals_are_one_pause_and_more_are_a_generator_that_falls_behind() {
        let quiet = || block(Side::Before, 2_000_000, 0, 0);
        assert_eq!(found(quiet(), block(Side::After, 2_000_000, 4, 8_000_000)), Sides { before: None, after: None });
        let late = found(quiet(), block(Side::After, 2_000_000, 7, 8_000_000));
        assert!(matches!(late, Sides { before: None, after: Some(Discard::GeneratorLag { lag_ns: 7_000_000.. }) }), "{late:?}");
    }

    #[test]
    fn the_slow_side_is_allowed_no_more_lag_than_the_fast_one() {
        let lag = |response: u64| block(Side::After, response, 30, 5_000_000);
        // A tenth of 80 ms would allow 8 ms, but the other side takes 20 ms.
        let late = found(block(Side::Before, 20_000_000, 0, 0), lag(80_000_000));
        assert!(matches!(late.after, Some(Discard::GeneratorLag { .. })), "{late:?}");
        assert_eq!(found(block(Side::Before, 80_000_000, 0, 0), lag(80_000_000)).after, None);
    }

    #[test]
    fn a_side_that_does_not_keep_up_is_a_result_and_two_are_a_wrong_rate() {
        let short = |side: Side| {
            let mut block = block(side, 2_000_000, 0, 0);
            block.generator.achieved_share = 0.5;
            block
        };
        assert_eq!(found(block(Side::Before, 2_000_000, 0, 0), short(Side::After)), Sides { before: None, after: None });
        let both = found(short(Side::Before), short(Side::After));
        assert!(matches!(both, Sides { before: Some(Discard::NotAchieved { .. }), after: Some(_) }), "{both:?}");
        assert!(matches!(bottleneck(&short(Side::After)), Some(Discard::NotAchieved { per_mille: 500 })));
    }
}

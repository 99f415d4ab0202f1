//! Which pairs of blocks are thrown away: those in which one side alone suffered from something that is not its own work, and those that could
//! not be measured. Decided the same way for both sides, and never by which side was faster.
//!
//! Noise that does not know which side runs is no such reason: for sides that are the same it turns each difference as often one way as the
//! other, whatever it does, so the test stays exact and only its interval grows. What the generator says of late starts, of threads that stood
//! still and of its own load is therefore told of the block ([`crate::record::Disturbance`]), and its pair is kept.

use crate::record::{BlockRecord, Discard, Side, Sides};

/// Share of the measured stretch by which half of the arrivals must be late before the load is not the one that was asked for.
const NOT_OFFERED: f64 = 0.10;
/// The same in ns: in a short block one stall comes to that share.
const NOT_OFFERED_LEAST: f64 = 75e6;
/// Share of blocks that may come from disk on one side where all data fits in memory.
const DISK_LIMIT: f64 = 0.01;

/// Why a pair must not be used, decided without a look at its latency; told on the block that is at fault.
pub fn faults(pair: &Sides<BlockRecord>, writes: bool, resident: bool) -> Sides<Option<Discard>> {
    let mut faults = pair.map(unmeasured);
    if !writes {
        for side in Side::BOTH {
            let fault = one_sided_fault(pair.get(side), pair.get(side.other()), resident);
            let slot = faults.get_mut(side);
            *slot = slot.take().or(fault);
        }
    }
    faults
}

/// Why a block says nothing of the load that was asked for.
pub fn unmeasured(block: &BlockRecord) -> Option<Discard> {
    let late = block.generator.lag.quantile(0.5).unwrap_or(0.0);
    let not_offered = block.is_open() && late > (NOT_OFFERED * block.duration_ns as f64).max(NOT_OFFERED_LEAST);
    block.discard.clone().or(not_offered.then_some(Discard::NotOffered { lag_ns: late as u64 }))
}

/// What happened to one side of a reading duel beside its work. Who writes makes checkpoints and work for autovacuum, which is part of the
/// difference.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ServerDelta;
    use crate::record::tests::block;

    fn found(before: BlockRecord, after: BlockRecord) -> Sides<Option<Discard>> {
        faults(&Sides { before, after }, false, true)
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
            let quiet = block(2_000_000, 0, 0);
            let mut disturbed = quiet.clone();
            disturb(&mut disturbed.server);
            assert_eq!(found(quiet.clone(), disturbed.clone()), Sides { before: None, after: Some(fault) });
            assert_eq!(found(disturbed.clone(), disturbed.clone()), Sides { before: None, after: None });
            let pair = Sides { before: quiet, after: disturbed };
            assert_eq!(faults(&pair, true, true), Sides { before: None, after: None }, "a side that writes");
        }
    }

    #[test]
    fn noise_that_does_not_know_which_side_runs_keeps_its_pair() {
        let quiet = || block(2_000_000, 0, 0);
        let mut noisy = block(2_000_000, 100, 40_000_000);
        noisy.generator.longest_stall_ns = 60_000_000;
        noisy.generator.stolen_share = Some(0.4);
        noisy.generator.cpu_share = 0.95;
        noisy.generator.achieved_share = 0.5;
        assert!(noisy.disturbances().len() == 4);
        assert_eq!(found(quiet(), noisy.clone()), Sides { before: None, after: None });
        assert_eq!(found(noisy.clone(), noisy), Sides { before: None, after: None });
    }

    #[test]
    fn a_load_that_was_not_offered_cannot_be_measured() {
        // Half of the arrivals more than 75 ms late, in a block of 750 ms.
        let behind = block(2_000_000, 200, 80_000_000);
        let fault = found(block(2_000_000, 0, 0), behind.clone());
        assert!(matches!(fault, Sides { before: None, after: Some(Discard::NotOffered { lag_ns: 79_000_000.. }) }), "{fault:?}");
        assert_eq!(found(block(2_000_000, 200, 70_000_000), block(2_000_000, 140, 300_000_000)), Sides { before: None, after: None });
        let closed = BlockRecord { kind: crate::record::BlockKind::FixedWork, ..behind };
        assert_eq!(unmeasured(&closed), None);
    }
}

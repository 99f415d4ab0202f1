//! Which blocks are thrown away: those in which some arms of a round, and not all, suffered from something that is not their own work, and those
//! that could not be measured. Decided the same way for all arms, and never by which was faster. A pair, an arm's block and the baseline's of the
//! same round, counts if neither is thrown away.
//!
//! Noise that does not know which arm runs is no such reason: for arms that are the same it turns each difference as often one way as the
//! other, whatever it does, so the test stays exact and only its interval grows. What the generator says of late starts, of threads that stood
//! still and of its own load is therefore told of the block ([`crate::record::Disturbance`]), and it is kept.

use crate::record::{Arms, BlockRecord, Discard};

/// Share of the measured stretch by which half of the arrivals must be late before the load is not the one that was asked for.
const NOT_OFFERED: f64 = 0.10;
/// The same in ns: in a short block one stall comes to that share.
const NOT_OFFERED_LEAST: f64 = 75e6;
/// Share of blocks that may come from disk on one arm where all data fits in memory.
const DISK_LIMIT: f64 = 0.01;

/// Why blocks of a round must not be used, decided without a look at their latency; told of the blocks that are at fault: those that could not
/// be measured, and those that suffered from something from which not all did.
pub fn faults(round: &Arms<&BlockRecord>, writes: bool, resident: bool) -> Arms<Option<Discard>> {
    let mut found = round.map(|block| unmeasured(block));
    let causes: &[fn(&BlockRecord) -> Option<Discard>] = match (writes, resident) {
        (true, _) => &[],
        (false, true) => &[checkpoint, autovacuum, disk_reads],
        (false, false) => &[checkpoint, autovacuum],
    };
    for cause in causes {
        let suffered = round.map(|block| cause(block));
        if suffered.values().all(Option::is_some) {
            continue;
        }
        for (fault, suffered) in found.values_mut().zip(suffered) {
            *fault = fault.take().or(suffered);
        }
    }
    found
}

/// Why a block says nothing of the load that was asked for.
pub fn unmeasured(block: &BlockRecord) -> Option<Discard> {
    let late = block.generator.lag.quantile(0.5).unwrap_or(0.0);
    let not_offered = block.is_open() && late > (NOT_OFFERED * block.duration_ns as f64).max(NOT_OFFERED_LEAST);
    block.discard.clone().or(not_offered.then_some(Discard::NotOffered { lag_ns: late as u64 }))
}

// What happens to a reading arm beside its work. Who writes makes checkpoints and work for autovacuum, which is part of the difference.

fn checkpoint(block: &BlockRecord) -> Option<Discard> {
    (block.server.checkpoints > 0).then_some(Discard::Checkpoint)
}

fn autovacuum(block: &BlockRecord) -> Option<Discard> {
    (block.server.autovacuums > 0).then_some(Discard::Autovacuum)
}

fn disk_reads(block: &BlockRecord) -> Option<Discard> {
    let all = block.server.blocks_hit + block.server.blocks_read;
    let share = block.server.blocks_read as f64 / all.max(1) as f64;
    (share > DISK_LIMIT).then_some(Discard::DiskReads { per_mille: (share * 1000.0) as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ServerDelta;
    use crate::record::tests::block;

    fn found(baseline: BlockRecord, arm: BlockRecord) -> Arms<Option<Discard>> {
        faults(&Arms::two(&baseline, &arm), false, true)
    }

    #[test]
    fn what_the_server_did_beside_is_held_against_a_block_if_one_of_two_alone_had_it() {
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
            assert_eq!(found(quiet.clone(), disturbed.clone()), Arms::two(None, Some(fault.clone())));
            assert_eq!(found(disturbed.clone(), disturbed.clone()), Arms::two(None, None));
            assert_eq!(faults(&Arms::two(&quiet, &disturbed), true, true), Arms::two(None, None), "an arm that writes");
            let third = faults(&Arms::new(&disturbed, vec![&disturbed, &quiet]), false, true);
            assert_eq!(third, Arms::new(Some(fault.clone()), vec![Some(fault), None]), "both of those that had it");
        }
    }

    #[test]
    fn noise_that_does_not_know_which_arm_runs_keeps_its_blocks() {
        let quiet = || block(2_000_000, 0, 0);
        let mut noisy = block(2_000_000, 100, 40_000_000);
        noisy.generator.longest_stall_ns = 60_000_000;
        noisy.generator.stolen_share = Some(0.4);
        noisy.generator.cpu_share = 0.95;
        noisy.generator.achieved_share = 0.5;
        assert!(noisy.disturbances().len() == 4);
        assert_eq!(found(quiet(), noisy.clone()), Arms::two(None, None));
        assert_eq!(found(noisy.clone(), noisy), Arms::two(None, None));
    }

    #[test]
    fn a_load_that_was_not_offered_cannot_be_measured() {
        // Half of the arrivals more than 75 ms late, in a block of 750 ms.
        let behind = block(2_000_000, 200, 80_000_000);
        let fault = found(block(2_000_000, 0, 0), behind.clone());
        assert!(matches!(fault.others[..], [Some(Discard::NotOffered { lag_ns: 79_000_000.. })]) && fault.baseline.is_none(), "{fault:?}");
        assert_eq!(found(block(2_000_000, 200, 70_000_000), block(2_000_000, 140, 300_000_000)), Arms::two(None, None));
        let mut closed = behind;
        closed.load.arrivals = crate::record::Arrivals::Work { transactions: 1 };
        assert_eq!(unmeasured(&closed), None);
    }
}

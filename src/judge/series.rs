//! From blocks to pairs, and from pairs to what is said of them.
//!
//! A pair is an arm's block and the baseline's of the same round. It is used if both blocks are there, of the kind of the others, and neither
//! was marked to be discarded. A round that was run again has a number of its own, so replacing needs no rule here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Rival, RoundCount};
use crate::record::{Arm, Arrivals, BlockPurpose, BlockRecord, Discard};
use crate::stats::sign_test;

/// Level of the test whether discarded pairs fall on one of the two more often than on the other, over all arms of a scenario.
const LOPSIDED_LEVEL: f64 = 0.01;

/// What an arm and the baseline have of something.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Both<T> {
    /// The baseline's.
    pub baseline: T,
    /// The arm's.
    pub arm: T,
}

impl<T> Both<T> {
    /// The same computation for both.
    pub fn map<U>(&self, mut f: impl FnMut(&T) -> U) -> Both<U> {
        Both { baseline: f(&self.baseline), arm: f(&self.arm) }
    }

    /// The one and the other.
    pub fn swapped(self) -> Both<T> {
        Both { baseline: self.arm, arm: self.baseline }
    }
}

impl Both<f64> {
    /// The smaller one.
    pub fn least(self) -> f64 {
        self.baseline.min(self.arm)
    }
}

/// What becomes of a pair.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// It is used.
    Kept,
    /// It was marked: one of the two alone suffered from something, or a block could not be measured.
    Discarded {
        /// Reasons without numbers, to be counted.
        reasons: BTreeSet<&'static str>,
    },
    /// It was never finished, or cannot be compared; nobody's fault.
    Unfinished(&'static str),
}

/// Discarded pairs that fall on one of the two.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Lopsided {
    /// Which.
    pub arm: Arm,
    /// Pairs in which it alone was at fault.
    pub pairs: u64,
    /// Pairs in which one alone was at fault.
    pub of: u64,
    /// Its reasons.
    pub reasons: BTreeSet<&'static str>,
}

/// One pair, whatever became of it.
pub(super) struct Slot<'a> {
    /// The round, and how often its number was used before.
    pub round: (u32, u32),
    pub blocks: Both<Option<&'a BlockRecord>>,
    pub fate: Fate,
}

/// All pairs of an arm with the baseline, by round.
pub(super) struct Pairs<'a> {
    pub arm: Arm,
    pub slots: Vec<Slot<'a>>,
    /// The pairs that are used.
    pub kept: Vec<Both<&'a BlockRecord>>,
    /// How transactions begin in them, the baseline's of the first.
    pub arrivals: Option<&'a Arrivals>,
}

impl<'a> Pairs<'a> {
    /// Pairs up the blocks of an arm with those of the baseline.
    pub fn of(blocks: impl IntoIterator<Item = &'a BlockRecord>, arm: Arm) -> Pairs<'a> {
        let mut seen: BTreeMap<(u32, Arm), u32> = BTreeMap::new();
        // A number that was used twice makes two rounds: the first blocks of each arm, then the second.
        let mut found: BTreeMap<(u32, u32), Both<Option<&'a BlockRecord>>> = BTreeMap::new();
        for block in blocks {
            if block.purpose != BlockPurpose::Scenario || !(block.arm.is_baseline() || block.arm == arm) {
                continue;
            }
            let times = seen.entry((block.round, block.arm)).or_default();
            let both = found.entry((block.round, *times)).or_default();
            *(if block.arm.is_baseline() { &mut both.baseline } else { &mut both.arm }) = Some(block);
            *times = times.saturating_add(1);
        }
        let mut pairs = Pairs { arm, slots: Vec::with_capacity(found.len()), kept: Vec::new(), arrivals: None };
        for (round, blocks) in found {
            pairs.add(round, blocks);
        }
        pairs
    }

    fn add(&mut self, round: (u32, u32), blocks: Both<Option<&'a BlockRecord>>) {
        let fate = match (discarded(&blocks), blocks.baseline, blocks.arm) {
            (Some(fate), ..) => fate,
            (None, Some(baseline), Some(arm)) => {
                let first = *self.arrivals.get_or_insert(&baseline.load.arrivals);
                if baseline.load.arrivals.is_like(first) && arm.load.arrivals.is_like(first) {
                    self.kept.push(Both { baseline, arm });
                    Fate::Kept
                } else {
                    Fate::Unfinished("work was given in another way than in the other blocks")
                }
            }
            (None, ..) => Fate::Unfinished("not every block of the round was finished"),
        };
        self.slots.push(Slot { round, blocks, fate });
    }

    /// The one of the two at fault in more of the discarded pairs than a coin would make it, at [`LOPSIDED_LEVEL`] over so many `rivals`, in how
    /// many of how many. Pairs in which both were at fault do not count.
    pub fn lopsided(&self, rivals: usize) -> Option<Lopsided> {
        let discard = |block: Option<&'a BlockRecord>| {
            block.and_then(|block| block.discard.as_ref()).filter(|discard| **discard != Discard::Interrupted)
        };
        let alone = |of: fn(Both<Option<&'a BlockRecord>>) -> Both<Option<&'a BlockRecord>>| {
            let one_sided = |slot: &&Slot<'a>| {
                let both = of(slot.blocks);
                discard(both.arm).is_some() && discard(both.baseline).is_none()
            };
            self.slots.iter().filter(one_sided).count() as u64
        };
        let (arms, baselines) = (alone(|both| both), alone(Both::swapped));
        let arm = if baselines > arms { Arm::BASELINE } else { self.arm };
        let blocks = self.slots.iter().map(|slot| if arm.is_baseline() { slot.blocks.baseline } else { slot.blocks.arm });
        let reasons = blocks.filter_map(discard).map(Discard::reason).collect();
        let found = Lopsided { arm, pairs: arms.max(baselines), of: arms + baselines, reasons };
        (sign_test(found.pairs, found.of) <= LOPSIDED_LEVEL / rivals.max(1) as f64).then_some(found)
    }

    /// Kept blocks of both.
    pub fn all_kept_blocks(&self) -> impl Iterator<Item = &'a BlockRecord> + '_ {
        self.kept.iter().flat_map(|pair| [pair.baseline, pair.arm])
    }
}

/// Rounds by what became of them: one counts if each of its pairs does.
pub(super) fn count(rivals: &[Rival<'_>]) -> RoundCount {
    let mut rounds: BTreeMap<(u32, u32), BTreeSet<&str>> = BTreeMap::new();
    for slot in rivals.iter().flat_map(|rival| &rival.pairs.slots) {
        let reasons = rounds.entry(slot.round).or_default();
        match &slot.fate {
            Fate::Kept => {}
            Fate::Discarded { reasons: found } => reasons.extend(found),
            Fate::Unfinished(reason) => drop(reasons.insert(reason)),
        }
    }
    let mut count = RoundCount::default();
    for reasons in rounds.into_values() {
        *(if reasons.is_empty() { &mut count.kept } else { &mut count.discarded }) += 1;
        reasons.into_iter().for_each(|reason| *count.reasons.entry(reason.to_owned()).or_default() += 1);
    }
    count
}

/// Blocks of an arm that are in a pair that is used.
pub(super) fn kept_blocks<'a>(rivals: &[Rival<'a>], arm: Arm) -> Vec<&'a BlockRecord> {
    let mut blocks: BTreeMap<(u32, u32), &'a BlockRecord> = BTreeMap::new();
    for pairs in rivals.iter().map(|rival| &rival.pairs).filter(|pairs| arm.is_baseline() || pairs.arm == arm) {
        for slot in pairs.slots.iter().filter(|slot| slot.fate == Fate::Kept) {
            let block = if arm.is_baseline() { slot.blocks.baseline } else { slot.blocks.arm };
            blocks.extend(block.map(|block| (slot.round, block)));
        }
    }
    blocks.into_values().collect()
}

/// The fate that the marks of a pair's blocks decide; `None` if there are none.
fn discarded(blocks: &Both<Option<&BlockRecord>>) -> Option<Fate> {
    let mut reasons = BTreeSet::new();
    let mut interrupted = false;
    for block in [blocks.baseline, blocks.arm].into_iter().flatten() {
        match &block.discard {
            Some(Discard::Interrupted) => interrupted = true,
            Some(discard) => drop(reasons.insert(discard.reason())),
            None => {}
        }
    }
    match (reasons.is_empty(), interrupted) {
        (false, _) => Some(Fate::Discarded { reasons }),
        (true, true) => Some(Fate::Unfinished("the run was interrupted in it")),
        (true, false) => None,
    }
}

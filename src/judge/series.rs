//! From blocks to pairs, and from pairs to what is said of them.
//!
//! A pair is the blocks of both sides with one pair number. It is used if both blocks are there, of the kind of the others, and neither
//! was marked to be discarded. A pair that was run again has a number of its own, so replacing needs no rule here.

use std::collections::{BTreeMap, BTreeSet};

use super::PairCount;
use crate::record::{BlockKind, BlockRecord, Discard, LoadRecord, Side, Sides};
use crate::stats::sign_test;

/// Level of the test whether discarded pairs fall on one side more often than on the other.
const LOPSIDED_LEVEL: f64 = 0.01;

/// What becomes of a pair.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// It is used.
    Kept,
    /// It was marked: one side alone suffered from something, or a block could not be measured.
    Discarded {
        /// Reasons without numbers, to be counted.
        reasons: BTreeSet<&'static str>,
        /// With numbers, for this pair.
        words: String,
    },
    /// It was never finished, or cannot be compared; nobody's fault.
    Unfinished(&'static str),
}

/// Discarded pairs that fall on one side.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Lopsided {
    /// The side.
    pub side: Side,
    /// Pairs in which it alone was at fault.
    pub pairs: u64,
    /// Pairs in which one side alone was at fault.
    pub of: u64,
    /// Its reasons.
    pub reasons: BTreeSet<&'static str>,
}

/// One pair, whatever became of it.
pub(super) struct Slot<'a> {
    pub blocks: Sides<Option<&'a BlockRecord>>,
    pub fate: Fate,
}

/// All pairs of a scenario, by number.
pub(super) struct Pairs<'a> {
    pub slots: Vec<Slot<'a>>,
    /// The pairs that are used.
    pub kept: Vec<Sides<&'a BlockRecord>>,
    /// How work was given in them.
    pub kind: Option<BlockKind>,
}

impl<'a> Pairs<'a> {
    /// Pairs up the blocks that are judged: neither those at a side's own rate nor, unless the scenario itself is a closed loop, those that
    /// measure capacity.
    pub fn of(blocks: impl IntoIterator<Item = &'a BlockRecord>, load: &LoadRecord) -> Pairs<'a> {
        let closed = matches!(load, LoadRecord::Closed { .. });
        let mut seen: BTreeMap<(u32, Side), u32> = BTreeMap::new();
        // A number that was used twice makes two pairs: the first blocks of each side, then the second.
        let mut found: BTreeMap<(u32, u32), Sides<Option<&'a BlockRecord>>> = BTreeMap::new();
        for block in blocks {
            match block.kind {
                BlockKind::OwnRate => continue,
                BlockKind::Capacity if !closed => continue,
                _ => {}
            }
            let times = seen.entry((block.pair, block.side)).or_default();
            *found.entry((block.pair, *times)).or_default().get_mut(block.side) = Some(block);
            *times = times.saturating_add(1);
        }
        let mut pairs = Pairs { slots: Vec::with_capacity(found.len()), kept: Vec::new(), kind: None };
        for blocks in found.into_values() {
            pairs.add(blocks);
        }
        pairs
    }

    fn add(&mut self, blocks: Sides<Option<&'a BlockRecord>>) {
        let fate = match (discarded(&blocks), blocks.before, blocks.after) {
            (Some(fate), ..) => fate,
            (None, Some(before), Some(after)) => {
                let kind = *self.kind.get_or_insert(before.kind);
                if before.kind == kind && after.kind == kind {
                    self.kept.push(Sides { before, after });
                    Fate::Kept
                } else {
                    Fate::Unfinished("work was given in another way than in the other blocks")
                }
            }
            (None, ..) => Fate::Unfinished("only one block of the pair was finished"),
        };
        self.slots.push(Slot { blocks, fate });
    }

    /// Pairs by what became of them.
    pub fn count(&self) -> PairCount {
        let mut count = PairCount::default();
        for slot in &self.slots {
            let mut because = |reason: &str| *count.reasons.entry(reason.to_owned()).or_default() += 1;
            match &slot.fate {
                Fate::Kept => {
                    count.kept += 1;
                    continue;
                }
                Fate::Discarded { reasons, .. } => reasons.iter().for_each(|reason| because(reason)),
                Fate::Unfinished(reason) => because(reason),
            }
            count.discarded += 1;
        }
        count
    }

    /// The side at fault in more of the discarded pairs than a coin would make it, at [`LOPSIDED_LEVEL`], in how many of how many. Pairs in
    /// which both sides were at fault do not count.
    pub fn lopsided(&self) -> Option<Lopsided> {
        let at_fault = |block: Option<&BlockRecord>| {
            block.and_then(|block| block.discard.as_ref()).is_some_and(|discard| *discard != Discard::Interrupted)
        };
        let of_side = |side: Side| {
            let one_sided = |slot: &&Slot<'_>| at_fault(*slot.blocks.get(side)) && !at_fault(*slot.blocks.get(side.other()));
            self.slots.iter().filter(one_sided).count() as u64
        };
        let (before, after) = (of_side(Side::Before), of_side(Side::After));
        let side = if before > after { Side::Before } else { Side::After };
        let discards = self.slots.iter().filter_map(|slot| slot.blocks.get(side).as_ref()?.discard.as_ref());
        let reasons = discards.filter(|discard| **discard != Discard::Interrupted).map(Discard::reason).collect();
        let found = Lopsided { side, pairs: before.max(after), of: before + after, reasons };
        (sign_test(found.pairs, found.of) <= LOPSIDED_LEVEL).then_some(found)
    }

    /// Kept blocks of both sides.
    pub fn all_kept_blocks(&self) -> impl Iterator<Item = &'a BlockRecord> + '_ {
        self.kept.iter().flat_map(|pair| [pair.before, pair.after])
    }

    /// Kept blocks of a side.
    pub fn kept_blocks(&self, side: Side) -> impl Iterator<Item = &'a BlockRecord> + '_ {
        self.kept.iter().map(move |pair| *pair.get(side))
    }
}

/// The fate that the marks of a pair's blocks decide; `None` if there are none.
fn discarded(blocks: &Sides<Option<&BlockRecord>>) -> Option<Fate> {
    let mut reasons = BTreeSet::new();
    let mut words: Vec<String> = Vec::new();
    let mut interrupted = false;
    for block in [blocks.before, blocks.after].into_iter().flatten() {
        match &block.discard {
            Some(Discard::Interrupted) => interrupted = true,
            Some(discard) => {
                reasons.insert(discard.reason());
                words.push(format!("{discard} ({})", block.side.name()));
            }
            None => {}
        }
    }
    match (reasons.is_empty(), interrupted) {
        (false, _) => Some(Fate::Discarded { reasons, words: words.join("; ") }),
        (true, true) => Some(Fate::Unfinished("the run was interrupted in it")),
        (true, false) => None,
    }
}

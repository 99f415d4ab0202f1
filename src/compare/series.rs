//! From blocks to pairs, and from pairs to what is said of them.
//!
//! A pair is the blocks of both sides with one pair number. It is used if both blocks are there, of the kind of the others, and neither
//! was marked to be discarded. A pair that was run again has a number of its own, so replacing needs no rule here.

use std::collections::{BTreeMap, BTreeSet};

use super::PairCount;
use crate::record::{BlockKind, BlockRecord, Discard, LoadRecord, Side, Sides};

/// What becomes of a pair.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// It is used.
    Kept,
    /// Something disturbed it; every such pair counts towards the share that makes a scenario invalid.
    Disturbed {
        /// Reasons without numbers, to be counted.
        reasons: BTreeSet<&'static str>,
        /// With numbers, for this pair.
        words: String,
    },
    /// It was never finished, or cannot be compared; nobody's fault.
    Unfinished(&'static str),
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
        let fate = match (disturbance(&blocks), blocks.before, blocks.after) {
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
                Fate::Disturbed { reasons, .. } => reasons.iter().for_each(|reason| because(reason)),
                Fate::Unfinished(reason) => because(reason),
            }
            count.discarded += 1;
        }
        count
    }

    /// Share of finished pairs that were disturbed; 0 if there are none.
    pub fn disturbed_share(&self) -> f64 {
        let disturbed = self.slots.iter().filter(|slot| matches!(slot.fate, Fate::Disturbed { .. })).count();
        let finished = disturbed + self.kept.len();
        if finished == 0 { 0.0 } else { disturbed as f64 / finished as f64 }
    }

    /// Kept blocks of a side.
    pub fn kept_blocks(&self, side: Side) -> impl Iterator<Item = &'a BlockRecord> + '_ {
        self.kept.iter().map(move |pair| *pair.get(side))
    }
}

/// The fate that the marks of a pair's blocks decide; `None` if there are none.
fn disturbance(blocks: &Sides<Option<&BlockRecord>>) -> Option<Fate> {
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
        (false, _) => Some(Fate::Disturbed { reasons, words: words.join("; ") }),
        (true, true) => Some(Fate::Unfinished("the run was interrupted in it")),
        (true, false) => None,
    }
}

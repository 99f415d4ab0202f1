//! What is shown beside the judged pairs in a long run: how much each side can do, and what users of one side alone would see at half of
//! that. Only for scenarios under open load: fixed work has no rate that a side could be loaded at.

use std::time::{Duration, Instant};

use super::block::BlockContext;
use super::offer::{BlockLength, Offer, Probed};
use super::order::{self, Slot};
use super::scenario_duel::{Arena, Halt, ScenarioDuel};
use crate::judge::unmeasured;
use crate::load::schedule::Process;
use crate::record::{Line, Mode, Sides};

/// Pairs of capacity blocks; seven are the least that has an interval at 1% each way.
const CAPACITY_PAIRS: u32 = 8;
/// Pairs of blocks at a side's own rate: two on each build.
const OWN_RATE_PAIRS: u32 = 4;
/// Numbers of these pairs begin here, so that no judged pair shares its arrivals.
const FIRST_PAIR: u32 = 1 << 20;

const CAPACITY: BlockLength = BlockLength { settle: Duration::from_millis(250), measure: Duration::from_millis(1000) };
const OWN_RATE: BlockLength = BlockLength { settle: Duration::from_millis(250), measure: Duration::from_millis(1000) };

impl ScenarioDuel<'_, '_> {
    /// Pairs of closed-loop blocks, then of open-loop ones at half of what each side turned out to do.
    pub(super) async fn capacity(
        &mut self,
        context: &BlockContext<'_>,
        arena: &Arena,
        offer: &Offer,
        probed: Sides<Probed>,
    ) -> Result<(), Halt> {
        let reads = !self.scenario.writes();
        if self.plan.mode != Mode::Default || !reads || !matches!(offer, Offer::Timed { .. }) || !self.time_left() {
            return Ok(());
        }
        self.environment.progress.note("measuring capacity");
        let sessions = self.scenario.load.connections;
        let mut measured = Sides::<Vec<f64>>::default();
        for number in 0..CAPACITY_PAIRS {
            for slot in self.slots(number) {
                let per_second = self.shown_block(context, arena, slot, &Offer::Closed { sessions, length: CAPACITY }).await?;
                measured.get_mut(slot.side).extend(per_second);
            }
        }
        for number in CAPACITY_PAIRS..CAPACITY_PAIRS + OWN_RATE_PAIRS {
            for slot in self.slots(number) {
                let capacity = median(measured.get_mut(slot.side)).unwrap_or(probed.get(slot.side).capacity_or_single());
                let offer = Offer::OwnRate { process: Process::Poisson(capacity / 2.0), length: OWN_RATE };
                self.shown_block(context, arena, slot, &offer).await?;
            }
        }
        Ok(())
    }

    fn time_left(&self) -> bool {
        !self.stopped() && (self.plan.budget.is_none() || self.deadline.is_none_or(|deadline| Instant::now() < deadline))
    }

    fn slots(&self, number: u32) -> [Slot; 2] {
        order::pair(self.plan.order_seed, &self.scenario.path(), FIRST_PAIR + number)
    }

    /// Runs and records a block that is not judged. Returns its throughput, if it was measured.
    async fn shown_block(&mut self, context: &BlockContext<'_>, arena: &Arena, slot: Slot, offer: &Offer) -> Result<Option<f64>, Halt> {
        if self.stopped() {
            return Ok(None);
        }
        let (build, sides) = arena.of_pair(slot.pair);
        let mut block = context.run(slot, sides.get(slot.side), offer).await?.record;
        block.build = build;
        block.discard = unmeasured(&block);
        let per_second = block.accounting.ok as f64 / (block.duration_ns.max(1) as f64 / 1e9);
        let usable = block.discard.is_none();
        self.append(Line::Block(Box::new(block)))?;
        Ok(usable.then_some(per_second))
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

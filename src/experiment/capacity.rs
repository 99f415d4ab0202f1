//! What is shown beside the judged pairs in a long run: how much each side can do, and what users of one side alone would see at half of
//! that. Only for scenarios under open load: fixed work has no rate that a side could be loaded at.

use std::time::{Duration, Instant};

use super::block::BlockContext;
use super::faults::bottleneck;
use super::offer::{BlockLength, Offer, Probed};
use super::order::{Slot, quad};
use super::scenario_duel::{Arena, Halt, ScenarioDuel};
use crate::load::schedule::Process;
use crate::record::{Line, Mode, Sides};

/// Quads of capacity blocks: eight pairs, of which seven are the least that has an interval at 1% each way.
const CAPACITY_QUADS: u32 = 4;
/// Quads of blocks at a side's own rate: one on each build.
const OWN_RATE_QUADS: u32 = 2;
/// Numbers of these quads begin here, so that no judged pair shares its arrivals.
const FIRST_QUAD: u32 = 1 << 19;

const CAPACITY: BlockLength = BlockLength { settle: Duration::from_millis(250), measure: Duration::from_millis(1000) };
const OWN_RATE: BlockLength = BlockLength { settle: Duration::from_millis(250), measure: Duration::from_millis(1000) };

impl ScenarioDuel<'_, '_> {
    /// Closed-loop blocks on both sides in quads, then open-loop ones at half of what each side turned out to do.
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
        for number in 0..CAPACITY_QUADS {
            for slot in self.slots(number) {
                let per_second = self.shown_block(context, arena, slot, &Offer::Closed { sessions, length: CAPACITY }).await?;
                measured.get_mut(slot.side).extend(per_second);
            }
        }
        for number in CAPACITY_QUADS..CAPACITY_QUADS + OWN_RATE_QUADS {
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

    fn slots(&self, number: u32) -> [Slot; 4] {
        quad(self.plan.seed, &self.scenario.path(), FIRST_QUAD + number)
    }

    /// Runs and records a block that is not judged. Returns its throughput, if it can be believed.
    async fn shown_block(&mut self, context: &BlockContext<'_>, arena: &Arena, slot: Slot, offer: &Offer) -> Result<Option<f64>, Halt> {
        if self.stopped() {
            return Ok(None);
        }
        let (build, sides) = arena.of_quad(slot.quad);
        let mut block = context.run(slot, sides.get(slot.side), offer).await?.record;
        block.build = build;
        block.discard = block.discard.take().or_else(|| bottleneck(&block));
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

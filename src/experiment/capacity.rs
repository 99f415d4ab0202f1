//! What is shown beside the judged pairs in a long run: how much each arm can do, and what users of one arm alone would see at half of
//! that. Only for scenarios under open load: fixed work has no rate that an arm could be loaded at.

use std::time::{Duration, Instant};

use super::Event;
use super::block::BlockContext;
use super::offer::{BlockLength, Offer, Probed};
use super::order::{self, Slot};
use super::scenario_duel::{Arena, Halt, ScenarioDuel};
use crate::judge::{typical_rate, unmeasured};
use crate::record::{Arms, Arrivals, BlockPurpose, Line, Mode};

/// Rounds of capacity blocks; seven are the least that has an interval at 1% each way.
const CAPACITY_ROUNDS: u32 = 8;
/// Rounds of blocks at an arm's own rate: two on each build.
const OWN_RATE_ROUNDS: u32 = 4;
/// Numbers of these rounds begin here, so that no judged round shares its arrivals.
const FIRST_ROUND: u32 = 1 << 20;

const CAPACITY: BlockLength = BlockLength { settle: Duration::from_millis(250), measure: Duration::from_millis(1000) };
const OWN_RATE: BlockLength = BlockLength { settle: Duration::from_millis(250), measure: Duration::from_millis(1000) };

impl ScenarioDuel<'_, '_> {
    /// Rounds of closed-loop blocks, then of open-loop ones at half of what each arm turned out to do.
    pub(super) async fn capacity(
        &mut self,
        context: &BlockContext<'_>,
        arena: &Arena,
        offer: &Offer,
        probed: &Arms<Probed>,
    ) -> Result<(), Halt> {
        let reads = !self.scenario.writes();
        if self.plan.mode != Mode::Default || !reads || !offer.arrivals.baseline.is_open() || !self.has_time_for(CAPACITY) {
            return Ok(());
        }
        self.ready(arena).await?;
        self.environment.progress.event(&Event::MeasuringCapacity { scenario: &self.scenario.path() });
        let mut measured: Arms<Vec<f64>> = probed.map(|_| Vec::new());
        let closed = Offer::same(Arrivals::Closed, offer.connections.clone(), CAPACITY);
        for number in 0..CAPACITY_ROUNDS {
            if !self.has_time_for(CAPACITY) {
                return Ok(());
            }
            for slot in self.slots(number) {
                let per_second = self.shown_block(context, arena, slot, &closed, BlockPurpose::Capacity).await?;
                measured.get_mut(slot.arm).extend(per_second);
            }
        }
        let capacities = measured.map(|measured| typical_rate(measured));
        for number in CAPACITY_ROUNDS..CAPACITY_ROUNDS + OWN_RATE_ROUNDS {
            if !self.has_time_for(OWN_RATE) {
                return Ok(());
            }
            for slot in self.slots(number) {
                let capacity = capacities.get(slot.arm).unwrap_or(probed.get(slot.arm).capacity_or_single());
                let half = Offer::same(Arrivals::Poisson { per_second: capacity / 2.0 }, offer.connections.clone(), OWN_RATE);
                self.shown_block(context, arena, slot, &half, BlockPurpose::OwnRate).await?;
            }
        }
        Ok(())
    }

    /// Whether a round of such blocks would be over before the budget is.
    fn has_time_for(&self, length: BlockLength) -> bool {
        let round = (length.settle + length.measure) * self.scenario.arms.count() as u32;
        !self.stopped() && (self.plan.budget.is_none() || self.deadline.is_none_or(|deadline| Instant::now() + round < deadline))
    }

    fn slots(&self, number: u32) -> Vec<Slot> {
        order::round(self.plan.order_seed, &self.scenario.path(), FIRST_ROUND + number, self.scenario.arms.count())
    }

    /// Runs and records a block that is not judged. Returns its throughput, if it was measured.
    async fn shown_block(
        &mut self,
        context: &BlockContext<'_>,
        arena: &Arena,
        slot: Slot,
        offer: &Offer,
        purpose: BlockPurpose,
    ) -> Result<Option<f64>, Halt> {
        if self.stopped() {
            return Ok(None);
        }
        let (build, routes) = arena.of_round(slot.round);
        let mut block = context.run(slot, routes.get(slot.arm), offer, purpose).await?.record;
        block.build = build;
        block.discard = unmeasured(&block);
        self.tell(&block);
        let per_second = block.accounting.ok as f64 / (block.duration_ns.max(1) as f64 / 1e9);
        let usable = block.discard.is_none();
        self.append(Line::Block(Box::new(block)))?;
        Ok(usable.then_some(per_second))
    }
}

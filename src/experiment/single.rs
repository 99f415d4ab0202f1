//! One arm under load, in one block: for a look at throughput and latency, and for sizing. Nothing is checked, and nothing can be concluded about
//! another arm.

use std::sync::Arc;

use super::Event;
use super::block::{BlockContext, Measured};
use super::describe::record;
use super::duel::until_stopped;
use super::offer::{BlockLength, Offer};
use super::order::Slot;
use super::rounds::Course;
use super::scenario_duel::{Arena, Halt, Left, ScenarioDuel, warm_up};
use crate::load::bind::Mix;
use crate::record::{Arm, Arms, Arrivals, BlockPurpose, Line, StopReason};
use crate::scenario::{Rate, Scenario};

impl ScenarioDuel<'_, '_> {
    /// Loads the only arm for so long and records the block. Sets `announced` once the scenario is in the record.
    pub(super) async fn one_block(
        &mut self,
        mix: Arc<Mix>,
        mut arena: Arena,
        length: BlockLength,
        announced: &mut bool,
    ) -> Result<Left, Halt> {
        let offer = offer(self.scenario, length);
        let described = record(self.plan, self.scenario, Some(offer.record(self.scenario)));
        self.append(Line::Scenario(Box::new(described)))?;
        *announced = true;
        let stop = self.environment.stop.clone();
        let timed = until_stopped(&stop, self.time(&mix, arena.first())).await;
        let Some(times) = timed else { return Ok(Left::Nothing(StopReason::Interrupted)) };
        let slow = self.settle(&mut arena, &times?.direct);
        self.ready(&arena).await?;
        let context = BlockContext { count_busy: true, ..self.context(mix, warm_up(slow)) };
        let arm = &self.scenario.arms.baseline;
        let (scenario, seconds) = (self.scenario.path(), (length.settle + length.measure).as_secs_f64());
        self.environment.progress.event(&Event::Loading { scenario: &scenario, variant: &arm.variant, seconds });
        let slot = Slot { round: 0, position: 0, arm: Arm::BASELINE };
        let Measured { record, classes } = context.run(slot, &arena.first().baseline, &offer, BlockPurpose::Scenario).await?;
        self.tell(&record);
        self.append(Line::Block(Box::new(record)))?;
        let mut course = Course::of(arena.first());
        course.classes.baseline.add(&classes);
        self.record_classes(&course)?;
        Ok(Left::Nothing(if self.stopped() { StopReason::Interrupted } else { StopReason::Budget }))
    }
}

/// Without a rate, every connection is kept busy: there is no rival whose capacity a rate would have to suit.
fn offer(scenario: &Scenario, length: BlockLength) -> Offer {
    let arrivals = match (&scenario.arms.baseline.arrivals, &scenario.load.rate) {
        (Some(own), _) => own.clone(),
        (None, Rate::Stated(Arrivals::Work { .. }) | Rate::Auto | Rate::Work) => Arrivals::Closed,
        (None, Rate::Stated(arrivals)) => arrivals.clone(),
    };
    Offer::same(arrivals, Arms::new(scenario.connections(Arm::BASELINE), Vec::new()), length)
}

//! What is judged: rounds of blocks, until there are enough of them or time is up. Decides nothing about the outcome.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Event;
use super::block::{BlockContext, ClassSums, Measured, usable};
use super::checks::SingleTimes;
use super::offer::{self, BlockLength, Offer, Probed, Room};
use super::order::{self, Slot};
use super::route::Route;
use super::scenario_duel::{Arena, Halt, ROUNDS_A_BUILD, ScenarioDuel};
use crate::judge::{self, Reached, RoundEnd, Stopping, faults};
use crate::load::bind::SequenceRange;
use crate::load::block::prepare;
use crate::record::{Arm, Arms, Arrivals, BlockPurpose, BlockRecord, Discard, Line, Mode, ProbeRecord, ScenarioRecord, StopReason};

/// What blocks are longer by if the data does not fit in memory: which pages are read from disk is luck, and evens out with time.
const STRETCH_FOR_DISK: u32 = 2;
/// Rounds on one copy of a writing scenario in quick mode: two copies serve the least number of rounds, up to 14.
const QUICK_ROUNDS_A_CLONE: u32 = 7;

/// What rounds are run for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Aim {
    /// As many as can decide anything; the scenario is come back to.
    Least,
    /// A few rounds more, on each build; the scenario is come back to.
    More,
    /// All that it gets.
    All,
}

/// What a scenario's blocks have given so far.
pub(super) struct Course {
    blocks: Vec<BlockRecord>,
    /// Times by tenant class over kept blocks.
    pub(super) classes: Arms<ClassSums>,
    /// Rounds so far, and their times without clones.
    reached: Reached,
    /// The round for which the working copies were last cloned.
    cloned_at: Option<u32>,
    /// Time that the rounds have taken, clones included.
    spent: Duration,
    /// Arms whose intervals are narrow enough, as far as was told.
    decided: BTreeSet<Arm>,
}

impl Course {
    /// Before the first round, of arms like these.
    pub(super) fn of<T>(arms: &Arms<T>) -> Course {
        let classes = arms.map(|_| ClassSums::default());
        Course {
            blocks: Vec::new(),
            classes,
            reached: Reached::of(arms.others.len()),
            cloned_at: None,
            spent: Duration::ZERO,
            decided: BTreeSet::new(),
        }
    }

    /// Rounds that count, for the arm for which fewest do.
    pub(super) fn rounds(&self) -> u32 {
        self.reached.kept()
    }

    /// All blocks of the rounds so far.
    pub(super) fn blocks(&self) -> &[BlockRecord] {
        &self.blocks
    }

    /// Time until there are as many rounds as it takes to decide anything, which are `wanted`, at the pace so far.
    pub(super) fn missing(&self, wanted: u32) -> Duration {
        self.spent / self.rounds().max(1) * wanted.saturating_sub(self.rounds())
    }

    /// The working copies have been used by another scenario since.
    pub(super) fn forget_clones(&mut self) {
        self.cloned_at = None;
    }
}

impl ScenarioDuel<'_, '_> {
    /// Finds each arm's capacity, where that is worth its time, and from it the load to offer.
    pub(super) async fn probe(
        &mut self,
        context: &BlockContext<'_>,
        routes: &Arms<Route>,
        times: &SingleTimes,
        resident: bool,
    ) -> Result<(Offer, Arms<Probed>), Halt> {
        let fewest = self.scenario.arms.arms().map(|arm| self.scenario.connections(arm)).min().unwrap_or(self.scenario.load.connections);
        let mut probed = times.paced.map(|single| Probed { single: *single, capacity: None });
        let cores = self.environment.server.cores();
        let fixed_work = offer::fixed_work_instead(&times.direct, &times.paced, fewest, cores, self.plan.mode);
        if fixed_work.is_none() {
            self.environment.progress.event(&Event::Probing { scenario: &self.scenario.path() });
            let pools = self.scenario.arms.each(|arm| self.scenario.connections(arm));
            let length = BlockLength { settle: Duration::from_millis(200), measure: probe_length(self.plan.mode) };
            let closed = Offer::same(Arrivals::Closed, pools, length);
            for (arm, route) in routes.iter() {
                let number = arm.place() as u32;
                let load = context.load(&closed, arm, SequenceRange::Probe(number), SequenceRange::WarmUp(0x1000 + number));
                let connections = load.connections;
                let prepared = prepare(context.spec(route, load)).await.map_err(anyhow::Error::from)?;
                let result = prepared.run().await.map_err(anyhow::Error::from)?;
                usable(&result.end)?;
                let transactions = result.recording.accounting.ok;
                let capacity_per_second = transactions as f64 / result.duration.as_secs_f64().max(1e-9);
                probed.get_mut(arm).capacity = Some(capacity_per_second);
                let scenario = self.scenario.path();
                self.append(Line::Probe(ProbeRecord { scenario, arm, connections, capacity_per_second, transactions }))?;
            }
        }
        let time = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let stretch = if resident { 1 } else { STRETCH_FOR_DISK };
        let room = time.map(|time| Room { time: time / stretch, rounds: self.stopping().least(), arms: routes.count() as u32 });
        let offer = offer::choose(self.scenario, self.plan.mode, &probed, fixed_work, room).stretched(stretch);
        Ok((offer, probed))
    }

    /// Runs rounds until there are enough for the aim. Says why no more are needed; `None` if more could be.
    pub(super) async fn rounds(
        &mut self,
        context: &BlockContext<'_>,
        arena: &Arena,
        offer: &Offer,
        record: &ScenarioRecord,
        course: &mut Course,
        aim: Aim,
    ) -> Result<Option<StopReason>, Halt> {
        let first = course.reached.rounds();
        if first == 0 {
            let (arms, least) = (record.arms.count(), self.stopping().least());
            self.environment.progress.event(&Event::Measuring { scenario: &record.scenario, arms, least });
        }
        loop {
            let began = Instant::now();
            let round = course.reached.rounds();
            if record.writes && self.needs_clone(course) {
                self.clone_working(arena, arena.of_round(round).0).await?;
                course.cloned_at = Some(round);
            }
            let slots = order::round(self.plan.order_seed, &record.scenario, round, record.arms.count());
            self.round(context, arena, offer, slots, course).await?;
            course.spent += began.elapsed();
            self.tell_decided(record, course);
            if let Some(stop) = self.enough(record, course) {
                return Ok(Some(stop));
            }
            if self.out_of_time() {
                return Ok((aim == Aim::All).then_some(StopReason::Budget));
            }
            let done = match aim {
                Aim::Least => course.rounds() >= self.stopping().least(),
                Aim::More => course.reached.rounds() >= first + 2 * ROUNDS_A_BUILD,
                Aim::All => false,
            };
            if done {
                return Ok(None);
            }
        }
    }

    /// Tells of the arms whose intervals have become narrow enough.
    fn tell_decided(&self, record: &ScenarioRecord, course: &mut Course) {
        let rounds = course.rounds();
        if rounds < self.stopping().least() || !course.reached.grew() || course.decided.len() + 1 == record.arms.count() {
            return;
        }
        for arm in judge::precise_arms(&course.blocks, record, self.gated, self.plan.mode) {
            if course.decided.insert(arm) {
                let (scenario, arm) = (&record.scenario, &self.scenario.arms.get(arm).name);
                self.environment.progress.event(&Event::ArmDecided { scenario, arm, rounds });
            }
        }
    }

    /// Why no more rounds are needed, whatever time is left.
    fn enough(&self, record: &ScenarioRecord, course: &Course) -> Option<StopReason> {
        if self.stopped() {
            return Some(StopReason::Interrupted);
        }
        self.stopping().enough(&course.reached, || judge::precision(&course.blocks, record, self.gated).is_enough(self.plan.mode))
    }

    fn stopping(&self) -> Stopping {
        Stopping::new(self.plan.mode, self.gated)
    }

    fn needs_clone(&self, course: &Course) -> bool {
        let rounds = if self.plan.mode == Mode::Default { ROUNDS_A_BUILD } else { QUICK_ROUNDS_A_CLONE };
        course.cloned_at.is_none_or(|at| course.reached.rounds() - at >= rounds)
    }

    /// Runs one round and records its blocks.
    async fn round(
        &mut self,
        context: &BlockContext<'_>,
        arena: &Arena,
        offer: &Offer,
        slots: Vec<Slot>,
        course: &mut Course,
    ) -> Result<(), Halt> {
        let began = Instant::now();
        let (build, routes) = arena.of_round(course.reached.rounds());
        let mut blocks: Vec<Measured> = Vec::with_capacity(slots.len());
        for slot in slots {
            match context.run(slot, routes.get(slot.arm), offer, BlockPurpose::Scenario).await {
                Ok(mut block) => {
                    block.record.build = build;
                    self.tell(&block.record);
                    blocks.push(block);
                }
                Err(error) => {
                    // A part of a round decides nothing, but what was measured is kept.
                    for block in blocks {
                        self.append(Line::Block(Box::new(block.record)))?;
                    }
                    return Err(error.into());
                }
            }
        }
        let end = self.mark_faults(&mut blocks, arena.resident);
        let counts = |record: &BlockRecord| record.discard.is_none();
        let baseline = blocks.iter().any(|block| block.record.arm.is_baseline() && counts(&block.record));
        let rival = blocks.iter().any(|block| !block.record.arm.is_baseline() && counts(&block.record));
        for Measured { record, classes } in blocks {
            self.append(Line::Block(Box::new(record.clone())))?;
            if baseline && rival && counts(&record) {
                course.classes.get_mut(record.arm).add(&classes);
            }
            course.blocks.push(record);
        }
        course.reached.add(end, began.elapsed());
        if course.reached.grew() {
            let rounds = course.rounds();
            let (scenario, wanted) = (self.scenario.path(), self.stopping().aimed_at(rounds));
            self.environment.progress.event(&Event::RoundKept { scenario: &scenario, kept: rounds, wanted });
        }
        Ok(())
    }

    pub(super) fn tell(&self, block: &BlockRecord) {
        self.environment.progress.event(&Event::of_block(block, &self.scenario.arms.get(block.arm).name));
    }

    /// Marks the blocks of a round that must not be used; says for which arms it counts.
    fn mark_faults(&self, blocks: &mut [Measured], resident: bool) -> RoundEnd {
        let mut by_arm: Vec<&mut BlockRecord> = blocks.iter_mut().map(|block| &mut block.record).collect();
        by_arm.sort_by_key(|record| record.arm);
        let Ok(round) = Arms::try_from(by_arm.iter().map(|record| &**record).collect::<Vec<_>>()) else { return RoundEnd::Discarded };
        let found = faults(&round, self.scenario.writes(), resident);
        for (record, fault) in by_arm.into_iter().zip(found) {
            record.discard = fault;
        }
        let scenario = self.scenario.path();
        for block in blocks.iter().map(|block| &block.record) {
            let arm = &self.scenario.arms.get(block.arm).name;
            if let Some(reason) = block.discard.as_ref().filter(|reason| **reason != Discard::Interrupted) {
                self.environment.progress.event(&Event::BlockDiscarded { scenario: &scenario, round: block.round, arm, reason });
            }
        }
        end_of(blocks)
    }
}

/// What the marks of a round's blocks come to.
fn end_of(blocks: &[Measured]) -> RoundEnd {
    let counts = |arm: Arm| blocks.iter().any(|block| block.record.arm == arm && block.record.discard.is_none());
    let not_offered = |block: &Measured| matches!(block.record.discard, Some(Discard::NotOffered { .. }));
    let rivals: Vec<bool> = (1..blocks.len()).map(|place| counts(Arm::BASELINE) && counts(Arm::at(place))).collect();
    match (rivals.iter().all(|counts| *counts), rivals.contains(&true)) {
        _ if blocks.iter().all(not_offered) => RoundEnd::NotOffered,
        (true, _) => RoundEnd::Kept,
        (false, true) => RoundEnd::Partly(rivals),
        (false, false) => RoundEnd::Discarded,
    }
}

fn probe_length(mode: Mode) -> Duration {
    match mode {
        Mode::Default => Duration::from_secs(2),
        _ => Duration::from_millis(500),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(rounds: u32, kept: u32) -> Course {
        const ROUND: Duration = Duration::from_secs(5);
        let mut course = Course { spent: ROUND * rounds, ..Course::of(&Arms::two((), ())) };
        let end = |round| if round < kept { RoundEnd::Kept } else { RoundEnd::Discarded };
        (0..rounds).for_each(|round| course.reached.add(end(round), ROUND));
        course
    }

    #[test]
    fn a_round_counts_for_the_arms_whose_pair_does() {
        let ended = |marks: [Option<Discard>; 3]| {
            let block = |(place, discard)| Measured {
                record: BlockRecord { arm: Arm::at(place), discard, ..crate::record::tests::block(1, 0, 0) },
                classes: Vec::new(),
            };
            // As they ran: the baseline last.
            let mut blocks: Vec<Measured> = marks.into_iter().enumerate().map(block).collect();
            blocks.reverse();
            end_of(&blocks)
        };
        let checkpoint = || Some(Discard::Checkpoint);
        let not_offered = || Some(Discard::NotOffered { lag_ns: 1 });
        assert_eq!(ended([None, None, None]), RoundEnd::Kept);
        assert_eq!(ended([None, checkpoint(), None]), RoundEnd::Partly(vec![false, true]));
        assert_eq!(ended([checkpoint(), checkpoint(), None]), RoundEnd::Discarded);
        assert_eq!(ended([None, not_offered(), not_offered()]), RoundEnd::Discarded);
        assert_eq!(ended([not_offered(), not_offered(), not_offered()]), RoundEnd::NotOffered);
    }

    #[test]
    fn discarded_rounds_make_the_missing_ones_take_longer() {
        assert_eq!(course(4, 4).missing(16), Duration::from_secs(5) * 12);
        assert_eq!(course(8, 4).missing(16), Duration::from_secs(10) * 12);
        assert_eq!(course(16, 16).missing(16), Duration::ZERO);
        assert_eq!(course(0, 0).missing(16), Duration::ZERO, "nobody knows how long one takes");
    }
}

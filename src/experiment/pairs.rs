//! What is judged: pairs of blocks, until there are enough of them or time is up. Decides nothing about the outcome.

use std::time::{Duration, Instant};

use super::block::{BlockContext, ClassSums, Measured, usable};
use super::checks::SingleTimes;
use super::offer::{self, Offer, Probed, Room};
use super::order::{self, Slot};
use super::scenario_duel::{Arena, Halt, PAIRS_A_BUILD, ScenarioDuel};
use super::side::SideUnderTest;
use crate::judge::{self, Pair, Reached, Stopping, faults};
use crate::load::bind::SequenceRange;
use crate::load::block::{Work, prepare};
use crate::record::{BlockRecord, Discard, Line, Mode, ProbeRecord, ScenarioRecord, Side, Sides, StopReason};

/// What blocks are longer by if the data does not fit in memory: which pages are read from disk is luck, and evens out with time.
const STRETCH_FOR_DISK: u32 = 2;
/// Pairs on one copy of a writing scenario in quick mode: two copies serve the least number of pairs, up to 14.
const QUICK_PAIRS_A_CLONE: u32 = 7;

/// What pairs are run for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Aim {
    /// As many as can decide anything; the scenario is come back to.
    Least,
    /// A few pairs more, on each build; the scenario is come back to.
    More,
    /// All that it gets.
    All,
}

/// What a scenario's blocks have given so far.
#[derive(Default)]
pub(super) struct Course {
    kept: Vec<BlockRecord>,
    /// Times by tenant class over kept blocks.
    pub(super) classes: Sides<ClassSums>,
    /// Pairs so far, and their times without clones.
    reached: Reached,
    /// The pair for which the working copies were last cloned.
    cloned_at: Option<u32>,
    /// Time that the pairs have taken, clones included.
    spent: Duration,
}

impl Course {
    pub(super) fn pairs(&self) -> u32 {
        self.reached.kept()
    }

    /// Blocks of the pairs that count.
    pub(super) fn kept(&self) -> &[BlockRecord] {
        &self.kept
    }

    /// Time until there are as many pairs as it takes to decide anything, which are `wanted`, at the pace so far.
    pub(super) fn missing(&self, wanted: u32) -> Duration {
        self.spent / self.pairs().max(1) * wanted.saturating_sub(self.pairs())
    }

    /// The working copies have been used by another scenario since.
    pub(super) fn forget_clones(&mut self) {
        self.cloned_at = None;
    }
}

impl ScenarioDuel<'_, '_> {
    /// Finds each side's capacity, where that is worth its time, and from it the load to offer.
    pub(super) async fn probe(
        &mut self,
        context: &BlockContext<'_>,
        sides: &Sides<SideUnderTest>,
        times: &SingleTimes,
        resident: bool,
    ) -> Result<(Offer, Sides<Probed>), Halt> {
        let connections = self.scenario.load.connections;
        let mut probed = times.paced.map(|single| Probed { single: *single, capacity: None });
        let cores = self.environment.server.cores();
        let fixed_work = offer::fixed_work_instead(times.direct, times.paced, connections, cores, self.plan.mode);
        if fixed_work.is_none() {
            self.environment.progress.note("probing capacity");
            for (number, side) in Side::BOTH.into_iter().enumerate() {
                let work = Work::Closed { settle: Duration::from_millis(200), measure: probe_length(self.plan.mode) };
                let spec =
                    context.spec(sides.get(side), work, connections, SequenceRange::Probe(number as u32).first(), 0x1000 + number as u32);
                let prepared = prepare(spec).await.map_err(anyhow::Error::from)?;
                let result = prepared.run().await.map_err(anyhow::Error::from)?;
                usable(&result.end)?;
                let transactions = result.recording.accounting.ok;
                let capacity_per_second = transactions as f64 / result.duration.as_secs_f64().max(1e-9);
                probed.get_mut(side).capacity = Some(capacity_per_second);
                let scenario = self.scenario.path();
                self.append(Line::Probe(ProbeRecord { scenario, side, connections, capacity_per_second, transactions }))?;
            }
        }
        let time = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let stretch = if resident { 1 } else { STRETCH_FOR_DISK };
        let room = time.map(|time| Room { time: time / stretch, pairs: self.stopping().least() });
        Ok((offer::choose(self.scenario, self.plan.mode, probed, fixed_work, room).stretched(stretch), probed))
    }

    /// Runs pairs until there are enough for the aim. Says why no more are needed; `None` if more could be.
    pub(super) async fn pairs(
        &mut self,
        context: &BlockContext<'_>,
        arena: &Arena,
        offer: &Offer,
        record: &ScenarioRecord,
        course: &mut Course,
        aim: Aim,
    ) -> Result<Option<StopReason>, Halt> {
        let first = course.reached.pairs();
        loop {
            let began = Instant::now();
            let pair = course.reached.pairs();
            if record.writes && self.needs_clone(course) {
                self.clone_working(arena, arena.of_pair(pair).0).await?;
                course.cloned_at = Some(pair);
            }
            let slots = order::pair(self.plan.order_seed, &record.scenario, pair);
            self.pair(context, arena, offer, slots, course).await?;
            course.spent += began.elapsed();
            if let Some(stop) = self.enough(record, course) {
                return Ok(Some(stop));
            }
            if self.out_of_time() {
                return Ok((aim == Aim::All).then_some(StopReason::Budget));
            }
            let done = match aim {
                Aim::Least => course.pairs() >= self.stopping().least(),
                Aim::More => course.reached.pairs() >= first + 2 * PAIRS_A_BUILD,
                Aim::All => false,
            };
            if done {
                return Ok(None);
            }
        }
    }

    /// Why no more pairs are needed, whatever time is left.
    fn enough(&self, record: &ScenarioRecord, course: &Course) -> Option<StopReason> {
        if self.stopped() {
            return Some(StopReason::Interrupted);
        }
        self.stopping().enough(&course.reached, || judge::precision(&course.kept, record, self.gated).is_enough(self.plan.mode))
    }

    fn stopping(&self) -> Stopping {
        Stopping::new(self.plan.mode, self.gated)
    }

    fn needs_clone(&self, course: &Course) -> bool {
        let pairs = if self.plan.mode == Mode::Default { PAIRS_A_BUILD } else { QUICK_PAIRS_A_CLONE };
        course.cloned_at.is_none_or(|at| course.reached.pairs() - at >= pairs)
    }

    /// Runs one pair and records both blocks.
    async fn pair(
        &mut self,
        context: &BlockContext<'_>,
        arena: &Arena,
        offer: &Offer,
        [first, second]: [Slot; 2],
        course: &mut Course,
    ) -> Result<(), Halt> {
        let began = Instant::now();
        let (build, sides) = arena.of_pair(first.pair);
        let mut one = context.run(first, sides.get(first.side), offer).await?;
        let mut two = match context.run(second, sides.get(second.side), offer).await {
            Ok(two) => two,
            Err(error) => {
                // Half a pair decides nothing, but what was measured is kept.
                one.record.build = build;
                self.append(Line::Block(Box::new(one.record)))?;
                return Err(error.into());
            }
        };
        one.record.build = build;
        two.record.build = build;
        let kept = self.judge_faults(&mut one, &mut two, arena.resident);
        let not_offered = |block: &Measured| matches!(block.record.discard, Some(Discard::NotOffered { .. }));
        let pair = match (kept, not_offered(&one) && not_offered(&two)) {
            (true, _) => Pair::Kept,
            (false, true) => Pair::NotOffered,
            (false, false) => Pair::Discarded,
        };
        for Measured { record, classes } in [one, two] {
            self.append(Line::Block(Box::new(record.clone())))?;
            if kept {
                course.classes.get_mut(record.side).add(&classes);
                course.kept.push(record);
            }
        }
        course.reached.add(pair, began.elapsed());
        if kept {
            let pairs = course.pairs();
            self.environment.progress.pairs(&self.scenario.path(), pairs, self.stopping().aimed_at(pairs));
        }
        Ok(())
    }

    /// Marks the blocks of a pair that must not be used; returns whether it may be.
    fn judge_faults(&self, one: &mut Measured, two: &mut Measured, resident: bool) -> bool {
        let (before, after) = if one.record.side == Side::Before { (one, two) } else { (two, one) };
        let pair = Sides { before: before.record.clone(), after: after.record.clone() };
        let found = faults(&pair, self.scenario.writes(), resident);
        before.record.discard = found.before;
        after.record.discard = found.after;
        let reasons: Vec<&Discard> = [&before.record.discard, &after.record.discard].into_iter().flatten().collect();
        if let Some(reason) = reasons.iter().find(|reason| ***reason != Discard::Interrupted) {
            self.environment.progress.note(&format!("pair {} does not count, another follows: {reason}", pair.before.pair + 1));
        }
        reasons.is_empty()
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

    fn course(pairs: u32, kept: u32) -> Course {
        const PAIR: Duration = Duration::from_secs(5);
        let mut course = Course { spent: PAIR * pairs, ..Course::default() };
        (0..pairs).for_each(|pair| course.reached.add(if pair < kept { Pair::Kept } else { Pair::Discarded }, PAIR));
        course
    }

    #[test]
    fn discarded_pairs_make_the_missing_ones_take_longer() {
        assert_eq!(course(4, 4).missing(16), Duration::from_secs(5) * 12);
        assert_eq!(course(8, 4).missing(16), Duration::from_secs(10) * 12);
        assert_eq!(course(16, 16).missing(16), Duration::ZERO);
        assert_eq!(course(0, 0).missing(16), Duration::ZERO, "nobody knows how long one takes");
    }
}

//! What is judged: pairs of blocks in quads, until there are enough of them or time is up. Decides nothing about the outcome.

use std::time::{Duration, Instant};

use super::block::{BlockContext, ClassSums, Measured, usable};
use super::faults::faults;
use super::offer::{self, Offer, Probed, Room};
use super::order::{Slot, default_pairs, quad, quick_pairs};
use super::scenario_duel::{Arena, Halt, ScenarioDuel};
use super::side::SideUnderTest;
use crate::load::bind::SequenceRange;
use crate::load::block::{Work, prepare};
use crate::record::{BlockRecord, Discard, Line, Mode, ProbeRecord, ScenarioRecord, Side, Sides, StopReason};

/// Pairs that may be discarded, as a share of those that are kept: a quarter of the kept ones is a fifth of all.
const DISCARDED_TO_KEPT: f64 = 0.25;
/// What blocks are longer by if the data does not fit in memory: which pages are read from disk is luck, and evens out with time.
const STRETCH_FOR_DISK: u32 = 2;
/// Quads on one clone of a writing scenario in quick mode.
const QUICK_QUADS_A_CLONE: u32 = 3;

/// What pairs are run for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Aim {
    /// As many as can decide anything; the scenario is come back to.
    Least,
    /// Two quads more, one on each build; the scenario is come back to.
    More,
    /// All that it gets.
    All,
}

/// What a scenario's blocks have given so far.
#[derive(Default)]
pub(super) struct Course {
    kept: Vec<BlockRecord>,
    discarded: u32,
    /// Times by tenant class over kept blocks.
    pub(super) classes: Sides<ClassSums>,
    quad: u32,
    /// Quads run when the working copies were last cloned.
    cloned_at: Option<u32>,
    /// Time that the pairs have taken.
    spent: Duration,
}

impl Course {
    pub(super) fn pairs(&self) -> u32 {
        self.kept.len() as u32 / 2
    }

    /// Blocks of the pairs that count.
    pub(super) fn kept(&self) -> &[BlockRecord] {
        &self.kept
    }

    /// What a pair takes, clones included.
    fn pair_time(&self) -> Duration {
        self.spent / (self.pairs() + self.discarded).max(1)
    }

    /// Whether so many pairs were discarded that not even `wanted` kept ones would outweigh them.
    pub(super) fn is_disturbed(&self, wanted: u32) -> bool {
        f64::from(self.discarded) > DISCARDED_TO_KEPT * f64::from(self.pairs().max(wanted))
    }

    /// Time for the pairs that it takes to decide anything, which are `wanted`, and to outweigh those that were discarded.
    pub(super) fn missing(&self, wanted: u32) -> Duration {
        let wanted = wanted.max((f64::from(self.discarded) / DISCARDED_TO_KEPT).ceil() as u32);
        self.pair_time() * wanted.saturating_sub(self.pairs())
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
        single: Sides<Duration>,
        resident: bool,
    ) -> Result<(Offer, Sides<Probed>), Halt> {
        let connections = self.scenario.load.connections;
        let mut probed = single.map(|single| Probed { single: *single, capacity: None });
        if offer::worth_probing_capacity(single, connections, self.plan.mode) {
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
        let room = time.map(|time| Room { time: time / stretch, pairs: self.wanted() });
        Ok((offer::choose(self.scenario, self.plan.mode, probed, room).stretched(stretch), probed))
    }

    /// Runs quads until there are pairs enough for the aim. Says why no more are needed; `None` if more could be.
    pub(super) async fn pairs(
        &mut self,
        context: &BlockContext<'_>,
        arena: &Arena,
        offer: &Offer,
        record: &ScenarioRecord,
        course: &mut Course,
        aim: Aim,
    ) -> Result<Option<StopReason>, Halt> {
        let first_quad = course.quad;
        loop {
            let began = Instant::now();
            if record.writes && self.needs_clone(course) {
                self.clone_working(arena, arena.of_quad(course.quad).0).await?;
                course.cloned_at = Some(course.quad);
            }
            let slots = quad(self.plan.seed, &record.scenario, course.quad);
            course.quad += 1;
            for pair in slots.chunks_exact(2) {
                self.pair(context, arena, offer, [pair[0], pair[1]], course).await?;
                if let Some(stop) = self.enough(record, course) {
                    return Ok(Some(stop));
                }
                if course.is_disturbed(self.wanted()) {
                    match aim {
                        // More could not be made up for by what is still to come.
                        Aim::All => return Ok(Some(StopReason::TooManyDiscarded)),
                        // The machine may be quieter when all others have had their turn.
                        Aim::Least => {
                            course.spent += began.elapsed();
                            return Ok(None);
                        }
                        Aim::More => {}
                    }
                }
                if self.out_of_time() {
                    course.spent += began.elapsed();
                    return Ok((aim == Aim::All).then_some(StopReason::Budget));
                }
            }
            course.spent += began.elapsed();
            let done = match aim {
                Aim::Least => course.pairs() >= self.wanted(),
                Aim::More => course.quad >= first_quad + 2,
                Aim::All => false,
            };
            if done {
                return Ok(None);
            }
        }
    }

    /// Why no more pairs are needed, whatever time is left.
    fn enough(&self, record: &ScenarioRecord, course: &Course) -> Option<StopReason> {
        let (pairs, wanted) = (course.pairs(), self.wanted());
        let long = self.plan.mode == Mode::Default;
        if self.stopped() {
            return Some(StopReason::Interrupted);
        }
        if pairs < wanted || course.is_disturbed(wanted) {
            return None;
        }
        if !long {
            return Some(StopReason::Pairs);
        }
        (self.environment.precision)(record, &course.kept).enough.then_some(StopReason::Precise)
    }

    fn needs_clone(&self, course: &Course) -> bool {
        let quads = if self.plan.mode == Mode::Default { 1 } else { QUICK_QUADS_A_CLONE };
        course.cloned_at.is_none_or(|at| course.quad - at >= quads)
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
        let (build, sides) = arena.of_quad(first.quad);
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
        let kept = self.judge_faults(&mut one, &mut two, arena.resident, offer.is_crowded());
        for Measured { record, classes } in [one, two] {
            self.append(Line::Block(Box::new(record.clone())))?;
            if kept {
                course.classes.get_mut(record.side).add(&classes);
                course.kept.push(record);
            }
        }
        course.discarded += u32::from(!kept);
        if kept {
            self.environment.progress.pairs(&self.scenario.path(), course.pairs(), self.wanted());
        }
        Ok(())
    }

    /// Kept pairs that there must be, whatever else is to be waited for.
    pub(super) fn wanted(&self) -> u32 {
        match self.plan.mode {
            Mode::Default => default_pairs(self.gated),
            _ => quick_pairs(self.gated),
        }
    }

    /// Marks the blocks of a pair that must not be used; returns whether it may be.
    fn judge_faults(&self, one: &mut Measured, two: &mut Measured, resident: bool, crowded: bool) -> bool {
        let (before, after) = if one.record.side == Side::Before { (one, two) } else { (two, one) };
        let pair = Sides { before: before.record.clone(), after: after.record.clone() };
        let found = faults(&pair, self.scenario.writes(), resident, crowded);
        before.record.discard = found.before;
        after.record.discard = found.after;
        let reasons: Vec<&Discard> = [&before.record.discard, &after.record.discard].into_iter().flatten().collect();
        if let Some(reason) = reasons.iter().find(|reason| ***reason != Discard::Interrupted) {
            let stolen = |block: &BlockRecord| block.generator.stolen_share.unwrap_or(0.0);
            let stolen = stolen(&before.record).max(stolen(&after.record)) * 100.0;
            // Told from where it rounds to a percent.
            let host = if stolen >= 0.5 { format!("; the machine's host took {stolen:.0}% of its time (steal)") } else { String::new() };
            self.environment.progress.note(&format!("pair {} does not count, another follows: {reason}{host}", pair.before.pair + 1));
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

    fn course(discarded: u32) -> Course {
        Course { discarded, spent: Duration::from_secs(20), ..Course::default() }
    }

    #[test]
    fn what_was_discarded_must_be_outweighed() {
        assert!(!course(4).is_disturbed(16), "sixteen kept ones are four times as many");
        assert!(course(5).is_disturbed(16));
        assert!(!course(5).is_disturbed(20));
    }

    #[test]
    fn a_disturbed_scenario_misses_more_pairs_than_a_quiet_one() {
        assert_eq!(course(4).missing(16), Duration::from_secs(5) * 16);
        assert_eq!(course(5).missing(16), Duration::from_secs(4) * 20);
    }
}

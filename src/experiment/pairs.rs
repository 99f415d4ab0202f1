//! What is judged: pairs of blocks, until there are enough of them or time is up. Decides nothing about the outcome.

use std::time::{Duration, Instant};

use super::block::{BlockContext, ClassSums, Measured, usable};
use super::checks::SingleTimes;
use super::faults::faults;
use super::offer::{self, Offer, Probed, Room};
use super::order::{self, Slot, default_pairs, most_quick_pairs, quick_pairs};
use super::scenario_duel::{Arena, Halt, PAIRS_A_BUILD, ScenarioDuel};
use super::side::SideUnderTest;
use crate::load::bind::SequenceRange;
use crate::load::block::{Work, prepare};
use crate::record::{BlockRecord, Discard, Line, Mode, ProbeRecord, ScenarioRecord, Side, Sides, StopReason};

/// What blocks are longer by if the data does not fit in memory: which pages are read from disk is luck, and evens out with time.
const STRETCH_FOR_DISK: u32 = 2;
/// Pairs on one copy of a writing scenario in quick mode: two copies serve all that it needs.
const QUICK_PAIRS_A_CLONE: u32 = 7;
/// Quick mode begins at most so many times the pairs that it needs, and then ends with those that it could keep.
const QUICK_ATTEMPTS: u32 = 2;
/// Pairs after which a load that was offered in none of them is given up.
const NEVER_OFFERED: u32 = 3;
/// Quick mode takes at most so many times what its least number of pairs would take on a quiet machine.
const QUICK_PATIENCE: f64 = 1.5;

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
    /// Pairs begun.
    begun: u32,
    /// Pairs begun when the working copies were last cloned.
    cloned_at: Option<u32>,
    /// Time that the pairs have taken, clones included.
    spent: Duration,
    /// Time of each pair, clones excluded.
    pair_times: Vec<Duration>,
    /// Whether the last pair was kept.
    last_kept: bool,
    /// Pairs in which the generator could not offer the load to either side.
    not_offered: u32,
}

impl Course {
    pub(super) fn pairs(&self) -> u32 {
        self.kept.len() as u32 / 2
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

    /// Whether the generator has not offered the load in any pair, so that there is nothing to go on for.
    fn was_never_offered(&self) -> bool {
        self.not_offered >= NEVER_OFFERED && self.not_offered == self.begun
    }

    /// Whether quick mode, which needs `wanted` pairs, has been at it for longer than it may. The quickest pair shows what one takes on a quiet
    /// machine.
    fn is_over_quick_time(&self, wanted: u32) -> bool {
        let quiet = self.pair_times.iter().min().copied().unwrap_or_default() * wanted;
        self.pair_times.iter().sum::<Duration>() >= quiet.mul_f64(QUICK_PATIENCE)
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
        let fixed_work = offer::fixed_work_instead(times.direct, times.paced, connections, self.plan.mode);
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
        let room = time.map(|time| Room { time: time / stretch, pairs: self.wanted() });
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
        let first = course.begun;
        loop {
            let began = Instant::now();
            if record.writes && self.needs_clone(course) {
                self.clone_working(arena, arena.of_pair(course.begun).0).await?;
                course.cloned_at = Some(course.begun);
            }
            let slots = order::pair(self.plan.order_seed, &record.scenario, course.begun);
            course.begun += 1;
            self.pair(context, arena, offer, slots, course).await?;
            course.spent += began.elapsed();
            if let Some(stop) = self.enough(record, course) {
                return Ok(Some(stop));
            }
            if self.out_of_time() {
                return Ok((aim == Aim::All).then_some(StopReason::Budget));
            }
            let done = match aim {
                Aim::Least => course.pairs() >= self.wanted(),
                Aim::More => course.begun >= first + 2 * PAIRS_A_BUILD,
                Aim::All => false,
            };
            if done {
                return Ok(None);
            }
        }
    }

    /// Why no more pairs are needed, whatever time is left: never for where an interval lies, only for how wide it is.
    fn enough(&self, record: &ScenarioRecord, course: &Course) -> Option<StopReason> {
        let (pairs, wanted) = (course.pairs(), self.wanted());
        let precise = || (self.environment.precision)(record, &course.kept).enough.then_some(StopReason::Precise);
        match self.plan.mode {
            _ if self.stopped() => Some(StopReason::Interrupted),
            _ if course.was_never_offered() => Some(StopReason::NotOffered),
            Mode::Default => (pairs >= wanted).then(precise).flatten(),
            _ if pairs < wanted => (course.begun >= QUICK_ATTEMPTS * wanted).then_some(StopReason::Attempts),
            // The one look at widths. A pair that was discarded after it does not bring it again.
            _ if pairs == wanted && course.last_kept && precise().is_some() => Some(StopReason::Precise),
            _ => (pairs >= most_quick_pairs(self.gated) || course.is_over_quick_time(wanted)).then_some(StopReason::Pairs),
        }
    }

    fn needs_clone(&self, course: &Course) -> bool {
        let pairs = if self.plan.mode == Mode::Default { PAIRS_A_BUILD } else { QUICK_PAIRS_A_CLONE };
        course.cloned_at.is_none_or(|at| course.begun - at >= pairs)
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
        course.not_offered += u32::from(not_offered(&one) && not_offered(&two));
        for Measured { record, classes } in [one, two] {
            self.append(Line::Block(Box::new(record.clone())))?;
            if kept {
                course.classes.get_mut(record.side).add(&classes);
                course.kept.push(record);
            }
        }
        course.pair_times.push(began.elapsed());
        course.last_kept = kept;
        if kept {
            let wanted = match course.pairs() > self.wanted() && self.plan.mode != Mode::Default {
                true => most_quick_pairs(self.gated),
                false => self.wanted(),
            };
            self.environment.progress.pairs(&self.scenario.path(), course.pairs(), wanted);
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

    fn course(kept: u32, seconds: &[u64]) -> Course {
        let pair_times: Vec<Duration> = seconds.iter().map(|seconds| Duration::from_secs(*seconds)).collect();
        let blocks = vec![crate::record::tests::block(1_000_000, 0, 0); kept as usize * 2];
        Course { kept: blocks, begun: seconds.len() as u32, spent: pair_times.iter().sum(), pair_times, ..Course::default() }
    }

    #[test]
    fn discarded_pairs_make_the_missing_ones_take_longer() {
        assert_eq!(course(4, &[5; 4]).missing(16), Duration::from_secs(5) * 12);
        assert_eq!(course(4, &[5; 8]).missing(16), Duration::from_secs(10) * 12);
        assert_eq!(course(16, &[5; 16]).missing(16), Duration::ZERO);
        assert_eq!(course(0, &[]).missing(16), Duration::ZERO, "nobody knows how long one takes");
    }

    #[test]
    fn a_load_that_was_offered_once_is_not_given_up() {
        let course = |begun: u32, not_offered: u32| Course { begun, not_offered, ..Course::default() };
        assert!(!course(2, 2).was_never_offered());
        assert!(course(3, 3).was_never_offered());
        assert!(!course(4, 3).was_never_offered());
    }

    #[test]
    fn quick_mode_has_half_again_of_its_quiet_time() {
        assert!(!course(12, &[2; 12]).is_over_quick_time(12));
        assert!(course(18, &[2; 18]).is_over_quick_time(12));
        // 12 pairs of 2 s are 24 s; some took longer.
        let mut seconds = vec![2; 8];
        seconds.extend([5; 4]);
        assert!(course(12, &seconds).is_over_quick_time(12), "36 s");
        assert!(!course(12, &seconds[..11]).is_over_quick_time(12), "31 s");
    }
}

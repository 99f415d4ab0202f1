//! When a scenario has enough pairs. No verdict, p-value or place of an interval says so: only how many pairs there are, how wide the intervals
//! are, and how long it took. Pure.

use std::time::Duration;

use crate::record::{Mode, StopReason};

/// Quick mode ends after this many times the pairs that it needs, even if too few of them could be kept.
const QUICK_ATTEMPTS: u32 = 2;
/// Pairs after which a load that was offered in none of them is given up.
const NEVER_OFFERED: u32 = 3;
/// Upper limit of quick mode's time, as a multiple of what the least number of pairs takes on a quiet machine.
const QUICK_PATIENCE: f64 = 1.5;

/// The rule of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stopping {
    mode: Mode,
    least: u32,
    most: u32,
}

/// How far the pairs of a scenario have come.
#[derive(Clone, Debug, Default)]
pub struct Reached {
    kept: u32,
    /// Whether the last pair was.
    last_kept: bool,
    /// Pairs in which the generator could not offer the load to either side.
    not_offered: u32,
    /// What each pair took, kept or not.
    times: Vec<Duration>,
}

/// A pair that is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pair {
    /// It counts.
    Kept,
    /// It does not.
    Discarded,
    /// It does not, as the generator could not offer the load to either side.
    NotOffered,
}

impl Reached {
    /// One pair more, and what it took.
    pub fn add(&mut self, pair: Pair, time: Duration) {
        self.times.push(time);
        self.last_kept = pair == Pair::Kept;
        self.kept += u32::from(pair == Pair::Kept);
        self.not_offered += u32::from(pair == Pair::NotOffered);
    }

    /// Pairs that count.
    pub fn kept(&self) -> u32 {
        self.kept
    }

    /// Pairs that are over.
    pub fn pairs(&self) -> u32 {
        self.times.len() as u32
    }

    fn was_never_offered(&self) -> bool {
        self.not_offered >= NEVER_OFFERED && self.not_offered == self.pairs()
    }

    /// Whether `least` pairs would have been over long ago on a quiet machine. The quickest pair shows what one takes there.
    fn is_late(&self, least: u32) -> bool {
        let quiet = self.times.iter().min().copied().unwrap_or_default() * least;
        self.times.iter().sum::<Duration>() >= quiet.mul_f64(QUICK_PATIENCE)
    }
}

impl Stopping {
    /// The rule of a run in this mode, with so many gated metrics.
    pub fn new(mode: Mode, gated: usize) -> Stopping {
        match mode {
            Mode::Default => Stopping { mode, least: default_pairs(gated), most: default_pairs(gated) },
            _ => Stopping { mode, least: quick_pairs(gated), most: most_quick_pairs(gated) },
        }
    }

    /// Kept pairs that there must be, whatever else is to be waited for.
    pub fn least(self) -> u32 {
        self.least
    }

    /// Kept pairs that are aimed at, for people: the least, or in quick mode the most once it goes on.
    pub fn aimed_at(self, kept: u32) -> u32 {
        if kept > self.least { self.most } else { self.least }
    }

    /// Why no more pairs are needed, asked after each of them; `None` if more are. `narrow` says whether the intervals are; quick mode looks
    /// once, when it has the least number of pairs: with a second look, chance would have a second go.
    pub fn enough(self, reached: &Reached, narrow: impl FnOnce() -> bool) -> Option<StopReason> {
        let kept = reached.kept;
        match self.mode {
            _ if reached.was_never_offered() => Some(StopReason::NotOffered),
            Mode::Default => (kept >= self.least && narrow()).then_some(StopReason::Precise),
            _ if kept < self.least => (reached.pairs() >= QUICK_ATTEMPTS * self.least).then_some(StopReason::Attempts),
            // A pair that is discarded right after the look does not bring it again.
            _ if kept == self.least && reached.last_kept && narrow() => Some(StopReason::Precise),
            // Half as many pairs again, none quicker than the quickest, take as much time at least.
            _ => reached.is_late(self.least).then_some(StopReason::Pairs),
        }
    }
}

/// Kept pairs that quick mode needs: enough for Holm's strictest level over `metrics` at 1%, and two to spare; at least 12.
///
/// A one-sided exact signed-rank test over n pairs cannot go below 2^-n.
fn quick_pairs(metrics: usize) -> u32 {
    holm_pairs(metrics).max(12)
}

/// Kept pairs at which quick mode ends, if its intervals were not narrow after the least: half as many again.
fn most_quick_pairs(metrics: usize) -> u32 {
    (quick_pairs(metrics) * 3).div_ceil(2)
}

/// Kept pairs that default mode needs before it may stop: as quick mode, but at least 16.
fn default_pairs(metrics: usize) -> u32 {
    holm_pairs(metrics).max(16)
}

fn holm_pairs(metrics: usize) -> u32 {
    let needed = libm::ceil(libm::log2(metrics.max(1) as f64 / 0.01));
    needed as u32 + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Pairs until it ends, each taking a second, with what the look at widths says; and how often it looked.
    fn ended(rule: Stopping, narrow: bool, pair: impl Fn(u32) -> (Pair, Duration)) -> (StopReason, Reached, u32) {
        let (mut reached, looks) = (Reached::default(), std::cell::Cell::new(0));
        loop {
            let (pair, time) = pair(reached.pairs());
            reached.add(pair, time);
            let look = || {
                looks.set(looks.get() + 1);
                narrow
            };
            if let Some(stop) = rule.enough(&reached, look) {
                return (stop, reached, looks.get());
            }
            assert!(reached.pairs() < 100, "it does not end");
        }
    }

    fn quick() -> Stopping {
        let rule = Stopping::new(Mode::Quick, 5);
        assert_eq!((rule.least, rule.most), (12, 18));
        rule
    }

    #[test]
    fn quick_mode_ends_at_the_least_if_intervals_are_narrow() {
        let (stop, reached, looks) = ended(quick(), true, |_| (Pair::Kept, SECOND));
        assert_eq!((stop, reached.kept(), looks), (StopReason::Precise, 12, 1));
    }

    #[test]
    fn quick_mode_goes_on_to_half_as_many_again_and_does_not_look_again() {
        let (stop, reached, looks) = ended(quick(), false, |_| (Pair::Kept, SECOND));
        assert_eq!((stop, reached.kept(), looks), (StopReason::Pairs, 18, 1));
        // The pair after the look is discarded, so that there are twelve once more.
        let (stop, reached, looks) = ended(quick(), false, |pair| (if pair == 12 { Pair::Discarded } else { Pair::Kept }, SECOND));
        assert_eq!((stop, reached.kept(), looks), (StopReason::Pairs, 17, 1), "18 s are half as much again as twelve pairs take");
    }

    #[test]
    fn quick_mode_has_half_again_of_its_quiet_time() {
        // A burst: six pairs take three times as long as others. 12 quiet pairs are 12 s, and 24 s over at the look.
        let (stop, reached, looks) = ended(quick(), false, |pair| (Pair::Kept, if pair < 6 { SECOND * 3 } else { SECOND }));
        assert_eq!((stop, reached.kept(), looks), (StopReason::Pairs, 12, 1));
        let (_, reached, _) = ended(quick(), false, |pair| (Pair::Kept, if pair < 2 { SECOND * 2 } else { SECOND }));
        assert_eq!(reached.kept(), 16);
    }

    #[test]
    fn quick_mode_gives_up_where_too_few_pairs_count() {
        let (stop, reached, looks) = ended(quick(), true, |pair| (if pair % 3 == 0 { Pair::Kept } else { Pair::Discarded }, SECOND));
        assert_eq!((stop, reached.kept(), reached.pairs(), looks), (StopReason::Attempts, 8, 24, 0));
    }

    #[test]
    fn a_load_that_was_offered_once_is_not_given_up() {
        let (stop, reached, _) = ended(quick(), true, |_| (Pair::NotOffered, SECOND));
        assert_eq!((stop, reached.pairs()), (StopReason::NotOffered, 3));
        let (stop, reached, _) = ended(quick(), true, |pair| (if pair == 2 { Pair::Kept } else { Pair::NotOffered }, SECOND));
        assert_eq!((stop, reached.pairs()), (StopReason::Attempts, 24));
    }

    #[test]
    fn default_mode_goes_on_until_intervals_are_narrow() {
        let rule = Stopping::new(Mode::Default, 5);
        let mut reached = Reached::default();
        for pair in 1..=40 {
            reached.add(Pair::Kept, SECOND);
            let narrow = pair == 40;
            let stop = rule.enough(&reached, || narrow);
            assert_eq!(stop, narrow.then_some(StopReason::Precise), "{pair} pairs");
        }
        assert!(ended(rule, true, |_| (Pair::Kept, SECOND)).1.kept() == rule.least());
    }

    #[test]
    fn enough_pairs_for_the_strictest_level() {
        assert_eq!((quick_pairs(1), most_quick_pairs(1)), (12, 18));
        assert_eq!((quick_pairs(14), most_quick_pairs(14)), (13, 20));
        assert_eq!(quick_pairs(40), 14);
        assert_eq!(default_pairs(40), 16);
        // 2^-n must lie below 1% over the number of metrics.
        for metrics in [1usize, 5, 20, 100, 1000] {
            assert!(f64::powi(0.5, quick_pairs(metrics) as i32) < 0.01 / metrics as f64);
        }
    }
}

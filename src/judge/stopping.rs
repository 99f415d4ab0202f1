//! When a scenario has enough rounds. No verdict, p-value or place of an interval says so: only how many rounds there are, how wide the intervals
//! are, and how long it took. Pure.

use std::time::Duration;

use crate::record::{Mode, StopReason};

/// Quick mode ends after this many times the rounds that it needs, even if too few of them could be kept.
const QUICK_ATTEMPTS: u32 = 2;
/// Rounds after which a load that was offered in none of them is given up.
const NEVER_OFFERED: u32 = 3;
/// Upper limit of quick mode's time, as a multiple of what the least number of rounds takes on a quiet machine.
const QUICK_PATIENCE: f64 = 1.5;

/// The rule of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stopping {
    mode: Mode,
    least: u32,
    most: u32,
}

/// How far the rounds of a scenario have come.
#[derive(Clone, Debug)]
pub struct Reached {
    /// Pairs that count, by arm beside the baseline.
    kept: Vec<u32>,
    /// Whether the last round made the fewest of them more.
    grew: bool,
    /// Rounds in which the generator could not offer the load to any arm.
    not_offered: u32,
    /// What each round took, kept or not.
    times: Vec<Duration>,
}

/// How a round ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RoundEnd {
    /// It counts for all arms.
    Kept,
    /// It counts for those of the arms beside the baseline of which it is said.
    Partly(Vec<bool>),
    /// It counts for none.
    Discarded,
    /// It does not, as the generator could not offer the load to any arm.
    NotOffered,
}

/// Of two arms.
impl Default for Reached {
    fn default() -> Reached {
        Reached::of(1)
    }
}

impl Reached {
    /// Before the first round, of so many arms beside the baseline.
    pub fn of(rivals: usize) -> Reached {
        Reached { kept: vec![0; rivals], grew: false, not_offered: 0, times: Vec::new() }
    }

    /// One round more, and what it took.
    pub fn add(&mut self, end: RoundEnd, time: Duration) {
        let before = self.kept();
        self.times.push(time);
        self.not_offered += u32::from(end == RoundEnd::NotOffered);
        match end {
            RoundEnd::Kept => self.kept.iter_mut().for_each(|kept| *kept += 1),
            RoundEnd::Partly(counts) => self.kept.iter_mut().zip(counts).for_each(|(kept, counts)| *kept += u32::from(counts)),
            RoundEnd::Discarded | RoundEnd::NotOffered => {}
        }
        self.grew = self.kept() > before;
    }

    /// Rounds that count, for the arm for which fewest do.
    pub fn kept(&self) -> u32 {
        self.kept.iter().copied().min().unwrap_or(0)
    }

    /// Whether the last round made them more.
    pub fn grew(&self) -> bool {
        self.grew
    }

    /// Rounds that are over.
    pub fn rounds(&self) -> u32 {
        self.times.len() as u32
    }

    fn was_never_offered(&self) -> bool {
        self.not_offered >= NEVER_OFFERED && self.not_offered == self.rounds()
    }

    /// Whether `least` rounds would have been over long ago on a quiet machine. The quickest round shows what one takes there.
    fn is_late(&self, least: u32) -> bool {
        let quiet = self.times.iter().min().copied().unwrap_or_default() * least;
        self.times.iter().sum::<Duration>() >= quiet.mul_f64(QUICK_PATIENCE)
    }
}

impl Stopping {
    /// The rule of a run in this mode, with so many gated metrics.
    pub fn new(mode: Mode, gated: usize) -> Stopping {
        match mode {
            Mode::Default => Stopping { mode, least: default_rounds(gated), most: default_rounds(gated) },
            _ => Stopping { mode, least: quick_rounds(gated), most: most_quick_rounds(gated) },
        }
    }

    /// Kept rounds that there must be, whatever else is to be waited for.
    pub fn least(self) -> u32 {
        self.least
    }

    /// Kept rounds that are aimed at, for people: the least, or in quick mode the most once it goes on.
    pub fn aimed_at(self, kept: u32) -> u32 {
        if kept > self.least { self.most } else { self.least }
    }

    /// Why no more rounds are needed, asked after each of them; `None` if more are. `narrow` says whether the intervals are; quick mode looks
    /// once, when it has the least number of rounds: with a second look, chance would have a second go.
    pub fn enough(self, reached: &Reached, narrow: impl FnOnce() -> bool) -> Option<StopReason> {
        let kept = reached.kept();
        match self.mode {
            _ if reached.was_never_offered() => Some(StopReason::NotOffered),
            Mode::Default => (kept >= self.least && narrow()).then_some(StopReason::Precise),
            _ if kept < self.least => (reached.rounds() >= QUICK_ATTEMPTS * self.least).then_some(StopReason::Attempts),
            // A round that is discarded right after the look does not bring it again.
            _ if kept == self.least && reached.grew && narrow() => Some(StopReason::Precise),
            // Half as many rounds again, none quicker than the quickest, take as much time at least.
            _ => reached.is_late(self.least).then_some(StopReason::Rounds),
        }
    }
}

/// Kept rounds that quick mode needs: enough for Holm's strictest level over `metrics` at 1%, and two to spare; at least 12.
///
/// A one-sided exact signed-rank test over n rounds cannot go below 2^-n.
fn quick_rounds(metrics: usize) -> u32 {
    holm_rounds(metrics).max(12)
}

/// Kept rounds at which quick mode ends, if its intervals were not narrow after the least: half as many again.
fn most_quick_rounds(metrics: usize) -> u32 {
    (quick_rounds(metrics) * 3).div_ceil(2)
}

/// Kept rounds that default mode needs before it may stop: as quick mode, but at least 16.
fn default_rounds(metrics: usize) -> u32 {
    holm_rounds(metrics).max(16)
}

fn holm_rounds(metrics: usize) -> u32 {
    let needed = libm::ceil(libm::log2(metrics.max(1) as f64 / 0.01));
    needed as u32 + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Rounds until it ends, each taking a second, with what the look at widths says; and how often it looked.
    fn ended(rule: Stopping, narrow: bool, round: impl Fn(u32) -> (RoundEnd, Duration)) -> (StopReason, Reached, u32) {
        let (mut reached, looks) = (Reached::default(), std::cell::Cell::new(0));
        loop {
            let (round, time) = round(reached.rounds());
            reached.add(round, time);
            let look = || {
                looks.set(looks.get() + 1);
                narrow
            };
            if let Some(stop) = rule.enough(&reached, look) {
                return (stop, reached, looks.get());
            }
            assert!(reached.rounds() < 100, "it does not end");
        }
    }

    fn quick() -> Stopping {
        let rule = Stopping::new(Mode::Quick, 5);
        assert_eq!((rule.least, rule.most), (12, 18));
        rule
    }

    #[test]
    fn quick_mode_ends_at_the_least_if_intervals_are_narrow() {
        let (stop, reached, looks) = ended(quick(), true, |_| (RoundEnd::Kept, SECOND));
        assert_eq!((stop, reached.kept(), looks), (StopReason::Precise, 12, 1));
    }

    #[test]
    fn quick_mode_goes_on_to_half_as_many_again_and_does_not_look_again() {
        let (stop, reached, looks) = ended(quick(), false, |_| (RoundEnd::Kept, SECOND));
        assert_eq!((stop, reached.kept(), looks), (StopReason::Rounds, 18, 1));
        // The round after the look is discarded, so that there are twelve once more.
        let (stop, reached, looks) =
            ended(quick(), false, |round| (if round == 12 { RoundEnd::Discarded } else { RoundEnd::Kept }, SECOND));
        assert_eq!((stop, reached.kept(), looks), (StopReason::Rounds, 17, 1), "18 s are half as much again as twelve rounds take");
    }

    #[test]
    fn quick_mode_has_half_again_of_its_quiet_time() {
        // A burst: six rounds take three times as long as others. 12 quiet rounds are 12 s, and 24 s over at the look.
        let (stop, reached, looks) = ended(quick(), false, |round| (RoundEnd::Kept, if round < 6 { SECOND * 3 } else { SECOND }));
        assert_eq!((stop, reached.kept(), looks), (StopReason::Rounds, 12, 1));
        let (_, reached, _) = ended(quick(), false, |round| (RoundEnd::Kept, if round < 2 { SECOND * 2 } else { SECOND }));
        assert_eq!(reached.kept(), 16);
    }

    #[test]
    fn quick_mode_gives_up_where_too_few_pairs_count() {
        let (stop, reached, looks) =
            ended(quick(), true, |round| (if round % 3 == 0 { RoundEnd::Kept } else { RoundEnd::Discarded }, SECOND));
        assert_eq!((stop, reached.kept(), reached.rounds(), looks), (StopReason::Attempts, 8, 24, 0));
    }

    #[test]
    fn a_load_that_was_offered_once_is_not_given_up() {
        let (stop, reached, _) = ended(quick(), true, |_| (RoundEnd::NotOffered, SECOND));
        assert_eq!((stop, reached.rounds()), (StopReason::NotOffered, 3));
        let (stop, reached, _) = ended(quick(), true, |round| (if round == 2 { RoundEnd::Kept } else { RoundEnd::NotOffered }, SECOND));
        assert_eq!((stop, reached.rounds()), (StopReason::Attempts, 24));
    }

    #[test]
    fn the_arm_with_fewest_rounds_decides() {
        let rule = Stopping::new(Mode::Quick, 2);
        let mut reached = Reached::of(2);
        let mut looks = 0;
        for round in 0..20 {
            // Every third round counts for the first arm alone.
            reached.add(if round % 3 == 2 { RoundEnd::Partly(vec![true, false]) } else { RoundEnd::Kept }, SECOND);
            let stop = rule.enough(&reached, || {
                looks += 1;
                true
            });
            if let Some(stop) = stop {
                assert_eq!((round + 1, reached.kept(), looks, stop), (17, 12, 1, StopReason::Precise));
                return;
            }
        }
        panic!("it does not end");
    }

    #[test]
    fn default_mode_goes_on_until_intervals_are_narrow() {
        let rule = Stopping::new(Mode::Default, 5);
        let mut reached = Reached::default();
        for round in 1..=40 {
            reached.add(RoundEnd::Kept, SECOND);
            let narrow = round == 40;
            let stop = rule.enough(&reached, || narrow);
            assert_eq!(stop, narrow.then_some(StopReason::Precise), "{round} rounds");
        }
        assert!(ended(rule, true, |_| (RoundEnd::Kept, SECOND)).1.kept() == rule.least());
    }

    #[test]
    fn enough_pairs_for_the_strictest_level() {
        assert_eq!((quick_rounds(1), most_quick_rounds(1)), (12, 18));
        assert_eq!((quick_rounds(14), most_quick_rounds(14)), (13, 20));
        assert_eq!(quick_rounds(40), 14);
        assert_eq!(default_rounds(40), 16);
        // 2^-n must lie below 1% over the number of metrics.
        for metrics in [1usize, 5, 20, 100, 1000] {
            assert!(f64::powi(0.5, quick_rounds(metrics) as i32) < 0.01 / metrics as f64);
        }
    }
}

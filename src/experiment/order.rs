//! In which order blocks run. Pure.
//!
//! Each round runs every arm once, one after the other, in a random permutation of its own, of a seed that each run draws anew. Under noise that does
//! not know which arm runs, an arm that equals the baseline stands before it as often as behind it, independently of all other rounds and
//! however the noise is correlated over time, so the difference has either sign alike. That is what the signed-rank test assumes, and it
//! holds whatever the other arms do. Balanced squares would cancel slow drift better, and break that: which of the two comes first would hang
//! on the round before. So would one coin for two rounds (ABBA or BAAB): a burst over its two middle blocks leans both differences the same way.

use rand::seq::SliceRandom;

use crate::dataset::stream;
use crate::record::Arm;

/// One planned block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Slot {
    /// Round.
    pub round: u32,
    /// Position in the scenario.
    pub position: u32,
    /// Arm.
    pub arm: Arm,
}

/// The blocks of a round of so many arms, in the order in which they run.
pub fn round(seed: u64, scenario: &str, round: u32, arms: usize) -> Vec<Slot> {
    let mut order: Vec<Arm> = (0..arms).map(Arm::at).collect();
    order.shuffle(&mut stream(seed, &format!("round {scenario}"), u64::from(round)));
    let first = round.saturating_mul(arms as u32);
    order.into_iter().zip(first..).map(|(arm, position)| Slot { round, position, arm }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(number: u32, arms: usize) -> Vec<usize> {
        round(1, "omniops/history-fetch", number, arms).iter().map(|slot| slot.arm.place()).collect()
    }

    #[test]
    fn a_round_runs_every_arm_once() {
        for arms in [1, 2, 3, 8] {
            for number in 0..50 {
                let slots = round(7, "s", number, arms);
                let mut places: Vec<usize> = slots.iter().map(|slot| slot.arm.place()).collect();
                places.sort_unstable();
                assert_eq!(places, (0..arms).collect::<Vec<_>>());
                let positions: Vec<u32> = slots.iter().map(|slot| slot.position).collect();
                assert_eq!(positions, (number * arms as u32..(number + 1) * arms as u32).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn two_arms_have_a_coin_for_each_round() {
        let firsts: Vec<usize> = (0..256).map(|number| order(number, 2)[0]).collect();
        let baseline = firsts.iter().filter(|first| **first == 0).count();
        assert!((104..=152).contains(&baseline), "{baseline} of 256 rounds begin with the baseline");
        // Neighbours are as often alike as not: in quads every second round was the mirror of the one before it.
        for distance in 1..=4 {
            let alike = firsts.iter().zip(firsts.iter().skip(distance)).filter(|(one, other)| one == other).count();
            assert!((96..=160).contains(&alike), "{alike} of 256 rounds begin like the one {distance} before them");
        }
    }

    #[test]
    fn all_orders_of_four_arms_are_as_likely() {
        let mut counts = std::collections::BTreeMap::<Vec<usize>, u32>::new();
        (0..2_400).for_each(|number| *counts.entry(order(number, 4)).or_default() += 1);
        assert_eq!(counts.len(), 24);
        // 100 each, with a standard deviation of 10.
        assert!(counts.values().all(|count| (60..=140).contains(count)), "{counts:?}");
    }
}

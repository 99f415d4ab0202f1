//! In which order blocks run. Pure.
//!
//! The two blocks of a pair run one after the other, and a coin of the pair's own, of a seed that each run draws anew, decides which is first. Under noise that does
//! not know which side runs, each difference between sides that are the same is then as likely to have either sign, independently of all
//! others, however the noise is correlated over time. That is what the signed-rank test assumes. One coin for two pairs (a quad, ABBA or
//! BAAB) would cancel slow drift better, and break that: a burst over its two middle blocks leans both pairs the same way.

use rand::RngExt;

use crate::dataset::stream;
use crate::record::Side;

/// One planned block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Slot {
    /// Pair.
    pub pair: u32,
    /// Position in the scenario.
    pub position: u32,
    /// Side.
    pub side: Side,
}

/// The two blocks of a pair, in the order in which they run.
pub fn pair(seed: u64, scenario: &str, pair: u32) -> [Slot; 2] {
    let first = match stream(seed, &format!("pair {scenario}"), u64::from(pair)).random::<bool>() {
        true => Side::Before,
        false => Side::After,
    };
    [Slot { pair, position: pair * 2, side: first }, Slot { pair, position: pair * 2 + 1, side: first.other() }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_has_a_coin_of_its_own() {
        let firsts: Vec<Side> = (0..256)
            .map(|number| {
                let [one, two] = pair(1, "omniops/history-fetch", number);
                assert_eq!((one.pair, two.pair, one.position, two.position), (number, number, number * 2, number * 2 + 1));
                assert_eq!(one.side, two.side.other());
                one.side
            })
            .collect();
        let before = firsts.iter().filter(|side| **side == Side::Before).count();
        assert!((104..=152).contains(&before), "{before} of 256 pairs begin with before");
        // Neighbours are as often alike as not: in quads every second pair was the mirror of the one before it.
        for distance in 1..=4 {
            let alike = firsts.iter().zip(firsts.iter().skip(distance)).filter(|(one, other)| one == other).count();
            assert!((96..=160).contains(&alike), "{alike} of 256 pairs begin like the one {distance} before them");
        }
    }
}

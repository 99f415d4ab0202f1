//! In which order blocks run, and how many. Pure.
//!
//! Blocks of both sides alternate in quads, ABBA or BAAB by the seed, so that a machine that drifts slowly favours neither side. Pairs
//! are what is analysed; quads only order them.

use rand::RngExt;

use crate::dataset::stream;
use crate::record::Side;

/// One planned block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Slot {
    /// Quad.
    pub quad: u32,
    /// Pair, two a quad.
    pub pair: u32,
    /// Position in the scenario.
    pub position: u32,
    /// Side.
    pub side: Side,
}

/// The four blocks of a quad.
pub fn quad(seed: u64, scenario: &str, quad: u32) -> [Slot; 4] {
    let first = match stream(seed, &format!("quad {scenario}"), u64::from(quad)).random::<bool>() {
        true => Side::Before,
        false => Side::After,
    };
    let sides = [first, first.other(), first.other(), first];
    std::array::from_fn(|index| {
        let offset = index as u32;
        Slot { quad, pair: quad * 2 + offset / 2, position: quad * 4 + offset, side: sides[index] }
    })
}

/// Kept pairs that quick mode needs: enough for Holm's strictest level over `metrics` at 1%, and two to spare; at least 12.
///
/// A one-sided exact signed-rank test over n pairs cannot go below 2^-n.
pub fn quick_pairs(metrics: usize) -> u32 {
    holm_pairs(metrics).max(12)
}

/// Kept pairs that default mode needs before it may stop: the same, at least 16.
pub fn default_pairs(metrics: usize) -> u32 {
    holm_pairs(metrics).max(16)
}

fn holm_pairs(metrics: usize) -> u32 {
    let needed = libm::ceil(libm::log2(metrics.max(1) as f64 / 0.01));
    needed as u32 + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quad_is_abba_or_baab_and_both_occur() {
        let firsts: Vec<Side> = (0..64)
            .map(|number| {
                let slots = quad(1, "omniops/history-fetch", number);
                assert_eq!(slots[0].side, slots[3].side);
                assert_eq!(slots[1].side, slots[2].side);
                assert_ne!(slots[0].side, slots[1].side);
                assert_eq!((slots[0].pair, slots[3].pair), (number * 2, number * 2 + 1));
                slots[0].side
            })
            .collect();
        let before = firsts.iter().filter(|side| **side == Side::Before).count();
        assert!((16..48).contains(&before), "{before} of 64 quads begin with before");
    }

    #[test]
    fn enough_pairs_for_the_strictest_level() {
        assert_eq!(quick_pairs(1), 12);
        assert_eq!(quick_pairs(14), 13);
        assert_eq!(quick_pairs(40), 14);
        assert_eq!(default_pairs(40), 16);
        // 2^-n must lie below 1% over the number of metrics.
        for metrics in [1usize, 5, 20, 100, 1000] {
            assert!(f64::powi(0.5, quick_pairs(metrics) as i32) < 0.01 / metrics as f64);
        }
    }
}

//! When to stop measuring: on precision, never on significance.
//!
//! Stopping as soon as p < 5% inflates the chance of a false alarm to 24%; whether an interval is narrow says nothing about where it lies.

use super::metrics::{Series, level_of, series};
use super::series::Pairs;
use super::{Gate, to_u32};
use crate::record::{Arm, BlockRecord, Mode, ScenarioRecord};
use crate::stats::confidence_interval;

/// Half-width of an interval, in margins, that is narrow enough.
const NARROW_ENOUGH: f64 = 0.5;
/// Half-width of an interval, as a ratio, that is narrow enough for a first look.
const NARROW_ENOUGH_FOR_A_LOOK: f64 = 1.15;

/// How precise a scenario's blocks are so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Precision {
    /// Pairs that can be used, of the arm that has fewest.
    pub kept_pairs: u32,
    /// Gated metrics of this scenario, by the blocks so far.
    pub gated_metrics: u32,
    /// Half-width of the widest interval of a gated metric over its margin, both as log ratios. Infinite while there are too few pairs for
    /// an interval; 0 if nothing is gated.
    pub widest_half_width_over_margin: f64,
    /// Half-width of the widest interval of a gated metric, as a log ratio; infinite and 0 likewise.
    pub widest_half_width: f64,
}

impl Precision {
    /// Whether every gated interval has a half-width of at most half its margin, so that more pairs would make no verdict surer; in quick mode,
    /// of at most 15%.
    ///
    /// With pairs but nothing gated (too few samples a block) more pairs would not help, so that is enough too.
    pub fn is_enough(&self, mode: Mode) -> bool {
        match mode {
            Mode::Quick => self.widest_half_width <= NARROW_ENOUGH_FOR_A_LOOK.ln(),
            Mode::Default | Mode::ChecksOnly | Mode::Run => self.widest_half_width_over_margin <= NARROW_ENOUGH,
        }
    }
}

/// How precise the blocks of one scenario are. The least number of rounds and the budget are the caller's.
///
/// `gated_metrics_of_run` is over all scenarios: intervals are taken at 1% divided by it (one-sided), the strictest level that Holm's
/// procedure can come to. This scenario's own count is the least that is used. Blocks of other scenarios are left out.
pub fn precision(blocks: &[BlockRecord], scenario: &ScenarioRecord, gated_metrics_of_run: usize) -> Precision {
    let pairs: Vec<Pairs<'_>> = scenario.arms.rivals().map(|arm| pairs_of(blocks, scenario, arm)).collect();
    of_pairs(&pairs, scenario, gated_metrics_of_run)
}

/// The arms with gated metrics whose blocks are precise enough, each by itself.
pub fn precise_arms(blocks: &[BlockRecord], scenario: &ScenarioRecord, gated_metrics_of_run: usize, mode: Mode) -> Vec<Arm> {
    let precise = |arm: &Arm| {
        let precision = of_pairs(&[pairs_of(blocks, scenario, *arm)], scenario, gated_metrics_of_run);
        precision.gated_metrics > 0 && precision.is_enough(mode)
    };
    scenario.arms.rivals().filter(precise).collect()
}

fn pairs_of<'a>(blocks: &'a [BlockRecord], scenario: &ScenarioRecord, arm: Arm) -> Pairs<'a> {
    Pairs::of(blocks.iter().filter(|block| block.scenario == scenario.scenario), arm)
}

fn of_pairs(pairs: &[Pairs<'_>], scenario: &ScenarioRecord, gated_metrics_of_run: usize) -> Precision {
    let kept = pairs.iter().map(|pairs| pairs.kept.len()).min().unwrap_or(0);
    let mut gated = series(scenario, pairs);
    gated.retain(|series| series.gate == Gate::Gated);
    let level = level_of(gated_metrics_of_run.max(gated.len()));
    let half_width = |series: &Series| confidence_interval(&series.differences, level).half_width();
    // What makes no sense gives NaN, which is never narrow.
    let widest = |width: &dyn Fn(&Series) -> f64| {
        let widths = gated.iter().map(width).map(|width| if width.is_nan() { f64::INFINITY } else { width });
        if kept == 0 { f64::INFINITY } else { widths.fold(0.0, f64::max) }
    };
    Precision {
        kept_pairs: to_u32(kept),
        gated_metrics: to_u32(gated.len()),
        widest_half_width_over_margin: widest(&|series| half_width(series) / series.margin_ln),
        widest_half_width: widest(&half_width),
    }
}

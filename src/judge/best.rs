//! Which of several arms is best, and which cannot be told apart from it. Shown and never gated.
//!
//! The best is picked by the same times that are tested, so the differences of all pairs of arms, by all medians, are one family of Holm's
//! procedure, not only those of the one that was picked.

use std::collections::BTreeMap;

use serde::Serialize;

use super::outcome::{Failing, gated};
use super::series::Fate;
use super::{Metric, Quantity, Rival, to_u32};
use crate::record::{Arm, Arms, BlockRecord};
use crate::stats::{FAMILY_ALPHA, hodges_lehmann, holm, minimum_pairs, signed_rank};

/// The arm with the shortest times of a metric.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Best {
    /// Transaction.
    pub transaction: String,
    /// Statement; `None` for the whole transaction.
    pub statement: Option<String>,
    /// What.
    pub quantity: Quantity,
    /// The arm.
    pub arm: Arm,
    /// Arms that cannot be told apart from it, in order.
    pub tied: Vec<Arm>,
    /// Arms that are certainly slower, in order.
    pub slower: Vec<Arm>,
}

/// Why arms are not ranked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Unranked {
    /// Transactions fail on an arm.
    Failing,
    /// No gated median is one of all arms.
    NothingInCommon,
    /// Too few rounds count for all arms.
    Rounds {
        /// How many do.
        whole: u32,
        /// Rounds that the tests of all pairs of arms need.
        least: u32,
    },
}

/// The best arm by each gated median that all arms have. Nothing where there are only two arms, or nothing is gated.
pub(super) fn of_scenario(metrics: &[Metric], rivals: &[Rival<'_>]) -> Result<Vec<Best>, Unranked> {
    if rivals.len() < 2 || gated(metrics).next().is_none() {
        return Ok(Vec::new());
    }
    if rivals.iter().any(|rival| rival.failing != Failing::Neither) {
        return Err(Unranked::Failing);
    }
    let rounds = whole_rounds(rivals);
    let medians = gated(metrics).filter(|metric| metric.quantity == Quantity::ServiceP50 && metric.arm == Arm::at(1));
    let everywhere = |metric: &&Metric| gated(metrics).filter(|other| other.is_like(metric)).count() == rivals.len();
    let races: Vec<Race<'_>> = medians.filter(everywhere).map(|metric| Race::of(metric, &rounds)).collect();
    let p: Vec<f64> = races.iter().flat_map(|race| &race.pairs).map(|pair| pair.p).collect();
    if races.is_empty() {
        return Err(Unranked::NothingInCommon);
    }
    // With fewer rounds nothing could be told apart, and "the fastest" would be whoever was lucky. Twice, as the tests are two-sided.
    let least = minimum_pairs(2 * pairs_of(rivals.len() + 1) * races.len(), FAMILY_ALPHA).unwrap_or(usize::MAX);
    if rounds.len() < least {
        return Err(Unranked::Rounds { whole: to_u32(rounds.len()), least: to_u32(least) });
    }
    let mut apart = holm(&p, FAMILY_ALPHA).into_iter().map(|step| step.rejected);
    Ok(races.into_iter().filter_map(|race| race.won(&mut apart)).collect())
}

/// Number of pairs that `arms` arms make.
fn pairs_of(arms: usize) -> usize {
    arms * (arms - 1) / 2
}

/// Blocks by arm of the rounds of which every block counts.
fn whole_rounds<'a>(rivals: &[Rival<'a>]) -> Vec<Arms<&'a BlockRecord>> {
    let mut found: BTreeMap<(u32, u32), Vec<&'a BlockRecord>> = BTreeMap::new();
    for slot in rivals.iter().flat_map(|rival| &rival.pairs.slots).filter(|slot| slot.fate == Fate::Kept) {
        let blocks = found.entry(slot.round).or_insert_with(|| slot.blocks.baseline.into_iter().collect());
        blocks.extend(slot.blocks.arm);
    }
    let whole = found.into_values().filter(|blocks| blocks.len() == rivals.len() + 1);
    whole.filter_map(|blocks| Arms::try_from(blocks).ok()).collect()
}

/// Two arms of a metric.
struct Pair {
    faster: Arm,
    slower: Arm,
    /// Two-sided.
    p: f64,
}

/// All arms of a metric.
struct Race<'a> {
    metric: &'a Metric,
    /// Differences from the baseline, as log ratios.
    distances: Vec<(Arm, f64)>,
    pairs: Vec<Pair>,
}

impl<'a> Race<'a> {
    fn of(metric: &'a Metric, rounds: &[Arms<&BlockRecord>]) -> Race<'a> {
        let logs = rounds.iter().map(|round| round.map(|block| metric.value_in(block).map_or(f64::NAN, f64::ln)));
        let logs: Vec<Arms<f64>> = logs.filter(|round| round.values().all(|log| log.is_finite())).collect();
        let arms: Vec<Arm> = logs.first().map(|round| round.arms().collect()).unwrap_or_default();
        let differences = |of: Arm, from: Arm| -> Vec<f64> { logs.iter().map(|round| round.get(of) - round.get(from)).collect() };
        let mut pairs = Vec::new();
        for (place, one) in arms.iter().enumerate() {
            for other in &arms[place + 1..] {
                let test = signed_rank(&differences(*other, *one));
                let (faster, slower) = if test.p_greater <= test.p_less { (*one, *other) } else { (*other, *one) };
                pairs.push(Pair { faster, slower, p: (2.0 * test.p_greater.min(test.p_less)).min(1.0) });
            }
        }
        let distances = arms.iter().map(|arm| (*arm, hodges_lehmann(&differences(*arm, Arm::BASELINE)))).collect();
        Race { metric, distances, pairs }
    }

    /// The winner; `apart` says of each pair whether its arms are certainly different.
    fn won(self, apart: &mut impl Iterator<Item = bool>) -> Option<Best> {
        let certain: Vec<(Arm, Arm)> =
            self.pairs.iter().zip(apart).filter(|(_, apart)| *apart).map(|(pair, _)| (pair.faster, pair.slower)).collect();
        let best = self.distances.iter().min_by(|(_, one), (_, other)| one.total_cmp(other))?.0;
        let others = self.distances.iter().map(|(arm, _)| *arm).filter(|arm| *arm != best);
        let (slower, tied) = others.partition(|arm| certain.contains(&(best, *arm)));
        let (transaction, statement) = (self.metric.transaction.clone(), self.metric.statement.clone());
        Some(Best { transaction, statement, quantity: self.metric.quantity, arm: best, tied, slower })
    }
}

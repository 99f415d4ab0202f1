//! Stages of a rate that changes, as people write them.

use std::time::Duration;

use crate::record::Stage;

/// Most arrivals a second, of a stage as of a constant rate.
pub const MOST_PER_SECOND: f64 = 1e6;
/// Most stages, and how long each, and all of them, may be.
pub const MOST: usize = 100;
/// A shorter one has too few arrivals to be told apart.
pub const SHORTEST: Duration = Duration::from_millis(100);
/// As `pgduel run --time`.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What a stage does with the rate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Changes it evenly, from what it was to the stage's.
    Ramp,
    /// Has it at the stage's from the beginning.
    Hold,
    /// Like hold, but after it the rate is what it was before.
    Spike,
}

impl Kind {
    /// By the word for it.
    pub const ALL: [(&str, Kind); 3] = [("ramp", Kind::Ramp), ("hold", Kind::Hold), ("spike", Kind::Spike)];
}

/// A stage as it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// What it does.
    pub kind: Kind,
    /// Arrivals a second.
    pub per_second: f64,
    /// How long it is.
    pub length: Duration,
}

/// The rates that steps come to; a ramp at the beginning starts from nothing. Fails in words if they are too many, too long in all, or have
/// nobody arrive.
pub fn stages(steps: &[Step]) -> Result<Vec<Stage>, String> {
    if steps.is_empty() || steps.len() > MOST {
        return Err(format!("there are {} stages; use 1 to {MOST}", steps.len()));
    }
    let mut rate = 0.0;
    let stage = |step: &Step| {
        let from = if step.kind == Kind::Ramp { rate } else { step.per_second };
        if step.kind != Kind::Spike {
            rate = step.per_second;
        }
        Stage { from_per_second: from, to_per_second: step.per_second, length_ns: step.length.as_nanos() as u64 }
    };
    let stages: Vec<Stage> = steps.iter().map(stage).collect();
    let length: Duration = steps.iter().map(|step| step.length).sum();
    if length > LONGEST {
        return Err(format!("the stages are {} s long in all; use at most 24h", length.as_secs()));
    }
    if stages.iter().map(Stage::arrivals).sum::<f64>() < 1.0 {
        return Err("nobody arrives in any of the stages; use a rate above 0 in one".to_owned());
    }
    Ok(stages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(kind: Kind, per_second: f64, seconds: u64) -> Step {
        Step { kind, per_second, length: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_ramp_goes_on_from_where_the_rate_was_and_a_spike_leaves_it_there() {
        let steps = [
            step(Kind::Ramp, 40.0, 2),
            step(Kind::Spike, 900.0, 1),
            step(Kind::Ramp, 80.0, 3),
            step(Kind::Hold, 10.0, 4),
            step(Kind::Ramp, 0.0, 1),
        ];
        let rates: Vec<(f64, f64)> = stages(&steps).unwrap().iter().map(|stage| (stage.from_per_second, stage.to_per_second)).collect();
        assert_eq!(rates, [(0.0, 40.0), (900.0, 900.0), (40.0, 80.0), (10.0, 10.0), (10.0, 0.0)]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(stages(&[]).unwrap_err().contains("0 stages"));
        assert!(stages(&vec![step(Kind::Hold, 1.0, 1); 101]).unwrap_err().contains("101 stages"));
        assert!(stages(&[step(Kind::Hold, 1.0, 80_000), step(Kind::Hold, 1.0, 80_000)]).unwrap_err().contains("24h"));
        assert!(stages(&[step(Kind::Hold, 0.0, 5)]).unwrap_err().contains("nobody"));
    }
}

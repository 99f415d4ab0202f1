//! Arms that the command line names in place of a scenario's own.

use super::Failure;
use crate::diagnostic::closest;
use crate::record::{Arm, Arms, Factor};
use crate::scenario::{ArmSpec, Rate, Scenario, run_alike};
use crate::suite::{Suite, Variant};

/// A name that neither an arm of the scenario nor a variant has.
fn unknown(suite: &Suite, scenario: &Scenario, name: &str) -> Failure {
    let variants: Vec<&str> = suite.variants.keys().map(String::as_str).collect();
    let arms: Vec<&str> = scenario.arms.values().map(|arm| arm.name.as_str()).filter(|arm| !variants.contains(arm)).collect();
    let near = near(name, arms.iter().chain(&variants).copied());
    let arms = if arms.is_empty() { String::new() } else { format!(", and {} has the arms {}", scenario.path(), arms.join(", ")) };
    Failure::Usage(format!("suite {} has no variant {name}; it has {}{arms}.{near}", suite.name, variants.join(", ")))
}

fn near<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    closest(name, known).map(|near| format!(" Did you mean {near}?")).unwrap_or_default()
}

/// Names of arms as `--arms` has them. One alone can only be set against itself.
pub(super) fn named(given: &[String], aa: bool) -> Result<Vec<String>, Failure> {
    let names: Vec<String> = given.iter().map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err(Failure::Usage("--arms: a name is empty; allowed: names of arms or variants, such as --arms before,after".to_owned()));
    }
    match names.as_slice() {
        [only] if !aa => Err(Failure::Usage(format!(
            "--arms names {only} alone: a duel takes two arms or more; --aa duels {only} against itself, and pgduel run loads it alone"
        ))),
        _ => Ok(names),
    }
}

/// The scenario with these variants as its arms, the first one as the baseline. Each runs the statements that suit it.
pub(super) fn chosen(suite: &Suite, scenario: Scenario, names: &[String]) -> Result<Scenario, Failure> {
    if let Some(twice) = names.iter().enumerate().find(|(place, name)| names.iter().take(*place).any(|other| other == *name)) {
        return Err(Failure::Usage(format!("--arms names {} twice; --aa runs one variant against itself", twice.1)));
    }
    let of = |name: &String| match scenario.arms.iter().find(|(_, spec)| spec.name == *name) {
        Some((arm, spec)) => Ok((spec.clone(), arm)),
        None => match &scenario.arms.baseline.factor {
            Some(factor) => Err(no_value_of(&scenario, factor, name)),
            None => {
                let variant = suite.variants.get(name).ok_or_else(|| unknown(suite, &scenario, name))?;
                Ok((ArmSpec::of(name), statements_of(suite, &scenario, variant)?))
            }
        },
    };
    let arms: Vec<(ArmSpec, Arm)> = names.iter().map(of).collect::<Result<_, Failure>>()?;
    let without_rate = arms.iter().find(|(spec, _)| spec.arrivals.is_none());
    if let (Some((spec, _)), true) = (without_rate, arms.iter().any(|(spec, _)| spec.arrivals.is_some()))
        && !matches!(scenario.load.rate, Rate::Stated(_))
    {
        let rates = "whose arms have rates of their own";
        return Err(Failure::Usage(format!("--arms: {} has no rate in {}, {rates}; name its arms", spec.name, scenario.path())));
    }
    let Ok(arms) = Arms::try_from(arms) else { return Ok(scenario) };
    Ok(scenario.with_arms(&arms))
}

/// A variant has no value to stand in statements and files of a sweep.
fn no_value_of(scenario: &Scenario, factor: &Factor, name: &str) -> Failure {
    let arms: Vec<&str> = scenario.arms.values().map(|arm| arm.name.as_str()).collect();
    let near = near(name, arms.iter().copied());
    Failure::Usage(format!("{} sweeps {}: {name} is none of its arms, which are {}.{near}", scenario.path(), factor.name, arms.join(", ")))
}

/// The arm whose statements suit a variant: one that runs on it, or on the nearest variant it builds on; any where all run the same.
fn statements_of(suite: &Suite, scenario: &Scenario, variant: &Variant) -> Result<Arm, Failure> {
    let alike = |arms: &[Arm]| arms.iter().all(|arm| run_alike(&scenario.transactions, *arm, arms[0]));
    let names = |arms: &[Arm]| arms.iter().map(|arm| scenario.arms.get(*arm).name.as_str()).collect::<Vec<_>>().join(", ");
    let mut at = Some(variant);
    // As many steps as there are variants: files that build on each other in a circle were refused when the suite was read.
    for _ in 0..=suite.variants.len() {
        let Some(nearest) = at else { break };
        let on_it: Vec<Arm> = scenario.arms.iter().filter(|(_, spec)| spec.variant == nearest.name).map(|(arm, _)| arm).collect();
        match on_it.first() {
            Some(first) if alike(&on_it) => return Ok(*first),
            Some(_) => {
                let message = format!(
                    "{} has several arms on {}, which run other statements; name one of {}",
                    scenario.path(),
                    nearest.name,
                    names(&on_it)
                );
                return Err(Failure::Usage(message));
            }
            None => at = nearest.from.as_ref().and_then(|from| suite.variants.get(from)),
        }
    }
    let all: Vec<Arm> = scenario.arms.arms().collect();
    if alike(&all) {
        return Ok(Arm::BASELINE);
    }
    let named: Vec<&str> = scenario.arms.values().map(|arm| arm.variant.as_str()).collect();
    let has = format!("{} has statements for {}", scenario.path(), named.join(", for "));
    Err(Failure::Usage(format!("{has}, and {} builds on none of them; use one of these", variant.name)))
}

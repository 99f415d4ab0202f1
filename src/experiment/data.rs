//! The data of a run: one dataset, and so one seeded template, for each set of overlays that its scenarios ask for. A scenario that asks for
//! none is measured without any, whatever it runs beside.

use std::sync::Arc;

use super::{Plan, databases};
use crate::dataset::{Dataset, Sizing};
use crate::scenario::Scenario;
use crate::target::Server;

/// A dataset at the run's size and seed.
#[derive(Clone, Debug)]
pub struct Data {
    /// Its overlays, sorted.
    pub overlays: Vec<String>,
    /// The rows.
    pub dataset: Arc<Dataset>,
    /// What decides its template.
    pub digest: String,
}

impl Data {
    /// The dataset with these overlays.
    pub async fn plan(plan: &Plan, overlays: Vec<String>, server: &Server) -> anyhow::Result<Data> {
        let dataset = plan_dataset(plan, &overlays)?;
        let digest = databases::template_digest(&plan.suite, &dataset, &sizing_text(&dataset, &overlays), server).await?;
        Ok(Data { overlays, dataset, digest })
    }
}

/// The dataset at the plan's size and seed.
pub fn plan_dataset(plan: &Plan, overlays: &[String]) -> anyhow::Result<Arc<Dataset>> {
    let sizing = Sizing { overlays: overlays.to_vec(), ..plan.sizing.clone() };
    Ok(Arc::new(Dataset::plan(plan.suite.model.clone(), sizing, plan.seed)?))
}

/// Whether every seeded template that a plan needs is there already.
pub async fn has_templates(plan: &Plan, server: &Server) -> anyhow::Result<bool> {
    for overlays in overlay_sets(plan) {
        let data = Data::plan(plan, overlays, server).await?;
        if !databases::has_template(server, &plan.suite, &data.digest).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Overlays of a scenario, in an order that does not depend on how they are listed.
pub fn overlays_of(scenario: &Scenario) -> Vec<String> {
    let mut overlays = scenario.overlays.clone();
    overlays.sort();
    overlays
}

/// Sets of overlays that the plan's scenarios ask for, each once, in order of first use.
pub fn overlay_sets(plan: &Plan) -> Vec<Vec<String>> {
    let mut sets: Vec<Vec<String>> = Vec::new();
    for overlays in plan.scenarios.iter().map(overlays_of) {
        if !sets.contains(&overlays) {
            sets.push(overlays);
        }
    }
    sets
}

/// Overlays that all scenarios of the plan ask for: those of the run as a whole.
pub fn common_overlays(plan: &Plan) -> Vec<String> {
    let sets = overlay_sets(plan);
    let first = sets.first().cloned().unwrap_or_default();
    first.into_iter().filter(|name| sets.iter().all(|set| set.contains(name))).collect()
}

/// What decides the size of the data: the rows, however they were asked for. A suite without vectors is the same with any number of them.
fn sizing_text(dataset: &Dataset, overlays: &[String]) -> String {
    let rows: Vec<(&str, u64)> = dataset.tables().into_iter().map(|table| (dataset.table_name(table), dataset.rows(table))).collect();
    format!("rows {rows:?} overlays {overlays:?}")
}

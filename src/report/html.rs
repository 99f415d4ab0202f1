//! The run as one HTML file without any outside request: styles and charts are inline, and there is no script.

use anyhow::Context;
use minijinja::AutoEscape;
use minijinja::value::Serde;
use serde::Serialize;

use crate::judge::{Gate, Metric, ScenarioComparison};
use crate::shown::plain;

use super::chart::{self, Page};
use super::prose;
use super::view::{RunView, view};
use super::{Run, environment};

const TEMPLATE: &str = include_str!("templates/report.html");
const PARTS: &str = include_str!("templates/scenario.html");
const STYLE: &str = include_str!("templates/style.css");

/// What is HTML already, beside the view that is text. The template marks these, and only these, as safe.
#[derive(Serialize)]
struct Drawn {
    style: &'static str,
    forest: Vec<String>,
    scenarios: Vec<DrawnScenario>,
}

#[derive(Serialize)]
struct DrawnScenario {
    analysis: String,
    /// Each chart in all its widths.
    charts: Vec<String>,
    /// Charts beyond the first few, folded.
    more: Vec<String>,
}

#[derive(Serialize)]
struct PageData {
    #[serde(flatten)]
    view: RunView,
    drawn: Drawn,
}

/// Latency charts of a scenario that are not folded.
const CHARTS_SHOWN: usize = 3;

/// The run as an HTML page.
pub fn html(run: &Run<'_>) -> anyhow::Result<String> {
    let view = view(run);
    let scenarios = run.comparison.scenarios.iter().map(drawn_scenario).collect::<anyhow::Result<Vec<_>>>()?;
    let forest =
        [Page::Wide, Page::Narrow].into_iter().map(|page| chart::forest(run.comparison, page)).collect::<anyhow::Result<Vec<_>>>()?;
    let drawn = Drawn { style: STYLE, forest, scenarios };
    let mut environment = environment()?;
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("scenario.html", PARTS).context("the scenario's HTML template of the report")?;
    environment.add_template("report.html", TEMPLATE).context("the HTML template of the report")?;
    let page = environment.get_template("report.html")?.render(Serde(PageData { view, drawn })).context("rendering the HTML report")?;
    Ok(plain(&page))
}

/// What the chart over time shows: [`crate::judge::BlockPoint::value_ns`] in words.
fn measured(one: &ScenarioComparison) -> String {
    let name = one.scenario.transactions.first().map_or("first transaction", |transaction| transaction.name.as_str());
    format!("{name}, service time p50")
}

fn drawn_scenario(one: &ScenarioComparison) -> anyhow::Result<DrawnScenario> {
    let both =
        |draw: &dyn Fn(Page) -> anyhow::Result<String>| -> anyhow::Result<String> { Ok([draw(Page::Wide)?, draw(Page::Narrow)?].concat()) };
    let arms = &one.scenario.arms;
    let mut charts = Vec::new();
    // What a sweep is made for: one chart a gated metric, whichever arms have it.
    let mut swept: Vec<&Metric> = Vec::new();
    for metric in one.metrics.iter().filter(|metric| metric.gate == Gate::Gated) {
        if !swept.iter().any(|other| other.is_like(metric)) {
            charts.push(both(&|page| chart::sweep(one, metric, page))?);
            swept.push(metric);
        }
    }
    charts.retain(|chart| !chart.is_empty());
    // Statements first: their service time is what is judged.
    let (statements, transactions): (Vec<_>, Vec<_>) = one.curves.iter().partition(|(name, _)| name.contains('/'));
    for (name, curve) in statements {
        charts.push(both(&|page| chart::latency(&format!("{name}, service time"), arms, curve, page))?);
    }
    let blocks = both(&|page| chart::blocks(&measured(one), arms, &one.blocks, page))?;
    for (name, curve) in transactions {
        charts.push(both(&|page| chart::latency(&format!("{name}, response time"), arms, curve, page))?);
    }
    let more = if charts.len() > CHARTS_SHOWN { charts.split_off(CHARTS_SHOWN) } else { Vec::new() };
    charts.push(blocks);
    charts.retain(|chart| !chart.is_empty());
    Ok(DrawnScenario { analysis: prose::to_html(&one.scenario.analysis), charts, more })
}

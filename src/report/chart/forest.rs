//! The overview: one row a gated metric, its ratio with interval on a logarithmic axis, faster to the right.

use crate::judge::{Comparison, Gate, Interval, Metric, Verdict};
use crate::report::format::{factor, inverse};
use crate::report::recall;
use crate::report::view::metric_view;
use crate::report::words::{self, Tone};

use super::{Anchor, Ink, Page, Plane, Px, Sheet, Weight, chart, fitted, place};

/// Axes do not go beyond this factor; a longer whisker gets an arrow.
const WIDEST: f64 = 10_000.0;

/// A row of the plot.
enum Row {
    /// A scenario, with a word where it has no metric to show.
    Scenario { name: String, word: Option<(Tone, String)> },
    /// A gated metric: its change as a factor of speed.
    Metric { label: String, change: String, tone: Tone, verdict: Verdict, speed: Option<Interval>, margin: f64 },
}

/// Where things stand, in CSS pixels.
struct Layout {
    page: Page,
    width: i32,
    plot: (i32, i32),
    head: i32,
    row: i32,
    text: f64,
}

/// The forest plot of a run; empty if the run has no gated metric.
pub fn forest(comparison: &Comparison, page: Page) -> anyhow::Result<String> {
    let rows = rows(comparison);
    if !rows.iter().any(|row| matches!(row, Row::Metric { .. })) {
        return Ok(String::new());
    }
    let layout = match page {
        Page::Wide => Layout { page, width: 1080, plot: (320, 806), head: 46, row: 28, text: 13.5 },
        Page::Narrow => Layout { page, width: 350, plot: (10, 340), head: 46, row: 52, text: 13.0 },
    };
    let bottom = layout.head + rows.iter().map(|row| height(row, &layout)).sum::<i32>() + 6;
    let reach = Reach::of(&rows);
    let description = "Ratio of times with confidence interval, one row a gated metric; to the right of the middle is faster.";
    chart(page, (layout.width, bottom + 8), "Change by metric, faster to the right", description, |sheet| {
        let plane =
            sheet.plane(-libm::log10(reach.slower)..libm::log10(reach.faster), 0.0..1.0, layout.plot.0..layout.plot.1, layout.head..bottom);
        axis(sheet, &plane, &layout, reach, bottom)?;
        let mut y = layout.head;
        for row in &rows {
            draw(sheet, &plane, &layout, row, y, reach)?;
            y += height(row, &layout);
        }
        Ok(())
    })
}

fn rows(comparison: &Comparison) -> Vec<Row> {
    let mut rows = Vec::new();
    for one in &comparison.scenarios {
        let gated: Vec<&Metric> = one.metrics.iter().filter(|metric| metric.gate == Gate::Gated).collect();
        let word =
            words::stopped_short_briefly(one).or(if gated.is_empty() { Some((Tone::Inconclusive, "nothing to decide")) } else { None });
        let word = word.map(|(tone, word)| (tone, format!("{} {word}", words::symbol(tone))));
        // A change of speed says little of a search that finds something else.
        let word = word.or_else(|| recall::widest(one).map(|(_, shift)| (Tone::Inconclusive, shift.brief())));
        rows.push(Row::Scenario { name: one.scenario.scenario.clone(), word });
        rows.extend(gated.into_iter().map(|metric| {
            let view = metric_view(metric, one);
            Row::Metric {
                label: view.name,
                change: format!("{} {}", view.change, view.interval),
                tone: view.tone,
                verdict: metric.verdict,
                speed: metric.ratio.as_ref().filter(|ratio| ratio.point > 0.0 && ratio.point.is_finite()).map(inverse),
                margin: metric.margin.max(1.0),
            }
        }));
    }
    rows
}

fn height(row: &Row, layout: &Layout) -> i32 {
    match row {
        Row::Scenario { .. } => layout.page.pick(34, 36),
        Row::Metric { .. } => layout.row,
    }
}

/// How far the axis goes to each side, as factors above 1.
#[derive(Clone, Copy)]
struct Reach {
    slower: f64,
    faster: f64,
}

impl Reach {
    fn of(rows: &[Row]) -> Reach {
        let mut reach = Reach { slower: 1.0, faster: 1.0 };
        for row in rows {
            if let Row::Metric { speed: Some(speed), .. } = row {
                for bound in [speed.lower, speed.point, speed.upper].into_iter().filter(|bound| bound.is_finite() && *bound > 0.0) {
                    reach = Reach { slower: reach.slower.max(1.0 / bound), faster: reach.faster.max(bound) };
                }
            }
        }
        // Neither side vanishes: a fifth of the axis each, and at least room for a factor of 1.3.
        let least = |other: f64| libm::pow(other, 0.25).max(1.3);
        let (slower, faster) = (reach.slower.max(least(reach.faster)), reach.faster.max(least(reach.slower)));
        Reach { slower: (slower * 1.2).min(WIDEST), faster: (faster * 1.2).min(WIDEST) }
    }

    /// The place of a factor of speed on the axis, held within it.
    fn place(self, factor: f64) -> f64 {
        let (low, high) = (-libm::log10(self.slower), libm::log10(self.faster));
        if factor > 0.0 { libm::log10(factor).clamp(low, high) } else { low }
    }

    /// Whether a factor of speed lies on the axis.
    fn holds(self, factor: f64) -> bool {
        factor > 1.0 / self.slower && factor < self.faster
    }
}

fn axis(sheet: &Sheet<'_>, plane: &Plane<'_>, layout: &Layout, reach: Reach, bottom: i32) -> anyhow::Result<()> {
    let (top, bottom) = (f64::from(layout.head), f64::from(bottom));
    let mut taken: Vec<f64> = Vec::new();
    let decades = [1.0, 10.0, 100.0, 1_000.0, 10_000.0, 2.0, 5.0, 20.0, 50.0, 200.0, 500.0, 2_000.0, 5_000.0, 3.0, 1.5, 1.2, 1.1];
    for tick in decades {
        for factor in [1.0 / tick, tick].into_iter().filter(|factor| reach.holds(*factor)) {
            let (x, _) = place(plane, reach.place(factor), 0.0);
            if taken.iter().any(|other| (other - x).abs() < layout.page.pick(40.0, 34.0)) {
                continue;
            }
            taken.push(x);
            let ink = if tick == 1.0 { Ink::Axis } else { Ink::Grid };
            sheet.line(&[(x, top), (x, bottom)], ink, if tick == 1.0 { 3 } else { 2 })?;
            let label = if tick == 1.0 { "same".to_owned() } else { format!("{}×", factor_label(tick)) };
            sheet.text((x, top - 11.0), &label, 12.0, Ink::Muted, Anchor::Middle, Weight::Normal)?;
        }
    }
    let (middle, _) = place(plane, 0.0, 0.0);
    let title = top - 33.0;
    sheet.text((middle - 14.0, title), "← slower", 13.0, Ink::Regressed, Anchor::Right, Weight::Bold)?;
    sheet.text((middle + 14.0, title), "faster →", 13.0, Ink::Improved, Anchor::Left, Weight::Bold)
}

fn factor_label(tick: f64) -> String {
    factor(tick, usize::from(tick != libm::floor(tick)))
}

fn draw(sheet: &Sheet<'_>, plane: &Plane<'_>, layout: &Layout, row: &Row, top: i32, reach: Reach) -> anyhow::Result<()> {
    let top = f64::from(top);
    match row {
        Row::Scenario { name, word } => {
            let y = top + layout.page.pick(20.0, 22.0);
            let left = 2.0;
            let room = f64::from(layout.page.pick(layout.plot.0 + 60, layout.width)) - 10.0;
            // Estimated width of the word on the right; the name gets the rest.
            let taken = word.as_ref().map_or(0.0, |(_, word)| (word.chars().count() + 1) as f64 * layout.text * 0.62);
            let room = layout.page.pick(room, room - taken);
            backdrop(sheet, layout, (top, top + f64::from(height(row, layout))))?;
            sheet.text((left, y), &fitted(name, room * 0.9, layout.text), layout.text, Ink::Text, Anchor::Left, Weight::Bold)?;
            if let Some((tone, word)) = word {
                let at = (f64::from(layout.page.pick(layout.plot.1 + 16, layout.width - 2)), y);
                let anchor = layout.page.pick(Anchor::Left, Anchor::Right);
                sheet.text(at, word, layout.text, Ink::of(*tone), anchor, Weight::Bold)?;
            }
            Ok(())
        }
        Row::Metric { label, change, tone, verdict, speed, margin } => {
            let y = layout.page.pick(top + 14.0, top + 36.0);
            let half = layout.page.pick(14.0, 11.0);
            let (from, _) = place(plane, reach.place(1.0 / margin), 0.0);
            let (to, _) = place(plane, reach.place(*margin), 0.0);
            sheet.rect((from, y - half), (to, y + half), Ink::Band)?;
            let (middle, _) = place(plane, 0.0, 0.0);
            sheet.line(&[(middle, y - half), (middle, y + half)], Ink::Axis, 3)?;
            labels(sheet, layout, top, label, &format!("{} {change}", words::symbol(*tone)), *tone)?;
            match speed {
                Some(speed) => whisker(sheet, plane, speed, y, Ink::of(*tone), *verdict, reach),
                None => Ok(()),
            }
        }
    }
}

/// Covers the grid behind a scenario's name on a narrow page.
fn backdrop(sheet: &Sheet<'_>, layout: &Layout, (top, bottom): (f64, f64)) -> anyhow::Result<()> {
    match layout.page {
        Page::Wide => Ok(()),
        Page::Narrow => sheet.rect((0.0, top - 2.0), (f64::from(layout.width), bottom), Ink::Paper),
    }
}

fn labels(sheet: &Sheet<'_>, layout: &Layout, top: f64, label: &str, change: &str, tone: Tone) -> anyhow::Result<()> {
    let right = f64::from(layout.width) - 2.0;
    match layout.page {
        Page::Wide => {
            let room = f64::from(layout.plot.0) - 30.0;
            sheet.text((14.0, top + 14.0), &fitted(label, room, layout.text), layout.text, Ink::Text, Anchor::Left, Weight::Normal)?;
            let at = (f64::from(layout.plot.1) + 16.0, top + 14.0);
            sheet.text(at, change, layout.text, Ink::of(tone), Anchor::Left, Weight::Bold)
        }
        Page::Narrow => {
            backdrop(sheet, layout, (top, top + 24.0))?;
            // Estimated width of the words on the right; the name gets the rest.
            let room = right - change.chars().count() as f64 * 12.0 * 0.56 - 8.0;
            sheet.text((2.0, top + 12.0), &fitted(label, room, 12.0), 12.0, Ink::Text, Anchor::Left, Weight::Normal)?;
            sheet.text((right, top + 12.0), change, 12.0, Ink::of(tone), Anchor::Right, Weight::Bold)
        }
    }
}

fn whisker(sheet: &Sheet<'_>, plane: &Plane<'_>, speed: &Interval, y: f64, ink: Ink, verdict: Verdict, reach: Reach) -> anyhow::Result<()> {
    let (lower, upper) = (place(plane, reach.place(speed.lower), 0.0).0, place(plane, reach.place(speed.upper), 0.0).0);
    sheet.line(&[(lower, y), (upper, y)], ink, 5)?;
    for (x, bound, way) in [(lower, speed.lower, -1.0), (upper, speed.upper, 1.0)] {
        if reach.holds(bound) {
            sheet.line(&[(x, y - 4.0), (x, y + 4.0)], ink, 4)?;
        } else {
            let tip: [Px; 3] = [(x + way * 2.0, y), (x - way * 7.0, y - 5.0), (x - way * 7.0, y + 5.0)];
            sheet.polygon(&tip, ink)?;
        }
    }
    let (x, _) = place(plane, reach.place(speed.point), 0.0);
    match verdict {
        Verdict::Inconclusive => sheet.ring((x, y), 8, ink),
        Verdict::Improved | Verdict::Regressed | Verdict::Unchanged => sheet.dot((x, y), 9, ink),
    }
}

//! A sweep: how a metric changes with the value of the factor, as a factor of speed against the baseline, with intervals.

use crate::judge::{Gate, Metric, ScenarioComparison};
use crate::report::format::inverse;
use crate::report::words;

use super::scale::log_ticks;
use super::{Anchor, Ink, Page, Weight, chart, fitted, place};

/// From this ratio of the largest to the smallest value on, the axis of values is logarithmic.
const WIDE_RANGE: f64 = 8.0;

/// A value of the factor and what the metric came to.
struct Point {
    label: String,
    /// Place on the axis of values.
    x: f64,
    /// Speed against the baseline: estimate and interval; ones at the baseline.
    speed: (f64, f64, f64),
    ink: Ink,
}

/// The chart of one gated metric, over all arms that have it; empty where the scenario is no sweep or the metric has no interval.
pub fn sweep(one: &ScenarioComparison, first: &Metric, page: Page) -> anyhow::Result<String> {
    let Some(points) = points(one, first) else { return Ok(String::new()) };
    let factor = one.scenario.arms.baseline.factor.as_ref().map_or("", |factor| factor.name.as_str());
    let fold = |start: f64, pick: fn(f64, f64) -> f64| {
        points
            .iter()
            .flat_map(|point| [point.speed.0, point.speed.1, point.speed.2])
            .filter(|one| *one > 0.0 && one.is_finite())
            .fold(start, pick)
    };
    let (low, high) = (fold(1.0, f64::min) / 1.15, fold(1.0, f64::max) * 1.15);
    let (width, height) = page.pick((520, 290), (350, 260));
    let title = format!("{} {} by {factor}", first.subject(), first.quantity.name());
    let description = "Speed against the baseline by value, with confidence intervals; upwards is faster.";
    chart(page, (width, height), &title, description, |sheet| {
        let (across, down) = (62..width - 24, 30..height - 44);
        let (left, right) =
            points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(left, right), point| (left.min(point.x), right.max(point.x)));
        let pad = ((right - left) * 0.06).max(0.1);
        let plane = sheet.plane(left - pad..right + pad, libm::log10(low)..libm::log10(high), across.clone(), down.clone());
        sheet.text(
            (0.0, 10.0),
            &fitted(&format!("{title}: times as fast as the baseline"), f64::from(width), 13.0),
            13.0,
            Ink::Text,
            Anchor::Left,
            Weight::Bold,
        )?;
        for tick in log_ticks(low, high, 6) {
            let (from, to) = (place(&plane, left - pad, libm::log10(tick)), place(&plane, right + pad, libm::log10(tick)));
            sheet.line(&[from, to], if tick == 1.0 { Ink::Axis } else { Ink::Grid }, 2)?;
            sheet.text((from.0 - 7.0, from.1), &format!("{}×", words::trimmed(tick)), 12.0, Ink::Muted, Anchor::Right, Weight::Normal)?;
        }
        let estimates: Vec<_> = points.iter().map(|point| place(&plane, point.x, libm::log10(point.speed.0))).collect();
        sheet.line(&estimates, Ink::Axis, 2)?;
        for (point, at) in points.iter().zip(&estimates) {
            let bound = |speed: f64| place(&plane, point.x, libm::log10(speed.clamp(low, high)));
            sheet.line(&[bound(point.speed.1), bound(point.speed.2)], point.ink, 5)?;
            sheet.dot(*at, 9, point.ink)?;
            sheet.text((at.0, f64::from(down.end) + 15.0), &point.label, 12.0, Ink::Muted, Anchor::Middle, Weight::Normal)?;
        }
        let middle = f64::from(across.start + across.end) / 2.0;
        sheet.text((middle, f64::from(height) - 8.0), factor, 12.0, Ink::Muted, Anchor::Middle, Weight::Normal)
    })
}

fn points(one: &ScenarioComparison, first: &Metric) -> Option<Vec<Point>> {
    let values: Vec<&str> =
        one.scenario.arms.values().map(|arm| arm.factor.as_ref().map(|factor| factor.value.as_str())).collect::<Option<_>>()?;
    // An A/A run has one value on all arms.
    if values.iter().all(|value| *value == values[0]) {
        return None;
    }
    let numbers: Option<Vec<f64>> = values.iter().map(|value| value.parse().ok().filter(|number: &f64| number.is_finite())).collect();
    let place_of = |at: usize| match &numbers {
        None => at as f64,
        Some(numbers) => {
            let (least, most) = numbers.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), one| (least.min(*one), most.max(*one)));
            if least > 0.0 && most / least >= WIDE_RANGE { libm::log10(numbers[at]) } else { numbers[at] }
        }
    };
    let mut points = vec![Point { label: values.first()?.to_string(), x: place_of(0), speed: (1.0, 1.0, 1.0), ink: Ink::Arm0 }];
    for metric in one.metrics.iter().filter(|metric| metric.gate == Gate::Gated && metric.is_like(first)) {
        let Some(speed) = metric.ratio.as_ref().filter(|ratio| ratio.point > 0.0 && ratio.point.is_finite()).map(inverse) else { continue };
        let at = metric.arm.place();
        let Some(label) = values.get(at) else { continue };
        let ink = Ink::of(words::verdict_tone(metric.verdict));
        points.push(Point { label: (*label).to_owned(), x: place_of(at), speed: (speed.point, speed.lower, speed.upper), ink });
    }
    points.sort_by(|left, right| left.x.total_cmp(&right.x));
    (points.len() > 1).then_some(points)
}

//! Latency by percentile and arm, as HdrHistogram plots it: one step to the right is ten times rarer.

use crate::record::{ArmRecord, Arms};
use crate::report::format::duration;

use super::scale::log_ticks;
use super::{Anchor, Ink, Page, Plane, Px, Sheet, Weight, chart, fitted, place};

/// Letters of an arm's name that stand beside its line.
const LONGEST_NAME: usize = 14;

/// Percentiles that the axis names, with their labels.
const MARKS: [(f64, &str); 7] =
    [(0.5, "50%"), (0.9, "90%"), (0.99, "99%"), (0.999, "99.9%"), (0.9999, "99.99%"), (0.99999, "99.999%"), (0.999999, "99.9999%")];

/// The curve of one transaction or statement; empty if it has no points.
pub fn latency(title: &str, arms: &Arms<ArmRecord>, curve: &Arms<Vec<(f64, f64)>>, page: Page) -> anyhow::Result<String> {
    let usable = |points: &Vec<(f64, f64)>| -> Vec<(f64, f64)> {
        let mut points: Vec<(f64, f64)> = points
            .iter()
            .copied()
            .filter(|(q, ns)| (0.0..1.0).contains(q) && *ns > 0.0 && ns.is_finite())
            .map(|(q, ns)| (rarity(q), ns))
            .collect();
        points.sort_by(|left, right| left.0.total_cmp(&right.0));
        points
    };
    let curve = curve.map(usable);
    let all = || curve.values().flatten();
    if all().next().is_none() {
        return Ok(String::new());
    }
    let fold = |start: f64, pick: fn(f64, f64) -> f64| all().map(|point| point.1).fold(start, pick);
    let (low, high) = (fold(f64::INFINITY, f64::min) / 1.15, fold(0.0, f64::max) * 1.15);
    let rarest = all().map(|point| point.0).fold(0.0_f64, f64::max).max(1.0);
    let (width, height) = page.pick((520, 290), (350, 260));
    let description = "Latency by percentile on a logarithmic axis; lower is faster.";
    chart(page, (width, height), &format!("{title}: latency by percentile and arm"), description, |sheet| {
        let (across, down) = (62..width - room_for_names(arms), 30..height - 44);
        let plane = sheet.plane(0.0..rarest, libm::log10(low)..libm::log10(high), across.clone(), down.clone());
        sheet.text((0.0, 10.0), &fitted(title, f64::from(width), 13.0), 13.0, Ink::Text, Anchor::Left, Weight::Bold)?;
        time_axis(sheet, &plane, (low, high), (0.0, rarest), true)?;
        percentile_axis(sheet, &plane, rarest, f64::from(down.end))?;
        let label = "percentile, rarer to the right";
        let middle = f64::from(across.start + across.end) / 2.0;
        sheet.text((middle, f64::from(height) - 8.0), label, 12.0, Ink::Muted, Anchor::Middle, Weight::Normal)?;
        let mut ends: Vec<(Px, Ink, &str)> = Vec::new();
        for (arm, points) in curve.iter() {
            let (ink, name) = (Ink::of_arm(arm), arms.get(arm).name.as_str());
            let path: Vec<Px> = points.iter().map(|(x, ns)| place(&plane, *x, libm::log10(*ns))).collect();
            sheet.line(&path, ink, 5)?;
            ends.extend(path.last().map(|end| (*end, ink, name)));
        }
        name_ends(sheet, &mut ends)
    })
}

/// Room at the right edge for the names of arms, in CSS pixels.
pub fn room_for_names(arms: &Arms<ArmRecord>) -> i32 {
    let longest = arms.values().map(|arm| arm.name.chars().count()).max().unwrap_or(0);
    (longest.min(LONGEST_NAME) as i32 * 8 + 14).max(58)
}

/// Place of a quantile on the axis: how many times ten it is rare.
fn rarity(quantile: f64) -> f64 {
    -libm::log10(1.0 - quantile)
}

fn percentile_axis(sheet: &Sheet<'_>, plane: &Plane<'_>, rarest: f64, bottom: f64) -> anyhow::Result<()> {
    let mut last = f64::NEG_INFINITY;
    for (quantile, label) in MARKS.into_iter().filter(|(quantile, _)| rarity(*quantile) <= rarest * 1.02) {
        let (x, _) = place(plane, rarity(quantile), 0.0);
        sheet.line(&[(x, bottom), (x, bottom + 4.0)], Ink::Axis, 2)?;
        if x - last >= label.chars().count() as f64 * 7.0 {
            sheet.text((x, bottom + 15.0), label, 12.0, Ink::Muted, Anchor::Middle, Weight::Normal)?;
            last = x;
        }
    }
    Ok(())
}

/// Grid and labels of a vertical axis of times, `low..high` in ns; `logarithmic` tells how the plane maps them.
pub fn time_axis(sheet: &Sheet<'_>, plane: &Plane<'_>, (low, high): (f64, f64), x: (f64, f64), logarithmic: bool) -> anyhow::Result<()> {
    let ticks = if logarithmic { log_ticks(low, high, 6) } else { super::scale::linear_ticks(low, high, 5) };
    for tick in ticks {
        let y = if logarithmic { libm::log10(tick) } else { tick };
        let (from, to) = (place(plane, x.0, y), place(plane, x.1, y));
        sheet.line(&[from, to], Ink::Grid, 2)?;
        let label = if tick == 0.0 { "0".to_owned() } else { short(tick) };
        sheet.text((from.0 - 7.0, from.1), &label, 12.0, Ink::Muted, Anchor::Right, Weight::Normal)?;
    }
    Ok(())
}

/// A round time without its zeros after the point: `2 ms`, not `2.00 ms`.
fn short(ns: f64) -> String {
    let text = duration(ns);
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.')),
        _ => text,
    }
}

/// Names lines at their right end, apart from each other.
pub fn name_ends(sheet: &Sheet<'_>, ends: &mut [(Px, Ink, &str)]) -> anyhow::Result<()> {
    // Many names come closer than is good to read, but stay on the sheet.
    let apart = (240.0 / ends.len().max(1) as f64).min(16.0);
    ends.sort_by(|left, right| left.0.1.total_cmp(&right.0.1));
    // Downwards until none overlaps, then all of them half as far up as the last one went down.
    let wanted = ends.last().map_or(0.0, |end| end.0.1);
    for at in 1..ends.len() {
        let least = ends[at - 1].0.1 + apart;
        ends[at].0.1 = ends[at].0.1.max(least);
    }
    let pushed = ends.last().map_or(0.0, |end| end.0.1) - wanted;
    for ((x, y), ink, name) in ends.iter() {
        let name = fitted(name, LONGEST_NAME as f64 * 7.02, 13.0);
        sheet.text((x + 9.0, y - pushed / 2.0), &name, 13.0, *ink, Anchor::Left, Weight::Bold)?;
    }
    Ok(())
}

//! Blocks in the order they ran: drift, steps and discarded blocks can be seen.

use crate::judge::BlockPoint;
use crate::record::{Arm, ArmRecord, Arms};

use super::latency::{name_ends, room_for_names, time_axis};
use super::scale::linear_ticks;
use super::{Anchor, Ink, Page, Px, Sheet, Weight, chart, fitted, place};

/// From this ratio of the largest to the smallest value on, the axis is logarithmic.
const WIDE_RANGE: f64 = 4.0;

/// The blocks of a scenario; empty if there are none. `title` says what is measured in them.
pub fn blocks(title: &str, arms: &Arms<ArmRecord>, points: &[BlockPoint], page: Page) -> anyhow::Result<String> {
    let usable: Vec<&BlockPoint> =
        points.iter().filter(|point| point.value_ns > 0.0 && point.value_ns.is_finite() && point.started_seconds.is_finite()).collect();
    let Some(start) = usable.iter().map(|point| point.started_seconds).reduce(f64::min) else { return Ok(String::new()) };
    let end = usable.iter().map(|point| point.started_seconds - start).fold(1.0_f64, f64::max);
    let lowest = usable.iter().map(|point| point.value_ns).fold(f64::INFINITY, f64::min);
    let highest = usable.iter().map(|point| point.value_ns).fold(0.0_f64, f64::max);
    let logarithmic = highest / lowest > WIDE_RANGE;
    let (low, high) = if logarithmic { (lowest / 1.3, highest * 1.3) } else { (0.0, highest * 1.15) };
    let (width, height) = page.pick((520, 290), (350, 260));
    let description = "One mark a block, in the order they ran; hollow marks are discarded.";
    chart(page, (width, height), &format!("{title} by block and arm, over time"), description, |sheet| {
        let (across, down) = (62..width - room_for_names(arms), 30..height - 44);
        let y = |ns: f64| if logarithmic { libm::log10(ns) } else { ns };
        let from = if logarithmic { libm::log10(low) } else { low };
        let plane = sheet.plane(-end * 0.02..end * 1.02, from..y(high), across.clone(), down.clone());
        let heading = fitted(&format!("{title}, block by block"), f64::from(width), 13.0);
        sheet.text((0.0, 10.0), &heading, 13.0, Ink::Text, Anchor::Left, Weight::Bold)?;
        time_axis(sheet, &plane, (low, high), (-end * 0.02, end * 1.02), logarithmic)?;
        seconds_axis(sheet, end, |x| place(&plane, x, from))?;
        let middle = f64::from(across.start + across.end) / 2.0;
        let hollow = if usable.iter().any(|point| point.discarded.is_some()) { "; hollow: discarded" } else { "" };
        let label = format!("seconds into the scenario{hollow}");
        sheet.text((middle, f64::from(height) - 8.0), &label, 12.0, Ink::Muted, Anchor::Middle, Weight::Normal)?;
        let mut ends: Vec<(Px, Ink, &str)> = Vec::new();
        for arm in arms.arms() {
            let ink = Ink::of_arm(arm);
            let of_arm: Vec<(&&BlockPoint, Px)> = usable
                .iter()
                .filter(|point| point.arm == arm)
                .map(|point| (point, place(&plane, point.started_seconds - start, y(point.value_ns))))
                .collect();
            let kept: Vec<Px> = of_arm.iter().filter(|(point, _)| point.discarded.is_none()).map(|(_, at)| *at).collect();
            sheet.line(&kept, ink, 2)?;
            for (point, at) in &of_arm {
                mark(sheet, *at, arm, ink, point.discarded.is_some())?;
            }
            let last = kept.last().copied().or(of_arm.last().map(|(_, at)| *at));
            // Names stand at the right edge, beside the last value of their arm.
            ends.extend(last.map(|at| ((f64::from(across.end) - 4.0, at.1), ink, arms.get(arm).name.as_str())));
        }
        name_ends(sheet, &mut ends)
    })
}

/// Squares for the baseline, discs for the others: the shape tells them apart too.
fn mark(sheet: &Sheet<'_>, (x, y): Px, arm: Arm, ink: Ink, hollow: bool) -> anyhow::Result<()> {
    match (arm.is_baseline(), hollow) {
        (false, false) => sheet.dot((x, y), 8, ink),
        (false, true) => sheet.ring((x, y), 8, ink),
        (true, false) => sheet.rect((x - 3.5, y - 3.5), (x + 3.5, y + 3.5), ink),
        (true, true) => {
            sheet.rect((x - 4.0, y - 4.0), (x + 4.0, y + 4.0), ink)?;
            sheet.rect((x - 2.5, y - 2.5), (x + 2.5, y + 2.5), Ink::Paper)
        }
    }
}

fn seconds_axis(sheet: &Sheet<'_>, end: f64, at: impl Fn(f64) -> Px) -> anyhow::Result<()> {
    for tick in linear_ticks(0.0, end, 6) {
        let (x, y) = at(tick);
        sheet.line(&[(x, y), (x, y + 4.0)], Ink::Axis, 2)?;
        let label = if end > 6.0 { format!("{tick:.0}") } else { format!("{tick:.1}") };
        sheet.text((x, y + 15.0), &label, 12.0, Ink::Muted, Anchor::Middle, Weight::Normal)?;
    }
    Ok(())
}

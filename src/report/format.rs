//! Numbers as people read them: times with three significant digits, ratios as "11× faster", bytes, counts, shares.
//!
//! Rounding is the only arithmetic here. Everything is a pure function of its arguments, and logarithms come from `libm`, so that the
//! same record gives the same bytes on every machine.

use crate::judge::{Interval, Verdict};

/// What is printed where there is no value.
pub const NOTHING: &str = "–";

/// The unit of a time, chosen once a row so that before and after can be compared at a glance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TimeUnit {
    /// µs
    Microseconds,
    /// ms
    Milliseconds,
    /// s
    Seconds,
}

impl TimeUnit {
    /// The unit that suits all `values` (ns) best, judged by their geometric mean. Values without a meaning are left out.
    pub fn of(values: &[f64]) -> TimeUnit {
        let usable: Vec<f64> = values.iter().copied().filter(|value| value.is_finite() && *value > 0.0).collect();
        let mean_log = usable.iter().map(|value| libm::log10(*value)).sum::<f64>() / usable.len().max(1) as f64;
        match mean_log {
            log if log >= 9.0 => TimeUnit::Seconds,
            log if log >= 6.0 => TimeUnit::Milliseconds,
            _ => TimeUnit::Microseconds,
        }
    }

    /// Its sign.
    pub fn sign(self) -> &'static str {
        match self {
            TimeUnit::Microseconds => "µs",
            TimeUnit::Milliseconds => "ms",
            TimeUnit::Seconds => "s",
        }
    }

    /// `ns` in this unit with three significant digits.
    pub fn show(self, ns: f64) -> String {
        if !ns.is_finite() || ns < 0.0 {
            return NOTHING.to_owned();
        }
        let per_unit = match self {
            TimeUnit::Microseconds => 1e3,
            TimeUnit::Milliseconds => 1e6,
            TimeUnit::Seconds => 1e9,
        };
        format!("{} {}", significant(ns / per_unit), self.sign())
    }
}

/// `ns` in the unit that suits it.
pub fn duration(ns: f64) -> String {
    TimeUnit::of(&[ns]).show(ns)
}

/// `value` with three significant digits, thousands apart.
pub fn significant(value: f64) -> String {
    if !value.is_finite() {
        return NOTHING.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals_at = |value: f64| 2 - libm::floor(libm::log10(value.abs())) as i32;
    let rounded = round_to(value, decimals_at(value));
    // 9.996 rounds up to 10.0 and then has one decimal less to show.
    let decimals = decimals_at(rounded);
    if decimals > 0 { format!("{rounded:.*}", decimals.min(9) as usize) } else { grouped(&format!("{rounded:.0}")) }
}

fn round_to(value: f64, decimals: i32) -> f64 {
    let power = libm::pow(10.0, f64::from(decimals.abs()));
    if decimals >= 0 { libm::round(value * power) / power } else { libm::round(value / power) * power }
}

/// A count, thousands apart.
pub fn count(value: u64) -> String {
    grouped(&value.to_string())
}

fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let mut out = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A mean count: as [`significant`], but not finer than a hundredth, which no reader can do anything with.
pub fn mean_count(value: f64) -> String {
    if value > 0.0 && value < 0.01 { "< 0.01".to_owned() } else { significant(value) }
}

/// Bytes in binary units with three significant digits.
pub fn bytes(value: f64) -> String {
    if value > 0.0 && value < 0.01 {
        return "< 0.01 B".to_owned();
    }
    let mut scaled = value;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if scaled.abs() < 1024.0 {
            break;
        }
        scaled /= 1024.0;
        unit = next;
    }
    format!("{} {unit}", significant(scaled))
}

/// A share as percent: 0.05 is `5%`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if !percent.is_finite() {
        return NOTHING.to_owned();
    }
    let text = if percent.abs() < 10.0 { format!("{percent:.1}") } else { format!("{percent:.0}") };
    format!("{}%", text.strip_suffix(".0").unwrap_or(&text))
}

/// Which way a change goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// Less time.
    Faster,
    /// More time.
    Slower,
    /// Within the margin, or so close to 1 that it reads as 1.
    Same,
    /// Not known.
    Unknown,
}

/// A change in words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// Which way.
    pub direction: Direction,
    /// Such as `11× faster`, `same`.
    pub words: String,
    /// Such as `[9.8, 12.1]`, in the same direction as the words; empty if unknown.
    pub interval: String,
}

impl Change {
    /// Words and interval in one.
    pub fn text(&self) -> String {
        if self.interval.is_empty() { self.words.clone() } else { format!("{} {}", self.words, self.interval) }
    }
}

/// A ratio (after over before, as time) in words. An unchanged metric reads `same` with the interval of the ratio itself; the
/// others count in the direction of the estimate, so that a bound below 1 lies on the other side.
pub fn change(ratio: Option<&Interval>, verdict: Verdict) -> Change {
    let Some(ratio) = ratio.filter(|ratio| ratio.point.is_finite() && ratio.point > 0.0) else {
        return Change { direction: Direction::Unknown, words: NOTHING.to_owned(), interval: String::new() };
    };
    if verdict == Verdict::Unchanged {
        return Change { direction: Direction::Same, words: "same".to_owned(), interval: bounds(ratio, 2) };
    }
    let faster = ratio.point < 1.0;
    let shown = if faster { inverse(ratio) } else { *ratio };
    let decimals = decimals(&shown);
    let point = factor(shown.point, if shown.point >= 10.0 { 0 } else { decimals });
    let interval = bounds(&shown, decimals);
    if point.parse() == Ok(1.0) {
        return Change { direction: Direction::Same, words: format!("{point}×"), interval };
    }
    let (direction, word) = if faster { (Direction::Faster, "faster") } else { (Direction::Slower, "slower") };
    Change { direction, words: format!("{point}× {word}"), interval }
}

/// The same interval seen from the other side; 0 and infinity change places.
pub fn inverse(ratio: &Interval) -> Interval {
    let flip = |value: f64| if value > 0.0 { 1.0 / value } else { f64::INFINITY };
    Interval { point: flip(ratio.point), lower: flip(ratio.upper), upper: flip(ratio.lower) }
}

/// One decimal where it tells the three numbers apart, two where it does not or where 1 is near.
fn decimals(shown: &Interval) -> usize {
    let rough = |value: f64| format!("{value:.1}");
    let distinct = rough(shown.lower) != rough(shown.point) && rough(shown.point) != rough(shown.upper);
    if (distinct || shown.point >= 10.0) && (shown.lower >= 1.1 || shown.lower <= 0.0) { 1 } else { 2 }
}

/// A factor with `decimals`, fewer where it is large.
pub fn factor(value: f64, decimals: usize) -> String {
    match value {
        value if !value.is_finite() => "∞".to_owned(),
        value if value >= 99.95 => grouped(&format!("{value:.0}")),
        value if value >= 9.995 => format!("{value:.*}", decimals.min(1)),
        value => format!("{value:.decimals$}"),
    }
}

/// Both bounds, or the one there is: 0 and infinity are no bounds that a reader could use.
fn bounds(shown: &Interval, decimals: usize) -> String {
    let show = |value: f64| factor(value, decimals);
    match (shown.lower > 0.0, shown.upper.is_finite()) {
        (true, true) => format!("[{}, {}]", show(shown.lower), show(shown.upper)),
        (true, false) => format!("[≥ {}]", show(shown.lower)),
        (false, true) => format!("[≤ {}]", show(shown.upper)),
        (false, false) => "[no bounds]".to_owned(),
    }
}

/// What an interval that crosses 1 says, with both directions named: `1.01× slower [0.83, 1.13] is anything from 1.20× faster to 1.13×
/// slower`. `None` for an interval that does not cross, or has not both bounds.
pub fn crossing(ratio: Option<&Interval>, verdict: Verdict) -> Option<String> {
    let ratio = ratio.filter(|ratio| ratio.lower > 0.0 && ratio.upper.is_finite() && ratio.lower < 1.0 && ratio.upper > 1.0)?;
    let change = change(Some(ratio), verdict);
    let (near, far, words) = match change.direction {
        Direction::Faster => (ratio.upper, 1.0 / ratio.lower, ["slower", "faster"]),
        Direction::Slower => (1.0 / ratio.lower, ratio.upper, ["faster", "slower"]),
        Direction::Same | Direction::Unknown => return None,
    };
    let near = factor(near, 2);
    // A bound that reads as 1 has no direction that a reader could see.
    let from = if near.parse() == Ok(1.0) { "no change".to_owned() } else { format!("{near}× {}", words[0]) };
    Some(format!("{} is anything from {from} to {}× {}", change.text(), factor(far, 2), words[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(point: f64, lower: f64, upper: f64) -> Interval {
        Interval { point, lower, upper }
    }

    fn improved(ratio: Interval) -> String {
        change(Some(&ratio), Verdict::Improved).text()
    }

    #[test]
    fn three_significant_digits() {
        let cases = [(0.0, "0"), (1.0, "1.00"), (9.996, "10.0"), (12.34, "12.3"), (99.96, "100"), (999.6, "1,000")];
        for (value, text) in cases.into_iter().chain([(4_203.0, "4,200"), (0.01234, "0.0123"), (1_234_567.0, "1,230,000")]) {
            assert_eq!(significant(value), text, "{value}");
        }
        assert_eq!(significant(f64::NAN), NOTHING);
    }

    #[test]
    fn one_unit_a_row() {
        let unit = TimeUnit::of(&[4_200_000.0, 35_000.0]);
        assert_eq!((unit.show(4_200_000.0), unit.show(35_000.0)), ("4,200 µs".to_owned(), "35.0 µs".to_owned()));
        assert_eq!(duration(1_500_000_000.0), "1.50 s");
        assert_eq!(duration(999_999.0), "1,000 µs");
        assert_eq!(TimeUnit::of(&[f64::NAN, 0.0]).show(f64::NAN), NOTHING);
        assert_eq!(TimeUnit::of(&[f64::NAN, 3e6]), TimeUnit::Milliseconds);
    }

    #[test]
    fn ratios_read_as_faster_slower_same() {
        assert_eq!(improved(interval(1.0 / 11.0, 1.0 / 12.1, 1.0 / 9.8)), "11× faster [9.8, 12.1]");
        assert_eq!(change(Some(&interval(1.3, 1.2, 1.4)), Verdict::Regressed).text(), "1.3× slower [1.2, 1.4]");
        assert_eq!(change(Some(&interval(1.0, 0.98, 1.03)), Verdict::Unchanged).text(), "same [0.98, 1.03]");
        assert_eq!(change(Some(&interval(0.97, 0.96, 0.98)), Verdict::Unchanged).text(), "same [0.96, 0.98]");
        assert_eq!(change(Some(&interval(1.06, 1.02, 1.11)), Verdict::Regressed).text(), "1.06× slower [1.02, 1.11]");
        assert_eq!(change(Some(&interval(0.8, 0.6, 1.1)), Verdict::Inconclusive).text(), "1.25× faster [0.91, 1.67]");
        assert_eq!(change(Some(&interval(1.001, 0.7, 1.4)), Verdict::Inconclusive).text(), "1.00× [0.70, 1.40]");
        assert_eq!(improved(interval(1.0 / 1234.0, 1.0 / 1300.0, 1.0 / 99.0)), "1,234× faster [99.0, 1,300]");
        assert_eq!(change(None, Verdict::Inconclusive).text(), NOTHING);
    }

    #[test]
    fn open_ended_intervals_say_so() {
        assert_eq!(change(Some(&interval(1.5, 1.1, f64::INFINITY)), Verdict::Regressed).text(), "1.5× slower [≥ 1.1]");
        assert_eq!(improved(interval(0.5, 0.0, 0.8)), "2.0× faster [≥ 1.2]");
        assert_eq!(improved(interval(0.5, 0.0, f64::INFINITY)), "2.0× faster [no bounds]");
        assert_eq!(change(Some(&interval(1.3, 0.0, 1.5)), Verdict::Inconclusive).text(), "1.3× slower [≤ 1.5]");
    }

    #[test]
    fn a_crossing_interval_names_both_directions() {
        let read = |point, lower, upper| crossing(Some(&interval(point, lower, upper)), Verdict::Inconclusive);
        assert_eq!(read(1.01, 0.83, 1.13).as_deref(), Some("1.01× slower [0.83, 1.13] is anything from 1.20× faster to 1.13× slower"));
        assert_eq!(read(0.8, 0.6, 1.1).as_deref(), Some("1.25× faster [0.91, 1.67] is anything from 1.10× slower to 1.67× faster"));
        assert_eq!(read(0.8, 0.6, 1.002).as_deref(), Some("1.25× faster [1.00, 1.67] is anything from no change to 1.67× faster"));
        assert_eq!(read(1.2, 1.1, 1.3), None);
        assert_eq!(read(1.2, 0.0, 1.3), None);
    }

    #[test]
    fn shares_bytes_counts() {
        assert_eq!((percent(0.05), percent(0.123), percent(0.0012)), ("5%".into(), "12%".into(), "0.1%".into()));
        assert_eq!((bytes(512.0), bytes(1536.0), bytes(3.0 * 1024.0 * 1024.0)), ("512 B".into(), "1.50 KiB".into(), "3.00 MiB".into()));
        assert_eq!((count(0), count(999), count(1000), count(20_229)), ("0".into(), "999".into(), "1,000".into(), "20,229".into()));
    }
}

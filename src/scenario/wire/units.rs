//! Texts with a unit: durations and percentages.

use std::time::Duration;

use crate::diagnostic::Findings;
use crate::diagnostic::document::Node;

/// Upper bound of times in a scenario that a block could wait for.
pub const HOUR: Duration = Duration::from_secs(3600);
/// Upper bound of how far back a draw may look.
pub const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Units and their nanoseconds, longest names first so that `ms` is not read as `s`.
const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9), ("d", 86_400e9)];

/// A duration such as `20us`, `1.5ms`, `30d`; `None` if it is none.
pub fn duration(text: &str) -> Option<Duration> {
    let (unit, ns) = UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
    let number = text.strip_suffix(unit)?.trim_end();
    if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let ns = (number.parse::<f64>().ok()? * ns).round();
    // Beyond 2^63 ns (292 years) nothing is meant seriously.
    (ns.is_finite() && ns < 9.2e18).then(|| Duration::from_nanos(ns as u64))
}

/// The duration of a value, at most `most`, or a finding.
pub fn duration_of(node: &Node, f: &mut Findings, example: &str, most: Duration) -> Option<Duration> {
    let most_text = match most.as_secs() {
        seconds if seconds >= 86_400 => format!("{}d", seconds / 86_400),
        seconds => format!("{seconds}s"),
    };
    let allowed = format!("a number with a unit (us, ms, s, m, h, d), such as {example:?}, at most {most_text}");
    let found = duration(node.text(f, &allowed)?).filter(|found| *found <= most);
    if found.is_none() {
        node.not_allowed(f, &allowed);
    }
    found
}

/// The percentage of a value as a fraction, or a finding.
pub fn percent_of(node: &Node, f: &mut Findings) -> Option<f64> {
    const ALLOWED: &str = "a percentage as text, such as \"5%\", from 0.1% to 100%";
    let text = node.text(f, ALLOWED)?;
    let number = text.strip_suffix('%').and_then(|number| number.trim_end().parse::<f64>().ok());
    let found = number.map(|number| number / 100.0).filter(|fraction| (0.001..=1.0).contains(fraction));
    if found.is_none() {
        node.not_allowed(f, ALLOWED);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("20us"), Some(Duration::from_micros(20)));
        assert_eq!(duration("20 µs"), Some(Duration::from_micros(20)));
        assert_eq!(duration("1.5ms"), Some(Duration::from_micros(1500)));
        assert_eq!(duration("0ms"), Some(Duration::ZERO));
        assert_eq!(duration("30d"), Some(Duration::from_secs(30 * 86_400)));
        for bad in ["", "ms", "5", "-1s", "1e9s", "1.2.3s", "5 weeks", "99999999999999d", "inf s"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}

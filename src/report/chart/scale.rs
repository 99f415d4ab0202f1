//! Ticks: which values an axis names.

/// At most `most` round values between `low` and `high` on a logarithmic axis, in order.
pub fn log_ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    if !(low > 0.0 && high > low && high.is_finite()) {
        return Vec::new();
    }
    let steps: [&[f64]; 5] = [
        &[1.0],
        &[1.0, 3.0],
        &[1.0, 2.0, 5.0],
        &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
        &[1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0],
    ];
    let (first, last) = (libm::floor(libm::log10(low)) as i32, libm::floor(libm::log10(high)) as i32);
    let candidates = |steps: &[f64]| -> Vec<f64> {
        let decades = first..=last;
        let all = decades.flat_map(|decade| steps.iter().map(move |step| step * libm::pow(10.0, f64::from(decade))));
        all.filter(|value| *value >= low * 0.999_999 && *value <= high * 1.000_001).collect()
    };
    let best = steps.iter().map(|steps| candidates(steps)).take_while(|ticks| ticks.len() <= most).last().unwrap_or_default();
    if best.len() >= 2 {
        return best;
    }
    let linear = linear_ticks(low, high, most);
    if linear.len() > best.len() { linear } else { best }
}

/// At most about `most` round values between `low` and `high`, evenly apart.
pub fn linear_ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    if !(low.is_finite() && high.is_finite() && high > low) || most == 0 {
        return Vec::new();
    }
    let rough = (high - low) / most as f64;
    let power = libm::pow(10.0, libm::floor(libm::log10(rough)));
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= rough).unwrap_or(10.0 * power);
    let first = libm::ceil(low / step - 1e-9) as i64;
    let last = libm::floor(high / step + 1e-9) as i64;
    (first..=last.min(first.saturating_add(100))).map(|index| index as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(log_ticks(90.0, 12_000.0, 6), vec![100.0, 300.0, 1_000.0, 3_000.0, 10_000.0]);
        assert_eq!(linear_ticks(0.0, 61.0, 6), vec![0.0, 20.0, 40.0, 60.0]);
        assert!((2..=6).contains(&log_ticks(1_000.0, 1_090.0, 6).len()));
        assert!(log_ticks(0.0, 5.0, 6).is_empty() && linear_ticks(1.0, f64::INFINITY, 5).is_empty());
    }
}

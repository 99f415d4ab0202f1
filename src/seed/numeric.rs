//! PostgreSQL's numeric in its binary form: digits to the base of 10,000 (`numeric_recv` in PostgreSQL's numeric.c).

use crate::dataset::Value;

const NEGATIVE: u16 = 0x4000;
const NOT_A_NUMBER: u16 = 0xC000;

/// Appends a number; `None` if the value is none.
pub(super) fn encode(value: &Value, out: &mut Vec<u8>) -> Option<()> {
    let text = match value {
        Value::Float(x) if !x.is_finite() => {
            header(out, 0, 0, NOT_A_NUMBER, 0);
            return x.is_nan().then_some(());
        }
        // Rust writes the shortest decimal that gives the number back, without an exponent.
        Value::Float(_) | Value::Int(_) | Value::Decimal(..) => value.to_json(),
        _ => return None,
    };
    let (sign, text) = text.strip_prefix('-').map_or((0, &*text), |rest| (NEGATIVE, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let scale = u16::try_from(fraction.len()).ok()?;
    let groups = groups(whole, fraction);
    let whole_groups = whole.len().div_ceil(4) as i32;
    let first = groups.iter().position(|g| *g != 0).unwrap_or(groups.len());
    let last = groups.iter().rposition(|g| *g != 0).map_or(first, |i| i + 1);
    let digits = groups.get(first..last)?;
    let weight = if digits.is_empty() { 0 } else { whole_groups - 1 - first as i32 };
    let sign = if digits.is_empty() { 0 } else { sign };
    header(out, u16::try_from(digits.len()).ok()?, i16::try_from(weight).ok()?, sign, scale);
    digits.iter().for_each(|d| out.extend_from_slice(&d.to_be_bytes()));
    Some(())
}

fn header(out: &mut Vec<u8>, digits: u16, weight: i16, sign: u16, scale: u16) {
    out.extend_from_slice(&digits.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
}

/// Decimal digits in groups of four, aligned at the point.
fn groups(whole: &str, fraction: &str) -> Vec<u16> {
    let width = whole.len().div_ceil(4) * 4;
    let tail = fraction.len().div_ceil(4) * 4;
    let padded = format!("{whole:0>width$}{fraction:0<tail$}");
    let digit = |b: &u8| u16::from(b.wrapping_sub(b'0')).min(9);
    padded.as_bytes().chunks(4).map(|group| group.iter().fold(0, |n, b| n * 10 + digit(b))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(value: Value) -> Vec<u16> {
        let mut out = Vec::new();
        encode(&value, &mut out).unwrap();
        out.chunks(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect()
    }

    #[test]
    fn numbers_are_grouped_at_the_point() {
        // digits, weight, sign, scale, groups
        assert_eq!(bytes(Value::Decimal(12_345_678, 6)), [3, 0, 0, 6, 12, 3456, 7800]);
        assert_eq!(bytes(Value::Int(1_000_000)), [1, 1, 0, 0, 100]);
        assert_eq!(bytes(Value::Decimal(-5, 6)), [1, 0xfffe, NEGATIVE, 6, 500]);
        assert_eq!(bytes(Value::Decimal(0, 2)), [0, 0, 0, 2]);
        assert_eq!(bytes(Value::Float(0.5)), [1, 0xffff, 0, 1, 5000]);
    }
}

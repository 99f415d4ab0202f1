//! Values of variables and expressions, with pgbench's rules of what turns into what.

use std::fmt;

/// What a variable holds, or an expression gives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// 64 bits, signed.
    Integer(i64),
    /// IEEE 754 double precision.
    Double(f64),
}

/// Why an expression has no value. It ends the client's transaction, and with it the client.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct EvalError(pub String);

impl EvalError {
    /// With this message.
    pub fn new(message: impl Into<String>) -> EvalError {
        EvalError(message.into())
    }

    /// That a variable of this name has no value.
    pub fn undefined(name: &str) -> EvalError {
        EvalError(format!("undefined variable \"{name}\""))
    }
}

impl Value {
    /// What a text stands for, as given by `-D`, by the command line, or by the server: `null`, a truth value or a beginning of one, an
    /// integer, a double. `None` for anything else: such a variable can be sent in a statement, but not reckoned with.
    pub fn read(text: &str) -> Option<Value> {
        if text.eq_ignore_ascii_case("null") {
            return Some(Value::Null);
        }
        // `o` could be on or off, so both need two letters.
        let begins = |word: &str| !text.is_empty() && word.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text));
        if begins("true") || begins("yes") || text.eq_ignore_ascii_case("on") {
            return Some(Value::Boolean(true));
        }
        if begins("false") || begins("no") || text.len() > 1 && begins("off") {
            return Some(Value::Boolean(false));
        }
        let digits = text.trim_start().strip_prefix(['-', '+']).unwrap_or(text.trim_start());
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.trim_start().parse().ok().map(Value::Integer);
        }
        // Rust reads words such as `infinity` as doubles; so does C.
        text.trim_start().parse().ok().map(Value::Double)
    }

    /// As an integer; a double is rounded to the nearest even one.
    pub fn integer(self) -> Result<i64, EvalError> {
        match self {
            Value::Integer(value) => Ok(value),
            Value::Double(value) => {
                let rounded = value.round_ties_even();
                // 2^63 as a double; the largest i64 has no double of its own.
                let limit = 9_223_372_036_854_775_808.0;
                match rounded >= -limit && rounded < limit {
                    true => Ok(rounded as i64),
                    false => Err(EvalError::new(format!("double to int overflow for {value}"))),
                }
            }
            other => Err(EvalError::new(format!("cannot coerce {} to int", other.type_name()))),
        }
    }

    /// As a double.
    pub fn double(self) -> Result<f64, EvalError> {
        match self {
            Value::Double(value) => Ok(value),
            Value::Integer(value) => Ok(value as f64),
            other => Err(EvalError::new(format!("cannot coerce {} to double", other.type_name()))),
        }
    }

    /// As a truth value, where only one is allowed: in AND, OR, NOT.
    pub fn boolean(self) -> Result<bool, EvalError> {
        match self {
            Value::Boolean(value) => Ok(value),
            other => Err(EvalError::new(format!("cannot coerce {} to boolean", other.type_name()))),
        }
    }

    /// Whether it counts as true in `\if`, `\elif` and CASE: numbers do unless they are 0, null does not.
    pub fn is_true(self) -> bool {
        match self {
            Value::Null => false,
            Value::Boolean(value) => value,
            Value::Integer(value) => value != 0,
            Value::Double(value) => value != 0.0,
        }
    }

    /// Whether it is a double.
    pub fn is_double(self) -> bool {
        matches!(self, Value::Double(_))
    }

    fn type_name(self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Boolean(_) => "boolean",
            Value::Integer(_) => "int",
            Value::Double(_) => "double",
        }
    }
}

/// As it goes into a statement: integers in full, doubles with 15 significant digits (C's `%.15g`).
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("NULL"),
            Value::Boolean(true) => f.write_str("true"),
            Value::Boolean(false) => f.write_str("false"),
            Value::Integer(value) => write!(f, "{value}"),
            Value::Double(value) => f.write_str(&general(*value, 15)),
        }
    }
}

/// C's `%.*g` as PostgreSQL has it: the shorter of fixed and scientific notation with so many significant digits, without trailing zeros.
fn general(value: f64, digits: i32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let scientific = format!("{value:.*e}", (digits - 1) as usize);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    match exponent < -4 || exponent >= digits {
        true => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
        }
        false => trimmed(&format!("{value:.*}", (digits - 1 - exponent).max(0) as usize)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_pgbench_reads_them() {
        let cases = [
            ("null", Some(Value::Null)),
            ("NULL", Some(Value::Null)),
            ("t", Some(Value::Boolean(true))),
            ("Yes", Some(Value::Boolean(true))),
            ("on", Some(Value::Boolean(true))),
            ("o", None),
            ("of", Some(Value::Boolean(false))),
            ("n", Some(Value::Boolean(false))),
            ("-12", Some(Value::Integer(-12))),
            (" 7", Some(Value::Integer(7))),
            ("9223372036854775808", None),
            ("1.5e3", Some(Value::Double(1500.0))),
            ("", None),
            ("blue", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(Value::read(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn doubles_are_rounded_to_even_and_refused_outside_of_64_bits() {
        assert_eq!(Value::Double(2.5).integer(), Ok(2));
        assert_eq!(Value::Double(3.5).integer(), Ok(4));
        assert_eq!(Value::Double(-9_223_372_036_854_775_808.0).integer(), Ok(i64::MIN));
        for outside in [9_223_372_036_854_775_808.0, -1e19, f64::NAN, f64::INFINITY] {
            assert!(Value::Double(outside).integer().is_err(), "{outside}");
        }
        assert!(Value::Boolean(true).integer().is_err());
    }

    #[test]
    fn doubles_print_as_c_prints_them() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.333333333333333"),
            (1e15, "1e+15"),
            (123456789012345.0, "123456789012345"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (-2.5e300, "-2.5e+300"),
        ];
        for (value, wanted) in cases {
            assert_eq!(Value::Double(value).to_string(), wanted);
        }
    }
}

//! Rows as JSON objects, the form in which PostgREST hands bulk inserts to PostgreSQL.

use std::fmt::Write;

use crate::dataset::Value;

/// One row as a JSON object. Columns whose value is NULL are written as null.
pub fn object(columns: &[&str], values: &[Value]) -> String {
    let mut out = String::from("{");
    for (index, (column, value)) in columns.iter().zip(values).enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(&mut out, column);
        out.push(':');
        write_value(&mut out, value);
    }
    out.push('}');
    out
}

/// Objects as one JSON array.
pub fn array(objects: &[String]) -> String {
    format!("[{}]", objects.join(","))
}

fn write_value(out: &mut String, value: &Value) {
    // Writing to a string cannot fail.
    let _ = match value {
        Value::Null => write!(out, "null"),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Int(value) => write!(out, "{value}"),
        Value::Float(value) if value.is_finite() => write!(out, "{value}"),
        Value::Float(_) => write!(out, "null"),
        Value::Decimal(unscaled, digits) => write!(out, "{}", decimal(*unscaled, *digits)),
        Value::Text(text) => return string(out, text),
        Value::Uuid(bytes) => write!(out, "\"{}\"", uuid::Uuid::from_bytes(*bytes)),
        Value::Timestamp(micros) => write!(out, "\"{}\"", timestamp(*micros)),
        Value::Json(text) => write!(out, "{text}"),
        Value::Vector(vector) => {
            out.push_str("\"[");
            for (index, number) in vector.iter().enumerate() {
                let _ = write!(out, "{}{number}", if index > 0 { "," } else { "" });
            }
            write!(out, "]\"")
        }
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, value);
            }
            write!(out, "]")
        }
    };
}

/// An unscaled number with its point, such as `-0.05`.
pub fn decimal(unscaled: i64, digits: u8) -> String {
    if digits == 0 {
        return unscaled.to_string();
    }
    let width = usize::from(digits) + 1;
    let text = format!("{:0width$}", unscaled.unsigned_abs());
    let (whole, fraction) = text.split_at(text.len() - usize::from(digits));
    format!("{}{whole}.{fraction}", if unscaled < 0 { "-" } else { "" })
}

/// ISO 8601 in UTC with microseconds.
pub fn timestamp(micros: i64) -> String {
    match chrono::DateTime::from_timestamp_micros(micros) {
        Some(at) => at.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string(),
        None => "infinity".to_owned(),
    }
}

fn string(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// The text form of a value, as PostgreSQL reads it; `None` is null.
pub fn text(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Decimal(unscaled, digits) => decimal(*unscaled, *digits),
        Value::Text(text) | Value::Json(text) => text.to_string(),
        Value::Uuid(bytes) => uuid::Uuid::from_bytes(*bytes).to_string(),
        Value::Timestamp(micros) => timestamp(*micros),
        Value::Vector(vector) => format!("[{}]", vector.iter().map(f32::to_string).collect::<Vec<_>>().join(",")),
        Value::Array(values) => {
            let quoted = |value: &Value| match text(value) {
                Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
                None => "NULL".to_owned(),
            };
            format!("{{{}}}", values.iter().map(quoted).collect::<Vec<_>>().join(","))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_becomes_valid_json() {
        let columns = ["id", "n", "text", "at", "v", "meta", "cost"];
        let values = [
            Value::Uuid([7; 16]),
            Value::Null,
            Value::Text("a \"quoted\"\nline".into()),
            Value::Timestamp(0),
            Value::Vector(vec![0.5, -1.0].into()),
            Value::Json("{\"a\":[1]}".into()),
            Value::Decimal(-5, 2),
        ];
        let parsed: serde_json::Value = serde_json::from_str(&object(&columns, &values)).unwrap();
        assert_eq!(parsed["id"], "07070707-0707-0707-0707-070707070707");
        assert_eq!(parsed["n"], serde_json::Value::Null);
        assert_eq!(parsed["text"], "a \"quoted\"\nline");
        assert_eq!(parsed["at"], "1970-01-01T00:00:00.000000+00:00");
        assert_eq!(parsed["v"], "[0.5,-1]");
        assert_eq!(parsed["meta"]["a"][0], 1);
        assert_eq!(parsed["cost"], -0.05);
    }

    #[test]
    fn decimals_keep_their_digits() {
        assert_eq!(decimal(1234567, 6), "1.234567");
        assert_eq!(decimal(5, 0), "5");
        assert_eq!(decimal(i64::MIN, 2), "-92233720368547758.08");
    }
}

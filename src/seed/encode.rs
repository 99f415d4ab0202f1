//! Rows in the binary format of COPY ("Binary Format" in PostgreSQL's reference of COPY; each type's receive function has its own).

use crate::dataset::Value;

use super::catalogue::{TableShape, Type};
use super::numeric;

/// Signature, no flags, no extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// End of data.
pub(super) const TRAILER: &[u8] = &[0xff, 0xff];

/// 2000-01-01 in microseconds since 1970-01-01, where PostgreSQL's time begins.
const EPOCH_2000_US: i64 = 946_684_800_000_000;

/// A value that its column cannot hold.
#[derive(Debug, thiserror::Error)]
#[error("{table}.{column} is of type {type_name}, but the dataset makes {made} for it: change the column's generator or its type")]
pub struct EncodeError {
    /// Table.
    pub table: String,
    /// Column.
    pub column: String,
    /// The column's type, as SQL says it.
    pub type_name: String,
    /// What is generated.
    pub made: String,
}

/// Appends a row.
pub(super) fn row(shape: &TableShape, values: &[Value], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    // A table has at most 1600 columns.
    out.extend_from_slice(&(shape.columns.len() as u16).to_be_bytes());
    for (number, column) in shape.columns.iter().enumerate() {
        let value = values.get(number).unwrap_or(&Value::Null);
        field(&column.type_, value, out).ok_or_else(|| EncodeError {
            table: shape.name.clone(),
            column: column.name.clone(),
            type_name: column.type_name.clone(),
            made: described(value),
        })?;
    }
    Ok(())
}

/// Appends length and bytes of a value; `None` if the type cannot hold it.
fn field(type_: &Type, value: &Value, out: &mut Vec<u8>) -> Option<()> {
    if *value == Value::Null {
        out.extend_from_slice(&(-1i32).to_be_bytes());
        return Some(());
    }
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    content(type_, value, out)?;
    let length = i32::try_from(out.len() - at - 4).ok()?;
    out.get_mut(at..at + 4)?.copy_from_slice(&length.to_be_bytes());
    Some(())
}

fn content(type_: &Type, value: &Value, out: &mut Vec<u8>) -> Option<()> {
    match (type_, value) {
        (Type::Bool, Value::Bool(b)) => out.push(u8::from(*b)),
        (Type::Int2, Value::Int(n)) => out.extend_from_slice(&i16::try_from(*n).ok()?.to_be_bytes()),
        (Type::Int4, Value::Int(n)) => out.extend_from_slice(&i32::try_from(*n).ok()?.to_be_bytes()),
        (Type::Int8, Value::Int(n)) => out.extend_from_slice(&n.to_be_bytes()),
        (Type::Float4, _) => out.extend_from_slice(&(float(value)? as f32).to_be_bytes()),
        (Type::Float8, _) => out.extend_from_slice(&float(value)?.to_be_bytes()),
        (Type::Numeric, _) => numeric::encode(value, out)?,
        (Type::Text | Type::Json, Value::Text(text) | Value::Json(text)) => out.extend_from_slice(text.as_bytes()),
        (Type::Jsonb, Value::Text(text) | Value::Json(text)) => {
            out.push(1);
            out.extend_from_slice(text.as_bytes());
        }
        (Type::Uuid, Value::Uuid(bytes)) => out.extend_from_slice(bytes),
        (Type::Timestamp, Value::Timestamp(us)) => out.extend_from_slice(&us.checked_sub(EPOCH_2000_US)?.to_be_bytes()),
        (Type::Vector, Value::Vector(xs)) => {
            out.extend_from_slice(&i16::try_from(xs.len()).ok()?.to_be_bytes());
            out.extend_from_slice(&[0; 2]);
            xs.iter().for_each(|x| out.extend_from_slice(&x.to_be_bytes()));
        }
        (Type::Array(of, oid), Value::Array(items)) => array(of, *oid, items, out)?,
        _ => return None,
    }
    Some(())
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(x) => Some(*x),
        Value::Int(n) => Some(*n as f64),
        Value::Decimal(..) => value.to_json().parse().ok(),
        _ => None,
    }
}

/// One dimension from 1; an empty array has none.
fn array(of: &Type, oid: u32, items: &[Value], out: &mut Vec<u8>) -> Option<()> {
    let nulls = i32::from(items.contains(&Value::Null));
    let dimensions = i32::from(!items.is_empty());
    out.extend_from_slice(&dimensions.to_be_bytes());
    out.extend_from_slice(&nulls.to_be_bytes());
    out.extend_from_slice(&oid.to_be_bytes());
    if !items.is_empty() {
        out.extend_from_slice(&i32::try_from(items.len()).ok()?.to_be_bytes());
        out.extend_from_slice(&1i32.to_be_bytes());
    }
    items.iter().try_for_each(|item| field(of, item, out))
}

fn described(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(b) => format!("the boolean {b}"),
        Value::Int(n) => format!("the whole number {n}"),
        Value::Float(x) => format!("the number {x}"),
        Value::Decimal(..) => format!("the number {}", value.to_json()),
        Value::Text(text) => format!("the text \"{}\"", text.chars().take(40).collect::<String>()),
        Value::Uuid(_) => "a uuid".to_owned(),
        Value::Timestamp(_) => "a point in time".to_owned(),
        Value::Json(_) => "a JSON document".to_owned(),
        Value::Vector(xs) => format!("a vector of {} dimensions", xs.len()),
        Value::Array(items) => format!("an array of {} elements", items.len()),
    }
}

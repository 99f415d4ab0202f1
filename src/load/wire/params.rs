//! Parameters of a prepared statement, encoded into one reused buffer.
//!
//! Values go in binary where the type is known, so that the server parses nothing. Text serves numbers with a fraction bound to
//! `numeric`, `halfvec`, and types unknown here (enums, inet, ...).

use std::fmt::{self, Write};

use bytes::{BufMut, BytesMut};

use super::error::WireError;
use super::types::{ParamType, Scalar};
use crate::dataset::Value;

/// PostgreSQL counts from 2000-01-01, the dataset from 1970-01-01.
const EPOCH_OFFSET_US: i64 = 946_684_800_000_000;
const DAY_US: i64 = 86_400_000_000;
/// More than this cannot be sent in one message, in bytes.
const LIMIT_BYTES: usize = (1 << 30) - (1 << 16);
const DATE_DAYS_MIN: i64 = -2_451_545;

/// A value does not fit the parameter it is bound to.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("parameter ${parameter} is of type {wanted}: {problem}")]
pub struct BindError {
    /// Number of the parameter, from 1.
    pub parameter: usize,
    /// Its type.
    pub wanted: String,
    /// What does not fit.
    pub problem: String,
}

/// Why one value cannot be encoded; allocated for failures only.
enum Misfit {
    Kind(&'static str),
    Range(i64),
    Other(&'static str),
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misfit::Kind(kind) => write!(f, "a value of kind {kind} cannot be bound to it"),
            Misfit::Range(value) => write!(f, "{value} is out of its range"),
            Misfit::Other(problem) => f.write_str(problem),
        }
    }
}

/// The parameters of one execution, in order. Reuse one with [`Params::clear`]: in the steady state nothing is allocated.
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// Format codes, two bytes each: 0 text, 1 binary.
    formats: BytesMut,
    /// Length and bytes of each value.
    values: BytesMut,
    count: usize,
}

impl Params {
    /// No parameters.
    pub fn new() -> Params {
        Params::default()
    }

    /// Forgets the values and keeps the memory.
    pub fn clear(&mut self) {
        self.formats.clear();
        self.values.clear();
        self.count = 0;
    }

    /// Number of parameters so far.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends `value` as the next parameter, which is of type `wanted`. After an error the parameters are as they were before.
    pub fn bind(&mut self, value: &Value, wanted: ParamType) -> Result<(), BindError> {
        let before = self.values.len();
        self.values.put_i32(-1);
        let encoded = match value {
            Value::Null => Ok(Format::Binary),
            value => encode(value, wanted, &mut self.values),
        };
        match encoded {
            Ok(format) => {
                if !matches!(value, Value::Null) {
                    self.patch_length(before);
                }
                self.finish(format);
                Ok(())
            }
            Err(misfit) => {
                self.values.truncate(before);
                Err(BindError { parameter: self.count + 1, wanted: wanted.to_string(), problem: misfit.to_string() })
            }
        }
    }

    /// Appends a parameter of any type in its text form; the server parses it.
    pub fn bind_text(&mut self, text: &str) {
        let before = self.values.len();
        self.values.put_i32(-1);
        self.values.put_slice(text.as_bytes());
        self.patch_length(before);
        self.finish(Format::Text);
    }

    /// The same for a number.
    pub fn bind_integer(&mut self, number: i64) {
        self.bind_text(itoa::Buffer::new().format(number));
    }

    /// Appends NULL.
    pub fn bind_null(&mut self) {
        self.values.put_i32(-1);
        self.finish(Format::Text);
    }

    /// Sets the length of the value that starts at `at`. One beyond 2 GiB saturates, and is refused by [`Params::write`].
    fn patch_length(&mut self, at: usize) {
        let length = i32::try_from(self.values.len() - at - 4).unwrap_or(i32::MAX);
        if let Some(field) = self.values.get_mut(at..at + 4) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }

    fn finish(&mut self, format: Format) {
        self.formats.put_i16(format as i16);
        self.count += 1;
    }

    /// Writes format codes, count and values as a Bind message has them.
    pub(super) fn write(&self, out: &mut BytesMut) -> Result<(), WireError> {
        let count = u16::try_from(self.count)
            .map_err(|_| WireError::Invalid(format!("{} parameters are more than the 65,535 that PostgreSQL takes", self.count)))?;
        if self.values.len() > LIMIT_BYTES {
            return Err(WireError::Invalid(format!(
                "{} bytes of parameters are more than the 1 GiB that PostgreSQL takes",
                self.values.len()
            )));
        }
        out.put_u16(count);
        out.put_slice(&self.formats);
        out.put_u16(count);
        out.put_slice(&self.values);
        Ok(())
    }
}

/// Text or binary, by the protocol's codes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(i16)]
pub enum Format {
    /// As psql shows it.
    #[default]
    Text = 0,
    /// As the type's send and receive functions have it.
    Binary = 1,
}

fn encode(value: &Value, wanted: ParamType, out: &mut BytesMut) -> Result<Format, Misfit> {
    match (wanted, value) {
        (ParamType::Array { element, element_oid }, Value::Array(items)) => array(items, element, element_oid, out),
        (ParamType::Array { .. }, other) => Err(Misfit::Kind(kind(other))),
        (ParamType::Other(_), Value::Text(text)) => {
            out.put_slice(text.as_bytes());
            Ok(Format::Text)
        }
        (ParamType::Other(_), _) => Err(Misfit::Other("only text and NULL can be bound to a type that pgduel does not know")),
        (ParamType::Scalar(Scalar::HalfVector), Value::Vector(values)) => {
            let mut separator = '[';
            for value in values.iter() {
                text(out, format_args!("{separator}{value}"))?;
                separator = ',';
            }
            text(out, format_args!("{}", if values.is_empty() { "[]" } else { "]" }))?;
            Ok(Format::Text)
        }
        (ParamType::Scalar(Scalar::Numeric), Value::Float(number)) => text(out, format_args!("{number}")).map(|()| Format::Text),
        (ParamType::Scalar(wanted), value) => scalar(value, wanted, out).map(|()| Format::Binary),
    }
}

/// One value in binary.
fn scalar(value: &Value, wanted: Scalar, out: &mut BytesMut) -> Result<(), Misfit> {
    match (wanted, value) {
        (Scalar::Bool, Value::Bool(flag)) => out.put_u8(u8::from(*flag)),
        (Scalar::Int2, Value::Int(number)) => out.put_i16(narrow(*number)?),
        (Scalar::Int4, Value::Int(number)) => out.put_i32(narrow(*number)?),
        (Scalar::Int8, Value::Int(number)) => out.put_i64(*number),
        (Scalar::Oid, Value::Int(number)) => out.put_u32(narrow(*number)?),
        (Scalar::Float4, Value::Float(number)) => out.put_f32(*number as f32),
        (Scalar::Float4, Value::Int(number)) => out.put_f32(*number as f32),
        (Scalar::Float8, Value::Float(number)) => out.put_f64(*number),
        (Scalar::Float8, Value::Int(number)) => out.put_f64(*number as f64),
        (Scalar::Numeric, Value::Int(number)) => numeric(*number, 0, out),
        (Scalar::Numeric, Value::Decimal(unscaled, digits)) => numeric(*unscaled, *digits, out),
        (Scalar::Text | Scalar::Json, Value::Text(text) | Value::Json(text)) => return string(text, out),
        (Scalar::Jsonb, Value::Text(text) | Value::Json(text)) => {
            out.put_u8(1); // version of the format
            return string(text, out);
        }
        (Scalar::Uuid, Value::Uuid(bytes)) => out.put_slice(bytes),
        // Identity preambles put ids into settings, which are text.
        (Scalar::Text, Value::Uuid(bytes)) => return text(out, format_args!("{}", uuid::Uuid::from_bytes(*bytes))),
        (Scalar::Timestamp, Value::Timestamp(us)) => {
            out.put_i64(us.checked_sub(EPOCH_OFFSET_US).ok_or(Misfit::Range(*us))?);
        }
        (Scalar::Date, Value::Timestamp(us)) => {
            let days = us.checked_sub(EPOCH_OFFSET_US).ok_or(Misfit::Range(*us))?.div_euclid(DAY_US);
            out.put_i32(if days < DATE_DAYS_MIN { return Err(Misfit::Range(*us)) } else { narrow(days)? });
        }
        (Scalar::Vector, Value::Vector(values)) => {
            out.put_u16(u16::try_from(values.len()).map_err(|_| Misfit::Other("the vector has more than 65,535 dimensions"))?);
            out.put_u16(0);
            for value in values.iter() {
                out.put_f32(*value);
            }
        }
        (Scalar::HalfVector, Value::Vector(_)) => return Err(Misfit::Other("arrays of halfvec cannot be bound")),
        (Scalar::Numeric, Value::Float(_)) => return Err(Misfit::Other("in an array of numeric, use decimal values instead of floats")),
        (_, other) => return Err(Misfit::Kind(kind(other))),
    }
    Ok(())
}

fn array(items: &[Value], element: Scalar, element_oid: u32, out: &mut BytesMut) -> Result<Format, Misfit> {
    let length = i32::try_from(items.len()).map_err(|_| Misfit::Other("the array has too many elements"))?;
    let nulls = items.iter().any(|item| matches!(item, Value::Null));
    out.put_i32(if items.is_empty() { 0 } else { 1 }); // dimensions
    out.put_i32(i32::from(nulls));
    out.put_u32(element_oid);
    if !items.is_empty() {
        out.put_i32(length);
        out.put_i32(1); // lower bound
    }
    for item in items {
        let at = out.len();
        out.put_i32(-1);
        if matches!(item, Value::Null) {
            continue;
        }
        scalar(item, element, out)?;
        let length = i32::try_from(out.len() - at - 4).map_err(|_| Misfit::Other("an element is larger than 1 GiB"))?;
        if let Some(field) = out.get_mut(at..at + 4) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(Format::Binary)
}

fn narrow<T: TryFrom<i64>>(number: i64) -> Result<T, Misfit> {
    T::try_from(number).map_err(|_| Misfit::Range(number))
}

fn string(text: &str, out: &mut BytesMut) -> Result<(), Misfit> {
    out.put_slice(text.as_bytes());
    Ok(())
}

fn text(out: &mut BytesMut, text: fmt::Arguments<'_>) -> Result<(), Misfit> {
    out.write_fmt(text).map_err(|_| Misfit::Other("it has no room"))
}

/// `unscaled` / 10^`scale` as numeric's base-10,000 digits.
fn numeric(unscaled: i64, scale: u8, out: &mut BytesMut) {
    const NEGATIVE: u16 = 0x4000;
    let scale = u32::from(scale);
    // Fill up to whole groups of four digits after the point; 19 digits of i64 and 3 more fit u128 with ease.
    let fraction_groups = scale.div_ceil(4);
    let mut rest = u128::from(unscaled.unsigned_abs()) * 10_u128.pow(fraction_groups * 4 - scale);
    let mut groups = [0_u16; 8];
    let mut count = 0;
    for group in &mut groups {
        if rest == 0 {
            break;
        }
        *group = u16::try_from(rest % 10_000).unwrap_or(0);
        rest /= 10_000;
        count += 1;
    }
    let weight = count - i16::try_from(fraction_groups).unwrap_or(i16::MAX) - 1;
    out.put_i16(count);
    out.put_i16(if count == 0 { 0 } else { weight });
    out.put_u16(if unscaled < 0 { NEGATIVE } else { 0 });
    out.put_u16(u16::try_from(scale).unwrap_or(u16::MAX));
    for group in groups.iter().take(usize::try_from(count).unwrap_or(0)).rev() {
        out.put_u16(*group);
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float",
        Value::Decimal(..) => "decimal",
        Value::Text(_) => "text",
        Value::Uuid(_) => "uuid",
        Value::Timestamp(_) => "timestamp",
        Value::Json(_) => "json",
        Value::Vector(_) => "vector",
        Value::Array(_) => "array",
    }
}

//! Typed access to parsed TOML that keeps every value's place, so that each mistake is told with file, line, key and what is allowed.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{DatasetError, Source};
use crate::diagnostic::document::DEEPEST;

type Result<T> = std::result::Result<T, DatasetError>;

/// A value with its key and place.
#[derive(Clone)]
pub(super) struct Node<'a> {
    pub source: &'a Source,
    pub key: String,
    span: Range<usize>,
    value: &'a DeValue<'a>,
    /// Tables and arrays around it.
    depth: usize,
}

/// The entries of a table, in file order.
pub(super) struct Fields<'a> {
    pub source: &'a Source,
    pub key: String,
    span: Range<usize>,
    entries: Vec<(&'a str, Range<usize>, Node<'a>)>,
}

/// The file's top level.
pub(super) fn top<'a>(source: &'a Source, table: &'a Spanned<DeTable<'a>>) -> Fields<'a> {
    fields(source, String::new(), 0..0, table.get_ref(), 1)
}

fn fields<'a>(source: &'a Source, key: String, span: Range<usize>, table: &'a DeTable<'a>, depth: usize) -> Fields<'a> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(name, value)| {
            let key = if key.is_empty() { name.get_ref().to_string() } else { format!("{key}.{}", name.get_ref()) };
            let node = Node { source, key, span: value.span(), value: value.get_ref(), depth };
            (&**name.get_ref(), name.span(), node)
        })
        .collect();
    // The map is sorted by key; people number columns by where they stand in the file.
    entries.sort_by_key(|(_, span, _)| span.start);
    Fields { source, key, span, entries }
}

impl<'a> Node<'a> {
    /// An error at this value.
    pub fn error(&self, message: impl Into<String>, help: impl Into<String>) -> DatasetError {
        self.source.error(self.span.clone(), &self.key, message, help)
    }

    fn kind_error<T>(&self, wanted: &str) -> Result<T> {
        Err(self.error(format!("is of type {}", self.value.type_str()), format!("{wanted} is expected here")))
    }

    /// The value itself.
    pub fn raw(&self) -> &'a DeValue<'a> {
        self.value
    }

    /// Whether it is a table.
    pub fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// Nesting depth of this value's contents; an error beyond [`DEEPEST`].
    fn within(&self) -> Result<usize> {
        match self.depth < DEEPEST {
            true => Ok(self.depth + 1),
            false => Err(self.error("is nested too deep", format!("at most {DEEPEST} tables and arrays in each other"))),
        }
    }

    /// A table.
    pub fn table(&self) -> Result<Fields<'a>> {
        match self.value.as_table() {
            Some(table) => Ok(fields(self.source, self.key.clone(), self.span.clone(), table, self.within()?)),
            None => self.kind_error("a table"),
        }
    }

    /// An array.
    pub fn array(&self) -> Result<Vec<Node<'a>>> {
        let DeValue::Array(items) = self.value else { return self.kind_error("an array") };
        let depth = self.within()?;
        let node = |(i, v): (usize, &'a Spanned<DeValue<'a>>)| {
            let key = format!("{}[{i}]", self.key);
            Node { source: self.source, key, span: v.span(), value: v.get_ref(), depth }
        };
        Ok(items.iter().enumerate().map(node).collect())
    }

    /// An array that is not empty.
    pub fn some(&self) -> Result<Vec<Node<'a>>> {
        let items = self.array()?;
        if items.is_empty() {
            return Err(self.error("is empty", "one element or more"));
        }
        Ok(items)
    }

    /// A text.
    pub fn text(&self) -> Result<&'a str> {
        self.value.as_str().map_or_else(|| self.kind_error("a string"), Ok)
    }

    /// One of some words.
    pub fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T> {
        let text = self.text()?;
        words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
            let allowed: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
            self.error(format!("`{text}` is not known here"), format!("allowed: {}", allowed.join(", ")))
        })
    }

    /// A boolean.
    pub fn boolean(&self) -> Result<bool> {
        self.value.as_bool().map_or_else(|| self.kind_error("true or false"), Ok)
    }

    /// A whole number within bounds.
    pub fn int(&self, min: i64, max: i64) -> Result<i64> {
        let Some(int) = self.value.as_integer() else { return self.kind_error("a whole number") };
        match i64::from_str_radix(int.as_str(), int.radix()) {
            Ok(n) if (min..=max).contains(&n) => Ok(n),
            _ => Err(self.error(format!("{} is out of range", int.as_str()), format!("{min} to {max}"))),
        }
    }

    /// A count within bounds.
    pub fn count(&self, min: u64, max: u64) -> Result<u64> {
        let top = i64::try_from(max).unwrap_or(i64::MAX);
        Ok(self.int(i64::try_from(min).unwrap_or(i64::MAX), top)?.unsigned_abs())
    }

    /// A number (whole or not) within bounds.
    pub fn number(&self, min: f64, max: f64) -> Result<f64> {
        let x = match self.value {
            DeValue::Integer(int) => i64::from_str_radix(int.as_str(), int.radix()).ok().map(|n| n as f64),
            DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
            _ => return self.kind_error("a number"),
        };
        match x {
            Some(x) if x >= min && x <= max => Ok(x),
            _ => Err(self.error("is out of range", format!("{min} to {max}"))),
        }
    }

    /// A pair `[low, high]` read by `read`, low <= high.
    pub fn pair<T: PartialOrd + Copy>(&self, read: impl Fn(&Node<'a>) -> Result<T>) -> Result<(T, T)> {
        let items = self.array()?;
        let [low, high] = items.as_slice() else {
            return Err(self.error(format!("has {} elements", items.len()), "two: [lowest, highest]"));
        };
        let (a, b) = (read(low)?, read(high)?);
        if a > b {
            return Err(self.error("the first is greater than the second", "[lowest, highest]"));
        }
        Ok((a, b))
    }

    /// A duration such as `45s`, in microseconds, at least one.
    pub fn duration_us(&self) -> Result<i64> {
        const UNITS: [(&str, f64); 7] = [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("min", 6e7), ("m", 6e7), ("h", 3.6e9), ("d", 8.64e10)];
        let text = self.text()?;
        let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, f)| *f);
        match (number.trim().parse::<f64>(), factor) {
            (Ok(n), Some(f)) if n * f >= 1.0 && n * f <= 3.2e15 => Ok((n * f) as i64),
            _ => Err(self.error(
                format!("`{text}` is no duration"),
                "a positive number with us, ms, s, m, h or d, at most 100 years, such as \"45s\"",
            )),
        }
    }
}

impl<'a> Fields<'a> {
    /// The entries, in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &Node<'a>)> {
        self.entries.iter().map(|(name, _, node)| (*name, node))
    }

    /// An optional entry.
    pub fn get(&self, name: &str) -> Option<&Node<'a>> {
        self.entries.iter().find(|(n, _, _)| *n == name).map(|(_, _, node)| node)
    }

    /// A required entry.
    pub fn need(&self, name: &str) -> Result<&Node<'a>> {
        self.get(name).ok_or_else(|| self.error(format!("`{name}` is missing"), format!("add `{name} = ...`")))
    }

    /// An error at the table as a whole.
    pub fn error(&self, message: impl Into<String>, help: impl Into<String>) -> DatasetError {
        let span = match (self.span.is_empty(), self.entries.first()) {
            (true, Some((_, span, _))) => span.clone(),
            _ => self.span.clone(),
        };
        self.source.error(span, &self.key, message, help)
    }

    /// Refuses keys that are not in `allowed`.
    pub fn only(&self, allowed: &[&str]) -> Result<()> {
        match self.entries.iter().find(|(name, _, _)| !allowed.contains(name)) {
            None => Ok(()),
            Some((name, span, node)) => Err(self.source.error(
                span.clone(),
                &node.key,
                format!("`{name}` is not known here"),
                format!("allowed: {}", allowed.join(", ")),
            )),
        }
    }
}

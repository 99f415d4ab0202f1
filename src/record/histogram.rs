//! A latency histogram that is stored as V2+DEFLATE base64, the interchange form of HdrHistogram.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Significant decimal digits kept: a value is off by at most 0.1%.
const SIGNIFICANT_DIGITS: u8 = 3;
/// Longest time told apart, one hour in ns. Longer ones are counted as this.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Why a stored histogram cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistogramError {
    /// Not base64.
    #[error("histogram is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// Not V2+DEFLATE.
    #[error("histogram is not in the V2+DEFLATE form of HdrHistogram: {0}")]
    Form(String),
}

/// Durations in ns with 3 significant digits.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    inner: hdrhistogram::Histogram<u64>,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

impl Histogram {
    /// An empty histogram. It grows to what it is given, so that an unused one is small.
    pub fn new() -> Histogram {
        let inner = hdrhistogram::Histogram::new(SIGNIFICANT_DIGITS).unwrap_or_else(|_| unreachable!("3 digits are within 0 to 5"));
        Histogram { inner }
    }

    /// Adds one duration. Never fails: 0 counts as 1 ns and anything over an hour as an hour.
    pub fn record(&mut self, ns: u64) {
        // Auto-resizing is on, and the value is within the widest range, so this cannot fail.
        let _ = self.inner.record(ns.clamp(1, LONGEST_NS));
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Histogram) {
        let _ = self.inner.add(&other.inner);
    }

    /// Number of durations.
    pub fn count(&self) -> u64 {
        self.inner.len()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// The `q` quantile (0 to 1) in ns, the middle of its bucket; `None` if empty.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.inner.is_empty() {
            return None;
        }
        let top = self.inner.value_at_quantile(q.clamp(0.0, 1.0));
        Some(self.inner.median_equivalent(top) as f64)
    }

    /// Mean in ns; `None` if empty.
    pub fn mean(&self) -> Option<f64> {
        (!self.inner.is_empty()).then(|| self.inner.mean())
    }

    /// Largest in ns; 0 if empty.
    pub fn max(&self) -> u64 {
        self.inner.max()
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.inner.reset();
    }

    /// Quantiles with values, as HDR plots draw them: `(quantile, ns)`, rising.
    pub fn percentile_curve(&self) -> Vec<(f64, f64)> {
        self.inner.iter_quantiles(5).map(|step| (step.quantile(), step.value_iterated_to() as f64)).collect()
    }

    /// V2+DEFLATE, base64.
    pub fn to_base64(&self) -> String {
        let mut bytes = Vec::new();
        // Writing to memory cannot fail; an empty string would be refused by the reader.
        let _ = V2DeflateSerializer::new().serialize(&self.inner, &mut bytes);
        STANDARD.encode(bytes)
    }

    /// The inverse of [`Histogram::to_base64`].
    pub fn from_base64(text: &str) -> Result<Histogram, HistogramError> {
        let bytes = STANDARD.decode(text)?;
        let mut inner: hdrhistogram::Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|error| HistogramError::Form(error.to_string()))?;
        inner.auto(true);
        Ok(Histogram { inner })
    }
}

impl Serialize for Histogram {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_base64())
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Histogram, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Histogram::from_base64(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Histogram {
    fn schema_name() -> Cow<'static, str> {
        "Histogram".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "contentEncoding": "base64",
            "description": "HdrHistogram of nanoseconds, 3 significant digits, V2 encoding, DEFLATE, base64"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_storage_with_every_count() {
        let mut histogram = Histogram::new();
        for ns in [0, 1, 999, 1_000_000, u64::MAX] {
            histogram.record(ns);
        }
        let back = Histogram::from_base64(&histogram.to_base64()).unwrap();
        assert_eq!(back.count(), 5);
        assert_eq!(back.quantile(0.5), histogram.quantile(0.5));
        assert!(back.max() >= LONGEST_NS);
    }

    #[test]
    fn what_is_not_a_histogram_is_refused() {
        assert!(matches!(Histogram::from_base64("?"), Err(HistogramError::Base64(_))));
        assert!(matches!(Histogram::from_base64("AAAA"), Err(HistogramError::Form(_))));
    }

    #[test]
    fn a_read_histogram_still_grows() {
        let mut small = Histogram::new();
        small.record(10);
        let mut back = Histogram::from_base64(&small.to_base64()).unwrap();
        back.record(5_000_000_000);
        assert_eq!(back.count(), 2);
    }
}

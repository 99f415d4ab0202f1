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

/// A count for every bucket up to the longest time.
type AllCounts = hdrhistogram::Histogram<u64>;

/// Durations in ns with 3 significant digits.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Counts,
}

#[derive(Clone, Debug)]
enum Counts {
    /// Quick to add to, and 100 KB or more.
    All(AllCounts),
    /// As it was read: a record has thousands of histograms, each with hundreds of durations.
    Filled(Filled),
}

/// Buckets that hold something, rising.
#[derive(Clone, Debug)]
struct Filled {
    /// Middle in ns, and count.
    buckets: Box<[(u64, u64)]>,
    count: u64,
    max: u64,
    /// Least and greatest value that it was made for, and digits: the stored form has them.
    made_for: (u64, u64, u8),
}

impl Filled {
    fn of(all: &AllCounts) -> Filled {
        let buckets = all.iter_recorded().map(|step| (all.median_equivalent(step.value_iterated_to()), step.count_at_value()));
        Filled { buckets: buckets.collect(), count: all.len(), max: all.max(), made_for: (all.low(), all.high(), all.sigfig()) }
    }

    fn all(&self) -> AllCounts {
        let (low, high, digits) = self.made_for;
        let mut all = AllCounts::new_with_bounds(low, high, digits).unwrap_or_else(|_| unreachable!("another one has these bounds"));
        all.auto(true);
        self.add_to(&mut all);
        all
    }

    fn add_to(&self, all: &mut AllCounts) {
        for (ns, count) in &self.buckets {
            let _ = all.record_n(*ns, *count);
        }
    }

    /// As hdrhistogram finds it, so that a histogram says the same before and after it is stored.
    fn quantile(&self, q: f64) -> Option<f64> {
        let wanted = ((q * self.count as f64).ceil() as u64).max(1);
        let mut reached = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            reached = u64::saturating_add(reached, *count);
            reached >= wanted
        });
        found.map(|(ns, _)| *ns as f64)
    }

    fn mean(&self) -> f64 {
        self.buckets.iter().fold(0.0, |sum, (ns, count)| sum + *ns as f64 * *count as f64 / self.count as f64)
    }
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

impl PartialEq for Histogram {
    fn eq(&self, other: &Histogram) -> bool {
        let (one, other) = (self.filled(), other.filled());
        (&one.buckets, one.count, one.max) == (&other.buckets, other.count, other.max)
    }
}

impl Histogram {
    /// An empty histogram. It grows to what it is given, so that an unused one is small.
    pub fn new() -> Histogram {
        let all = AllCounts::new(SIGNIFICANT_DIGITS).unwrap_or_else(|_| unreachable!("3 digits are within 0 to 5"));
        Histogram { counts: Counts::All(all) }
    }

    fn filled(&self) -> Cow<'_, Filled> {
        match &self.counts {
            Counts::All(all) => Cow::Owned(Filled::of(all)),
            Counts::Filled(filled) => Cow::Borrowed(filled),
        }
    }

    fn all(&self) -> Cow<'_, AllCounts> {
        match &self.counts {
            Counts::All(all) => Cow::Borrowed(all),
            Counts::Filled(filled) => Cow::Owned(filled.all()),
        }
    }

    fn all_mut(&mut self) -> &mut AllCounts {
        if let Counts::Filled(filled) = &self.counts {
            self.counts = Counts::All(filled.all());
        }
        match &mut self.counts {
            Counts::All(all) => all,
            Counts::Filled(_) => unreachable!("it has just been filled in"),
        }
    }

    /// Adds one duration. Never fails: 0 counts as 1 ns and anything over an hour as an hour.
    pub fn record(&mut self, ns: u64) {
        // Auto-resizing is on, and the value is within the widest range, so this cannot fail.
        let _ = self.all_mut().record(ns.clamp(1, LONGEST_NS));
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Histogram) {
        match &other.counts {
            Counts::All(all) => {
                let _ = self.all_mut().add(all);
            }
            Counts::Filled(filled) => filled.add_to(self.all_mut()),
        }
    }

    /// Number of durations.
    pub fn count(&self) -> u64 {
        match &self.counts {
            Counts::All(all) => all.len(),
            Counts::Filled(filled) => filled.count,
        }
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The `q` quantile (0 to 1) in ns, the middle of its bucket; `None` if empty.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let q = q.clamp(0.0, 1.0);
        match &self.counts {
            Counts::All(all) => (!all.is_empty()).then(|| all.median_equivalent(all.value_at_quantile(q)) as f64),
            Counts::Filled(filled) => filled.quantile(q),
        }
    }

    /// Mean in ns; `None` if empty.
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| match &self.counts {
            Counts::All(all) => all.mean(),
            Counts::Filled(filled) => filled.mean(),
        })
    }

    /// Largest in ns; 0 if empty.
    pub fn max(&self) -> u64 {
        match &self.counts {
            Counts::All(all) => all.max(),
            Counts::Filled(filled) => filled.max,
        }
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.all_mut().reset();
    }

    /// Quantiles with values, as HDR plots draw them: `(quantile, ns)`, rising.
    pub fn percentile_curve(&self) -> Vec<(f64, f64)> {
        self.all().iter_quantiles(5).map(|step| (step.quantile(), step.value_iterated_to() as f64)).collect()
    }

    /// V2+DEFLATE, base64.
    pub fn to_base64(&self) -> String {
        let mut bytes = Vec::new();
        // Writing to memory cannot fail; an empty string would be refused by the reader.
        let _ = V2DeflateSerializer::new().serialize(&self.all(), &mut bytes);
        STANDARD.encode(bytes)
    }

    /// The inverse of [`Histogram::to_base64`].
    pub fn from_base64(text: &str) -> Result<Histogram, HistogramError> {
        let bytes = STANDARD.decode(text)?;
        let all: AllCounts =
            Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|error| HistogramError::Form(error.to_string()))?;
        Ok(Histogram { counts: Counts::Filled(Filled::of(&all)) })
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
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

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
    fn says_the_same_before_and_after_it_is_stored() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for size in [0, 1, 2, 7, 300, 5_000] {
            let mut histogram = Histogram::new();
            (0..size).for_each(|_| histogram.record((1e4 * (random.random::<f64>() * 16.0).exp()) as u64));
            let back = Histogram::from_base64(&histogram.to_base64()).unwrap();
            assert_eq!(back, histogram);
            assert_eq!(back.to_base64(), histogram.to_base64());
            let mut sum = Histogram::new();
            sum.add(&histogram);
            assert_eq!(Histogram::from_base64(&sum.to_base64()).unwrap().to_base64(), sum.to_base64());
            assert_eq!((back.count(), back.is_empty(), back.max()), (histogram.count(), histogram.is_empty(), histogram.max()));
            assert_eq!((back.mean(), back.percentile_curve()), (histogram.mean(), histogram.percentile_curve()));
            for q in [-1.0, 0.0, 1e-9, 0.1, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0, 2.0].into_iter().chain((0..50).map(|_| random.random()))
            {
                assert_eq!(back.quantile(q), histogram.quantile(q), "{q} of {size}");
            }
            let mut other = Histogram::new();
            other.record(123_456);
            let (mut one, mut two) = (back.clone(), histogram.clone());
            one.add(&other);
            two.add(&other);
            assert_eq!(one, two);
            other.add(&back);
            assert_eq!(one, other);
        }
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

//! What a scenario's author expects, as its file says it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A verdict that is expected.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// The arm is faster.
    Improved,
    /// The arm is slower.
    Regressed,
    /// No difference that matters.
    Unchanged,
}

/// What is expected of a scenario, a transaction or a statement: one verdict, or one for each quantity, of every arm beside the baseline or of
/// those that are named.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Expect {
    /// Of all quantities; held against the medians.
    Verdict(Expectation),
    /// Of the quantities that are named; nothing is stated of the others.
    Quantities(QuantityExpectations),
    /// Of the arms that are named, by name; nothing is stated of the others.
    Arms(BTreeMap<String, Expect>),
}

impl Expect {
    /// What is expected of an arm.
    pub fn of(&self, arm: &str) -> Option<&Expect> {
        match self {
            Expect::Verdict(_) | Expect::Quantities(_) => Some(self),
            Expect::Arms(arms) => arms.get(arm),
        }
    }
}

/// A verdict for each quantity that can decide.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct QuantityExpectations {
    /// Of medians.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50: Option<Expectation>,
    /// Of 95th percentiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95: Option<Expectation>,
    /// Of the server's processor time, which is one for all transactions: stated of scenarios alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<Expectation>,
}

//! Arms of an experiment, and values that each of them has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An arm of an experiment, by its place in the scenario's list; in the record, that number. The first one is the baseline.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Arm(u16);

impl Arm {
    /// What the others are judged against.
    pub const BASELINE: Arm = Arm(0);

    /// The arm at this place, from 0.
    pub fn at(place: usize) -> Arm {
        Arm(u16::try_from(place).unwrap_or(u16::MAX))
    }

    /// Its place, from 0.
    pub fn place(self) -> usize {
        usize::from(self.0)
    }

    /// Whether the others are judged against it.
    pub fn is_baseline(self) -> bool {
        self == Arm::BASELINE
    }
}

/// For where its name is not known.
impl std::fmt::Display for Arm {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.place() {
            0 => out.write_str("the baseline"),
            place => write!(out, "arm {place}"),
        }
    }
}

/// A value for each arm; in the record a list, the baseline's first. There is a baseline always, so that every arm has a value.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(try_from = "Vec<T>", into = "Vec<T>")]
#[serde(bound(serialize = "T: Clone + Serialize", deserialize = "T: Deserialize<'de>"))]
#[schemars(with = "Vec<T>")]
pub struct Arms<T> {
    /// The baseline's.
    pub baseline: T,
    /// The others', in order.
    pub others: Vec<T>,
}

impl<T> Arms<T> {
    /// Of a baseline and others.
    pub fn new(baseline: T, others: Vec<T>) -> Arms<T> {
        Arms { baseline, others }
    }

    /// Of a baseline and one other.
    pub fn two(baseline: T, other: T) -> Arms<T> {
        Arms { baseline, others: vec![other] }
    }

    /// How many arms there are.
    pub fn count(&self) -> usize {
        self.others.len() + 1
    }

    /// Whether there is such an arm.
    pub fn has(&self, arm: Arm) -> bool {
        arm.place() < self.count()
    }

    /// All arms.
    pub fn arms(&self) -> impl DoubleEndedIterator<Item = Arm> + use<T> {
        (0..self.count()).map(Arm::at)
    }

    /// All arms that are judged against the baseline.
    pub fn rivals(&self) -> impl DoubleEndedIterator<Item = Arm> + use<T> {
        (1..self.count()).map(Arm::at)
    }

    /// The value of an arm; the baseline's for an arm that is not there.
    pub fn get(&self, arm: Arm) -> &T {
        arm.place().checked_sub(1).and_then(|place| self.others.get(place)).unwrap_or(&self.baseline)
    }

    /// The value of an arm, to change it; likewise.
    pub fn get_mut(&mut self, arm: Arm) -> &mut T {
        match arm.place().checked_sub(1) {
            Some(place) if place < self.others.len() => &mut self.others[place],
            _ => &mut self.baseline,
        }
    }

    /// Values in order.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &T> {
        std::iter::once(&self.baseline).chain(&self.others)
    }

    /// Values in order, to change them.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        std::iter::once(&mut self.baseline).chain(&mut self.others)
    }

    /// Values in order, and whose they are.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Arm, &T)> {
        let others = self.others.iter().enumerate().map(|(place, value)| (Arm::at(place + 1), value));
        std::iter::once((Arm::BASELINE, &self.baseline)).chain(others)
    }

    /// The same computation for each arm.
    pub fn map<'a, U>(&'a self, mut f: impl FnMut(&'a T) -> U) -> Arms<U> {
        Arms { baseline: f(&self.baseline), others: self.others.iter().map(f).collect() }
    }

    /// What each arm makes of itself, for as many arms as there are here.
    pub fn each<U>(&self, mut f: impl FnMut(Arm) -> U) -> Arms<U> {
        Arms { baseline: f(Arm::BASELINE), others: self.rivals().map(f).collect() }
    }

    /// The same where it may fail: the first error.
    pub fn try_each<U, E>(&self, mut f: impl FnMut(Arm) -> Result<U, E>) -> Result<Arms<U>, E> {
        Ok(Arms { baseline: f(Arm::BASELINE)?, others: self.rivals().map(f).collect::<Result<_, E>>()? })
    }
}

impl<T> IntoIterator for Arms<T> {
    type Item = T;
    type IntoIter = std::iter::Chain<std::iter::Once<T>, std::vec::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self.baseline).chain(self.others)
    }
}

impl<T> TryFrom<Vec<T>> for Arms<T> {
    type Error = &'static str;

    fn try_from(values: Vec<T>) -> Result<Arms<T>, &'static str> {
        let mut values = values.into_iter();
        let baseline = values.next().ok_or("a list of arms' values is empty: the baseline's is missing")?;
        Ok(Arms { baseline, others: values.collect() })
    }
}

impl<T> From<Arms<T>> for Vec<T> {
    fn from(arms: Arms<T>) -> Vec<T> {
        arms.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_the_baseline_first_and_is_never_empty() {
        let arms: Arms<u32> = serde_json::from_str("[7,8,9]").unwrap();
        assert_eq!(arms.iter().map(|(arm, value)| (arm.place(), *value)).collect::<Vec<_>>(), [(0, 7), (1, 8), (2, 9)]);
        assert_eq!(serde_json::to_string(&arms.map(|value| value + 1)).unwrap(), "[8,9,10]");
        assert_eq!((arms.has(Arm::at(2)), arms.has(Arm::at(3)), *arms.get(Arm::at(3))), (true, false, 7));
        assert!(serde_json::from_str::<Arms<u32>>("[]").unwrap_err().to_string().contains("baseline"));
    }
}

//! Whether two answers agree, and if not, which row tells it.

use std::collections::BTreeMap;

use super::visibility::counted;
use crate::load::session::{Answer, StatementAnswer};
use crate::scenario::{AnswerRule, Answers};

/// Whose answers are compared, for messages.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The baseline's.
    pub baseline: &'a str,
    /// The other arm's.
    pub arm: &'a str,
}

/// The first thing in which an arm's answer differs from the baseline's under the rule, in words; `None` if they agree. Rows come first; where
/// they agree, as with an UPDATE that returns nothing, the numbers of rows in the command tags must agree too.
pub fn difference(rule: &Answers, names: Names<'_>, baseline: &StatementAnswer, arm: &StatementAnswer) -> Option<String> {
    let affected = || match &rule.rule {
        AnswerRule::Differs(_) | AnswerRule::Recall(_) => None,
        AnswerRule::SameCount | AnswerRule::Same | AnswerRule::SameRows => (baseline.affected != arm.affected)
            .then(|| format!("{} affects {}, {} {}", names.baseline, counted(baseline.affected as usize), names.arm, arm.affected)),
    };
    rows(rule, names, &baseline.answer, &arm.answer).or_else(affected)
}

/// The same, of the returned rows alone.
fn rows(rule: &Answers, names: Names<'_>, baseline: &Answer, arm: &Answer) -> Option<String> {
    match &rule.rule {
        AnswerRule::Differs(_) | AnswerRule::Recall(_) => None,
        AnswerRule::SameCount => (baseline.rows.len() != arm.rows.len()).then(|| count(names, baseline, arm)),
        AnswerRule::Same => in_order(rule, names, baseline, arm),
        AnswerRule::SameRows => in_any_order(rule, names, baseline, arm),
    }
}

fn count(names: Names<'_>, baseline: &Answer, arm: &Answer) -> String {
    format!("{} returns {}, {} {}", names.baseline, counted(baseline.rows.len()), names.arm, arm.rows.len())
}

fn kept(rule: &Answers, answer: &Answer) -> Vec<usize> {
    (0..answer.columns.len()).filter(|index| !rule.ignore.contains(&answer.columns[*index])).collect()
}

fn in_order(rule: &Answers, names: Names<'_>, baseline: &Answer, arm: &Answer) -> Option<String> {
    let (left, right) = (kept(rule, baseline), kept(rule, arm));
    if let Some(finding) = columns(names, baseline, &left, arm, &right) {
        return Some(finding);
    }
    for (index, (b, a)) in baseline.rows.iter().zip(&arm.rows).enumerate() {
        let same = left.iter().zip(&right).all(|(l, r)| equal(cell(b, *l), cell(a, *r), rule.tolerance));
        if !same {
            return Some(format!("row {}: {} {}, {} {}", index + 1, names.baseline, show(b, &left), names.arm, show(a, &right)));
        }
    }
    match baseline.rows.len().cmp(&arm.rows.len()) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => {
            let row = &baseline.rows[arm.rows.len()];
            Some(missing(names, baseline, arm, show(row, &left)))
        }
        std::cmp::Ordering::Less => {
            let row = &arm.rows[baseline.rows.len()];
            Some(surplus(names, baseline, arm, show(row, &right)))
        }
    }
}

/// Compares as multisets. Rows that match to the letter are taken out first; what is left is paired within the tolerance.
fn in_any_order(rule: &Answers, names: Names<'_>, baseline: &Answer, arm: &Answer) -> Option<String> {
    let (left, right) = (kept(rule, baseline), kept(rule, arm));
    if let Some(finding) = columns(names, baseline, &left, arm, &right) {
        return Some(finding);
    }
    let mut unmatched: BTreeMap<Vec<Option<&str>>, i64> = BTreeMap::new();
    for row in &baseline.rows {
        *unmatched.entry(left.iter().map(|i| cell(row, *i)).collect()).or_default() += 1;
    }
    for row in &arm.rows {
        *unmatched.entry(right.iter().map(|i| cell(row, *i)).collect()).or_default() -= 1;
    }
    let only_baseline: Vec<_> =
        unmatched.iter().filter(|(_, n)| **n > 0).flat_map(|(row, n)| std::iter::repeat_n(row, n.unsigned_abs() as usize)).collect();
    let mut only_arm: Vec<_> =
        unmatched.iter().filter(|(_, n)| **n < 0).flat_map(|(row, n)| std::iter::repeat_n(row, n.unsigned_abs() as usize)).collect();
    for row in &only_baseline {
        let partner = only_arm.iter().position(|other| row.iter().zip(other.iter()).all(|(a, b)| equal(*a, *b, rule.tolerance)));
        match partner {
            Some(index) => drop(only_arm.swap_remove(index)),
            None => return Some(missing(names, baseline, arm, show_cells(row))),
        }
    }
    only_arm.first().map(|row| surplus(names, baseline, arm, show_cells(row)))
}

fn missing(names: Names<'_>, baseline: &Answer, arm: &Answer, row: String) -> String {
    format!("{}; missing on {}: {row}", count(names, baseline, arm), names.arm)
}

fn surplus(names: Names<'_>, baseline: &Answer, arm: &Answer, row: String) -> String {
    format!("{}; only on {}: {row}", count(names, baseline, arm), names.arm)
}

fn columns(names: Names<'_>, baseline: &Answer, left: &[usize], arm: &Answer, right: &[usize]) -> Option<String> {
    let of = |answer: &Answer, kept: &[usize]| kept.iter().map(|i| answer.columns[*i].clone()).collect::<Vec<_>>();
    let (b, a) = (of(baseline, left), of(arm, right));
    (b != a).then(|| format!("columns differ: {} ({}), {} ({})", names.baseline, b.join(", "), names.arm, a.join(", ")))
}

fn cell(row: &[Option<String>], index: usize) -> Option<&str> {
    row.get(index).and_then(|value| value.as_deref())
}

fn equal(a: Option<&str>, b: Option<&str>, tolerance: f64) -> bool {
    if a == b {
        return true;
    }
    let (Some(a), Some(b)) = (a, b) else { return false };
    match (a.parse::<f64>(), b.parse::<f64>()) {
        // Only what is written as a number with a fraction is compared with tolerance: a whole number is exact.
        (Ok(x), Ok(y)) if a.contains('.') || b.contains('.') => (x - y).abs() <= tolerance * x.abs().max(y.abs()),
        _ => false,
    }
}

fn show(row: &[Option<String>], kept: &[usize]) -> String {
    show_cells(&kept.iter().map(|index| cell(row, *index)).collect::<Vec<_>>())
}

fn show_cells(cells: &[Option<&str>]) -> String {
    const LONGEST: usize = 60;
    let shown: Vec<String> = cells
        .iter()
        .map(|cell| match cell {
            None => "NULL".to_owned(),
            Some(text) if text.chars().count() > LONGEST => format!("{}…", text.chars().take(LONGEST).collect::<String>()),
            Some(text) => (*text).to_owned(),
        })
        .collect();
    format!("({})", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'static> = Names { baseline: "before", arm: "after" };

    fn rows_differ(rule: &Answers, baseline: &Answer, arm: &Answer) -> Option<String> {
        rows(rule, NAMES, baseline, arm)
    }

    fn answer(rows: &[&[&str]]) -> Answer {
        let rows = rows.iter().map(|row| row.iter().map(|v| (*v != "NULL").then(|| v.to_string())).collect()).collect();
        Answer { columns: vec!["id".into(), "v".into()], rows }
    }

    fn rule(rule: AnswerRule, ignore: &[&str], tolerance: f64) -> Answers {
        Answers { rule, ignore: ignore.iter().map(|i| i.to_string()).collect(), tolerance }
    }

    #[test]
    fn a_missing_and_a_doubled_row_are_shown() {
        let same = rule(AnswerRule::Same, &[], 0.0);
        let full = answer(&[&["1", "a"], &["2", "b"]]);
        assert_eq!(rows_differ(&same, &full, &full), None);
        let short = answer(&[&["1", "a"]]);
        assert_eq!(rows_differ(&same, &full, &short).unwrap(), "before returns 2 rows, after 1; missing on after: (2, b)");
        let doubled = answer(&[&["1", "a"], &["2", "b"], &["2", "b"]]);
        let any = rule(AnswerRule::SameRows, &[], 0.0);
        assert_eq!(rows_differ(&any, &full, &doubled).unwrap(), "before returns 2 rows, after 3; only on after: (2, b)");
    }

    #[test]
    fn order_matters_only_where_the_rule_says_so() {
        let (one, two) = (answer(&[&["1", "a"], &["2", "b"]]), answer(&[&["2", "b"], &["1", "a"]]));
        assert!(rows_differ(&rule(AnswerRule::Same, &[], 0.0), &one, &two).is_some());
        assert_eq!(rows_differ(&rule(AnswerRule::SameRows, &[], 0.0), &one, &two), None);
    }

    #[test]
    fn tolerance_is_for_fractions_and_null_is_not_empty() {
        let tolerant = rule(AnswerRule::SameRows, &[], 1e-6);
        assert_eq!(rows_differ(&tolerant, &answer(&[&["1", "0.30000001"]]), &answer(&[&["1", "0.3"]])), None);
        assert!(rows_differ(&tolerant, &answer(&[&["1", "10000000"]]), &answer(&[&["1", "10000001"]])).is_some());
        assert!(rows_differ(&tolerant, &answer(&[&["1", "NULL"]]), &answer(&[&["1", ""]])).is_some());
    }

    #[test]
    fn ignored_columns_are_ignored_and_counts_can_be_all_that_matters() {
        let (one, two) = (answer(&[&["1", "a"]]), answer(&[&["9", "a"]]));
        assert_eq!(rows_differ(&rule(AnswerRule::Same, &["id"], 0.0), &one, &two), None);
        assert_eq!(rows_differ(&rule(AnswerRule::SameCount, &[], 0.0), &one, &two), None);
        assert!(rows_differ(&rule(AnswerRule::SameCount, &[], 0.0), &one, &answer(&[])).is_some());
    }

    #[test]
    fn rows_that_only_one_arm_changed_are_found_by_their_number() {
        let update = |affected| StatementAnswer { statement: "end".into(), answer: Answer::default(), affected };
        for compared in [AnswerRule::Same, AnswerRule::SameRows, AnswerRule::SameCount] {
            let compared = rule(compared, &[], 0.0);
            assert_eq!(difference(&compared, NAMES, &update(1), &update(1)), None);
            assert_eq!(difference(&compared, NAMES, &update(0), &update(1)).unwrap(), "before affects 0 rows, after 1");
        }
        for free in [AnswerRule::Differs("they do".into()), AnswerRule::Recall(0.9)] {
            assert_eq!(difference(&rule(free, &[], 0.0), NAMES, &update(0), &update(1)), None);
        }
    }
}

//! "Did you mean": the closest of the allowed words.

/// The word of `allowed` that `given` most likely stands for, if any is close.
pub fn closest<'a>(given: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Long input is no typing mistake, and the distance costs its square.
    if given.len() > 64 {
        return None;
    }
    let given = given.to_lowercase();
    let limit = |word: &str| (word.chars().count().max(given.chars().count()) / 3).max(1);
    allowed
        .into_iter()
        .filter(|word| word.len() <= 64)
        .map(|word| (distance(&given, &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= limit(word))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `a, b, c`; long lists are cut.
pub fn list<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    const MOST: usize = 24;
    let words: Vec<S> = words.into_iter().collect();
    let shown: Vec<&str> = words.iter().take(MOST).map(AsRef::as_ref).collect();
    match words.len() {
        0 => "none".into(),
        n if n > MOST => format!("{}, and {} more", shown.join(", "), n - MOST),
        _ => shown.join(", "),
    }
}

/// Optimal string alignment distance: insertions, deletions, substitutions, neighbours swapped.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let allowed = ["identity", "tenants", "answers", "weight"];
        assert_eq!(closest("idnetity", allowed), Some("identity"));
        assert_eq!(closest("tenant", allowed), Some("tenants"));
        assert_eq!(closest("Weight", allowed), Some("weight"));
        assert_eq!(closest("colour", allowed), None);
        assert_eq!(closest(&"x".repeat(10_000), allowed), None);
    }
}

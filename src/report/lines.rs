//! Text in columns of a terminal.

/// Letters of a text; wide ones count as one.
pub(super) fn letters(text: &str) -> usize {
    text.chars().count()
}

/// `text` in `width` columns.
pub(super) fn pad(text: &str, width: usize, right: bool) -> String {
    let blank = " ".repeat(width.saturating_sub(letters(text)));
    if right { format!("{blank}{text}") } else { format!("{text}{blank}") }
}

/// `text` in at most `width` columns.
pub(super) fn shorten(text: &str, width: usize) -> String {
    if letters(text) <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Lines of at most `width` columns, broken at spaces and line ends; a longer word stands alone.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && letters(&line) + 1 + letters(word) > width {
                lines.push(std::mem::take(&mut line));
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// A name in lines of at most `width` columns, broken at spaces and after slashes; a longer part stands alone.
pub(super) fn wrapped_name(name: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in name.split_inclusive([' ', '/']) {
        match lines.last_mut() {
            Some(line) if letters(line) + letters(part.trim_end()) <= width => line.push_str(part),
            _ => lines.push(part.to_owned()),
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_no_word_is_cut() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("a incomprehensibilities b\nc", 8), ["a", "incomprehensibilities", "b", "c"]);
        assert_eq!(wrapped("", 8), [""]);
    }

    #[test]
    fn names_break_after_slashes() {
        assert_eq!(wrapped_name("messages-100/history-100 p50", 28), ["messages-100/history-100 p50"]);
        assert_eq!(wrapped_name("messages-100/history-100 p50", 22), ["messages-100/", "history-100 p50"]);
        assert_eq!(wrapped_name("one/two p50", 4), ["one/", "two", "p50"]);
        assert_eq!(wrapped_name("incomprehensibilities/a p50", 8), ["incomprehensibilities/", "a p50"]);
    }
}

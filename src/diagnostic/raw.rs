//! From a place in a TOML string's value to the place in the file.

/// Byte offset within `token` (a TOML string as the file has it, with its quotes) of the byte `decoded` of its value.
///
/// Multi-line strings, escapes and line-ending backslashes are followed, so that a finding in line 7 of an SQL text is shown in the line
/// of the file that holds it.
pub fn raw_offset(token: &str, decoded: usize) -> usize {
    let (quotes, escapes) = match token {
        t if t.starts_with("\"\"\"") => (3, true),
        t if t.starts_with("'''") => (3, false),
        t if t.starts_with('"') => (1, true),
        t if t.starts_with('\'') => (1, false),
        _ => return decoded.min(token.len()),
    };
    let end = token.len().saturating_sub(quotes).max(quotes.min(token.len()));
    let mut at = quotes.min(token.len());
    if quotes == 3 {
        at += newline_length(&token[at..]);
    }
    let mut done = 0;
    while at < end {
        let rest = &token[at..];
        let (raw, value) = match rest.chars().next() {
            Some('\\') if escapes => escape(rest),
            Some(c) => (c.len_utf8(), c.len_utf8()),
            None => break,
        };
        if done >= decoded && value > 0 {
            break;
        }
        // An escape that is cut short (not TOML, but no reason to fail) must not lead into a character.
        at = boundary(token, at + raw);
        done += value;
    }
    boundary(token, at.min(end))
}

/// The nearest character boundary at or below `at`.
fn boundary(token: &str, at: usize) -> usize {
    (0..=at.min(token.len())).rev().find(|at| token.is_char_boundary(*at)).unwrap_or(0)
}

/// Bytes of an escape in the file and in the value. A line-ending backslash gives nothing and swallows the white space after it.
fn escape(rest: &str) -> (usize, usize) {
    let hex = |digits: usize| {
        let code = rest.get(2..2 + digits).and_then(|text| u32::from_str_radix(text, 16).ok());
        (2 + digits, code.and_then(char::from_u32).map_or(1, char::len_utf8))
    };
    match rest.as_bytes().get(1) {
        Some(b'x') => hex(2),
        Some(b'u') => hex(4),
        Some(b'U') => hex(8),
        Some(b' ' | b'\t' | b'\n' | b'\r') => {
            let blank = rest[1..].len() - rest[1..].trim_start_matches([' ', '\t', '\n', '\r']).len();
            (1 + blank, 0)
        }
        Some(c) if c.is_ascii() => (2, 1),
        _ => (1, 1),
    }
}

fn newline_length(text: &str) -> usize {
    match text {
        t if t.starts_with("\r\n") => 2,
        t if t.starts_with('\n') => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(token: &str) -> Option<String> {
        toml::from_str::<toml::Table>(&format!("k = {token}")).ok()?.get("k")?.as_str().map(str::to_owned)
    }

    #[test]
    fn the_marked_word_is_found_in_every_kind_of_string() {
        for token in [
            "\"select NOW\"",
            "'select NOW'",
            "\"\"\"\nselect\n  NOW\"\"\"",
            "'''\r\nselect\r\n  NOW\r\n'''",
            "\"\"\"select \\\n\n    NOW\"\"\"",
            "\"\\u00e9\\U0001F600\\t\\\"é NOW\"",
            "\"\\x41\\e NOW\"",
        ] {
            let value = value(token).expect(token);
            let at = raw_offset(token, value.find("NOW").unwrap());
            assert_eq!(&token[at..at + 3], "NOW", "{token:?}");
        }
    }

    proptest! {
        #[test]
        fn it_never_leaves_the_token(token in "('|\"|'''|\"\"\")[\\\\uUxn0-9a-f'\" \n\ré]{0,20}('|\"|'''|\"\"\")?", decoded in 0usize..40) {
            let at = raw_offset(&token, decoded);
            prop_assert!(at <= token.len() && token.is_char_boundary(at));
        }

        #[test]
        fn plain_characters_are_found(before in "[a-z\n é]{0,20}", after in "[a-z\n é]{0,20}") {
            let token = format!("\"\"\"x{before}#{after}\"\"\"");
            let value = value(&token).unwrap();
            let at = raw_offset(&token, value.find('#').unwrap());
            prop_assert_eq!(&token[at..at + 1], "#");
        }
    }
}

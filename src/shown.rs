//! Text that people are shown: without secrets, and without what could steer their terminal.

/// What stands in for a secret in every rendering of it.
pub const REDACTED: &str = "***";

/// What may be printed of a text from files, servers or a command line.
pub fn shown(text: &str) -> String {
    plain(&masked(text))
}

/// Text that cannot steer a terminal: control and direction characters become visible, line ends stay.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => out.push('\n'),
            '\t' => out.push(' '),
            character if steers(character) => out.push('\u{fffd}'),
            character => out.push(character),
        }
    }
    out
}

/// Whether it is a control character, or one that changes the direction of what follows.
pub fn steers(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text that may quote a connection string in the wrong place, or one with a mistyped scheme, without its user and passwords: hidden are what
/// stands between a scheme and the last `@` of its line, what stands before the `@` of a word such as `user:password@host`, and every value of
/// `password=`.
pub fn masked(text: &str) -> String {
    text.split_inclusive('\n').map(|line| without_credentials(&without_values(line))).collect()
}

/// A line without the values of `password=`. They end at a quote or a space, and in a URL's parameters at `&`.
fn without_values(line: &str) -> String {
    const KEY: &str = "password=";
    let (mut shown, mut rest) = (String::new(), line);
    while let Some(at) = rest.to_ascii_lowercase().find(KEY) {
        let (before, value) = rest.split_at(at + KEY.len());
        let quote = value.chars().next().filter(|first| matches!(first, '\'' | '"'));
        shown.push_str(before);
        let in_url = shown.rsplit(char::is_whitespace).next().is_some_and(|word| word.contains('?'));
        let ends = |c: char| match quote {
            Some(quote) => c == quote,
            None => c.is_whitespace() || matches!(c, '\'' | '"') || in_url && c == '&',
        };
        let opened = quote.map_or(0, char::len_utf8);
        let end = value[opened..].find(ends).map_or(value.len(), |end| opened + end);
        shown.push_str(&value[..opened]);
        shown.push_str(REDACTED);
        rest = &value[end..];
    }
    shown + rest
}

fn without_credentials(line: &str) -> String {
    let scheme = ["//", "postgres:", "postgresql:"].iter().filter_map(|scheme| Some(line.find(scheme)? + scheme.len())).min();
    if let (Some(begin), Some(end)) = (scheme, line.rfind('@'))
        && begin < end
    {
        let slashes = line[begin..].bytes().take_while(|byte| *byte == b'/').count();
        return format!("{}{REDACTED}{}", &line[..begin + slashes], &line[end..]);
    }
    let ends_word = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | '\u{1b}');
    let word = |word: &str| match (word.find(':'), word.rfind('@')) {
        (Some(colon), Some(end)) if colon < end => format!("{REDACTED}{}", &word[end..]),
        _ => word.to_owned(),
    };
    line.split_inclusive(ends_word).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_steers_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\nc\td\u{202e}e"), "a\u{fffd}[31mb\nc d\u{fffd}e");
    }

    #[test]
    fn a_connection_string_in_the_wrong_place_is_masked() {
        for (text, shown) in [
            ("no scenario 'postgres://ann:pw@db/app'", "no scenario 'postgres://***@db/app'"),
            ("postgre//ann:p@s s/w@db, or not", "postgre//***@db, or not"),
            ("invalid value 'postgres:ann:p//w@db' for x", "invalid value 'postgres:***@db' for x"),
            ("'ann:pw@db/app' is no suite", "'***@db/app' is no suite"),
            ("\"host=db password=p&w dbname=app\"", "\"host=db password=*** dbname=app\""),
            ("host=db PASSWORD='p w' user=ann", "host=db PASSWORD='***' user=ann"),
            ("postgres://db/app?password=old&password=p@ss&sslmode=require", "postgres://db/app?password=***&password=***&sslmode=require"),
            ("postgres://ann@db/app?password=p@ss", "postgres://***@db/app?password=***"),
            ("a\nseeds/omniops.toml:3: x@y\n  --out postgres", "a\nseeds/omniops.toml:3: x@y\n  --out postgres"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }
}

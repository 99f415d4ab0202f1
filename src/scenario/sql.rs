//! `:name` parameters in SQL text.
//!
//! What is *not* a parameter: anything in comments, strings of every kind, dollar quotes and quoted identifiers; `::` casts, `:=`, and the
//! colon of an array slice. Scanning never fails: what is not closed is reported in [`Scan::unclosed`] and PostgreSQL would refuse it.

use std::ops::Range;

use crate::diagnostic::closest;
use crate::sql::{Kind, continues_word, lexeme, starts_word};

/// What was found in an SQL text.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Scan {
    /// The text with `$1`, `$2`, ... for the parameters; all else is unchanged.
    pub numbered: String,
    /// Name of `$1`, `$2`, ...: each name once, in order of first use.
    pub names: Vec<String>,
    /// Every use of a parameter: name and bytes of the text, colon included.
    pub uses: Vec<(String, Range<usize>)>,
    /// Everything else but white space and comments, in order.
    pub tokens: Vec<(Token, Range<usize>)>,
    /// A string, comment or quoted identifier that is not closed: what, and where it opens.
    pub unclosed: Option<(&'static str, usize)>,
}

/// What a stretch of SQL text is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Token {
    /// A keyword or an identifier that is not quoted.
    Word,
    /// A quoted identifier.
    Quoted,
    /// A string of any kind.
    Text,
    /// A number.
    Number,
    /// `$1`.
    Positional,
    /// `:name`.
    Parameter,
    /// Any other character, one each, but `::` and `:=` are one token.
    Symbol,
}

/// Words after which a value begins, so that a colon that follows is no slice.
const OPENING_WORDS: [&str; 20] = [
    "and", "or", "not", "in", "like", "ilike", "is", "then", "else", "when", "case", "select", "where", "between", "limit", "offset",
    "any", "by", "on", "values",
];

/// Places in a text that wait for a value, `{{name}}`: the name, and the bytes with the braces.
pub fn places(text: &str) -> Vec<(&str, Range<usize>)> {
    let place = |(start, _): (usize, &str)| {
        let rest = &text[start + 2..];
        let name = &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())];
        (!name.is_empty() && rest[name.len()..].starts_with("}}")).then(|| (name, start..start + name.len() + 4))
    };
    text.match_indices("{{").filter_map(place).collect()
}

/// The places of an SQL text that no factor of this name fills. Within a string braces may be meant, so there only what looks like a slip counts.
pub fn unfilled<'s>(sql: &'s str, scan: &Scan, factor: Option<&str>) -> Vec<(&'s str, Range<usize>)> {
    // Tokens stand in order; a place within one is in a string.
    let in_sql = |place: &Range<usize>| scan.tokens.binary_search_by_key(&place.start, |(_, span)| span.start).is_ok();
    let is_slip = |name: &str| closest(name, factor).is_some();
    places(sql).into_iter().filter(|(name, place)| Some(*name) != factor && (in_sql(place) || is_slip(name))).collect()
}

/// Scans an SQL text.
pub fn scan(sql: &str) -> Scan {
    Scanner { sql, at: 0, scan: Scan::default(), copied: 0, brackets: Vec::new() }.run()
}

struct Scanner<'s> {
    sql: &'s str,
    at: usize,
    scan: Scan,
    /// The text up to here is in `numbered`.
    copied: usize,
    /// Open `(` and `[`: in the latter a colon may divide a slice.
    brackets: Vec<char>,
}

impl Scanner<'_> {
    fn run(mut self) -> Scan {
        while let Some(lexeme) = lexeme(self.rest()) {
            let start = self.at;
            let first = self.rest().chars().next().unwrap_or(' ');
            if lexeme.unclosed {
                self.scan.unclosed.get_or_insert((unclosed(lexeme.kind, first), start));
            }
            if first == ':' {
                self.colon();
                continue;
            }
            self.at += lexeme.length;
            match lexeme.kind {
                Kind::Space | Kind::Comment => {}
                Kind::Text => self.push(Token::Text, start),
                Kind::Quoted => self.push(Token::Quoted, start),
                Kind::Word => self.push(Token::Word, start),
                Kind::Number => self.push(Token::Number, start),
                Kind::Positional => self.push(Token::Positional, start),
                Kind::Symbol => {
                    self.bracket(first);
                    self.push(Token::Symbol, start);
                }
            }
        }
        self.scan.numbered.push_str(&self.sql[self.copied..]);
        self.scan
    }

    fn rest(&self) -> &str {
        &self.sql[self.at..]
    }

    fn push(&mut self, token: Token, start: usize) {
        self.scan.tokens.push((token, start..self.at));
    }

    fn bracket(&mut self, c: char) {
        match c {
            '(' | '[' => self.brackets.push(c),
            ')' | ']' => {
                self.brackets.pop();
            }
            _ => {}
        }
    }

    fn colon(&mut self) {
        let start = self.at;
        if self.rest().starts_with("::") || self.rest().starts_with(":=") {
            self.at += 2;
            return self.push(Token::Symbol, start);
        }
        let name: String = match self.rest().chars().nth(1) {
            Some(c) if starts_word(c) => self.rest()[1..].chars().take_while(|c| continues_word(*c) && *c != '$').collect(),
            _ => String::new(),
        };
        self.at += 1;
        if name.is_empty() || self.divides_a_slice() {
            return self.push(Token::Symbol, start);
        }
        self.at += name.len();
        self.parameter(name, start);
        self.push(Token::Parameter, start);
    }

    /// Whether a colon at this place stands between the bounds of `array[low:high]`.
    fn divides_a_slice(&self) -> bool {
        let after_value = match self.scan.tokens.last() {
            Some((Token::Symbol, span)) => matches!(&self.sql[span.clone()], ")" | "]"),
            Some((Token::Word, span)) => !OPENING_WORDS.contains(&self.sql[span.clone()].to_lowercase().as_str()),
            Some(_) => true,
            None => false,
        };
        self.brackets.last() == Some(&'[') && after_value
    }

    fn parameter(&mut self, name: String, start: usize) {
        let number = match self.scan.names.iter().position(|known| *known == name) {
            Some(known) => known + 1,
            None => {
                self.scan.names.push(name.clone());
                self.scan.names.len()
            }
        };
        let out = &mut self.scan.numbered;
        out.push_str(&self.sql[self.copied..start]);
        // `a:b` would become `a$1`, which is one identifier.
        if out.chars().next_back().is_some_and(continues_word) {
            out.push(' ');
        }
        out.push_str(&format!("${number}"));
        if self.sql[self.at..].starts_with('$') {
            out.push(' ');
        }
        self.copied = self.at;
        self.scan.uses.push((name, start..self.at));
    }
}

fn unclosed(kind: Kind, first: char) -> &'static str {
    match kind {
        Kind::Comment => "comment",
        Kind::Quoted => "quoted identifier",
        _ if first == '$' => "dollar-quoted string",
        _ => "string",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbered(sql: &str) -> (String, Vec<String>) {
        let scan = scan(sql);
        (scan.numbered, scan.names)
    }

    #[track_caller]
    fn holds(sql: &str, text: &str, names: &[&str]) {
        assert_eq!(numbered(sql), (text.to_owned(), names.iter().map(|n| n.to_string()).collect()), "{sql}");
    }

    #[test]
    fn places_without_a_value_are_found() {
        let names = |sql: &str, factor| unfilled(sql, &scan(sql), factor).into_iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(names("select {{a}} from {{b}} limit {{batch}}", Some("batch")), ["a", "b"]);
        assert_eq!(names("select '{{name}}', '{{bacth}}' -- {{x}}", Some("batch")), ["bacth"], "strings and comments may hold braces");
        assert_eq!(names("select '{{name}}' limit {{batch}}", None), ["batch"]);
        assert!(names("select '{1,2}'::int[], '{{1,2},{3,4}}', '{{}}', '{{ x }}', '{{é', '{{'", None).is_empty());
    }

    #[test]
    fn parameters_are_numbered_by_first_use() {
        holds("select :b, :a, :b", "select $1, $2, $1", &["b", "a"]);
        holds("where id=:id::uuid", "where id=$1::uuid", &["id"]);
        holds("where x = any(:ids::uuid[])", "where x = any($1::uuid[])", &["ids"]);
        holds("order by e <=> :q limit :k", "order by e <=> $1 limit $2", &["q", "k"]);
    }

    #[test]
    fn other_colons_are_no_parameters() {
        for sql in [
            "select 'a :b'",
            "select 'it''s :b'",
            "select E'\\' :b'",
            "select e'a'\n  '\\' :b'",
            "select 'a\\' -- :b",
            "select \"a :b\", \"c\"\" :d\"",
            "select $$ :b $$",
            "select $x$ $$ :b $y$ $x$",
            "-- :b\nselect 1",
            "/* /* :a */ :b */ select 1",
            "select a::text, b :: text",
            "select f(a := 1)",
            "select a[1:2], a[lo:hi], a[f(x):y], a[b[1]:c]",
        ] {
            holds(sql, sql, &[]);
        }
    }

    #[test]
    fn parameters_beside_such_things_are_found() {
        holds("select 'a' || :b", "select 'a' || $1", &["b"]);
        holds("select E'\\\\' || :b", "select E'\\\\' || $1", &["b"]);
        holds("select '\\' || :b", "select '\\' || $1", &["b"]);
        holds("select $$a$$ || :b", "select $$a$$ || $1", &["b"]);
        holds("select array[:a, :b]", "select array[$1, $2]", &["a", "b"]);
        holds("select a[:lo : :hi]", "select a[$1 : $2]", &["lo", "hi"]);
        holds("select a[x in (1, :b)]", "select a[x in (1, $1)]", &["b"]);
        holds("/* * / */ :a", "/* * / */ $1", &["a"]);
        holds("select x:a", "select x $1", &["a"]);
    }

    #[test]
    fn what_is_not_closed_is_told() {
        for (sql, what) in
            [("select 'a", "string"), ("/* /* */", "comment"), ("\"a", "quoted identifier"), ("$x$ $$", "dollar-quoted string")]
        {
            assert_eq!(scan(sql).unclosed.map(|(what, _)| what), Some(what), "{sql}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_scanned_and_kept_but_for_parameters(sql in "[ \n'\"$:a-cE1=*/\\[\\](),\\\\-]{0,60}|\\PC{0,60}") {
            let scan = scan(&sql);
            let (mut at, mut rest) = (0, scan.numbered.as_str());
            for (name, span) in &scan.uses {
                prop_assert_eq!(&sql[span.clone()], format!(":{name}"));
                let kept = &sql[at..span.start];
                prop_assert!(rest.starts_with(kept));
                let number = format!("${}", scan.names.iter().position(|n| n == name).unwrap() + 1);
                rest = rest[kept.len()..].trim_start_matches(' ').strip_prefix(number.as_str()).unwrap();
                if sql[span.end..].starts_with('$') {
                    rest = rest.strip_prefix(' ').unwrap();
                }
                at = span.end;
            }
            prop_assert_eq!(rest, &sql[at..]);
        }

        #[test]
        fn strings_hide_parameters(text in "[a-z :$\"\n-]{0,30}") {
            let sql = format!("select '{text}', :real");
            prop_assert_eq!(scan(&sql).names, vec!["real".to_owned()]);
        }

        #[test]
        fn scanning_twice_changes_nothing(sql in "[ \n'\":a-c1=*/,()\\[\\]]{0,60}") {
            let once = scan(&sql).numbered;
            prop_assert_eq!(&scan(&once).numbered, &once);
        }
    }
}

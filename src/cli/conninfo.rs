//! Connection strings of the form `host=db.example dbname=shop`, as libpq reads them.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// What may stand there. libpq knows more; leaving one of those out in silence would connect to another place, or in another way.
const KEYS: [&str; 9] = ["host", "port", "user", "password", "dbname", "sslmode", "sslrootcert", "application_name", "options"];

/// Values by key. Fails in words, which hold nothing that may be of a password.
pub fn parse(text: &str) -> Result<BTreeMap<&'static str, String>, String> {
    let mut found = BTreeMap::new();
    let mut rest = text.chars().peekable();
    loop {
        skip_spaces(&mut rest);
        let mut key = String::new();
        while let Some(letter) = rest.next_if(|letter| *letter != '=' && !letter.is_ascii_whitespace()) {
            key.push(letter);
        }
        skip_spaces(&mut rest);
        // A password with a space in it, and without quotes, goes on here.
        let shown = if found.contains_key("password") { "what stands behind the password".to_owned() } else { format!("\"{key}\"") };
        match (rest.next(), key.is_empty()) {
            (None, true) => return Ok(found),
            (Some('='), false) => {}
            _ => return Err(format!("a connection string has key=value in it, with a space between two; {shown} is no such thing")),
        }
        let known = KEYS.into_iter().find(|known| *known == key);
        let known =
            known.ok_or_else(|| format!("{shown} is no key of a connection string that is read here; those are {}", KEYS.join(", ")))?;
        skip_spaces(&mut rest);
        let value = value(&mut rest).ok_or_else(|| format!("the value of {key} has no end: a quote is missing"))?;
        found.insert(known, value);
    }
}

fn skip_spaces(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|letter| letter.is_ascii_whitespace()).is_some() {}
}

/// Up to a space, or to the quote at its end; a backslash stands before what is meant as it is. `None` if that quote is missing.
fn value(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    let quoted = rest.next_if_eq(&'\'').is_some();
    let mut value = String::new();
    loop {
        match rest.next_if(|letter| quoted || !letter.is_ascii_whitespace()) {
            None => return (!quoted).then_some(value),
            Some('\'') if quoted => return Some(value),
            Some('\\') => value.extend(rest.next()),
            Some(letter) => value.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_values_in_quotes_or_without() {
        let found = parse(r"  host=/tmp port = 5433 user='o\'neil' dbname='a b' password=p\ w\\x application_name='' ").unwrap();
        let wanted =
            [("host", "/tmp"), ("port", "5433"), ("user", "o'neil"), ("dbname", "a b"), ("password", r"p w\x"), ("application_name", "")];
        assert_eq!(found, wanted.into_iter().map(|(key, value)| (key, value.to_owned())).collect());
        assert_eq!(parse("dbname=one dbname=two").unwrap()["dbname"], "two", "the last one counts");
    }

    #[test]
    fn mistakes_are_told_without_values() {
        for (text, said) in [
            ("host", "\"host\" is no such thing"),
            ("= 5", "no such thing"),
            ("hots=canary", "\"hots\" is no key"),
            ("host=a canary", "\"canary\" is no such thing"),
            ("password='canary", "the value of password has no end"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        for text in ["hots=canary", "password='canary", "password=canary x=1", "password=a canary", "password=a canary=1"] {
            assert!(!parse(text).unwrap_err().contains("canary"), "{text}");
        }
    }
}

//! Passwords and connection strings that cannot be printed by accident.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Serialize, Serializer};
use sqlx::postgres::PgConnectOptions;

use super::error::TargetError;

/// What stands in for a secret in every rendering of it.
const REDACTED: &str = "***";

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

/// A password. `Debug` and `Serialize` print `***`; there is no `Display` and no `Deserialize`, so that
/// a secret neither enters a message nor comes back from a record.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The password itself: only for handing it to PostgreSQL.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

/// A `postgres://` URL. `Display`, `Debug` and `Serialize` give `user@host:port/database` and never the
/// password or a URL parameter.
#[derive(Clone)]
pub struct ConnectionString {
    options: PgConnectOptions,
    password: Option<Secret>,
    authorities: Option<PathBuf>,
}

impl ConnectionString {
    /// The options that the URL and the `PG*` environment variables give together.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// The password from the URL, its `password` parameter or `PGPASSWORD`, in the driver's order of
    /// precedence. One in a password file is known to the driver only.
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// The file of certificate authorities that the URL names (`sslrootcert`).
    pub(super) fn authorities(&self) -> Option<&Path> {
        self.authorities.as_deref()
    }
}

impl FromStr for ConnectionString {
    type Err = TargetError;

    fn from_str(url: &str) -> Result<Self, TargetError> {
        // The driver's own words for a bad URL are not passed on: they could quote a part of it.
        let Some((_, rest)) = url.split_once("://").filter(|(scheme, _)| matches!(*scheme, "postgres" | "postgresql")) else {
            return Err(TargetError::InvalidUrl { reason: "it does not start with postgres:// or postgresql://" });
        };
        let options = url.parse::<PgConnectOptions>().map_err(|_| TargetError::InvalidUrl {
            reason: "a part of it cannot be parsed (special characters in a password are written as %XX)",
        })?;
        let password =
            parameter(rest, "password").or_else(|| userinfo_password(rest)).or_else(|| std::env::var("PGPASSWORD").ok()).map(Secret);
        Ok(Self { options, password, authorities: parameter(rest, "sslrootcert").map(PathBuf::from) })
    }
}

/// The last parameter of this name in the part of a URL after `://`.
fn parameter(rest: &str, name: &str) -> Option<String> {
    let (_, query) = rest.split_once('?')?;
    query
        .split('#')
        .next()?
        .split('&')
        .filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        .next_back()
        .map(|value| percent_decode(&value.replace('+', " ")))
}

/// The password before the last `@` of the authority.
fn userinfo_password(rest: &str) -> Option<String> {
    let authority = rest.split(['/', '?', '#']).next()?;
    let (userinfo, _) = authority.rsplit_once('@')?;
    let (_, password) = userinfo.split_once(':')?;
    Some(percent_decode(password))
}

/// Decodes `%XX`; what is no valid escape stays as it is.
fn percent_decode(text: &str) -> String {
    let hex = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = match (byte, bytes.get(at + 1).copied().and_then(hex), bytes.get(at + 2).copied().and_then(hex)) {
            (b'%', Some(high), Some(low)) => Some(high << 4 | low),
            _ => None,
        };
        decoded.push(escape.unwrap_or(byte));
        at += if escape.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

impl fmt::Display for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@", self.options.get_username())?;
        match self.options.get_socket() {
            Some(directory) => write!(f, "{}", directory.display())?,
            None => write!(f, "{}", self.options.get_host())?,
        }
        write!(f, ":{}", self.options.get_port())?;
        match self.options.get_database() {
            Some(database) => write!(f, "/{database}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionString({self})")
    }
}

impl Serialize for ConnectionString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "c4n4ry-9f3";

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

    fn renderings(url: &str) -> String {
        let parsed: ConnectionString = url.parse().expect("a valid URL");
        format!("{parsed} {parsed:?} {parsed:#?} {} {:?}", serde_json::to_string(&parsed).expect("serializes"), parsed.password(),)
    }

    #[test]
    fn no_rendering_shows_the_password() {
        for url in [
            format!("postgres://ann:{CANARY}@db.example:6432/app"),
            format!("postgresql://ann@db.example:6432/app?password={CANARY}&sslmode=require"),
        ] {
            let shown = renderings(&url);
            assert!(!shown.contains(CANARY), "{shown}");
            assert!(shown.contains("ann@db.example:6432/app"), "{shown}");
        }
        let secret = Secret::new(CANARY);
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(serde_json::to_string(&secret).expect("serializes"), "\"***\"");
    }

    #[test]
    fn the_password_is_still_there_to_connect_with() {
        for (url, expected) in [
            ("postgres://ann:a%40b%2Fc@h/d", "a@b/c"),
            ("postgres://ann:x@h/d?password=from%20query", "from query"),
            ("postgres://ann:50%25@h/d", "50%"),
        ] {
            let parsed: ConnectionString = url.parse().expect("a valid URL");
            assert_eq!(parsed.password().map(Secret::expose), Some(expected), "{url}");
        }
    }

    #[test]
    fn a_bad_url_is_refused_without_being_quoted() {
        for url in [
            format!("mysql://ann:{CANARY}@h/d"),
            format!("ann:{CANARY}@h/d"),
            format!("postgres://ann:{CANARY}@h:port/d"),
            format!("postgres://ann:{CANARY}@h/d?sslmode=perhaps"),
        ] {
            let error = url.parse::<ConnectionString>().expect_err("refused");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(CANARY), "{shown}");
        }
    }
}

//! Passwords and connection strings that cannot be printed by accident.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Serialize, Serializer};
use sqlx::postgres::PgConnectOptions;

use super::error::TargetError;
use crate::shown::REDACTED;

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

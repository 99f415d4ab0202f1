//! Who a request is sent for, in the settings that PostgREST makes of it.

use std::fmt::Write;

use super::bind::Actor;
use crate::scenario::Identity;

/// The roles that requests become.
pub const API_ROLES: [&str; 3] = ["anon", "authenticated", "service_role"];
/// Where a Supabase project looks for names.
pub const SEARCH_PATH: &str = "public, extensions";
/// Time limits that a Supabase project sets for its roles.
const AUTHENTICATED_TIMEOUT: &str = "8s";
const ANON_TIMEOUT: &str = "3s";
const NO_TIMEOUT: &str = "0";

/// The order in which PostgREST sets them.
pub(super) fn preamble_sql(settings: &[(String, String)]) -> String {
    const NAMES: [&str; 8] = [
        "search_path",
        "statement_timeout",
        "role",
        "request.jwt.claims",
        "request.method",
        "request.path",
        "request.headers",
        "request.cookies",
    ];
    let names = NAMES.iter().copied().chain(settings.iter().map(|(name, _)| name.as_str()));
    let calls: Vec<String> =
        names.enumerate().map(|(index, name)| format!("set_config('{}', ${}, true)", name.replace('\'', "''"), index + 1)).collect();
    format!("select {}", calls.join(", "))
}

/// The role that requests of an identity become; `None` for statements that none runs.
pub(super) fn role(identity: &Identity) -> Option<&'static str> {
    match identity {
        Identity::Member { .. } => Some("authenticated"),
        Identity::Anon => Some("anon"),
        Identity::Service => Some("service_role"),
        Identity::None => None,
    }
}

/// Role, statement timeout and JWT claims.
pub fn identity(actor: &Actor) -> (&'static str, &'static str, String) {
    let mut claims = String::new();
    let (role, timeout) = write_identity(actor, &mut claims);
    (role, timeout, claims)
}

/// Role and statement timeout; JWT claims are appended to what is there.
pub(super) fn write_identity(actor: &Actor, claims: &mut String) -> (&'static str, &'static str) {
    match actor {
        Actor::User(user) => {
            let sub = uuid::Uuid::from_bytes(user.id);
            let _ = write!(claims, r#"{{"aud":"authenticated","role":"authenticated","sub":"{sub}","email":"{sub}@example.test"}}"#);
            ("authenticated", AUTHENTICATED_TIMEOUT)
        }
        Actor::Anon => {
            claims.push_str(r#"{"role":"anon"}"#);
            ("anon", ANON_TIMEOUT)
        }
        Actor::Service => {
            claims.push_str(r#"{"role":"service_role"}"#);
            ("service_role", NO_TIMEOUT)
        }
        Actor::Login => {
            claims.push_str("{}");
            ("none", NO_TIMEOUT)
        }
    }
}

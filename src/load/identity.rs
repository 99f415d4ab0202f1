//! Who a request is sent for, in the settings that PostgREST makes of it.

use std::fmt::Write;

use super::bind::Actor;

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

/// Role, statement timeout and JWT claims.
pub fn identity(actor: &Actor) -> (&'static str, &'static str, String) {
    match actor {
        Actor::User(user) => {
            let sub = uuid::Uuid::from_bytes(user.id);
            // Once a transaction: with room for all of it, one allocation.
            let mut claims = String::with_capacity(192);
            let _ = write!(claims, r#"{{"aud":"authenticated","role":"authenticated","sub":"{sub}","email":"{sub}@example.test"}}"#);
            ("authenticated", AUTHENTICATED_TIMEOUT, claims)
        }
        Actor::Anon => ("anon", ANON_TIMEOUT, r#"{"role":"anon"}"#.to_owned()),
        Actor::Service => ("service_role", NO_TIMEOUT, r#"{"role":"service_role"}"#.to_owned()),
        Actor::Login => ("none", NO_TIMEOUT, "{}".to_owned()),
    }
}

//! What an arm's database makes of a scenario that says too little.

use sqlx::postgres::PgConnection;

use crate::record::{CheckKind, CheckRecord};
use crate::scenario::{Identity, Scenario};

/// Names of the scripts that nobody is signed in for: they run as the login role, a superuser, whom no policy holds.
pub fn scripts_of_nobody(scenario: &Scenario) -> Vec<String> {
    let bare = scenario.transactions.iter().filter(|one| one.script.is_some() && one.identity == Identity::None);
    bare.map(|one| one.name.clone()).collect()
}

/// Whether a database has policies.
pub async fn has_policies(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let sql = "select exists (select from pg_class where relrowsecurity and relkind in ('r', 'p'))";
    sqlx::query_scalar(sql).fetch_one(connection).await
}

/// The warning of such a script where there are policies.
pub fn policies_do_not_act(scenario: &str, script: String) -> CheckRecord {
    let finding = "runs as the login role, a superuser, for whom no policy acts; give it an identity, such as \"member\", and take begin and \
                   end out of the script, to measure what users get";
    CheckRecord::warning(scenario.to_owned(), CheckKind::Environment, script, None, finding.to_owned())
}

//! The roles that pgduel makes on a server and logs in as. The superuser is not one of them.
//!
//! A session logs in as its role. `set role` in a superuser's session would not do, since `reset role` undoes it.

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, PgConnection};

use super::database::{quote_ident, quote_literal, set_for};
use super::error::TargetError;
use super::secret::Secret;
use super::server::{Server, ServerKind, close};

/// What the comment on a role of pgduel's starts with. A role without it is somebody else's.
const MARK_PREFIX: &str = "pgduel: ";
/// The lock under which roles are made, in the database for administration: they belong to the whole server.
const LOCK: &str = "pgduel's roles";
/// The password of all roles of pgduel's, for servers behind a pooler that has a list of passwords.
const PASSWORD_VARIABLE: &str = "PGDUEL_LOGIN_PASSWORD";

/// As whom a session logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login<'a> {
    /// pgduel itself, and the files that a suite lists as its platform.
    Superuser,
    /// The owner of what a suite's tables, indexes and variants create.
    Owner,
    /// Statements of an identity: it may become the roles of [`let_become`], and has no right of its own.
    Requests,
    /// Statements of no identity: a role that the suite names.
    Application(&'a str),
}

impl<'a> Login<'a> {
    /// Its role on a server; `None` for the superuser, whom pgduel did not make. A dump of Supabase's gives everything to `postgres`.
    pub fn role(self, kind: ServerKind) -> Option<&'a str> {
        match (self, kind) {
            (Self::Superuser, _) => None,
            (Self::Owner, ServerKind::Embedded) => Some("postgres"),
            (Self::Owner, ServerKind::External) => Some("pgduel_owner"),
            (Self::Requests, _) => Some("pgduel_requests"),
            (Self::Application(name), _) => Some(name),
        }
    }

    fn purpose(self) -> &'static str {
        match self {
            Self::Superuser | Self::Owner => "owns what a suite's files create",
            Self::Requests => "logs in for requests",
            Self::Application(_) => "logs in for statements of no identity",
        }
    }
}

/// The password of a role: the same for every pgduel that knows the key, so that runs on one server do not take it from each other.
pub(super) fn password(key: &Secret, role: &str) -> Secret {
    if let Ok(chosen) = std::env::var(PASSWORD_VARIABLE)
        && !chosen.is_empty()
    {
        return Secret::new(chosen);
    }
    let mut hash = Sha256::new();
    for part in ["pgduel login", key.expose(), role] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    Secret::new(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Makes the roles of a run, or finds the ones that are there: the owner, the login of requests, and the suite's own login if it names one. All of them can
/// log in then.
///
/// # Errors
/// [`TargetError::Unsuited`] if a role of that name is not pgduel's, has rights that none may have, or is not let in by the server.
pub async fn make_roles(server: &Server, application: Option<&str>) -> Result<(), TargetError> {
    server.prepare_login_key()?;
    let mut admin = locked(server).await?;
    for login in [Login::Owner, Login::Requests].into_iter().chain(application.map(Login::Application)) {
        let Some(role) = login.role(server.kind()) else { continue };
        make_role(&mut admin, server, login, role).await?;
        reset_settings(&mut admin, role).await?;
        refuse_rights(&mut admin, role).await?;
        let_in(&mut admin, server, login, role).await?;
    }
    close(admin).await;
    Ok(())
}

/// Lets sessions of requests become each of `roles` that is there, and no other.
///
/// # Errors
/// [`TargetError::Unsuited`] if they may become yet another one, or if the platform gave a role of pgduel's a right that none may have.
pub async fn let_become(server: &Server, roles: &[&str], application: Option<&str>) -> Result<(), TargetError> {
    let Some(requests) = Login::Requests.role(server.kind()) else { return Ok(()) };
    let mut admin = locked(server).await?;
    let sql = "select rolname::text, pg_has_role($1, oid, 'member')
                 from pg_roles
                where rolname <> $1 and (rolname = any($2) or pg_has_role($1, oid, 'member'))
                order by 1";
    let found: Vec<(String, bool)> =
        sqlx::query_as(sql).bind(requests).bind(roles).fetch_all(&mut admin).await.map_err(TargetError::sql("read who may become whom"))?;
    for (role, may_become) in found {
        match (roles.contains(&role.as_str()), may_become) {
            (true, false) => execute(&mut admin, format!("grant {} to {}", quote_ident(&role), quote_ident(requests)), requests).await?,
            (true, true) => {}
            (false, _) => {
                let why = format!(
                    "role \"{requests}\" may become \"{role}\", itself or by way of another role, and no request does: revoke that"
                );
                return Err(TargetError::Unsuited(why));
            }
        }
    }
    for role in Login::Owner.role(server.kind()).into_iter().chain([requests]).chain(application) {
        refuse_rights(&mut admin, role).await?;
    }
    close(admin).await;
    Ok(())
}

/// Gives a database's schema `public` to the owner, who may create schemas and trusted extensions there. The database stays the superuser's, so that no file
/// of a suite drops or renames it, or changes its mark.
pub async fn give_public(server: &Server, database: &str) -> Result<(), TargetError> {
    let Some(owner) = Login::Owner.role(server.kind()).map(quote_ident) else { return Ok(()) };
    let mut connection = server.connect(database).await?;
    let sql = format!("alter schema public owner to {owner}; grant create on database {} to {owner}", quote_ident(database));
    execute(&mut connection, sql, database).await?;
    close(connection).await;
    Ok(())
}

/// What the owner can change of itself by any file, though it is the whole server's.
#[derive(Debug, PartialEq, Eq)]
pub struct OwnerState {
    password: Option<String>,
    /// Pairs of a database, or null for all, and settings in it, as JSON.
    settings: String,
    members: Vec<String>,
}

impl OwnerState {
    /// Reads it from the server's catalogue.
    pub async fn read(server: &Server) -> Result<OwnerState, TargetError> {
        let sql = "select rolpassword,
                          coalesce((select jsonb_agg(jsonb_build_array(datname, setconfig) order by datname)
                                      from pg_db_role_setting left join pg_database as d on d.oid = setdatabase
                                     where setrole = r.oid), '[]')::text,
                          array(select pg_get_userbyid(member)::text from pg_auth_members where roleid = r.oid order by 1)
                     from pg_authid as r where rolname = $1";
        let mut admin = server.connect_admin().await?;
        let read = sqlx::query_as(sql).bind(Login::Owner.role(server.kind())).fetch_one(&mut admin).await;
        let (password, settings, members) = read.map_err(TargetError::sql("read what the owner of the tables is"))?;
        close(admin).await;
        Ok(OwnerState { password, settings, members })
    }

    /// Restores this state if a file has changed it. Returns whether one had.
    pub async fn restore(&self, server: &Server) -> Result<bool, TargetError> {
        let now = OwnerState::read(server).await?;
        let Some(owner) = Login::Owner.role(server.kind()).filter(|_| now != *self) else { return Ok(false) };
        let role = quote_ident(owner);
        let password = self.password.as_deref().map_or_else(|| "null".to_owned(), quote_literal);
        let mut admin = server.connect_admin().await?;
        reset_settings(&mut admin, owner).await?;
        let mut sql = vec![format!("alter role {role} password {password}")];
        for (database, settings) in self.parsed() {
            sql.extend(set_for(&format!("role {role} {}", in_database(database.as_deref())), &settings));
        }
        let new = now.members.iter().filter(|member| !self.members.contains(member));
        sql.extend(new.map(|member| format!("revoke {role} from {} cascade", quote_ident(member))));
        for sql in sql {
            execute(&mut admin, sql, owner).await?;
        }
        close(admin).await;
        Ok(true)
    }

    fn parsed(&self) -> Vec<(Option<String>, Vec<String>)> {
        serde_json::from_str(&self.settings).unwrap_or_default()
    }
}

async fn locked(server: &Server) -> Result<PgConnection, TargetError> {
    let mut admin = server.connect_admin().await?;
    let lock = sqlx::query("select pg_advisory_lock(hashtextextended($1, 0))").bind(LOCK);
    lock.execute(&mut admin).await.map_err(TargetError::sql("wait for other runs that make roles"))?;
    Ok(admin)
}

async fn make_role(admin: &mut PgConnection, server: &Server, login: Login<'_>, role: &str) -> Result<(), TargetError> {
    let found: Option<Option<String>> = sqlx::query_scalar("select shobj_description(oid, 'pg_authid') from pg_roles where rolname = $1")
        .bind(role)
        .fetch_optional(&mut *admin)
        .await
        .map_err(TargetError::sql(format!("look for role \"{role}\"")))?;
    match found {
        Some(Some(comment)) if comment.starts_with(MARK_PREFIX) => Ok(()),
        Some(_) => Err(TargetError::Unsuited(format!(
            "role \"{role}\" is there already, and pgduel did not make it (its comment has no mark of pgduel's); rename it, or use another server"
        ))),
        None => {
            let inherit = if login == Login::Requests { "noinherit" } else { "inherit" };
            // Both or neither: one without its mark would be nobody's.
            let sql = format!(
                "create role {name} login {inherit} password {}; comment on role {name} is {}",
                quote_literal(&verifier(&server.login_password(role))),
                quote_literal(&format!("{MARK_PREFIX}{}", login.purpose())),
                name = quote_ident(role),
            );
            execute(admin, sql, role).await
        }
    }
}

/// Takes from a role of pgduel's the settings that it has given itself: a run that was killed, or an index function that ANALYZE called, may have left some, and
/// with the wrong one nobody can log in.
async fn reset_settings(admin: &mut PgConnection, role: &str) -> Result<(), TargetError> {
    let sql = "select d.datname::text from pg_db_role_setting left join pg_database as d on d.oid = setdatabase
                where setrole = (select oid from pg_roles where rolname = $1)";
    let set: Vec<Option<String>> = sqlx::query_scalar(sql)
        .bind(role)
        .fetch_all(&mut *admin)
        .await
        .map_err(TargetError::sql(format!("read the settings of \"{role}\"")))?;
    for database in set {
        execute(admin, format!("alter role {} {} reset all", quote_ident(role), in_database(database.as_deref())), role).await?;
    }
    Ok(())
}

/// The part of ALTER ROLE that says where a setting holds.
fn in_database(database: Option<&str>) -> String {
    database.map_or_else(String::new, |name| format!("in database {}", quote_ident(name)))
}

/// Logs in, with a new password if it takes that: the key may be another one than when the role was made.
async fn let_in(admin: &mut PgConnection, server: &Server, login: Login<'_>, role: &str) -> Result<(), TargetError> {
    match log_in(server, login).await {
        Err(error) if is_refusal(&error) => {}
        other => return other,
    }
    let new = quote_literal(&verifier(&server.login_password(role)));
    execute(admin, format!("alter role {} login password {new}", quote_ident(role)), role).await?;
    log_in(server, login).await.map_err(|error| match is_refusal(&error) {
        true => TargetError::Unsuited(format!(
            "{error}. pgduel made this role and logs in as it with a password: let it in (scram-sha-256 in the server's pg_hba.conf)"
        )),
        false => error,
    })
}

async fn log_in(server: &Server, login: Login<'_>) -> Result<(), TargetError> {
    match server.connect_as(login, server.admin_database()).await {
        Ok(connection) => close(connection).await,
        // It was let in, if not into this database.
        Err(error) if error.sqlstate().as_deref() == Some("42501") => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Whether the server does not take the role, or its password.
fn is_refusal(error: &TargetError) -> bool {
    error.sqlstate().is_some_and(|code| code.starts_with("28"))
}

/// Refuses a role that could do more than belongs to one database.
async fn refuse_rights(admin: &mut PgConnection, role: &str) -> Result<(), TargetError> {
    let sql = "select array_remove(array[case when r.rolsuper then 'SUPERUSER' end, case when r.rolcreaterole then 'CREATEROLE' end,
                                         case when r.rolcreatedb then 'CREATEDB' end, case when r.rolreplication then 'REPLICATION' end], null)
                   || array(select g.rolname::text from pg_roles as g
                             where g.oid <> r.oid and not r.rolsuper and pg_has_role(r.oid, g.oid, 'member')
                               and (g.rolsuper or g.rolcreaterole or g.rolcreatedb or g.rolreplication or starts_with(g.rolname, 'pg_'))
                             order by 1)
                 from pg_roles as r where r.rolname = $1";
    let rights: Option<Vec<String>> = sqlx::query_scalar(sql)
        .bind(role)
        .fetch_optional(admin)
        .await
        .map_err(TargetError::sql(format!("read the rights of \"{role}\"")))?;
    match rights.unwrap_or_default() {
        rights if rights.is_empty() => Ok(()),
        rights => Err(TargetError::Unsuited(format!(
            "role \"{role}\" has {}, which a suite's files may not have; take it from the role",
            rights.join(", ")
        ))),
    }
}

/// What the server stores of a password, so that the password itself is in no log.
fn verifier(password: &Secret) -> String {
    postgres_protocol::password::scram_sha_256(password.expose().as_bytes())
}

async fn execute(connection: &mut PgConnection, sql: String, subject: &str) -> Result<(), TargetError> {
    let doing = format!("give \"{subject}\" its rights");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop).map_err(TargetError::sql(doing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_a_password_of_its_own_that_the_key_makes() {
        let (key, other) = (Secret::new("a"), Secret::new("b"));
        let made = [password(&key, "x"), password(&key, "y"), password(&other, "x"), password(&Secret::new("ax"), "")];
        for (index, one) in made.iter().enumerate() {
            assert!(made[..index].iter().all(|before| before != one));
        }
        assert_eq!(password(&key, "x"), made[0]);
        assert!(verifier(&made[0]).starts_with("SCRAM-SHA-256$4096:"));
    }
}

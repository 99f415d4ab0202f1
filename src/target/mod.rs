//! The PostgreSQL server under test and its databases.
//!
//! Owns: finding and running a server ([`EmbeddedServer`]) or reaching somebody else's ([`ExternalServer`]); creating,
//! cloning, marking, warming and dropping databases; applying SQL files; reading what a schema is; and the guard that
//! decides whether a database may be written to at all. Takes options and names, returns connections, descriptions and
//! timings. Passwords are [`Secret`]s from the moment they exist.
//!
//! Must not know what a database is for: datasets, scenarios, measuring and records are other modules'. Nothing here is
//! on the timed path.

mod catalog;
mod connection;
mod database;
mod embedded;
mod error;
mod external;
mod guard;
mod installation;
mod login;
mod secret;
mod run_lock;
mod server;
mod settings;
mod sql_file;

pub use catalog::{APPLICATION_SCHEMAS, Catalog, catalog, diff};
pub use connection::{APPLICATION_NAME, ConnInfo, Endpoint, HostKind};
pub use database::{
    DatabaseMark, IndexBuild, PgduelDatabase, Purpose, create_database, database_mark, drop_database, end_idle_sessions, index_builds,
    list_pgduel_databases, prewarm, quote_ident, quote_literal, remark_database,
};
pub use embedded::{
    EmbeddedOptions, EmbeddedServer, Lifetime, SlotStatus, SlotUse, Stopped, status as embedded_status, stop as stop_embedded,
};
pub use error::TargetError;
pub use external::ExternalServer;
pub use guard::{HostPolicy, Refusal, Refusals, WriteRequest, guard_writable};
pub use installation::Installation;
pub use login::{Login, OwnerState, give_public, let_become, make_roles};
pub use run_lock::{RunLock, RunName, drop_orphans, is_over};
pub use secret::{ConnectionString, Secret};
pub use server::{Server, ServerDescription, ServerKind};
pub use settings::{Durability, settings};
pub use sql_file::{AppliedStatement, ApplyError, SqlFileError, apply_filled_sql_file, apply_sql, apply_sql_file};

//! `pgduel server`, and the choice of server for every command that needs one.

use super::args::{Cli, EmbeddedChoice, Fsync, ServerAction, ServerArgs, ServerChoice};
use super::{CommandResult, Failure, exit, out};
use crate::report::format::bytes;
use crate::shown::shown;
use crate::target::{
    Durability, EmbeddedOptions, EmbeddedServer, Endpoint, ExternalServer, HostKind, Lifetime, PgduelDatabase, Purpose, Server, SlotStatus,
    SlotUse, Stopped, drop_database, drop_orphans, embedded_status, is_over, list_pgduel_databases, stop_embedded,
};

/// Starts the embedded server, or takes the one that was named.
pub async fn choose(choice: &ServerChoice, lifetime: Lifetime) -> Result<Server, Failure> {
    refuse_options()?;
    let Some(url) = &choice.database_url else { return embedded(&choice.embedded, lifetime).await };
    let server: Server = ExternalServer::parse(url).map_err(|error| Failure::Usage(error.to_string()))?.into();
    if server.host_kind() == HostKind::Remote && !choice.allow_host {
        let why = "the server is not on this machine, and load can hurt it; --allow-host allows that";
        return Err(Failure::Usage(why.to_owned()));
    }
    Ok(server)
}

async fn embedded(choice: &EmbeddedChoice, lifetime: Lifetime) -> Result<Server, Failure> {
    let durability = match choice.fsync {
        Fsync::On => Durability::On,
        Fsync::Off => Durability::Off,
    };
    let options = EmbeddedOptions { pg_bin: choice.pg_bin.clone(), durability, lifetime, ..EmbeddedOptions::default() };
    Ok(EmbeddedServer::start(&options).await.map_err(anyhow::Error::from)?.into())
}

/// `PGOPTIONS` would change some of the connections, those that prepare and check, and not those that are timed.
fn refuse_options() -> Result<(), Failure> {
    if std::env::var_os("PGOPTIONS").is_some_and(|options| !options.is_empty()) {
        let why =
            "PGOPTIONS is set, which would change settings of the server under test; unset it and say in SQL or the scenario what is meant";
        return Err(Failure::Usage(why.to_owned()));
    }
    Ok(())
}

/// `pgduel server`
pub fn server(cli: &Cli, args: &ServerArgs) -> CommandResult {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from)?;
    runtime.block_on(async {
        match &args.action {
            ServerAction::Start { server } => start(server, cli.quiet, psql).await,
            ServerAction::Env { server } => start(server, true, exports).await,
            ServerAction::Stop => stop().await,
            ServerAction::Status => status(),
            ServerAction::Clean { databases, server } => clean(server, databases).await,
        }
    })
}

/// Starts it, and prints what `way` makes of it.
async fn start(choice: &EmbeddedChoice, quiet: bool, way: fn(&Server) -> String) -> CommandResult {
    refuse_options()?;
    let server = embedded(choice, Lifetime::KeepRunning).await?;
    if !quiet {
        let version = server.describe().await.map_err(anyhow::Error::from)?.version;
        let version = version.split(" on ").next().unwrap_or_default();
        out::say(&format!("{version} runs until pgduel server stop. To look into it:"));
    }
    out::print(&format!("{}\n", way(&server)))?;
    server.finish().await.map_err(anyhow::Error::from)?;
    Ok(exit::PASS)
}

/// A command for a shell.
fn psql(server: &Server) -> String {
    let Place { host, port, user, database, password } = Place::of(server);
    let password = password.map_or_else(String::new, |password| format!("PGPASSWORD={password} "));
    format!("{password}psql -h {host} -p {port} -U {user} -d {database}")
}

/// Variables for a shell.
fn exports(server: &Server) -> String {
    let Place { host, port, user, password, .. } = Place::of(server);
    let password = password.map_or_else(String::new, |password| format!(" PGPASSWORD={password}"));
    format!("export PGHOST={host} PGPORT={port} PGUSER={user}{password}")
}

/// Where a server is, in a shell's words. The password is read from its file, so that it is in no output and no list of processes.
struct Place {
    host: String,
    port: u16,
    user: String,
    database: String,
    password: Option<String>,
}

impl Place {
    fn of(server: &Server) -> Place {
        let info = server.conn_info("postgres");
        let (host, port) = match &info.endpoint {
            Endpoint::Socket { directory, port } => (directory.display().to_string(), *port),
            Endpoint::Tcp { host, port } => (host.clone(), *port),
        };
        let password = match server {
            Server::Embedded(embedded) => {
                Some(format!("\"$(cat {})\"", quoted(&embedded.directory().join("password").display().to_string())))
            }
            Server::External(_) => None,
        };
        Place { host: quoted(&host), port, user: quoted(&info.user), database: quoted(&info.database), password }
    }
}

/// For a shell.
pub(super) fn quoted(text: &str) -> String {
    let harmless = |c: char| c.is_alphanumeric() || "/._-=:,@%+".contains(c);
    if !text.is_empty() && text.chars().all(harmless) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

async fn stop() -> CommandResult {
    let stopped = stop_embedded(None).await.map_err(anyhow::Error::from)?;
    let lines: Vec<String> = stopped.iter().map(describe_stopped).collect();
    match lines.is_empty() {
        true => out::print("no embedded server runs\n")?,
        false => out::print(&format!("{}\n", lines.join("\n")))?,
    }
    Ok(exit::PASS)
}

fn describe_stopped(stopped: &Stopped) -> String {
    match stopped {
        Stopped::Ended { directory, pid } => format!("stopped the server in {} (process {pid})", directory.display()),
        Stopped::InUse { directory, by } => {
            let place = directory.display();
            format!("left the server in {place} alone: {} is using it", user(*by))
        }
    }
}

fn user(process: Option<i32>) -> String {
    process.map_or("a running pgduel".to_owned(), |process| format!("the pgduel with process {process}"))
}

fn status() -> CommandResult {
    let slots = embedded_status(None).map_err(anyhow::Error::from)?;
    let lines: Vec<String> = slots.iter().map(describe_slot).collect();
    match lines.is_empty() {
        true => out::print("no embedded server was ever started here; pgduel server start or any duel does that\n")?,
        false => out::print(&format!("{}\n", lines.join("\n")))?,
    }
    Ok(exit::PASS)
}

/// Drops orphaned databases and those that `wanted` names, and lists the ones that stay.
async fn clean(choice: &ServerChoice, wanted: &[String]) -> CommandResult {
    if choice.database_url.is_none() && embedded_status(None).map_err(anyhow::Error::from)?.is_empty() {
        out::print("no embedded server was ever started here, so nothing is left behind\n")?;
        return Ok(exit::PASS);
    }
    let server = choose(choice, Lifetime::ThisProcess).await?;
    let cleaned = clean_on(&server, wanted).await;
    server.finish().await.map_err(anyhow::Error::from)?;
    cleaned
}

async fn clean_on(server: &Server, wanted: &[String]) -> CommandResult {
    let mut lines = Vec::new();
    let size = |database: &PgduelDatabase| bytes(u64::try_from(database.size_bytes).unwrap_or(0) as f64);
    let orphans = drop_orphans(server).await.map_err(anyhow::Error::from)?;
    for database in &orphans {
        lines.push(format!("dropped {} ({}), which a run left behind", database.name, size(database)));
    }
    let refused = |lines: &[String], why: String| {
        lines.iter().for_each(|line| out::say(line));
        Err(Failure::Usage(why))
    };
    let mut there = list_pgduel_databases(server).await.map_err(anyhow::Error::from)?;
    for name in wanted.iter().filter(|name| orphans.iter().all(|orphan| orphan.name != **name)) {
        let Some(database) = there.iter().find(|database| database.name == *name).cloned() else {
            let names: Vec<&str> = there.iter().map(|database| database.name.as_str()).collect();
            let known = if names.is_empty() { "there is none".to_owned() } else { format!("there are: {}", names.join(", ")) };
            return refused(&lines, format!("no database of pgduel's is called {name}; {known}"));
        };
        // A run clones its template from time to time.
        let in_use = match &database.mark.run {
            Some(run) => !is_over(server, run).await,
            None => there.iter().any(|other| other.mark.run.is_some()),
        };
        if in_use {
            return refused(&lines, format!("a run is using {name}, or may need it; try again when it has ended"));
        }
        drop_database(server, name).await.map_err(anyhow::Error::from)?;
        there.retain(|other| other.name != *name);
        lines.push(format!("dropped {name} ({})", size(&database)));
    }
    for database in &there {
        let what = match (database.mark.purpose, &database.mark.run) {
            (Purpose::Template, _) => "a seeded template, for the next run",
            (_, Some(_)) => "a run is using it",
            (_, None) => "it does not say of which run it is; name it to drop it",
        };
        lines.push(format!("{} ({}) stays: {what}", database.name, size(database)));
    }
    match lines.is_empty() {
        true => out::print("no database of pgduel's is there\n")?,
        false => out::print(&format!("{}\n", shown(&lines.join("\n"))))?,
    }
    Ok(exit::PASS)
}

fn describe_slot(slot: &SlotStatus) -> String {
    let place = slot.directory.display();
    let used = match slot.in_use {
        SlotUse::Free => "no run is using it".to_owned(),
        SlotUse::InUse(by) => format!("{} is using it", user(by)),
    };
    match (slot.pid, slot.port) {
        (Some(pid), Some(port)) => format!("running  {place}\n         process {pid}, port {port} on 127.0.0.1; {used}"),
        (Some(pid), None) => format!("starting {place}\n         process {pid}; {used}"),
        (None, _) => format!("stopped  {place}\n         {used}; its seeded data is kept"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_described_in_words() {
        let slot = |pid, port, in_use| SlotStatus { directory: "/cache/pg17/slot-0".into(), pid, port, in_use };
        let running = describe_slot(&slot(Some(7), Some(5433), SlotUse::Free));
        assert_eq!(running, "running  /cache/pg17/slot-0\n         process 7, port 5433 on 127.0.0.1; no run is using it");
        let used = describe_slot(&slot(Some(7), None, SlotUse::InUse(Some(9))));
        assert_eq!(used, "starting /cache/pg17/slot-0\n         process 7; the pgduel with process 9 is using it");
        let free = describe_slot(&slot(None, None, SlotUse::InUse(None)));
        assert_eq!(free, "stopped  /cache/pg17/slot-0\n         a running pgduel is using it; its seeded data is kept");
    }

    #[test]
    fn paths_survive_a_shell() {
        assert_eq!(quoted("/tmp/pg-1/x"), "/tmp/pg-1/x");
        assert_eq!(quoted("/a b/it's"), r"'/a b/it'\''s'");
    }

    #[test]
    fn stopping_says_what_became_of_each() {
        let ended = Stopped::Ended { directory: "/cache/pg17/slot-0".into(), pid: 7 };
        assert_eq!(describe_stopped(&ended), "stopped the server in /cache/pg17/slot-0 (process 7)");
        let in_use = Stopped::InUse { directory: "/cache/pg17/slot-1".into(), by: Some(9) };
        assert!(describe_stopped(&in_use).ends_with("alone: the pgduel with process 9 is using it"));
    }
}

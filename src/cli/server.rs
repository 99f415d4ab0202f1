//! `pgduel server`, and the choice of server for every command that needs one.

use super::args::{Fsync, ServerAction, ServerArgs, ServerChoice};
use super::{CommandResult, Failure, exit};
use crate::target::{
    Durability, EmbeddedOptions, EmbeddedServer, ExternalServer, HostKind, Lifetime, Server, SlotUse, Stopped, embedded_status,
    stop_embedded,
};

/// Starts the embedded server, or takes the one that was named.
pub async fn choose(choice: &ServerChoice, lifetime: Lifetime) -> Result<Server, Failure> {
    let Some(url) = &choice.database_url else {
        let durability = match choice.fsync {
            Fsync::On => Durability::On,
            Fsync::Off => Durability::Off,
        };
        let options = EmbeddedOptions { pg_bin: choice.pg_bin.clone(), durability, lifetime, ..EmbeddedOptions::default() };
        let server = EmbeddedServer::start(&options).await.map_err(anyhow::Error::from)?;
        return Ok(server.into());
    };
    let server: Server = ExternalServer::parse(url).map_err(|error| Failure::Usage(error.to_string()))?.into();
    if server.host_kind() == HostKind::Remote && !choice.allow_host {
        let why = "the server is not on this machine, and load can hurt it; --allow-host allows that";
        return Err(Failure::Usage(why.to_owned()));
    }
    Ok(server)
}

/// `pgduel server`
pub fn server(args: &ServerArgs) -> CommandResult {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from)?;
    runtime.block_on(async {
        match &args.action {
            ServerAction::Start { server } => start(server).await,
            ServerAction::Stop => stop().await,
            ServerAction::Status => status(),
        }
    })
}

async fn start(choice: &ServerChoice) -> CommandResult {
    if choice.database_url.is_some() {
        return Err(Failure::Usage("a server of your own is not pgduel's to start; leave out --database-url and DATABASE_URL".to_owned()));
    }
    let server = choose(choice, Lifetime::KeepRunning).await?;
    println!("{}", server.conn_info("postgres"));
    server.finish().await.map_err(anyhow::Error::from)?;
    Ok(exit::PASS)
}

async fn stop() -> CommandResult {
    let stopped = stop_embedded(None).await.map_err(anyhow::Error::from)?;
    if stopped.is_empty() {
        println!("no embedded server runs");
    }
    for one in stopped {
        println!("{}", describe_stopped(&one));
    }
    Ok(exit::PASS)
}

fn describe_stopped(stopped: &Stopped) -> String {
    format!("{stopped:?}")
}

fn status() -> CommandResult {
    let slots = embedded_status(None).map_err(anyhow::Error::from)?;
    if slots.is_empty() {
        println!("no embedded server was ever started");
    }
    for slot in slots {
        let used = match slot.in_use {
            SlotUse::Free => "free",
            _ => "in use",
        };
        println!("{slot:?} {used}");
    }
    Ok(exit::PASS)
}

//! The server that pgduel runs itself, from the PostgreSQL on the machine: a throw-away cluster in a cache directory,
//! with a random password, on a private socket and a free loopback port.
//!
//! Owns the cluster's directory, its processes, who may use them (a lock), and how they end. Returns how to connect.
//! Must not know what the databases in it are for.
//!
//! ```text
//! $PGDUEL_HOME/pg17/slot-0.lock        held by the pgduel that uses the slot
//! $PGDUEL_HOME/pg17/slot-0/data        the cluster
//!                         /password    0600
//!                         /socket      0700
//!                         /server.log
//!                         /keep-running  present after `pgduel server start`
//! ```

mod cluster;
mod control;
mod home;
mod postmaster;
mod slot;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use self::home::RunAs;
use self::postmaster::{Found, Postmaster, Status};
use self::slot::Slot;
use super::connection::{ConnInfo, Endpoint};
use super::error::TargetError;
use super::installation::Installation;
use super::run_lock::RunName;
use super::secret::Secret;
use super::settings::{Durability, settings};

pub use control::{SlotStatus, SlotUse, Stopped, status, stop};
pub(super) use home::login_key;

const POLL: Duration = Duration::from_millis(10);
/// Tries to start: the port may be taken in between, or children of a killed server may still hold its memory.
const START_TRIES: u32 = 20;
const START_PAUSE: Duration = Duration::from_millis(250);

/// How long the server lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lifetime {
    /// As long as the [`EmbeddedServer`] value.
    #[default]
    ThisProcess,
    /// Until `pgduel server stop`, for many short runs in a row.
    KeepRunning,
}

/// What to start. `Default` is what `pgduel duel` uses.
#[derive(Debug, Clone, Default)]
pub struct EmbeddedOptions {
    /// Where clusters are kept; `None`: `PGDUEL_HOME`, else the user's cache directory.
    pub home: Option<PathBuf>,
    /// The installation's `bin` directory; `None`: the newest that has pgvector.
    pub pg_bin: Option<PathBuf>,
    /// Whether commits wait for the disk.
    pub durability: Durability,
    /// `shared_buffers`; `None`: by this machine's memory.
    pub shared_buffers_bytes: Option<u64>,
    /// How long the server lives. A server that was told to keep running does so whatever is said here.
    pub lifetime: Lifetime,
}

/// A running embedded server. Dropping it ends the server (see [`Lifetime`]).
#[derive(Debug)]
pub struct EmbeddedServer {
    // Before the slot: fields drop in order, and the lock must outlast the server.
    postmaster: Postmaster,
    slot: Slot,
    port: u16,
    socket_directory: PathBuf,
    password: Secret,
    settings: Vec<(String, String)>,
    lifetime: Lifetime,
    run: OnceLock<RunName>,
}

impl EmbeddedServer {
    /// Starts a server in the first free slot, or takes over the one that still runs there. Creates the cluster the
    /// first time. The server answers when this returns.
    pub async fn start(options: &EmbeddedOptions) -> Result<Self, TargetError> {
        let installation = Installation::choose(options.pg_bin.as_deref())?;
        let run_as = RunAs::detect()?;
        let home = home::locate(options.home.as_deref())?;
        let base = home::prepare(&home, installation.major, run_as)?;
        let slot = Slot::first_free(&base, run_as)?;
        let password = cluster::ensure(&installation, &slot, run_as, options.durability).await?;
        let settings = settings(options.durability, options.shared_buffers_bytes);
        let lifetime = match (options.lifetime, slot.keep_file().exists()) {
            (Lifetime::ThisProcess, false) => Lifetime::ThisProcess,
            _ => Lifetime::KeepRunning,
        };

        let running = match postmaster::find(&slot.data())? {
            Found::Running(_) => take_over(&slot, &password, &settings).await?,
            Found::Stale => {
                let file = slot.data().join("postmaster.pid");
                std::fs::remove_file(&file).map_err(TargetError::file("remove", file))?;
                None
            }
            Found::Nothing => None,
        };
        let (postmaster, port, socket_directory) = match running {
            Some(running) => running,
            None => {
                cluster::write_settings(&slot, &settings, run_as)?;
                start_postmaster(&installation, &slot, &password, run_as).await?
            }
        };
        let mut server = Self { postmaster, slot, port, socket_directory, password, settings, lifetime, run: OnceLock::new() };
        if lifetime == Lifetime::KeepRunning {
            let keep = server.slot.keep_file();
            std::fs::write(&keep, b"").map_err(TargetError::file("write", keep))?;
            server.postmaster.release();
        }
        Ok(server)
    }

    pub(super) fn run(&self) -> &OnceLock<RunName> {
        &self.run
    }

    /// How to connect to `database`: over the socket, as the superuser.
    pub fn conn_info(&self, database: &str) -> ConnInfo {
        conn_info(&self.socket_directory, self.port, &self.password, database)
    }

    /// The same over TCP on the loopback address, for what cannot use a socket.
    pub fn tcp_conn_info(&self, database: &str) -> ConnInfo {
        ConnInfo { endpoint: Endpoint::Tcp { host: "127.0.0.1".to_owned(), port: self.port }, ..self.conn_info(database) }
    }

    pub(super) fn password(&self) -> &Secret {
        &self.password
    }

    /// Everything that pgduel set, name and value.
    pub fn settings(&self) -> &[(String, String)] {
        &self.settings
    }

    /// The process id of the server.
    pub fn pid(&self) -> i32 {
        self.postmaster.pid()
    }

    /// The number of the slot; 0 unless another pgduel runs.
    pub fn slot(&self) -> u16 {
        self.slot.number
    }

    /// The directory of the slot: `data`, `socket`, `password` and `server.log` are in it.
    pub fn directory(&self) -> &Path {
        self.slot.directory()
    }

    /// Whether the server ends with this value.
    pub fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// Whether the process is still there.
    pub fn is_running(&mut self) -> bool {
        self.postmaster.is_running()
    }

    /// Ends the use of the server: stops it, unless it shall keep running.
    pub async fn finish(self) -> Result<(), TargetError> {
        match self.lifetime {
            Lifetime::ThisProcess => self.stop().await,
            Lifetime::KeepRunning => Ok(()),
        }
    }

    /// Stops the server, also one that shall keep running.
    pub async fn stop(self) -> Result<(), TargetError> {
        let Self { postmaster, slot, .. } = self;
        postmaster.stop().await?;
        control::forget_keep(&slot)
    }
}

fn conn_info(socket_directory: &Path, port: u16, password: &Secret, database: &str) -> ConnInfo {
    ConnInfo {
        endpoint: Endpoint::Socket { directory: socket_directory.to_owned(), port },
        user: cluster::SUPERUSER.to_owned(),
        password: Some(password.clone()),
        database: database.to_owned(),
        ssl_mode: sqlx::postgres::PgSslMode::Disable,
        authorities: None,
    }
}

/// The server that another pgduel left in this slot: taken over if it answers and has the wanted settings, else
/// stopped. Nobody else can be using it, as the slot's lock was free.
async fn take_over(
    slot: &Slot,
    password: &Secret,
    settings: &[(String, String)],
) -> Result<Option<(Postmaster, u16, PathBuf)>, TargetError> {
    let Found::Running(file) = postmaster::find(&slot.data())? else {
        return Ok(None);
    };
    let found = Postmaster::adopt(file.pid, &slot.data());
    if let (Status::Ready, Some(port), Some(socket_directory)) = (file.status, file.port, file.socket_directory)
        && cluster::has_settings(slot, settings)
        && conn_info(&socket_directory, port, password, "postgres").connect().await.is_ok()
    {
        return Ok(Some((found, port, socket_directory)));
    }
    found.stop().await?;
    Ok(None)
}

async fn start_postmaster(
    installation: &Installation,
    slot: &Slot,
    password: &Secret,
    run_as: RunAs,
) -> Result<(Postmaster, u16, PathBuf), TargetError> {
    let socket_directory = slot.socket_directory()?;
    let mut said = String::new();
    for _ in 0..START_TRIES {
        empty_directory(&socket_directory)?;
        let port = free_port()?;
        let log = slot.log_file();
        let before = std::fs::metadata(&log).map(|metadata| metadata.len()).unwrap_or(0);
        let mut postmaster = Postmaster::spawn(&installation.bin, &slot.data(), &socket_directory, port, &log, run_as)?;
        if wait_until_ready(&mut postmaster, slot).await {
            conn_info(&socket_directory, port, password, "postgres").connect().await.map_err(|error| of_another_pgduel(slot, error))?;
            return Ok((postmaster, port, socket_directory));
        }
        said = log_since(&log, before);
        if !worth_another_try(&said) {
            break;
        }
        tokio::time::sleep(START_PAUSE).await;
    }
    Err(TargetError::Start { reason: format!("its log {} says:\n{}", slot.log_file().display(), last_lines(&said, 15)) })
}

/// A cluster that does not let its superuser in was made when that one had another name.
fn of_another_pgduel(slot: &Slot, error: TargetError) -> TargetError {
    match error.sqlstate() {
        Some(code) if code.starts_with("28") => {
            let directory = slot.directory().display();
            TargetError::Start {
                reason: format!("the cluster in {directory} is another pgduel's ({error}). Remove {directory} to start afresh"),
            }
        }
        _ => error,
    }
}

/// True when the server says that it is ready, false when it ended. However long that takes: recovery after a crash
/// may need minutes, and the process says itself whether it is still at it.
async fn wait_until_ready(postmaster: &mut Postmaster, slot: &Slot) -> bool {
    while postmaster.is_running() {
        if let Ok(Found::Running(file)) = postmaster::find(&slot.data())
            && file.pid == postmaster.pid()
            && file.status == Status::Ready
        {
            return true;
        }
        tokio::time::sleep(POLL).await;
    }
    false
}

/// Sockets and their lock files of servers that were killed; none runs in this slot now.
fn empty_directory(directory: &Path) -> Result<(), TargetError> {
    for entry in std::fs::read_dir(directory).map_err(TargetError::file("read", directory))?.flatten() {
        let _ = std::fs::remove_file(entry.path());
    }
    Ok(())
}

/// A port that was free a moment ago; the caller tries again if somebody was faster.
fn free_port() -> Result<u16, TargetError> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| TargetError::Start { reason: format!("no free port on 127.0.0.1: {error}") })
}

/// Messages are in English: `lc_messages` is C.
fn worth_another_try(log: &str) -> bool {
    ["Address already in use", "is still in use", "could not create any TCP/IP sockets"].iter().any(|message| log.contains(message))
}

fn log_since(path: &Path, offset: u64) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    // A log that was rotated in between is shorter: then all of it is new.
    String::from_utf8_lossy(bytes.get(start..).unwrap_or(&bytes)).into_owned()
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

//! The server's main process: starting it, recognising it again, ending it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::home::RunAs;
use crate::target::error::TargetError;

const POLL: Duration = Duration::from_millis(10);
/// A fast shutdown writes a checkpoint: up to all of shared_buffers.
const FAST_SHUTDOWN: Duration = Duration::from_secs(60);
const IMMEDIATE_SHUTDOWN: Duration = Duration::from_secs(10);
/// Where waiting blocks a thread that is about to end: less patience.
const DROP_SHUTDOWN: Duration = Duration::from_secs(10);

/// A running postmaster. Dropping it ends it, unless it was released.
#[derive(Debug)]
pub(super) struct Postmaster {
    pid: i32,
    data: PathBuf,
    /// Present if this process is the parent, which then must collect its exit status.
    child: Option<Child>,
    on_drop: OnDrop,
}

/// What becomes of the process when its handle goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnDrop {
    End,
    Leave,
}

impl Postmaster {
    /// Starts `postgres` on a cluster. Returns at once; the server may still fail.
    pub(super) fn spawn(
        bin: &Path,
        data: &Path,
        socket_directory: &Path,
        port: u16,
        log: &Path,
        run_as: RunAs,
    ) -> Result<Self, TargetError> {
        let log = open_log(log, run_as)?;
        let log_too = log.try_clone().map_err(TargetError::file("open", data))?;
        let program = bin.join("postgres");
        let mut command = Command::new(&program);
        command
            .arg("-D")
            .arg(data)
            .arg("-c")
            .arg(format!("unix_socket_directories={}", socket_directory.display()))
            .arg("-c")
            .arg(format!("port={port}"))
            .current_dir(data)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            // Ctrl-C goes to the whole foreground group: pgduel drains on it, so the server must not get it.
            .process_group(0);
        run_as.apply(&mut command);
        let child = command.spawn().map_err(|error| TargetError::Start { reason: format!("cannot run {}: {error}", program.display()) })?;
        Ok(Self {
            // A process id is always positive and fits.
            pid: i32::try_from(child.id()).unwrap_or_default(),
            data: data.to_owned(),
            child: Some(child),
            on_drop: OnDrop::End,
        })
    }

    /// The postmaster of `data` that another process started and left running.
    pub(super) fn adopt(pid: i32, data: &Path) -> Self {
        Self { pid, data: data.to_owned(), child: None, on_drop: OnDrop::End }
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Lets it run on after this handle is gone.
    pub(super) fn release(&mut self) {
        self.on_drop = OnDrop::Leave;
    }

    pub(super) fn is_running(&mut self) -> bool {
        match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => is_postmaster_of(self.pid, &self.data),
        }
    }

    /// Ends it: rolls back what runs, writes a checkpoint; after a minute without one.
    pub(super) async fn stop(mut self) -> Result<(), TargetError> {
        for (signal, patience) in [(Signal::INT, FAST_SHUTDOWN), (Signal::QUIT, IMMEDIATE_SHUTDOWN)] {
            self.signal(signal);
            let deadline = Instant::now() + patience;
            while self.is_running() && Instant::now() < deadline {
                tokio::time::sleep(POLL).await;
            }
            if !self.is_running() {
                self.release();
                return Ok(());
            }
        }
        self.release();
        Err(TargetError::Stop { pid: self.pid, waited_s: (FAST_SHUTDOWN + IMMEDIATE_SHUTDOWN).as_secs() })
    }

    fn signal(&mut self, signal: Signal) {
        // Only if it still runs: its number may belong to somebody else by now.
        if self.is_running()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            // Fails only if it ended in between.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Leave {
            return;
        }
        for signal in [Signal::INT, Signal::QUIT] {
            self.signal(signal);
            let deadline = Instant::now() + DROP_SHUTDOWN;
            while self.is_running() {
                if Instant::now() > deadline {
                    break;
                }
                std::thread::sleep(POLL);
            }
        }
    }
}

/// Appends to the log; starts a new one where the old one has grown large.
fn open_log(path: &Path, run_as: RunAs) -> Result<File, TargetError> {
    const LARGE_BYTES: u64 = 5 * 1024 * 1024;
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > LARGE_BYTES) {
        std::fs::rename(path, path.with_extension("log.old")).map_err(TargetError::file("rename", path))?;
    }
    let file = OpenOptions::new().append(true).create(true).open(path).map_err(TargetError::file("open", path))?;
    run_as.own(path)?;
    Ok(file)
}

/// `postmaster.pid`, as far as pgduel needs it. Lines: pid, data directory, start time, port, socket directory, listen
/// address, shared memory, status (source: `src/include/utils/pidfile.h` of PostgreSQL).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) pid: i32,
    pub(super) port: Option<u16>,
    pub(super) socket_directory: Option<PathBuf>,
    pub(super) status: Status,
}

/// What the server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ready,
    /// Starting, recovering, stopping, or not said yet.
    NotReady,
}

/// What `postmaster.pid` says about a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// No server, and no trace of one.
    Nothing,
    /// A server ended without removing its file.
    Stale,
    /// A server runs.
    Running(PidFile),
}

/// Looks for a server on `data`.
pub(super) fn find(data: &Path) -> Result<Found, TargetError> {
    let path = data.join("postmaster.pid");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Found::Stale),
        Err(error) => return Err(TargetError::file("read", path)(error)),
    };
    Ok(match parse(&text) {
        Some(file) if is_postmaster_of(file.pid, data) => Found::Running(file),
        _ => Found::Stale,
    })
}

fn parse(text: &str) -> Option<PidFile> {
    let mut lines = text.lines().map(str::trim);
    // A negative number is a stand-alone backend's.
    let pid = lines.next()?.parse().ok().filter(|pid| *pid > 0)?;
    let mut rest = lines.skip(2);
    let port = rest.next().and_then(|line| line.parse().ok());
    let socket_directory = rest.next().filter(|line| !line.is_empty()).map(PathBuf::from);
    let status = match rest.nth(2) {
        Some("ready") => Status::Ready,
        _ => Status::NotReady,
    };
    Some(PidFile { pid, port, socket_directory, status })
}

/// Whether `pid` lives and is a server on `data`. PostgreSQL itself takes any living process for one, and then refuses
/// to start: numbers come again after a reboot.
fn is_postmaster_of(pid: i32, data: &Path) -> bool {
    let Some(process) = Pid::from_raw(pid) else {
        return false;
    };
    if test_kill_process(process) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    command_line(pid).is_some_and(|line| {
        let data = data.as_os_str().as_encoded_bytes();
        line.windows(data.len()).any(|window| window == data)
    })
}

/// The command line of a process; empty for a dead one that nobody has waited for.
fn command_line(pid: i32) -> Option<Vec<u8>> {
    if Path::new("/proc/self/cmdline").exists() {
        return std::fs::read(format!("/proc/{pid}/cmdline")).ok();
    }
    let output = Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output().ok()?;
    Some(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_read_at_every_stage_of_a_start() {
        let complete = "4711\n/data\n1700000000\n54321\n/sock\n127.0.0.1\n  123  456\nready   \n";
        assert_eq!(
            parse(complete),
            Some(PidFile { pid: 4711, port: Some(54321), socket_directory: Some(PathBuf::from("/sock")), status: Status::Ready })
        );
        let early = parse("4711\n/data\n1700000000\n54321\n").expect("a pid");
        assert_eq!((early.pid, early.status), (4711, Status::NotReady));
        assert_eq!(parse(""), None);
        assert_eq!(parse("-12\n/data\n"), None);
        assert_eq!(parse("torn"), None);
    }

    #[test]
    fn a_living_process_that_is_no_server_leaves_a_stale_file() {
        let data = tempfile::tempdir().expect("a directory");
        assert_eq!(find(data.path()).expect("an answer"), Found::Nothing);
        for pid in [std::process::id().to_string(), "2147483646".to_owned(), "x".to_owned()] {
            std::fs::write(data.path().join("postmaster.pid"), pid).expect("written");
            assert_eq!(find(data.path()).expect("an answer"), Found::Stale);
        }
    }
}

//! Time that backends take on processors, read from outside: Linux's `/proc/PID/schedstat` holds, of the one thread that a backend is, the
//! nanoseconds on a processor and the nanoseconds of waiting for one (proc(5), `Documentation/scheduler/sched-stats.rst`).
//!
//! Takes connections, finds the processes behind them, and reads these when no statement runs. It knows nothing of blocks.
//!
//! **Whose process it is.** A process id means something only where it was given: that of a server in a container, on another host or behind a
//! pooler may be anybody's here. A process is believed to be the backend if all of this agrees: the pooler's and the server's word for its id;
//! its title, which has user, database and client port as the server itself sees them (`[local]` for a Unix socket); its age. PostgreSQL sets
//! that title once even with `update_process_title = off` (`init_ps_display` in ps_status.c).
//!
//! **Parallel workers** are processes of their own that live for milliseconds, so nobody can read them. The postmaster, whose children they
//! are, is given their time when it reaps them, which it has done by the time that the leader's statement ends (`WaitForParallelWorkersToExit`
//! in parallel.c). On PostgreSQL 15, a scan of 75 ms on one processor became 30 ms in the leader (1.5 ms with `parallel_leader_participation = off`)
//! and 60 to 100 ms among the postmaster's reaped children (`cutime` and `cstime` in `/proc/PID/stat`), in steps of 10 ms. But that is no count
//! of the workers: a stranger's session that ended meanwhile added the 100 ms of its whole life, and an autovacuum worker its 10 ms. So workers
//! are not counted but detected, and the time is withheld. What must be seen if there was one:
//!
//! - the postmaster reaped a child, which adds page faults to `cminflt`, and those are counted one by one;
//! - the leader made a segment of shared memory (`InitializeParallelDSM`), a file in the server's `/dev/shm` that changes the time of the folder.
//!   An autovacuum worker makes none, and would otherwise spoil a block every minute. Where the folder may not be looked into, or the server
//!   keeps its segments elsewhere, the first alone counts.
//!
//! **When it is read.** The kernel adds a stretch on a processor when it ends or at a tick, so a backend that still runs, if only to go to
//! sleep behind its answer, is waited for. A look takes some 25 microseconds a backend and 15 for the postmaster, none of them in the load.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::session::query_text;
use super::wire::Connection;
use crate::record::{NoProcessorTime, ProcessorTime};

/// For a backend to answer who it is.
const ASK_LIMIT: Duration = Duration::from_secs(10);
/// By how much the age of a process may differ from what the backend says of itself: it notes the time some moments after it was made.
const AGE_TOLERANCE_SECONDS: f64 = 2.0;
/// How often to look whether a backend has gone to sleep, and the time between.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// The server's own word for what the title of the backend's process holds, and where it keeps the shared memory of parallel queries.
const WHO: &str = "select pid, client_port, usename, datname, extract(epoch from clock_timestamp() - backend_start), \
                   current_setting('dynamic_shared_memory_type') = 'posix' and current_setting('min_dynamic_shared_memory') = '0' \
                   from pg_catalog.pg_stat_activity where pid = pg_catalog.pg_backend_pid()";

/// A process of this machine that is the backend of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Backend {
    pid: i32,
    postmaster: i32,
    /// When it started, in the kernel's ticks: another process with its id has another start.
    started: u64,
    /// Whether parallel queries leave a trace in the server's `/dev/shm`.
    traced: bool,
}

impl Backend {
    /// The backend of a connection on which nothing runs.
    pub(super) async fn of(connection: &mut Connection) -> Result<Backend, NoProcessorTime> {
        if !cfg!(target_os = "linux") {
            return Err(NoProcessorTime::NotLinux);
        }
        let pid = connection.cancel_token().process_id();
        let answer = tokio::time::timeout(ASK_LIMIT, query_text(connection, WHO)).await;
        let identity = answer.ok().and_then(Result::ok).and_then(|rows| Identity::parse(&rows));
        identity.filter(|identity| identity.pid == pid).and_then(|identity| identity.find()).ok_or(NoProcessorTime::OtherHostOrContainer)
    }

    /// What the kernel says of it now, after it has gone to sleep.
    async fn settled(&self) -> Result<ProcessorTime, NoProcessorTime> {
        for _ in 0..LOOKS {
            let status = Status::of(self.pid).filter(|status| status.started == self.started).ok_or(NoProcessorTime::ConnectionLost)?;
            if !status.running {
                break;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        let text = read(self.pid, "schedstat").ok_or(NoProcessorTime::NoAccounting)?;
        parse_schedstat(&text).ok_or(NoProcessorTime::NoAccounting)
    }
}

/// What a backend says of itself.
#[derive(Debug, PartialEq)]
struct Identity {
    pid: i32,
    /// As the server sees it; -1 for a Unix socket.
    client_port: i32,
    user: String,
    database: String,
    age_seconds: f64,
    traced: bool,
}

impl Identity {
    fn parse(rows: &[Vec<Option<String>>]) -> Option<Identity> {
        let [row] = rows else { return None };
        let [Some(pid), Some(client_port), Some(user), Some(database), Some(age), traced] = row.as_slice() else { return None };
        Some(Identity {
            pid: pid.parse().ok()?,
            client_port: client_port.parse().ok()?,
            user: user.clone(),
            database: database.clone(),
            age_seconds: age.parse().ok()?,
            traced: traced.as_deref() == Some("t"),
        })
    }

    /// The process on this machine, if there is one with this id that is the same in everything.
    fn find(&self) -> Option<Backend> {
        let title = read(self.pid, "cmdline")?;
        let status = Status::of(self.pid)?;
        let age = self.age_seconds - status.age_seconds()?;
        (self.has_title(&title) && age.abs() < AGE_TOLERANCE_SECONDS).then_some(Backend {
            pid: self.pid,
            postmaster: status.parent,
            started: status.started,
            traced: self.traced,
        })
    }

    /// Whether a process has the title of this backend: `postgres: [cluster: ]user database host(port) ...`, or `[local]` in the host's place.
    fn has_title(&self, title: &str) -> bool {
        let title = title.split('\0').next().unwrap_or_default();
        let who = format!(": {} {} ", self.user, self.database);
        let from = match self.client_port {
            -1 => "[local]".to_owned(),
            port => format!("({port})"),
        };
        let is_from = |rest: &str| rest.split(' ').next().is_some_and(|word| word.ends_with(&from));
        title.starts_with("postgres: ") && title.match_indices(&who).any(|(at, _)| is_from(title.get(at + who.len()..).unwrap_or_default()))
    }
}

/// What `/proc/PID/stat` says of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Status {
    running: bool,
    parent: i32,
    /// Page faults, also major ones, of the children that it reaped.
    reaped_faults: u64,
    started: u64,
}

impl Status {
    fn of(pid: i32) -> Option<Status> {
        Status::parse(&read(pid, "stat")?)
    }

    /// Fields 3 (state), 4 (parent), 11 and 13 (faults of children) and 22 (start) of `proc_pid_stat(5)`. The name of the program, field 2, may
    /// hold anything, but nothing behind it holds a parenthesis.
    fn parse(text: &str) -> Option<Status> {
        let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Status {
            running: *fields.first()? == "R",
            parent: fields.get(1)?.parse().ok()?,
            reaped_faults: number(11)?.saturating_add(number(13)?),
            started: number(22)?,
        })
    }

    fn age_seconds(&self) -> Option<f64> {
        let up: f64 = std::fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
        Some(up - self.started as f64 / rustix::param::clock_ticks_per_second() as f64)
    }
}

/// Time on a processor, time of waiting for one, and how often it was given one. A kernel that was told not to count gives zeros.
fn parse_schedstat(text: &str) -> Option<ProcessorTime> {
    let fields: Vec<u64> = text.split_whitespace().map(|field| field.parse().ok()).collect::<Option<_>>()?;
    match fields.as_slice() {
        [on_processor_ns, waiting_ns, turns, ..] if *turns > 0 => {
            Some(ProcessorTime { on_processor_ns: *on_processor_ns, waiting_ns: *waiting_ns })
        }
        _ => None,
    }
}

fn read(pid: i32, file: &str) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/{file}")).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a parallel query leaves behind at a server, as of one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Traces {
    postmaster: i32,
    reaped_faults: u64,
    /// When its shared memory was last changed; `None` where that cannot be seen.
    shared_memory: Option<SystemTime>,
}

impl Traces {
    fn of(backend: &Backend) -> Option<Traces> {
        let postmaster = backend.postmaster;
        let shared_memory =
            || std::fs::metadata(Path::new("/proc").join(postmaster.to_string()).join("root/dev/shm")).ok()?.modified().ok();
        Some(Traces {
            postmaster,
            reaped_faults: Status::of(postmaster)?.reaped_faults,
            shared_memory: if backend.traced { shared_memory() } else { None },
        })
    }

    /// Whether no parallel worker can have run between `self` and the later `end`.
    fn exclude_workers(&self, end: &Traces) -> bool {
        let reaped = self.reaped_faults != end.reaped_faults;
        let shared = self.shared_memory.is_none() || self.shared_memory != end.shared_memory;
        self.postmaster == end.postmaster && !(reaped && shared)
    }
}

/// The times of some backends of one server, as of one moment at which none of them runs anything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    times: ProcessorTime,
    traces: Traces,
}

impl Reading {
    /// Reads all of them.
    pub(super) async fn of(backends: &[Backend]) -> Result<Reading, NoProcessorTime> {
        let first = backends.first().ok_or(NoProcessorTime::OtherHostOrContainer)?;
        let mut times = ProcessorTime::default();
        for backend in backends {
            let one = backend.settled().await?;
            times.on_processor_ns = times.on_processor_ns.saturating_add(one.on_processor_ns);
            times.waiting_ns = times.waiting_ns.saturating_add(one.waiting_ns);
        }
        let same = backends.iter().all(|backend| backend.postmaster == first.postmaster);
        let traces = Traces::of(first).filter(|_| same).ok_or(NoProcessorTime::OtherHostOrContainer)?;
        Ok(Reading { times, traces })
    }

    /// What they took between `self` and the later `end`.
    pub(super) fn until(&self, end: &Reading) -> Result<ProcessorTime, NoProcessorTime> {
        if !self.traces.exclude_workers(&end.traces) {
            return Err(NoProcessorTime::ParallelWorkers);
        }
        Ok(ProcessorTime {
            on_processor_ns: end.times.on_processor_ns.saturating_sub(self.times.on_processor_ns),
            waiting_ns: end.times.waiting_ns.saturating_sub(self.times.waiting_ns),
        })
    }
}

/// The backends of a block's connections, or the first reason for which their time will not be known.
#[derive(Debug)]
pub(super) struct Backends(Mutex<Result<Vec<Backend>, NoProcessorTime>>);

impl Backends {
    pub(super) fn new() -> Backends {
        Backends(Mutex::new(Ok(Vec::new())))
    }

    /// Adds that of one more connection.
    pub(super) fn add(&self, found: Result<Backend, NoProcessorTime>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(backends) = &mut *all {
            match found {
                Ok(backend) => backends.push(backend),
                Err(why) => *all = Err(why),
            }
        }
    }

    /// Their times now.
    pub(super) async fn read(&self) -> Result<Reading, NoProcessorTime> {
        let backends = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Reading::of(&backends?).await
    }
}

/// Time of one session's backend by statement.
#[derive(Debug)]
pub(super) struct Meter {
    backend: Backend,
    statements: Vec<Metered>,
}

/// What one statement took.
#[derive(Clone, Copy, Debug, Default)]
struct Metered {
    on_processor_ns: u64,
    executions: u64,
    /// One of its executions could not be read.
    unknown: bool,
}

impl Meter {
    pub(super) fn new(backend: Backend) -> Meter {
        Meter { backend, statements: Vec::new() }
    }

    pub(super) async fn read(&self) -> Result<Reading, NoProcessorTime> {
        Reading::of(&[self.backend]).await
    }

    /// Notes that a statement was executed so often since a reading.
    pub(super) async fn note(&mut self, statement: usize, executions: u64, before: Result<Reading, NoProcessorTime>) {
        let took = match before {
            Ok(before) => self.read().await.and_then(|after| before.until(&after)),
            Err(why) => Err(why),
        };
        if self.statements.len() <= statement {
            self.statements.resize(statement + 1, Metered::default());
        }
        let Some(metered) = self.statements.get_mut(statement) else { return };
        match took {
            Ok(took) => {
                metered.on_processor_ns = metered.on_processor_ns.saturating_add(took.on_processor_ns);
                metered.executions += executions;
            }
            Err(_) => metered.unknown = true,
        }
    }

    /// Of one execution of a statement, on average; `None` if it was not executed, or if that is not known of all executions.
    pub(super) fn mean_ns(&self, statement: usize) -> Option<u64> {
        let metered = self.statements.get(statement).filter(|metered| !metered.unknown)?;
        metered.on_processor_ns.checked_div(metered.executions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "4711 (post) (gres) S 99 4711 4711 0 -1 4194560 2070 31 5 2 7 3 11 13 20 0 1 0 123456 229 2 18446744073709551615 1 1 0 0 0";

    fn identity() -> Identity {
        let cells = ["4711", "-1", "owner", "test db", "1.25", "t"];
        let row = cells.iter().map(|cell| Some((*cell).to_owned())).collect();
        Identity::parse(&[row]).unwrap()
    }

    #[test]
    fn schedstat_is_read_and_what_is_none_is_not() {
        let time = ProcessorTime { on_processor_ns: 74_663_000, waiting_ns: 8_670 };
        assert_eq!(parse_schedstat("74663000 8670 41\n"), Some(time));
        for nothing in ["", "0 0 0\n", "74663000 8670\n", "many 8670 41\n", "-1 0 1\n"] {
            assert_eq!(parse_schedstat(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn a_programs_name_does_not_shift_the_fields_of_its_status() {
        assert_eq!(Status::parse(STAT), Some(Status { running: false, parent: 99, reaped_faults: 33, started: 123_456 }));
        assert!(Status::parse(&STAT.replace(") S", ") R")).unwrap().running);
        for broken in ["", "4711 (postgres", "4711 (postgres) S 99", "4711 (postgres) S x 1 1 0 -1 0 0 1 0 1 0 0 0 0 0 0 0 0 5"] {
            assert_eq!(Status::parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn a_title_must_be_that_of_this_very_backend() {
        let local = identity();
        let remote = Identity { client_port: 47_012, ..identity() };
        assert!(local.has_title("postgres: owner test db [local] idle\0\0\0"));
        assert!(local.has_title("postgres: main: owner test db [local] idle in transaction"));
        assert!(remote.has_title("postgres: owner test db 127.0.0.1(47012) idle"));
        assert!(remote.has_title("postgres: owner test db ::1(47012) SELECT"));
        for other in [
            "postgres: owner test db 127.0.0.1(47012) idle",
            "postgres: owner test [local] idle",
            "postgres: downer test db [local] idle",
            "postgres: owner test db",
            "psql: owner test db [local]",
            "/usr/bin/python3\0postgres: owner test db [local]",
            "",
        ] {
            assert!(!local.has_title(other), "{other:?}");
        }
        assert!(!remote.has_title("postgres: owner test db 127.0.0.1(7012) idle"));
        assert!(!remote.has_title("postgres: owner test db [local] idle"));
    }

    #[test]
    fn what_a_server_says_of_another_process_finds_none() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(Identity { pid: own, ..identity() }.find(), None, "this is no backend");
        assert_eq!(Identity { pid: i32::MAX, ..identity() }.find(), None, "nobody is");
        assert_eq!(Identity::parse(&[]), None);
        assert_eq!(Identity::parse(&[vec![Some("1".to_owned())]]), None);
        let nameless = vec![Some("1".to_owned()), None, None, None, Some("1".to_owned()), Some("t".to_owned())];
        assert_eq!(Identity::parse(&[nameless]), None);
    }

    #[test]
    fn only_a_child_that_had_shared_memory_may_have_been_a_worker() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let start = Traces { postmaster: 99, reaped_faults: 1_000, shared_memory: at(5) };
        assert!(start.exclude_workers(&start));
        assert!(start.exclude_workers(&Traces { reaped_faults: 1_200, ..start }), "an autovacuum worker");
        assert!(start.exclude_workers(&Traces { shared_memory: at(6), ..start }), "another server");
        assert!(!start.exclude_workers(&Traces { reaped_faults: 1_200, shared_memory: at(6), ..start }));
        assert!(!start.exclude_workers(&Traces { postmaster: 98, ..start }), "another server");
        let blind = Traces { shared_memory: None, ..start };
        assert!(blind.exclude_workers(&blind));
        assert!(!blind.exclude_workers(&Traces { reaped_faults: 1_200, ..blind }));
    }

    #[tokio::test]
    async fn the_first_reason_stays() {
        let backends = Backends::new();
        assert_eq!(backends.read().await.unwrap_err(), NoProcessorTime::OtherHostOrContainer, "no connection, no time");
        backends.add(Err(NoProcessorTime::ConnectionLost));
        backends.add(Ok(Backend { pid: 1, postmaster: 0, started: 0, traced: false }));
        backends.add(Err(NoProcessorTime::Unfinished));
        assert_eq!(backends.read().await.unwrap_err(), NoProcessorTime::ConnectionLost);
    }

    #[tokio::test]
    async fn a_process_that_took_over_the_id_is_not_read() {
        let own = i32::try_from(std::process::id()).unwrap();
        let started = Status::of(own).map_or(0, |status| status.started);
        let stranger = Backend { pid: own, postmaster: 1, started: started + 1, traced: false };
        assert_eq!(Reading::of(&[stranger]).await.unwrap_err(), NoProcessorTime::ConnectionLost);
    }

    #[tokio::test]
    async fn a_statement_that_could_not_be_read_once_has_no_mean() {
        let mut meter = Meter::new(Backend { pid: i32::MAX, postmaster: 1, started: 0, traced: false });
        assert_eq!(meter.mean_ns(0), None);
        let before = meter.read().await;
        meter.note(1, 1, before).await;
        assert_eq!((meter.mean_ns(0), meter.mean_ns(1)), (None, None));
        meter.statements[0] = Metered { on_processor_ns: 900, executions: 3, unknown: false };
        assert_eq!(meter.mean_ns(0), Some(300));
    }
}

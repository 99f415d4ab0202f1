//! Round-trip time on the wire: a proxy in front of a server that holds every byte back for half of it, each way.
//!
//! Nearly every millisecond that a hosted database costs an application is network, so the round-trip time is a parameter of a
//! measurement. Owns its sockets and two threads; takes a target and a round-trip time, and gives a target that any client can connect
//! to. It must not know the protocol: it counts a round trip whenever the server says something after the client did. Where no
//! round-trip time is asked for, connect to the server itself: off costs nothing.
//!
//! So that delays are right to some tenths of a millisecond, the relay spins up to 0.5 ms before each delivery, which costs some tenths of a core at
//! 5 ms and four connections, and takes what it noticed late as having come earlier, by as much as it wakes late for its own timers. What
//! is not modelled: bandwidth, loss, and the handshake of TCP.

use std::collections::VecDeque;
use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::wire::{ConnectTarget, Host};

/// More would be a broken network rather than a slow one.
const RTT_LIMIT: Duration = Duration::from_secs(10);
/// Bytes under way in one direction of one connection before its sender has to wait.
const WINDOW_BYTES: usize = 16 << 20;
const READ_BYTES: usize = 64 << 10;
/// The relay wakes before a chunk is due, by an eighth of its delay but at most this, and spins for the rest: a core that has been idle
/// takes 0.1 ms to wake on a virtual machine, and a core that others want takes longer.
const WAKE_EARLY_LIMIT: Duration = Duration::from_micros(500);
/// A shorter wait is none: the core did not go to sleep for it.
const SHORTEST_SLEEP: Duration = Duration::from_micros(100);
/// Linux lets the time limit of a poll end late by this part of it, to gather timers (`select_estimate_accuracy` in fs/select.c).
const POLL_SLACK: u32 = 1_000;
/// Whoever wakes later than this was held up by others, which says nothing of the next time.
const LATEST_WAKING: Duration = Duration::from_micros(200);

/// A running proxy. Dropping it closes all its connections.
#[derive(Debug)]
pub struct RttProxy {
    host: Host,
    port: u16,
    rtt: Duration,
    round_trips: Arc<AtomicU64>,
    /// Closing this ends the accepting thread, and that ends the relaying one.
    stop: Option<UnixStream>,
    threads: Vec<JoinHandle<()>>,
    directory: Option<PathBuf>,
}

impl RttProxy {
    /// Starts a proxy in front of `target`'s server that adds `rtt` (at most 10 s) to each round trip. It listens as the server does:
    /// on the loopback, or on a Unix socket in a directory that only this user can enter, so that it opens a server to nobody else.
    pub fn start(target: &ConnectTarget, rtt: Duration) -> io::Result<RttProxy> {
        if rtt > RTT_LIMIT {
            return Err(io::Error::new(ErrorKind::InvalidInput, format!("a round-trip time of {rtt:?} is more than {RTT_LIMIT:?}")));
        }
        let (listener, host, port, directory) = match &target.host {
            Host::Unix(_) => {
                let directory = private_directory()?;
                let listener = UnixListener::bind(socket_path(&directory, target.port))?;
                listener.set_nonblocking(true)?;
                (Listener::Unix(listener), Host::Unix(directory.clone()), target.port, Some(directory))
            }
            Host::Tcp(_) => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                listener.set_nonblocking(true)?;
                let port = listener.local_addr()?.port();
                (Listener::Tcp(listener), Host::Tcp(Ipv4Addr::LOCALHOST.to_string()), port, None)
            }
        };
        let (stop, stopped) = UnixStream::pair()?;
        let (wake, woken) = UnixStream::pair()?;
        for stream in [&wake, &woken] {
            stream.set_nonblocking(true)?;
        }
        let (give, take) = channel();
        let round_trips = Arc::new(AtomicU64::new(0));
        let acceptor = Acceptor { listener, host: target.host.clone(), port: target.port, stopped, give, wake };
        let relay = Relay {
            half: rtt / 2,
            round_trips: Arc::clone(&round_trips),
            take,
            woken,
            pairs: Vec::new(),
            scratch: vec![0; READ_BYTES],
            wakes_late: Duration::ZERO,
        };
        let mut proxy = RttProxy { host, port, rtt, round_trips, stop: Some(stop), threads: Vec::new(), directory };
        proxy.threads.push(std::thread::Builder::new().name("rtt-accept".into()).spawn(move || acceptor.run())?);
        proxy.threads.push(std::thread::Builder::new().name("rtt-relay".into()).spawn(move || relay.run())?);
        Ok(proxy)
    }

    /// `target`, by way of this proxy.
    pub fn route(&self, target: &ConnectTarget) -> ConnectTarget {
        let behind = match &target.host {
            Host::Tcp(name) => Some(name.clone()),
            Host::Unix(_) => None,
        };
        let certificate_name = target.certificate_name.clone().or(behind);
        ConnectTarget { host: self.host.clone(), port: self.port, certificate_name, ..target.clone() }
    }

    /// Where it listens.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it adds to a round trip.
    pub fn rtt(&self) -> Duration {
        self.rtt
    }

    /// Round trips since the start over all connections: how often the server answered, logins included.
    pub fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
    }
}

impl Drop for RttProxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            // A thread that panicked has already said so.
            let _ = thread.join();
        }
        if let (Some(directory), port) = (&self.directory, self.port) {
            let _ = std::fs::remove_file(socket_path(directory, port));
            let _ = std::fs::remove_dir(directory);
        }
    }
}

fn socket_path(directory: &Path, port: u16) -> PathBuf {
    directory.join(format!(".s.PGSQL.{port}"))
}

/// A new directory that only this user can enter.
fn private_directory() -> io::Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("pgduel-rtt-{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&directory) {
            Ok(()) => return Ok(directory),
            // Left behind by a process that had this id and was killed.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < 10_000 => {}
            Err(error) => return Err(error),
        }
    }
}

#[derive(Debug)]
enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Accepts clients and connects each to the server, off the relaying thread, which must not wait.
struct Acceptor {
    listener: Listener,
    host: Host,
    port: u16,
    stopped: UnixStream,
    give: Sender<Pair>,
    wake: UnixStream,
}

impl Acceptor {
    fn run(self) {
        loop {
            let listening = match &self.listener {
                Listener::Unix(listener) => listener.as_fd(),
                Listener::Tcp(listener) => listener.as_fd(),
            };
            let mut sources =
                [PollFd::from_borrowed_fd(listening, PollFlags::IN), PollFd::from_borrowed_fd(self.stopped.as_fd(), PollFlags::IN)];
            match poll(&mut sources, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            if !sources[1].revents().is_empty() {
                return;
            }
            // A client that cannot be served is closed, as by a server that is down.
            if let Ok(pair) = self.accept() {
                if self.give.send(pair).is_err() {
                    return;
                }
                let _ = rustix::io::write(&self.wake, &[0]);
            } else {
                // Out of descriptors, say: the client stays in the queue, and asking again at once would take a whole core.
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn accept(&self) -> io::Result<Pair> {
        let client = match &self.listener {
            Listener::Unix(listener) => unix(listener.accept()?.0)?,
            Listener::Tcp(listener) => tcp(listener.accept()?.0)?,
        };
        let server = match &self.host {
            Host::Unix(directory) => unix(UnixStream::connect(socket_path(directory, self.port))?)?,
            Host::Tcp(name) => tcp(TcpStream::connect((name.as_str(), self.port))?)?,
        };
        Ok(Pair { client, server, up: Flow::default(), down: Flow::default(), turn: Turn::Server })
    }
}

fn unix(stream: UnixStream) -> io::Result<OwnedFd> {
    stream.set_nonblocking(true)?;
    Ok(stream.into())
}

fn tcp(stream: TcpStream) -> io::Result<OwnedFd> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    Ok(stream.into())
}

/// Who spoke last.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Turn {
    Client,
    Server,
}

/// Two connected sockets and what is under way between them.
struct Pair {
    client: OwnedFd,
    server: OwnedFd,
    up: Flow,
    down: Flow,
    turn: Turn,
}

/// One direction.
#[derive(Default)]
struct Flow {
    chunks: VecDeque<Chunk>,
    /// Bytes in `chunks` that have not been delivered.
    bytes: usize,
    sender: SenderState,
    receiver: ReceiverState,
}

#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum SenderState {
    #[default]
    Open,
    /// Has closed; what is under way still arrives.
    Ended,
}

#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum ReceiverState {
    #[default]
    Ready,
    /// Takes no more at the moment.
    Full,
}

/// Bytes that came together; no bytes stand for the end of the stream.
struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
    sent: usize,
}

/// Whether a connection goes on.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Life {
    On,
    Over,
}

impl Flow {
    /// What to wait for at the socket that this flow reads from.
    fn reading(&self) -> PollFlags {
        let open = self.sender == SenderState::Open && self.bytes < WINDOW_BYTES;
        if open { PollFlags::IN } else { PollFlags::empty() }
    }

    /// What to wait for at the socket that this flow writes to.
    fn writing(&self) -> PollFlags {
        if self.receiver == ReceiverState::Full { PollFlags::OUT } else { PollFlags::empty() }
    }

    /// When there is something to deliver.
    fn due(&self) -> Option<Instant> {
        if self.receiver == ReceiverState::Full { None } else { self.chunks.front().map(|chunk| chunk.due) }
    }

    /// Takes in what `from` has to say; returns the number of bytes.
    fn read(&mut self, from: &OwnedFd, due: Instant, scratch: &mut [u8]) -> usize {
        let count = match rustix::io::read(from, &mut *scratch) {
            Err(Errno::AGAIN | Errno::INTR) => return 0,
            Ok(count) => count,
            // A reset ends the stream as well.
            Err(_) => 0,
        };
        if count == 0 {
            self.sender = SenderState::Ended;
        }
        let bytes = scratch.get(..count).unwrap_or_default().to_vec();
        self.chunks.push_back(Chunk { due, bytes, sent: 0 });
        self.bytes += count;
        count
    }

    /// Hands what is due to `to`.
    fn deliver(&mut self, to: &OwnedFd, now: Instant) -> Life {
        self.receiver = ReceiverState::Ready;
        while let Some(chunk) = self.chunks.front_mut().filter(|chunk| chunk.due <= now) {
            let rest = chunk.bytes.get(chunk.sent..).unwrap_or_default();
            if chunk.bytes.is_empty() {
                return Life::Over;
            }
            match rustix::io::write(to, rest) {
                Ok(count) => {
                    self.bytes = self.bytes.saturating_sub(count);
                    chunk.sent += count;
                    if chunk.sent >= chunk.bytes.len() {
                        self.chunks.pop_front();
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.receiver = ReceiverState::Full;
                    return Life::On;
                }
                Err(_) => return Life::Over,
            }
        }
        Life::On
    }
}

/// Moves bytes between the sockets of all pairs, each when it is due.
struct Relay {
    half: Duration,
    round_trips: Arc<AtomicU64>,
    take: Receiver<Pair>,
    woken: UnixStream,
    pairs: Vec<Pair>,
    scratch: Vec<u8>,
    /// How late this thread notices that it may go on, after a sleep; learned from its own timers.
    wakes_late: Duration,
}

impl Relay {
    fn run(mut self) {
        // Without this, the kernel may end each sleep 50 us late. Where it cannot be had, the early wake makes up for it.
        #[cfg(target_os = "linux")]
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        loop {
            let now = Instant::now();
            self.pairs
                .retain_mut(|pair| pair.up.deliver(&pair.server, now) == Life::On && pair.down.deliver(&pair.client, now) == Life::On);
            let Ok((came, readable)) = self.wait() else { return };
            let due = came + self.half;
            for (pair, (client, server)) in self.pairs.iter_mut().zip(readable) {
                if client && pair.up.read(&pair.client, due, &mut self.scratch) > 0 {
                    pair.turn = Turn::Client;
                }
                if server && pair.down.read(&pair.server, due, &mut self.scratch) > 0 && pair.turn == Turn::Client {
                    pair.turn = Turn::Server;
                    self.round_trips.fetch_add(1, Ordering::Relaxed);
                }
            }
            if self.welcome() == Life::Over {
                return;
            }
        }
    }

    fn wake_early(&self) -> Duration {
        (self.half / 8).min(WAKE_EARLY_LIMIT)
    }

    /// Waits until a socket or a chunk is (nearly) ready; says which clients and servers can be read, and when what they said came.
    fn wait(&mut self) -> Result<(Instant, Vec<(bool, bool)>), Errno> {
        let mut sources = Vec::with_capacity(1 + 2 * self.pairs.len());
        sources.push(PollFd::from_borrowed_fd(self.woken.as_fd(), PollFlags::IN));
        for pair in &self.pairs {
            for (socket, wanted) in
                [(&pair.client, pair.up.reading() | pair.down.writing()), (&pair.server, pair.down.reading() | pair.up.writing())]
            {
                // A socket that hung up is always ready: it must not be asked about when nothing is wanted of it.
                let socket = if wanted.is_empty() { self.woken.as_fd() } else { socket.as_fd() };
                sources.push(PollFd::from_borrowed_fd(socket, wanted));
            }
        }
        let due = self.pairs.iter().flat_map(|pair| [pair.up.due(), pair.down.due()]).flatten().min();
        let began = Instant::now();
        let pause = due.map(|due| due.saturating_duration_since(began + self.wake_early()));
        let timeout = pause.and_then(|pause| Timespec::try_from(pause).ok());
        let awoken_by = match poll(&mut sources, timeout.as_ref()) {
            Ok(sockets) => sockets,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error),
        };
        let ready = |source: Option<&PollFd<'_>>, wanted: PollFlags| {
            wanted.contains(PollFlags::IN) && source.is_some_and(|source| !source.revents().is_empty())
        };
        let sockets = sources.get(1..).unwrap_or_default();
        let of_pair = sockets.chunks(2).zip(&self.pairs);
        let readable =
            of_pair.map(|(source, pair)| (ready(source.first(), pair.up.reading()), ready(source.get(1), pair.down.reading()))).collect();
        let now = Instant::now();
        Ok((now - self.noticed_late(now - began, pause, awoken_by > 0), readable))
    }

    /// By how much what ended a wait of this length came before it was noticed. A wait that ended with its pause teaches how late that is.
    fn noticed_late(&mut self, waited: Duration, pause: Option<Duration>, by_socket: bool) -> Duration {
        if waited < SHORTEST_SLEEP {
            return Duration::ZERO;
        }
        if let (Some(pause), false) = (pause.filter(|pause| *pause >= SHORTEST_SLEEP), by_socket) {
            let late = waited.saturating_sub(pause + pause / POLL_SLACK).min(LATEST_WAKING);
            self.wakes_late = (self.wakes_late * 7 + late) / 8;
        }
        if by_socket { self.wakes_late.min(self.half / 8) } else { Duration::ZERO }
    }

    /// Takes in new connections; over when the accepting thread has ended.
    fn welcome(&mut self) -> Life {
        let mut bytes = [0; 64];
        let woken = rustix::io::read(&self.woken, &mut bytes);
        self.pairs.extend(self.take.try_iter());
        if woken == Ok(0) { Life::Over } else { Life::On }
    }
}

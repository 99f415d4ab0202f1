//! Programs that run side by side, one at a time: each is stopped while it is another's turn.
//!
//! A host whose speed changes from second to second makes two runs of the same program differ by a tenth, and takes hundreds of pairs to
//! tell three hundredths. Runs that take turns every fraction of a second meet the same host.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::time::{clock_getcpuclockid, clock_gettime};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rustix::process::{Pid, Signal, kill_process};

use super::arena::{Reading, children_cpu, number_after, reading};

/// How long a program runs before it is another's turn.
pub const SLICE: Duration = Duration::from_millis(250);

/// How much longer the first slice is than it takes to connect. It is counted, and the connecting is not.
pub const FIRST: Duration = Duration::from_millis(100);

/// What connecting takes on a slow host, a client; longer than that, and the others run out of time.
const CONNECTING: Duration = Duration::from_millis(25);

/// For all clients to connect, or to be gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two slices, for the server to finish what it was asked for in the last.
const GAP: Duration = Duration::from_millis(5);

/// How much longer than planned the slices may take, gaps included.
const SPARE: Duration = Duration::from_secs(1);

/// A program that is stopped or running. It is killed if something else fails.
struct Contender {
    child: Child,
    /// When all its clients were, or a little later.
    connected: Instant,
    /// How long it ran.
    active: Duration,
    /// Processor time that it took to connect: with many clients a sixth of all, and another sixth in another run.
    connecting: Duration,
}

impl Contender {
    /// Starts it, and stops it after its first slice, which begins when all are connected.
    fn start(mut command: Command, all_connected: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<Contender> {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let began = Instant::now();
        let mut started = Contender { child, connected: began, active: Duration::ZERO, connecting: Duration::ZERO };
        wait_until(all_connected)?;
        started.connecting = cpu_so_far(&started.child)?;
        started.connected = Instant::now();
        started.active = began.elapsed();
        started.run_for(FIRST)?;
        Ok(started)
    }

    fn slice(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)?;
        self.run_for(SLICE)
    }

    fn run_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        std::thread::sleep(time);
        self.signal(Signal::STOP)?;
        self.active += begun.elapsed();
        std::thread::sleep(GAP);
        Ok(())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), signal).context("it has ended")
    }

    /// Lets it end, as its time is over; what it came to.
    fn finish(mut self) -> anyhow::Result<Reading> {
        // Only one runs, so what is added here is this one's.
        let before = children_cpu()?;
        self.signal(Signal::CONT)?;
        let mut printed = String::new();
        self.child.stdout.take().context("it prints")?.read_to_string(&mut printed)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "{status}: {printed}");
        let connecting = number_after(&printed, "initial connection time = ").context("no time of connecting")? / 1e3;
        ensure!(connecting < self.active.as_secs_f64(), "it was stopped while it connected");
        let mut reading = reading(&printed, children_cpu()?.saturating_sub(before + self.connecting))?;
        // By its own clock it ran while it was stopped, too.
        reading.tps = reading.transactions as f64 / (self.active.as_secs_f64() - connecting);
        Ok(reading)
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        // Nothing is to be done about one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_until(done: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let began = Instant::now();
    while !done()? {
        ensure!(began.elapsed() < PATIENCE, "clients did not connect, or not leave");
        std::thread::sleep(GAP);
    }
    Ok(())
}

/// Processor time of a process that runs.
fn cpu_so_far(child: &Child) -> anyhow::Result<Duration> {
    let clock = clock_getcpuclockid(nix::unistd::Pid::from_raw(child.id().try_into()?))?;
    Ok(clock_gettime(clock)?.into())
}

/// Runs all to their end, for so many seconds each beside the first slice, in an order drawn anew for each round. `connections` says how many
/// there are to the database, which is theirs alone. What they do must allow that one is stopped in the midst of a transaction: nobody else may wait for what it
/// holds then.
pub fn run(
    commands: Vec<Command>,
    clients: u32,
    seconds: u32,
    seed: u64,
    connections: impl Fn() -> anyhow::Result<u32>,
) -> anyhow::Result<Vec<Reading>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let rounds = Duration::from_secs(seconds.into()).div_duration_f64(SLICE).ceil() as u32;
    let planned = (FIRST + GAP + (SLICE + GAP) * rounds) * commands.len() as u32;
    // By its own clock a program runs from when it is connected, and while the others connect.
    let limit = Duration::from_secs((planned + SPARE + CONNECTING * clients * commands.len() as u32).as_secs() + 1);
    let mut commands: Vec<(usize, Command)> = commands.into_iter().enumerate().collect();
    commands.shuffle(&mut rng);
    // Those of the last turn may still be leaving.
    wait_until(|| Ok(connections()? == 0))?;
    let mut running: Vec<(usize, Contender)> = Vec::new();
    for (place, mut command) in commands {
        command.arg(format!("-T{}", limit.as_secs()));
        let wanted = clients * (running.len() as u32 + 1);
        running.push((place, Contender::start(command, || Ok(connections()? >= wanted))?));
    }
    for _ in 0..rounds {
        running.shuffle(&mut rng);
        for (_, contender) in &mut running {
            contender.slice()?;
        }
    }
    let in_time = |contender: &Contender| contender.connected.elapsed() < limit;
    ensure!(running.iter().all(|(_, contender)| in_time(contender)), "the slices took longer than they may");
    while running.iter().any(|(_, contender)| in_time(contender)) {
        std::thread::sleep(GAP);
    }
    running.sort_by_key(|(place, _)| *place);
    running.into_iter().map(|(_, contender)| contender.finish()).collect()
}

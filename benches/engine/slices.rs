//! Programs that run side by side, one at a time: each is stopped while it is another's turn.
//!
//! A host whose speed changes from second to second makes two runs of the same program differ by a tenth, and takes hundreds of pairs to
//! tell three hundredths. Runs that take turns every fraction of a second meet the same host.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rustix::process::{Pid, Signal, kill_process};

use super::arena::{Reading, children_cpu, number_after, reading};

/// How long a program runs before it is another's turn.
pub const SLICE: Duration = Duration::from_millis(250);

/// The first slice, in which it connects: so long, and so much more a client. All of it but the connecting is counted.
pub const FIRST: Duration = Duration::from_millis(300);
pub const FIRST_A_CLIENT: Duration = Duration::from_millis(8);

/// Between two slices, for the server to finish what it was asked for in the last.
const GAP: Duration = Duration::from_millis(5);

/// How much longer than planned the slices may take, gaps included.
const SPARE: Duration = Duration::from_secs(1);

/// A program that is stopped or running. It is killed if something else fails.
struct Contender {
    child: Child,
    began: Instant,
    /// How long it ran.
    active: Duration,
}

impl Contender {
    /// Starts it, and stops it after its first slice.
    fn start(mut command: Command, first: Duration) -> anyhow::Result<Contender> {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut started = Contender { child, began: Instant::now(), active: Duration::ZERO };
        started.run_for(first)?;
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
    fn finish(mut self, first: Duration) -> anyhow::Result<Reading> {
        // Only one runs, so what is added here is this one's.
        let before = children_cpu()?;
        self.signal(Signal::CONT)?;
        let mut printed = String::new();
        self.child.stdout.take().context("it prints")?.read_to_string(&mut printed)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "{status}: {printed}");
        let connecting = number_after(&printed, "initial connection time = ").context("no time of connecting")? / 1e3;
        ensure!(connecting < first.as_secs_f64(), "connecting took {connecting} s");
        let mut reading = reading(&printed, children_cpu()?.saturating_sub(before))?;
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

/// Runs all to their end, for so many seconds each beside the first slice, in an order drawn anew for each round. What they do must allow
/// that one is stopped in the midst of a transaction: nobody else may wait for what it holds then.
pub fn run(commands: Vec<Command>, clients: u32, seconds: u32, seed: u64) -> anyhow::Result<Vec<Reading>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let first = FIRST + FIRST_A_CLIENT * clients;
    let rounds = Duration::from_secs(seconds.into()).div_duration_f64(SLICE).ceil() as u32;
    let planned = (first + GAP + (SLICE + GAP) * rounds) * commands.len() as u32;
    let limit = Duration::from_secs((planned + SPARE).as_secs() + 1);
    let mut commands: Vec<(usize, Command)> = commands.into_iter().enumerate().collect();
    commands.shuffle(&mut rng);
    let mut running: Vec<(usize, Contender)> = Vec::new();
    for (place, mut command) in commands {
        command.arg(format!("-T{}", limit.as_secs()));
        running.push((place, Contender::start(command, first)?));
    }
    for _ in 0..rounds {
        running.shuffle(&mut rng);
        for (_, contender) in &mut running {
            contender.slice()?;
        }
    }
    let in_time = |contender: &Contender| contender.began.elapsed() < limit;
    ensure!(running.iter().all(|(_, contender)| in_time(contender)), "the slices took longer than they may");
    // Time begins when all are connected.
    while running.iter().any(|(_, contender)| contender.began.elapsed() < limit + first) {
        std::thread::sleep(GAP);
    }
    running.sort_by_key(|(place, _)| *place);
    running.into_iter().map(|(_, contender)| contender.finish(first)).collect()
}

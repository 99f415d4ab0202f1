//! Takes processors away, as the host of a virtual machine does: what pgduel concludes on a noisy machine can be tried on a quiet one.
//!
//! ```sh
//! cargo build --release --example steal
//! sudo setcap cap_sys_nice+ep target/release/examples/steal     # once a build; without it, run it as root
//! target/release/examples/steal --share 0.15 --burst 6ms -- target/release/pgduel duel omniops/trend-30d --aa --quick
//! target/release/examples/steal --share 0.25 --burst 12ms --swing 45s --seconds 120
//! ```
//!
//! A thread for each processor of this process's affinity mask, pinned there, with a real-time priority above all usual ones, sleeps and
//! spins in turn: meanwhile nothing else runs on that processor, as if the host had given it to another machine. Gaps are exponential,
//! bursts log-normal. With `--swing` the share goes up and down in a sine, between nothing and twice itself, on all processors at once, as a
//! busy neighbour comes and goes; bursts stay independent.
//!
//! Unlike real steal, the kernel counts this as time in use, so pgduel's own records show none; `--report` keeps what was taken. Linux lets
//! real-time threads have 95% of a processor unless told otherwise (`sched_rt_runtime_us`), which is why no share above 0.9 is accepted.
//!
//! The command is in a process group of its own and keeps the usual priority and all processors. SIGINT, SIGTERM and SIGHUP are passed on to
//! that group, and the rig ends when the command has. If the rig itself is killed, the kernel ends its threads and sends the command
//! SIGTERM; what that had started in turn is left to it.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::{Pid, Signal, getppid, kill_process_group};
use thread_priority::{RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, unix};
use tokio::signal::unix::{SignalKind, signal};

/// Spread of the bursts: standard deviation of their logarithm.
const SIGMA: f64 = 0.8;
/// Above the generator's 1 and whatever else has a real-time priority, below the kernel's own threads at 99.
const PRIORITY: u8 = 90;
/// Steps in which a swinging share is followed, a period.
const STEPS: f64 = 256.0;
/// How long it lasts without a command, unless said otherwise.
const ALONE: Duration = Duration::from_secs(60);
/// Cannot do what was asked, as clap says of arguments.
const REFUSED: u8 = 2;

/// Takes a share of each processor away, in bursts, as the host of a virtual machine does. Needs root or CAP_SYS_NICE.
#[derive(Clone, Debug, Parser)]
// Values may begin with a hyphen: what is refused then is the value, not an option of its name.
#[command(name = "steal")]
struct Arguments {
    /// Share of each processor's time: 0.01 to 0.9, with --swing to 0.45
    #[arg(long, default_value = "0.15", value_parser = share, allow_hyphen_values = true)]
    share: f64,
    /// Median length of a burst: 100us to 1s
    #[arg(long, default_value = "6ms", value_parser = |text: &str| duration(text, 100e-6, 1.0), allow_hyphen_values = true)]
    burst: Duration,
    /// Period in which the share swings between nothing and twice itself: 1s to 1h
    #[arg(long, value_parser = |text: &str| duration(text, 1.0, 3600.0), allow_hyphen_values = true)]
    swing: Option<Duration>,
    /// Takes no more after so many seconds; without a command 60, with one as long as it runs
    #[arg(long, value_parser = |text: &str| duration(&format!("{text}s"), 0.01, 86_400.0), allow_hyphen_values = true)]
    seconds: Option<Duration>,
    /// Seed of gaps and bursts
    #[arg(long, default_value_t = 1, allow_hyphen_values = true)]
    seed: u64,
    /// File for what was taken, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Set by the rig where it starts the command: the process that the command must not outlive.
    #[arg(long, hide = true)]
    child_of: Option<i32>,
    /// What runs meanwhile; its exit code is this program's
    #[arg(last = true)]
    command: Vec<OsString>,
}

fn share(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "a number is wanted, such as 0.15".to_owned())?;
    if (0.01..=0.9).contains(&number) { Ok(number) } else { Err("0.01 to 0.9 can be taken".to_owned()) }
}

fn duration(text: &str, least: f64, most: f64) -> Result<Duration, String> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let read = units.iter().find_map(|(unit, seconds)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * seconds));
    let seconds = read.ok_or("a time is wanted, such as 6ms or 45s")?;
    // Times such as 1s are not exact in binary.
    let slack = 1e-9;
    match (least - slack..=most + slack).contains(&seconds) {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err(format!("from {least} s to {most} s is possible")),
    }
}

/// Parses and checks what clap cannot check argument by argument.
fn arguments(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let arguments = Arguments::try_parse_from(words)?;
    if arguments.swing.is_some() && arguments.share > 0.45 {
        let text = "--share is at most 0.45 with --swing, as it swings up to twice that\n";
        return Err(clap::Error::raw(clap::error::ErrorKind::ValueValidation, text));
    }
    Ok(arguments)
}

/// Gaps and bursts of one processor, in seconds: the same for the same seed.
struct Draws {
    random: ChaCha8Rng,
    share: f64,
    median_burst: f64,
    swing: Option<f64>,
}

impl Draws {
    fn new(arguments: &Arguments, processor: usize) -> Draws {
        let mut random = ChaCha8Rng::seed_from_u64(arguments.seed);
        random.set_stream(processor as u64);
        Draws {
            random,
            share: arguments.share,
            median_burst: arguments.burst.as_secs_f64(),
            swing: arguments.swing.map(|swing| swing.as_secs_f64()),
        }
    }

    /// Uniform, never 0.
    fn uniform(&mut self) -> f64 {
        1.0 - self.random.random::<f64>()
    }

    /// Bursts that begin per second of freedom, so that bursts are the share of all time that is wanted `at` seconds from the start.
    fn bursts_per_second(&self, at: f64) -> f64 {
        let share = match self.swing {
            Some(swing) => self.share * (1.0 + libm::sin(std::f64::consts::TAU * at / swing)),
            None => self.share,
        };
        let mean_burst = self.median_burst * libm::exp(SIGMA * SIGMA / 2.0);
        share / ((1.0 - share) * mean_burst)
    }

    /// Time until the next burst, from `at`. The gaps of a Poisson process whose rate changes: its integral over a gap is exponential.
    fn gap(&mut self, at: f64) -> f64 {
        let mut left = -libm::log(self.uniform());
        let step = self.swing.map_or(f64::INFINITY, |swing| swing / STEPS);
        let mut gap = 0.0;
        loop {
            let rate = self.bursts_per_second(at + gap);
            if rate * step >= left {
                return gap + left / rate;
            }
            left -= rate * step;
            gap += step;
        }
    }

    /// Length of a burst: log-normal, by Box and Muller (Annals of Mathematical Statistics 29, 1958).
    fn burst(&mut self) -> f64 {
        let (radius, angle) = (libm::sqrt(-2.0 * libm::log(self.uniform())), std::f64::consts::TAU * self.uniform());
        self.median_burst * libm::exp(SIGMA * radius * libm::cos(angle))
    }
}

/// The processors that are taken away, and how much of each has been so far.
struct Rig {
    processors: Vec<(usize, Arc<AtomicU64>)>,
    begin: Instant,
    /// Nothing is taken after this.
    limit: Option<Duration>,
}

impl Rig {
    /// Starts a thread for each processor. Nothing is taken before all of them may.
    fn start(arguments: &Arguments) -> anyhow::Result<Rig> {
        let limit = arguments.seconds.or(arguments.command.is_empty().then_some(ALONE));
        let mut processors = Vec::new();
        let (ready, readiness) = mpsc::channel();
        let mut begins = Vec::new();
        for processor in system::processors()? {
            let taken_ns = Arc::new(AtomicU64::new(0));
            let (begin, begun) = mpsc::channel();
            let (ready, draws, taken) = (ready.clone(), Draws::new(arguments, processor), taken_ns.clone());
            std::thread::Builder::new().spawn(move || {
                let _ = ready.send(take_hold(processor));
                // Without a beginning the rig has been refused.
                if let Ok(begin) = begun.recv() {
                    take_away(draws, begin, limit, &taken);
                }
            })?;
            processors.push((processor, taken_ns));
            begins.push(begin);
        }
        for _ in &processors {
            readiness.recv().context("a thread ended before its time")??;
        }
        let now = Instant::now();
        for begin in begins {
            let _ = begin.send(now);
        }
        Ok(Rig { processors, begin: now, limit })
    }

    /// How long it has been at work.
    fn length(&self) -> Duration {
        let length = self.begin.elapsed();
        self.limit.map_or(length, |limit| length.min(limit))
    }

    /// Says on stderr, and in the file if there is one, which share of each processor bursts have taken that are over.
    fn report(&self, file: Option<File>) -> anyhow::Result<()> {
        let seconds = self.length().as_secs_f64();
        let share = |taken: &AtomicU64| taken.load(Ordering::Relaxed) as f64 / 1e9 / seconds.max(1e-9);
        let each: Vec<String> =
            self.processors.iter().map(|(processor, taken)| format!("{:.1}% of processor {processor}", share(taken) * 100.0)).collect();
        eprintln!("steal: took {} in {seconds:.1} s", each.join(", "));
        if let Some(mut file) = file {
            let shares: Vec<f64> = self.processors.iter().map(|(_, taken)| share(taken)).collect();
            writeln!(file, "{}", serde_json::json!({ "seconds": seconds, "taken_shares": shares }))?;
        }
        Ok(())
    }
}

/// Pins this thread to its processor, and puts it before everything else there.
fn take_hold(processor: usize) -> anyhow::Result<()> {
    system::pin(processor)?;
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let priority = ThreadPriority::Crossplatform(PRIORITY.try_into().map_err(anyhow::Error::msg)?);
    unix::set_thread_priority_and_policy(unix::thread_native_id(), priority, policy).map_err(|error| {
        anyhow::anyhow!("no real-time priority is to be had ({error}): run it as root, or with CAP_SYS_NICE, where the machine allows that")
    })
}

/// Sleeps and spins in turn, for ever or to the limit.
fn take_away(mut draws: Draws, begin: Instant, limit: Option<Duration>, taken_ns: &AtomicU64) {
    let before = thread_cpu();
    let end = limit.map(|limit| begin + limit);
    loop {
        let gap = draws.gap(begin.elapsed().as_secs_f64());
        let gap = Duration::try_from_secs_f64(gap).unwrap_or(Duration::from_secs(3600));
        if end.is_some_and(|end| Instant::now() + gap >= end) {
            return;
        }
        std::thread::sleep(gap);
        let until = Instant::now() + Duration::try_from_secs_f64(draws.burst()).unwrap_or_default();
        let until = end.map_or(until, |end| until.min(end));
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        let taken = thread_cpu().saturating_sub(before);
        taken_ns.store(u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Processor time of the calling thread.
fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What only Linux has.
#[cfg(target_os = "linux")]
mod system {
    use anyhow::Context;
    use rustix::process::{Signal, set_parent_process_death_signal};
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    /// Processors that this process may use.
    pub fn processors() -> anyhow::Result<Vec<usize>> {
        let mask = sched_getaffinity(None).context("cannot read the affinity mask")?;
        Ok((0..CpuSet::MAX_CPU).filter(|processor| mask.is_set(*processor)).collect())
    }

    /// Keeps this thread on one processor.
    pub fn pin(processor: usize) -> anyhow::Result<()> {
        let mut mask = CpuSet::new();
        mask.set(processor);
        sched_setaffinity(None, &mask).with_context(|| format!("cannot pin a thread to processor {processor}"))
    }

    /// Has the kernel end this process with its parent.
    pub fn end_with_parent() -> anyhow::Result<()> {
        Ok(set_parent_process_death_signal(Some(Signal::TERM))?)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    const ONLY_LINUX: &str = "only Linux pins threads to processors, which this needs";

    pub fn processors() -> anyhow::Result<Vec<usize>> {
        anyhow::bail!(ONLY_LINUX)
    }

    pub fn pin(_: usize) -> anyhow::Result<()> {
        anyhow::bail!(ONLY_LINUX)
    }

    pub fn end_with_parent() -> anyhow::Result<()> {
        anyhow::bail!(ONLY_LINUX)
    }
}

fn main() -> ExitCode {
    let arguments = arguments(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let ended = match arguments.child_of {
        Some(parent) => become_command(parent, &arguments.command),
        None => run(&arguments),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("steal: {error:#}");
        ExitCode::from(REFUSED)
    })
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let report = arguments.report.as_ref().map(|path| File::create(path).with_context(|| format!("cannot write {}", path.display())));
    let report = report.transpose()?;
    // On this thread alone, which is an ordinary one: what it starts inherits neither priority nor processor.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        // From here on no signal ends this process before the command has ended.
        let signals = Signals::new()?;
        let rig = Rig::start(arguments)?;
        let code = match arguments.command.is_empty() {
            true => wait(&rig, signals).await,
            false => accompany(&arguments.command, signals).await?,
        };
        rig.report(report)?;
        anyhow::Ok(code)
    })?;
    Ok(ExitCode::from(code))
}

/// Signals that are passed on.
struct Signals([(Signal, tokio::signal::unix::Signal); 3]);

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals([
            (Signal::INT, signal(SignalKind::interrupt())?),
            (Signal::TERM, signal(SignalKind::terminate())?),
            (Signal::HUP, signal(SignalKind::hangup())?),
        ]))
    }

    async fn next(&mut self) -> Signal {
        let [(interrupt, interrupted), (terminate, terminated), (hang_up, hung_up)] = &mut self.0;
        tokio::select! {
            _ = interrupted.recv() => *interrupt,
            _ = terminated.recv() => *terminate,
            _ = hung_up.recv() => *hang_up,
        }
    }
}

/// Until its time is over, or a signal ends it.
async fn wait(rig: &Rig, mut signals: Signals) -> u8 {
    let limit = rig.limit.unwrap_or(ALONE);
    tokio::select! {
        () = tokio::time::sleep(limit.saturating_sub(rig.begin.elapsed())) => 0,
        signal = signals.next() => by_signal(signal.as_raw()),
    }
}

/// Until the command has ended; its exit code.
async fn accompany(command: &[OsString], mut signals: Signals) -> anyhow::Result<u8> {
    // By way of this program, which can ask the kernel to end it if this process is killed. Nothing to read from, as a process group in
    // the background would be stopped by the terminal if it tried.
    let mut child = tokio::process::Command::new(std::env::current_exe()?)
        .args(["--child-of", &std::process::id().to_string(), "--"])
        .args(command)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot start the command")?;
    let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)).context("the command has no process")?;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(exit_code(status?)),
            signal = signals.next() => {
                // Gone already, if it fails.
                let _ = kill_process_group(group, signal);
            }
        }
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(1),
        (None, Some(signal)) => by_signal(signal),
        (None, None) => 1,
    }
}

/// As shells tell a signal.
fn by_signal(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(1)
}

/// Turns this process into the command. Returns only if that cannot be done.
fn become_command(parent: i32, command: &[OsString]) -> anyhow::Result<ExitCode> {
    system::end_with_parent()?;
    // Killed before the kernel was asked.
    anyhow::ensure!(getppid().is_some_and(|found| found.as_raw_nonzero().get() == parent), "what started the command is gone");
    let (program, arguments) = command.split_first().context("there is no command")?;
    let error = std::process::Command::new(program).args(arguments).exec();
    eprintln!("steal: cannot run {}: {error}", program.display());
    Ok(ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Arguments, String> {
        let words = std::iter::once("steal").chain(text.split_whitespace()).map(OsString::from);
        arguments(words).map_err(|error| error.to_string())
    }

    /// Share of the time from `from` to `to` that bursts take, if nothing is late.
    fn taken(draws: &mut Draws, from: f64, to: f64) -> f64 {
        let (mut at, mut sum) = (from, 0.0);
        while at < to {
            let gap = draws.gap(at);
            let burst = draws.burst();
            at += gap + burst;
            sum += burst;
        }
        sum / (at - from)
    }

    fn draws(text: &str, processor: usize) -> Draws {
        Draws::new(&parse(text).unwrap(), processor)
    }

    #[test]
    fn arguments_have_units_and_end_at_the_command() {
        let read = parse("--share 0.25 --burst 12ms --swing 45s --seconds 1.5 --seed 7 -- sleep --burst 1").unwrap();
        assert_eq!((read.share, read.burst, read.seed), (0.25, Duration::from_millis(12), 7));
        assert_eq!((read.swing, read.seconds), (Some(Duration::from_secs(45)), Some(Duration::from_millis(1500))));
        assert_eq!(read.command, ["sleep", "--burst", "1"]);
        let usual = parse("").unwrap();
        assert_eq!((usual.share, usual.burst, usual.swing), (0.15, Duration::from_millis(6), None));
        assert_eq!(parse("--burst 100us").unwrap().burst, Duration::from_micros(100));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, name) in [
            ("--share 0", "--share"),
            ("--share 1", "--share"),
            ("--share NaN", "--share"),
            ("--share -0.1", "--share"),
            ("--share a", "--share"),
            ("--share 0.5 --swing 45s", "--share"),
            ("--burst 6", "--burst"),
            ("--burst 2s", "--burst"),
            ("--burst 0ms", "--burst"),
            ("--burst infs", "--burst"),
            ("--burst -6ms", "--burst"),
            ("--swing 100ms", "--swing"),
            ("--swing 2h", "--swing"),
            ("--seconds 0", "--seconds"),
            ("--seconds inf", "--seconds"),
            ("--seconds 10s", "--seconds"),
            ("--seed -1", "--seed"),
            ("--bursts 6ms", "--bursts"),
            ("sleep 1", "sleep"),
        ] {
            let said = parse(text).expect_err(text);
            assert!(said.contains(name), "{text}: {said}");
        }
    }

    #[test]
    fn bursts_take_the_share_that_was_asked_for() {
        // The sum of n bursts is off by a hundredth of a share or less: their standard deviation is 0.95 of their mean, and there are
        // more than fifty thousand.
        for (text, share) in [("--share 0.15 --burst 6ms", 0.15), ("--share 0.6 --burst 1ms", 0.6), ("--share 0.25 --burst 12ms", 0.25)] {
            let found = taken(&mut draws(text, 0), 0.0, 4_000.0);
            assert!((found / share - 1.0).abs() < 0.02, "{text}: {found}");
        }
    }

    #[test]
    fn bursts_are_log_normal_around_their_median() {
        let mut draws = draws("--burst 6ms", 0);
        let mut logarithms: Vec<f64> = (0..20_000).map(|_| libm::log(draws.burst() / 0.006)).collect();
        logarithms.sort_by(f64::total_cmp);
        let at = |quantile: f64| logarithms[(quantile * 20_000.0) as usize];
        // At one standard deviation below and above, and in the middle.
        for (quantile, expected) in [(0.1587, -SIGMA), (0.5, 0.0), (0.8413, SIGMA)] {
            assert!((at(quantile) - expected).abs() < 0.04, "{quantile}: {}", at(quantile));
        }
    }

    #[test]
    fn a_swinging_share_is_itself_over_whole_periods_and_more_in_the_first_half() {
        let mut draws = draws("--share 0.25 --burst 12ms --swing 45s", 0);
        let [mut first, mut second] = [0.0; 2];
        for period in 0..200 {
            let start = f64::from(period) * 45.0;
            first += taken(&mut draws, start, start + 22.5) / 200.0;
            second += taken(&mut draws, start + 22.5, start + 45.0) / 200.0;
        }
        assert!(((first + second) / 2.0 / 0.25 - 1.0).abs() < 0.05, "{first} and {second}");
        // The mean of a sine over half its period is 2/pi.
        assert!((first / 0.25 - 1.637).abs() < 0.08 && (second / 0.25 - 0.363).abs() < 0.08, "{first} and {second}");
    }

    #[test]
    fn a_seed_and_a_processor_make_the_draws() {
        let some = |text: &str, processor: usize| {
            let mut draws = draws(text, processor);
            [draws.gap(0.0), draws.burst(), draws.gap(1.0)]
        };
        assert_eq!(some("--seed 3", 1), some("--seed 3", 1));
        assert_ne!(some("--seed 3", 1), some("--seed 3", 0));
        assert_ne!(some("--seed 3", 1), some("--seed 4", 1));
    }

    #[test]
    fn exit_codes_are_those_of_shells() {
        assert_eq!(exit_code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(exit_code(ExitStatus::from_raw(15)), 143);
    }
}

//! The scheduler of an open loop: hands every arrival to the pool's queue at its intended start, on a thread of its own.
//!
//! Never early, and late only where the machine kept the thread from running; how late is recorded with each arrival.

use std::time::{Duration, Instant};

use super::block::{Job, Shared};
use super::priority::{go_first, thread_cpu, yield_to_others};
use super::schedule::Schedule;
use crate::record::Histogram;

/// The scheduler sleeps until this much before an arrival and spins for the rest: timers are that coarse.
pub(super) const SPIN: Duration = Duration::from_micros(60);
/// It spins for at most this part of what is left until an arrival, so that a high rate alone does not make it take a core.
pub(super) const SPIN_PART: u32 = 16;
/// Behind its schedule by this much, the scheduler is given more to do than it can, and no longer runs before everything else.
pub(super) const HOPELESS: Duration = Duration::from_millis(10);
/// How often it looks whether the block was halted.
pub(super) const POLL: Duration = Duration::from_millis(50);

/// What the scheduler did with the arrivals of the measured stretch.
#[derive(Clone, Debug, Default)]
pub(super) struct Offered {
    /// All of them.
    pub(super) scheduled: u64,
    /// Those that were due after the run was stopped.
    pub(super) dropped: u64,
    /// Those that no connection had taken when patience ended.
    pub(super) abandoned: u64,
    /// Lags of those that no connection took, ns: what keeps the scheduler from its work must show however little is served.
    pub(super) lag: Histogram,
    /// When those were due that had given up waiting by then.
    pub(super) timed_out: Vec<Instant>,
    /// The scheduler's processor time over the time that it took; 1.0 is fully busy.
    pub(super) cpu_share: f64,
}

/// Hands every arrival to the queue at its intended start, never earlier, and late only if this thread was kept from running.
pub(super) fn schedule(shared: &Shared, begin: Instant) -> Offered {
    go_first();
    let mut first = true;
    let mut offered = Offered::default();
    let load = &shared.spec.load;
    let end = load.settle_ns + load.measure_ns;
    let starts = Schedule::new(load.arrivals.clone(), load.seed, load.first_sequence);
    for (number, offset) in starts.take_while(|offset| *offset < end).enumerate() {
        let measured = offset >= load.settle_ns;
        offered.scheduled += u64::from(measured);
        if shared.halted().is_some() {
            offered.dropped += u64::from(measured);
            continue;
        }
        let arrival = shared.spec.mix.arrival(load.first_sequence + number as u64);
        let intended = begin + Duration::from_nanos(offset);
        if !sleep_until(shared, intended) {
            offered.dropped += u64::from(measured);
            continue;
        }
        let queued = Instant::now();
        if first && queued.saturating_duration_since(intended) > HOPELESS {
            yield_to_others();
            first = false;
        }
        shared.queue.push(Job { arrival, intended, queued, measured, user: None });
    }
    drain(shared, offered, begin, begin + load.length())
}

/// Waits for what is queued when no more comes, as long as patience lasts.
pub(super) fn drain(shared: &Shared, mut offered: Offered, begin: Instant, end: Instant) -> Offered {
    shared.queue.close();
    offered.cpu_share = thread_cpu().as_secs_f64() / begin.elapsed().max(end - begin).as_secs_f64().max(1e-6);
    // Sessions drain what is queued; what nobody has taken when patience ends never started.
    let limits = &shared.spec.load.limits;
    let latest = end + Duration::from_nanos(limits.drain_ns);
    while shared.queue.has_jobs() && Instant::now() < shared.last_moment(latest) && !shared.is_deserted() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (now, limit) = (Instant::now(), limits.acquire_ns.map(Duration::from_nanos));
    for job in shared.queue.abandon().iter().filter(|job| job.measured) {
        offered.lag.record(job.lag_ns());
        match job.has_given_up(limit, now) {
            true => offered.timed_out.push(job.intended),
            false => offered.abandoned += 1,
        }
    }
    offered
}

/// Whether the block still goes on then.
fn sleep_until(shared: &Shared, instant: Instant) -> bool {
    loop {
        if shared.halted().is_some() {
            return false;
        }
        let left = instant.saturating_duration_since(Instant::now());
        let spin = SPIN.min(left / SPIN_PART);
        std::thread::sleep((left - spin).min(POLL));
        if left < POLL {
            break;
        }
    }
    while Instant::now() < instant {
        std::hint::spin_loop();
    }
    true
}

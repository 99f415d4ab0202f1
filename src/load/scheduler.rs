//! The scheduler of an open loop: hands every arrival to the pool's queue at its intended start, on a thread of its own.
//!
//! Never early, and late only where the machine kept the thread from running; how late is recorded with each arrival.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::block::{Job, Shared};
use super::priority::go_first;
use super::schedule::{Process, Schedule};

/// How long running transactions may take to finish after the last arrival.
pub(super) const DRAIN: Duration = Duration::from_secs(30);
/// The scheduler sleeps until this much before an arrival and spins for the rest: timers are that coarse.
const SPIN: Duration = Duration::from_micros(60);

/// What the scheduler did with the arrivals of the measured stretch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offered {
    /// All of them.
    pub(super) scheduled: u64,
    /// Those that were due after the run was stopped.
    pub(super) dropped: u64,
    /// Those that no connection had taken when patience ended.
    pub(super) abandoned: u64,
}

/// Hands every arrival to the queue at its intended start, never earlier, and late only if this thread was kept from running.
pub(super) fn schedule(shared: &Shared, process: Process, begin: Instant, settle: Duration, measure: Duration) -> Offered {
    go_first();
    let mut offered = Offered::default();
    let end = (settle + measure).as_nanos() as u64;
    let settled = settle.as_nanos() as u64;
    let mut stopped = false;
    let starts = Schedule::new(process, shared.spec.seed, shared.spec.first_sequence);
    for (number, offset) in starts.take_while(|offset| *offset < end).enumerate() {
        let measured = offset >= settled;
        offered.scheduled += u64::from(measured);
        if stopped || shared.spec.stop.load(Ordering::Relaxed) {
            stopped = true;
            offered.dropped += u64::from(measured);
            continue;
        }
        let arrival = shared.spec.mix.arrival(shared.spec.first_sequence + number as u64);
        let intended = begin + Duration::from_nanos(offset);
        sleep_until(intended);
        shared.queue.push(Job { arrival, intended, queued: Instant::now(), measured });
    }
    shared.queue.close();
    // Sessions drain what is queued; what nobody has taken when patience ends never started.
    let patience = begin + settle + measure + DRAIN;
    while shared.queue.has_jobs() && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(5));
    }
    offered.abandoned = shared.queue.abandon().iter().filter(|job| job.measured).count() as u64;
    offered
}

fn sleep_until(instant: Instant) {
    let left = instant.saturating_duration_since(Instant::now());
    if left > SPIN {
        std::thread::sleep(left - SPIN);
    }
    while Instant::now() < instant {
        std::hint::spin_loop();
    }
}

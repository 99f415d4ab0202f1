//! Where the operating system allows it, the generator runs before the server that it measures; and what processor time it takes.

use std::time::Duration;

use thread_priority::{NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, unix};

/// Where we may, this thread runs as soon as there is something to do, before the server and whatever else the machine does: it hardly runs,
/// and what it is late by would be taken for the server's time. A fair scheduler lets others finish a slice of milliseconds first. Not being
/// allowed to is fine: lateness is measured.
pub(super) fn go_first() {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    if let Ok(lowest) = 1u8.try_into() {
        let _ = unix::set_thread_priority_and_policy(unix::thread_native_id(), ThreadPriority::Crossplatform(lowest), policy);
    }
}

/// Gives that up: for a thread that turned out to have more to do than it can, and would keep everything else from running.
pub(super) fn yield_to_others() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    // On this crate's scale of 0 to 99 that is the usual niceness of 0.
    if let Ok(usual) = 48u8.try_into() {
        let _ = unix::set_thread_priority_and_policy(unix::thread_native_id(), ThreadPriority::Crossplatform(usual), policy);
    }
}

/// Processor time of the calling thread.
pub(super) fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_went_first_can_yield() {
        let policy = || unix::thread_schedule_policy().unwrap();
        let usual = policy();
        go_first();
        // Without the right to go first nothing has changed so far.
        assert!(policy() == usual || policy() == ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo));
        yield_to_others();
        assert_eq!(policy(), ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other));
    }
}

//! Where the operating system allows it, the generator runs before the server that it measures.

use thread_priority::{RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, unix};

/// Where we may, this thread runs as soon as there is something to do, before the server and whatever else the machine does: it hardly runs,
/// and what it is late by would be taken for the server's time. A fair scheduler lets others finish a slice of milliseconds first. Not being
/// allowed to is fine: lateness is measured.
pub(super) fn go_first() {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    if let Ok(lowest) = 1u8.try_into() {
        let _ = unix::set_thread_priority_and_policy(unix::thread_native_id(), ThreadPriority::Crossplatform(lowest), policy);
    }
}

//! Where the operating system allows it, the generator runs before the server that it measures.

use thread_priority::{RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, unix};

/// Where we may, this thread runs as soon as an arrival is due, before the server and the load threads: it hardly runs, and must not be
/// late. A fair scheduler lets whoever runs finish a slice of milliseconds first. Not being allowed to is fine: lateness is measured.
pub(super) fn go_first() {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    if let Ok(lowest) = 1u8.try_into() {
        let _ = unix::set_thread_priority_and_policy(unix::thread_native_id(), ThreadPriority::Crossplatform(lowest), policy);
    }
}

//! Pauses that end on time without taking the processor meanwhile.
//!
//! The runtime's timer counts milliseconds. Where the operating system has timers that can be waited for like a socket, a pause ends within
//! some tens of microseconds, at the price of yielding for the last [`SPIN`]. Elsewhere it ends up to a millisecond late. It is never short.

use std::time::{Duration, Instant};

/// The pause is spent asleep until this much before its end: waking up takes about as long.
const SPIN: Duration = Duration::from_micros(50);

/// Makes one pause after the other.
#[derive(Default)]
pub struct Pauser {
    #[cfg(target_os = "linux")]
    timer: Option<timer::Timer>,
}

impl Pauser {
    /// Waits for this long.
    pub async fn pause(&mut self, length: Duration) {
        let end = Instant::now() + length;
        if length > SPIN {
            self.sleep(length - SPIN).await;
        }
        while Instant::now() < end {
            tokio::task::yield_now().await;
        }
    }

    /// Waits for about this long, as late as the operating system lets the thread go on.
    #[cfg(target_os = "linux")]
    pub(super) async fn sleep(&mut self, length: Duration) {
        if self.timer.is_none() {
            self.timer = timer::Timer::new().ok();
        }
        let slept = match &mut self.timer {
            Some(timer) => timer.sleep(length).await,
            None => Err(std::io::ErrorKind::Unsupported.into()),
        };
        if slept.is_err() {
            tokio::time::sleep(length).await;
        }
    }

    /// Waits for about this long.
    #[cfg(not(target_os = "linux"))]
    pub(super) async fn sleep(&mut self, length: Duration) {
        tokio::time::sleep(length).await;
    }
}

#[cfg(target_os = "linux")]
mod timer {
    use std::future::poll_fn;
    use std::io;
    use std::os::fd::AsFd;
    use std::time::Duration;

    use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};

    use crate::load::watched::{Taken, Watched};

    /// A timer of the operating system.
    pub(super) struct Timer(Watched);

    impl Timer {
        pub(super) fn new() -> io::Result<Timer> {
            let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            Watched::new(timer).map(Timer)
        }

        pub(super) async fn sleep(&mut self, length: Duration) -> io::Result<()> {
            if length.is_zero() {
                // For the timer that would be never.
                return Ok(());
            }
            let value = Timespec::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
            timerfd_settime(self.0.as_fd(), TimerfdTimerFlags::empty(), &once)?;
            // It may be ready from an earlier pause that was cut short: then there is nothing to read.
            let expired = |fd: std::os::fd::BorrowedFd<'_>| Ok(Taken { bytes: rustix::io::read(fd, &mut [0; 8])?, all: true });
            poll_fn(|context| self.0.poll_read(context, expired)).await.map(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::priority::thread_cpu;

    #[test]
    fn pauses_are_never_short_and_take_little_processor_time() {
        const PAUSES: u32 = 200;
        const LENGTH: Duration = Duration::from_micros(2_700);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (mut late, mut taken) = runtime.block_on(async {
            let mut pauser = Pauser::default();
            let (mut late, mut taken) = (Vec::new(), Vec::new());
            for number in 0..PAUSES {
                if number % 10 == 0 {
                    // One that is given up must not shorten the next.
                    let _ = tokio::time::timeout(Duration::from_millis(1), pauser.pause(LENGTH)).await;
                }
                let (cpu, begin) = (thread_cpu(), Instant::now());
                pauser.pause(LENGTH).await;
                assert!(begin.elapsed() >= LENGTH);
                late.push(begin.elapsed() - LENGTH);
                taken.push(thread_cpu() - cpu);
            }
            (late, taken)
        });
        late.sort();
        taken.sort();
        // The median: what a host takes away is in some of them.
        let each = taken[taken.len() / 2];
        println!("late by {:?}, {each:?} of processor time (medians)", late[late.len() / 2]);
        // Yielding for the last millisecond and a half would take more.
        assert!(each < Duration::from_micros(500), "{each:?}");
    }
}

//! Where each load thread has a processor of its own, it stays there.

/// Keeps the calling thread, the one of this `number` of so many `threads`, on one of the processors that it may use, if there are as many
/// of them as threads.
///
/// A scheduler that knows nothing of the load moves threads about, and finds two of them on one processor and none on another for some
/// milliseconds. What a thread sends then wakes a backend elsewhere, which costs both more. With fewer threads than processors there is no telling
/// which of them others need more, so that nothing is kept then; nor where the operating system has no such thing.
///
/// Threads that are started from there, which look up names of hosts for the runtime, are kept on that processor too; they last for seconds.
pub(super) fn keep_apart(number: usize, threads: usize) {
    #[cfg(target_os = "linux")]
    if let Some(processor) = own_processor(number, threads) {
        let mut only = rustix::thread::CpuSet::new();
        only.set(processor);
        // Not being allowed to is fine: it is a matter of cost.
        let _ = rustix::thread::sched_setaffinity(None, &only);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (number, threads);
}

#[cfg(target_os = "linux")]
fn own_processor(number: usize, threads: usize) -> Option<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let allowed = sched_getaffinity(None).ok()?;
    let mut processors = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor));
    if allowed.count() as usize == threads { processors.nth(number) } else { None }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::thread::{CpuSet, sched_getaffinity};

    use super::*;

    fn allowed() -> Vec<usize> {
        let allowed = sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).collect()
    }

    #[test]
    fn as_many_threads_as_processors_have_one_each() {
        let all = allowed();
        let kept_of = |number, threads| {
            std::thread::spawn(move || {
                keep_apart(number, threads);
                allowed()
            })
            .join()
            .unwrap()
        };
        let kept: Vec<_> = (0..all.len()).map(|number| kept_of(number, all.len())).collect();
        assert_eq!(kept, all.iter().map(|processor| vec![*processor]).collect::<Vec<_>>());
        assert_eq!(kept_of(0, all.len() + 1), all);
        assert_eq!(allowed(), all, "no other thread is kept anywhere");
    }
}

//! Users who share a pool: each thinks, asks, waits for its answer, and thinks again.
//!
//! Between an open loop, where nobody waits for anybody, and sessions that each have a connection to themselves: there are as many at most in
//! the queue as there are users, so an overloaded pool settles instead of falling behind for ever.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::block::{Job, Shared};
use super::priority::{go_first, yield_to_others};
use super::scheduler::{HOPELESS, Offered, POLL, SPIN, SPIN_PART, drain};
use crate::dataset::stream;

/// A user has heard of its transaction, whatever became of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    /// Its number.
    pub(super) user: u32,
    /// When.
    pub(super) at: Instant,
}

/// Lets each of them ask as soon as it has thought, for the length of the block. How long it thinks is drawn anew each time: exponential, with this
/// mean.
pub(super) fn users(shared: &Shared, users: u32, think: Duration, answers: &Receiver<Answered>, begin: Instant) -> Offered {
    go_first();
    let mut first = true;
    let mut offered = Offered::default();
    let load = &shared.spec.load;
    let (measured_from, end) = (begin + load.settle(), begin + load.length());
    let mut rng = stream(load.seed, "users", load.first_sequence);
    // They do not all come at once.
    let mut due: BinaryHeap<Reverse<(Instant, u32)>> = (0..users).map(|user| Reverse((begin + thought(think, &mut rng), user))).collect();
    let mut sequence = load.first_sequence;
    // Whoever asks next gets it, and no time goes into drawing it then.
    let mut arrival = shared.spec.mix.arrival(sequence);
    while shared.halted().is_none() {
        let next = due.peek().map_or(end, |Reverse((at, _))| end.min(*at));
        if let Some(Answered { user, at }) = answer_before(shared, answers, next) {
            due.push(Reverse((at + thought(think, &mut rng), user)));
            continue;
        }
        if shared.halted().is_some() || next >= end {
            break;
        }
        let Some(Reverse((intended, user))) = due.pop() else { break };
        let measured = intended >= measured_from;
        offered.scheduled += u64::from(measured);
        let queued = Instant::now();
        if first && queued.saturating_duration_since(intended) > HOPELESS {
            yield_to_others();
            first = false;
        }
        shared.queue.push(Job { arrival, intended, queued, measured, user: Some(user) });
        sequence += 1;
        arrival = shared.spec.mix.arrival(sequence);
    }
    drain(shared, offered, begin, end)
}

fn thought(mean: Duration, rng: &mut ChaCha8Rng) -> Duration {
    let uniform: f64 = rng.random();
    // At most 37 times the mean: the least number above zero that is drawn is 2^-53.
    mean.mul_f64(-libm::log(1.0 - uniform))
}

/// The next answer, if one comes before that instant.
fn answer_before(shared: &Shared, answers: &Receiver<Answered>, instant: Instant) -> Option<Answered> {
    loop {
        let left = instant.saturating_duration_since(Instant::now());
        let spin = SPIN.min(left / SPIN_PART);
        match answers.recv_timeout((left - spin).min(POLL)) {
            Ok(answer) => return Some(answer),
            Err(RecvTimeoutError::Timeout) if shared.halted().is_some() => return None,
            Err(RecvTimeoutError::Timeout) => {}
            // Not as long as this block has its own end of it.
            Err(RecvTimeoutError::Disconnected) => return None,
        }
        if left < POLL {
            break;
        }
    }
    while Instant::now() < instant {
        if let Ok(answer) = answers.try_recv() {
            return Some(answer);
        }
        std::hint::spin_loop();
    }
    None
}

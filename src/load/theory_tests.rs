//! The schedule and the queue against what is known of queues, with a clock of the tests' own: hours pass in seconds.
//!
//! The runtime's timers count milliseconds, so times here are long: what rounding adds is less than a thousandth.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::queue::Queue;
use super::schedule::Schedule;
use crate::record::Arrivals;
use crate::record::Histogram;

/// What happened to all arrivals.
#[derive(Default)]
struct Seen {
    waited: Duration,
    busy: Duration,
    done: u64,
    wait: Histogram,
    response: Histogram,
    service: Histogram,
    last: Duration,
}

/// A server that stops for a while.
#[derive(Clone, Copy)]
struct Stall {
    from: Duration,
    to: Duration,
}

/// Runs the arrivals of a schedule through the queue, to connections that each take what `service` says.
async fn simulate(
    connections: usize,
    process: Arrivals,
    arrivals: u64,
    service: impl Fn(&mut ChaCha8Rng) -> Duration + Copy + 'static,
    stall: Option<Stall>,
) -> Seen {
    let queue = Rc::new(Queue::<Duration>::new());
    let seen = Rc::new(RefCell::new(Seen::default()));
    let began = Instant::now();
    let local = LocalSet::new();
    for connection in 0..connections {
        let (queue, seen) = (queue.clone(), seen.clone());
        let mut random = ChaCha8Rng::seed_from_u64(connection as u64);
        local.spawn_local(async move {
            while let Some(intended) = queue.take().await {
                let acquired = began.elapsed();
                let mut takes = service(&mut random);
                // What is running or begins in the stall goes on when it ends.
                if let Some(stall) = stall.filter(|stall| acquired < stall.to && acquired + takes > stall.from) {
                    takes += stall.to.saturating_sub(acquired.max(stall.from));
                }
                sleep(takes).await;
                let mut seen = seen.borrow_mut();
                let done = began.elapsed();
                seen.waited += acquired.saturating_sub(intended);
                seen.wait.record(acquired.saturating_sub(intended).as_nanos() as u64);
                seen.busy += takes;
                seen.done += 1;
                seen.response.record((done - intended).as_nanos() as u64);
                seen.service.record((done - acquired).as_nanos() as u64);
                seen.last = seen.last.max(done);
            }
        });
    }
    let scheduler = queue.clone();
    local.spawn_local(async move {
        for intended in Schedule::new(process, 1, 0).take(arrivals as usize).map(Duration::from_nanos) {
            sleep_until(began + intended).await;
            scheduler.push(intended);
        }
        scheduler.close();
    });
    local.await;
    seen.take()
}

/// How long arrivals wait in M/M/N, by Erlang's C formula: the share that waits at all, and the mean time of those that do.
fn waits(arrivals: f64, completions: f64, connections: u32) -> (f64, f64) {
    let load = arrivals / completions;
    let n = f64::from(connections);
    // Erlang's B by its recurrence, and C from it.
    let b = (1..=connections).fold(1.0, |b, k| load * b / (f64::from(k) + load * b));
    let c = n * b / (n - load * (1.0 - b));
    (c, 1.0 / (n * completions - arrivals))
}

#[tokio::test(start_paused = true)]
async fn waits_are_those_of_erlang_and_busy_connections_those_of_little() {
    for (connections, rate) in [(1u32, 0.6), (4, 2.8), (16, 12.8)] {
        let arrivals = 1_000_000;
        let exponential = |random: &mut ChaCha8Rng| Duration::from_secs_f64(-(1.0 - random.random::<f64>()).ln());
        let seen = simulate(connections as usize, Arrivals::Poisson { per_second: rate }, arrivals, exponential, None).await;
        assert_eq!(seen.done, arrivals, "none is lost");
        let wait = seen.waited.as_secs_f64() / arrivals as f64;
        let (share, mean) = waits(rate, 1.0, connections);
        let wanted = share * mean;
        assert!((wait / wanted - 1.0).abs() < 0.03, "{connections} connections: mean wait {wait}, by Erlang {wanted}");
        // Those who wait do so for exponentially distributed times.
        let (p95, wanted) = (seen.wait.quantile(0.95).unwrap() / 1e9, (share / 0.05).ln() * mean);
        assert!((p95 / wanted - 1.0).abs() < 0.03, "{connections} connections: p95 of waits {p95}, by Erlang {wanted}");
        // Little's law: connections in use are throughput times service time.
        let seconds = seen.last.as_secs_f64();
        let busy = seen.busy.as_secs_f64() / seconds;
        assert!((busy / rate - 1.0).abs() < 0.01, "{connections} connections: {busy} busy at {rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_in_the_response_times_as_the_formula_says() {
    // A run of 1,000 s; the formula's share of arrivals that wait longer than x is (D - x) / ((1 - r) T).
    let length = 1_000.0;
    for (stall, rate, process) in [
        (50.0, 20.0, Arrivals::Constant { per_second: 20.0 }),
        (50.0, 20.0, Arrivals::Poisson { per_second: 20.0 }),
        (100.0, 20.0, Arrivals::Constant { per_second: 20.0 }),
        (25.0, 40.0, Arrivals::Constant { per_second: 40.0 }),
        (25.0, 40.0, Arrivals::Poisson { per_second: 40.0 }),
    ] {
        let service = 0.05;
        let connections = 4;
        let utilisation = rate * service / f64::from(connections);
        let from = Duration::from_secs(300);
        let stalled = Stall { from, to: from + Duration::from_secs_f64(stall) };
        let takes = move |_: &mut ChaCha8Rng| Duration::from_secs_f64(service);
        let arrivals = (rate * length) as u64;
        let seen = simulate(connections as usize, process.clone(), arrivals, takes, Some(stalled)).await;
        assert_eq!(seen.done, arrivals);
        for quantile in [0.99, 0.999] {
            let wanted = stall - (1.0 - quantile) * length * (1.0 - utilisation);
            let found = seen.response.quantile(quantile).unwrap() / 1e9;
            assert!((found / wanted - 1.0).abs() < 0.05, "stall {stall} at {process:?}: q{quantile} is {found}, by the formula {wanted}");
        }
        // Who looks at service times alone sees nothing.
        assert!(seen.service.quantile(0.99).unwrap() / 1e9 < 0.01 * stall, "service p99 {:?}", seen.service.quantile(0.99));
    }
}

//! The lines of `pgduel pgbench -P`, in pgbench's words.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::MissedTickBehavior;

use super::out;
use crate::pgbench::live::Live;
use crate::pgbench::options::Options;

/// What is shown besides throughput and latency, and how.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    lag: bool,
    skipped: bool,
    retries: bool,
    /// Whether the time is that of a clock.
    timestamp: bool,
}

impl Columns {
    /// Those that the options make sense of; `timestamp` for the time since 1970 instead of that since the start.
    pub fn of(options: &Options, timestamp: bool) -> Columns {
        Columns {
            lag: options.rate.is_some(),
            skipped: options.rate.is_some() && options.latency_limit.is_some(),
            retries: options.max_tries != Some(1),
            timestamp,
        }
    }
}

/// The counts at some time.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    done: u64,
    failed: u64,
    skipped: u64,
    retried: u64,
    retries: u64,
    latency_ns: u64,
    lag_ns: u64,
    squares_ms2: f64,
}

impl Seen {
    fn now(live: &Live) -> Seen {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Seen {
            at: Instant::now(),
            done: read(&live.done),
            failed: read(&live.failed),
            skipped: read(&live.skipped),
            retried: read(&live.retried),
            retries: read(&live.retries),
            latency_ns: read(&live.latency_ns),
            lag_ns: read(&live.lag_ns),
            squares_ms2: live.squares_ms2(),
        }
    }
}

/// A line every so many seconds; without `-P` it never ends. As in pgbench the clock begins with connecting, and there is no line until all
/// clients are connected.
pub async fn report(every: Option<u32>, live: Option<Arc<Live>>, columns: Columns) {
    let (Some(every), Some(live)) = (every, live) else { return std::future::pending().await };
    let mut last = Seen::now(&live);
    let began = last.at;
    let mut ticks = tokio::time::interval(Duration::from_secs(u64::from(every)));
    // Who was stopped for a while has one line to say, not all that are missing.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if live.begun.load(Ordering::Relaxed) {
            let now = Seen::now(&live);
            let time = match columns.timestamp {
                true => format!("{:.3}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()),
                false => format!("{:.1}", (now.at - began).as_secs_f64()),
            };
            out::say(&line(&time, &last, &now, columns));
            last = now;
        }
    }
}

fn line(time: &str, last: &Seen, now: &Seen, columns: Columns) -> String {
    let since_last = |count: fn(&Seen) -> u64| count(now).saturating_sub(count(last));
    let done = since_last(|seen| seen.done);
    let each = |sum: f64| sum / done.max(1) as f64;
    let mean_ms = |ns: fn(&Seen) -> u64| each(since_last(ns) as f64 / 1e6);
    let latency_ms = mean_ms(|seen| seen.latency_ns);
    let deviation_ms = (each(now.squares_ms2 - last.squares_ms2) - latency_ms * latency_ms).max(0.0).sqrt();
    let per_second = done as f64 / (now.at - last.at).as_secs_f64().max(1e-9);
    let mut line = format!(
        "progress: {time} s, {per_second:.1} tps, lat {latency_ms:.3} ms stddev {deviation_ms:.3}, {} failed",
        since_last(|seen| seen.failed)
    );
    // Writing into a String cannot fail.
    if columns.lag {
        let _ = write!(line, ", lag {:.3} ms", mean_ms(|seen| seen.lag_ns));
    }
    if columns.skipped {
        let _ = write!(line, ", {} skipped", since_last(|seen| seen.skipped));
    }
    if columns.retries {
        let _ = write!(line, ", {} retried, {} retries", since_last(|seen| seen.retried), since_last(|seen| seen.retries));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_of_the_time_since_the_last_one() {
        let began = Instant::now();
        let last = Seen {
            at: began + Duration::from_secs(2),
            done: 10,
            failed: 1,
            skipped: 2,
            retried: 3,
            retries: 4,
            latency_ns: 50_000_000,
            lag_ns: 1_000_000,
            squares_ms2: 1e3,
        };
        let now = Seen {
            at: began + Duration::from_secs(4),
            done: 12,
            failed: 4,
            skipped: 4,
            retried: 4,
            retries: 9,
            // 2 ms and 4 ms.
            latency_ns: 56_000_000,
            lag_ns: 2_000_000,
            squares_ms2: 1e3 + 20.0,
        };
        let begin = "progress: 4.0 s, 1.0 tps, lat 3.000 ms stddev 1.000, 3 failed";
        let none = Columns { lag: false, skipped: false, retries: false, timestamp: false };
        assert_eq!(line("4.0", &last, &now, none), begin);
        let all = Columns { lag: true, skipped: true, retries: true, timestamp: false };
        assert_eq!(line("4.0", &last, &now, all), format!("{begin}, lag 0.500 ms, 2 skipped, 1 retried, 5 retries"));
    }
}

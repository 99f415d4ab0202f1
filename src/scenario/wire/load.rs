//! `[load]`: how load is offered.

use std::time::Duration;

use super::super::stages::{Kind, LONGEST, MOST_PER_SECOND, SHORTEST, Step, stages};
use super::super::{Load, Plans, Rate};
use super::units;
use crate::diagnostic::Findings;
use crate::diagnostic::document::{Keys, Node, Value, did_you_mean};
use crate::diagnostic::{closest, list};
use crate::record::{Arrivals, RttPer, Spacing, Stage, nanoseconds};

const RATES: &str = "\"auto\", a number a second (Poisson), { poisson = 250 }, { constant = 250 }, { closed = 8 }, \
                     { users = 200, think = \"1s\" }, { stages = [...] }, { work = 1 } or { work = 1, transactions = 200 }";
const USUAL_THINK: Duration = Duration::from_secs(1);
const LONGEST_THINK: Duration = Duration::from_secs(3600);
const MOST_TRIES: i64 = 100;
const LONGEST_ACQUIRE: Duration = Duration::from_secs(600);

/// The load, or the default if the file has none.
pub fn load(node: Option<&Node>, f: &mut Findings) -> Option<Load> {
    let default = Load::default();
    let Some(node) = node else { return Some(default) };
    let mut keys = Keys::of(node, f, "a table with rate, connections, rtt, rtt-per, plans, acquire-timeout, max-tries")?;
    let stated = keys.get("rate").map_or(Some(Stated { rate: default.rate, sessions: None }), |node| stated(node, f));
    let pool = keys.get("connections");
    let connections = match (pool, &stated) {
        (Some(node), Some(Stated { sessions: Some(_), .. })) => {
            node.fault(f, "the rate names the sessions, each of which has a connection", "remove one of the two");
            None
        }
        (Some(node), _) => sessions(node, f),
        (None, Some(Stated { sessions, .. })) => Some(sessions.unwrap_or(default.connections)),
        (None, None) => None,
    };
    let rtt = keys.get("rtt").map_or(Some(default.rtt), |node| units::duration_of(node, f, "20ms", Load::LONGEST_RTT));
    let per = [("round-trip", RttPer::RoundTrip), ("request", RttPer::Request)];
    let rtt_per = keys.get("rtt-per").map_or(Some(default.rtt_per), |node| node.word(f, &per));
    let words = [("auto", Plans::Auto), ("custom", Plans::Custom), ("generic", Plans::Generic)];
    let plans = keys.get("plans").map_or(Some(default.plans), |node| node.word(f, &words));
    let timeout = |node: &Node, f: &mut Findings| units::duration_of(node, f, "5s", LONGEST_ACQUIRE).map(Some);
    let acquire_timeout = keys.get("acquire-timeout").map_or(Some(default.acquire_timeout), |node| timeout(node, f));
    let max_tries = keys.get("max-tries").map_or(Some(i64::from(default.max_tries)), |node| node.int(f, 1..=MOST_TRIES));
    keys.finish(f);
    Some(Load {
        rate: stated?.rate,
        connections: connections?,
        rtt: rtt?,
        rtt_per: rtt_per?,
        plans: plans?,
        acquire_timeout: acquire_timeout?,
        max_tries: u32::try_from(max_tries?).ok()?,
    })
}

/// What `rate` says.
struct Stated {
    rate: Rate,
    /// Sessions, where it names some: each has a connection of its own.
    sessions: Option<u32>,
}

fn stated(node: &Node, f: &mut Findings) -> Option<Stated> {
    let pooled = |arrivals| Stated { rate: Rate::Stated(arrivals), sessions: None };
    match &node.value {
        Value::Text(text) if text == "auto" => Some(Stated { rate: Rate::Auto, sessions: None }),
        Value::Int(_) | Value::Float(_) => per_second(node, f).map(|per_second| pooled(Arrivals::Poisson { per_second })),
        Value::Table(entries) => {
            const KINDS: [&str; 6] = ["poisson", "constant", "closed", "users", "stages", "work"];
            let named: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).filter(|key| KINDS.contains(key)).collect();
            let [named] = named[..] else {
                let near = entries.first().and_then(|entry| closest(&entry.key, KINDS));
                let message = match named.len() {
                    0 => format!("names no kind of arrival{}", did_you_mean(near)),
                    _ => format!("names {} kinds of arrival: {}", named.len(), list(&named)),
                };
                node.fault(f, message, format!("allowed: {RATES}"));
                return None;
            };
            kind(named, node, f)
        }
        _ => {
            node.not_allowed(f, RATES);
            None
        }
    }
}

/// The rate of an arm: of an open loop, or of users.
pub fn own_rate(node: &Node, f: &mut Findings) -> Option<Arrivals> {
    match stated(node, f)?.rate {
        Rate::Stated(arrivals) if arrivals.has_queue() => Some(arrivals),
        _ => {
            let help =
                "allowed: a number a second, { constant = 250 }, { stages = [...] } or { users = 200 }; sessions differ by `connections`";
            node.fault(f, "is no rate that an arm can have of its own", help);
            None
        }
    }
}

/// A number of sessions, or of connections in a pool.
pub fn sessions(node: &Node, f: &mut Findings) -> Option<u32> {
    node.int(f, 1..=i64::from(Load::MOST_SESSIONS)).and_then(|number| u32::try_from(number).ok())
}

/// A rate as a table that names this one of the kinds.
fn kind(named: &str, node: &Node, f: &mut Findings) -> Option<Stated> {
    let mut keys = Keys::of(node, f, RATES)?;
    let pooled = |arrivals| Stated { rate: Rate::Stated(arrivals), sessions: None };
    let stated = match named {
        "poisson" => keys.get("poisson").and_then(|node| per_second(node, f)).map(|per_second| pooled(Arrivals::Poisson { per_second })),
        "constant" => keys.get("constant").and_then(|node| per_second(node, f)).map(|per_second| pooled(Arrivals::Constant { per_second })),
        "users" => {
            let users = keys.get("users").and_then(|node| sessions(node, f));
            let think = keys.get("think").map_or(Some(USUAL_THINK), |node| units::duration_of(node, f, "1s", LONGEST_THINK));
            users.zip(think).map(|(users, think)| pooled(Arrivals::Users { users, think_ns: nanoseconds(think) }))
        }
        "stages" => {
            let stages = keys.get("stages").and_then(|node| stages_of(node, f));
            let words = [("poisson", Spacing::Poisson), ("constant", Spacing::Constant)];
            let spacing = keys.get("arrivals").map_or(Some(Spacing::Poisson), |node| node.word(f, &words));
            spacing.zip(stages).map(|(spacing, stages)| pooled(Arrivals::Stages { spacing, stages }))
        }
        "closed" => {
            let sessions = keys.get("closed").and_then(|node| sessions(node, f))?;
            Some(Stated { rate: Rate::Stated(Arrivals::Closed), sessions: Some(sessions) })
        }
        _ => {
            let sessions = keys.get("work").and_then(|node| sessions(node, f));
            let count = keys.get("transactions").map(|node| node.int(f, 1..=1_000_000_000));
            let rate = match count.flatten().and_then(|number| u64::try_from(number).ok()) {
                Some(transactions) => Rate::Stated(Arrivals::Work { transactions }),
                None => Rate::Work,
            };
            sessions.map(|sessions| Stated { rate, sessions: Some(sessions) })
        }
    };
    keys.finish(f);
    stated
}

const STAGES: &str = "a list of stages: { ramp = 400, for = \"10s\" } (evenly to 400 a second), { hold = 400, for = \"1m\" } (from its beginning), \
                      { spike = 2000, for = \"1s\" } (the same; a ramp after it starts from the rate before it)";

fn stages_of(node: &Node, f: &mut Findings) -> Option<Vec<Stage>> {
    let Value::Array(items) = &node.value else {
        node.not_allowed(f, STAGES);
        return None;
    };
    // All of them, so that each mistake is found.
    let steps: Vec<Option<Step>> = items.iter().map(|item| step_of(item, f)).collect();
    match stages(&steps.into_iter().collect::<Option<Vec<Step>>>()?) {
        Ok(stages) => Some(stages),
        Err(message) => {
            node.fault(f, message, format!("allowed: {STAGES}"));
            None
        }
    }
}

fn step_of(node: &Node, f: &mut Findings) -> Option<Step> {
    let mut keys = Keys::of(node, f, STAGES)?;
    let named: Vec<_> = Kind::ALL.into_iter().filter_map(|(word, kind)| keys.get(word).map(|node| (kind, node))).collect();
    let length = keys.require(f, "for", "\"10s\"").and_then(|node| {
        let found = units::duration_of(node, f, "10s", LONGEST)?;
        if found < SHORTEST {
            node.not_allowed(f, "100ms to 24h");
        }
        (found >= SHORTEST).then_some(found)
    });
    keys.finish(f);
    let [(kind, rate)] = named[..] else {
        node.fault(f, "is no stage, which has one of ramp, hold and spike".to_owned(), format!("allowed: {STAGES}"));
        return None;
    };
    Some(Step { kind, per_second: rate.number(f, 0.0..=MOST_PER_SECOND)?, length: length? })
}

fn per_second(node: &Node, f: &mut Findings) -> Option<f64> {
    // Less than one in 100 s gives a block nothing to measure.
    node.number(f, 0.01..=MOST_PER_SECOND)
}

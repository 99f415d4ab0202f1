//! What load to offer: open loop at one rate for all arms, or fixed work. Pure; decided by what single sessions take, and a probe of capacity.

use std::time::Duration;

use crate::judge::samples_needed;
use crate::load::schedule::{self, Process};
use crate::record::{Arms, LoadRecord, Mode, Spacing, Stage};
use crate::scenario::{Arrival, Scenario};

/// Transactions that the longest timed block must be able to hold, by what a single session takes: twice what it is to hold in the end, so that
/// what is decided does not hang on a probe that a busy machine held up.
const FEWEST_A_BLOCK: f64 = 2.0 * SPARE * LEAST_FOR_P50;
/// Factor between the arms' times beyond which one rate cannot be fair to all.
const WIDEST_TIMES: f64 = 4.0;
/// Least time that the slowest arm takes for a block of fixed work; half of it in quick mode.
const FIXED_WORK_LEAST: Duration = Duration::from_millis(500);
/// Parts of that time which the fastest arm should take at least, and times of it which the slowest one may take at most for that.
const FASTEST_PART: f64 = 0.25;
const SLOWEST_TIMES: f64 = 8.0;
/// Transaction time from which plans are pinned and connections warmed once.
pub const SLOW: Duration = Duration::from_millis(50);
/// Samples that a 95th percentile needs in a block.
const SAMPLES_FOR_P95: f64 = samples_needed(950) as f64;
/// Samples that a median needs in a block: the least with which it is judged, and what default mode gives it.
const LEAST_FOR_P50: f64 = samples_needed(500) as f64;
const SAMPLES_FOR_P50: f64 = 100.0;
/// What a block may hold more than it needs on average, so that hardly any falls short by chance.
const SPARE: f64 = 1.5;

/// An open-loop block is no shorter, however many samples a second it has. On a quiet machine many short blocks give narrower intervals of medians
/// and processor time than few long ones in the same wall time, under the rig about the same ones (docs/method.md).
const SHORTEST_MEASURE: Duration = Duration::from_millis(300);
/// The settle time is the measured time divided by this.
const SETTLE_PART: u32 = 4;

/// What opening connections, warming them and looking at counters add to a block.
const AROUND_A_BLOCK: Duration = Duration::from_millis(200);

/// Time for a scenario's rounds, and how many it needs at least.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// Time.
    pub time: Duration,
    /// Rounds.
    pub rounds: u32,
    /// Blocks in each.
    pub arms: u32,
}

impl Room {
    fn holds(self, length: BlockLength) -> bool {
        (length.settle + length.measure + AROUND_A_BLOCK) * self.arms * self.rounds <= self.time
    }
}

/// Lengths of a timed block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockLength {
    /// Load without measuring.
    pub settle: Duration,
    /// Measured.
    pub measure: Duration,
}

impl BlockLength {
    /// As long as stages are, all of it measured.
    pub fn of_stages(stages: &[Stage]) -> BlockLength {
        BlockLength { settle: Duration::ZERO, measure: schedule::length(stages) }
    }
}

/// How work is given in each block.
#[derive(Clone, Debug, PartialEq)]
pub enum Offer {
    /// Open loop.
    Timed {
        /// Arrivals.
        process: Process,
        /// Whether the rate was found by the probe.
        auto: bool,
        /// Lengths.
        length: BlockLength,
    },
    /// Closed loop for a fixed time.
    Closed {
        /// Sessions.
        sessions: u32,
        /// Lengths.
        length: BlockLength,
    },
    /// Users who share the pool.
    Users {
        /// How many.
        users: u32,
        /// How long each thinks, on average.
        think: Duration,
        /// Lengths.
        length: BlockLength,
    },
    /// Open loop at a rate that suits one arm alone: shown, never judged.
    OwnRate {
        /// Arrivals.
        process: Process,
        /// Lengths.
        length: BlockLength,
    },
    /// Closed loop for a fixed number of transactions.
    FixedWork {
        /// Sessions.
        sessions: u32,
        /// Transactions a block.
        transactions: u64,
        /// Why.
        why: String,
    },
}

/// What the probes found about one arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probed {
    /// Transaction time of a single session.
    pub single: Duration,
    /// Closed-loop transactions a second with all connections; `None` if it was not worth probing.
    pub capacity: Option<f64>,
}

impl Probed {
    /// Capacity as measured, or what a single session makes of it.
    pub fn capacity_or_single(&self) -> f64 {
        self.capacity.unwrap_or_else(|| 1.0 / self.single.as_secs_f64().max(1e-9))
    }
}

/// Why `rate = "auto"` comes to fixed work here; `None` for timed blocks.
///
/// It is decided by what single sessions take, whose medians a busy machine hardly moves: capacity, which every pause lowers, would make the
/// same scenario timed in one run and fixed work in the next. `direct` is without, `paced` with the round-trip time that the scenario injects.
/// `cores` are the server's; where they are not known, connections alone bound the capacity.
pub fn fixed_work_instead(
    direct: &Arms<Duration>,
    paced: &Arms<Duration>,
    connections: u32,
    cores: Option<usize>,
    mode: Mode,
) -> Option<String> {
    let seconds = |time: Duration| time.as_secs_f64().max(1e-9);
    let (slowest, fastest) = (seconds(longest_of(paced)), seconds(shortest_of(paced)));
    // The server works on one transaction a core, and a connection on one at a time.
    let by_connections = f64::from(connections) / slowest;
    let by_cores = cores.map(|cores| cores as f64 / seconds(longest_of(direct)));
    let capacity = by_cores.map_or(by_connections, |by_cores| by_connections.min(by_cores));
    let held = 0.5 * capacity * longest_timed(mode).as_secs_f64();
    if held < FEWEST_A_BLOCK {
        return Some(format!("a timed block at half of capacity would hold too few transactions, about {held:.0}"));
    }
    (slowest / fastest > WIDEST_TIMES)
        .then(|| format!("one arm takes {:.1} times as long as another: no rate is fair to both", slowest / fastest))
}

fn longest_of(times: &Arms<Duration>) -> Duration {
    times.values().copied().max().unwrap_or_default()
}

fn shortest_of(times: &Arms<Duration>) -> Duration {
    times.values().copied().min().unwrap_or_default()
}

/// The offer that suits a scenario, and the room for it. `fixed_work`: why an automatic rate comes to that, if it does.
pub fn choose(scenario: &Scenario, mode: Mode, probed: &Arms<Probed>, fixed_work: Option<String>, room: Option<Room>) -> Offer {
    match &scenario.load.arrival {
        Arrival::Poisson(rate) => timed(scenario, Process::Poisson(*rate), false, mode, room),
        Arrival::Constant(rate) => timed(scenario, Process::Constant(*rate), false, mode, room),
        Arrival::Stages { spacing, stages } => staged(*spacing, stages),
        Arrival::Closed(sessions) => Offer::Closed { sessions: *sessions, length: longest(mode) },
        Arrival::Users { users, think } => Offer::Users { users: *users, think: *think, length: longest(mode) },
        Arrival::Work { sessions, transactions } => {
            work(*sessions, *transactions, mode, probed, "the scenario asks for fixed work".to_owned())
        }
        Arrival::Auto => match fixed_work {
            Some(why) => work(1, None, mode, probed, why),
            None => {
                let rate = 0.5 * probed.values().map(Probed::capacity_or_single).fold(f64::INFINITY, f64::min);
                match rate * longest_timed(mode).as_secs_f64() < SPARE * LEAST_FOR_P50 {
                    true => {
                        let why = "with all connections busy, it does less than half of what single sessions promise: too little for a timed block";
                        work(1, None, mode, probed, why.to_owned())
                    }
                    false => timed(scenario, Process::Poisson(rate), true, mode, room),
                }
            }
        },
    }
}

/// How many threads carry load: half of the cores, so that the server has the others.
pub fn load_threads() -> usize {
    (std::thread::available_parallelism().map_or(1, usize::from) / 2).max(1)
}

/// How long an open-loop block may measure for its quantiles to have enough samples.
fn longest_timed(mode: Mode) -> Duration {
    match mode {
        Mode::Quick | Mode::ChecksOnly => longest(mode).measure * 2,
        Mode::Default | Mode::Run => longest(mode).measure,
    }
}

/// Length of a block of sessions or users.
fn longest(mode: Mode) -> BlockLength {
    match mode {
        Mode::Quick | Mode::ChecksOnly => BlockLength { settle: Duration::from_millis(250), measure: Duration::from_millis(750) },
        Mode::Default | Mode::Run => BlockLength { settle: Duration::from_secs(1), measure: Duration::from_secs(3) },
    }
}

/// As long as its quantiles need, and no longer: alternating often beats measuring long. In quick mode that is the median. In default mode it
/// is the 95th percentile, or the median where that could not have enough samples, or where there is no room for so long blocks; then only the
/// median is judged. In a mix, the rarest transaction must have enough samples.
fn timed(scenario: &Scenario, process: Process, auto: bool, mode: Mode, room: Option<Room>) -> Offer {
    let (shortest, longest) = (SHORTEST_MEASURE.as_secs_f64(), longest_timed(mode).as_secs_f64());
    let weights = || scenario.transactions.iter().map(|transaction| transaction.weight);
    let rarest = weights().fold(f64::INFINITY, f64::min) / weights().sum::<f64>();
    let share = if rarest.is_finite() { rarest.max(1e-9) } else { 1.0 };
    let seconds_for = |samples: f64| SPARE * samples / (process.rate() * share).max(1e-9);
    let long = |samples: f64| {
        let measure = Duration::from_secs_f64(seconds_for(samples).clamp(shortest, longest));
        BlockLength { settle: measure / SETTLE_PART, measure }
    };
    let length = match mode {
        // A rate that turned out lower than single sessions promised still gives a median its samples.
        Mode::Quick | Mode::ChecksOnly => long(LEAST_FOR_P50),
        Mode::Default | Mode::Run => {
            let for_p95 = (seconds_for(SAMPLES_FOR_P95) <= longest).then(|| long(SAMPLES_FOR_P95));
            for_p95.filter(|length| room.is_none_or(|room| room.holds(*length))).unwrap_or_else(|| long(SAMPLES_FOR_P50))
        }
    };
    Offer::Timed { process, auto, length }
}

/// A block is as long as its stages, whatever the mode: a shorter ramp would be another load.
pub fn staged(spacing: Spacing, stages: &[Stage]) -> Offer {
    Offer::Timed { process: Process::Stages(spacing, stages.into()), auto: false, length: BlockLength::of_stages(stages) }
}

/// The same number of transactions on all arms, as times of different inputs would compare the inputs too.
fn work(sessions: u32, transactions: Option<u64>, mode: Mode, probed: &Arms<Probed>, why: String) -> Offer {
    let least = match mode {
        Mode::Quick => FIXED_WORK_LEAST / 2,
        _ => FIXED_WORK_LEAST,
    };
    let sessions = sessions.max(1);
    let wanted = || {
        let least = least.as_secs_f64() * f64::from(sessions);
        let single = probed.map(|arm| arm.single);
        let (slowest, fastest) = (longest_of(&single).as_secs_f64().max(1e-9), shortest_of(&single).as_secs_f64().max(1e-9));
        let both = (FASTEST_PART * least / fastest).min(SLOWEST_TIMES * least / slowest);
        let wanted = libm::ceil((least / slowest).max(both)) as u64;
        wanted.clamp(u64::from(sessions), crate::load::bind::SEQUENCES_PER_BLOCK / 2)
    };
    let transactions = transactions.unwrap_or_else(wanted);
    Offer::FixedWork { sessions, transactions, why }
}

impl Offer {
    /// The same with blocks so many times as long, where time ends them, and not the last stage.
    pub fn stretched(mut self, times: u32) -> Offer {
        match &mut self {
            Offer::Timed { process: Process::Stages(..), .. } => {}
            Offer::Timed { length, .. } | Offer::Closed { length, .. } | Offer::Users { length, .. } | Offer::OwnRate { length, .. } => {
                length.settle *= times;
                length.measure *= times;
            }
            Offer::FixedWork { .. } => {}
        }
        self
    }

    /// As the record tells it.
    pub fn record(&self, connections: u32) -> LoadRecord {
        match self {
            Offer::Timed { process, auto, .. } => open(process, connections, *auto),
            Offer::OwnRate { process, .. } => open(process, connections, true),
            Offer::Users { users, think, .. } => LoadRecord::Users { users: *users, think_ns: think.as_nanos() as u64, connections },
            Offer::Closed { sessions, .. } => LoadRecord::Closed { sessions: *sessions },
            Offer::FixedWork { sessions, transactions, why } => {
                LoadRecord::FixedWork { sessions: *sessions, transactions: *transactions, why: why.clone() }
            }
        }
    }
}

fn open(process: &Process, connections: u32, auto: bool) -> LoadRecord {
    let arrivals = match process {
        Process::Poisson(_) => "poisson",
        Process::Constant(_) => "constant",
        Process::Stages(spacing, stages) => return LoadRecord::Stages { stages: stages.to_vec(), arrivals: *spacing, connections },
    };
    LoadRecord::Open { rate_per_second: process.rate(), arrivals: arrivals.to_owned(), connections, auto }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{ArmSpec, Load};

    fn scenario(arrival: Arrival) -> Scenario {
        Scenario {
            suite: "s".into(),
            name: "n".into(),
            file: "f".into(),
            digest: String::new(),
            title: String::new(),
            analysis: String::new(),
            claims: vec![],
            arms: Arms::two(ArmSpec::of("a"), ArmSpec::of("b")),
            overlays: vec![],
            expected: None,
            margins: Default::default(),
            load: Load { arrival, ..Load::default() },
            transactions: vec![],
            origin: Default::default(),
        }
    }

    fn probed(baseline: (f64, f64), other: (f64, f64)) -> Arms<Probed> {
        let one = |(single, capacity): (f64, f64)| Probed { single: Duration::from_secs_f64(single), capacity: Some(capacity) };
        Arms::two(one(baseline), one(other))
    }

    #[test]
    fn like_capacities_get_half_of_the_slower_ones_rate() {
        let offer = choose(&scenario(Arrival::Auto), Mode::Quick, &probed((0.001, 2000.0), (0.0005, 3000.0)), None, None);
        match offer {
            Offer::Timed { process, auto: true, .. } => assert_eq!(process.rate(), 1000.0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_same_times_come_to_the_same_kind_of_block() {
        let micros = |before: u64, after: u64| Arms::two(Duration::from_micros(before), Duration::from_micros(after));
        let kind = |times: Arms<Duration>| fixed_work_instead(&times, &times, 4, Some(2), Mode::Quick);
        assert_eq!(kind(micros(1_000, 500)), None);
        assert_eq!(kind(micros(1_000, 260)), None);
        assert!(kind(micros(1_000, 240)).expect("fixed work").contains("4.2 times as long"));
        assert!(kind(micros(240, 1_000)).is_some());
        assert!(kind(micros(200_000, 180_000)).expect("fixed work").contains("too few transactions"));
        // Round trips keep no core busy: four connections carry what two cores could not.
        assert_eq!(fixed_work_instead(&micros(2_000, 2_000), &micros(22_000, 22_000), 4, Some(2), Mode::Quick), None);
        // A default block may be twice as long.
        let slow = |mode: Mode| fixed_work_instead(&micros(20_000, 20_000), &micros(20_000, 20_000), 4, Some(2), mode);
        assert_eq!((slow(Mode::Quick).is_some(), slow(Mode::Default)), (true, None));
        // Another machine's cores are not this one's.
        let even = micros(10_000, 10_000);
        assert!(fixed_work_instead(&even, &even, 4, Some(1), Mode::Quick).is_some());
        assert_eq!(fixed_work_instead(&even, &even, 4, None, Mode::Quick), None);
    }

    #[test]
    fn arms_far_apart_get_the_same_fixed_work() {
        // 0.1 ms and 10 ms: a quarter of 0.5 s for the faster arm would be 12.5 s for the slower one, which gets 4 s.
        let apart = || Some("far apart".to_owned());
        let offer = choose(&scenario(Arrival::Auto), Mode::Default, &probed((0.010, 200.0), (0.0001, 20_000.0)), apart(), None);
        match offer {
            Offer::FixedWork { transactions, sessions: 1, .. } => assert_eq!(transactions, 400),
            other => panic!("{other:?}"),
        }
        let offer = choose(&scenario(Arrival::Auto), Mode::Default, &probed((2.0, 0.5), (1.5, 0.6)), apart(), None);
        match offer {
            Offer::FixedWork { transactions, .. } => assert_eq!(transactions, 1, "at least one"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fixed_work_takes_half_a_second_where_the_arms_are_alike() {
        let offer = choose(
            &scenario(Arrival::Work { sessions: 1, transactions: None }),
            Mode::Default,
            &probed((0.1, 10.0), (0.05, 20.0)),
            None,
            None,
        );
        match offer {
            Offer::FixedWork { transactions, .. } => assert_eq!(transactions, 5),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_pinned_rate_stays() {
        let offer = choose(&scenario(Arrival::Constant(10.0)), Mode::Quick, &probed((2.0, 0.5), (1.5, 0.6)), Some(String::new()), None);
        assert!(matches!(offer, Offer::Timed { process: Process::Constant(10.0), auto: false, .. }));
    }

    #[test]
    fn a_default_block_is_as_long_as_what_it_can_judge_needs() {
        // At 300/s a 95th percentile takes 2 s; at 100/s it would take 6, so only the median is judged.
        for (rate, seconds) in [(300.0, 2.0), (10_000.0, 0.3), (100.0, 1.5), (20.0, 3.0)] {
            match timed(&scenario(Arrival::Auto), Process::Poisson(rate), true, Mode::Default, None) {
                Offer::Timed { length, .. } => assert_eq!(length.measure.as_secs_f64(), seconds),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_quick_block_is_as_long_as_its_median_needs() {
        for (rate, milliseconds) in [(1_000.0, 300), (60.0, 1_000), (40.0, 1_500)] {
            match timed(&scenario(Arrival::Auto), Process::Poisson(rate), true, Mode::Quick, None) {
                Offer::Timed { length, .. } => assert_eq!(length.measure.as_millis(), milliseconds),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_probe_in_which_hardly_anything_succeeds_comes_to_fixed_work() {
        for capacity in [0.0, 50.0] {
            let offer = choose(&scenario(Arrival::Auto), Mode::Quick, &probed((0.001, capacity), (0.001, 3000.0)), None, None);
            assert!(matches!(offer, Offer::FixedWork { .. }), "{capacity}: {offer:?}");
        }
        let offer = choose(&scenario(Arrival::Auto), Mode::Quick, &probed((0.001, 80.0), (0.001, 3000.0)), None, None);
        assert!(matches!(offer, Offer::Timed { .. }), "{offer:?}");
    }

    #[test]
    fn only_blocks_that_time_ends_are_stretched() {
        let milliseconds = |offer: Offer| match offer.stretched(2) {
            Offer::Timed { length, .. } | Offer::Closed { length, .. } => (length.settle.as_millis(), length.measure.as_millis()),
            other => panic!("{other:?}"),
        };
        let quick = |arrival| choose(&scenario(arrival), Mode::Quick, &probed((0.001, 2000.0), (0.0005, 3000.0)), None, None);
        assert_eq!(milliseconds(quick(Arrival::Auto)), (150, 600));
        assert_eq!(milliseconds(quick(Arrival::Closed(4))), (500, 1500));
        let fixed = quick(Arrival::Work { sessions: 1, transactions: Some(10) });
        assert_eq!(fixed.clone().stretched(2), fixed);
    }

    #[test]
    fn a_block_is_no_longer_than_there_is_room_for() {
        // At 300/s a 95th percentile takes 2 s, and 16 rounds of two such blocks 86 s.
        for (seconds, measure) in [(90, 2.0), (60, 0.5)] {
            let room = Room { time: Duration::from_secs(seconds), rounds: 16, arms: 2 };
            match timed(&scenario(Arrival::Auto), Process::Poisson(300.0), true, Mode::Default, Some(room)) {
                Offer::Timed { length, .. } => assert_eq!(length.measure.as_secs_f64(), measure),
                other => panic!("{other:?}"),
            }
        }
    }
}

//! What load to offer: open loop at one rate for all arms, or fixed work. Pure; decided by what single sessions take, and a probe of capacity.

use std::time::Duration;

use crate::judge::samples_needed;
use crate::record::{Arm, Arms, Arrivals, LoadChoice, Mode, ScenarioLoad, stages_length};
use crate::scenario::{ArmSpec, Rate, Scenario};

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
    /// Where no time ends a block.
    pub const NONE: BlockLength = BlockLength { settle: Duration::ZERO, measure: Duration::ZERO };

    /// All of the stages measured, if arrivals have some: a shorter ramp would be another load.
    pub fn of_stages(arrivals: &Arrivals) -> Option<BlockLength> {
        let measure = stages_length(arrivals.stages());
        (!measure.is_zero()).then_some(BlockLength { settle: Duration::ZERO, measure })
    }
}

/// The load of each arm's blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// How transactions begin.
    pub arrivals: Arms<Arrivals>,
    /// Connections in the pool; of a closed loop, its sessions.
    pub connections: Arms<u32>,
    /// Lengths; of no account for fixed work.
    pub length: BlockLength,
    /// Why it is this, where the scenario leaves it to pgduel.
    pub chosen: Option<LoadChoice>,
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
) -> Option<LoadChoice> {
    let seconds = |time: Duration| time.as_secs_f64().max(1e-9);
    let (slowest, fastest) = (seconds(longest_of(paced)), seconds(shortest_of(paced)));
    // The server works on one transaction a core, and a connection on one at a time.
    let by_connections = f64::from(connections) / slowest;
    let by_cores = cores.map(|cores| cores as f64 / seconds(longest_of(direct)));
    let capacity = by_cores.map_or(by_connections, |by_cores| by_connections.min(by_cores));
    let held = 0.5 * capacity * longest_timed(mode).as_secs_f64();
    if held < FEWEST_A_BLOCK {
        return Some(LoadChoice::TooFew { transactions: held.round() as u64 });
    }
    (slowest / fastest > WIDEST_TIMES).then_some(LoadChoice::Apart { times: slowest / fastest })
}

fn longest_of(times: &Arms<Duration>) -> Duration {
    times.values().copied().max().unwrap_or_default()
}

fn shortest_of(times: &Arms<Duration>) -> Duration {
    times.values().copied().min().unwrap_or_default()
}

/// The offer that suits a scenario, and the room for it. `fixed_work`: why an automatic rate comes to that, if it does.
pub fn choose(scenario: &Scenario, mode: Mode, probed: &Arms<Probed>, fixed_work: Option<LoadChoice>, room: Option<Room>) -> Offer {
    let connections = scenario.arms.each(|arm| scenario.connections(arm));
    let stated = |arrivals: Arms<Arrivals>, chosen| {
        let least = arrivals.values().map(Arrivals::per_second).fold(f64::INFINITY, f64::min);
        let open = arrivals.baseline.is_open();
        let length = if open { timed(scenario, least, mode, room) } else { longest(mode) };
        Offer { arrivals, connections: connections.clone(), length, chosen }
    };
    match (stated_arrivals(scenario), &scenario.load.rate) {
        (Some(arrivals), _) => stated(arrivals, None),
        (None, Rate::Work) => work(connections, mode, probed, None),
        (None, _) => match fixed_work {
            Some(why) => work(sessions_of_work(scenario), mode, probed, Some(why)),
            None => {
                let per_second = 0.5 * probed.values().map(Probed::capacity_or_single).fold(f64::INFINITY, f64::min);
                match per_second * longest_timed(mode).as_secs_f64() < SPARE * LEAST_FOR_P50 {
                    true => work(sessions_of_work(scenario), mode, probed, Some(LoadChoice::Saturated)),
                    false => stated(probed.map(|_| Arrivals::Poisson { per_second }), Some(LoadChoice::Probed)),
                }
            }
        },
    }
}

/// How transactions of each arm begin, where the scenario says so.
fn stated_arrivals(scenario: &Scenario) -> Option<Arms<Arrivals>> {
    let of_load = match &scenario.load.rate {
        Rate::Stated(arrivals) => Some(arrivals),
        Rate::Auto | Rate::Work => None,
    };
    scenario.arms.try_each(|arm| scenario.arms.get(arm).arrivals.as_ref().or(of_load).cloned().ok_or(())).ok()
}

/// Sessions of fixed work that a scenario does not ask for: one, unless arms differ in their pools.
fn sessions_of_work(scenario: &Scenario) -> Arms<u32> {
    let pools = scenario.arms.values().any(|arm| arm.connections.is_some());
    scenario.arms.each(|arm| if pools { scenario.connections(arm) } else { 1 })
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
fn timed(scenario: &Scenario, per_second: f64, mode: Mode, room: Option<Room>) -> BlockLength {
    let (shortest, longest) = (SHORTEST_MEASURE.as_secs_f64(), longest_timed(mode).as_secs_f64());
    let weights = || scenario.transactions.iter().map(|transaction| transaction.weight);
    let rarest = weights().fold(f64::INFINITY, f64::min) / weights().sum::<f64>();
    let share = if rarest.is_finite() { rarest.max(1e-9) } else { 1.0 };
    let seconds_for = |samples: f64| SPARE * samples / (per_second * share).max(1e-9);
    let long = |samples: f64| {
        let measure = Duration::from_secs_f64(seconds_for(samples).clamp(shortest, longest));
        BlockLength { settle: measure / SETTLE_PART, measure }
    };
    match mode {
        // A rate that turned out lower than single sessions promised still gives a median its samples.
        Mode::Quick | Mode::ChecksOnly => long(LEAST_FOR_P50),
        Mode::Default | Mode::Run => {
            let for_p95 = (seconds_for(SAMPLES_FOR_P95) <= longest).then(|| long(SAMPLES_FOR_P95));
            for_p95.filter(|length| room.is_none_or(|room| room.holds(*length))).unwrap_or_else(|| long(SAMPLES_FOR_P50))
        }
    }
}

/// The same number of transactions on all arms, as times of different inputs would compare the inputs too.
fn work(sessions: Arms<u32>, mode: Mode, probed: &Arms<Probed>, chosen: Option<LoadChoice>) -> Offer {
    let least = match mode {
        Mode::Quick => FIXED_WORK_LEAST / 2,
        _ => FIXED_WORK_LEAST,
    };
    let least = least.as_secs_f64();
    // What each arm's sessions together take for a transaction.
    let paces = sessions.each(|arm| probed.get(arm).single.as_secs_f64().max(1e-9) / f64::from(*sessions.get(arm)).max(1.0));
    let slowest = paces.values().copied().fold(0.0, f64::max);
    let fastest = paces.values().copied().fold(f64::INFINITY, f64::min);
    let both = (FASTEST_PART * least / fastest).min(SLOWEST_TIMES * least / slowest);
    let wanted = libm::ceil((least / slowest).max(both)) as u64;
    let most_sessions = sessions.values().copied().max().unwrap_or(1).max(1);
    let transactions = wanted.clamp(u64::from(most_sessions), crate::load::bind::SEQUENCES_PER_BLOCK / 2);
    let arrivals = sessions.map(|_| Arrivals::Work { transactions });
    Offer { arrivals, connections: sessions, length: BlockLength::NONE, chosen }
}

impl Offer {
    /// The same for all arms, for so long.
    pub fn same(arrivals: Arrivals, connections: Arms<u32>, length: BlockLength) -> Offer {
        Offer { arrivals: connections.map(|_| arrivals.clone()), connections, length, chosen: None }
    }

    /// The same with blocks so many times as long, where time ends them, and not the last stage.
    pub fn stretched(mut self, times: u32) -> Offer {
        self.length.settle *= times;
        self.length.measure *= times;
        self
    }

    /// Lengths of an arm's blocks: of its stages, if it has some.
    pub fn length(&self, arm: Arm) -> BlockLength {
        let arrivals = self.arrivals.get(arm);
        BlockLength::of_stages(arrivals).unwrap_or(if arrivals.is_work() { BlockLength::NONE } else { self.length })
    }

    /// As the record tells it: what holds for arms that have no rate or no pool of their own; the baseline's where all have.
    pub fn record(&self, scenario: &Scenario) -> ScenarioLoad {
        let without = |has: fn(&ArmSpec) -> bool| scenario.arms.iter().find(|(_, spec)| !has(spec)).map_or(Arm::BASELINE, |(arm, _)| arm);
        ScenarioLoad {
            arrivals: self.arrivals.get(without(|spec| spec.arrivals.is_some())).clone(),
            connections: *self.connections.get(without(|spec| spec.connections.is_some())),
            chosen: self.chosen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Spacing, Stage};
    use crate::scenario::Load;

    fn scenario(rate: Rate) -> Scenario {
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
            load: Load { rate, ..Load::default() },
            transactions: vec![],
            origin: Default::default(),
        }
    }

    fn probed(baseline: (f64, f64), other: (f64, f64)) -> Arms<Probed> {
        let one = |(single, capacity): (f64, f64)| Probed { single: Duration::from_secs_f64(single), capacity: Some(capacity) };
        Arms::two(one(baseline), one(other))
    }

    fn transactions(offer: &Offer) -> u64 {
        match offer.arrivals.baseline {
            Arrivals::Work { transactions } => transactions,
            ref other => panic!("{other:?}"),
        }
    }

    fn with_sessions(rate: Rate, connections: u32) -> Scenario {
        let mut one = scenario(rate);
        one.load.connections = connections;
        one
    }

    #[test]
    fn like_capacities_get_half_of_the_slower_ones_rate() {
        let offer = choose(&scenario(Rate::Auto), Mode::Quick, &probed((0.001, 2000.0), (0.0005, 3000.0)), None, None);
        assert_eq!(offer.arrivals, Arms::two(1000.0, 1000.0).map(|per_second| Arrivals::Poisson { per_second: *per_second }));
        assert!(offer.chosen.is_some());
    }

    #[test]
    fn an_arm_has_a_rate_and_a_pool_of_its_own() {
        let of = |per_second| Arrivals::Poisson { per_second };
        let mut stated = scenario(Rate::Stated(of(60.0)));
        stated.arms.others[0] = ArmSpec { arrivals: Some(of(1_000.0)), connections: Some(9), ..ArmSpec::of("b") };
        let offer = choose(&stated, Mode::Quick, &probed((0.001, 2000.0), (0.001, 2000.0)), None, None);
        assert_eq!((offer.arrivals.baseline.per_second(), offer.arrivals.others[0].per_second()), (60.0, 1_000.0));
        assert_eq!(offer.connections, Arms::two(4, 9));
        // As long as the least rate needs.
        assert_eq!(offer.length(Arm::at(1)).measure.as_millis(), 1_000);
        let record = offer.record(&stated);
        assert_eq!((record.arrivals, record.connections), (of(60.0), 4));
        // Fixed work that nobody asked for keeps the pools apart.
        let offer = choose(&stated_pools(), Mode::Quick, &probed((1.0, 1.0), (1.0, 1.0)), Some(LoadChoice::Saturated), None);
        assert_eq!((offer.connections.clone(), transactions(&offer)), (Arms::two(4, 9), 9));
    }

    fn stated_pools() -> Scenario {
        let mut pools = scenario(Rate::Auto);
        pools.arms.others[0].connections = Some(9);
        pools
    }

    #[test]
    fn the_same_times_come_to_the_same_kind_of_block() {
        let micros = |before: u64, after: u64| Arms::two(Duration::from_micros(before), Duration::from_micros(after));
        let kind = |times: Arms<Duration>| fixed_work_instead(&times, &times, 4, Some(2), Mode::Quick);
        assert_eq!(kind(micros(1_000, 500)), None);
        assert_eq!(kind(micros(1_000, 260)), None);
        assert!(matches!(kind(micros(1_000, 240)), Some(LoadChoice::Apart { times }) if (4.1..4.2).contains(&times)));
        assert!(kind(micros(240, 1_000)).is_some());
        assert_eq!(kind(micros(200_000, 180_000)), Some(LoadChoice::TooFew { transactions: 8 }));
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
        let apart = || Some(LoadChoice::Apart { times: 100.0 });
        let offer = choose(&scenario(Rate::Auto), Mode::Default, &probed((0.010, 200.0), (0.0001, 20_000.0)), apart(), None);
        assert_eq!((transactions(&offer), offer.connections.baseline), (400, 1));
        let offer = choose(&scenario(Rate::Auto), Mode::Default, &probed((2.0, 0.5), (1.5, 0.6)), apart(), None);
        assert_eq!(transactions(&offer), 1, "at least one");
    }

    #[test]
    fn fixed_work_takes_half_a_second_where_the_arms_are_alike() {
        let offer = choose(&with_sessions(Rate::Work, 1), Mode::Default, &probed((0.1, 10.0), (0.05, 20.0)), None, None);
        assert_eq!(transactions(&offer), 5);
    }

    #[test]
    fn a_pinned_rate_stays() {
        let pinned = Arrivals::Constant { per_second: 10.0 };
        let times = probed((2.0, 0.5), (1.5, 0.6));
        let offer = choose(&scenario(Rate::Stated(pinned.clone())), Mode::Quick, &times, Some(LoadChoice::Saturated), None);
        assert_eq!((offer.arrivals.baseline, offer.chosen), (pinned, None));
    }

    #[test]
    fn a_default_block_is_as_long_as_what_it_can_judge_needs() {
        // At 300/s a 95th percentile takes 2 s; at 100/s it would take 6, so only the median is judged.
        for (rate, seconds) in [(300.0, 2.0), (10_000.0, 0.3), (100.0, 1.5), (20.0, 3.0)] {
            assert_eq!(timed(&scenario(Rate::Auto), rate, Mode::Default, None).measure.as_secs_f64(), seconds);
        }
    }

    #[test]
    fn a_quick_block_is_as_long_as_its_median_needs() {
        for (rate, milliseconds) in [(1_000.0, 300), (60.0, 1_000), (40.0, 1_500)] {
            assert_eq!(timed(&scenario(Rate::Auto), rate, Mode::Quick, None).measure.as_millis(), milliseconds);
        }
    }

    #[test]
    fn a_probe_in_which_hardly_anything_succeeds_comes_to_fixed_work() {
        for capacity in [0.0, 50.0] {
            let offer = choose(&scenario(Rate::Auto), Mode::Quick, &probed((0.001, capacity), (0.001, 3000.0)), None, None);
            assert!(offer.arrivals.baseline.is_work(), "{capacity}: {offer:?}");
        }
        let offer = choose(&scenario(Rate::Auto), Mode::Quick, &probed((0.001, 80.0), (0.001, 3000.0)), None, None);
        assert!(offer.arrivals.baseline.is_open(), "{offer:?}");
    }

    #[test]
    fn only_blocks_that_time_ends_are_stretched() {
        let milliseconds = |rate| {
            let offer = choose(&scenario(rate), Mode::Quick, &probed((0.001, 2000.0), (0.0005, 3000.0)), None, None).stretched(2);
            (offer.length(Arm::BASELINE).settle.as_millis(), offer.length(Arm::BASELINE).measure.as_millis())
        };
        assert_eq!(milliseconds(Rate::Auto), (150, 600));
        assert_eq!(milliseconds(Rate::Stated(Arrivals::Closed)), (500, 1500));
        assert_eq!(milliseconds(Rate::Stated(Arrivals::Work { transactions: 10 })), (0, 0));
        let stage = Stage { from_per_second: 1.0, to_per_second: 1.0, length_ns: 2_000_000_000 };
        assert_eq!(milliseconds(Rate::Stated(Arrivals::Stages { spacing: Spacing::Poisson, stages: vec![stage] })), (0, 2_000));
    }

    #[test]
    fn a_block_is_no_longer_than_there_is_room_for() {
        // At 300/s a 95th percentile takes 2 s, and 16 rounds of two such blocks 86 s.
        for (seconds, measure) in [(90, 2.0), (60, 0.5)] {
            let room = Room { time: Duration::from_secs(seconds), rounds: 16, arms: 2 };
            assert_eq!(timed(&scenario(Rate::Auto), 300.0, Mode::Default, Some(room)).measure.as_secs_f64(), measure);
        }
    }
}

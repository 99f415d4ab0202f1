//! Transactions a second, and processor time a transaction.

use super::arena::{Arena, Program, Reading, median, ratio, shown};
use super::slices;

/// What PostgREST sends around a read, with its settings as text.
pub const IDENTITY: &str = r#"\set aid random(1, 100000 * :scale)
BEGIN;
SELECT set_config('search_path', 'public, extensions', true), set_config('statement_timeout', '8s', true), set_config('role', 'authenticated', true), set_config('request.jwt.claims', '{"role": "authenticated", "sub": "4f1f2a7e-8d1c-4c0e-9f55-0a6b3a9f1c11"}', true), set_config('request.method', 'POST', true), set_config('request.path', '/rpc', true), set_config('request.headers', '{}', true), set_config('request.cookies', '{}', true);
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
COMMIT;
"#;

/// A floor and an aim.
type Bounds = (f64, f64);

struct Row {
    script: &'static str,
    clients: u32,
    threads: u32,
    /// Whether one of its transactions may be stopped in the midst of it, as nobody else waits for what it holds.
    may_stop: bool,
    /// Of throughput, to be reached.
    throughput: Bounds,
    /// Of processor time, not to be passed.
    cpu: Bounds,
}

const ROWS: [Row; 8] = [
    Row { script: "point select", clients: 1, threads: 1, may_stop: true, throughput: (0.97, 1.02), cpu: (1.00, 0.90) },
    Row { script: "point select", clients: 8, threads: 2, may_stop: true, throughput: (1.03, 1.10), cpu: (0.92, 0.83) },
    Row { script: "point select", clients: 32, threads: 2, may_stop: true, throughput: (1.03, 1.10), cpu: (0.92, 0.83) },
    Row { script: "point select", clients: 128, threads: 2, may_stop: true, throughput: (1.03, 1.10), cpu: (0.92, 0.83) },
    Row { script: "identity transaction", clients: 1, threads: 1, may_stop: true, throughput: (0.97, 1.02), cpu: (1.00, 0.92) },
    Row { script: "identity transaction", clients: 8, threads: 2, may_stop: true, throughput: (1.03, 1.08), cpu: (0.92, 0.85) },
    Row { script: "identity transaction", clients: 32, threads: 2, may_stop: true, throughput: (1.03, 1.08), cpu: (0.92, 0.85) },
    Row { script: "TPC-B-like", clients: 8, threads: 2, may_stop: false, throughput: (1.00, 1.05), cpu: (0.95, 0.85) },
];

/// With as many clients, connecting takes as much processor time as some tenths of a second of load: their runs are [`LONGER`].
const MANY_CLIENTS: u32 = 100;
const LONGER: u32 = 3;

/// The three that run in turn; the second pgbench shows what cannot be told apart.
const ARMS: [Program; 3] = [Program::Pgduel, Program::Pgbench, Program::Pgbench];

/// Readings by arm, in order.
type Readings = [Vec<Reading>; 3];

/// Prints the table.
pub fn table(arena: &Arena, pairs: usize, seconds: u32, only: &str) -> anyhow::Result<()> {
    println!("## Throughput and processor time\n");
    println!(
        "`-M prepared`, {pairs} turns a row. In a turn all three programs run side by side, one at a time: each runs for {} ms, and is stopped while it is \
         another's turn, in an order drawn anew, until each has run for {seconds} s ({} s with {MANY_CLIENTS} clients or more). So they meet the same host, whose speed \
         changes from second to second. Before that each runs in one piece to connect, which is not counted, and for {} ms more, which are. What a \
         server still answers to one that was stopped is not timed: at 128 clients that is a fiftieth of the work, and the same for all. TPC-B-like transactions would \
         hold their locks while they are stopped, and run one program after the other, in every order. A ratio is pgduel's over pgbench's of the same turn, in brackets \
         the interval of 95%; beside it that of one pgbench over another. Throughput is without connecting, and so is the processor time of the client, per \
         transaction. Both send as many Syncs; libpq asks for a description of the rows at each execution (Describe), which pgduel does once, so the server has a little \
         less to answer here. Floor and aim are what this project asks of itself.\n",
        slices::SLICE.as_millis(),
        seconds * LONGER,
        slices::FIRST.as_millis(),
    );
    println!(
        "| script | clients × threads | throughput | floor, aim | pgbench / pgbench | client CPU | floor, aim | pgbench / pgbench | round trips |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for row in ROWS {
        let name = format!("{} {}×{}", row.script, row.clients, row.threads);
        if !name.contains(only) {
            continue;
        }
        eprintln!("{name}");
        let script = match row.script {
            "point select" => vec!["-S".to_owned()],
            "TPC-B-like" => vec!["-b".to_owned(), "tpcb-like".to_owned()],
            _ => vec!["-f".to_owned(), arena.script("identity.sql", IDENTITY)?],
        };
        print_row(arena, &row, &script, pairs, seconds)?;
    }
    println!();
    Ok(())
}

fn print_row(arena: &Arena, row: &Row, script: &[String], pairs: usize, seconds: u32) -> anyhow::Result<()> {
    let flags = ["-n", "-M", "prepared"].map(str::to_owned);
    let common = |clients: u32, threads: u32| {
        let numbers = [("-c", clients), ("-j", threads)].map(|(flag, number)| format!("{flag}{number}"));
        flags.iter().cloned().chain(script.iter().cloned()).chain(numbers).collect::<Vec<String>>()
    };
    let once = common(1, 1);
    let round_trips = [Program::Pgduel, Program::Pgbench].map(|program| arena.round_trips(program, &once));
    let [ours, theirs] = round_trips;
    let (ours, theirs) = (ours?, theirs?);
    let of_row = common(row.clients, row.threads);
    let seconds = if row.clients < MANY_CLIENTS { seconds } else { seconds * LONGER };
    let timed: Vec<String> = of_row.iter().cloned().chain([format!("-T{seconds}")]).collect();
    let connecting: Vec<String> = of_row.iter().cloned().chain(["-t1".to_owned()]).collect();
    // One of each to warm the server.
    for program in ARMS.iter().take(2) {
        arena.run(*program, &timed)?;
    }
    let mut connected: Readings = Default::default();
    let mut readings: Readings = Default::default();
    for turn in 0..pairs {
        if row.may_stop {
            let of_turn = arena.run_in_slices(&ARMS, &of_row, row.clients, seconds, turn as u64)?;
            readings.iter_mut().zip(of_turn).for_each(|(arm, reading)| arm.push(reading));
            continue;
        }
        for arm in order(turn) {
            readings[arm].push(arena.run(ARMS[arm], &timed)?);
            connected[arm].push(arena.run(ARMS[arm], &connecting)?);
        }
    }
    let throughput = |arm: usize, other: usize| {
        let ratios: Vec<f64> = readings[arm].iter().zip(&readings[other]).map(|(one, other)| one.tps / other.tps).collect();
        ratio(&ratios)
    };
    let cost = |arm: usize| {
        // Slices have it left out already.
        let connecting = if row.may_stop { 0.0 } else { median(connected[arm].iter().map(|reading| reading.cpu.as_secs_f64()).collect()) };
        readings[arm]
            .iter()
            .map(move |reading| (reading.cpu.as_secs_f64() - connecting) / reading.transactions as f64)
            .collect::<Vec<f64>>()
    };
    let cpu = |arm: usize, other: usize| {
        let ratios: Vec<f64> = cost(arm).iter().zip(cost(other)).map(|(one, other)| one / other).collect();
        ratio(&ratios)
    };
    println!(
        "| {} | {}×{} | **{}** | {:.2}, {:.2} | {} | **{}** | {:.2}, {:.2} | {} | {ours:.0}, {theirs:.0} |",
        row.script,
        row.clients,
        row.threads,
        shown(&throughput(0, 1)),
        row.throughput.0,
        row.throughput.1,
        shown(&throughput(2, 1)),
        shown(&cpu(0, 1)),
        row.cpu.0,
        row.cpu.1,
        shown(&cpu(2, 1)),
    );
    Ok(())
}

/// Every order of the three in turn: over six turns each stands first, in the middle and last as often as the others.
fn order(turn: usize) -> [usize; 3] {
    const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1], [0, 2, 1], [1, 2, 0]];
    ORDERS[turn % ORDERS.len()]
}

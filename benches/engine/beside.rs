//! For information: another generator, and another workload.

use std::process::Command;
use std::time::{Duration, Instant};

use pgduel::load::wire::{Connection, Params, Prepared};

use super::arena::{Arena, Program, in_turn, ratio, shown};
use super::throughput::IDENTITY;

const CLIENTS: u32 = 8;
const THREADS: u32 = 2;

/// The same point select as pgbench's, for sysbench.
const POINT_SELECT: &str = r#"
local last = LAST
function thread_init()
  drv = sysbench.sql.driver()
  con = drv:connect()
  stmt = con:prepare("SELECT abalance FROM pgbench_accounts WHERE aid = ?")
  aid = stmt:bind_create(sysbench.sql.type.INT)
  stmt:bind_param(aid)
end
function event()
  aid:set(sysbench.rand.uniform(1, last))
  stmt:execute()
end
"#;

/// Prints the tables.
pub fn table(arena: &Arena, pairs: usize, seconds: u32, scale: u32) -> anyhow::Result<()> {
    println!("## For information\n");
    sysbench(arena, pairs, seconds, scale)?;
    pipelined(arena, pairs, seconds, scale)
}

/// sysbench, which starts as many threads as it has connections.
fn sysbench(arena: &Arena, pairs: usize, seconds: u32, scale: u32) -> anyhow::Result<()> {
    if Command::new("sysbench").arg("--version").output().is_err() {
        println!("sysbench is not installed here, so there is no row of it.\n");
        return Ok(());
    }
    eprintln!("sysbench");
    println!("sysbench's point select on the same table, prepared, {CLIENTS} connections; it starts a thread for each.\n");
    println!("| throughput, pgduel / sysbench | CPU per transaction, pgduel / sysbench |");
    println!("|---|---|");
    let script = arena.script("point_select.lua", &POINT_SELECT.replace("LAST", &(scale * 100_000).to_string()))?;
    let ours: Vec<String> = ["-n", "-S", "-M", "prepared"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("-c{CLIENTS}"), format!("-j{THREADS}"), format!("-T{seconds}")])
        .collect();
    let (mut throughput, mut cpu) = (Vec::new(), Vec::new());
    for turn in 0..pairs {
        let (one, other) = in_turn(turn, || arena.run(Program::Pgduel, &ours), || arena.sysbench(&script, CLIENTS, seconds))?;
        throughput.push(one.tps / other.tps);
        cpu.push(one.cpu_per_transaction() / other.cpu_per_transaction());
    }
    println!("| {} | {} |\n", shown(&ratio(&throughput)), shown(&ratio(&cpu)));
    Ok(())
}

/// The identity transaction with fewer Syncs.
fn pipelined(arena: &Arena, pairs: usize, seconds: u32, scale: u32) -> anyhow::Result<()> {
    eprintln!("pipelined");
    println!(
        "**Another workload**: the identity transaction with its statements sent together, which PostgREST does not do. {CLIENTS} connections on one \
         thread, in this process; what fewer round trips are worth.\n"
    );
    println!("| round trips a transaction | throughput, of that with 4 |");
    println!("|---|---|");
    let select = format!("select abalance from pgbench_accounts where aid = (select 1 + (random() * {})::int)", scale * 100_000 - 1);
    let texts: Vec<String> =
        IDENTITY.lines().filter(|line| !line.starts_with('\\')).map(|line| line.trim_end_matches(';').to_owned()).collect();
    let texts: Vec<String> = texts.into_iter().map(|text| if text.contains(":aid") { select.clone() } else { text }).collect();
    for (name, cuts) in [("2: the transaction, its commit", vec![3, 1]), ("1", vec![4])] {
        let mut ratios = Vec::new();
        for turn in 0..pairs {
            let run = |cuts: &[usize]| arena.block_on(requests(arena, &texts, cuts, Duration::from_secs(seconds.into())));
            let (fewer, four) = in_turn(turn, || run(&cuts), || run(&[1, 1, 1, 1]))?;
            ratios.push(fewer / four);
        }
        println!("| {name} | {} |", shown(&ratio(&ratios)));
    }
    println!();
    Ok(())
}

/// Transactions a second, with so many statements to each Sync.
async fn requests(arena: &Arena, texts: &[String], cuts: &[usize], length: Duration) -> anyhow::Result<f64> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut connection = Connection::connect(&arena.target()?).await?;
        let mut prepared = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            prepared.push(connection.prepare(&format!("s{number}"), text).await?);
        }
        clients.push((connection, prepared));
    }
    let began = Instant::now();
    let loops = clients.into_iter().map(|(connection, prepared)| one_client(connection, prepared, cuts, began + length));
    let done = futures_util::future::try_join_all(loops).await?;
    Ok(done.into_iter().sum::<u64>() as f64 / began.elapsed().as_secs_f64())
}

async fn one_client(mut connection: Connection, prepared: Vec<Prepared>, cuts: &[usize], until: Instant) -> anyhow::Result<u64> {
    let none = Params::new();
    let mut done = 0;
    while Instant::now() < until {
        let mut rest = prepared.as_slice();
        for cut in cuts {
            let (together, after) = rest.split_at(*cut);
            let steps: Vec<(&Prepared, &Params)> = together.iter().map(|one| (one, &none)).collect();
            connection.pipeline(&steps).await?;
            rest = after;
        }
        done += 1;
    }
    connection.close().await;
    Ok(done)
}

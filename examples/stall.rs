//! Whether response times tell of a stall: `cargo run --release --example stall` prints docs/engine/stall.md.
//!
//! A server that stops for D in a run of T delays every arrival of that time, and of the time in which it catches up. Arrivals are due at fixed
//! instants, so what quantiles of the response time must say can be worked out: the share of arrivals that wait longer than x is
//! (D - x) / ((1 - r) T) at utilisation r, which makes the quantile q equal to D - (1 - q) T (1 - r). A generator that waits for
//! its answers before it asks again sends nothing meanwhile, and says that nothing happened.
//!
//! The stall is an exclusive lock of the table that is read, held for D by another session. Takes about nine minutes.

#[path = "common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use pgduel::record::{BlockRecord, Line, read};
use pgduel::target::{EmbeddedOptions, EmbeddedServer, Login, Server};
use sqlx::Executor;

/// Length of a run.
const RUN: Duration = Duration::from_secs(20);
const CONNECTIONS: u32 = 4;
const QUANTILES: [(&str, f64); 2] = [("p99", 0.99), ("p99.9", 0.999)];

/// One run.
struct Case {
    stall: Duration,
    rate: u32,
    arrivals: &'static str,
}

fn main() -> anyhow::Result<()> {
    let pgduel = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/release/pgduel"), PathBuf::from);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(table(&pgduel))
}

async fn table(pgduel: &Path) -> anyhow::Result<()> {
    let server: Server = EmbeddedServer::start(&EmbeddedOptions::default()).await?.into();
    println!("# A stall, and what is said of it\n");
    println!(
        "Made by `make bench` (`cargo run --release --example stall`); do not edit. How to read it: [method.md](../method.md#the-generator).\n"
    );
    println!("{} · {CONNECTIONS} connections · runs of {} s\n", common::about(&server).await?, RUN.as_secs());
    println!(
        "Poisson arrivals come in random number, also in the stall: where (1 - q) of N are to be later than the quantile, their number varies by its square \
         root, and so does how long it takes until so many have come. Nineteen times of twenty, that is within what stands under *by chance*.\n"
    );
    println!("| stall | arrivals | r | quantile | by the formula | response time | off by | by chance | service time p99 |");
    println!("|---|---|---|---|---|---|---|---|---|");
    // Long and fast enough that chance stays below a twentieth.
    for stall in [1, 2, 4].map(Duration::from_secs) {
        for rate in [600, 1_200, 2_400] {
            for arrivals in ["constant", "poisson"] {
                let case = Case { stall, rate, arrivals };
                let block = run(pgduel, &server, &case).await.with_context(|| format!("{stall:?} at {rate}/s, {arrivals}"))?;
                rows(&case, &block);
            }
        }
    }
    server.finish().await?;
    Ok(())
}

fn rows(case: &Case, block: &BlockRecord) {
    let Some(times) = block.transactions.values().next() else { return };
    let measured = block.duration_ns as f64 / 1e9;
    let busy = times.service.count() as f64 * service_without_stall(block) / (measured * f64::from(CONNECTIONS));
    for (name, quantile) in QUANTILES {
        let wanted = case.stall.as_secs_f64() - (1.0 - quantile) * measured * (1.0 - busy);
        // Where fewer arrivals than these were delayed at all, the quantile lies outside of the stall.
        if wanted <= 0.05 * case.stall.as_secs_f64() {
            continue;
        }
        let found = times.response.quantile(quantile).unwrap_or(f64::NAN) / 1e9;
        let service = times.service.quantile(0.99).unwrap_or(f64::NAN) / 1e6;
        let chance = match case.arrivals {
            "poisson" => format!("±{:.1}%", 100.0 * 1.96 * ((1.0 - quantile) * measured / f64::from(case.rate)).sqrt() / wanted),
            _ => String::new(),
        };
        println!(
            "| {:.1} s | {}/s {} | {busy:.3} | {name} | {wanted:.3} s | {found:.3} s | {:+.1}% | {chance} | {service:.2} ms |",
            case.stall.as_secs_f64(),
            case.rate,
            case.arrivals,
            100.0 * (found / wanted - 1.0),
        );
    }
}

/// Median service time, s: the statements that waited for the lock are few, and not what utilisation is about.
fn service_without_stall(block: &BlockRecord) -> f64 {
    block.transactions.values().next().and_then(|times| times.service.quantile(0.5)).unwrap_or(0.0) / 1e9
}

async fn run(pgduel: &Path, server: &Server, case: &Case) -> anyhow::Result<BlockRecord> {
    let scenario = format!(
        "title = \"Stall\"\nduel = [\"before\", \"after\"]\n\n[load]\nrate = {{ {} = {} }}\nconnections = {CONNECTIONS}\n{READ}",
        case.arrivals, case.rate
    );
    let run = common::start(pgduel, server, &scenario, "", &["--time", &format!("{}s", RUN.as_secs())])?;
    let stalled = stall(server, &run, case.stall).await;
    let finished = run.finish()?;
    let complaint = String::from_utf8_lossy(&finished.output.stderr);
    stalled.with_context(|| complaint.clone().into_owned())?;
    anyhow::ensure!(finished.output.status.success(), "{complaint}");
    let record = read(&finished.out.join("run.jsonl"))?;
    let block = record.lines.into_iter().find_map(|line| match line {
        Line::Block(block) => Some(*block),
        _ => None,
    });
    block.context("the run has no block")
}

const READ: &str = r#"
[[transaction]]
name     = "read"
identity = "none"
draw.note = { from = "notes", within = "tenant" }

[[transaction.statement]]
name = "note"
sql  = "select title from notes where id = :note"
"#;

/// Locks the table that the run reads, a third into it.
async fn stall(server: &Server, run: &common::Run, length: Duration) -> anyhow::Result<()> {
    let database = run.begun(server).await?;
    tokio::time::sleep(RUN / 3 + Duration::from_secs(2)).await;
    let mut connection = server.connect_as(Login::Superuser, &database).await?;
    connection.execute("begin; lock table notes in access exclusive mode").await?;
    tokio::time::sleep(length).await;
    connection.execute("commit").await?;
    Ok(())
}

//! Whether response times tell of a stall: `cargo run --release --example stall` prints docs/stall.md.
//!
//! A server that stops for D in a run of T delays every arrival of that time, and of the time in which it catches up. Arrivals are due at fixed
//! instants, so what quantiles of the response time must say can be worked out: the share of arrivals that wait longer than x is
//! (D - x) / ((1 - r) T) at utilisation r, which makes the quantile q equal to D - (1 - q) T (1 - r). A generator that waits for
//! its answers before it asks again sends nothing meanwhile, and says that nothing happened.
//!
//! The stall is an exclusive lock of the table that is read, held for D by another session. Takes about seven minutes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use pgduel::record::{BlockRecord, Line, read};
use pgduel::target::{EmbeddedOptions, EmbeddedServer, Server, list_pgduel_databases};
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
    let description = server.describe().await?;
    println!("# A stall, and what is said of it\n");
    println!("Made by `cargo run --release --example stall`; do not edit. How to read it: [method.md](method.md#the-generator).\n");
    println!(
        "{} · {CONNECTIONS} connections · runs of {} s\n",
        description.version.split(" on ").next().unwrap_or_default(),
        RUN.as_secs()
    );
    println!("| stall | arrivals | r | quantile | by the formula | response time | off by | service time p99 |");
    println!("|---|---|---|---|---|---|---|---|");
    for stall in [500, 1_000, 2_000].map(Duration::from_millis) {
        for rate in [200, 500, 1_000] {
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
        println!(
            "| {:.1} s | {}/s {} | {busy:.3} | {name} | {wanted:.3} s | {found:.3} s | {:+.1}% | {service:.2} ms |",
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
    let project = tempfile::tempdir()?;
    copy(Path::new("examples/notes"), project.path())?;
    let scenario = format!(
        "title = \"Stall\"\nduel = [\"before\", \"after\"]\n\n[load]\nrate = {{ {} = {} }}\nconnections = {CONNECTIONS}\n{READ}",
        case.arrivals, case.rate
    );
    std::fs::write(project.path().join("scenarios/notes/stall.toml"), scenario)?;
    let Server::Embedded(embedded) = server else { anyhow::bail!("the server is embedded") };
    let info = embedded.tcp_conn_info("postgres");
    let password = info.password.as_ref().map(|password| password.expose().to_owned()).unwrap_or_default();
    let out = project.path().join("out");
    let child = Command::new(pgduel)
        .args(["--quiet", "--project"])
        .arg(project.path())
        .args(["run", "notes/stall", "--variant", "after", "--json", "--time", &format!("{}s", RUN.as_secs()), "--out"])
        .arg(&out)
        .env("DATABASE_URL", format!("postgres://{}:{password}@{}/postgres?sslmode=disable", info.user, info.endpoint))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start pgduel")?;
    let stalled = stall(server, &child, case.stall, &out).await;
    let finished = child.wait_with_output()?;
    stalled.with_context(|| String::from_utf8_lossy(&finished.stderr).into_owned())?;
    anyhow::ensure!(finished.status.success(), "{}", String::from_utf8_lossy(&finished.stderr));
    let record = read(&out.join("run.jsonl"))?;
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
async fn stall(server: &Server, child: &Child, length: Duration, out: &Path) -> anyhow::Result<()> {
    let prefix = format!("pgduel_r_{}_", child.id());
    let patience = Instant::now() + Duration::from_secs(120);
    let database = loop {
        let all = list_pgduel_databases(server).await?;
        if let Some(found) = all.into_iter().find(|database| database.name.starts_with(&prefix)) {
            break found.name;
        }
        anyhow::ensure!(Instant::now() < patience, "the run made no database");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    // Its scenario is in the record just before load begins.
    while !std::fs::read_to_string(out.join("run.jsonl")).unwrap_or_default().contains("\"line\":\"variant\"") {
        anyhow::ensure!(Instant::now() < patience, "the run did not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(RUN / 3 + Duration::from_secs(2)).await;
    let mut connection = server.connect(&database).await?;
    connection.execute("begin; lock table notes in access exclusive mode").await?;
    tokio::time::sleep(length).await;
    connection.execute("commit").await?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => drop(std::fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}

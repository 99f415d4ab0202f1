//! What is said of a fault, here and by pgbench: `cargo run --release --example faults` prints docs/engine/faults.md.
//!
//! Both programs load the same server with four clients that each send the same statement again and again, and two seconds into it the same
//! thing happens to both.

#[path = "common/mod.rs"]
mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::Context;
use pgduel::target::{EmbeddedOptions, EmbeddedServer, Endpoint, Installation, Login, Server};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::AssertSqlSafe;

const SECONDS: u32 = 8;
const CLIENTS: u32 = 4;

/// One fault, and the load that it meets.
struct Case {
    name: &'static str,
    sql: &'static str,
    /// Run on the database first.
    prepare: &'static str,
    happens: Happens,
    /// Beside the usual arguments.
    pgbench: &'static [&'static str],
    pgduel: &'static [&'static str],
    /// Of pgduel's scenario.
    load: &'static str,
    identity: &'static str,
    /// Sessions begin with this isolation.
    repeatable_read: bool,
}

#[derive(Clone, Copy)]
enum Happens {
    Nothing,
    /// SQL on a connection of its own.
    Sql(&'static str),
    /// A backend dies so that the server starts anew.
    Crash,
    Interrupt,
}

const USUAL: Case = Case {
    name: "",
    sql: "select pg_sleep(0.005)",
    prepare: "",
    happens: Happens::Nothing,
    pgbench: &[],
    pgduel: &[],
    load: "",
    identity: "none",
    repeatable_read: false,
};

const CASES: [Case; 8] = [
    Case {
        name: "one backend is terminated",
        happens: Happens::Sql(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and state = 'active' and pid <> pg_backend_pid() limit 1",
        ),
        ..USUAL
    },
    Case { name: "the server crashes and starts anew", happens: Happens::Crash, ..USUAL },
    Case {
        name: "statement timeout of 3 s, met by one in a hundred",
        sql: "select pg_sleep(case when :n = 1 then 10 else 0.005 end)",
        identity: "anon",
        ..USUAL
    },
    Case {
        name: "serialization failures, one try",
        sql: "update counter set n = n + 1",
        prepare: "create table counter (n int); insert into counter values (0); grant all on counter to public;",
        repeatable_read: true,
        ..USUAL
    },
    Case {
        name: "serialization failures, up to 100 tries",
        sql: "update counter set n = n + 1",
        prepare: "create table counter (n int); insert into counter values (0); grant all on counter to public;",
        repeatable_read: true,
        pgbench: &["--max-tries=100"],
        load: "max-tries = 100",
        ..USUAL
    },
    Case { name: "more clients than the server takes", pgbench: &["-c", "700"], pgduel: &["--clients", "700"], ..USUAL },
    Case {
        name: "a lock for 3 s; who waits for a connection for more than 1 s gives up (pgbench has no such limit, nor a queue)",
        sql: "select pg_sleep(0.005), count(*) from counter",
        prepare: "create table counter (n int); insert into counter values (0); grant all on counter to public;",
        happens: Happens::Sql("begin; lock table counter in access exclusive mode; select pg_sleep(3); commit"),
        pgduel: &["--rate", "400", "--connections", "4"],
        load: "acquire-timeout = \"1s\"",
        ..USUAL
    },
    Case { name: "SIGINT", happens: Happens::Interrupt, ..USUAL },
];

fn main() -> anyhow::Result<()> {
    let pgduel = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/release/pgduel"), PathBuf::from);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(table(&pgduel))
}

async fn table(pgduel: &Path) -> anyhow::Result<()> {
    let server: Server = EmbeddedServer::start(&EmbeddedOptions::default()).await?.into();
    println!("# Faults, and what is said of them\n");
    println!("Made by `make bench` (`cargo run --release --example faults`); do not edit.\n");
    println!(
        "{} · {CLIENTS} clients without pause for {SECONDS} s, the fault after two of them · the installed pgbench beside `pgduel run --clients {CLIENTS}`\n",
        common::about(&server).await?
    );
    println!("| fault | pgbench | pgduel |");
    println!("|---|---|---|");
    for case in &CASES {
        eprintln!("{}", case.name);
        let theirs = with_pgbench(&server, case).await.with_context(|| format!("pgbench: {}", case.name))?;
        let ours = with_pgduel(pgduel, &server, case).await.with_context(|| format!("pgduel: {}", case.name))?;
        println!("| {} | {theirs} | {ours} |", case.name);
    }
    server.finish().await?;
    Ok(())
}

async fn happen(server: &Server, database: &str, child: &Child, happens: Happens) -> anyhow::Result<()> {
    tokio::time::sleep(Duration::from_secs(2)).await;
    match happens {
        Happens::Nothing => {}
        Happens::Sql(sql) => {
            sqlx::raw_sql(sql).execute(&mut server.connect_as(Login::Superuser, database).await?).await?;
        }
        Happens::Crash => {
            let mut connection = server.connect_as(Login::Superuser, database).await?;
            let one = "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() limit 1";
            let pid: i32 = sqlx::query_scalar(one).fetch_one(&mut connection).await?;
            kill_process(Pid::from_raw(pid).context("a process")?, Signal::KILL)?;
        }
        Happens::Interrupt => kill_process(Pid::from_raw(child.id().try_into()?).context("a process")?, Signal::INT)?,
    }
    Ok(())
}

async fn with_pgbench(server: &Server, case: &Case) -> anyhow::Result<String> {
    const DATABASE: &str = "pgduel_faults";
    let mut admin = server.connect_as(Login::Superuser, "postgres").await?;
    sqlx::raw_sql(AssertSqlSafe(format!("drop database if exists {DATABASE} with (force)"))).execute(&mut admin).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("create database {DATABASE}"))).execute(&mut admin).await?;
    if !case.prepare.is_empty() {
        sqlx::raw_sql(case.prepare).execute(&mut server.connect_as(Login::Superuser, DATABASE).await?).await?;
    }
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("script.sql");
    std::fs::write(&script, format!("\\set n random(1, 100)\n{};\n", case.sql))?;
    let info = common::tcp(server)?;
    let Endpoint::Tcp { host, port } = &info.endpoint else { anyhow::bail!("TCP was asked for") };
    let pgbench = Installation::choose(None)?.bin.join("postgres").canonicalize()?.with_file_name("pgbench");
    let options = match (case.identity, case.repeatable_read) {
        ("anon", _) => "-c statement_timeout=3s",
        (_, true) => "-c default_transaction_isolation=repeatable\\ read",
        _ => "",
    };
    let child = Command::new(pgbench)
        .args(["-n", "-M", "prepared", "-j", "2", "--failures-detailed", "-c", &CLIENTS.to_string(), "-T", &SECONDS.to_string(), "-f"])
        .arg(&script)
        .args(case.pgbench)
        .env("PGHOST", host)
        .env("PGPORT", port.to_string())
        .env("PGUSER", &info.user)
        .env("PGPASSWORD", info.password.as_ref().map(|password| password.expose()).unwrap_or_default())
        .env("PGDATABASE", DATABASE)
        .env("PGOPTIONS", options)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start pgbench")?;
    let happened = happen(server, DATABASE, &child, case.happens).await;
    let output = child.wait_with_output()?;
    happened?;
    wait_for(server).await?;
    let mut admin = server.connect_as(Login::Superuser, "postgres").await?;
    sqlx::raw_sql(AssertSqlSafe(format!("drop database if exists {DATABASE} with (force)"))).execute(&mut admin).await?;
    Ok(told_by_pgbench(&output))
}

fn told_by_pgbench(output: &Output) -> String {
    let printed = String::from_utf8_lossy(&output.stdout);
    let line = |label: &str| printed.lines().find(|line| line.starts_with(label)).map(str::to_owned);
    let mut told = vec![exit(output)];
    told.extend(line("number of transactions actually processed"));
    told.extend(line("number of failed transactions"));
    told.extend(line("tps"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    let aborted = |line: &&str| line.contains("client ") && line.contains(" aborted");
    let number = |line: &str| line.split("client ").nth(1)?.split(' ').next().map(str::to_owned);
    let ended: BTreeSet<String> = complaints.lines().filter(aborted).filter_map(number).collect();
    if !ended.is_empty() {
        told.push(format!("{} of the clients ended for good", ended.len()));
    }
    if told.len() == 1 {
        told.extend(complaints.lines().next_back().map(|line| format!("“{line}”")));
    }
    told.join("<br>")
}

async fn with_pgduel(pgduel: &Path, server: &Server, case: &Case) -> anyhow::Result<String> {
    // What is drawn must be used.
    let draw = if case.sql.contains(":n ") { "draw.n = { int = [1, 100] }\n" } else { "" };
    let set = if case.repeatable_read { "set = { default_transaction_isolation = \"repeatable read\" }\n" } else { "" };
    let arms = ["before", "after"].map(|variant| format!("[[arm]]\nvariant = \"{variant}\"\n{set}")).concat();
    let scenario = format!(
        "title = \"Fault\"\n\n{arms}\n[load]\n{}\n\n[[transaction]]\nname = \"only\"\nidentity = \"{}\"\nwrites = true\n{}\n\
         [[transaction.statement]]\nname = \"only\"\nsql = \"\"\"{}\"\"\"\n",
        case.load, case.identity, draw, case.sql
    );
    let time = format!("{SECONDS}s");
    let clients = CLIENTS.to_string();
    let usual: &[&str] = if case.pgduel.is_empty() { &["--clients", &clients] } else { &[] };
    let arguments: Vec<&str> = ["--time", &time].into_iter().chain(usual.iter().copied()).chain(case.pgduel.iter().copied()).collect();
    let run = common::start(pgduel, server, &scenario, case.prepare, &arguments)?;
    let happened = match case.happens {
        Happens::Nothing => Ok(()),
        happens => {
            let database = run.begun(server).await?;
            // It settles for up to two seconds.
            tokio::time::sleep(Duration::from_secs(2)).await;
            happen(server, &database, &run.child, happens).await
        }
    };
    let finished = run.finish()?;
    happened?;
    wait_for(server).await?;
    told_by_pgduel(&finished.output)
}

fn told_by_pgduel(output: &Output) -> anyhow::Result<String> {
    let mut told = vec![exit(output)];
    let complaints = String::from_utf8_lossy(&output.stderr);
    match serde_json::from_slice::<Value>(&output.stdout) {
        Ok(report) if !report["summary"]["load"].is_null() => {
            let load = &report["summary"]["load"];
            let count = |key: &str| load["accounting"][key].as_u64().unwrap_or(0);
            told.push(format!(
                "{} scheduled = {} ok + {} failed + {} timed out + {} dropped + {} unfinished",
                count("scheduled"),
                count("ok"),
                count("error"),
                count("acquire_timeouts"),
                count("dropped"),
                count("in_flight")
            ));
            for (code, times) in load["errors"].as_object().into_iter().flatten() {
                told.push(format!("{code}: {}, after {:.1} ms (median)", times["count"], times["p50"].as_f64().unwrap_or(0.0) / 1e6));
            }
            let one = &load["transactions"][0];
            if let Some(retries) = one["retries"].as_u64().filter(|retries| *retries > 0) {
                told.push(format!("{retries} runs again"));
            }
            told.push(format!("response max {:.0} ms", one["response"]["max"].as_f64().unwrap_or(0.0) / 1e6));
        }
        _ => told.extend(complaints.lines().find(|line| !line.trim().is_empty()).map(|line| format!("“{}”", line.trim()))),
    }
    Ok(told.join("<br>"))
}

fn exit(output: &Output) -> String {
    output.status.code().map_or_else(|| "ended by a signal".to_owned(), |code| format!("exit {code}"))
}

/// A server that crashed is back within seconds.
async fn wait_for(server: &Server) -> anyhow::Result<()> {
    for _ in 0..100 {
        if server.connect_as(Login::Superuser, "postgres").await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("the server did not come back")
}

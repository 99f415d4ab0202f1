//! A server with pgbench's tables, and both programs run against it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use pgduel::load::network::RttProxy;
use pgduel::load::wire::{ConnectTarget, Host, Password, SslMode};
use pgduel::stats::{Estimate, confidence_interval};
use pgduel::target::{EmbeddedOptions, EmbeddedServer, Endpoint, Installation, Server};

use super::about::about;
use super::slices;

const DATABASE: &str = "pgduel_bench";

/// What is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Program {
    /// This engine.
    Pgduel,
    /// The installed one.
    Pgbench,
}

/// What one run of a program says, and took.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Transactions that it processed.
    pub transactions: u64,
    /// Transactions a second, without connecting.
    pub tps: f64,
    /// Processor time of the program.
    pub cpu: Duration,
}

impl Reading {
    /// Processor time a transaction, s, connecting included.
    pub fn cpu_per_transaction(&self) -> f64 {
        self.cpu.as_secs_f64() / self.transactions.max(1) as f64
    }
}

/// The server, and how to reach it.
pub struct Arena {
    runtime: tokio::runtime::Runtime,
    server: Server,
    pgbench: PathBuf,
    /// For scripts and logs.
    pub folder: tempfile::TempDir,
    description: String,
}

impl Arena {
    /// Starts a server and makes pgbench's tables.
    pub fn new(scale: u32) -> anyhow::Result<Arena> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let installation = Installation::choose(None)?;
        // What is on the path may be links to some of the server's programs.
        let pgbench = installation.bin.join("postgres").canonicalize()?.with_file_name("pgbench");
        ensure!(pgbench.is_file(), "there is no pgbench beside {}", installation.bin.display());
        let server: Server = runtime.block_on(EmbeddedServer::start(&EmbeddedOptions::default()))?.into();
        let mut arena = Arena { runtime, server, pgbench, folder: tempfile::tempdir()?, description: String::new() };
        arena.prepare(scale)?;
        Ok(arena)
    }

    fn prepare(&mut self, scale: u32) -> anyhow::Result<()> {
        self.sql("postgres", &format!("drop database if exists {DATABASE}"))?;
        self.sql("postgres", &format!("create database {DATABASE}"))?;
        eprintln!("making pgbench's tables at scale {scale}");
        let made = self.command(Program::Pgbench, None).args(["-i", "-q", "-s", &scale.to_string()]).output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        self.sql(DATABASE, "do $$ begin create role authenticated; exception when duplicate_object then null; end $$")?;
        self.sql(DATABASE, "create schema extensions")?;
        self.sql(DATABASE, "grant select on pgbench_accounts to authenticated")?;
        self.sql(DATABASE, "vacuum (freeze, analyze)")?;
        self.sql(DATABASE, "checkpoint")?;
        let about = self.runtime.block_on(about(&self.server))?;
        self.description = format!("{about} · loopback TCP · scale {scale}");
        Ok(())
    }

    /// Server and machine in a line.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Drives something of this engine's own.
    pub fn block_on<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        self.runtime.block_on(work)
    }

    /// Drops what was made.
    pub fn finish(self) -> anyhow::Result<()> {
        self.sql("postgres", &format!("drop database {DATABASE}"))?;
        self.runtime.block_on(self.server.finish())?;
        Ok(())
    }

    /// Writes a script where both programs find it.
    pub fn script(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text)?;
        path.into_os_string().into_string().map_err(|path| anyhow::anyhow!("{} is not UTF-8", path.display()))
    }

    /// Runs a program to its end.
    pub fn run(&self, program: Program, arguments: &[String]) -> anyhow::Result<Reading> {
        self.run_by(program, arguments, None)
    }

    /// Runs programs with the same arguments side by side, [in slices](slices::run); their readings, in order.
    pub fn run_in_slices(
        &self,
        programs: &[Program],
        arguments: &[String],
        clients: u32,
        seconds: u32,
        seed: u64,
    ) -> anyhow::Result<Vec<Reading>> {
        let commands = programs.iter().map(|program| {
            let mut command = self.command(*program, None);
            command.args(arguments);
            command
        });
        slices::run(commands.collect(), clients, seconds, seed, || self.connections())
    }

    /// Connections to the database.
    fn connections(&self) -> anyhow::Result<u32> {
        self.runtime.block_on(async {
            let mut connection = self.server.connect("postgres").await?;
            let sql = "select count(*)::int from pg_stat_activity where backend_type = 'client backend' and datname = $1";
            let count: i32 = sqlx::query_scalar(sql).bind(DATABASE).fetch_one(&mut connection).await?;
            Ok(count.try_into()?)
        })
    }

    /// Runs this engine to its end, and tells its resident memory in bytes from time to time.
    pub fn watch(&self, arguments: &[String], gap: Duration, resident: impl FnMut(u64)) -> anyhow::Result<Reading> {
        let mut command = self.command(Program::Pgduel, None);
        reading(&watch(command.args(arguments), gap, resident)?, Duration::ZERO)
    }

    /// `pgduel run` of the example project to its end, watched in the same way.
    pub fn watch_users(&self, arguments: &[&str], gap: Duration, resident: impl FnMut(u64)) -> anyhow::Result<()> {
        let (host, port, user, password) = self.access()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgduel"));
        command.args(["--quiet", "--project", "examples/notes", "run", "notes/list-notes", "--variant", "after", "--out"]);
        command.arg(self.folder.path().join("users")).args(arguments);
        command.env("DATABASE_URL", format!("postgres://{user}:{password}@{host}:{port}/postgres?sslmode=disable"));
        watch(&mut command, gap, resident).map(drop)
    }

    /// Runs sysbench with a Lua script to its end.
    pub fn sysbench(&self, script: &str, connections: u32, seconds: u32) -> anyhow::Result<Reading> {
        let (host, port, user, password) = self.access()?;
        let before = children_cpu()?;
        let mut command = Command::new("sysbench");
        command.arg(script).args(["--db-driver=pgsql", "--verbosity=3"]);
        command.args([format!("--pgsql-host={host}"), format!("--pgsql-port={port}"), format!("--pgsql-user={user}")]);
        command.args([format!("--pgsql-db={DATABASE}"), format!("--threads={connections}")]).env("PGPASSWORD", password);
        let output = command.args([format!("--time={seconds}"), "run".to_owned()]).output()?;
        let cpu = children_cpu()?.saturating_sub(before);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "sysbench: {}", printed);
        let events = number_after(&printed, "total number of events:").context("no number of events")?;
        let time = number_after(&printed, "total time:").context("no time")?;
        Ok(Reading { transactions: events as u64, tps: events / time, cpu })
    }

    fn run_by(&self, program: Program, arguments: &[String], by: Option<&RttProxy>) -> anyhow::Result<Reading> {
        // Processes run one after the other, so what is added here is this one's.
        let before = children_cpu()?;
        let output = self.command(program, by).args(arguments).output()?;
        let cpu = children_cpu()?.saturating_sub(before);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{program:?} {arguments:?}: {printed}{}", String::from_utf8_lossy(&output.stderr));
        reading(&printed, cpu)
    }

    /// Round trips that a program takes a transaction, counted on the wire. Connecting, and preparing what is run, are left out.
    pub fn round_trips(&self, program: Program, arguments: &[String]) -> anyhow::Result<f64> {
        const FEW: u64 = 10;
        const MANY: u64 = 110;
        let counted = |transactions: u64| -> anyhow::Result<u64> {
            let proxy = RttProxy::start(&self.target()?, Duration::ZERO)?;
            let arguments: Vec<String> = arguments.iter().cloned().chain(["-t".to_owned(), transactions.to_string()]).collect();
            self.run_by(program, &arguments, Some(&proxy))?;
            Ok(proxy.round_trips())
        };
        Ok((counted(MANY)?.saturating_sub(counted(FEW)?)) as f64 / (MANY - FEW) as f64)
    }

    /// How to connect with this engine's own connections.
    pub fn target(&self) -> anyhow::Result<ConnectTarget> {
        let (host, port, user, password) = self.access()?;
        Ok(ConnectTarget {
            host: Host::Tcp(host),
            port,
            user,
            password: Some(Password::new(password)),
            database: DATABASE.to_owned(),
            application_name: "pgduel-bench".to_owned(),
            settings: Vec::new(),
            ssl_mode: SslMode::Disable,
            certificate_name: None,
            authorities: None,
        })
    }

    fn access(&self) -> anyhow::Result<(String, u16, String, String)> {
        let Server::Embedded(server) = &self.server else { bail!("the server is embedded") };
        let info = server.tcp_conn_info(DATABASE);
        let Endpoint::Tcp { host, port } = info.endpoint else { bail!("TCP was asked for") };
        let password = info.password.as_ref().map(|password| password.expose().to_owned()).unwrap_or_default();
        Ok((host, port, info.user, password))
    }

    fn command(&self, program: Program, by: Option<&RttProxy>) -> Command {
        let mut command = match program {
            Program::Pgbench => Command::new(&self.pgbench),
            Program::Pgduel => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_pgduel"));
                command.arg("pgbench");
                command
            }
        };
        if let Ok((host, port, user, password)) = self.access() {
            let port = by.map_or(port, RttProxy::port);
            command.env("PGHOST", host).env("PGPORT", port.to_string()).env("PGUSER", user).env("PGPASSWORD", password);
        }
        command.env("PGDATABASE", DATABASE).env("PGSSLMODE", "disable").current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    fn sql(&self, database: &str, sql: &str) -> anyhow::Result<()> {
        self.runtime.block_on(async {
            let mut connection = self.server.connect(database).await?;
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.with_context(|| sql.to_owned())?;
            Ok(())
        })
    }
}

/// What a program of either kind printed at its end.
pub fn reading(printed: &str, cpu: Duration) -> anyhow::Result<Reading> {
    let transactions = number_after(printed, "number of transactions actually processed: ").context("no number of transactions")?;
    let tps = number_after(printed, "tps = ").context("no throughput")?;
    Ok(Reading { transactions: transactions as u64, tps, cpu })
}

/// Processor time of all processes that were started and waited for.
pub fn children_cpu() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.try_into()?))
}

/// The number that follows a label.
pub fn number_after(printed: &str, label: &str) -> Option<f64> {
    let rest = printed.split_once(label)?.1.trim_start();
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Both, one of them first in every other turn.
pub fn in_turn<A, B>(
    turn: usize,
    mut one: impl FnMut() -> anyhow::Result<A>,
    mut other: impl FnMut() -> anyhow::Result<B>,
) -> anyhow::Result<(A, B)> {
    if turn.is_multiple_of(2) {
        let first = one()?;
        return Ok((first, other()?));
    }
    let first = other()?;
    Ok((one()?, first))
}

/// The middle of ratios, with an interval of 95%.
pub fn ratio(ratios: &[f64]) -> Estimate {
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    confidence_interval(&logs, 0.025).exp()
}

/// The one in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// `1.03 [1.01, 1.05]`
pub fn shown(ratio: &Estimate) -> String {
    format!("{:.2} [{:.2}, {:.2}]", ratio.point, ratio.lower, ratio.upper)
}

/// Runs a command to its end, and tells its resident memory in bytes from time to time; what it printed.
fn watch(command: &mut Command, gap: Duration, mut resident: impl FnMut(u64)) -> anyhow::Result<String> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    while child.try_wait()?.is_none() {
        std::thread::sleep(gap);
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        if let Some(kib) = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|text| text.trim().parse::<u64>().ok()) {
            resident(kib * 1024);
        }
    }
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{:?} failed", command.get_program());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

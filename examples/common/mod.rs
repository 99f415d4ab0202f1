//! What the examples that drive `pgduel run` share.

// Each example compiles its own copy and uses a part of it.
#![allow(dead_code)]

#[path = "../../tests/support/about.rs"]
mod about;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use pgduel::target::{ConnInfo, Server};

pub use about::about;

/// What the login may do that the suite is given.
const GRANTS: &str = "grant select on notes to notes_app; create policy notes_all on notes to notes_app using (true);";
/// For a run to begin.
const PATIENCE: Duration = Duration::from_secs(120);

/// A `pgduel run` that was started, on a suite of its own.
pub struct Run {
    /// The process.
    pub child: Child,
    /// Where its record goes.
    pub out: PathBuf,
    /// Removed with it.
    project: tempfile::TempDir,
}

/// The embedded server over TCP, as any client would connect.
pub fn tcp(server: &Server) -> anyhow::Result<ConnInfo> {
    match server {
        Server::Embedded(embedded) => Ok(embedded.tcp_conn_info("postgres")),
        Server::External(_) => anyhow::bail!("the server is embedded"),
    }
}

/// Starts it: the notes suite with this scenario, and this SQL behind its migration. Statements of no identity log in as a role that reads all notes.
pub fn start(pgduel: &Path, server: &Server, scenario: &str, sql: &str, arguments: &[&str]) -> anyhow::Result<Run> {
    let project = tempfile::tempdir()?;
    copy(Path::new("examples/notes"), project.path())?;
    std::fs::write(project.path().join("scenarios/notes/example.toml"), scenario)?;
    let migration = project.path().join("seeds/notes/after.sql");
    let text = std::fs::read_to_string(&migration)?;
    std::fs::write(&migration, format!("{text}\n{sql}\n{GRANTS}"))?;
    let suite = project.path().join("seeds/notes/suite.toml");
    let text = std::fs::read_to_string(&suite)?;
    std::fs::write(&suite, format!("login = \"notes_app\"\n{text}"))?;
    let info = tcp(server)?;
    let password = info.password.as_ref().map(|password| password.expose().to_owned()).unwrap_or_default();
    let out = project.path().join("out");
    let child = Command::new(pgduel)
        .args(["--quiet", "--project"])
        .arg(project.path())
        .args(["run", "notes/example", "--variant", "after", "--json", "--out"])
        .arg(&out)
        .args(arguments)
        .env("DATABASE_URL", format!("postgres://{}:{password}@{}/postgres?sslmode=disable", info.user, info.endpoint))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start pgduel")?;
    Ok(Run { child, out, project })
}

impl Run {
    /// Waits until load is on; the name of the database that is loaded: what writes works on a copy.
    pub async fn begun(&self, server: &Server) -> anyhow::Result<String> {
        const LOADED: &str = "select datname::text from pg_stat_activity
                               where starts_with(datname, $1) and application_name = 'pgduel load' order by 1 desc limit 1";
        let prefix = format!("pgduel_r_{}_", self.child.id());
        let latest = Instant::now() + PATIENCE;
        loop {
            // Its variant is in the record just before load begins.
            if std::fs::read_to_string(self.out.join("run.jsonl")).unwrap_or_default().contains("\"line\":\"variant\"") {
                let mut admin = server.connect_admin().await?;
                if let Some(name) = sqlx::query_scalar(LOADED).bind(&prefix).fetch_optional(&mut admin).await? {
                    return Ok(name);
                }
            }
            anyhow::ensure!(Instant::now() < latest, "the run did not begin");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for its end.
    pub fn finish(self) -> std::io::Result<Finished> {
        let Run { child, out, project } = self;
        Ok(Finished { output: child.wait_with_output()?, out, _project: project })
    }
}

/// A run that has ended; its record is there as long as this is.
pub struct Finished {
    /// What it printed.
    pub output: Output,
    /// Where its record is.
    pub out: PathBuf,
    _project: tempfile::TempDir,
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

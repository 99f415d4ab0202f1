//! A copy of the example project to plant things in, and runs of the binary on it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{isolate, test_home};

/// Far longer than anything takes: a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(480);

/// Blocks of few transactions, and margins so wide that only a factor of ten crosses them.
pub const SHORT_BLOCKS: &str =
    "\n[margins]\np50 = \"100%\"\np95 = \"100%\"\nfloor = \"1ms\"\n\n[load]\nrate = { work = 1, transactions = 20 }\n";

/// The newest notes of a workspace.
pub const LIST: &str = r#"
[[transaction]]
name     = "list"
identity = "member"
draw.workspace = "tenant"

[[transaction.statement]]
name = "newest"
sql  = "select id from notes where workspace_id = :workspace order by created_at desc, id limit 20"
"#;

/// A copy of `examples/notes`.
pub struct Project {
    folder: TempDir,
}

impl Project {
    /// The example as it is.
    pub fn example() -> Project {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/notes");
        for part in ["seeds", "scenarios"] {
            copy(&example.join(part), &folder.path().join(part));
        }
        Project { folder }
    }

    /// The example with one scenario, `notes/planted`: the head (title and duel are there) and transactions are the caller's.
    pub fn with_scenario<const ARMS: usize>(duel: [&str; ARMS], head: &str, transactions: &str) -> Project {
        let project = Project::example();
        let text = format!("title = \"Planted\"\nduel = {duel:?}\n{head}\n{SHORT_BLOCKS}\n{transactions}");
        project.write("scenarios/notes/planted.toml", &text);
        project
    }

    /// Adds a variant on top of `from` with this SQL.
    pub fn variant(self, name: &str, from: &str, sql: &str) -> Project {
        self.write(&format!("seeds/notes/{name}.sql"), sql);
        let entry = format!("\n[variant.{name}]\ntitle = \"Planted\"\nfrom = \"{from}\"\nsql = [\"{name}.sql\"]\n");
        let suite = self.read("seeds/notes/suite.toml") + &entry;
        self.write("seeds/notes/suite.toml", &suite);
        self
    }

    /// Has statements of no identity log in as `notes_app`, which may do nothing yet.
    pub fn names_a_login(&self) {
        let suite = self.read("seeds/notes/suite.toml");
        self.write("seeds/notes/suite.toml", &format!("login = \"notes_app\"\n{suite}"));
    }

    /// The same under another suite's name, and so with a template of its own.
    pub fn renamed(self, suite: &str) -> Project {
        for part in ["seeds", "scenarios"] {
            std::fs::rename(self.path(&format!("{part}/notes")), self.path(&format!("{part}/{suite}"))).expect("renamed");
        }
        self
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).expect("a file of the project")
    }

    pub fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path(file), text).expect("a file of the project is written");
    }

    /// The binary at this project, with an environment of its own.
    pub fn pgduel(&self, arguments: &[&str]) -> Command {
        let mut command = pgduel();
        command.arg("--project").arg(self.folder.path()).args(arguments);
        command
    }

    /// `pgduel duel notes/planted --quick ...` on small data, to `out`, not started yet.
    pub fn duel(&self, scenario: &str, arguments: &[&str]) -> Command {
        let mut command = self.pgduel(&["duel", scenario, "--fsync", "off", "--out"]);
        command.arg(self.out()).args(arguments);
        command
    }

    /// Where runs of [`Project::duel`] go.
    pub fn out(&self) -> PathBuf {
        self.path("out")
    }

    /// Lines of the record so far; a line that is being written is left out.
    pub fn record(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.out().join("run.jsonl")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).expect("a line of the record")).collect()
    }

    /// Lines of one kind.
    pub fn lines(&self, kind: &str) -> Vec<Value> {
        self.record().into_iter().filter(|line| line["line"] == kind).collect()
    }
}

/// The built binary, out of reach of the caller's own server.
pub fn pgduel() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgduel"));
    isolate(&mut command).env("PGDUEL_HOME", test_home());
    command
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder is made");
    for entry in std::fs::read_dir(from).expect("a folder of the example") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a file is copied")),
        }
    }
}

/// What a run said and how it ended.
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Fails with everything that was said unless the run ended with this code.
    pub fn expect_code(self, code: i32) -> Finished {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails unless the text stands in one of both outputs.
    pub fn expect_said(self, text: &str) -> Finished {
        assert!(self.says(text), "{text:?} is not in\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    pub fn says(&self, text: &str) -> bool {
        // Tables break lines at the width of the page.
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        flat(&self.stdout).contains(&flat(text)) || flat(&self.stderr).contains(&flat(text))
    }
}

/// What `--progress json` told; every line is JSON.
pub fn events(finished: &Finished) -> Vec<Value> {
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
    finished.stderr.lines().map(read).collect()
}

/// Runs to the end.
pub fn finish(command: &mut Command) -> Finished {
    Running::start(command).finish()
}

/// A run that is going on; killed if the test ends first.
pub struct Running {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Running {
    pub fn start(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("pgduel starts");
        let stdout = drain(child.stdout.take().expect("a pipe"));
        let stderr = drain(child.stderr.take().expect("a pipe"));
        Running { child, stdout, stderr }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).expect("the run takes the signal");
    }

    /// To all processes of a run that was given a process group of its own.
    pub fn signal_group(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process_group(id, signal).expect("the group takes the signal");
    }

    /// Waits until `done`, and fails if the run ends before.
    pub fn until(&mut self, what: &str, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            let ended = self.child.try_wait().expect("the state of the run");
            if let Some(status) = ended {
                let said: String = self.stderr.try_iter().collect();
                panic!("the run ended ({status}) before {what}:\n{said}");
            }
            assert!(began.elapsed() < PATIENCE, "{what} did not happen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for a line on standard error.
    pub fn until_said(&mut self, text: &str) {
        let began = Instant::now();
        let mut said = String::new();
        while began.elapsed() < PATIENCE {
            match self.stderr.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return,
                Ok(line) => said += &line,
                Err(_) => break,
            }
        }
        panic!("{text:?} was not said:\n{said}");
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the state of the run").is_none()
    }

    pub fn finish(mut self) -> Finished {
        let began = Instant::now();
        let status: ExitStatus = loop {
            if let Some(status) = self.child.try_wait().expect("the state of the run") {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "the run did not end:\n{}", self.stderr.try_iter().collect::<String>());
            std::thread::sleep(Duration::from_millis(10));
        };
        Finished { code: status.code(), stdout: self.stdout.iter().collect(), stderr: self.stderr.iter().collect() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn drain(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            line.clear();
        }
    });
    receiver
}

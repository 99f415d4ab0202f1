//! Runs that do not reach their end: signals, and a server that goes away.

use pgduel::record::Accounting;
use pgduel::target::{EmbeddedServer, Server, list_pgduel_databases};
use rustix::process::Signal;

use crate::project::{LIST, Project, Running, finish, pgduel};
use crate::support::{OwnHome, TestServer};

/// Blocks for minutes on end.
fn project() -> Project {
    let project = Project::with_scenario(["before", "after"], "", LIST);
    let endless = project.read("scenarios/notes/planted.toml").replace("transactions = 20", "transactions = 400");
    project.write("scenarios/notes/planted.toml", &endless);
    project
}

async fn interrupted(signal: Signal) {
    let server = TestServer::shared().await;
    let project = project();
    let mut command = project.duel("notes/planted", &["--scale", "0.1", "--budget", "10m"]);
    let mut run = Running::start(command.env("DATABASE_URL", server.url("postgres")));
    run.until("a block", || project.lines("block").len() > 3);
    run.signal(signal);
    if signal == Signal::HUP {
        // As it comes when a shell and its terminal go away.
        std::thread::sleep(std::time::Duration::from_millis(50));
        run.signal(signal);
    }
    let process = run.id();
    let finished = run.finish().expect_code(130).expect_said("stopping").expect_said("nterrupted");
    let end = project.lines("end").pop().expect("an end");
    assert_eq!(end["interrupted"], true);
    assert_eq!(project.lines("scenario-end").pop().expect("the scenario's end")["stop"]["why"], "interrupted");
    // The block that the signal met is among them, with what it had begun.
    for block in project.lines("block") {
        let accounting: Accounting = serde_json::from_value(block["accounting"].clone()).expect("an accounting");
        assert!(accounting.balances(), "{accounting:?}");
    }
    let prefix = format!("pgduel_d_{process}_");
    let left = list_pgduel_databases(server.server()).await.expect("databases");
    assert!(!left.iter().any(|database| database.name.starts_with(&prefix)), "{left:?}");
    let again = finish(pgduel().arg("report").arg(project.out())).expect_code(130);
    assert_eq!(again.stdout, finished.stdout);
}

#[tokio::test]
async fn an_interrupt_saves_a_readable_record() {
    interrupted(Signal::INT).await;
}

#[tokio::test]
async fn a_termination_does_too() {
    interrupted(Signal::TERM).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_terminal_that_goes_away_does_too() {
    let status = std::fs::read_to_string("/proc/self/status").expect("of this process");
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    if ignored.is_none_or(|ignored| ignored & 1 == 1) {
        eprintln!("skipped: these tests ignore SIGHUP, and so does what they start");
        return;
    }
    interrupted(Signal::HUP).await;
}

/// As `nohup` starts it: whoever has it ignore the signal wants it to go on.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_run_that_was_told_to_ignore_hangups_goes_on() {
    let server = TestServer::shared().await;
    let project = project();
    let duel = project.duel("notes/planted", &["--scale", "0.1", "--budget", "10m"]);
    let mut command = std::process::Command::new("sh");
    command.stdin(std::process::Stdio::null());
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(duel.get_program()).args(duel.get_args());
    for (name, value) in duel.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(folder) = duel.get_current_dir() {
        command.current_dir(folder);
    }
    let mut run = Running::start(command.env("DATABASE_URL", server.url("postgres")));
    run.until("a block", || !project.lines("block").is_empty());
    run.signal(Signal::HUP);
    let so_far = project.lines("block").len();
    run.until("more blocks", || project.lines("block").len() > so_far + 2);
    run.signal(Signal::INT);
    run.finish().expect_code(130);
}

/// What Ctrl-C in a terminal does: every process of the foreground group gets the signal, and the embedded server must not.
#[test]
fn an_interrupt_of_the_whole_group_does_not_end_the_embedded_server() {
    use std::os::unix::process::CommandExt;
    let project = project();
    let mut command = project.duel("notes/planted", &["--scale", "0.1", "--budget", "10m"]);
    let mut run = Running::start(command.process_group(0));
    run.until("a block", || project.lines("block").len() > 3);
    run.signal_group(Signal::INT);
    run.finish().expect_code(130);
    assert_eq!(project.lines("end").pop().expect("an end")["interrupted"], true);
    assert_eq!(project.lines("scenario-end").pop().expect("the scenario's end")["stop"]["why"], "interrupted");
}

#[tokio::test]
async fn an_interrupt_of_seeding_or_checks_ends_them() {
    let server = TestServer::shared().await;
    let project = Project::with_scenario(["before", "after"], "", LIST).renamed("stopped");
    let start = |scale: &str| {
        let _ = std::fs::remove_dir_all(project.out());
        let mut command = project.duel("stopped/planted", &["--scale", scale]);
        Running::start(command.env("DATABASE_URL", server.url("postgres")))
    };
    // Seeding: as long as nobody says that checks begin.
    let mut run = start("20");
    run.until("a header", || !project.lines("header").is_empty());
    run.signal(Signal::INT);
    let finished = run.finish().expect_code(130);
    assert!(!finished.stderr.contains("checking"), "{}", finished.stderr);
    assert_eq!(project.lines("end").pop().expect("an end")["interrupted"], true);

    let mut run = start("0.1");
    run.until_said("checking answers");
    run.signal(Signal::INT);
    run.finish().expect_code(130);
    assert!(project.lines("block").is_empty());
    let left = list_pgduel_databases(server.server()).await.expect("databases");
    for database in left.into_iter().filter(|database| database.name.starts_with("pgduel_t_stopped_")) {
        server.drop_database(&database.name).await;
    }
}

/// Locks the table that transactions read, in every database of a run, until the connections are dropped.
async fn lock_notes(server: &TestServer, run: &Running) -> Vec<sqlx::PgConnection> {
    let mut locks = Vec::new();
    for database in databases_of(server, run.id()).await {
        let mut connection = server.connect(&database).await;
        sqlx::raw_sql("begin; lock table notes in access exclusive mode").execute(&mut connection).await.expect("locked");
        locks.push(connection);
    }
    locks
}

#[tokio::test]
async fn one_signal_is_enough_while_a_statement_waits_for_ever() {
    let server = TestServer::shared().await;
    let project = project();
    // As the service, whom no statement timeout helps.
    let scenario = project.read("scenarios/notes/planted.toml").replace("\"member\"", "\"service\"");
    project.write("scenarios/notes/planted.toml", &scenario);
    let mut command = project.duel("notes/planted", &["--scale", "0.1", "--budget", "10m"]);
    let mut run = Running::start(command.env("DATABASE_URL", server.url("postgres")));
    run.until("a block", || project.lines("block").len() > 1);
    let _locks = lock_notes(&server, &run).await;
    // Blocks are short: by now one has met the lock.
    std::thread::sleep(std::time::Duration::from_secs(2));
    run.signal(Signal::INT);
    run.finish().expect_code(130);
    assert_eq!(project.lines("end").pop().expect("an end")["interrupted"], true);
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let server = TestServer::shared().await;
    let project = project();
    let mut command = project.duel("notes/planted", &["--scale", "0.1", "--budget", "10m"]);
    let mut run = Running::start(command.env("DATABASE_URL", server.url("postgres")));
    run.until("a block", || project.lines("block").len() > 1);
    // From now on no transaction ends, so that draining takes its time.
    let _locks = lock_notes(&server, &run).await;
    let mut looking = server.connect("postgres").await;
    let databases = format!("pgduel_d_{}_%", run.id());
    let waiting = "select count(*) from pg_stat_activity where datname like $1 and wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting).bind(&databases).fetch_one(&mut looking).await.expect("a count") == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    run.signal(Signal::INT);
    run.until_said("stopping");
    run.signal(Signal::INT);
    run.finish().expect_code(130);
    assert!(project.lines("end").is_empty(), "nothing was drained");
    let again = finish(pgduel().arg("report").arg(project.out())).expect_code(130);
    assert!(again.says("notes/planted"), "{}", again.stdout);
}

#[tokio::test]
async fn what_a_killed_run_left_goes_and_what_another_one_uses_stays() {
    let server = TestServer::shared().await;
    let (alive, killed, second, next) = (project(), project(), project(), project());
    let start = |project: &Project| {
        let mut command = project.duel("notes/planted", &["--scale", "0.1", "--budget", "10m"]);
        Running::start(command.env("DATABASE_URL", server.url("postgres")))
    };
    // One that goes on until it is told to stop.
    let endless = alive.read("scenarios/notes/planted.toml").replace("100%", "1%").replace("1ms", "1us");
    alive.write("scenarios/notes/planted.toml", &endless);
    let (mut living, mut dying) = (start(&alive), start(&killed));
    living.until("a block", || !alive.lines("block").is_empty());
    dying.until("a block", || !killed.lines("block").is_empty());
    let (lives, died) = (living.id(), dying.id());
    assert!(!databases_of(&server, died).await.is_empty());
    dying.signal(Signal::KILL);
    dying.finish();

    let clean = |arguments: &[&str]| {
        let mut command = pgduel();
        finish(command.args(["server", "clean"]).args(arguments).env("DATABASE_URL", server.url("postgres")))
    };
    let used = databases_of(&server, lives).await.remove(0);
    clean(&[&used]).expect_code(2).expect_said("a run is using").expect_said(&used);
    clean(&["postgres"]).expect_code(2).expect_said("no database of pgduel's is called postgres");
    let cleaned = clean(&[]).expect_code(0);
    // Orphans go first, also where the rest is refused; another run may be dropping them, too.
    gone(&server, died).await;
    assert!(cleaned.stdout.contains(&format!("{used} (")) && cleaned.stdout.contains("stays: a seeded template"), "{}", cleaned.stdout);

    let mut dying = start(&second);
    dying.until("a block", || !second.lines("block").is_empty());
    let died = dying.id();
    assert!(!databases_of(&server, died).await.is_empty());
    dying.signal(Signal::KILL);
    dying.finish();
    let mut command = next.duel("notes/planted", &["--scale", "0.1", "--checks-only"]);
    finish(command.env("DATABASE_URL", server.url("postgres"))).expect_code(0);
    gone(&server, died).await;
    assert!(!databases_of(&server, lives).await.is_empty());
    living.signal(Signal::INT);
    living.finish().expect_code(130);
}

/// Waits until a run's process has no databases any more.
async fn gone(server: &TestServer, process: u32) {
    for _ in 0..500 {
        if databases_of(server, process).await.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("still there: {:?}", databases_of(server, process).await);
}

/// Names of the databases of a run's process.
async fn databases_of(server: &TestServer, process: u32) -> Vec<String> {
    let all = list_pgduel_databases(server.server()).await.expect("databases");
    let prefix = format!("pgduel_d_{process}_");
    all.into_iter().map(|database| database.name).filter(|name| name.starts_with(&prefix)).collect()
}

/// The process id of the server that a run started in this home.
pub fn server_of(home: &OwnHome) -> rustix::process::Pid {
    let versions = std::fs::read_dir(home.path()).expect("the home").filter_map(Result::ok);
    let file = versions.map(|version| version.path().join("slot-0/data/postmaster.pid")).find(|file| file.exists()).expect("a server");
    let text = std::fs::read_to_string(file).expect("its process id");
    text.lines().next().and_then(|line| rustix::process::Pid::from_raw(line.parse().ok()?)).expect("a process id")
}

#[test]
fn a_server_that_dies_and_a_run_that_is_killed_leave_a_readable_record() {
    let home = OwnHome::new();
    let (dead, killed, last) = (project(), project(), project());
    let start = |project: &Project| {
        let mut command = project.duel("notes/planted", &["--scale", "0.1", "--budget", "10m"]);
        Running::start(command.env("PGDUEL_HOME", home.path()))
    };
    let mut run = start(&dead);
    run.until("a block", || dead.lines("block").len() > 1);
    rustix::process::kill_process(server_of(&home), Signal::QUIT).expect("the server takes the signal");
    run.finish().expect_code(5).expect_said("notes/planted");
    finish(pgduel().arg("report").arg(dead.out())).expect_code(5);

    let mut run = start(&killed);
    run.until("a block", || killed.lines("block").len() > 1);
    run.signal(Signal::KILL);
    run.finish();
    finish(pgduel().arg("report").arg(killed.out())).expect_code(130).expect_said("notes/planted");

    // The next run finds the server that is still there, and clears away what the killed one left.
    let mut command = last.duel("notes/planted", &["--scale", "0.1", "--checks-only"]);
    finish(command.env("PGDUEL_HOME", home.path())).expect_code(0).expect_said("reusing the seeded template");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let left = runtime.block_on(async {
        let server: Server = EmbeddedServer::start(&home.options()).await.expect("the server starts").into();
        let left = list_pgduel_databases(&server).await.expect("databases are listed");
        server.finish().await.expect("the server stops");
        left
    });
    let names: Vec<&str> = left.iter().map(|database| database.name.as_str()).collect();
    assert!(names.len() == 1 && names[0].starts_with("pgduel_t_notes_"), "{names:?}");
}

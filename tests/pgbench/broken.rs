//! Clients whose connection breaks, beside pgbench's.

use std::process::{Output, Stdio};

use crate::{BOTH, Bench, Who, behind, text, until};

const CLIENTS: i64 = 3;
const EACH: i64 = 600;

/// Sessions of the clients once they have begun.
const AT_WORK: &str =
    "select count(*) from pg_stat_activity where datname = $1 and application_name = 'pgbench' and query like '%pg_sleep%'";

/// Runs clients, and has the server end the sessions of so many of them once all are at work.
async fn with_killed(bench: &Bench, who: Who, killed: i64) -> Output {
    until("those of the last run are gone", async || bench.number(AT_WORK).await == 0).await;
    let file = bench.script("sleeps.sql", "select pg_sleep(0.01);\n");
    let mut command = if who == Who::Ours { bench.our_command() } else { bench.their_command() };
    command.args(["-n", "-c", "3", "-j", "2", "-t", "600", "-f", &file]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("it runs");
    until("all clients are at work", async || bench.number(AT_WORK).await == CLIENTS).await;
    let some = AT_WORK.replace("count(*)", "pid");
    let kill = format!("select count(pg_terminate_backend(pid)) from ({some} limit {killed}) s");
    assert_eq!(bench.number(kill.leak()).await, killed);
    child.wait_with_output().expect("it ends")
}

#[tokio::test]
async fn who_loses_his_connection_stops_and_the_others_go_on() {
    let bench = Bench::new().await;
    for killed in [1, CLIENTS] {
        for who in BOTH {
            let found = with_killed(&bench, who, killed).await;
            let (report, said) = (text(&found.stdout), text(&found.stderr));
            assert_eq!(found.status.code(), Some(2), "{who:?}: {report}{said}");
            let aborted = said.lines().filter(|line| line.contains("client ") && line.contains(" aborted")).count();
            assert_eq!(aborted as i64, killed, "{who:?}: {said}");
            // A system may drop a backend's last words if it has not read all that was sent to it.
            let why = [
                "terminating connection due to administrator command",
                "Connection reset by peer",
                "closed the connection unexpectedly",
                "closed the connection in the middle",
            ];
            assert!(why.iter().any(|why| said.contains(why)), "{who:?}: {said}");
            let done = behind(&report, "actually processed:") as i64;
            let whole = (CLIENTS - killed) * EACH;
            assert!((whole..CLIENTS * EACH).contains(&done), "{who:?}, {killed} killed: {report}");
        }
    }
}

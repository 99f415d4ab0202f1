//! A password that came in must not come out; a server that is not on this machine is left alone.

use std::net::TcpListener;
use std::path::Path;

use crate::project::{Finished, LIST, Project, finish};
use crate::support::TestServer;

fn project() -> Project {
    Project::with_scenario(["before", "after"], "", LIST)
}

/// Fails if the secret stands in an output or in a file of the run.
fn assert_kept(secret: &str, finished: &Finished, folder: &Path) {
    assert!(secret.len() > 7, "a secret worth looking for");
    assert!(!finished.stdout.contains(secret), "in the standard output");
    assert!(!finished.stderr.contains(secret), "in the standard error");
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let file = entry.expect("an entry").path();
        let bytes = std::fs::read(&file).expect("a file of the run");
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "in {}", file.display());
    }
}

fn password_of(url: &str) -> &str {
    let (_, rest) = url.split_once("://").expect("a URL");
    let (_, rest) = rest.split_once(':').expect("a user");
    rest.split_once('@').expect("a host").0
}

#[tokio::test]
async fn no_output_holds_the_password_of_a_good_run() {
    let server = TestServer::shared().await;
    let url = server.url("postgres");
    let password = password_of(&url);
    let joined = format!("--database-url={url}");
    let ways: [(&[&str], Option<&str>); 3] =
        [(&["--quick", "--database-url", &url], None), (&["--checks-only", &joined], None), (&["--checks-only"], Some(&url))];
    for (arguments, variable) in ways {
        let project = project();
        let mut command = project.duel("notes/planted", &["--scale", "0.1"]);
        command.args(arguments);
        variable.map(|url| command.env("DATABASE_URL", url));
        let finished = finish(&mut command);
        assert!(!project.lines("check").is_empty() && project.out().join("report.html").exists(), "{}", finished.stderr);
        assert_kept(password, &finished, &project.out());
    }
}

#[tokio::test]
async fn no_error_holds_the_password() {
    let server = TestServer::shared().await;
    let url = server.url("postgres");
    let canary = "c4n4ry-S3cret";
    let wrong = url.replace(password_of(&url), canary);
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let urls = [
        (wrong.clone(), 2),
        (format!("postgres://ann:{canary}@{nobody}/app"), 5),
        (format!("postgres://ann:{canary}@127.0.0.1:port/app"), 2),
        (format!("ann:{canary}@127.0.0.1/app"), 2),
        (format!("postgres://ann:{canary}@db.example/app"), 2),
        (wrong.replace("/postgres", "/no_such_database"), 2),
    ];
    for (url, code) in urls {
        let project = project();
        let finished = finish(&mut project.duel("notes/planted", &["--quick", "--scale", "0.1", "--database-url", &url]));
        assert_kept(canary, &finished, &project.out());
        finished.expect_code(code);
        let finished = finish(project.duel("notes/planted", &["--quick", "--scale", "many"]).env("DATABASE_URL", &url));
        assert_kept(canary, &finished, &project.out());
        finished.expect_code(2);
    }
    for arguments in [&["duel", "--help"][..], &["run", "--help"], &["server", "status"], &["server", "start", "--help"]] {
        let finished = finish(project().pgduel(arguments).env("DATABASE_URL", format!("postgres://ann:{canary}@127.0.0.1/app")));
        assert_kept(canary, &finished, Path::new("no run, no folder"));
    }
}

#[test]
fn a_server_elsewhere_is_not_even_connected_to() {
    // Not a loopback address by its text, yet this machine: a connection would arrive here.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("non-blocking");
    let url = format!("postgres://ann:secret@0.0.0.0:{}/app", listener.local_addr().expect("an address").port());
    let project = project();
    let finished = finish(&mut project.duel("notes/planted", &["--quick", "--database-url", &url]));
    finished.expect_code(2).expect_said("--allow-host");
    assert_eq!(listener.accept().expect_err("nobody connected").kind(), std::io::ErrorKind::WouldBlock);
    assert!(!project.out().exists(), "no run began");
}

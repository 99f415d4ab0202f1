//! A record alone gives all reports again.

use std::path::Path;

use crate::project::{LIST, Project, finish, pgduel};
use crate::support::TestServer;

const REPORTS: [&str; 3] = ["report.md", "report.json", "report.html"];

fn reports(folder: &Path) -> Vec<Vec<u8>> {
    REPORTS.iter().map(|name| std::fs::read(folder.join(name)).expect("a report")).collect()
}

#[tokio::test]
async fn reports_are_rebuilt_byte_for_byte_from_anywhere() {
    let server = TestServer::shared().await;
    let project = Project::with_scenario(["before", "after"], "", LIST);
    let run = finish(project.duel("notes/planted", &["--quick", "--scale", "0.1"]).env("DATABASE_URL", server.url("postgres")));
    let code = run.code.expect("an exit code");
    assert!(!project.lines("block").is_empty(), "{}", run.stderr);
    let folder = project.out();
    let first = reports(&folder);
    for name in REPORTS {
        std::fs::remove_file(folder.join(name)).expect("removed");
    }

    let elsewhere = tempfile::tempdir().expect("a folder");
    let again = finish(pgduel().arg("report").arg(&folder).current_dir(elsewhere.path())).expect_code(code);
    assert!(reports(&folder) == first, "reports differ");
    assert_eq!(again.stdout, run.stdout, "the table differs");

    // In another place, by the record's own name.
    let moved = elsewhere.path().join("moved");
    std::fs::create_dir(&moved).expect("a folder");
    std::fs::copy(folder.join("run.jsonl"), moved.join("run.jsonl")).expect("copied");
    finish(pgduel().args(["report", "moved/run.jsonl"]).current_dir(elsewhere.path())).expect_code(code);
    assert!(reports(&moved) == first, "reports differ elsewhere");

    // A write that was cut short: what stands before it is the record.
    let mut torn = std::fs::read(moved.join("run.jsonl")).expect("the record");
    torn.extend_from_slice(br#"{"line":"block","scenario":"notes/pl"#);
    std::fs::write(moved.join("run.jsonl"), torn).expect("written");
    finish(pgduel().arg("report").arg(&moved)).expect_code(code);

    // The last whole line torn: the run has no end, so it counts as interrupted, and can still be read.
    let whole = std::fs::read(folder.join("run.jsonl")).expect("the record");
    std::fs::write(moved.join("run.jsonl"), &whole[..whole.len() - 5]).expect("written");
    finish(pgduel().arg("report").arg(&moved)).expect_code(130).expect_said("notes/planted");

    // Formats on their own are what the files hold.
    for (format, file) in [("md", "report.md"), ("json", "report.json"), ("html", "report.html")] {
        let printed = finish(pgduel().args(["report", "--format", format]).arg(&folder)).expect_code(code);
        assert_eq!(printed.stdout.as_bytes(), std::fs::read(folder.join(file)).expect("a report"), "{format}");
    }
}

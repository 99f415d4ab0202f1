//! The commands as a person or a script meets them. `PGDUEL_BLESS=1 cargo test --test cli` writes the golden files anew.

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use pgduel::contrast::{Two, contrast};
use pgduel::record::read;
use pgduel::report::{contrast_terminal, load_terminal};
use pgduel::summary::summarise;
use support::{OwnHome, isolate};

const COMMANDS: [&str; 10] = ["list", "lint", "duel", "run", "compare", "report", "pgbench", "server", "completions", "server start"];

fn manifest() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn data(name: &str) -> PathBuf {
    manifest().join("tests/data/cli").join(name)
}

/// The command in this project, with nothing of the environment that would change what it says.
fn pgduel(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgduel"));
    isolate(&mut command).args(arguments).current_dir(manifest());
    command
}

fn output(arguments: &[&str]) -> Output {
    pgduel(arguments).output().expect("pgduel runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

fn golden(name: &str, text: &str) {
    let path = data(name);
    if std::env::var_os("PGDUEL_BLESS").is_some() {
        std::fs::write(&path, text).expect("the golden file can be written");
        return;
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(wanted, text, "{name} differs from its golden file; PGDUEL_BLESS=1 writes it anew");
}

fn fits(text: &str, columns: usize) {
    for line in text.lines() {
        assert!(line.chars().count() <= columns, "wider than {columns} columns: {line}");
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    golden("help.txt", &text(&output(&["--help"]).stdout));
    assert_eq!(output(&["help"]).stdout, output(&["--help"]).stdout);
    for command in COMMANDS {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push("--help");
        let found = output(&arguments);
        assert!(found.status.success() && found.stderr.is_empty(), "{command}");
        let help = text(&found.stdout);
        assert!(help.contains("Example"), "{command}: {help}");
        fits(&help, 132);
        golden(&format!("help-{}.txt", command.replace(' ', "-")), &help);
    }
}

#[test]
fn no_command_is_without_a_golden_help() {
    let help = text(&output(&["--help"]).stdout);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for name in listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        assert!(COMMANDS.contains(&name), "{name} has no golden help");
    }
}

#[test]
fn wrong_usage_says_what_is_allowed() {
    let cases: [(&[&str], &[&str]); 10] = [
        (&["dual"], &["'duel'"]),
        (&["duel", "omniops", "--quik"], &["'--quick'"]),
        (&["duel", "omnops"], &["did you mean omniops?"]),
        (&["duel", "omniops/history-fech"], &["did you mean omniops/history-fetch?"]),
        (&["duel", "omniops", "--budget", "5"], &["no unit", "90s or 40m"]),
        (&["duel", "omniops", "--scale", "0"], &["0.01 to 1000"]),
        (&["run", "omniops/history-fetch", "--variant", "aftr"], &["has no variant aftr", "before-domain", "Did you mean after?"]),
        (&["run", "omniops", "--variant", "after"], &["SUITE/SCENARIO"]),
        (&["run", "omniops/mix", "--variant", "after", "--clients", "2", "--rate", "5"], &["cannot be used with"]),
        (&["run", "omniops/mix", "--variant", "after", "--rate", "-5"], &["--rate -5 is out of range"]),
    ];
    for (arguments, wanted) in cases {
        let found = output(arguments);
        let said = text(&found.stderr);
        assert_eq!(found.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(found.stdout.is_empty(), "{arguments:?}");
        for part in wanted {
            assert!(said.contains(part), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn options_of_the_environment_that_would_change_the_server_are_refused() {
    let found = pgduel(&["server", "start"]).env("PGOPTIONS", "-c jit=off").output().expect("pgduel runs");
    assert_eq!(found.status.code(), Some(2));
    assert!(text(&found.stderr).contains("PGOPTIONS is set"), "{}", text(&found.stderr));
}

#[test]
fn the_version_is_told_where_pgbench_would_tell_it() {
    for arguments in [["pgbench", "-V"], ["pgbench", "--version"]] {
        let found = output(&arguments);
        assert_eq!(found.status.code(), Some(0));
        assert!(text(&found.stdout).contains(env!("CARGO_PKG_VERSION")), "{}", text(&found.stdout));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for arguments in [&["list"][..], &["list", "--json"], &["completions", "bash"], &["--help"]] {
        let mut child = pgduel(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("pgduel runs");
        // Closed before anything is written: every write fails.
        drop(child.stdout.take());
        let found = child.wait_with_output().expect("pgduel ends");
        assert_eq!((found.status.code(), text(&found.stderr)), (Some(0), String::new()), "{arguments:?}");
    }
    let mut child = pgduel(&["list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("pgduel runs");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    let found = child.wait_with_output().expect("pgduel ends");
    assert_eq!((first.is_empty(), text(&found.stderr)), (false, String::new()));
}

#[test]
fn names_in_the_list_are_whole() {
    let json: serde_json::Value = serde_json::from_slice(&output(&["list", "--json"]).stdout).expect("it is JSON");
    let found = output(&["list"]);
    assert!(found.status.success(), "{}", text(&found.stderr));
    let listed = text(&found.stdout);
    fits(&listed, 100);
    assert!(!listed.contains('\u{1b}'), "no colour in a pipe");
    let suites = json["suites"].as_array().expect("suites");
    assert!(!suites.is_empty());
    for suite in suites {
        let prefix = format!("{}/", suite["name"].as_str().expect("a name"));
        for scenario in suite["scenarios"].as_array().expect("scenarios") {
            let name = scenario["path"].as_str().expect("a path").strip_prefix(&prefix).expect("below its suite");
            assert!(listed.lines().any(|line| line.split_whitespace().next() == Some(name)), "{name} is not whole in\n{listed}");
        }
    }
}

#[test]
fn completions_know_every_command_and_option() {
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&output(&["completions", shell]).stdout);
        for word in ["duel", "compare", "completions", "checks-only", "variant"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    // A shell that is there can read its own.
    let script = output(&["completions", "bash"]).stdout;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pgduel.bash");
    std::fs::write(&file, script).expect("written");
    let checked = Command::new("bash").arg("-n").arg(&file).status();
    assert!(checked.map_or(true, |status| status.success()), "bash cannot read its completions");
}

#[test]
fn a_recorded_run_of_one_variant_is_shown_again() {
    let file = data("run-1.jsonl");
    let path = file.to_str().expect("UTF-8");
    let found = output(&["report", path, "--format", "terminal"]);
    assert_eq!(found.status.code(), Some(0), "{}", text(&found.stderr));
    golden("run-100.txt", &text(&found.stdout));
    let json: serde_json::Value = serde_json::from_slice(&output(&["report", path, "--format", "json"]).stdout).expect("it is JSON");
    assert_eq!(json["summary"]["load"]["accounting"]["ok"], 4168);
    for format in ["md", "html"] {
        let refused = output(&["report", path, "--format", format]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains("terminal and json"));
    }
    let record = read(&file).expect("the record reads");
    let summary = summarise(&record).expect("it is a run of one variant");
    for columns in [60, 80, 100, 200] {
        fits(&load_terminal(&record.header, &summary, columns), columns);
    }
}

/// The record of a run, offered by the clock, after `edit` of its block and its last line.
fn edited(edit: impl Fn(&mut serde_json::Value)) -> tempfile::TempDir {
    let whole = std::fs::read_to_string(data("run-1.jsonl")).expect("the record reads");
    let lines = whole.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
        if line["line"] == "scenario" {
            line["load"] = serde_json::json!({"arrivals": {"kind": "poisson", "per_second": 5000.0}, "connections": 4});
        }
        edit(&mut line);
        format!("{line}\n")
    });
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("run.jsonl"), lines.collect::<String>()).expect("written");
    folder
}

#[test]
fn a_connection_string_in_the_wrong_place_is_not_echoed() {
    const PASSWORD: &str = "c4n4ry-9f3";
    for scheme in ["postgres://", "postgre://", "postgresql:/", "postgres:"] {
        let url = format!("{scheme}ann:{PASSWORD}@127.0.0.1:1/app");
        for arguments in [
            vec!["duel", &url],
            vec!["duel", "omniops/history-fetch", &url],
            vec!["duel", "omniops/history-fetch", "--seed", &url],
            vec!["duel", "omniops/history-fetch", "--database-url", &url],
            vec!["run", &url, "--variant", &url],
            vec!["report", &url],
            vec!["compare", &url, &url],
            vec!["lint", &url],
            vec!["--project", &url, "list"],
            vec!["pgbench", &url],
            vec![&url],
        ] {
            let found = output(&arguments);
            let said = text(&found.stdout) + &text(&found.stderr);
            assert!(!found.status.success(), "{arguments:?}: {said}");
            assert!(!said.contains(PASSWORD), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn a_record_holds_one_run_and_tells_each_thing_once() {
    let whole = std::fs::read_to_string(manifest().join("tests/data/records/improved.jsonl")).expect("the record reads");
    let lines: Vec<&str> = whole.lines().collect();
    let place = |kind: &str| lines.iter().position(|line| line.contains(&format!("\"line\":\"{kind}\""))).expect(kind);
    let with = |line: &str, at: usize| {
        let mut lines = lines.clone();
        lines.insert(at, line);
        lines.join("\n") + "\n"
    };
    let (block, scenario, end) = (place("block"), place("scenario"), place("end"));
    let mut cases = vec![
        (whole.repeat(2), lines.len() + 1, "the run is over above: a record holds one run".to_owned()),
        (with(lines[0], 1), 2, "a second header: a record holds one run".to_owned()),
        (with(lines[block], scenario), scenario + 1, "which is not described above".to_owned()),
        (with(lines[block], end + 1), end + 2, "the run is over above".to_owned()),
    ];
    cases.push((with(lines[place("scenario-end")], end), end + 1, "is over above".to_owned()));
    cases.push((with(&lines[block].replace("\"pair\":0", "\"pair\":99"), end), end + 1, "is over above".to_owned()));
    let end = place("scenario-end");
    for kind in ["scenario", "probe", "block"] {
        cases.push((with(lines[place(kind)], end), end + 1, "is told a second time".to_owned()));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("run.jsonl");
    for (text_of_record, line, wanted) in cases {
        std::fs::write(&file, text_of_record).expect("written");
        let found = output(&["report", file.to_str().expect("UTF-8"), "--format", "terminal"]);
        let said = text(&found.stderr);
        assert_eq!(found.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("run.jsonl:{line}: ")) && said.contains(&wanted), "{wanted}: {said}");
    }
}

fn shown(folder: &Path, format: &str) -> String {
    let found = output(&["report", folder.to_str().expect("UTF-8"), "--format", format]);
    assert_eq!(text(&found.stderr), "");
    text(&found.stdout)
}

#[test]
fn blocks_of_one_arm_are_summed() {
    let whole = std::fs::read_to_string(data("run-1.jsonl")).expect("the record reads");
    let block = whole.lines().find(|line| line.contains("\"line\":\"block\"")).expect("a block");
    let again = block.replacen("\"round\":0", "\"round\":1", 1);
    assert_ne!(block, again);
    let folder = tempfile::tempdir().expect("a folder");
    let summary = |text: &str| -> serde_json::Value {
        std::fs::write(folder.path().join("run.jsonl"), text).expect("written");
        let document: serde_json::Value = serde_json::from_str(&shown(folder.path(), "json")).expect("JSON");
        document["summary"]["load"].clone()
    };
    let one = summary(&whole);
    let two = summary(&whole.replace(block, &format!("{block}\n{again}")));
    let number = |load: &serde_json::Value, path: &str| load.pointer(path).and_then(serde_json::Value::as_f64).expect("a number");
    for twice in ["/seconds", "/accounting/scheduled", "/accounting/ok", "/transactions/0/response/count"] {
        assert_eq!(number(&two, twice), 2.0 * number(&one, twice), "{twice}");
    }
    let alike = [
        "/throughput_per_second",
        "/transactions/0/service/p50",
        "/server/blocks_hit",
        "/generator/cpu_share",
        "/generator/achieved_share",
    ];
    for path in alike {
        assert!((number(&two, path) / number(&one, path) - 1.0).abs() < 1e-9, "{path}: {} and {}", one, two);
    }
}

#[test]
fn what_finished_late_is_no_throughput() {
    let folder = edited(|line| {
        if line["line"] == "block" {
            line["load"]["arrivals"] = serde_json::json!({"kind": "poisson", "per_second": 5000.0});
            line["drain_ns"] = serde_json::json!(9_000_000_000_u64);
        }
    });
    let said = shown(folder.path(), "terminal");
    let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("✗ too much was offered: 1,390/s, and the server does about 347/s. The queue grew"), "{said}");
    assert!(flat.contains("347 arrivals/s finished well, over 3.01 s and 9.00 s more until the last was done"), "{said}");
    assert!(said.find("too much") < said.find("throughput"), "the warning comes first: {said}");
    let quick = edited(|line| {
        if line["line"] == "block" {
            line["load"]["arrivals"] = serde_json::json!({"kind": "poisson", "per_second": 5000.0});
            line["drain_ns"] = serde_json::json!(20_000_000);
        }
    });
    let said = shown(quick.path(), "terminal");
    assert!(!said.contains("too much") && said.contains("over 3.01 s and 0.0200 s more"), "{said}");
}

#[test]
fn processor_time_is_shown_or_why_there_is_none() {
    let with = |what: serde_json::Value| {
        let folder = edited(|line| {
            if line["line"] == "block" {
                line["server"]["transactions"] = 1_000.into();
                line["server"].as_object_mut().expect("counters").append(what.clone().as_object_mut().expect("more of them"));
            }
        });
        shown(folder.path(), "terminal").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let said = with(serde_json::json!({"processor": {"on_processor_ns": 412_000_000, "waiting_ns": 80_000_000}}));
    assert!(said.contains("processor 412 µs on a processor, 80.0 µs waiting for one, a transaction"), "{said}");
    let said = with(serde_json::json!({"no_processor": "parallel-workers"}));
    assert!(said.contains("processor the backends' time is not known: parallel workers ran"), "{said}");
    assert!(!with(serde_json::json!({})).contains("a processor"), "nobody asked");
    let said = with(serde_json::json!({"transactions": 0, "processor": {"on_processor_ns": 5, "waiting_ns": 0}}));
    assert!(!said.contains("a processor"), "{said}");
}

#[test]
fn a_run_that_was_interrupted_first_has_measured_nothing() {
    let folder = edited(|line| match line["line"].as_str() {
        Some("block") => {
            line["accounting"] = serde_json::json!({"scheduled": 0, "ok": 0, "error": 0, "dropped": 0, "in_flight": 0});
            line["duration_ns"] = serde_json::json!(1);
            line["generator"]["cpu_share"] = serde_json::json!(1328.69);
        }
        Some("scenario-end") => line["stop"] = serde_json::json!({"why": "interrupted"}),
        Some("end") => line["interrupted"] = serde_json::json!(true),
        _ => {}
    });
    let said = shown(folder.path(), "terminal");
    assert!(said.contains("Interrupted before anything was measured."), "{said}");
    assert!(!said.contains("busy") && !said.contains("100%") && !said.contains("throughput"), "{said}");
}

#[test]
fn an_empty_record_is_told_as_such() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("run.jsonl"), "").expect("written");
    let found = output(&["report", folder.path().to_str().expect("UTF-8")]);
    assert_eq!(found.status.code(), Some(2));
    assert!(text(&found.stderr).contains("run.jsonl is empty: the run ended before it wrote anything"), "{}", text(&found.stderr));
}

#[test]
fn two_runs_are_described_and_not_judged() {
    let (baseline, run) = (data("run-1.jsonl"), data("run-2.jsonl"));
    let relative = |path: &Path| path.strip_prefix(manifest()).expect("below the project").to_str().expect("UTF-8").to_owned();
    let found = output(&["compare", &relative(&baseline), &relative(&run)]);
    assert_eq!(found.status.code(), Some(0), "{}", text(&found.stderr));
    let said = text(&found.stdout);
    for part in ["Nothing is judged", "seed differs (1 and 2)", "round-trip time differs: 0 ms and 5 ms", "sessions differs: 4 and 2"] {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
    assert!(!said.contains("× faster") && !said.contains("× slower") && said.contains("has no ratio"), "{said}");
    golden("compare-100.txt", &said);
    let (one, other) = (read(&baseline).expect("reads"), read(&run).expect("reads"));
    let names = Two { baseline: "a".repeat(70), run: "b".to_owned() };
    let both = contrast(&one, &other).expect("they share a scenario");
    for columns in [60, 80, 100, 200] {
        fits(&contrast_terminal(&both, &names, columns), columns);
    }
    let same = contrast(&one, &one).expect("they share a scenario");
    assert!(same.not_comparable.is_empty() && same.scenarios.iter().all(|scenario| scenario.not_comparable.is_empty()));
    assert!(same.scenarios[0].rows.iter().all(|row| row.ratio == Some(1.0)));
}

#[test]
fn two_duels_are_compared_by_arm() {
    let records = manifest().join("tests/data/records");
    let path = |name: &str| records.join(name).to_str().expect("UTF-8").to_owned();
    let found = output(&["compare", &path("improved.jsonl"), &path("improved.jsonl"), "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&found.stdout).expect("it is JSON");
    assert_eq!(json["judged"], false);
    let rows = json["contrast"]["scenarios"][0]["rows"].as_array().expect("rows").clone();
    assert!(rows.iter().any(|row| row["arm"] == "before") && rows.iter().any(|row| row["arm"] == "after"));
    assert!(rows.iter().any(|row| row["unit"] == "ratio"));
}

#[test]
fn runs_with_nothing_in_common_are_refused() {
    let records = manifest().join("tests/data/records");
    let path = |name: &str| records.join(name).to_str().expect("UTF-8").to_owned();
    let run = data("run-1.jsonl").to_str().expect("UTF-8").to_owned();
    for (baseline, other, wanted) in [
        (path("improved.jsonl"), path("regressed.jsonl"), "no scenario in common"),
        (path("improved.jsonl"), run, "they measure different things"),
        (path("improved.jsonl"), path("none.jsonl"), "cannot read"),
    ] {
        let found = output(&["compare", &baseline, &other]);
        assert_eq!(found.status.code(), Some(2));
        assert!(text(&found.stderr).contains(wanted), "{}", text(&found.stderr));
    }
}

#[test]
fn a_report_ends_as_its_run_did() {
    let record = std::fs::read_to_string(manifest().join("tests/data/records/noisy.jsonl")).expect("the record");
    let (header, rest) = record.split_once('\n').expect("a header");
    let mut header: serde_json::Value = serde_json::from_str(header).expect("it is JSON");
    for (fails, code) in [(false, 0), (true, 3)] {
        header["inconclusive_fails"] = serde_json::json!(fails);
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("run.jsonl"), format!("{header}\n{rest}")).expect("written");
        let path = folder.path().to_str().expect("UTF-8");
        for arguments in [vec!["report", path], vec!["report", path, "--format", "json"]] {
            assert_eq!(output(&arguments).status.code(), Some(code), "{arguments:?}");
        }
    }
}

/// Who renders a run that lies in the repository gets what lies beside it.
#[test]
fn recorded_reports_are_what_this_version_makes_of_their_records() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ignored = std::fs::read_to_string(root.join(".gitignore")).expect(".gitignore");
    let kept = ignored.lines().filter_map(|line| line.strip_prefix("!/results/")?.strip_suffix('/'));
    let runs: Vec<_> = kept.map(|run| root.join("results").join(run)).collect();
    assert!(!runs.is_empty());
    for run in runs {
        let copy = tempfile::tempdir().expect("a folder");
        std::fs::copy(run.join("run.jsonl"), copy.path().join("run.jsonl")).expect("the record");
        pgduel(&["report", copy.path().to_str().expect("UTF-8")]).output().expect("pgduel runs");
        for format in ["report.md", "report.html", "report.json"] {
            let (kept, made) = (std::fs::read(run.join(format)), std::fs::read(copy.path().join(format)));
            let same = matches!((&kept, &made), (Ok(kept), Ok(made)) if kept == made);
            assert!(same, "{}/{format} is not what `pgduel report` makes of the record: render it again", run.display());
        }
    }
}

/// One embedded server, from its first start to its stop, with a run of one variant in between.
#[test]
fn a_server_is_started_used_and_stopped() {
    let home = OwnHome::new();
    let results = tempfile::tempdir().expect("a folder");
    let call = |arguments: &[&str]| pgduel(arguments).env("PGDUEL_HOME", home.path()).output().expect("pgduel runs");

    assert!(text(&call(&["server", "status"]).stdout).starts_with("no embedded server was ever started"));
    // The embedded server is meant, whatever other server the environment names.
    let mut start = pgduel(&["server", "start", "--fsync", "off", "--quiet"]);
    start.env("PGDUEL_HOME", home.path()).env("DATABASE_URL", "postgres://ann:of-another-server@127.0.0.1:1/app");
    let started = start.output().expect("pgduel runs");
    assert_eq!((started.status.code(), text(&started.stderr)), (Some(0), String::new()));
    assert!(!text(&started.stdout).contains("of-another-server"), "{}", text(&started.stdout));
    assert!(text(&started.stdout).starts_with("PGPASSWORD="), "{}", text(&started.stdout));
    let password = password_in(home.path());
    assert!(!text(&started.stdout).contains(&password), "the password is never printed");
    assert!(text(&call(&["server", "status"]).stdout).starts_with("running  "));
    let variables = text(&call(&["server", "env", "--fsync", "off"]).stdout);
    assert!(variables.starts_with("export PGHOST=") && variables.contains(" PGPASSWORD=\"$(cat "), "{variables}");
    assert!(!variables.contains(&password) && variables.lines().count() == 1, "{variables}");

    let folder = results.path().join("one");
    let out = folder.to_str().expect("UTF-8");
    let size = ["--scale", "0.01", "--vectors", "20", "--time", "500ms", "--fsync", "off", "--quiet", "--out", out];
    let mut arguments = vec!["run", "omniops/history-fetch", "--variant", "after", "--rate", "20"];
    arguments.extend(size);
    let ran = call(&arguments);
    assert_eq!(ran.status.code(), Some(0), "{}{}", text(&ran.stdout), text(&ran.stderr));
    assert_eq!(text(&ran.stderr), "", "quiet is quiet");
    assert!(text(&ran.stdout).contains("open loop, 20.0/s poisson"), "{}", text(&ran.stdout));
    let again = call(&["report", out, "--format", "terminal"]);
    assert_eq!(text(&again.stdout), text(&ran.stdout), "the record alone gives the same text");
    let json = std::fs::read(folder.join("report.json")).expect("report.json is written");
    assert_eq!(call(&["report", out, "--format", "json"]).stdout, json);
    let refused = call(&arguments);
    assert_eq!(refused.status.code(), Some(2), "a run never overwrites another");

    let stopped = call(&["server", "stop"]);
    assert!(text(&stopped.stdout).starts_with("stopped the server in "), "{}", text(&stopped.stdout));
    assert!(text(&call(&["server", "status"]).stdout).starts_with("stopped  "));
    assert_eq!(text(&call(&["server", "stop"]).stdout), "no embedded server runs\n");
}

fn password_in(home: &Path) -> String {
    let versions = std::fs::read_dir(home).expect("the home can be read").flatten();
    let file = versions.map(|entry| entry.path().join("slot-0/password")).find(|file| file.is_file()).expect("a password file");
    std::fs::read_to_string(file).expect("it can be read").trim().to_owned()
}

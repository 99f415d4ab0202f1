//! The HTML report in a real browser: no console message, no request.
//!
//! Needs Chromium (or Chrome) on the path. On Debian it fails without one, unless PGDUEL_NO_BROWSER is set; elsewhere it says that it skips. The
//! browser's own traffic, such as update checks, is told from the page's by its initiator, and no name resolves, so nothing leaves the machine.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pgduel::judge::compare;
use pgduel::record::read;
use pgduel::report::{Run, html};
use serde_json::Value;
use support::may_be_missing;

/// What a browser made of a page.
struct Visit {
    /// The document after loading.
    dom: String,
    /// Console messages, as logged.
    console: Vec<String>,
    /// Addresses that the page asked for, itself excepted.
    requests: Vec<String>,
}

fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))).find(|file| file.is_file());
    assert!(
        found.is_some() || may_be_missing("Chromium", "PGDUEL_NO_BROWSER"),
        "no Chromium on the path: apt-get install chromium, or set PGDUEL_NO_BROWSER to leave these tests out"
    );
    found
}

fn visit(browser: &Path, page: &str) -> Visit {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = |name: &str| folder.path().join(name);
    fs::write(file("page.html"), page).expect("the page can be written");
    let output = |name: &str| Stdio::from(fs::File::create(file(name)).expect("an output file can be made"));
    let argument = |name: &str, path: PathBuf| format!("--{name}={}", path.display());
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"])
        .args(["--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--log-level=0"])
        .args(["--window-size=390,844", "--virtual-time-budget=2000", "--dump-dom"])
        .args([argument("user-data-dir", file("profile")), argument("log-net-log", file("net.json"))])
        .arg(format!("file://{}", file("page.html").display()))
        .stdin(Stdio::null())
        .stdout(output("dom"))
        .stderr(output("log"))
        .spawn()
        .expect("the browser starts");
    let patience = Instant::now() + Duration::from_secs(120);
    while child.try_wait().expect("the browser can be waited for").is_none() {
        if Instant::now() > patience {
            let _ = child.kill();
            panic!("the browser did not end: {}", text(&file("log")));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let console = text(&file("log")).lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect();
    Visit { dom: text(&file("dom")), console, requests: requests(&text(&file("net.json"))) }
}

fn text(file: &Path) -> String {
    fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Requests that a page started. The browser's own have no origin, and say so; a page that came from a file has the origin "null".
fn requests(log: &str) -> Vec<String> {
    let log: Value = serde_json::from_str(log).expect("the browser wrote a whole network log");
    let start = &log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"];
    assert!(start.is_u64(), "this browser's network log has another form");
    let events = log["events"].as_array().expect("a network log has events");
    let of_page = events.iter().filter(|event| &event["type"] == start && event["params"]["initiator"] != "not an origin");
    of_page.filter_map(|event| event["params"]["url"].as_str()).map(str::to_owned).collect()
}

fn assert_quiet(visit: &Visit, ends_with: &str) {
    assert!(visit.dom.trim_end().ends_with("</html>"), "the page did not load:\n{}", visit.dom);
    assert!(visit.dom.contains(ends_with), "the page was cut off: {ends_with} is missing");
    assert_eq!(visit.console, Vec::<String>::new(), "console messages");
    assert_eq!(visit.requests, Vec::<String>::new(), "requests");
}

#[test]
fn a_page_that_talks_is_heard() {
    let Some(browser) = browser() else { return };
    let page = "<!doctype html><html><head><link rel='stylesheet' href='https://fonts.example/a.css'></head><body>\
                <img src='http://images.example/x.png'><script>console.error('planted')</script></body></html>";
    let visit = visit(&browser, page);
    assert!(visit.console.iter().any(|line| line.contains("planted")), "{:?}", visit.console);
    for wanted in ["https://fonts.example/a.css", "http://images.example/x.png"] {
        assert!(visit.requests.iter().any(|request| request == wanted), "{wanted} is not in {:?}", visit.requests);
    }
}

#[test]
fn a_report_of_a_recorded_run_is_quiet() {
    let Some(browser) = browser() else { return };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/records/regressed.jsonl");
    let record = read(&file).expect("the record can be read");
    let comparison = compare(&record);
    let page = html(&Run::new(&record, &comparison)).expect("it renders");
    assert_quiet(&visit(&browser, &page), &comparison.scenarios[0].scenario.scenario);
}

#[test]
fn a_report_of_everything_is_quiet() {
    let Some(browser) = browser() else { return };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/report/report.html");
    let page = fs::read_to_string(&file).expect("the golden report can be read");
    assert_quiet(&visit(&browser, &page), "omniops/embedding-ingestion");
}

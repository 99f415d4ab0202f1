//! `pgduel pgbench` against the installed pgbench: the same scripts give the same values, distributions, counts and errors.

mod broken;
mod messages;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use pgduel::script::Symbols;
use pgduel::script::evaluate::{Text, Variables};
use pgduel::script::expression::parse;
use pgduel::script::random::Random;
use pgduel::script::value::Value;
use pgduel::target::{Endpoint, Installation, Server};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Executor, Row};
use support::{TestServer, isolate};

/// A database of one's own, and both programs.
struct Bench {
    server: std::sync::Arc<TestServer>,
    database: String,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Bench {
        let server = TestServer::shared().await;
        let database = server.fresh_database().await;
        Bench { server, database, folder: tempfile::tempdir().expect("a folder") }
    }

    /// The same with pgbench's own tables at scale 1.
    async fn initialized() -> Bench {
        let bench = Bench::new().await;
        let made = bench.theirs(&["-i", "-q"]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        bench
    }

    fn script(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a script");
        path.to_str().expect("UTF-8").to_owned()
    }

    fn command(&self, program: &Path) -> Command {
        let Server::Embedded(server) = self.server.server() else { unreachable!("the test server is embedded") };
        let info = server.tcp_conn_info(&self.database);
        let Endpoint::Tcp { host, port } = &info.endpoint else { unreachable!("TCP was asked for") };
        let password = info.password.as_ref().map(|password| password.expose().to_owned()).unwrap_or_default();
        let mut command = Command::new(program);
        isolate(&mut command);
        command.env("PGHOST", host).env("PGPORT", port.to_string()).env("PGUSER", &info.user).env("PGPASSWORD", password);
        command.env("PGDATABASE", &self.database);
        command
    }

    /// The server's.
    fn port(&self) -> u16 {
        let Server::Embedded(server) = self.server.server() else { unreachable!("the test server is embedded") };
        match server.tcp_conn_info(&self.database).endpoint {
            Endpoint::Tcp { port, .. } => port,
            Endpoint::Socket { .. } => unreachable!("TCP was asked for"),
        }
    }

    /// The installed pgbench.
    fn their_command(&self) -> Command {
        // Where the server's programs really are: what is on the path may be links to some of them.
        let server = Installation::choose(None).expect("a PostgreSQL").bin.join("postgres");
        let server: PathBuf = server.canonicalize().expect("the server's program");
        self.command(&server.with_file_name("pgbench"))
    }

    fn our_command(&self) -> Command {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_pgduel")));
        command.arg("pgbench");
        command
    }

    fn theirs(&self, arguments: &[&str]) -> Output {
        self.their_command().args(arguments).output().expect("pgbench runs")
    }

    fn ours(&self, arguments: &[&str]) -> Output {
        self.our_command().args(arguments).output().expect("pgduel runs")
    }

    /// Either of them, with variables of the environment.
    fn of(&self, who: Who, variables: Environment, arguments: &[&str]) -> Output {
        let mut command = if who == Who::Ours { self.our_command() } else { self.their_command() };
        command.envs(variables.iter().copied()).args(arguments).output().unwrap_or_else(|error| panic!("{who:?}: {error}"))
    }

    /// What comes of pgbench and of pgduel, which run at the same time.
    fn together(&self, arguments: &[&str]) -> [Output; 2] {
        let start = |mut command: Command| {
            command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("it runs")
        };
        [self.their_command(), self.our_command()].map(start).map(|child| child.wait_with_output().expect("it ends"))
    }

    /// How many a table has.
    async fn rows(&self, table: &str) -> i64 {
        let mut connection = self.server.connect(&self.database).await;
        let count = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        sqlx::query_scalar(count).fetch_one(&mut connection).await.expect("a count")
    }

    /// A number that the server gives, from another database: connections to this one may be what is counted.
    async fn number(&self, sql: &'static str) -> i64 {
        let mut connection = self.server.connect("postgres").await;
        sqlx::query_scalar(sql).bind(&self.database).fetch_one(&mut connection).await.expect(sql)
    }

    /// Both, each of which must succeed.
    fn both(&self, arguments: &[&str]) {
        for (who, found) in [("pgbench", self.theirs(arguments)), ("pgduel", self.ours(arguments))] {
            assert!(found.status.success(), "{who}: {}{}", text(&found.stdout), text(&found.stderr));
        }
    }

    async fn execute(&self, sql: &'static str) {
        self.server.connect(&self.database).await.execute(sql).await.expect(sql);
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Who {
    Theirs,
    Ours,
}

/// Variables of the environment.
type Environment<'a> = &'a [(&'a str, &'a str)];

const BOTH: [Who; 2] = [Who::Theirs, Who::Ours];

/// Waits until something has happened.
async fn until(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !happened().await {
        assert!(Instant::now() < end, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The number behind some words of a report.
fn behind(report: &str, words: &str) -> f64 {
    let rest = report.split_once(words).unwrap_or_else(|| panic!("{words:?} is not in {report}")).1;
    let number: String = rest.trim_start().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    number.parse().unwrap_or_else(|_| panic!("no number behind {words:?} in {report}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An expression of the kind, at most so deep.
fn expression(random: &mut ChaCha8Rng, kind: Kind, depth: u32) -> String {
    let deeper = |random: &mut ChaCha8Rng, kind| expression(random, kind, depth - 1);
    let pick = |random: &mut ChaCha8Rng, from: &[&'static str]| from[random.random_range(0..from.len())];
    if depth == 0 {
        return match kind {
            Kind::Integer => match random.random_range(0..6) {
                0 => pick(random, &["0", "1", "2", "63", "64", "9223372036854775807"]).to_owned(),
                1 => ":seven".to_owned(),
                _ => random.random_range(0..1_000_000).to_string(),
            },
            Kind::Double => pick(random, &["0.5", "1.0", "2.5", "3.5", "1e3", "0.001", ":half", "123456.789"]).to_owned(),
            Kind::Boolean => pick(random, &["true", "false"]).to_owned(),
        };
    }
    match (kind, random.random_range(0..10)) {
        (Kind::Integer, 0..=3) => {
            let operator = pick(random, &["+", "-", "*", "/", "%", "&", "|", "#", "<<", ">>"]);
            format!("({} {operator} {})", deeper(random, Kind::Integer), deeper(random, Kind::Integer))
        }
        // Without parentheses, so that precedence decides.
        (Kind::Integer, 4) => format!(
            "{} {} {} {} {}",
            deeper(random, Kind::Integer),
            pick(random, &["+", "-", "|"]),
            deeper(random, Kind::Integer),
            pick(random, &["*", "+", "&"]),
            deeper(random, Kind::Integer)
        ),
        (Kind::Integer, 5) => format!("-{}", deeper(random, Kind::Integer)),
        (Kind::Integer, 6) => {
            let function = pick(random, &["abs", "hash_fnv1a", "hash_murmur2", "hash", "~"]);
            match function {
                "~" => format!("~({})", deeper(random, Kind::Integer)),
                "abs" => format!("abs({})", deeper(random, Kind::Integer)),
                hash => format!("{hash}({}, {})", deeper(random, Kind::Integer), random.random_range(0..100)),
            }
        }
        (Kind::Integer, 7) => {
            format!("permute({}, {}, {})", deeper(random, Kind::Integer), random.random_range(1..100_000), random.random_range(0..100))
        }
        (Kind::Integer, 8) => {
            let (a, b) = (deeper(random, Kind::Integer), deeper(random, Kind::Integer));
            format!("{}({a}, {b}, 500)", pick(random, &["least", "greatest"]))
        }
        (Kind::Integer, _) => format!("int({})", deeper(random, Kind::Double)),
        (Kind::Double, 0..=4) => {
            let operator = pick(random, &["+", "-", "*", "/"]);
            let other = if random.random_bool(0.5) { Kind::Integer } else { Kind::Double };
            format!("({} {operator} {})", deeper(random, Kind::Double), deeper(random, other))
        }
        (Kind::Double, 5) => format!("sqrt(abs({}))", deeper(random, Kind::Double)),
        (Kind::Double, 6) => format!("ln(abs({}) + 1.0)", deeper(random, Kind::Double)),
        (Kind::Double, 7) => format!("pow(abs({}) + 1, 0.25)", deeper(random, Kind::Double)),
        (Kind::Double, 8) => format!("double({})", deeper(random, Kind::Integer)),
        (Kind::Double, _) => "pi()".to_owned(),
        (Kind::Boolean, 0..=4) => {
            let operator = pick(random, &["=", "<>", "!=", "<", "<=", ">", ">="]);
            let kind = if random.random_bool(0.7) { Kind::Integer } else { Kind::Double };
            format!("({} {operator} {})", deeper(random, kind), deeper(random, kind))
        }
        (Kind::Boolean, 5) => format!("not {}", deeper(random, Kind::Boolean)),
        (Kind::Boolean, 6) => {
            format!("({} {} {})", deeper(random, Kind::Boolean), pick(random, &["and", "or"]), deeper(random, Kind::Boolean))
        }
        (Kind::Boolean, 7) => {
            format!("({} {})", deeper(random, Kind::Integer), pick(random, &["isnull", "notnull", "is null", "is not null"]))
        }
        (Kind::Boolean, 8) => format!(
            "case when {} then {} else {} end",
            deeper(random, Kind::Boolean),
            deeper(random, Kind::Boolean),
            deeper(random, Kind::Boolean)
        ),
        (Kind::Boolean, _) => format!("(null {} {})", pick(random, &["and", "or"]), deeper(random, Kind::Boolean)),
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Integer,
    Double,
    Boolean,
}

/// What our own evaluation says; `None` if it is an error.
fn evaluated(text: &str) -> Option<Value> {
    let mut symbols = Symbols::new();
    let parsed = parse(text, &mut symbols).unwrap_or_else(|misread| panic!("{text}: {}", misread.message));
    let mut variables = Variables::new(&symbols);
    variables.set(symbols.number("seven"), Text::Text("7".to_owned()));
    variables.set(symbols.number("half"), Text::Text("0.5".to_owned()));
    parsed.evaluate(&variables, &symbols, &mut Random::new(1)).ok()
}

#[tokio::test]
async fn expressions_give_what_pgbench_gives() {
    let bench = Bench::new().await;
    bench.execute("create table theirs (number int, value text); create table ours (number int, value text)").await;
    let mut random: ChaCha8Rng = rand::SeedableRng::seed_from_u64(20_261_121);
    let (mut fine, mut wrong) = (Vec::new(), Vec::new());
    while fine.len() < 600 {
        let kind = [Kind::Integer, Kind::Double, Kind::Boolean][fine.len() % 3];
        let depth = random.random_range(1..5);
        let one = expression(&mut random, kind, depth);
        match evaluated(&one) {
            Some(_) => fine.push(one),
            None => wrong.push(one),
        }
    }
    for (table, ours) in [("theirs", false), ("ours", true)] {
        let lines = fine.iter().enumerate();
        let script: String = lines.map(|(number, one)| format!("\\set x {one}\ninsert into {table} values ({number}, ':x');\n")).collect();
        let file = bench.script(&format!("{table}.sql"), &script);
        let arguments = ["-n", "-t", "1", "-D", "seven=7", "-D", "half=0.5", "-f", &file];
        let found = if ours { bench.ours(&arguments) } else { bench.theirs(&arguments) };
        assert!(found.status.success(), "{table}: {}", text(&found.stderr));
    }
    let mut connection = bench.server.connect(&bench.database).await;
    let differing =
        "select t.number, t.value, o.value from theirs as t full join ours as o using (number) where t.value is distinct from o.value";
    let rows = sqlx::query(differing).fetch_all(&mut connection).await.expect("rows");
    let told: Vec<String> = rows
        .iter()
        .map(|row| {
            format!(
                "{}: pgbench {:?}, pgduel {:?}",
                fine[row.get::<i32, _>(0) as usize],
                row.get::<Option<String>, _>(1),
                row.get::<Option<String>, _>(2)
            )
        })
        .collect();
    assert!(told.is_empty(), "{} of {} differ: {}", told.len(), fine.len(), told.join("\n"));
    // What is an error here is one there.
    for one in wrong.iter().take(12) {
        let file = bench.script("wrong.sql", &format!("\\set x {one}\nselect :x;\n"));
        let arguments = ["-n", "-t", "1", "-D", "seven=7", "-D", "half=0.5", "-f", &file];
        assert!(!bench.theirs(&arguments).status.success(), "pgbench takes {one}");
        assert_eq!(bench.ours(&arguments).status.code(), Some(2), "{one}");
    }
}

#[tokio::test]
async fn random_functions_have_the_distributions_of_pgbench() {
    let bench = Bench::new().await;
    bench.execute("create table draws (who text, what text, value bigint)").await;
    let functions = [
        ("uniform", "random(1, 10)"),
        ("zipfian", "random_zipfian(1, 10, 1.2)"),
        ("steep", "random_zipfian(1, 10, 2.5)"),
        ("gaussian", "random_gaussian(1, 10, 2.5)"),
        ("exponential", "random_exponential(1, 10, 3.0)"),
    ];
    for (who, ours) in [("theirs", false), ("ours", true)] {
        // A hundred draws a statement, so that twenty thousand take a moment.
        let mut script = String::new();
        for (what, call) in functions {
            let values: Vec<String> = (0..100).map(|number| format!("(:v{number})")).collect();
            (0..100).for_each(|number| script.push_str(&format!("\\set v{number} {call}\n")));
            script.push_str(&format!("insert into draws select '{who}', '{what}', v from (values {}) as t(v);\n", values.join(", ")));
        }
        let file = bench.script(&format!("{who}.sql"), &script);
        let arguments = ["-n", "-t", "200", "--random-seed", "7", "-f", &file];
        let found = if ours { bench.ours(&arguments) } else { bench.theirs(&arguments) };
        assert!(found.status.success(), "{who}: {}", text(&found.stderr));
    }
    let mut connection = bench.server.connect(&bench.database).await;
    for (what, _) in functions {
        let sql = "select value, count(*) filter (where who = 'theirs'), count(*) filter (where who = 'ours') from draws where what = $1 group by 1";
        let counts: Vec<(i64, i64, i64)> = sqlx::query_as(sql).bind(what).fetch_all(&mut connection).await.expect("counts");
        assert!(counts.iter().all(|(value, ..)| (1..=10).contains(value)), "{what}: {counts:?}");
        // Two samples of one distribution: chi-square over at most ten cells stays below 40 but for once in a hundred thousand times.
        let square: f64 = counts.iter().map(|(_, a, b)| ((a - b) as f64).powi(2) / (a + b) as f64).sum();
        assert!(square < 40.0, "{what}: chi-square {square}: {counts:?}");
    }
}

#[tokio::test]
async fn built_in_scripts_do_the_same_work() {
    let bench = Bench::initialized().await;
    for mode in ["simple", "extended", "prepared"] {
        for builtin in ["tpcb-like", "simple-update", "select-only"] {
            bench.both(&["-n", "-c", "3", "-j", "2", "-t", "7", "-M", mode, "-b", builtin]);
        }
    }
    let mut connection = bench.server.connect(&bench.database).await;
    // Two scripts write history, in three modes, by both programs, 21 times.
    let history: i64 = sqlx::query_scalar("select count(*) from pgbench_history").fetch_one(&mut connection).await.expect("a count");
    assert_eq!(history, 2 * 3 * 2 * 21);
    let balanced: bool =
        sqlx::query_scalar("select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)")
            .fetch_one(&mut connection)
            .await
            .expect("sums");
    assert!(balanced, "every update of an account is in the history");
}

#[tokio::test]
async fn reports_have_the_lines_of_pgbench() {
    let bench = Bench::initialized().await;
    let alike = |line: &str| {
        let zeros: String = line.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        squeezed(&zeros)
    };
    let without_numbers = |output: &Output| -> (Vec<String>, Vec<String>) {
        let (report, said) = (text(&output.stdout), text(&output.stderr));
        let lines = report.lines().filter(|line| !line.contains("percentiles") && !line.starts_with("pgbench ("));
        // How many lines of progress there are is chance.
        let mut progress: Vec<String> = said.lines().filter(|line| line.starts_with("progress:")).map(alike).collect();
        progress.dedup();
        (lines.map(alike).collect(), progress)
    };
    let file = bench.script("two.sql", "\\set x 1 + 2\nselect :x;\n");
    let unused = format!("{file}@0");
    let fails = |name: &str, code: &str| {
        bench.script(name, &format!("select 1;\ndo $$ begin perform pg_sleep(0.01); raise exception using errcode = '{code}'; end $$;\n"))
    };
    let (lost, locked, wrong) = (fails("lost.sql", "40001"), fails("locked.sql", "40P01"), fails("wrong.sql", "22012"));
    let cases: [&[&str]; 23] = [
        &["-S", "-t", "20"],
        &["-t", "5", "-r"],
        &["-S", "-t", "10", "-R", "500", "-L", "500"],
        &["-S", "-t", "5", "-C"],
        &["-b", "select@3", "-f", &file, "-t", "40"],
        &["-N", "-t", "5", "--failures-detailed", "--max-tries", "3"],
        &["-f", &file, "-N", "-f", &file, "-S", "-b", "tpcb", "-t", "80"],
        &["-f", &unused, "-S", "-t", "5", "-r", "--failures-detailed"],
        &["-f", &lost, "-f", &file, "-t", "40", "-r"],
        &["-f", &lost, "-f", &file, "-t", "40", "-r", "--max-tries", "3"],
        &["-f", &lost, "-f", &file, "-t", "40", "-r", "--max-tries", "3", "--failures-detailed"],
        &["-f", &lost, "-f", &locked, "-f", &file, "-t", "60", "--failures-detailed", "-R", "500", "-L", "5000"],
        &["-f", &lost, "-f", &locked, "-f", &file, "-t", "60", "-C", "-L", "30", "--max-tries", "0"],
        &["-f", &lost, "-t", "3", "-r"],
        &["-f", &lost, "-f", &locked, "-t", "40", "--max-tries", "2", "--failures-detailed", "-L", "500"],
        &["-f", &lost, "-T", "1", "-R", "1000", "-L", "1", "-r"],
        &["-f", &wrong, "-t", "3", "-r", "--max-tries", "2"],
        &["-S", "-T", "4", "-P", "1"],
        &["-S", "-T", "4", "-P", "1", "-L", "50"],
        &["-S", "-T", "4", "-P", "1", "-R", "100"],
        &["-S", "-T", "4", "-P", "1", "-R", "100", "-L", "50"],
        &["-f", &lost, "-f", &file, "-T", "4", "-P", "1", "--max-tries", "3"],
        &["-f", &lost, "-f", &file, "-T", "4", "-P", "1", "--max-tries", "3", "-R", "100", "-L", "50"],
    ];
    for arguments in cases {
        let arguments: Vec<&str> = ["-n"].iter().chain(arguments).copied().collect();
        let [theirs, ours] = bench.together(&arguments);
        assert_eq!(ours.status.code(), theirs.status.code(), "{arguments:?}: {}", text(&ours.stderr));
        let ((left, our_progress), (right, their_progress)) = (without_numbers(&ours), without_numbers(&theirs));
        let differing: Vec<_> = left.iter().zip(&right).filter(|(left, right)| left != right).collect();
        assert!(
            left.len() == right.len() && differing.is_empty(),
            "{arguments:?}: {differing:?}\n{}\n{}",
            text(&theirs.stdout),
            text(&ours.stdout)
        );
        assert_eq!(our_progress, their_progress, "{arguments:?}");
        assert_eq!(arguments.contains(&"-P"), !our_progress.is_empty(), "{arguments:?}");
    }
    for who in BOTH {
        let said = text(&bench.of(who, &[], &["-n", "-S", "-T", "4", "-P", "1", "--progress-timestamp"]).stderr);
        let times: Vec<&str> =
            said.lines().filter_map(|line| line.strip_prefix("progress: ")?.split_once(" s,")).map(|(time, _)| time).collect();
        let since_1970 = |time: &&str| time.split_once('.').is_some_and(|(seconds, parts)| seconds.len() == 10 && parts.len() == 3);
        assert!(!times.is_empty() && times.iter().all(since_1970), "{who:?}: {said}");
    }
    // What is certain about numbers: of 20 transactions all are tried three times, and none succeeds.
    let arguments = ["-n", "-f", &lost, "-f", &unused, "-t", "20", "-c", "2", "-r", "--max-tries", "3", "--failures-detailed"];
    let (theirs, ours) = (text(&bench.theirs(&arguments).stdout), text(&bench.ours(&arguments).stdout));
    for words in ["actually processed:", "failed transactions:", "serialization failures:", "transactions retried:", "number of retries:"] {
        assert_eq!(behind(&ours, words), behind(&theirs, words), "{words} {ours}");
    }
    let arguments = ["-n", "-f", &lost, "-f", &file, "-t", "30", "-r", "--max-tries", "3", "--json"];
    let report: serde_json::Value = serde_json::from_slice(&bench.ours(&arguments).stdout).expect("JSON");
    let (failed, command) = (&report["all"]["serialization_failures"], &report["scripts"][0]["commands"][1]);
    assert_eq!((&command["failures"], command["retries"].as_u64()), (failed, failed.as_u64().map(|failed| 2 * failed)), "{report}");
    assert_eq!(report["scripts"][0]["commands"][0]["times"]["count"].as_u64(), failed.as_u64().map(|failed| 3 * failed), "{report}");
}

#[tokio::test]
async fn numbers_have_the_ranges_of_pgbench_s() {
    let bench = Bench::new().await;
    let wrong = bench.script("wrong.sql", "select 1 / 0;\n");
    for option in ["-t", "-T", "-P", "-s", "--max-tries"] {
        for number in ["2147483648", "99999999999999999999", "-1", "x"] {
            let arguments = ["-n", "-f", &wrong, option, number];
            for who in BOTH {
                let found = bench.of(who, &[], &arguments);
                assert_eq!(found.status.code(), Some(1), "{who:?} {arguments:?}: {}", text(&found.stderr));
            }
        }
    }
    let most = bench.ours(&["-n", "-f", &wrong, "-c", "3", "-t", "2147483647"]);
    assert!(text(&most.stdout).contains("actually processed: 0/6442450941\n"), "{}", text(&most.stdout));
}

#[tokio::test]
async fn seeds_and_limits_come_from_pgbench_s_and_libpq_s_variables() {
    let bench = Bench::new().await;
    bench.execute("create table seeds (who text, seed numeric)").await;
    let file = bench.script("seed.sql", "insert into seeds values (':who', :random_seed);\n");
    let seeds: [(Environment, &[&str]); 8] = [
        (&[("PGBENCH_RANDOM_SEED", "77")], &[]),
        (&[("PGBENCH_RANDOM_SEED", "77")], &["--random-seed=78"]),
        (&[], &["--random-seed", "79"]),
        (&[("PGBENCH_RANDOM_SEED", "18446744073709551615")], &[]),
        (&[], &["--random-seed=-3"]),
        (&[("PGBENCH_RANDOM_SEED", "seven")], &[]),
        (&[("PGBENCH_RANDOM_SEED", "")], &[]),
        (&[], &["--random-seed=7x"]),
    ];
    for (variables, arguments) in seeds {
        let mut codes = Vec::new();
        for who in BOTH {
            let define = format!("who={who:?}");
            let arguments: Vec<&str> = ["-n", "-t", "1", "-f", &file, "-D", &define].iter().chain(arguments).copied().collect();
            let found = bench.of(who, variables, &arguments);
            assert_eq!(text(&found.stderr).contains("setting random seed to "), found.status.success(), "{who:?} {arguments:?}");
            codes.push(found.status.code());
        }
        assert_eq!(codes[0], codes[1], "{variables:?} {arguments:?}");
    }
    let seen = "select who, array_agg(seed::text order by seed) from seeds group by 1 order by 1";
    let seen: Vec<(String, Vec<String>)> =
        sqlx::query_as(seen).fetch_all(&mut bench.server.connect(&bench.database).await).await.expect("seeds");
    let wanted: Vec<String> = ["-3", "-1", "77", "78", "79"].map(str::to_owned).into();
    assert_eq!(seen, [("Ours".to_owned(), wanted.clone()), ("Theirs".to_owned(), wanted)]);

    // One that takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port().to_string();
    for (limit, works) in [("", false), ("2x", false), (" 5 ", true), ("-1", true)] {
        for who in BOTH {
            let found = bench.of(who, &[("PGCONNECT_TIMEOUT", limit)], &["-n", "-t", "1", "-D", "who=limit", "-f", &file]);
            assert_eq!(found.status.code(), Some(if works { 0 } else { 1 }), "{who:?} {limit:?}: {}", text(&found.stderr));
        }
    }
    for who in BOTH {
        let arguments = ["-n", "-h", "127.0.0.1", "-p", &port, "-t", "1", "-f", &file];
        let found = bench.of(who, &[("PGCONNECT_TIMEOUT", "1")], &arguments);
        assert_eq!(found.status.code(), Some(1), "{who:?}: {}", text(&found.stderr));
    }
}

#[tokio::test]
async fn connection_strings_name_the_server_as_for_libpq() {
    let bench = Bench::initialized().await;
    let elsewhere: Environment<'_> = &[("PGHOST", "/nowhere"), ("PGPORT", "1"), ("PGDATABASE", "nowhere")];
    let right = format!("host=127.0.0.1 port = {} dbname='{}' sslmode=disable", bench.port(), bench.database);
    for who in BOTH {
        // What the string names counts more than an option.
        let found = bench.of(who, elsewhere, &["-n", "-S", "-t", "3", "-p", "2", &right]);
        assert!(found.status.success(), "{who:?}: {}", text(&found.stderr));
        let found = bench.of(who, &[], &["-n", "-S", "-t", "3", &format!("hots=127.0.0.1 dbname={}", bench.database)]);
        assert_eq!(found.status.code(), Some(1), "{who:?}: {}", text(&found.stderr));
        assert!(text(&found.stderr).contains("\"hots\""), "{who:?}: {}", text(&found.stderr));
        // Nobody is there whose certificates could be believed.
        let found = bench.of(who, &[("PGSSLMODE", "verify-full")], &["-n", "-S", "-t", "3"]);
        assert_eq!(found.status.code(), Some(1), "{who:?}: {}", text(&found.stderr));
    }
    let ours = text(&bench.ours(&["-n", "-S", "-t", "3", &format!("{right} sslmode=verify-ca")]).stderr);
    assert!(ours.contains("root.crt") && ours.contains("sslrootcert"), "{ours}");
    let ours = text(&bench.ours(&["-n", "-S", "-t", "3", &format!("{right} sslmode=require sslrootcert=system")]).stderr);
    assert!(ours.contains("sslmode is verify-full"), "{ours}");
}

#[tokio::test]
async fn as_many_turns_are_skipped_as_by_pgbench() {
    let bench = Bench::new().await;
    let file = bench.script("slow.sql", "select pg_sleep(0.02);\n");
    let arguments = ["-n", "-T", "8", "-R", "60", "-L", "15", "-f", &file];
    let [theirs, ours] = bench.together(&arguments).map(|found| text(&found.stdout));
    let share = |report: &str| {
        let skipped = behind(report, "transactions skipped:");
        skipped / (skipped + behind(report, "actually processed:"))
    };
    // Of about 480 turns each. By chance alone shares differ by some hundredths.
    assert!((0.2..0.95).contains(&share(&theirs)) && (share(&theirs) - share(&ours)).abs() < 0.15, "{theirs}{ours}");
}

#[tokio::test]
async fn scale_and_vacuum_are_those_of_pgbench_whatever_scripts_there_are() {
    let bench = Bench::new().await;
    let made = bench.theirs(&["-i", "-q", "-s", "3"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    bench.execute("create table scales (who text, scale int)").await;
    let file = bench.script("scale.sql", "insert into scales values (':who', :scale);\n");
    let unused = format!("{file}@0");
    let cases: [&[&str]; 7] = [
        &["-f", &file],
        &["-f", &file, "-s", "7"],
        &["-f", &file, "-S"],
        &["-N", "-f", &file, "-s", "7"],
        &["-b", "select", "-f", &file],
        &["-b", "select@0", "-f", &file],
        &["-S", "-f", &unused],
    ];
    let mut connection = bench.server.connect(&bench.database).await;
    for case in cases {
        for vacuum in [None, Some("-n"), Some("-v")] {
            let mut found = Vec::new();
            for (who, ours) in [("theirs", false), ("ours", true)] {
                bench.execute("insert into pgbench_history select 1, 1, 1, 1, now() from generate_series(1, 5)").await;
                let define = format!("who={who}");
                let arguments: Vec<&str> = ["-t", "5", "-D", &define].iter().chain(case).chain(&vacuum).copied().collect();
                let output = if ours { bench.ours(&arguments) } else { bench.theirs(&arguments) };
                assert!(output.status.success(), "{who} {arguments:?}: {}", text(&output.stderr));
                let scale = text(&output.stdout).lines().find(|line| line.starts_with("scaling factor")).map(str::to_owned);
                // The five rows from above: what is left of them after vacuuming.
                let kept = "select count(*) from pgbench_history where delta = 1 and aid = 1 and tid = 1";
                let kept: i64 = sqlx::query_scalar(kept).fetch_one(&mut connection).await.expect("a count");
                found.push((scale, kept >= 5));
                bench.execute("truncate pgbench_history").await;
            }
            assert_eq!(found[0], found[1], "{case:?} {vacuum:?}");
            assert_eq!(found[1].1, vacuum == Some("-n"), "{case:?} {vacuum:?}");
        }
    }
    let seen = "select who, array_agg(distinct scale order by scale) from scales group by 1 order by 1";
    let seen: Vec<(String, Vec<i32>)> = sqlx::query_as(seen).fetch_all(&mut connection).await.expect("scales");
    assert_eq!(seen, [("ours".to_owned(), vec![1, 3, 7]), ("theirs".to_owned(), vec![1, 3, 7])]);
    // Without the tables, vacuuming is complained of and no more.
    let bare = Bench::new().await;
    let file = bare.script("one.sql", "select 1;\n");
    for (who, found) in [("pgbench", bare.theirs(&["-t", "1", "-f", &file])), ("pgduel", bare.ours(&["-t", "1", "-f", &file]))] {
        assert!(found.status.success(), "{who}: {}", text(&found.stderr));
        let said = text(&found.stderr);
        assert_eq!(said.matches("(ignoring this error and continuing anyway)").count(), 3, "{who}: {said}");
    }
    let arguments = ["-n", "-t", "1", "-b", "select@0", "-f", &file];
    assert_eq!((bare.theirs(&arguments).status.code(), bare.ours(&arguments).status.code()), (Some(1), Some(1)));
}

/// Runs of zeros, and of blanks, as one: how many digits a time has is chance.
fn squeezed(line: &str) -> String {
    let mut out = String::new();
    for c in line.chars() {
        if !((c == '0' || c == ' ') && out.ends_with(c)) {
            out.push(c);
        }
    }
    out
}

#[tokio::test]
async fn branches_captures_and_compound_statements() {
    let bench = Bench::new().await;
    bench.execute("create table seen (who text, what text)").await;
    let script = r"
select 40 + 2 as answer, null as nothing \gset got_
\if :got_answer = 42
  insert into seen values (':who', 'if');
\elif true
  insert into seen values (':who', 'elif');
\else
  insert into seen values (':who', 'else');
\endif
\if false
  insert into seen values (':who', 'never');
\elif :client_id = 0 \
      and not false
  \if 0
    insert into seen values (':who', 'nested');
  \else
    insert into seen values (':who', 'inner else');
  \endif
\endif
-- a comment; with a semicolon
insert into seen values (':who', '12:30 ::text' || 1::text /* ; */) \;
insert into seen values (':who', $$a;b$$);
";
    let file = bench.script("branches.sql", script);
    for (who, ours) in [("theirs", false), ("ours", true)] {
        let define = format!("who={who}");
        let arguments = ["-n", "-t", "2", "-D", &define, "-f", &file];
        let found = if ours { bench.ours(&arguments) } else { bench.theirs(&arguments) };
        assert!(found.status.success(), "{who}: {}", text(&found.stderr));
    }
    let mut connection = bench.server.connect(&bench.database).await;
    let of = "select what, count(*) filter (where who = 'theirs'), count(*) filter (where who = 'ours') from seen group by 1 order by 1";
    let seen: Vec<(String, i64, i64)> = sqlx::query_as(of).fetch_all(&mut connection).await.expect("rows");
    let told: Vec<&str> = seen.iter().map(|(what, ..)| what.as_str()).collect();
    assert_eq!(told, ["12:30 ::text1", "a;b", "if", "inner else"]);
    assert!(seen.iter().all(|(_, theirs, ours)| (*theirs, *ours) == (2, 2)), "{seen:?}");
}

#[tokio::test]
async fn mistakes_are_told_with_their_line() {
    let bench = Bench::new().await;
    let cases = [
        ("select 1;\n\\set x randon(1, 2)\n", 1, ":2: there is no function \"randon\"; did you mean random?"),
        ("\\set x 1 +\n", 1, ":1: the end of the line is not expected here"),
        ("\\sett x 1\n", 1, ":1: there is no meta command \\sett; did you mean \\set?"),
        ("\\if true\nselect 1;\n", 1, ":1: this \\if has no \\endif"),
        ("\\shell ls\n", 1, "\\shell is refused"),
        ("select 'a;\n", 1, ":1: this string, comment or quoted name does not end"),
        ("\\gset\n", 1, "\\gset must follow an SQL statement"),
        ("\\set x 1 / 0\nselect :x;\n", 2, ":1: division by zero"),
        ("select 1;\nselect nothing from nowhere;\n", 2, ":2: "),
        ("select 1 as a \\; set work_mem = '4MB' \\gset\n", 2, ":1: \\gset expects one row, and the statement returned 0"),
        ("begin;\nselect 1;\n", 2, "end of script reached without completing the last transaction"),
    ];
    for (script, code, wanted) in cases {
        let file = bench.script("wrong.sql", script);
        let arguments = ["-n", "-t", "1", "-f", &file];
        let ours = bench.ours(&arguments);
        let theirs = bench.theirs(&arguments).status.code();
        match script {
            "\\shell ls\n" => assert_eq!(theirs, Some(0), "it works there"),
            "select 'a;\n" => assert_eq!(theirs, Some(2), "the server finds it there, and here the reader does"),
            _ => assert_eq!(theirs, Some(code), "pgbench on {script:?}"),
        }
        let said = text(&ours.stderr);
        assert!(said.contains(wanted), "{script:?}: {wanted:?} is not in {said}");
        assert_eq!(ours.status.code(), Some(code), "{script:?}: {said}");
    }
    let missing = bench.ours(&["-n", "-S", "-t", "1"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("pgbench -i"), "{}", text(&missing.stderr));
}

#[tokio::test]
async fn late_starts_are_skipped_and_conflicts_are_tried_again() {
    let bench = Bench::new().await;
    // One client asked for 100 a second by a statement of 50 ms: most are due long before it is free.
    let slow = bench.script("slow.sql", "select pg_sleep(0.05);\n");
    let found = bench.ours(&["-n", "-T", "6", "-R", "100", "-L", "20", "--json", "-f", &slow]);
    assert!(found.status.success(), "{}", text(&found.stderr));
    let report: serde_json::Value = serde_json::from_slice(&found.stdout).expect("JSON");
    let count = |key: &str| report["all"][key].as_u64().expect("a count");
    assert!(count("skipped") > count("done") && count("done") > 5, "{}", text(&found.stdout));
    assert!(count("late") == count("done"), "50 ms is more than 20: {}", text(&found.stdout));

    bench.execute("create table counter (n int); insert into counter values (0)").await;
    let update = "begin isolation level serializable;\nselect n from counter;\nupdate counter set n = n + 1;\nend;\n";
    let file = bench.script("conflict.sql", update);
    let found = bench.ours(&["-n", "-c", "4", "-j", "2", "-t", "25", "--max-tries", "1000", "--json", "-f", &file]);
    assert!(found.status.success(), "{}", text(&found.stderr));
    let report: serde_json::Value = serde_json::from_slice(&found.stdout).expect("JSON");
    assert_eq!((report["all"]["done"].as_u64(), report["all"]["serialization_failures"].as_u64()), (Some(100), Some(0)));
    assert!(report["all"]["retries"].as_u64() > Some(0), "four clients on one row meet: {}", text(&found.stdout));
    let mut connection = bench.server.connect(&bench.database).await;
    let n: i32 = sqlx::query_scalar("select n from counter").fetch_one(&mut connection).await.expect("a number");
    assert_eq!(n, 100, "each transaction was counted once");
}

/// Statements that a database has seen, with how often, as the server counts them.
async fn calls(bench: &Bench) -> Vec<(String, i64)> {
    let mut connection = bench.server.connect("postgres").await;
    // Those of both programs around the scripts are not alike: what they ask before they begin.
    let counted = "select query, sum(calls)::int8 from pg_stat_statements s join pg_database d on d.oid = s.dbid \
                   where datname = $1 and query not like '%pg_catalog.%' and query not like '%pg_stat_statements_reset%' \
                   group by 1 order by 1";
    let found = sqlx::query_as(counted).bind(&bench.database).fetch_all(&mut connection).await.expect("counts");
    let reset = "select pg_stat_statements_reset(0, (select oid from pg_database where datname = $1), 0)";
    sqlx::query(reset).bind(&bench.database).execute(&mut connection).await.expect("a reset");
    found
}

#[tokio::test]
async fn scripts_of_the_kinds_that_people_write_run_unchanged_and_send_the_same() {
    let bench = Bench::initialized().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pgbench");
    let setup = std::fs::read_to_string(folder.join("setup.sql")).expect("the setup");
    sqlx::raw_sql(sqlx::AssertSqlSafe(setup)).execute(&mut bench.server.connect(&bench.database).await).await.expect("tables");
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    scripts.retain(|path| path.file_name().is_some_and(|name| name != "setup.sql"));
    scripts.sort();
    assert!(scripts.len() >= 30, "{} scripts", scripts.len());
    let extension = "create extension if not exists pg_stat_statements";
    sqlx::raw_sql(extension).execute(&mut bench.server.connect("postgres").await).await.expect("the extension");
    calls(&bench).await;
    for path in &scripts {
        let script = path.to_str().expect("UTF-8");
        let says = std::fs::read_to_string(path).expect("a script");
        let branches = says.starts_with("-- random branches");
        let modes: &[&str] = if says.starts_with("-- only simple") { &["simple"] } else { &["simple", "extended", "prepared"] };
        for mode in modes {
            let arguments = ["-n", "-c", "2", "-j", "2", "-t", "4", "-M", mode, "-f", script];
            let mut counted = Vec::new();
            for (who, ours) in [("pgbench", false), ("pgduel", true)] {
                let found = if ours { bench.ours(&arguments) } else { bench.theirs(&arguments) };
                assert!(found.status.success(), "{who} {script} {mode}: {}{}", text(&found.stdout), text(&found.stderr));
                assert!(text(&found.stdout).contains("actually processed: 8/8"), "{who} {script}: {}", text(&found.stdout));
                counted.push(calls(&bench).await);
            }
            assert!(branches || counted[0] == counted[1], "{script} {mode}: {counted:#?}");
        }
    }
    let weights: Vec<String> =
        scripts.iter().zip(1..=4).flat_map(|(path, weight)| ["-f".to_owned(), format!("{}@{weight}", path.display())]).collect();
    let weights: Vec<&str> = ["-n", "-t", "20"].into_iter().chain(weights.iter().map(String::as_str)).collect();
    bench.both(&weights);
}

#[tokio::test]
async fn the_log_has_pgbench_s_lines() {
    let bench = Bench::initialized().await;
    let cases: [(&[&str], usize); 4] = [
        (&["-S", "-t", "6"], 6),
        (&["-S", "-t", "6", "-R", "2000"], 7),
        (&["-S", "-t", "6", "-R", "2000", "--max-tries", "2"], 8),
        // A script that never runs has a number all the same.
        (&["-b", "tpcb-like@0", "-S", "-t", "6"], 6),
    ];
    for (number, (arguments, columns)) in cases.into_iter().enumerate() {
        for (who, ours) in [("theirs", false), ("ours", true)] {
            let prefix = bench.folder.path().join(format!("{who}{number}"));
            let log = format!("--log-prefix={}", prefix.display());
            let all: Vec<&str> = ["-n", "-c", "2", "-j", "2", "-l", &log].iter().chain(arguments).copied().collect();
            let found = if ours { bench.ours(&all) } else { bench.theirs(&all) };
            assert!(found.status.success(), "{who} {all:?}: {}", text(&found.stderr));
        }
        let logs = |who: &str| -> Vec<Vec<i64>> {
            let begin = format!("{who}{number}.");
            let files = std::fs::read_dir(bench.folder.path()).expect("a folder").map(|entry| entry.expect("an entry"));
            let mut files: Vec<_> = files.filter(|file| file.file_name().to_string_lossy().starts_with(&begin)).collect();
            assert_eq!(files.len(), 2, "{who}: one file a thread");
            files.sort_by_key(|file| file.file_name());
            let text: String = files.iter().map(|file| std::fs::read_to_string(file.path()).expect("a log")).collect();
            text.lines().map(|line| line.split(' ').map(|word| word.parse().expect("a number")).collect()).collect()
        };
        let (theirs, ours) = (logs("theirs"), logs("ours"));
        assert_eq!((ours.len(), theirs.len()), (12, 12));
        assert!(ours.iter().chain(&theirs).all(|line| line.len() == columns), "{arguments:?}: {theirs:?} and {ours:?}");
        // Client, its transaction's number, script.
        let named = |lines: &[Vec<i64>]| {
            let mut named: Vec<[i64; 3]> = lines.iter().map(|line| [line[0], line[1], line[3]]).collect();
            named.sort_unstable();
            named
        };
        assert_eq!(named(&ours), named(&theirs), "{arguments:?}");
    }
}

#[tokio::test]
async fn an_interrupted_run_cancels_what_does_not_end() {
    let bench = Bench::new().await;
    let hangs = bench.script("hangs.sql", "select pg_sleep(86400);\n");
    let mut command = bench.our_command();
    command.args(["-n", "-c", "3", "-j", "2", "-t", "1", "--json", "-f", &hangs]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("pgduel runs");
    let sleeping = "select count(*) from pg_stat_activity where datname = $1 and state = 'active' and query like '%pg_sleep(86400)%' \
                    and pid <> pg_backend_pid()";
    until("all sleep", async || bench.number(sleeping).await == 3).await;
    kill_process(Pid::from_child(&child), Signal::INT).expect("it is there");
    let found = child.wait_with_output().expect("it ends");
    let said = text(&found.stderr);
    assert_eq!(found.status.code(), Some(130), "{said}");
    assert!(said.contains("3 transactions were still running and were cancelled"), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&found.stdout).expect("JSON");
    assert_eq!((&report["interrupted"], &report["cut_off"], &report["all"]["done"]), (&true.into(), &3.into(), &0.into()), "{report}");
    until("none sleeps any more", async || bench.number(sleeping).await == 0).await;
}

#[tokio::test]
async fn an_interrupted_run_reports_what_was_done_and_starts_nothing_more() {
    let bench = Bench::new().await;
    bench.execute("create table seen (client int)").await;
    let busy = bench.script("busy.sql", "insert into seen values (:client_id);\nselect pg_sleep(0.01);\n");
    let sleeps = bench.script("sleeps.sql", "begin;\n\\sleep 3600 s\ninsert into seen values (1);\nend;\n");
    // What runs is finished. Neither a wait for a turn that comes in hours nor a sleep is.
    let cases: [(&[&str], bool); 4] = [
        (&["-T", "3600", "-f", &busy], true),
        (&["-t", "1000000", "-C", "-f", &busy], true),
        (&["-T", "2000000000", "-R", "0.0001", "-f", &busy], false),
        (&["-T", "3600", "-f", &sleeps], false),
    ];
    for (arguments, works) in cases {
        for json in [false, true] {
            bench.execute("truncate seen").await;
            let mut command = bench.our_command();
            command.args(["-n", "-c", "3", "-j", "2"]).args(arguments).args(json.then_some("--json"));
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("pgduel runs");
            let sessions =
                "select count(*) from pg_stat_activity where datname = $1 and application_name = 'pgbench' and state like 'idle%'";
            until("all clients are connected", async || bench.number(sessions).await >= 3 || works).await;
            let seen = async || bench.rows("seen").await;
            until("transactions are done", async || seen().await >= 5 || !works).await;
            kill_process(Pid::from_child(&child), Signal::INT).expect("it is there");
            let found = child.wait_with_output().expect("it ends");
            let (report, said) = (text(&found.stdout), text(&found.stderr));
            assert_eq!(found.status.code(), Some(130), "{arguments:?}: {report}{said}");
            assert!(said.contains("what was measured is reported") && said.contains("interrupted after "), "{said}");
            let done = match json {
                true => {
                    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
                    assert_eq!((&report["interrupted"], &report["aborted"]), (&true.into(), &serde_json::json!([])), "{report}");
                    report["all"]["done"].as_i64().expect("a count")
                }
                false => {
                    assert!(report.contains(" (interrupted after "), "{report}");
                    behind(&report, "actually processed:") as i64
                }
            };
            assert_eq!(done, seen().await, "{arguments:?}: {report}");
            assert_eq!(done > 0, works, "{arguments:?}: {report}");
        }
    }
    let whole = bench.ours(&["-n", "-t", "2", "--json", "-f", &busy]);
    let report: serde_json::Value = serde_json::from_slice(&whole.stdout).expect("JSON");
    assert_eq!((whole.status.code(), &report["interrupted"]), (Some(0), &false.into()), "{report}");
}

#[tokio::test]
async fn a_connection_a_transaction_and_none_besides() {
    let cases: [(&[&str], i64); 3] = [(&["-C", "-t", "7"], 22), (&["-C", "-t", "3", "-R", "500", "-j", "2"], 10), (&["-t", "4"], 4)];
    for (arguments, wanted) in cases {
        let mut counts = Vec::new();
        for who in BOTH {
            let bench = Bench::new().await;
            let file = bench.script("one.sql", "select 1;\n");
            let arguments: Vec<&str> = ["-n", "-c", "3", "-f", &file].iter().chain(arguments).copied().collect();
            let found = bench.of(who, &[], &arguments);
            assert!(found.status.success(), "{who:?} {arguments:?}: {}", text(&found.stderr));
            let sessions = "select sessions from pg_stat_database where datname = $1";
            until("all connections are counted", async || bench.number(sessions).await >= wanted).await;
            // One too many would be counted soon after.
            tokio::time::sleep(Duration::from_secs(1)).await;
            counts.push(bench.number(sessions).await);
        }
        assert_eq!(counts, [wanted, wanted], "{arguments:?}");
    }
    // Connecting is late under a rate, and is no part of the latency without one.
    let bench = Bench::new().await;
    let file = bench.script("one.sql", "select 1;\n");
    for who in BOTH {
        let found = bench.of(who, &[("PGOPTIONS", "-c post_auth_delay=1")], &["-n", "-C", "-t", "2", "-R", "1000", "-f", &file]);
        let report = text(&found.stdout);
        assert!(behind(&report, "schedule lag: avg") > 900.0, "{who:?}: {report}");
        assert!(behind(&report, "average connection time =") > 900.0, "{who:?}: {report}");
    }
}

#[tokio::test]
async fn a_script_that_was_drawn_for_a_skipped_turn_is_that_of_the_next() {
    let bench = Bench::new().await;
    let (slow, fast) = (bench.script("slow.sql", "select pg_sleep(0.03);\n"), bench.script("fast.sql", "select 1;\n"));
    for who in BOTH {
        let prefix = bench.folder.path().join(format!("{who:?}"));
        let log = format!("--log-prefix={}", prefix.display());
        let found = bench.of(who, &[], &["-n", "-R", "100", "-L", "5", "-T", "3", "-f", &slow, "-f", &fast, "-l", &log]);
        assert!(found.status.success(), "{who:?}: {}", text(&found.stderr));
        let files = std::fs::read_dir(bench.folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
        let file = files.into_iter().find(|path| path.to_string_lossy().contains(&format!("{who:?}."))).expect("a log");
        let log = std::fs::read_to_string(file).expect("a log");
        let lines: Vec<(bool, &str)> =
            log.lines().map(|line| (line.contains(" skipped "), line.split(' ').nth(3).expect("a script"))).collect();
        let after_skipped: Vec<_> = lines.windows(2).filter(|pair| pair[0].0).collect();
        assert!(after_skipped.len() > 20, "{who:?}: {log}");
        assert!(after_skipped.iter().all(|pair| pair[0].1 == pair[1].1), "{who:?}: {log}");
    }
}

#[tokio::test]
async fn variables_of_a_transaction_that_is_tried_again_are_what_pgbench_makes_of_them() {
    let bench = Bench::new().await;
    bench.execute("create table counter (n int); insert into counter values (0); create table seen (who text, client int, n int)").await;
    let script = "\\set n :n + 1\nbegin isolation level repeatable read;\nselect n from counter;\n\
                  insert into seen values (':who', :client_id, :n);\nupdate counter set n = n + 1;\nend;\n";
    let file = bench.script("again.sql", script);
    let mut connection = bench.server.connect(&bench.database).await;
    for who in BOTH {
        let define = format!("who={who:?}");
        let found =
            bench.of(who, &[], &["-n", "-c", "6", "-j", "2", "-t", "20", "--max-tries", "1000", "-D", "n=0", "-D", &define, "-f", &file]);
        assert!(found.status.success(), "{who:?}: {}", text(&found.stderr));
        let retries = behind(&text(&found.stdout), "total number of retries:");
        assert!(retries > 10.0, "six clients on one row meet: {}", text(&found.stdout));
        // The manual says that variables are set back. pgbench 15 does not: they count the runs, not the transactions.
        let runs = "select sum(most)::int8 from (select max(n) as most from seen where who = $1 group by client) as clients";
        let runs: i64 = sqlx::query_scalar(runs).bind(format!("{who:?}")).fetch_one(&mut connection).await.expect("a count");
        assert_eq!(runs as f64, 120.0 + retries, "{who:?}");
    }
}

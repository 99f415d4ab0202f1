//! Evidence of a scenario, on every arm: plans for the largest tenant, what the server counts of each statement, and function calls
//! where the suite can count them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::Executor;

use super::explain::{Explained, explain, function_calls};
use super::route::Route;
use super::{Environment, Event, databases};
use crate::check::plan;
use crate::check::recall::Recall;
use crate::load::bind::{Arrival, Mix, SequenceRange};
use crate::load::session::{End, Session};
use crate::observe::{StatementObserver, StatementSnapshot};
use crate::record::{Arm, Arms, CheckKind, CheckRecord, EvidenceRecord, Line, StatementStatistics};
use crate::scenario::Scenario;
use crate::suite::Suite;
use crate::target::{Server, ServerKind, apply_sql, quote_ident};

/// SQL that turns inlined identity functions into ones that the server counts. The superuser applies it, so it is no file of a suite.
const COUNTING_SQL: &str = include_str!("../../seeds/supabase-counting.sql");
/// Transactions over which the server's own counters are read, and the time after which no further one is begun.
const COUNTED: u64 = 64;
const COUNTED_TIME: Duration = Duration::from_millis(500);

/// Collects the evidence of one scenario.
pub struct Collector<'a> {
    /// Where the scenario runs.
    pub server: &'a Server,
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Its arrivals.
    pub mix: &'a Mix,
    /// Its suite.
    pub suite: &'a Suite,
    /// Executions before anything is looked at.
    pub warm_up: u32,
}

/// Takes plans and counts and appends them to the record. A statement that cannot be explained becomes a warning. `counting` are the copies
/// that scenarios before have left for counting function calls.
pub async fn collect(
    environment: &mut Environment<'_>,
    collector: &Collector<'_>,
    routes: &Arms<Route>,
    recall: &Arms<Recall>,
    counting: &mut BTreeSet<String>,
) -> anyhow::Result<()> {
    let Collector { scenario, mix, warm_up, .. } = *collector;
    environment.progress.event(&Event::CollectingEvidence { scenario: &scenario.path() });
    // No block runs now: all arms at once.
    let counted = join_all(routes.values().map(|route| collector.count(route, counting))).await;
    for ((arm, route), calls) in routes.iter().zip(counted) {
        match calls.is_ok() && !scenario.writes() {
            true => counting.insert(counting_copy(route)),
            false => counting.remove(&counting_copy(route)),
        };
        let calls = match calls {
            Ok(calls) => calls,
            Err(error) => {
                warn(environment, scenario, arm, "function calls", format!("cannot be counted: {error:#}"))?;
                BTreeMap::new()
            }
        };
        let mut session = route.session(mix.dataset().now()).await?;
        let mut observer = match statement_observer(environment.server, &route.database).await {
            Ok(observer) => observer,
            Err(error) => {
                warn(environment, scenario, arm, "statements", format!("pg_stat_statements cannot be read: {error:#}"))?;
                None
            }
        };
        for (index, transaction) in scenario.transactions.iter().enumerate() {
            let arrival = typical(mix, index);
            let found = explain(&mut session, &route.program, &arrival, warm_up, mix.dataset().now()).await;
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    warn(environment, scenario, arm, &transaction.name, format!("cannot be explained: {error}"))?;
                    session = route.session(mix.dataset().now()).await?;
                    continue;
                }
            };
            let mut statistics = match count_statements(&mut observer, mix, index, &mut session, &found).await {
                Ok(statistics) => statistics,
                Err(error) => {
                    warn(environment, scenario, arm, &transaction.name, format!("pg_stat_statements cannot be read: {error:#}"))?;
                    session = route.session(mix.dataset().now()).await?;
                    BTreeMap::new()
                }
            };
            for explained in found {
                let Some(statement) = transaction.statements.get(arm).get(explained.statement) else { continue };
                let first = explained.statement == 0;
                let name = format!("{}/{}", transaction.name, statement.name);
                if let Some(check) = plan::check(&scenario.path(), arm, &name, statement, &explained.plan) {
                    environment.record.append(&Line::Check(check))?;
                }
                let record = EvidenceRecord {
                    scenario: scenario.path(),
                    arm,
                    statement: name.clone(),
                    identity: format!("{} tenant", arrival.class.name()),
                    plan: explained.plan,
                    plan_json: explained.plan_json,
                    rows: explained.rows,
                    buffers: explained.buffers,
                    function_calls: calls.get(&index).filter(|_| first).cloned().unwrap_or_default(),
                    statistics: statistics.remove(&explained.statement),
                    recall: recall.get(arm).get(&name).map(|found| found.shares.clone()).unwrap_or_default(),
                };
                environment.record.append(&Line::Evidence(Box::new(record)))?;
            }
        }
    }
    Ok(())
}

/// One arrival of a transaction: the largest tenant that can run it.
fn typical(mix: &Mix, index: usize) -> Arrival {
    let tenant = mix.tenants_for(index).first().copied();
    mix.arrival_of(SequenceRange::Evidence(index as u32).first(), index, tenant, None)
}

/// What the server counts of each statement, by its position, over transactions drawn as under load; what they write is rolled back.
async fn count_statements(
    observer: &mut Option<StatementObserver>,
    mix: &Mix,
    index: usize,
    session: &mut Session,
    explained: &[Explained],
) -> anyhow::Result<BTreeMap<usize, StatementStatistics>> {
    let Some(observer) = observer else { return Ok(BTreeMap::new()) };
    // Where it cannot be known, it is left out.
    let _ = session.meter_statements().await;
    let before = observer.snapshot().await?;
    let (first, began) = (SequenceRange::Statistics(index as u32).first(), Instant::now());
    let mut transactions = 0;
    while transactions < COUNTED && began.elapsed() < COUNTED_TIME {
        let arrival = mix.arrival_of(first + transactions, index, None, None);
        session.run(&arrival, End::Rollback, None).await?;
        transactions += 1;
    }
    let after = observer.snapshot().await?;
    let of = |snapshot: &StatementSnapshot, id: i64| snapshot.get(&id).copied().unwrap_or_default();
    let counted = |one: &Explained| {
        let id = one.query_id?;
        let counted = of(&before, id).until(&of(&after, id), transactions)?;
        Some((one.statement, StatementStatistics { processor_ns: session.metered_ns(one.statement), ..counted }))
    };
    Ok(explained.iter().filter_map(counted).collect())
}

/// The server's counters of the statements of `database`, from wherever they can be read: a suite need not bring the extension, as a server
/// that pgduel runs is given it in the database for administration.
async fn statement_observer(server: &Server, database: &str) -> anyhow::Result<Option<StatementObserver>> {
    let mut admin = server.connect_admin().await?;
    if server.kind() == ServerKind::Embedded {
        admin.execute("create extension if not exists pg_stat_statements").await?;
    }
    if let Some(observer) = StatementObserver::on(admin, database).await? {
        return Ok(Some(observer));
    }
    StatementObserver::on(server.connect(database).await?, database).await
}

fn warn(environment: &mut Environment<'_>, scenario: &Scenario, arm: Arm, subject: &str, finding: String) -> anyhow::Result<()> {
    let record = CheckRecord::warning(scenario.path(), CheckKind::Environment, subject.to_owned(), Some(arm), finding);
    environment.record.append(&Line::Check(record))?;
    Ok(())
}

impl Collector<'_> {
    /// Function calls of one run of each transaction, on a copy of the arm's database in which the identity functions are counting ones. All that it runs is
    /// rolled back, so the copy of one that no scenario writes to stays, and `kept` says that one before has left it.
    async fn count(&self, route: &Route, kept: &BTreeSet<String>) -> anyhow::Result<BTreeMap<usize, BTreeMap<String, u64>>> {
        if !self.suite.platform.iter().any(|file| file.ends_with("supabase.sql")) {
            return Ok(BTreeMap::new());
        }
        let name = counting_copy(route);
        let counted = async {
            if !kept.contains(&name) {
                databases::clone_database(self.server, &route.database, &name).await?;
                let mut connection = self.server.connect(&name).await?;
                apply_sql(&mut connection, Path::new("supabase-counting.sql"), COUNTING_SQL).await?;
                // Only a superuser may have calls counted, so the copy does it to every session.
                let counting = format!("alter database {} set track_functions = 'all'", quote_ident(&name));
                connection.execute(sqlx::AssertSqlSafe(counting)).await?;
                sqlx::Connection::close(connection).await?;
            }
            self.calls(route, &name).await
        }
        .await;
        if counted.is_err() || self.scenario.writes() {
            crate::target::drop_database(self.server, &name).await?;
        }
        counted
    }

    async fn calls(&self, route: &Route, copy: &str) -> anyhow::Result<BTreeMap<usize, BTreeMap<String, u64>>> {
        let mut target = route.direct.clone();
        copy.clone_into(&mut target.database);
        let mut session = Session::open(&target, route.program.clone(), self.mix.dataset().now()).await?;
        let mut counted = BTreeMap::new();
        for index in 0..self.scenario.transactions.len() {
            let arrival = typical(self.mix, index);
            // Until the plan is settled, planning calls functions as well.
            for _ in 0..self.warm_up {
                session.run(&arrival, End::Rollback, None).await?;
            }
            let before = function_calls(session.connection()).await?;
            session.run(&arrival, End::Rollback, None).await?;
            let after = function_calls(session.connection()).await?;
            let grown = |(name, calls): (String, u64)| {
                let calls = calls - before.get(&name).copied().unwrap_or(0).min(calls);
                (calls > 0).then_some((name, calls))
            };
            counted.insert(index, after.into_iter().filter_map(grown).collect());
        }
        Ok(counted)
    }
}

/// Name of a database's copy that counts.
fn counting_copy(route: &Route) -> String {
    format!("{}_c", route.database)
}

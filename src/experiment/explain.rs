//! Evidence: plans of the prepared statements as the tenant role, and calls of functions. Taken outside the timed blocks.
//!
//! A plan is asked for with EXPLAIN (ANALYZE, BUFFERS) EXECUTE on a session that has run the statement often enough to have settled
//! between a generic and a custom plan: what is shown is what load gets, not what a query with literals would get.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::dataset::Value;
use crate::load::bind::{Arrival, Bound, json_array, text};
use crate::load::captured::Captured;
use crate::load::identity::{SEARCH_PATH, identity};
use crate::load::program::{Program, Source, StatementProgram};
use crate::load::session::{End, Session, SessionError, query_text};
use crate::load::wire::{Connection, Rows, WireError};

/// What was found about one statement.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    /// Position in its transaction.
    pub statement: usize,
    /// The plan as text.
    pub plan: String,
    /// The plan as JSON.
    pub plan_json: Json,
    /// Rows that the plan's top node returned.
    pub rows: u64,
    /// Shared buffers hit and read.
    pub buffers: u64,
    /// The server's name for the statement, where `compute_query_id` is on.
    pub query_id: Option<i64>,
}

/// Plans of every statement of the arrival's transaction, after `warm_up` executions, as many as load begins with. What it writes is rolled
/// back.
pub async fn explain(
    session: &mut Session,
    program: &Program,
    arrival: &Arrival,
    warm_up: u32,
    now: i64,
) -> Result<Vec<Explained>, SessionError> {
    for _ in 0..warm_up {
        session.run(arrival, End::Rollback, None).await?;
    }
    let Some(transaction) = program.transactions.get(arrival.transaction) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for request in &transaction.requests {
        // Commands that begin and end transactions have no plan, and what was not sent has no parameters.
        for statement in request.statements.iter().filter(|statement| statement.is_sent(arrival) && !statement.controls_transaction) {
            let execute = execute_sql(statement, arrival, now, session.captured());
            let explained = one(session.connection(), transaction.role.is_some(), &request.settings, statement, arrival, &execute).await;
            found.push(explained.map_err(|error| SessionError::Lost { statement: statement.path.clone(), error })?);
        }
    }
    Ok(found)
}

async fn one(
    connection: &mut Connection,
    wrapped: bool,
    settings: &[(String, String)],
    statement: &StatementProgram,
    arrival: &Arrival,
    execute: &str,
) -> Result<Explained, WireError> {
    let mut texts = Vec::new();
    // The last one executes nothing: only VERBOSE tells the statement's identifier, and it would blow up the plan that people read.
    for options in ["analyze, buffers, format text", "analyze, buffers, format json", "verbose, format json"] {
        connection.simple("begin", Rows::Discard).await?;
        let explained = async {
            if wrapped {
                connection.simple(&preamble(arrival, settings), Rows::Discard).await?;
            }
            query_text(connection, &format!("explain ({options}) {execute}")).await
        }
        .await;
        connection.simple("rollback", Rows::Discard).await?;
        let lines: Vec<String> = explained?.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
        texts.push(lines.join("\n"));
    }
    let mut json = || texts.pop().and_then(|text| serde_json::from_str::<Json>(&text).ok()).unwrap_or(Json::Null);
    let query_id = json()[0]["Query Identifier"].as_i64();
    let plan_json = json();
    let top = &plan_json[0]["Plan"];
    let count = |key: &str| top[key].as_f64().unwrap_or(0.0) as u64;
    Ok(Explained {
        statement: statement.index,
        plan: texts.pop().unwrap_or_default(),
        rows: count("Actual Rows"),
        buffers: count("Shared Hit Blocks") + count("Shared Read Blocks"),
        plan_json,
        query_id,
    })
}

fn preamble(arrival: &Arrival, settings: &[(String, String)]) -> String {
    let (role, timeout, claims) = identity(&arrival.actor);
    let fixed = [("search_path", SEARCH_PATH), ("statement_timeout", timeout), ("role", role), ("request.jwt.claims", claims.as_str())];
    let all = fixed.into_iter().chain(settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let calls: Vec<String> = all.map(|(name, value)| format!("set_config({}, {}, true)", literal(name), literal(value))).collect();
    format!("select {}", calls.join(", "))
}

/// `EXECUTE name (...)` with values as text; PostgreSQL reads each as its parameter's type. Rows in chunks are given as the first chunk.
fn execute_sql(statement: &StatementProgram, arrival: &Arrival, now: i64, captured: &Captured) -> String {
    let value = |source: &Source| match source {
        Source::Now => text(&Value::Timestamp(now)),
        Source::Captured(variable) => captured.get(*variable).map(str::to_owned),
        Source::Draw(draw) => match arrival.values.get(*draw) {
            Some(Bound::One(value)) => text(value),
            Some(Bound::Text(text)) => Some(text.to_string()),
            Some(Bound::Rows(rows)) => {
                let length = statement.chunk.unwrap_or(rows.len()).min(rows.len());
                Some(json_array(&rows[..length]))
            }
            None => None,
        },
    };
    let arguments: Vec<String> =
        statement.sources.iter().map(|source| value(source).map_or_else(|| "NULL".to_owned(), |text| literal(&text))).collect();
    match arguments.is_empty() {
        true => format!("execute {}", statement.prepared),
        false => format!("execute {}({})", statement.prepared, arguments.join(", ")),
    }
}

fn literal(text: &str) -> String {
    crate::target::quote_literal(text)
}

/// Calls by function since the session began to count, from `pg_stat_user_functions`; needs `track_functions`.
pub async fn function_calls(connection: &mut Connection) -> Result<BTreeMap<String, u64>, WireError> {
    connection.simple("select pg_stat_force_next_flush()", Rows::Discard).await?;
    let rows =
        query_text(connection, "select schemaname || '.' || funcname, sum(calls)::bigint from pg_stat_user_functions group by 1").await?;
    let pair = |row: Vec<Option<String>>| {
        let mut cells = row.into_iter().flatten();
        Some((cells.next()?, cells.next()?.parse().ok()?))
    };
    Ok(rows.into_iter().filter_map(pair).collect())
}

//! A scenario's transactions for one arm, compiled to what goes over the wire: requests, statements, parameter sources.

use std::sync::Arc;

use super::bind::Arrival;
use crate::record::{Arm, StatementRecord};
use crate::scenario::script::Parameter;
use crate::scenario::{Plans, Repeat, Scenario, ScriptedTransaction, Statement, Transaction};

/// Everything one arm runs.
#[derive(Clone, Debug)]
pub struct Program {
    /// By position in the scenario.
    pub transactions: Vec<TransactionProgram>,
    /// How statements are planned.
    pub plans: Plans,
    /// Pause before each request, ns, where the round-trip time is charged a request.
    pub request_pause_ns: u64,
}

/// One transaction of one arm.
#[derive(Clone, Debug)]
pub struct TransactionProgram {
    /// Its name.
    pub name: String,
    /// Whether it changes data.
    pub writes: bool,
    /// The role that its requests become, each wrapped in a transaction; `None` for statements of no identity, which stand alone.
    pub role: Option<&'static str>,
    /// Requests in order; each is one transaction of the server, or one for each chunk of its rows.
    pub requests: Vec<Request>,
    /// Number of statements over all requests.
    pub statements: usize,
    /// The script that they are from.
    pub script: Option<Arc<ScriptedTransaction>>,
}

/// What PostgREST would send for one HTTP request: BEGIN, the settings, the statements, COMMIT.
#[derive(Clone, Debug)]
pub struct Request {
    /// Settings beyond identity, set locally.
    pub settings: Vec<(String, String)>,
    /// Statements in order.
    pub statements: Vec<StatementProgram>,
    /// What one request holds of its statement's rows.
    pub repeat: Repeat,
}

/// One statement.
#[derive(Clone, Debug)]
pub struct StatementProgram {
    /// Position in its transaction.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// `transaction/statement`: names are unique within a transaction only.
    pub path: String,
    /// Name of the prepared statement on the server.
    pub prepared: String,
    /// Text with `$n`.
    pub sql: String,
    /// Where each parameter comes from.
    pub sources: Vec<Source>,
    /// Elements of a row set that one execution takes; `None`: executed once with all.
    pub chunk: Option<usize>,
    /// Which draw is split into chunks.
    pub chunked: Option<usize>,
    /// Executions a transaction.
    pub executions: u64,
    /// Whether it begins or ends a transaction.
    pub controls_transaction: bool,
    /// `\gset`, with its prefix.
    pub capture: Option<String>,
}

/// Where a parameter comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The dataset's clock.
    Now,
    /// The draw at this position.
    Draw(usize),
    /// What `\gset` took, under the variable of this number.
    Captured(usize),
}

impl Program {
    /// Compiles what an arm of a scenario runs.
    pub fn new(scenario: &Scenario, arm: Arm) -> Program {
        let pause = match scenario.load.rtt_per {
            crate::record::RttPer::Request => scenario.rtt(arm).as_nanos() as u64,
            crate::record::RttPer::RoundTrip => 0,
        };
        let transactions =
            scenario.transactions.iter().enumerate().map(|(index, transaction)| TransactionProgram::new(index, transaction, arm)).collect();
        Program { transactions, plans: scenario.load.plans, request_pause_ns: pause }
    }

    /// The program with the exact form in place of each approximate search; `None` if there is none to replace.
    pub fn exact(scenario: &Scenario, arm: Arm) -> Option<Program> {
        let mut found = false;
        let mut scenario = scenario.clone();
        for transaction in &mut scenario.transactions {
            for statement in transaction.statements.get_mut(arm) {
                if let Some(exact) = &statement.exact {
                    let scanned = crate::scenario::sql::scan(exact);
                    statement.parameters = (scanned.numbered, scanned.names);
                    statement.settings.clear();
                    found = true;
                }
            }
        }
        found.then(|| Program::new(&scenario, arm))
    }
}

impl TransactionProgram {
    fn new(number: usize, transaction: &Transaction, arm: Arm) -> TransactionProgram {
        let statements = transaction.statements.get(arm);
        let mut requests: Vec<Request> = Vec::new();
        let mut last = None;
        for (index, statement) in statements.iter().enumerate() {
            if requests.is_empty() || statement.request != last {
                requests.push(Request { settings: Vec::new(), statements: Vec::new(), repeat: Repeat::Statement });
            }
            last = statement.request;
            if let Some(request) = requests.last_mut() {
                if statement.repeats_request() {
                    request.repeat = Repeat::Request;
                }
                request.settings.extend(statement.settings.iter().cloned());
                request.statements.push(StatementProgram::new(number, index, transaction, statement));
            }
        }
        TransactionProgram {
            name: transaction.name.clone(),
            writes: transaction.writes,
            role: super::identity::role(&transaction.identity),
            requests,
            statements: statements.len(),
            script: transaction.script.clone(),
        }
    }

    /// All statements, in order.
    pub fn all_statements(&self) -> impl Iterator<Item = &StatementProgram> {
        self.requests.iter().flat_map(|request| &request.statements)
    }
}

impl StatementProgram {
    fn new(number: usize, index: usize, transaction: &Transaction, statement: &Statement) -> StatementProgram {
        let position = |name: &str| transaction.draws.iter().position(|(draw, _)| draw == name);
        let (sql, names) = &statement.parameters;
        let sources = match &transaction.script {
            Some(script) => {
                let slots = transaction.draws.len();
                script.parameters.get(index).into_iter().flatten().map(|parameter| Source::of(*parameter, slots)).collect()
            }
            // A name that is neither drawn nor `now` was refused when the file was read.
            None => names.iter().map(|name| position(name).map_or(Source::Now, Source::Draw)).collect(),
        };
        let chunked = statement.each.as_ref().and_then(|each| position(&each.parameter));
        let chunk = statement.each.as_ref().map(|each| each.chunk.max(1) as usize);
        StatementProgram {
            index,
            name: statement.name.clone(),
            path: format!("{}/{}", transaction.name, statement.name),
            prepared: format!("t{number}s{index}"),
            sql: sql.clone(),
            sources,
            chunk,
            chunked,
            executions: transaction.executions(statement),
            controls_transaction: statement.controls_transaction,
            capture: statement.capture.clone(),
        }
    }

    /// Whether an arrival sends it: a script may take another branch.
    pub fn is_sent(&self, arrival: &Arrival) -> bool {
        arrival.course.as_ref().is_none_or(|course| course.sends.get(self.index).copied().unwrap_or(true))
    }
}

impl Source {
    /// Of a script's parameter, whose own values follow those of so many draws.
    fn of(parameter: Parameter, draws: usize) -> Source {
        match parameter {
            Parameter::Slot { slot, .. } => Source::Draw(draws + slot),
            Parameter::Draw(position) => Source::Draw(position),
            Parameter::Now => Source::Now,
            Parameter::Captured(variable) => Source::Captured(variable),
        }
    }
}

/// The statements of an arm as the record describes them.
pub fn describe(transaction: &Transaction, arm: Arm) -> Vec<StatementRecord> {
    let describe = |statement: &Statement| StatementRecord {
        name: statement.name.clone(),
        sql: statement.sql.trim().to_owned(),
        executions: transaction.executions(statement),
        controls_transaction: statement.controls_transaction,
        expect: statement.expected.as_ref().map(|expected| expected.expect.clone()),
        expect_why: statement.expected.as_ref().map(|expected| expected.why.clone()),
    };
    transaction.statements.get(arm).iter().map(describe).collect()
}

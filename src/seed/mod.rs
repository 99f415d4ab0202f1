//! Streams a dataset into the tables of a database, by binary COPY.
//!
//! Takes connection options and a planned [`Dataset`]; the tables must exist and be empty, indexes and keys come afterwards. Each table
//! is one COPY on one connection, its rows in the dataset's load order, so that the heap is the same every time; several tables are
//! loaded at once, the largest first. Rows are made on blocking threads in ordered chunks of bounded number. Knows the catalogue and
//! COPY's format, nothing of variants, indexes or vacuum.

mod catalogue;
mod encode;
mod numeric;
mod progress;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::Semaphore;

use crate::dataset::{Dataset, TableId};

pub use encode::EncodeError;
pub use progress::{Progress, Quiet};

use catalogue::TableShape;

/// Rows made as one piece of work; with vectors of 1536 dimensions 1.5 MB.
const CHUNK_ROWS: usize = 256;

/// What was loaded.
#[derive(Clone, Debug)]
pub struct SeedReport {
    /// By table, in the dataset's order.
    pub tables: Vec<TableReport>,
    /// Time from start to end.
    pub elapsed: Duration,
}

/// What was loaded into one table.
#[derive(Clone, Debug)]
pub struct TableReport {
    /// Its name.
    pub table: String,
    /// Rows.
    pub rows: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Time from the first to the last row.
    pub elapsed: Duration,
}

impl SeedReport {
    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|t| t.rows).sum()
    }
}

/// Loads all tables of `dataset` over at most `connections` connections.
///
/// # Errors
/// If a table or column is missing, a value cannot go into its column, or the server refuses a row; says which. Every column is tried
/// before the first row is sent. Tables that were complete before the error stay loaded.
pub async fn load(
    options: PgConnectOptions,
    dataset: Arc<Dataset>,
    connections: usize,
    progress: &dyn Progress,
) -> anyhow::Result<SeedReport> {
    let start = Instant::now();
    // sqlx logs statements with their text; a COPY has nothing to tell there.
    let options = options.disable_statement_logging();
    let mut first = connect(&options).await?;
    let mut shapes = Vec::new();
    for table in dataset.tables() {
        shapes.push((table, Arc::new(catalogue::shape(&mut first, &dataset, table).await?)));
    }
    first.close().await?;
    for (table, shape) in &shapes {
        if dataset.rows(*table) > 0 {
            encode::row(shape, &dataset.row(*table, 0), &mut Vec::new())?;
        }
    }
    // The largest table takes longest and should not start last.
    let mut order = shapes.clone();
    order.sort_by_key(|(table, _)| std::cmp::Reverse(dataset.estimated_table_bytes(*table)));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let turns = Arc::new(Semaphore::new(threads));
    let mut reports: Vec<(TableId, TableReport)> = stream::iter(order)
        .map(|(table, shape)| {
            let job = Job { options: &options, dataset: &dataset, table, shape, threads, turns: turns.clone(), progress };
            async move { job.run().await.map(|report| (table, report)) }
        })
        .buffer_unordered(connections.max(1))
        .try_collect()
        .await?;
    reports.sort_by_key(|(table, _)| *table);
    Ok(SeedReport { tables: reports.into_iter().map(|(_, report)| report).collect(), elapsed: start.elapsed() })
}

async fn connect(options: &PgConnectOptions) -> anyhow::Result<PgConnection> {
    PgConnection::connect_with(options).await.context("cannot connect to load the dataset")
}

/// One table's COPY.
struct Job<'a> {
    options: &'a PgConnectOptions,
    dataset: &'a Arc<Dataset>,
    table: TableId,
    shape: Arc<TableShape>,
    threads: usize,
    turns: Arc<Semaphore>,
    progress: &'a dyn Progress,
}

impl Job<'_> {
    async fn run(self) -> anyhow::Result<TableReport> {
        let start = Instant::now();
        let name = self.shape.name.clone();
        let rows = self.dataset.rows(self.table);
        self.progress.start(&name, rows);
        let order: Arc<[u64]> = {
            let (dataset, table) = (self.dataset.clone(), self.table);
            tokio::task::spawn_blocking(move || dataset.load_order(table).into()).await?
        };
        let mut connection = connect(self.options).await?;
        let bytes = self.copy(&mut connection, order).await.with_context(|| format!("cannot load table {name}"))?;
        connection.close().await?;
        self.progress.finish(&name);
        Ok(TableReport { table: name, rows, bytes, elapsed: start.elapsed() })
    }

    async fn copy(&self, connection: &mut PgConnection, order: Arc<[u64]>) -> anyhow::Result<u64> {
        let mut copy = connection.copy_in_raw(&self.shape.copy_statement()).await?;
        let sent = async {
            let mut bytes = 0;
            copy.send(encode::HEADER).await?;
            let mut chunks =
                stream::iter((0..order.len()).step_by(CHUNK_ROWS)).map(|from| self.chunk(&order, from)).buffered(2 * self.threads);
            while let Some(chunk) = chunks.next().await {
                let (rows, chunk) = chunk?;
                bytes += chunk.len() as u64;
                copy.send(chunk).await?;
                self.progress.advance(&self.shape.name, rows);
            }
            copy.send(encode::TRAILER).await?;
            anyhow::Ok(bytes)
        };
        let sent = sent.await;
        match sent {
            Ok(bytes) => {
                let rows = copy.finish().await?;
                if rows != order.len() as u64 {
                    bail!("the server stored {rows} rows of {}", order.len());
                }
                Ok(bytes)
            }
            Err(error) => {
                // The first error is the one to tell; aborting answers with another.
                _ = copy.abort(format!("{error}")).await;
                Err(error)
            }
        }
    }

    /// Makes the rows from one place of the load order, when a processor is free.
    async fn chunk(&self, order: &Arc<[u64]>, from: usize) -> anyhow::Result<(u64, Vec<u8>)> {
        let turn = self.turns.clone().acquire_owned().await?;
        let (dataset, shape, order, table) = (self.dataset.clone(), self.shape.clone(), order.clone(), self.table);
        tokio::task::spawn_blocking(move || {
            let rows = order.get(from..(from + CHUNK_ROWS).min(order.len())).unwrap_or_default();
            let mut out = Vec::new();
            for row in rows {
                encode::row(&shape, &dataset.row(table, *row), &mut out)?;
            }
            drop(turn);
            Ok((rows.len() as u64, out))
        })
        .await?
    }
}

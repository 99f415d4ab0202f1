//! One number for all bytes of a dataset, to show that it is the same everywhere.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::{Dataset, TableId, Value};

/// Rows hashed as one piece of work.
const CHUNK: u64 = 256;

/// SHA-256 over all rows of all tables; the same with any number of threads.
pub fn digest(dataset: &Dataset, threads: usize) -> [u8; 32] {
    let mut work = Vec::new();
    for table in dataset.tables() {
        let rows = dataset.rows(table);
        work.extend((0..rows.div_ceil(CHUNK)).map(|chunk| (table, chunk * CHUNK..((chunk + 1) * CHUNK).min(rows))));
    }
    let results = Mutex::new(vec![[0u8; 32]; work.len()]);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some((index, (table, rows))) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    work.get(index).map(|w| (index, w.clone()))
                } {
                    let hash = hash_rows(dataset, table, rows);
                    if let Some(place) = results.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index) {
                        *place = hash;
                    }
                }
            });
        }
    });
    let mut all = Sha256::new();
    for table in dataset.tables() {
        all.update(dataset.table_name(table).as_bytes());
        all.update(dataset.rows(table).to_le_bytes());
    }
    for hash in results.into_inner().unwrap_or_else(PoisonError::into_inner) {
        all.update(hash);
    }
    all.finalize().into()
}

fn hash_rows(dataset: &Dataset, table: TableId, rows: std::ops::Range<u64>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for row in rows {
        for value in dataset.row(table, row) {
            hash_value(&mut hash, &value);
        }
    }
    hash.finalize().into()
}

fn hash_value(hash: &mut Sha256, value: &Value) {
    let text = |hash: &mut Sha256, tag: u8, text: &str| {
        hash.update([tag]);
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    match value {
        Value::Null => hash.update([0]),
        Value::Bool(b) => hash.update([1, u8::from(*b)]),
        Value::Int(n) => {
            hash.update([2]);
            hash.update(n.to_le_bytes());
        }
        Value::Float(x) => {
            hash.update([3]);
            hash.update(x.to_bits().to_le_bytes());
        }
        Value::Decimal(n, digits) => {
            hash.update([4, *digits]);
            hash.update(n.to_le_bytes());
        }
        Value::Text(s) => text(hash, 5, s),
        Value::Json(s) => text(hash, 6, s),
        Value::Uuid(bytes) => {
            hash.update([7]);
            hash.update(bytes);
        }
        Value::Timestamp(us) => {
            hash.update([8]);
            hash.update(us.to_le_bytes());
        }
        Value::Vector(xs) => {
            hash.update([9]);
            hash.update((xs.len() as u64).to_le_bytes());
            xs.iter().for_each(|x| hash.update(x.to_bits().to_le_bytes()));
        }
        Value::Array(items) => {
            hash.update([10]);
            hash.update((items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| hash_value(hash, item));
        }
    }
}

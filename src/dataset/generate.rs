//! From (table, row, column) to a value.

use std::fmt::Write as _;
use std::sync::Arc;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::model::*;
use super::plan::FRESH;
use super::text::{self, Speaker};
use super::{ColumnId, Dataset, TableId, Value, rng};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// Events an hour of a day (UTC), as shares: quiet nights, a peak before noon and one in the afternoon.
const DAY_RHYTHM: [f64; 24] =
    [1.0, 0.7, 0.5, 0.4, 0.4, 0.7, 1.5, 3.0, 5.5, 7.5, 8.5, 8.2, 7.0, 7.2, 7.8, 7.5, 6.8, 5.6, 4.8, 4.2, 3.6, 3.0, 2.2, 1.6];

/// A row in its surroundings.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub table: TableId,
    pub row: u64,
    pub parent: Option<u64>,
}

impl Place {
    /// The number of a fresh row.
    fn fresh(&self) -> Option<u64> {
        self.row.checked_sub(FRESH)
    }
}

impl Dataset {
    /// Where a row stands; rows past the end are fresh ones of an arbitrary parent.
    pub(super) fn place(&self, table: TableId, row: u64) -> Place {
        let inside = row < self.rows(table);
        let row = if inside || row >= FRESH { row } else { FRESH + row };
        let parent = self.owner(table, row);
        Place { table, row, parent }
    }

    pub(super) fn cell_at(&self, place: Place, column: ColumnId) -> Value {
        let Some(model) = self.column_model(place.table, column) else { return Value::Null };
        let Some(state) = self.state(place.table, column) else { return Value::Null };
        let mut rng = state.streams.at(place.row);
        self.generate(place, column, &model.cell, &mut rng)
    }

    fn generate(&self, place: Place, column: ColumnId, cell: &Cell, rng: &mut ChaCha8Rng) -> Value {
        if cell.null > 0.0 && rng::unit(rng) < cell.null {
            return Value::Null;
        }
        match &cell.kind {
            Kind::Uuid => Value::Uuid(uuid(rng)),
            Kind::Serial => Value::Int(self.number(place) as i64 + 1),
            Kind::Position => Value::Int(self.position(place) as i64),
            Kind::Siblings => Value::Int(self.siblings(place) as i64),
            Kind::Const(value) => value.clone(),
            Kind::Choice { values, cumulative } => values.get(rng::by_weight(rng, cumulative)).cloned().unwrap_or(Value::Null),
            Kind::Cycle(values) => cycle(values, self.position(place)),
            Kind::Int(low, high) => Value::Int(rng::between(rng, *low, *high)),
            Kind::Float(low, high, as_) => number(low + rng::unit(rng) * (high - low), *as_),
            Kind::LogNormal { median, sigma, min, max, as_ } => {
                let x = median * libm::exp(sigma * rng::normal(rng));
                number(x.max(*min).min(*max), *as_)
            }
            Kind::Bool(share) => Value::Bool(rng::unit(rng) < *share),
            Kind::Ancestor(of) => self.ancestor_value(place, *of),
            Kind::First(of) => self.relative(place, *of, rng, Relative::First),
            Kind::Pick(of) => self.relative(place, *of, rng, Relative::Any),
            Kind::Same(other) => self.cell_at(place, *other),
            Kind::Template(pieces) => Value::Text(self.template(place, pieces, rng).into()),
            Kind::Recent { window_us, half_life_us, rhythm } => Value::Timestamp(match place.fresh() {
                Some(number) => self.now() + (number % (HOUR_US as u64)) as i64,
                None => recent(rng, self.now(), *window_us, *half_life_us, *rhythm),
            }),
            Kind::After { column, within_us } => match self.cell_at(place, *column) {
                Value::Timestamp(from) => Value::Timestamp(from + rng::between(rng, 0, *within_us)),
                _ => Value::Null,
            },
            Kind::Step { after, step_us, jitter } => self.step(place, *after, *step_us, *jitter, rng),
            Kind::Json(members) => Value::Json(self.json(place, column, members, rng).into()),
            Kind::Array { of, low, high } => {
                let n = rng::between(rng, *low as i64, *high as i64);
                Value::Array((0..n).map(|_| self.generate(place, column, of, rng)).collect())
            }
            Kind::Fake(kind) => Value::Text(text::fake(rng, *kind, self.number(place)).into()),
            Kind::Words(low, high) => Value::Text(text::words(rng, *low, *high).into()),
            Kind::Chat(low, high) => {
                let speaker = if self.position(place).is_multiple_of(2) { Speaker::Customer } else { Speaker::Agent };
                Value::Text(text::chat(rng, speaker, *low, *high).into())
            }
            Kind::Page(low, high) => Value::Text(text::page(rng, *low, *high).into()),
            Kind::Vector(_) => match self.mixture(place.table, column) {
                Some(mixture) => Value::Vector(mixture.draw(rng, u64::from(self.tenant_at(place).unwrap_or(0)))),
                None => Value::Null,
            },
            Kind::MemberUser | Kind::MemberTenant | Kind::MemberRole => self.membership_value(place, &cell.kind),
        }
    }

    /// Row number, or for a fresh row one past all others.
    fn number(&self, place: Place) -> u64 {
        place.fresh().map_or(place.row, |n| self.rows(place.table) + n)
    }

    /// First row and number of rows of the overlay run that a row is in.
    fn overlay_family(&self, place: Place) -> (u64, u64) {
        let runs = self.plan_of(place.table).map_or(&[][..], |p| &p.extra);
        runs.iter().find(|e| (e.start..e.start + e.count).contains(&place.row)).map_or((place.row, 1), |e| (e.start, e.count))
    }

    fn siblings(&self, place: Place) -> u64 {
        match (place.parent, self.parent_table(place.table)) {
            (Some(parent), Some(table)) => {
                let range = self.children_of(table, parent, place.table);
                // An overlay's rows stand behind the base rows and are a family of their own.
                if place.row < FRESH && !range.contains(&place.row) { self.overlay_family(place).1 } else { range.end - range.start }
            }
            _ => self.rows(place.table),
        }
    }

    /// Position among siblings; of a fresh row, behind them.
    fn position(&self, place: Place) -> u64 {
        if let Some(number) = place.fresh() {
            return self.siblings(place) + number % 65_536;
        }
        match (place.parent, self.parent_table(place.table)) {
            (Some(parent), Some(table)) => {
                let range = self.children_of(table, parent, place.table);
                let start = if range.contains(&place.row) { range.start } else { self.overlay_family(place).0 };
                place.row - start.min(place.row)
            }
            _ => place.row,
        }
    }

    fn ancestor_value(&self, place: Place, of: ColumnRef) -> Value {
        let (mut table, mut row) = (place.table, place.parent);
        while let (Some(up), Some(at)) = (self.parent_table(table), row) {
            if up == of.table {
                return self.value(up, at, of.column);
            }
            table = up;
            row = self.owner(up, at);
        }
        Value::Null
    }

    fn relative(&self, place: Place, of: ColumnRef, rng: &mut ChaCha8Rng, which: Relative) -> Value {
        // Overlay rows are no targets: the base data must be the same with and without overlays.
        let range = match self.tenant_at(place) {
            Some(tenant) => self.rows_of_tenant(of.table, tenant).into_iter().next(),
            None => Some(0..self.rows(of.table)),
        };
        let Some(range) = range.filter(|r| !r.is_empty()) else { return Value::Null };
        let row = match which {
            Relative::First => range.start,
            Relative::Any => range.start + rng::below(rng, range.end - range.start),
        };
        self.value(of.table, row, of.column)
    }

    fn template(&self, place: Place, pieces: &[Piece], rng: &mut ChaCha8Rng) -> String {
        let mut out = String::new();
        for piece in pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Hex(digits) => {
                    (0..*digits).for_each(|_| out.push(char::from_digit(rng.next_u32() >> 28, 16).unwrap_or('0')));
                }
                Piece::Row => _ = write!(out, "{}", self.number(place)),
                Piece::Position => _ = write!(out, "{}", self.position(place)),
                Piece::Int(low, high) => _ = write!(out, "{}", rng::between(rng, *low, *high)),
                Piece::Fake(kind) => out.push_str(&text::fake(rng, *kind, self.number(place))),
                Piece::Column(of) => push_plain(&mut out, &self.ancestor_value(place, *of)),
            }
        }
        out
    }

    /// A time `step` after the one before it, strictly rising with the position, and not after now as long as there is room.
    fn step(&self, place: Place, after: ColumnRef, step_us: i64, jitter: f64, rng: &mut ChaCha8Rng) -> Value {
        if let Some(number) = place.fresh() {
            return Value::Timestamp(self.now() + (number % (HOUR_US as u64)) as i64);
        }
        let Value::Timestamp(from) = self.ancestor_value(place, after) else { return Value::Null };
        let room = (self.now() - from) / (self.siblings(place) as i64 + 1);
        let step = step_us.min(room).max(1);
        // Within its own step, so that neighbours never meet: jitter * u < 1.
        let within = (jitter * rng::unit(rng) * step as f64) as i64;
        Value::Timestamp(from + self.position(place) as i64 * step + within.min(step - 1))
    }

    fn json(&self, place: Place, column: ColumnId, members: &[(String, Cell)], rng: &mut ChaCha8Rng) -> String {
        let mut out = String::from("{");
        for (name, cell) in members {
            let value = self.generate(place, column, cell, rng);
            if value == Value::Null {
                continue;
            }
            if out.len() > 1 {
                out.push_str(", ");
            }
            push_quoted(&mut out, name);
            out.push_str(": ");
            push_json(&mut out, &value);
        }
        out.push('}');
        out
    }
}

#[derive(Clone, Copy)]
enum Relative {
    First,
    Any,
}

/// A random uuid (version 4, RFC 9562).
pub(super) fn uuid(rng: &mut ChaCha8Rng) -> [u8; 16] {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

fn cycle(values: &[Value], position: u64) -> Value {
    let n = values.len().max(1) as u64;
    values.get((position % n) as usize).cloned().unwrap_or(Value::Null)
}

fn number(x: f64, as_: NumberAs) -> Value {
    match as_ {
        NumberAs::Float => Value::Float(x),
        NumberAs::Int => Value::Int(libm::round(x) as i64),
        NumberAs::Decimal(digits) => {
            let factor = (0..digits).fold(1.0, |f, _| f * 10.0);
            Value::Decimal(libm::round(x * factor) as i64, digits)
        }
    }
}

/// A time within `window_us` before `now`: the recent past is denser (a truncated exponential), and so are working hours.
fn recent(rng: &mut ChaCha8Rng, now: i64, window_us: i64, half_life_us: Option<i64>, rhythm: Rhythm) -> i64 {
    let u = rng::unit(rng);
    let window = window_us as f64;
    let age = match half_life_us {
        None => u * window,
        Some(half) => {
            let half = half as f64;
            let kept = 1.0 - libm::exp2(-window / half);
            -libm::log2(1.0 - u * kept) * half
        }
    };
    let time = now - (age as i64).clamp(1, window_us);
    if rhythm == Rhythm::Flat {
        return time;
    }
    let cumulative = rng::cumulate(DAY_RHYTHM);
    let hour = rng::by_weight(rng, &cumulative) as i64;
    let moved = time - time.rem_euclid(DAY_US) + hour * HOUR_US + rng::between(rng, 0, HOUR_US - 1);
    // The first and the last day are cut: move by a day into the window, or keep the hour where the window is shorter than that.
    let candidates = [moved, moved - DAY_US, moved + DAY_US, time];
    candidates.into_iter().find(|t| *t < now && *t >= now - window_us).unwrap_or(time)
}

fn push_plain(out: &mut String, value: &Value) {
    match value {
        Value::Text(text) => out.push_str(text),
        Value::Null => {}
        other => {
            let mut json = String::new();
            push_json(&mut json, other);
            out.push_str(json.trim_matches('"'));
        }
    }
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c < ' ' => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Appends a value as JSON.
pub(super) fn push_json(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => _ = write!(out, "{b}"),
        Value::Int(n) => _ = write!(out, "{n}"),
        Value::Float(x) => _ = write!(out, "{x}"),
        Value::Decimal(unscaled, digits) => out.push_str(&decimal(*unscaled, *digits)),
        Value::Text(text) => push_quoted(out, text),
        Value::Json(text) => out.push_str(text),
        Value::Uuid(bytes) => _ = write!(out, "\"{}\"", uuid::Uuid::from_bytes(*bytes)),
        Value::Timestamp(us) => {
            let time = chrono::DateTime::from_timestamp_micros(*us).unwrap_or_default();
            _ = write!(out, "\"{}\"", time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true));
        }
        Value::Vector(x) => {
            // pgvector takes a string.
            out.push('"');
            push_list(out, x.iter(), |out, x| _ = write!(out, "{x}"));
            out.push('"');
        }
        Value::Array(items) => push_list(out, items.iter(), push_json),
    }
}

fn push_list<T>(out: &mut String, items: impl Iterator<Item = T>, push: impl Fn(&mut String, T)) {
    out.push('[');
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(',');
        }
        push(out, item);
    }
    out.push(']');
}

/// A number with a fixed number of digits after the point.
fn decimal(unscaled: i64, digits: u8) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let magnitude = unscaled.unsigned_abs();
    let width = usize::from(digits) + 1;
    let text = format!("{magnitude:0width$}");
    let (whole, rest) = text.split_at(text.len() - usize::from(digits));
    if rest.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest}") }
}

impl Value {
    /// The value as JSON text; a vector is a string, as pgvector takes it.
    pub fn to_json(&self) -> Arc<str> {
        let mut out = String::new();
        push_json(&mut out, self);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::rng::Streams;

    #[test]
    fn decimals_and_json_are_well_formed() {
        assert_eq!(decimal(1_234_567, 6), "1.234567");
        assert_eq!(decimal(-5, 2), "-0.05");
        assert_eq!(decimal(7, 0), "7");
        let value = Value::Array(vec![Value::Text("a\"b\\\n".into()), Value::Null, Value::Float(0.5)]);
        let back: serde_json::Value = serde_json::from_str(&value.to_json()).unwrap();
        assert_eq!(back, serde_json::json!(["a\"b\\\n", null, 0.5]));
    }

    #[test]
    fn recent_times_stay_in_their_window() {
        let now = 1_762_516_800_000_000;
        let streams = Streams::new(1, "recent");
        for (window, half) in [(DAY_US / 3, None), (30 * DAY_US, Some(5 * DAY_US)), (365 * DAY_US, Some(60 * DAY_US))] {
            for row in 0..500 {
                for rhythm in [Rhythm::Flat, Rhythm::Day] {
                    let t = recent(&mut streams.at(row), now, window, half, rhythm);
                    assert!(t < now && t >= now - window, "{}", now - t);
                }
            }
        }
    }

    #[test]
    fn nights_are_quiet() {
        let streams = Streams::new(1, "rhythm");
        let now = 1_762_516_800_000_000;
        let hours: Vec<i64> =
            (0..4000).map(|row| recent(&mut streams.at(row), now, 365 * DAY_US, None, Rhythm::Day).rem_euclid(DAY_US) / HOUR_US).collect();
        let night = hours.iter().filter(|h| (0..6).contains(*h)).count();
        let noon = hours.iter().filter(|h| (9..15).contains(*h)).count();
        assert!(noon > 8 * night, "{noon} {night}");
    }
}

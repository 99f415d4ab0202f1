//! What becomes of the rows: nothing, a digest, or a copy.

use super::error::WireError;
use super::frame::Cursor;

/// What to do with the rows of an answer.
#[derive(Debug)]
pub enum Rows<'a> {
    /// Count them.
    Discard,
    /// Count and digest them, without decoding.
    Digest(&'a mut Digest),
    /// Keep a copy of every cell.
    Collect(&'a mut RowBuffer),
}

impl Rows<'_> {
    pub(super) fn row(&mut self, body: &[u8]) -> Result<(), WireError> {
        match self {
            Rows::Discard => Ok(()),
            Rows::Digest(digest) => {
                digest.row(body);
                Ok(())
            }
            Rows::Collect(buffer) => buffer.push(body),
        }
    }

    /// Lets go of rows of an earlier statement.
    pub(super) fn forget(&mut self) {
        if let Rows::Collect(buffer) = self {
            buffer.clear();
        }
    }

    /// Columns begin another answer: of several statements sent at once, a buffer keeps the last one's rows.
    pub(super) fn columns(&mut self, body: &[u8]) -> Result<(), WireError> {
        if let Rows::Collect(buffer) = self {
            buffer.clear();
            buffer.columns = columns(body)?;
        }
        Ok(())
    }
}

/// A running 64-bit hash of rows as they came on the wire, the same on every machine. Values, NULLs, their lengths and the number of
/// columns count; names and types do not. Two answers are only comparable in the same format (text or binary). Not cryptographic.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Digest {
    ordered: u64,
    unordered: u64,
    rows: u64,
}

impl Digest {
    /// The digest of no rows.
    pub fn new() -> Digest {
        Digest::default()
    }

    /// Depends on the rows and on their order.
    pub fn ordered(&self) -> u64 {
        self.ordered
    }

    /// Depends on the rows and how often each came, but not on their order.
    pub fn unordered(&self) -> u64 {
        self.unordered
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds one row: the body of a DataRow message, column count included.
    fn row(&mut self, body: &[u8]) {
        // The length goes in first, because the last word is padded with zeros.
        let mut hash = mix(0x9E37_79B9_7F4A_7C15, body.len() as u64);
        let (words, tail) = body.as_chunks::<8>();
        for word in words {
            hash = mix(hash, u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(tail) {
            *to = *from;
        }
        hash = mix(hash, u64::from_le_bytes(last));
        self.ordered = mix(self.ordered, hash);
        self.unordered = self.unordered.wrapping_add(hash);
        self.rows += 1;
    }
}

/// One step of the hash: a bijection of `hash` for each word and of the word for each `hash`, so that a difference in one word is
/// never lost; the constant is the odd one of MurmurHash's 64-bit finaliser.
fn mix(hash: u64, word: u64) -> u64 {
    let product = (hash.rotate_left(23) ^ word).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    product ^ (product >> 32)
}

/// One column of an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ColumnDescription {
    /// Name.
    pub name: String,
    /// Oid of the type.
    pub type_oid: u32,
    /// Oid of the table, 0 if the column is not a plain table column.
    pub table_oid: u32,
    /// Number of the column in that table, from 1; 0 likewise.
    pub column_number: u16,
}

/// Reads a RowDescription.
pub(super) fn columns(body: &[u8]) -> Result<Vec<ColumnDescription>, WireError> {
    let mut fields = Cursor::new(body, "RowDescription");
    let count = fields.u16()?;
    let mut columns = Vec::new();
    for _ in 0..count {
        let name = String::from_utf8_lossy(fields.cstr()?).into_owned();
        let table_oid = fields.u32()?;
        let column_number = fields.u16()?;
        let type_oid = fields.u32()?;
        fields.bytes(2 + 4 + 2)?; // size, modifier, format
        columns.push(ColumnDescription { name, type_oid, table_oid, column_number });
    }
    Ok(columns)
}

/// Most bytes of rows that are kept, with what it takes to keep them.
pub(super) const MOST_HELD: usize = 128 << 20;

/// A copy of rows, cell by cell. Reuse one with [`RowBuffer::clear`].
#[derive(Clone, Debug, Default)]
pub struct RowBuffer {
    columns: Vec<ColumnDescription>,
    bytes: Vec<u8>,
    /// Start and length of each cell; a negative length is NULL.
    cells: Vec<(usize, i32)>,
    /// Number of the first cell of each row.
    rows: Vec<usize>,
}

impl RowBuffer {
    /// Holds no rows.
    pub fn new() -> RowBuffer {
        RowBuffer::default()
    }

    /// Forgets the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.columns.clear();
        self.bytes.clear();
        self.cells.clear();
        self.rows.clear();
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Columns of the last answer of a simple query, or of a statement that was not prepared. The execution of a prepared one leaves this
    /// empty: see [`super::Prepared::columns`].
    pub fn columns(&self) -> &[ColumnDescription] {
        &self.columns
    }

    /// Takes the columns from where they are known.
    pub fn set_columns(&mut self, columns: &[ColumnDescription]) {
        self.columns.clear();
        self.columns.extend_from_slice(columns);
    }

    /// The cells of row `row`, `None` for NULL; nothing if there is no such row.
    pub fn row(&self, row: usize) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        let from = self.rows.get(row).copied().unwrap_or(self.cells.len());
        let to = self.rows.get(row + 1).copied().unwrap_or(self.cells.len());
        let cells = self.cells.get(from..to).unwrap_or_default();
        cells.iter().map(|&(start, length)| self.bytes.get(start..start + usize::try_from(length).ok()?))
    }

    /// All rows, in the order in which they came.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = impl ExactSizeIterator<Item = Option<&[u8]>>> {
        (0..self.len()).map(|row| self.row(row))
    }

    /// One cell as text; `None` for NULL, for a cell that does not exist and for bytes that are not UTF-8.
    pub fn text(&self, row: usize, column: usize) -> Option<&str> {
        std::str::from_utf8(self.row(row).nth(column)??).ok()
    }

    fn push(&mut self, body: &[u8]) -> Result<(), WireError> {
        self.rows.push(self.cells.len());
        let mut fields = Cursor::new(body, "DataRow");
        for _ in 0..fields.u16()? {
            let length = fields.i32()?;
            let start = self.bytes.len();
            // -1 is NULL; other negative lengths do not exist.
            if length != -1 {
                let length = usize::try_from(length).map_err(|_| fields.malformed())?;
                self.bytes.extend_from_slice(fields.bytes(length)?);
            }
            self.cells.push((start, length));
        }
        let held = self.bytes.len() + size_of_val(self.cells.as_slice()) + size_of_val(self.rows.as_slice());
        match (fields.rest().is_empty(), held <= MOST_HELD) {
            (true, true) => Ok(()),
            (true, false) => Err(WireError::TooMuch { rows: self.rows.len() }),
            (false, _) => Err(fields.malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_row(cells: &[Option<&str>]) -> Vec<u8> {
        let mut body = (cells.len() as u16).to_be_bytes().to_vec();
        for cell in cells {
            match cell {
                None => body.extend((-1_i32).to_be_bytes()),
                Some(text) => {
                    body.extend((text.len() as i32).to_be_bytes());
                    body.extend(text.as_bytes());
                }
            }
        }
        body
    }

    fn digest(rows: &[&[Option<&str>]]) -> Digest {
        let mut digest = Digest::new();
        for row in rows {
            digest.row(&data_row(row));
        }
        digest
    }

    #[test]
    fn collected_cells_are_what_came() {
        let mut buffer = RowBuffer::new();
        buffer.push(&data_row(&[Some("a"), None, Some("")])).unwrap();
        buffer.push(&data_row(&[])).unwrap();
        buffer.push(&data_row(&[Some("bc")])).unwrap();
        let rows: Vec<Vec<_>> = buffer.iter().map(Iterator::collect).collect();
        assert_eq!(rows, [vec![Some(&b"a"[..]), None, Some(b"")], vec![], vec![Some(b"bc")]]);
        assert_eq!((buffer.text(2, 0), buffer.text(0, 1), buffer.text(9, 9)), (Some("bc"), None, None));
        buffer.clear();
        assert!(buffer.is_empty());
    }

    #[test]
    fn malformed_rows_are_refused() {
        let good = data_row(&[Some("abc"), None]);
        for body in (0..good.len()).map(|cut| &good[..cut]) {
            assert!(RowBuffer::new().push(body).is_err(), "{body:?}");
        }
        assert!(RowBuffer::new().push(&[&good[..], b"x"].concat()).is_err());
        assert!(RowBuffer::new().push(&[0, 1, 0xFF, 0xFF, 0xFF, 0xFE]).is_err(), "a length of -2");
    }

    #[test]
    fn a_digest_sees_values_nulls_order_and_boundaries() {
        let base = digest(&[&[Some("a"), Some("b")], &[Some("c"), None]]);
        let swapped = digest(&[&[Some("c"), None], &[Some("a"), Some("b")]]);
        assert_ne!(base.ordered(), swapped.ordered());
        assert_eq!(base.unordered(), swapped.unordered());
        for other in [
            digest(&[&[Some("a"), Some("b")], &[Some("c"), Some("")]]),
            digest(&[&[Some("ab"), Some("")], &[Some("c"), None]]),
            digest(&[&[Some("a"), Some("b")]]),
            digest(&[&[Some("a"), Some("b")], &[Some("c"), None], &[]]),
        ] {
            assert_ne!(base.ordered(), other.ordered());
            assert_ne!(base.unordered(), other.unordered());
        }
        // A duplicate must not cancel itself out.
        assert_ne!(digest(&[&[Some("x")], &[Some("x")]]).unordered(), digest(&[]).unordered());
    }

    #[test]
    fn the_digest_is_the_same_on_every_machine() {
        assert_eq!(digest(&[&[Some("hello, world"), None]]).ordered(), GOLDEN);
    }

    /// From an implementation of its own.
    const GOLDEN: u64 = 15_900_915_262_185_358_642;
}

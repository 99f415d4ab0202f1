//! Messages that run a prepared statement, appended to a request. They are written here and not by `postgres-protocol`, which wants each
//! parameter by itself, where [`Params`] have them ready as the message holds them.

use bytes::{BufMut, BytesMut};

use super::connection::Prepared;
use super::error::WireError;
use super::params::{Format, Params};

/// Bind: the statement of this name with these parameters, as the unnamed portal. One format for all columns.
pub(super) fn bind(out: &mut BytesMut, name: &str, format: Format, params: &Params) -> Result<(), WireError> {
    let start = out.len();
    out.put_slice(b"B\0\0\0\0\0"); // length to come; the unnamed portal
    out.put_slice(name.as_bytes());
    out.put_u8(0);
    params.write(out)?;
    out.put_i16(1);
    out.put_i16(format as i16);
    // Params::write bounds the size.
    let length = u32::try_from(out.len() - start - 1).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(start + 1..start + 5) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

/// Describe: the columns of the unnamed portal.
pub(super) fn describe_portal(out: &mut BytesMut) {
    out.put_slice(b"D\0\0\0\x06P\0");
}

/// Execute: all rows of the unnamed portal.
pub(super) fn execute(out: &mut BytesMut) {
    out.put_slice(b"E\0\0\0\x09\0\0\0\0\0");
}

/// Bind and Execute. Fails if the number of parameters is not the statement's.
pub(super) fn execution(out: &mut BytesMut, statement: &Prepared, params: &Params) -> Result<(), WireError> {
    if params.len() != statement.parameters.len() {
        return Err(WireError::Invalid(format!(
            "statement \"{}\" takes {} parameters, and {} were given",
            statement.name,
            statement.parameters.len(),
            params.len()
        )));
    }
    bind(out, &statement.name, statement.format, params)?;
    execute(out);
    Ok(())
}

//! Data on standard output, messages on standard error.
//!
//! `println!` panics when the reader has gone (`plue logs … | head`); here that ends the command
//! quietly.

use std::io::{self, Write as _};

use serde::Serialize;

use crate::{args::Format, failure::Failure};

/// Writes bytes as they are.
///
/// # Errors
/// The reader has gone, or the device refuses.
pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| refused(&error))
}

/// Writes a text as it is.
///
/// # Errors
/// As [`bytes`].
pub fn text(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// Writes a text and ends its line.
///
/// # Errors
/// As [`bytes`].
pub fn line(text: &str) -> Result<(), Failure> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes one JSON document on one line.
///
/// # Errors
/// As [`bytes`].
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string(value).map_err(|error| Failure::infrastructure(&error))?;
    line(&json)
}

/// Writes a document for people to read as well, over several lines.
///
/// # Errors
/// As [`bytes`].
pub fn pretty(value: &impl Serialize) -> Result<(), Failure> {
    let json =
        serde_json::to_string_pretty(value).map_err(|error| Failure::infrastructure(&error))?;
    line(&json)
}

/// Writes a list: for people as the text of `table`, as one document, or each record on a line.
///
/// # Errors
/// As [`bytes`].
pub fn list<D: Serialize, R: Serialize>(
    format: Format,
    document: &D,
    records: &[R],
    table: impl FnOnce() -> String,
) -> Result<(), Failure> {
    match format {
        Format::Table => text(&table()),
        Format::Json => pretty(document),
        Format::Jsonl => records.iter().try_for_each(json),
    }
}

/// Writes a message to standard error. A closed standard error is ignored.
pub fn report(text: &str) {
    let _closed = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// A failed write to standard output.
#[must_use]
pub fn refused(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::closed()
    } else {
        Failure::infrastructure(error)
    }
}

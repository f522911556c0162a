//! A whole run in one file: a zstd-compressed tar with rows, blobs, sources, and a manifest of hashes.
//!
//! Nothing of such a file is ever unpacked to a path that the file names. Must not trust a file: its
//! form, sizes and hashes are checked before the first row is stored.

pub mod read;
pub mod write;

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use plue_store::portable::Cell;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// The version of the form.
pub const FORMAT: u32 = 1;
/// Name of the entry that comes first.
pub const HEADER: &str = "plue-run.json";
/// Name of the entry that comes last.
pub const MANIFEST: &str = "manifest.json";
/// Bytes of an entry with rows or of the manifest at most.
pub const MAX_ROWS_BYTES: u64 = 256 * 1024 * 1024;
/// Values of such an entry at most.
pub const MAX_VALUES: u64 = 4_000_000;
/// Bytes of all entries at most: 64 GiB.
pub const MAX_TOTAL_BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// Most entries of one file.
pub const MAX_ENTRIES: usize = 1_000_000;
/// A file may become so many times larger when it is unpacked.
pub const MAX_GROWTH: u64 = 2_000;

/// The first entry of a file, with its format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub format: u32,
    /// The id of the run.
    pub run: String,
}

/// The last entry: all others with their sizes and hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// SHA-256 and bytes by name.
    pub entries: BTreeMap<String, (String, u64)>,
    /// Sources of the plan: SHA-256 by path. Their content is among the blobs.
    pub sources: BTreeMap<String, String>,
    /// Sources and artifacts whose content was not there any more when the file was written.
    pub missing: Vec<String>,
}

/// One page of rows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    table: String,
    columns: Vec<String>,
    rows: Vec<Vec<Json>>,
}

/// Reason for refusing a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read or written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It is no such file, is damaged, or tries something.
    #[error("the file is not a run that plue exported: {0}")]
    Bad(String),
    /// The run cannot be exported now.
    #[error("{0}")]
    Refused(String),
    /// The database failed to answer.
    #[error(transparent)]
    Store(#[from] plue_store::Error),
}

fn to_json(cell: &Cell) -> Json {
    match cell {
        Cell::Null => Json::Null,
        Cell::Int(value) => json!(value),
        Cell::Text(value) => json!(value),
        Cell::Bytes(value) => json!({ "base64": STANDARD.encode(value) }),
    }
}

fn from_json(value: Json) -> Option<Cell> {
    Some(match value {
        Json::Null => Cell::Null,
        Json::Number(number) => Cell::Int(number.as_i64()?),
        Json::String(text) => Cell::Text(text),
        Json::Object(map) => Cell::Bytes(STANDARD.decode(map.get("base64")?.as_str()?).ok()?),
        Json::Bool(_) | Json::Array(_) => return None,
    })
}

/// The name of an entry with rows.
fn rows_name(table: &str, page: usize) -> String {
    format!("rows/{table}/{page:06}.json")
}

/// Kind of an entry, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Header,
    Rows(String),
    Blob(String),
    Manifest,
}

/// Only the names that [`mod@write`] gives are names.
fn entry_of(name: &str) -> Option<Entry> {
    if name == HEADER {
        return Some(Entry::Header);
    }
    if name == MANIFEST {
        return Some(Entry::Manifest);
    }
    if let Some(hash) = name.strip_prefix("blobs/") {
        let is_hash =
            hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        return is_hash.then(|| Entry::Blob(hash.to_owned()));
    }
    let (table, page) = name.strip_prefix("rows/")?.split_once('/')?;
    let digits = page.strip_suffix(".json")?;
    let is_page = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let table = plue_store::portable::table(table).filter(|_| is_page)?;
    Some(Entry::Rows(table.name.to_owned()))
}

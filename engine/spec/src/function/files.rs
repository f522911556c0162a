//! `hash_files`: a mark in the key of a cache that the runner replaces by the hash of the files.
//!
//! Must not read a file: expressions are pure.

use serde_json::Value as Json;

use super::{Args, text_arg, wrong};
use crate::{error::Error, evaluate::Cost};

/// The function's name in expressions.
pub(crate) const NAME: &str = "hash_files";

/// The mark; `plue_wire::outputs::files_mark` makes and reads the same.
pub(super) fn hash_files(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let mut globs = Vec::new();
    for at in 0..args.len() {
        let glob = text_arg(args, at, cost)?;
        if glob.is_empty() || glob.contains(['\u{1}', '\u{2}']) {
            return Err(wrong("a glob", super::arg(args, at)));
        }
        globs.push(glob);
    }
    Ok(Json::String(format!("\u{1}hash_files {}\u{2}", globs.join("\u{1}"))))
}

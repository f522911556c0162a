//! Functions of paths, as texts with `/`; nothing is looked up.

use serde_json::Value as Json;

use super::{Args, made, text_arg};
use crate::{error::Error, evaluate::Cost};

/// The last part: `b.txt` of `a/b.txt`, `b` of `a/b/`.
pub(super) fn basename(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let path = text_arg(args, 0, cost)?;
    made(last(path).to_owned(), cost)
}

/// Everything before the last part: `a` of `a/b.txt`, `.` of `b.txt`, `/` of `/b`.
pub(super) fn dirname(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let path = text_arg(args, 0, cost)?;
    let path =
        if path.trim_end_matches('/').is_empty() { path } else { path.trim_end_matches('/') };
    let folder = match path.rsplit_once('/') {
        Some((folder, _)) if folder.trim_end_matches('/').is_empty() => "/",
        Some((folder, _)) => folder.trim_end_matches('/'),
        None => ".",
    };
    made(folder.to_owned(), cost)
}

/// The end of the last part with its dot: `.gz` of `a.tar.gz`, nothing of `.profile`.
pub(super) fn ext(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let path = text_arg(args, 0, cost)?;
    let (_, ext) = parts(last(path));
    made(ext.to_owned(), cost)
}

/// The last part without its end: `a.tar` of `x/a.tar.gz`.
pub(super) fn stem(args: Args<'_, '_>, cost: &mut Cost) -> Result<Json, Error> {
    let path = text_arg(args, 0, cost)?;
    let (stem, _) = parts(last(path));
    made(stem.to_owned(), cost)
}

fn last(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

fn parts(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(0) | None => (name, ""),
        Some(at) => name.split_at(at),
    }
}

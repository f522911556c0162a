//! The sources of one evaluation: the workflow file and the modules of `.plue/lib`, within the
//! limits that the evaluator has too. They are checked here as well, because what a child refuses it
//! has already read.

use std::collections::BTreeMap;

use plue_plan::{Code, Diagnostic, Span};
use plue_wire::eval::{Bytes, MAX_BUNDLE_BYTES, MAX_SOURCE_BYTES};
use sha2::{Digest as _, Sha256};

use crate::{
    codes,
    declared::{self, max_bytes},
    error::PlanError,
    view::{CommitView, Content, ViewError, normal},
};

/// The folder of modules that workflow files import.
pub(crate) const LIB_FOLDER: &str = ".plue/lib";
/// Modules at most; the bundle's bytes are limited too.
const MAX_MODULES: usize = 1_000;

/// Source files of an evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sources {
    /// Path of the workflow file.
    pub(crate) entry: String,
    /// All files by path.
    pub(crate) files: BTreeMap<String, Bytes>,
}

// === impl Sources ===

impl Sources {
    /// Reads the workflow file, and for Python the modules.
    pub(crate) fn read(view: &dyn CommitView, entry: &str) -> Result<Self, PlanError> {
        let mut problems = Vec::new();
        let entry = normal(entry).ok_or_else(|| PlanError::invalid(no_such_file(entry)))?;
        let mut files = BTreeMap::new();
        match source(view, &entry, max_bytes(&entry), &mut problems)? {
            Some(bytes) => _ = files.insert(entry.clone(), bytes),
            None if problems.is_empty() => problems.push(no_such_file(&entry)),
            None => {}
        }
        if declared::format(&entry).is_some() {
            let read = Self { entry, files };
            return if problems.is_empty() { Ok(read) } else { Err(PlanError::Invalid(problems)) };
        }
        let modules = view.files_in(LIB_FOLDER)?;
        let modules = modules.iter().filter(|path| path.ends_with(".py") && **path != entry);
        for path in modules.take(MAX_MODULES) {
            if let Some(bytes) = source(view, path, MAX_SOURCE_BYTES, &mut problems)? {
                files.insert(path.clone(), bytes);
            }
        }
        let size: usize = files.values().map(|bytes| bytes.0.len()).sum();
        if size > MAX_BUNDLE_BYTES {
            let message = format!(
                "the workflow file and the modules of {LIB_FOLDER} are {size} bytes, the limit is {MAX_BUNDLE_BYTES}"
            );
            problems.push(
                at(codes::BUNDLE_TOO_LARGE, &entry, message)
                    .hint("remove modules that no workflow imports"),
            );
        }
        if problems.is_empty() {
            Ok(Self { entry, files })
        } else {
            Err(PlanError::Invalid(problems))
        }
    }

    /// True if a text occurs in any of them.
    pub(crate) fn mention(&self, text: &str) -> bool {
        let has = |bytes: &Bytes| std::str::from_utf8(&bytes.0).is_ok_and(|own| own.contains(text));
        self.files.values().any(has)
    }

    /// A number for these sources.
    pub(crate) fn hash_into(&self, hasher: &mut Sha256) {
        for (path, bytes) in &self.files {
            for part in [path.as_bytes(), &bytes.0] {
                hasher.update(part.len().to_le_bytes());
                hasher.update(part);
            }
        }
    }
}

/// SHA-256 in lower-case hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn source(
    view: &dyn CommitView,
    path: &str,
    max: usize,
    problems: &mut Vec<Diagnostic>,
) -> Result<Option<Bytes>, ViewError> {
    match view.content(path, max)? {
        Content::Bytes(bytes) => match std::str::from_utf8(&bytes) {
            Ok(_) => return Ok(Some(Bytes(bytes))),
            Err(error) => problems.push(not_utf8(path, &bytes, error.valid_up_to())),
        },
        Content::TooLarge(size) => problems.push(
            at(
                codes::SOURCE_TOO_LARGE,
                path,
                format!("the file is {size} bytes, the limit is {max}"),
            )
            .hint("move long prompts and scripts into files of their own"),
        ),
        Content::NotAFile => {
            problems.push(
                Diagnostic::error(
                    codes::NO_SUCH_FILE,
                    format!("`{path}` is a symbolic link or a folder, and is not read"),
                )
                .hint("put the file itself there; a link may lead out of the commit"),
            );
        }
        Content::Absent => {}
    }
    Ok(None)
}

fn not_utf8(path: &str, bytes: &[u8], valid: usize) -> Diagnostic {
    let before = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default());
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    let byte = bytes.get(valid).copied().unwrap_or_default();
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Diagnostic::error(
        codes::NOT_UTF8,
        format!("the file is not UTF-8: byte 0x{byte:02x} is no part of a character"),
    )
    .at(Span::at(path, number(line), number(column)))
    .hint("save it as UTF-8; another encoding cannot be declared")
}

fn no_such_file(path: &str) -> Diagnostic {
    Diagnostic::error(codes::NO_SUCH_FILE, format!("there is no file `{path}` to read"))
}

fn at(code: Code, path: &str, message: String) -> Diagnostic {
    Diagnostic::error(code, message).at(Span::at(path, 1, 1))
}

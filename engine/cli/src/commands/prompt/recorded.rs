//! Recorded answers of the cases of a prompt, in `NAME.answers.json`: a transcript for each case.
//!
//! Must not hold a key or the model's reasoning: the file is committed with its prompt.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use plue_llm::agent::Fact;
use plue_plan::{Diagnostic, Span};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Bytes of a file of answers at most.
const MAX_FILE_BYTES: u64 = 32 << 20;
/// The version of the file.
const VERSION: u32 = 1;

/// The answers of one file of cases.
#[derive(Debug)]
pub(super) struct Recorded {
    path: PathBuf,
    shown: String,
    file: File,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    /// Facts of the transcript by the id of the case.
    cases: BTreeMap<String, Vec<Fact>>,
}

// === impl Recorded ===

impl Recorded {
    /// The answers of a file of cases. `folder`: the place that `cases` is relative to.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub(super) fn of_cases(folder: &Path, cases: &str) -> Result<Self, Failure> {
        let name = cases.strip_suffix(".cases.json").or_else(|| cases.strip_suffix(".json"));
        let shown = format!("{}.answers.json", name.unwrap_or(cases));
        let path = folder.join(&shown);
        let bad = |why: String| {
            let problem = Diagnostic::error(plue_prompts::codes::BAD_CASES, why);
            let hint = "correct it, or remove it and record the answers again";
            Failure::invalid(vec![problem.at(Span::at(shown.as_str(), 1, 1))]).hint(hint)
        };
        let mut text = Vec::new();
        match std::fs::File::open(&path) {
            Ok(file) => {
                let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text);
                read.map_err(|error| bad(format!("it cannot be read: {error}")))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let file = File { version: VERSION, cases: BTreeMap::new() };
                return Ok(Self { path, shown, file });
            }
            Err(error) => return Err(bad(format!("it cannot be read: {error}"))),
        }
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(bad(format!("it has more than {MAX_FILE_BYTES} bytes")));
        }
        let file: File = serde_json::from_slice(&text)
            .map_err(|error| bad(format!("these are no recorded answers: {error}")))?;
        if file.version != VERSION {
            return Err(bad(format!("version {} is not known", file.version)));
        }
        Ok(Self { path, shown, file })
    }

    /// The transcript of a case.
    pub(super) fn of(&self, case: &str) -> Option<&[Fact]> {
        self.file.cases.get(case).map(Vec::as_slice)
    }

    /// Stores the transcript of a case, and removes those of cases that are gone. A reader sees the old
    /// file or the new one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn put(
        &mut self,
        case: &str,
        mut facts: Vec<Fact>,
        known: &[&str],
    ) -> Result<(), Failure> {
        facts.iter_mut().for_each(without_reasoning);
        self.file.cases.insert(case.to_owned(), facts);
        self.file.cases.retain(|id, _| known.contains(&id.as_str()));
        let text = serde_json::to_vec_pretty(&self.file);
        let mut text = text.map_err(|error| Failure::infrastructure(&error))?;
        text.push(b'\n');
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let written = tempfile::Builder::new().prefix(".answers").tempfile_in(folder).and_then(
            |mut draft| {
                draft.write_all(&text)?;
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
                draft.as_file().set_permissions(mode)?;
                Ok(draft.persist(&self.path)?)
            },
        );
        match written {
            Ok(_file) => Ok(()),
            Err(error) => {
                let message = format!("cannot write {}: {error}", self.shown);
                let code = crate::failure::codes::INFRASTRUCTURE;
                let problem = Diagnostic::error(code, message);
                Err(Failure::new(crate::exit::Exit::Infrastructure, problem))
            }
        }
    }
}

/// Reasoning is signed and long, and no later request needs it: requests of a recording are those that
/// its own answers lead to.
fn without_reasoning(fact: &mut Fact) {
    if let Fact::Answered { answer, .. } = fact {
        answer.content.retain(|block| !block.kind().contains("thinking"));
    }
}

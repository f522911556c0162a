//! The read-set: everything a plan was made from, as hashes, so that it can be made again.

use std::collections::BTreeMap;

use plue_plan::Diagnostic;
use plue_wire::eval::{Facts, FileFact};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    difference::Difference,
    error::PlanError,
    planner::PlanRequest,
    sources::{Sources, sha256},
    texts::{TextKind, TextLibrary, Texts},
    view::{CommitView, ViewError},
};

/// Inputs of one evaluation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadSet {
    /// Path of the workflow file.
    pub entry: String,
    /// SHA-256 of each source, by path.
    pub sources: BTreeMap<String, String>,
    /// Answers of `ctx.read` and `ctx.exists`, by path.
    pub files: BTreeMap<String, FileRecord>,
    /// SHA-256 of what `ctx.glob` answered, by pattern.
    pub globs: BTreeMap<String, String>,
    /// SHA-256 of `ctx.changed_files`, if requested.
    pub changed_files: Option<String>,
    /// The event, if the file requested it and the workflow was not only listed.
    pub event_json: Option<String>,
    /// Inputs of the run, as JSON.
    pub inputs_json: String,
    /// The build of the evaluator: `3.11.2/x86_64/<policy version> (shared /usr/bin/python3.11)`.
    pub evaluator: String,
    /// The prompts and roles that the plans name, with their texts.
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub texts: Texts,
}

/// Record of one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileRecord {
    /// Read; SHA-256 of the content.
    Sha256(String),
    /// Not text, so it could not be read.
    NotText,
    /// Exists; contents not requested.
    Present,
    /// The path does not exist in the commit.
    Absent,
}

/// Result of deriving a plan again.
#[derive(Debug, Clone, PartialEq)]
pub enum Verification {
    /// From the same sources and facts comes the same plan.
    Equal,
    /// The evaluation now reads other content.
    Differs {
        /// Sources and facts of the commit that are not as recorded: what, then, now.
        facts: Vec<Difference>,
        /// The first field in which the plans differ, if they do.
        plan: Option<Difference>,
        /// The evaluator builds then and now, if they differ.
        evaluator: Option<(String, String)>,
        /// Causes why there is no plan any more, if there is none.
        problems: Vec<Diagnostic>,
    },
}

// === impl ReadSet ===

impl ReadSet {
    pub(crate) fn of(sources: &Sources, question: &Question, facts: &Facts, build: &str) -> Self {
        let hashes = sources.files.iter().map(|(path, bytes)| (path.clone(), sha256(&bytes.0)));
        let files = facts.files.iter().map(|(path, fact)| (path.clone(), FileRecord::of(fact)));
        let globs = facts.globs.iter().map(|(glob, paths)| (glob.clone(), list_hash(paths)));
        Self {
            entry: sources.entry.clone(),
            sources: hashes.collect(),
            files: files.collect(),
            globs: globs.collect(),
            changed_files: facts.changed_files.as_deref().map(list_hash),
            event_json: question.event_json.clone(),
            inputs_json: question.inputs_json.clone(),
            evaluator: build.to_owned(),
            texts: Texts::new(),
        }
    }

    /// True if all facts (not the sources) are the same in this commit.
    ///
    /// # Errors
    /// The commit cannot be read.
    pub fn facts_hold(&self, view: &dyn CommitView) -> Result<bool, ViewError> {
        Ok(self.facts(view, true)?.is_empty())
    }

    /// True if the evaluation requested nothing of the commit.
    #[must_use]
    pub fn has_no_facts(&self) -> bool {
        self.files.is_empty()
            && self.globs.is_empty()
            && self.changed_files.is_none()
            && self.texts.is_empty()
    }

    /// Every source and fact that is not as recorded.
    pub(crate) fn differences(&self, view: &dyn CommitView) -> Result<Vec<Difference>, ViewError> {
        let mut found = Vec::new();
        let now = match Sources::read(view, &self.entry) {
            Ok(sources) => sources.files,
            Err(PlanError::Invalid(_)) => BTreeMap::new(),
            Err(PlanError::Infrastructure(crate::Error::View(error))) => return Err(error),
            Err(PlanError::Infrastructure(_)) => BTreeMap::new(),
        };
        for (path, hash) in &self.sources {
            let hash_now = now.get(path).map(|bytes| sha256(&bytes.0));
            compare(&mut found, path, hash, hash_now.as_deref().unwrap_or("absent"));
        }
        for (path, bytes) in &now {
            if !self.sources.contains_key(path) {
                compare(&mut found, path, "absent", &sha256(&bytes.0));
            }
        }
        found.extend(self.facts(view, false)?);
        Ok(found)
    }

    fn facts(&self, view: &dyn CommitView, only_first: bool) -> Result<Vec<Difference>, ViewError> {
        let mut found = Vec::new();
        for (path, then) in &self.files {
            let now = then.again(view, path)?;
            compare(&mut found, path, &then.text(), &now.text());
            if only_first && !found.is_empty() {
                return Ok(found);
            }
        }
        for (pattern, then) in &self.globs {
            let now = list_hash(&view.glob(pattern)?);
            compare(&mut found, &format!("glob {pattern}"), then, &now);
        }
        if let Some(then) = &self.changed_files {
            compare(&mut found, "changed_files", then, &list_hash(&view.changed_files()?));
        }
        for (key, then) in &self.texts {
            let now = text_hash(TextLibrary::new(view), key)?;
            let then = then.as_ref().map_or("absent", |text| text.sha256.as_str());
            compare(&mut found, key, then, &now);
        }
        Ok(found)
    }
}

/// The part of a request that is no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) event_json: Option<String>,
    /// True if it is about every event.
    pub(crate) of_any_event: bool,
    pub(crate) inputs_json: String,
}

// === impl Question ===

impl Question {
    pub(crate) fn of(request: &PlanRequest) -> Self {
        let event = request.event.as_ref();
        Self {
            event_json: event.map(|event| serde_json::to_string(event).unwrap_or_default()),
            of_any_event: false,
            inputs_json: Json::Object(request.inputs.clone()).to_string(),
        }
    }

    pub(crate) fn recorded(record: &ReadSet) -> Self {
        let (event_json, inputs_json) = (record.event_json.clone(), record.inputs_json.clone());
        Self { event_json, of_any_event: false, inputs_json }
    }

    /// Without an event and inputs.
    pub(crate) fn nothing() -> Self {
        Self { event_json: None, of_any_event: false, inputs_json: "{}".to_owned() }
    }

    /// The same question about every event.
    pub(crate) fn of_any_event(&self) -> Self {
        Self { event_json: None, of_any_event: true, inputs_json: self.inputs_json.clone() }
    }
}

// === impl FileRecord ===

impl FileRecord {
    fn of(fact: &FileFact) -> Self {
        match fact {
            FileFact::Text(text) => Self::Sha256(sha256(text.as_bytes())),
            FileFact::NotText => Self::NotText,
            FileFact::Present => Self::Present,
            FileFact::Absent => Self::Absent,
        }
    }

    /// The same request at another commit. The record shows whether it is for existence only.
    fn again(&self, view: &dyn CommitView, path: &str) -> Result<Self, ViewError> {
        Ok(match self {
            Self::Present => Self::presence(view.exists(path)?),
            Self::Sha256(_) | Self::NotText | Self::Absent => Self::of(&view.read(path)?),
        })
    }

    fn presence(there: bool) -> Self {
        if there { Self::Present } else { Self::Absent }
    }

    fn text(&self) -> String {
        match self {
            Self::Sha256(hash) => hash.clone(),
            Self::NotText => "not text".to_owned(),
            Self::Present => "present".to_owned(),
            Self::Absent => "absent".to_owned(),
        }
    }
}

/// Hash of a [`Texts`] entry in this commit.
fn text_hash(library: TextLibrary<'_>, key: &str) -> Result<String, ViewError> {
    let kinds = [TextKind::Prompt, TextKind::Role].into_iter();
    let mut named = kinds.filter_map(|kind| Some((kind, key.strip_prefix(&kind.key(""))?)));
    let found = match named.next() {
        Some((kind, name)) => library.find(kind, name)?,
        None => None,
    };
    Ok(match found {
        Some(Ok(text)) => text.sha256,
        Some(Err(_)) => "not text".to_owned(),
        None => "absent".to_owned(),
    })
}

/// One hash for a list of paths, which cannot hold NUL.
pub(crate) fn list_hash(paths: &[String]) -> String {
    sha256(paths.join("\0").as_bytes())
}

fn compare(found: &mut Vec<Difference>, what: &str, then: &str, now: &str) {
    if then != now {
        found.push(Difference {
            path: what.to_owned(),
            left: then.to_owned(),
            right: now.to_owned(),
        });
    }
}

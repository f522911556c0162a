//! Prompts and roles of a commit: found by name, checked against the values of steps, and pinned.
//!
//! A repository's own file takes precedence over the shipped one of the same name. The texts of the
//! names in a plan are recorded in the read-set: a run uses these texts, not those of a later
//! commit or of a newer plue. Must not render anything: inputs may have no values yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use plue_plan::{Diagnostic, Severity, Span, validate::did_you_mean};
use plue_prompts::{Partials, PromptFile, Role, Roles, codes, limits::MAX_FILE_BYTES, shipped};
use serde::{Deserialize, Serialize};

use crate::{
    error::PlanError,
    judge::{Draft, PlannedWorkflow, Refused},
    sources::sha256,
    view::{CommitView, Content, ViewError},
};

mod bind;

pub(crate) use bind::bind;

/// The folder of prompts in a repository.
pub const PROMPTS_FOLDER: &str = ".plue/prompts";
/// The folder of roles in a repository.
pub const ROLES_FOLDER: &str = ".plue/roles";
/// Files of one of these folders that are looked at.
pub const MAX_TEXTS: usize = 1_000;

/// A prompt (or a partial, which is the same kind of file) or a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextKind {
    /// A file of [`PROMPTS_FOLDER`] or of the shipped library.
    Prompt,
    /// A file of [`ROLES_FOLDER`] or a shipped role.
    Role,
}

/// Source of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextOrigin {
    /// A file of the repository.
    Repository,
    /// It comes with plue.
    Shipped,
}

/// A text as it was when the plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedText {
    /// Source of the text.
    pub origin: TextOrigin,
    /// Path in the repository, or in plue's sources.
    pub file: String,
    /// SHA-256 of `text`.
    pub sha256: String,
    /// Contents of the whole file.
    pub text: String,
}

/// Texts named by a plan, by kind and name (`role reviewer`); `None`: there is no such file.
pub type Texts = BTreeMap<String, Option<PinnedText>>;

/// The prompts and roles that one commit can use.
#[derive(Clone, Copy)]
pub struct TextLibrary<'v> {
    view: &'v dyn CommitView,
}

/// A text of the library, or the reason why it cannot be read.
pub type TextLookup = Result<PinnedText, Diagnostic>;

// === impl TextKind ===

impl TextKind {
    /// Folder in the repository.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Prompt => PROMPTS_FOLDER,
            Self::Role => ROLES_FOLDER,
        }
    }

    /// The key of a name in [`Texts`].
    #[must_use]
    pub fn key(self, name: &str) -> String {
        format!("{self} {name}")
    }

    fn shipped(self) -> &'static [shipped::Shipped] {
        match self {
            Self::Prompt => shipped::LIBRARY_FILES,
            Self::Role => shipped::ROLE_FILES,
        }
    }
}

impl fmt::Display for TextKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prompt => "prompt",
            Self::Role => "role",
        })
    }
}

// === impl PinnedText ===

impl PinnedText {
    fn new(origin: TextOrigin, file: &str, text: &str) -> Self {
        let sha256 = sha256(text.as_bytes());
        Self { origin, file: file.to_owned(), sha256, text: text.to_owned() }
    }
}

// === impl TextLibrary ===

impl<'v> TextLibrary<'v> {
    /// Texts of a commit.
    #[must_use]
    pub fn new(view: &'v dyn CommitView) -> Self {
        Self { view }
    }

    /// The text of a name; a role is also found by an alias, without case, and with `-` for `_`.
    ///
    /// # Errors
    /// The commit cannot be read.
    pub fn find(&self, kind: TextKind, name: &str) -> Result<Option<TextLookup>, ViewError> {
        if plue_plan::id::check_identifier(name).is_err() {
            return Ok(None);
        }
        if let Some(own) = self.own(&format!("{}/{name}.md", kind.folder()))? {
            return Ok(Some(own));
        }
        if kind == TextKind::Role
            && let Some(own) = self.own_role(name)?
        {
            return Ok(Some(own));
        }
        Ok(shipped_text(kind, name).map(Ok))
    }

    /// Every name with its text, sorted; shipped ones that the repository replaces are left out.
    ///
    /// # Errors
    /// The commit cannot be read.
    pub fn all(&self, kind: TextKind) -> Result<Vec<(String, TextLookup)>, ViewError> {
        let mut all = BTreeMap::new();
        for shipped in kind.shipped() {
            let text = PinnedText::new(TextOrigin::Shipped, shipped.file, shipped.text);
            all.insert(shipped.name.to_owned(), Ok(text));
        }
        for (name, path) in self.own_files(kind)? {
            if let Some(own) = self.own(&path)? {
                all.insert(name, own);
            }
        }
        Ok(all.into_iter().collect())
    }

    /// The partials that a prompt needs, with theirs; those that are not there are left out, so that
    /// linking names them. Each text that was read is added to `texts`.
    ///
    /// # Errors
    /// The commit cannot be read.
    pub fn partials(
        &self,
        prompt: &PromptFile,
        texts: &mut Texts,
    ) -> Result<(Partials, Vec<Diagnostic>), ViewError> {
        let (mut partials, mut problems) = (Partials::new(), Vec::new());
        let mut open: Vec<String> = prompt.includes().map(str::to_owned).collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = open.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            let found = self.find(TextKind::Prompt, &name)?;
            let key = TextKind::Prompt.key(&name);
            match found {
                None => drop(texts.insert(key, None)),
                Some(Err(problem)) => problems.push(problem),
                Some(Ok(text)) => {
                    match partials.insert(&name, &text.file, &text.text) {
                        Ok(()) => open.extend(partials.includes(&name).map(str::to_owned)),
                        Err(found) => problems.extend(found),
                    }
                    texts.insert(key, Some(text));
                }
            }
        }
        Ok((partials, problems))
    }

    /// That there is no prompt of this name, with the nearest one that exists.
    ///
    /// # Errors
    /// The commit cannot be read.
    pub fn unknown_prompt(&self, name: &str) -> Result<Diagnostic, ViewError> {
        let shown: String = name.chars().take(128).flat_map(char::escape_debug).collect();
        let problem =
            Diagnostic::error(codes::UNKNOWN_PROMPT, format!("there is no prompt `{shown}`"));
        let own = self.own_files(TextKind::Prompt)?;
        let names = own.keys().map(String::as_str);
        let names = names.chain(shipped::LIBRARY_FILES.iter().map(|shipped| shipped.name));
        Ok(problem.hint(match did_you_mean(name, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write {PROMPTS_FOLDER}/{shown}.md, or see `plue prompt list`"),
        }))
    }

    /// Paths of the repository's own files by name.
    fn own_files(&self, kind: TextKind) -> Result<BTreeMap<String, String>, ViewError> {
        let paths = self.view.files_in(kind.folder())?;
        let named = paths.into_iter().filter_map(|path| {
            let name = path.rsplit('/').next()?.strip_suffix(".md")?;
            plue_plan::id::check_identifier(name).ok()?;
            Some((name.to_owned(), path))
        });
        Ok(named.take(MAX_TEXTS).collect())
    }

    /// A role by another spelling of its file's name, or by an alias.
    fn own_role(&self, name: &str) -> Result<Option<TextLookup>, ViewError> {
        for (stem, path) in self.own_files(TextKind::Role)? {
            let Some(found) = self.own(&path)? else { continue };
            let Ok(text) = &found else { continue };
            let mut one = Roles::new();
            let known = match Role::parse(&text.file, &text.text) {
                Ok(role) => one.insert(role).is_ok() && one.get(name).is_some(),
                Err(_) => false,
            };
            if known || plue_prompts::role::same_name(&stem, name) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn own(&self, path: &str) -> Result<Option<TextLookup>, ViewError> {
        let unreadable = |why: String| {
            let problem = Diagnostic::error(codes::UNREADABLE, format!("`{path}` {why}"));
            Some(Err(problem.at(Span::at(path, 1, 1))))
        };
        Ok(match self.view.content(path, MAX_FILE_BYTES)? {
            Content::Bytes(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Some(Ok(PinnedText::new(TextOrigin::Repository, path, &text))),
                Err(_) => unreadable("is not UTF-8".to_owned()),
            },
            Content::TooLarge(size) => {
                unreadable(format!("has {size} bytes; {MAX_FILE_BYTES} are allowed"))
            }
            Content::NotAFile => unreadable("is a link or no file".to_owned()),
            Content::Absent => None,
        })
    }
}

fn shipped_text(kind: TextKind, name: &str) -> Option<PinnedText> {
    let file = match kind {
        TextKind::Prompt => kind.shipped().iter().find(|shipped| shipped.name == name)?,
        TextKind::Role => {
            let role = plue_prompts::roles().get(name)?;
            kind.shipped().iter().find(|shipped| shipped.name == role.name())?
        }
    };
    Some(PinnedText::new(TextOrigin::Shipped, file.file, file.text))
}

/// The workflows with the prompts and roles that they name; what is wrong with any of those, all at once.
pub(crate) fn bind_all(
    mut workflows: Vec<PlannedWorkflow>,
    view: &dyn CommitView,
) -> Result<(Vec<PlannedWorkflow>, Texts), Refused> {
    let (mut texts, mut problems) = (Texts::new(), Vec::new());
    for workflow in &mut workflows {
        let plan = &workflow.hashed.plan;
        let found = bind(TextLibrary::new(view), plan, &workflow.places, &mut texts)?;
        let (errors, warnings): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|problem| problem.severity == Severity::Error);
        problems.extend(errors);
        workflow.warnings.extend(warnings);
    }
    if problems.is_empty() {
        return Ok((workflows, texts));
    }
    let drafts =
        workflows.into_iter().map(|one| Draft { plan: one.hashed.plan, places: one.places });
    Err(Refused { error: PlanError::Invalid(problems), drafts: drafts.collect() })
}

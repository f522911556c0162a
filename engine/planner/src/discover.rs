//! Discovery: which files of a commit are workflows (`docs/reference/language.md`).
//!
//! Must not evaluate anything; a broken file is found like any other.

use plue_plan::{Diagnostic, validate::did_you_mean};

use crate::{
    codes,
    view::{CommitView, ViewError, normal},
};

/// Workflow files of one commit.
pub const MAX_WORKFLOWS: usize = 1_000;
/// Folders in which nothing is a workflow.
const EXCLUDED: [&str; 5] = [".git", "node_modules", "vendor", "target", ".venv"];
/// Folder of YAML and JSON workflows of Claude Code.
const CLAUDE_FOLDER: &str = ".claude/workflows/";

/// The front end that reads a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkflowKind {
    /// Python, `.plue.py`.
    Python,
    /// YAML, `.plue.yaml` or `.plue.yml`.
    Yaml,
    /// JSON, `.plue.json`.
    Json,
}

/// A file that yields plans.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkflowFile {
    /// Path in the repository.
    pub path: String,
    /// Front end of the file.
    pub kind: WorkflowKind,
}

/// The workflows of a commit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Discovery {
    /// At most [`MAX_WORKFLOWS`], sorted by path.
    pub files: Vec<WorkflowFile>,
    /// Problems of the whole repository.
    pub problems: Vec<Diagnostic>,
}

/// Finds the workflow files of a commit.
///
/// # Errors
/// The commit cannot be read.
pub fn discover(view: &dyn CommitView) -> Result<Discovery, ViewError> {
    let paths = view.matching(&|path| WorkflowFile::at(path).is_some())?;
    let mut files: Vec<_> = paths.iter().filter_map(|path| WorkflowFile::at(path)).collect();
    let mut problems = Vec::new();
    if files.len() > MAX_WORKFLOWS {
        let count = files.len();
        problems.push(
            Diagnostic::error(
                codes::TOO_MANY_WORKFLOWS,
                format!("the commit has {count} workflow files, the limit is {MAX_WORKFLOWS}"),
            )
            .hint("return several plans from one file; files behind the limit are not looked at"),
        );
        files.truncate(MAX_WORKFLOWS);
    }
    Ok(Discovery { files, problems })
}

/// The file that a person means: by its path, or by its name (`ci` for `ci.plue.py`, `api` for
/// `api/.plue.py`). `Ok(None)`: no file has this name; it may still be the name of a plan.
///
/// # Errors
/// More than one file has this name.
pub fn find_by_name<'f>(
    files: &'f [WorkflowFile],
    name: &str,
) -> Result<Option<&'f WorkflowFile>, Diagnostic> {
    if let Some(path) = normal(name)
        && let Some(file) = files.iter().find(|file| file.path == path)
    {
        return Ok(Some(file));
    }
    let mut found = files.iter().filter(|file| file.name() == Some(name));
    let first = found.next();
    let others: Vec<&str> = found.map(|file| file.path.as_str()).collect();
    match (first, others.is_empty()) {
        (Some(first), false) => Err(Diagnostic::error(
            codes::AMBIGUOUS_WORKFLOW,
            format!("{} and {} are both named `{name}`", first.path, others.join(", ")),
        )
        .hint(format!("name the file: plue run {}", first.path))),
        (found, _) => Ok(found),
    }
}

/// That no workflow has this name, with the nearest one that exists.
#[must_use]
pub fn unknown_workflow<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Diagnostic {
    let diagnostic =
        Diagnostic::error(codes::UNKNOWN_WORKFLOW, format!("there is no workflow `{name}`"));
    match did_you_mean(name, known) {
        Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
        None => diagnostic.hint("`plue list` shows all workflows of the repository"),
    }
}

// === impl WorkflowFile ===

impl WorkflowFile {
    /// The workflow file at this path, if the path is that of one.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        if path.split('/').any(|folder| EXCLUDED.contains(&folder)) {
            return None;
        }
        let kind = kind_of(path)?;
        Some(Self { path: path.to_owned(), kind })
    }

    /// True if a file of this path is evaluated, rather than only read.
    #[must_use]
    pub fn is_evaluated(path: &str) -> bool {
        crate::declared::format(path).is_none()
    }

    /// The name without a plan in sight: of `ci.plue.py` it is `ci`, of `api/.plue.py` `api`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let (folder, file) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let stem = file
            .split_once(".plue.")
            .map_or_else(|| file.rsplit_once('.').map_or(file, |(stem, _)| stem), |(stem, _)| stem);
        if !stem.is_empty() {
            return Some(stem);
        }
        folder.rsplit('/').next().filter(|name| !name.is_empty())
    }
}

fn kind_of(path: &str) -> Option<WorkflowKind> {
    let named = |end: &str| path.ends_with(&format!(".plue.{end}"));
    let claude = |end: &str| {
        path.strip_prefix(CLAUDE_FOLDER)
            .is_some_and(|file| !file.contains('/') && file.ends_with(&format!(".{end}")))
    };
    if named("py") {
        Some(WorkflowKind::Python)
    } else if ["yaml", "yml"].iter().any(|end| named(end) || claude(end)) {
        Some(WorkflowKind::Yaml)
    } else if named("json") || claude("json") {
        Some(WorkflowKind::Json)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workflows_are_found_by_their_names_and_places() {
        for (path, kind) in [
            (".plue.py", Some(WorkflowKind::Python)),
            ("ci.plue.py", Some(WorkflowKind::Python)),
            ("a/b/.plue.py", Some(WorkflowKind::Python)),
            ("x.plue.yaml", Some(WorkflowKind::Yaml)),
            ("x.plue.yml", Some(WorkflowKind::Yaml)),
            ("x.plue.json", Some(WorkflowKind::Json)),
            (".claude/workflows/a.yml", Some(WorkflowKind::Yaml)),
            (".claude/workflows/a.json", Some(WorkflowKind::Json)),
            ("sub/.claude/workflows/a.json", None),
            (".claude/workflows/x/a.json", None),
            ("node_modules/p/.plue.py", None),
            ("a/vendor/ci.plue.py", None),
            ("target/ci.plue.py", None),
            (".venv/ci.plue.py", None),
            ("plue.py", None),
            ("xplue.py", None),
            (".plue/lib/x.py", None),
            ("ci.plue.pyc", None),
        ] {
            assert_eq!(WorkflowFile::at(path).map(|file| file.kind), kind, "{path}");
        }
    }

    #[test]
    fn workflows_are_found_by_exact_path_or_name() {
        let paths = [".plue.py", "ci.plue.py", "api/.plue.py", "x/dup.plue.py", "y/dup.plue.yml"];
        let files: Vec<_> = paths.iter().filter_map(|path| WorkflowFile::at(path)).collect();
        let found = |name| find_by_name(&files, name).map(|file| file.map(|f| f.path.as_str()));
        assert_eq!(found("./ci.plue.py"), Ok(Some("ci.plue.py")));
        assert_eq!(found("ci"), Ok(Some("ci.plue.py")));
        assert_eq!(found("api"), Ok(Some("api/.plue.py")));
        assert_eq!(found("nothing"), Ok(None));
        assert_eq!(found("dup").unwrap_err().code, codes::AMBIGUOUS_WORKFLOW);
        let hint = unknown_workflow("cii", ["ci", "api"].into_iter()).hint;
        assert_eq!(hint.as_deref(), Some("did you mean `ci`?"));
    }
}

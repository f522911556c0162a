//! The repository of a command, and the workflow files or names that it is about.

use std::path::{Path, PathBuf};

use super::Refusal;

/// Ending of workflow files that are evaluated.
const EVALUATED: &str = ".plue.py";
/// Entries of a folder that are looked at for a guess.
const MAX_ENTRIES: usize = 10_000;

/// A workflow as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file that is there, relative to the repository.
    File(String),
    /// A name, to be looked up among the workflows.
    Name(String),
}

/// A root from which names are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// The repository that was named; files of others are refused.
    Named(PathBuf),
    /// The repository around the current directory; a file of another one selects that one.
    Around(PathBuf),
}

/// A repository and the workflows that are named in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The root of the repository.
    pub repo: PathBuf,
    /// Files and names in the order given.
    pub targets: Vec<Target>,
}

// === impl Selection ===

impl Selection {
    /// Resolves names: paths of files that exist, else names of workflows.
    ///
    /// # Errors
    /// A directory that is not there, files of different repositories.
    pub fn find<'n>(root: Root, named: impl IntoIterator<Item = &'n str>) -> Result<Self, Refusal> {
        let (is_named, repo) = match root {
            Root::Named(repo) => (true, repo),
            Root::Around(repo) => (false, repo),
        };
        let repo = repo.canonicalize().unwrap_or(repo);
        let mut selection = Self { repo, targets: Vec::new() };
        for name in named {
            // A plain word may be the name of a workflow and of a folder; a path is no name.
            if (name.contains('/') || name == ".") && Path::new(name).is_dir() {
                return Err(Refusal::usage(format!("{name} is a directory"))
                    .hint("name a workflow file, or the repository with --repo"));
            }
            let Some(file) = on_disk(name, is_named.then_some(selection.repo.as_path())) else {
                selection.targets.push(Target::Name(name.to_owned()));
                continue;
            };
            if !file.starts_with(&selection.repo) {
                if is_named || !selection.targets.is_empty() {
                    let (file, repo) = (file.display(), selection.repo.display());
                    return Err(Refusal::usage(format!("{file} is not in the repository {repo}")));
                }
                selection.repo = repository_root(file.parent().unwrap_or(&file));
            }
            selection.targets.push(Target::File(relative(&file, &selection.repo)?));
        }
        Ok(selection)
    }

    /// Whether the first workflow file, as far as it can be guessed, has this word in it.
    #[must_use]
    pub fn mentions(&self, word: &str) -> bool {
        let text = std::fs::read(self.repo.join(self.guess())).unwrap_or_default();
        text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// The file that was named first; else, as there is by custom one file, its usual name.
    #[must_use]
    pub fn guess(&self) -> &str {
        match self.targets.first() {
            Some(Target::File(path)) => path,
            Some(Target::Name(_)) | None => ".plue.py",
        }
    }

    /// Whether the top folder of the repository has a workflow file that is evaluated. Files further below
    /// start evaluators when they are found.
    pub(super) fn has_evaluated_file(&self) -> bool {
        let entries = std::fs::read_dir(&self.repo).into_iter().flatten().flatten();
        let mut names = entries.take(MAX_ENTRIES).map(|entry| entry.file_name());
        names.any(|name| name.to_str().is_some_and(|name| name.ends_with(EVALUATED)))
    }

    /// The files that were named.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().filter_map(|target| match target {
            Target::File(path) => Some(path.as_str()),
            Target::Name(_) => None,
        })
    }
}

/// There is nothing to plan.
pub(super) fn no_workflow(repo: &Path) -> Refusal {
    Refusal::not_found(format!("there is no workflow in {}", repo.display())).hint(format!(
        "a workflow is a file named `.plue.py`, or ending in `.plue.py`, `.plue.yaml` or \
             `.plue.json`; {}",
        super::WITHOUT_A_FILE
    ))
}

/// The file that a name is the path of, from the repository if that was named, else from here. Links
/// on the way to its folder are followed, one at its end is not: the planner refuses it.
fn on_disk(name: &str, repo: Option<&Path>) -> Option<PathBuf> {
    let candidates = [repo.map(|repo| repo.join(name)), std::path::absolute(name).ok()];
    candidates.into_iter().flatten().find_map(|path| {
        let is_file = std::fs::symlink_metadata(&path).is_ok_and(|entry| !entry.is_dir());
        let folder = path.parent().filter(|_| is_file)?.canonicalize().ok()?;
        Some(folder.join(path.file_name()?))
    })
}

fn relative(file: &Path, repo: &Path) -> Result<String, Refusal> {
    let inside = file.strip_prefix(repo).unwrap_or(file);
    inside
        .to_str()
        .map(str::to_owned)
        .ok_or_else(|| Refusal::usage(format!("the path {} is not UTF-8", file.display())))
}

/// The nearest directory upwards that holds `.git`, else the directory itself.
#[must_use]
pub fn repository_root(from: &Path) -> PathBuf {
    let root = from.ancestors().find(|directory| directory.join(".git").exists());
    root.unwrap_or(from).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_python_files_need_evaluators() {
        let folder = tempfile::tempdir().unwrap();
        let repo = folder.path().to_owned();
        let selection = Selection { repo, targets: Vec::new() };
        for name in ["ci.plue.yaml", "setup.py", "x.plue.json"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert!(!selection.has_evaluated_file());
        std::fs::write(folder.path().join("deploy.plue.py"), "").unwrap();
        assert!(selection.has_evaluated_file());
    }
}

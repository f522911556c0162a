//! Where a command works: the repository, and the workflow files or names that were given.

use std::path::{Path, PathBuf};

use crate::{
    app::{App, repository_root},
    failure::Failure,
};

/// What a person named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file that is there, relative to the repository.
    File(String),
    /// A name, to be looked up among the workflows.
    Name(String),
}

/// A repository and what was named in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its root.
    pub repo: PathBuf,
    /// Files and names in the order given.
    pub targets: Vec<Target>,
}

// === impl Place ===

impl Place {
    /// The repository of `--repo`; else the one around the current directory; else, for a file that
    /// lies elsewhere, the one around that file.
    ///
    /// # Errors
    /// A directory that is not there, files of different repositories.
    pub fn find<'n>(
        app: &App,
        repo: Option<&Path>,
        named: impl IntoIterator<Item = &'n str>,
    ) -> Result<Self, Failure> {
        let mut place = Self { repo: app.repository(repo)?, targets: Vec::new() };
        place.repo = place.repo.canonicalize().unwrap_or(place.repo);
        for name in named {
            // A plain word may be the name of a workflow and of a folder; a path is no name.
            if (name.contains('/') || name == ".") && Path::new(name).is_dir() {
                return Err(Failure::usage(format!("{name} is a directory"))
                    .hint("name a workflow file, or the repository with --repo"));
            }
            let Some(file) = on_disk(name, repo.map(|_| place.repo.as_path())) else {
                place.targets.push(Target::Name(name.to_owned()));
                continue;
            };
            if !file.starts_with(&place.repo) {
                if repo.is_some() || !place.targets.is_empty() {
                    let (file, repo) = (file.display(), place.repo.display());
                    return Err(Failure::usage(format!("{file} is not in the repository {repo}")));
                }
                place.repo = repository_root(file.parent().unwrap_or(&file));
            }
            place.targets.push(Target::File(relative(&file, &place.repo)?));
        }
        Ok(place)
    }

    /// Whether the first workflow file, as far as it can be guessed, has this word in it.
    pub fn mentions(&self, word: &str) -> bool {
        let text = std::fs::read(self.repo.join(self.guess())).unwrap_or_default();
        text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// The file that was named first; else, as there is by custom one file, its usual name.
    pub fn guess(&self) -> &str {
        match self.targets.first() {
            Some(Target::File(path)) => path,
            Some(Target::Name(_)) | None => ".plue.py",
        }
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
pub(super) fn no_workflow(repo: &Path) -> Failure {
    Failure::not_found(format!("there is no workflow in {}", repo.display())).hint(format!(
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

fn relative(file: &Path, repo: &Path) -> Result<String, Failure> {
    let inside = file.strip_prefix(repo).unwrap_or(file);
    inside
        .to_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::usage(format!("the path {} is not UTF-8", file.display())))
}

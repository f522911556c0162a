//! Submodules of a commit: the entries of its tree with their sections of `.gitmodules`, and their place in
//! a workspace.
//!
//! `.gitmodules` is foreign input: Git parses it, and names and paths are judged here. Must not fetch.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write as _},
    path::Path,
};

use crate::{
    git::{
        checkout::quoted, command::Call, commit_id::CommitId, error::GitError, files::EntryKind,
        mirror::Mirror,
    },
    limits::{MAX_GITMODULES_BYTES, MAX_SUBMODULES},
};

mod address;

pub use address::Address;

const FILE: &str = ".gitmodules";
/// Bytes of a name: it becomes the name of a folder.
const MAX_NAME_BYTES: usize = 200;

/// A submodule of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submodule {
    /// Name in `.gitmodules`.
    pub name: String,
    /// Path in the repository.
    pub path: String,
    /// Address as it is written; see [`Address::read`].
    pub url: String,
    /// The commit that the tree records.
    pub commit: CommitId,
}

/// The place of a repository in a workspace, both relative to the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryPath {
    /// Its files; empty for the workspace's own.
    pub path: String,
    /// Path of its Git directory.
    pub git_dir: String,
}

pub(super) async fn submodules(
    mirror: &Mirror,
    commit: &CommitId,
) -> Result<Vec<Submodule>, GitError> {
    let mut links = Vec::new();
    let mut has_file = false;
    for entry in mirror.list(commit).await? {
        has_file |= entry.path == FILE && matches!(entry.kind, EntryKind::File { .. });
        if entry.kind == EntryKind::Submodule {
            links.push((entry.path, CommitId::new(&entry.blob)?));
        }
        if links.len() > MAX_SUBMODULES {
            let why = format!("the commit has more than {MAX_SUBMODULES} submodules");
            return Err(GitError::BadSubmodule(why));
        }
    }
    if links.is_empty() {
        return Ok(Vec::new());
    }
    let listed = match has_file {
        true => config_of(mirror, commit, FILE).await?,
        false => Vec::new(),
    };
    paired(links, &listed)
}

/// The settings in a file of a commit, in order: key and value. Nothing is included.
pub(super) async fn config_of(
    mirror: &Mirror,
    commit: &CommitId,
    file: &str,
) -> Result<Vec<(String, String)>, GitError> {
    let blob = format!("{commit}:{file}");
    let args = ["--no-includes", "--blob", &blob, "-z", "--list"];
    let call = Call::local(mirror.folder()).at_most(MAX_GITMODULES_BYTES);
    let listed = call.run("config", &args).await.map_err(|error| match error {
        GitError::Failed { .. } => {
            GitError::BadSubmodule(format!("`{file}` is no configuration that git reads"))
        }
        GitError::TooLarge { .. } => {
            GitError::BadSubmodule(format!("`{file}` has more than {MAX_GITMODULES_BYTES} bytes"))
        }
        other => other,
    })?;
    let pair = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        let (key, value) = line.split_once('\n').unwrap_or((&line, ""));
        (key.to_owned(), value.to_owned())
    };
    Ok(listed.split(|byte| *byte == 0).filter(|line| !line.is_empty()).map(pair).collect())
}

/// Entries of the tree with their names and addresses.
fn paired(
    links: Vec<(String, CommitId)>,
    listed: &[(String, String)],
) -> Result<Vec<Submodule>, GitError> {
    let mut sections: BTreeMap<&str, (Option<&str>, Option<&str>)> = BTreeMap::new();
    for (key, value) in listed {
        let Some((name, field)) =
            key.strip_prefix("submodule.").and_then(|key| key.rsplit_once('.'))
        else {
            continue;
        };
        let section = sections.entry(name).or_default();
        match field {
            // As with git, the last one counts.
            "path" => section.0 = Some(value),
            "url" => section.1 = Some(value),
            _ => {}
        }
    }
    let mut by_path: BTreeMap<&str, (&str, Option<&str>)> = BTreeMap::new();
    for (name, (path, url)) in &sections {
        let Some(path) = path else { continue };
        if by_path.insert(path.trim_end_matches('/'), (name, *url)).is_some() {
            return Err(bad(path, "two sections of .gitmodules have its path"));
        }
    }
    let mut found = Vec::with_capacity(links.len());
    for (path, commit) in links {
        check_path(&path)?;
        let (name, url) =
            by_path.get(path.as_str()).ok_or_else(|| bad(&path, "it is not in .gitmodules"))?;
        check_name(&path, name)?;
        let url = url.ok_or_else(|| bad(&path, "it has no url in .gitmodules"))?;
        found.push(Submodule { name: (*name).to_owned(), path, url: url.to_owned(), commit });
    }
    check_disjoint(&found)?;
    Ok(found)
}

/// Refuses names of which one contains the folder of another.
fn check_disjoint(found: &[Submodule]) -> Result<(), GitError> {
    let names: BTreeSet<&str> = found.iter().map(|one| one.name.as_str()).collect();
    for one in found {
        let mut name = one.name.as_str();
        while let Some((outer, _)) = name.rsplit_once('/') {
            if names.contains(outer) {
                return Err(bad(&one.path, "its name lies in that of another submodule"));
            }
            name = outer;
        }
    }
    Ok(())
}

fn bad(path: &str, why: &str) -> GitError {
    let path: String = path.chars().take(200).collect();
    GitError::BadSubmodule(format!("submodule {path:?}: {why}"))
}

fn is_plain(text: &str) -> bool {
    let is_fine = |part: &str| {
        !matches!(part, "" | "." | "..")
            && !part.eq_ignore_ascii_case(".git")
            && !part.starts_with('-')
    };
    let forbidden =
        |c: char| c.is_control() || matches!(c, '\\' | ':' | char::REPLACEMENT_CHARACTER);
    !text.contains(forbidden) && text.split('/').all(is_fine)
}

fn check_path(path: &str) -> Result<(), GitError> {
    if is_plain(path) { Ok(()) } else { Err(bad(path, "plue does not check out this path")) }
}

fn check_name(path: &str, name: &str) -> Result<(), GitError> {
    let is_fine = name.len() <= MAX_NAME_BYTES && is_plain(name);
    if is_fine { Ok(()) } else { Err(bad(path, "plue does not take its name in .gitmodules")) }
}

// === impl RepositoryPath ===

impl RepositoryPath {
    /// The repository of a workspace.
    #[must_use]
    pub fn root() -> Self {
        Self { path: String::new(), git_dir: ".git".to_owned() }
    }

    /// The place of a submodule of this repository.
    #[must_use]
    pub fn of(&self, submodule: &Submodule) -> Self {
        let path = match self.path.as_str() {
            "" => submodule.path.clone(),
            path => format!("{path}/{}", submodule.path),
        };
        Self { path, git_dir: format!("{}/modules/{}", self.git_dir, submodule.name) }
    }

    /// The folder for the files of a submodule, made if it is not there. Blocks.
    ///
    /// # Errors
    /// A part of its path is a link or a file.
    pub fn folder(&self, workspace: &Path) -> io::Result<std::path::PathBuf> {
        let mut at = workspace.to_owned();
        for part in self.path.split('/') {
            at.push(part);
            match std::fs::symlink_metadata(&at) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Err(io::Error::other(format!("{} is no folder", self.path))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::create_dir(&at)?,
                Err(error) => return Err(error),
            }
        }
        Ok(at)
    }

    /// Connects a submodule, whose files and Git directory are there, with the repository that has it.
    /// `url` holds no credential. Blocks.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn connect(
        &self,
        workspace: &Path,
        (parent, name): (&Self, &str),
        url: &str,
    ) -> io::Result<()> {
        let up = |path: &str| "../".repeat(path.split('/').count());
        let own = format!("[core]\n\tworktree = {}\n", quoted(&(up(&self.git_dir) + &self.path)));
        append(&workspace.join(&self.git_dir).join("config"), &own)?;
        let section =
            format!("[submodule {}]\n\tactive = true\n\turl = {}\n", quoted(name), quoted(url));
        append(&workspace.join(&parent.git_dir).join("config"), &section)?;
        let link = workspace.join(&self.path).join(".git");
        // Made new: what the commit has under this name is removed before.
        let mut file = std::fs::File::options().write(true).create_new(true).open(link)?;
        file.write_all(format!("gitdir: {}{}\n", up(&self.path), self.git_dir).as_bytes())
    }
}

/// Appends to a file of ours.
pub(super) fn append(path: &Path, text: &str) -> io::Result<()> {
    std::fs::File::options().append(true).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(paths: &[&str]) -> Vec<(String, CommitId)> {
        let id = CommitId::new(&"a1".repeat(20)).unwrap();
        paths.iter().map(|path| ((*path).to_owned(), id.clone())).collect()
    }

    fn of(paths: &[&str], sections: &[(&str, &str)]) -> Result<Vec<Submodule>, String> {
        let mut listed = Vec::new();
        for (name, path) in sections {
            listed.push((format!("submodule.{name}.path"), (*path).to_owned()));
            listed.push((format!("submodule.{name}.url"), "../lib".to_owned()));
            listed.push((format!("submodule.{name}.update"), "!touch /tmp/x".to_owned()));
        }
        paired(links(paths), &listed).map_err(|error| error.to_string())
    }

    #[test]
    fn submodules_have_a_name_and_a_place() {
        let found = of(&["libs/a", "b"], &[("one", "b"), ("libs/a", "libs/a"), ("gone", "c")]);
        let found = found.unwrap();
        assert_eq!((&*found[0].name, &*found[1].name), ("libs/a", "one"));
        let place = RepositoryPath::root().of(&found[0]);
        let inner = place.of(&found[1]);
        assert_eq!((&*place.path, &*place.git_dir), ("libs/a", ".git/modules/libs/a"));
        assert_eq!(
            (&*inner.path, &*inner.git_dir),
            ("libs/a/b", ".git/modules/libs/a/modules/one")
        );
    }

    #[test]
    fn hostile_names_and_paths_of_submodules_are_refused() {
        let cases: [(&str, &str); 13] = [
            ("..", "a"),
            ("../../x", "a"),
            ("a/../../x", "a"),
            ("-x", "a"),
            ("a//b", "a"),
            ("a\\..\\b", "a"),
            (".git", "a"),
            ("", "a"),
            ("one", "../a"),
            ("one", ".GIT/a"),
            ("one", "a/.git/hooks"),
            ("one", "-a"),
            ("one", "/a"),
        ];
        for (name, path) in cases {
            assert!(of(&[path], &[(name, path)]).is_err(), "{name} {path}");
        }
        let long = "n".repeat(MAX_NAME_BYTES + 1);
        assert!(of(&["a"], &[(&long, "a")]).is_err());
        assert!(of(&["a"], &[("one", "a"), ("two", "a")]).unwrap_err().contains("two sections"));
        let nested = of(&["a", "b"], &[("x", "a"), ("x/hooks", "b")]).unwrap_err();
        assert!(nested.contains("lies in that of another"), "{nested}");
        assert!(of(&["a"], &[]).unwrap_err().contains("not in .gitmodules"));
    }

    #[test]
    fn links_towards_submodules_are_not_followed() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("libs")).unwrap();
        let place =
            RepositoryPath { path: "libs/a".to_owned(), git_dir: ".git/modules/a".to_owned() };
        assert!(place.folder(folder.path()).is_err());
        assert!(!elsewhere.path().join("a").exists());
    }
}

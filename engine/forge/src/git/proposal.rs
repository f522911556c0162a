//! Commits made from a patch, pushed to branches of plue: nothing is checked out, and the patch sees no
//! work tree.
//!
//! Repeatable: the same patch on the same commit gives the same commit. Must not decide whether a change is
//! allowed; the caller judges the files that differ, not the text of the patch.

use std::path::Path;

use crate::git::{
    command::Call,
    commit_id::{CommitId, check_ref},
    error::GitError,
    mirror::Mirror,
    remote::Remote,
};

/// The index that commits are built in, under the lock of the mirror.
const INDEX: &str = "plue-proposal.index";
/// Author and committer of the commits, by which they are known again.
const NAME: &str = "plue";
const EMAIL: &str = "plue@localhost";
/// Files that one patch may change; more are refused before the caller judges them.
const MAX_CHANGED: usize = 10_000;

/// A file that a patch changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    /// Path in the repository.
    pub path: String,
    /// Mode afterwards, such as `100644`; `000000`: the file is deleted.
    pub mode: String,
}

/// Writes to one repository.
#[derive(Debug, Clone, Copy)]
pub struct Proposals<'a> {
    /// The mirror that has the base.
    pub mirror: &'a Mirror,
    /// The repository that branches are pushed to.
    pub remote: &'a Remote,
}

// === impl Proposals ===

impl Proposals<'_> {
    /// The commit of a patch on `base`; `None` if the patch changes nothing. `check` judges the changed files
    /// before there is a commit.
    ///
    /// # Errors
    /// [`GitError::BadPatch`]: the patch does not apply, or `check` refuses; errors of git.
    pub async fn commit(
        &self,
        base: &CommitId,
        patch: &str,
        message: &str,
        check: impl FnOnce(&[ChangedFile]) -> Result<(), String>,
    ) -> Result<Option<CommitId>, GitError> {
        let _lock = self.mirror.lock().await?;
        let index = self.mirror.folder().join(INDEX);
        let remove = || {
            for path in [index.clone(), index.with_extension("index.lock")] {
                // Left by an engine that was killed.
                let _absent = std::fs::remove_file(path);
            }
        };
        remove();
        let tree = self.tree(&index, base, patch).await;
        remove();
        let tree = tree?;
        let changed = self.changed(base, &tree).await?;
        if changed.is_empty() {
            return Ok(None);
        }
        check(&changed).map_err(GitError::BadPatch)?;
        self.commit_tree(base, &tree, message).await.map(Some)
    }

    /// Whether plue made a commit.
    ///
    /// # Errors
    /// The commit is missing, or errors of git.
    pub async fn is_own(&self, commit: &CommitId) -> Result<bool, GitError> {
        let args = ["--no-patch", "--format=%cn <%ce>", "--end-of-options", commit.as_str()];
        let shown = Call::local(self.mirror.folder()).run("show", &args).await?;
        Ok(String::from_utf8_lossy(&shown).trim() == format!("{NAME} <{EMAIL}>"))
    }

    /// Moves a branch of the remote from `from` to a commit. `None`: the branch must not exist.
    ///
    /// # Errors
    /// The branch is elsewhere by now, or the remote refuses.
    pub async fn push(
        &self,
        branch: &str,
        from: Option<&CommitId>,
        to: &CommitId,
    ) -> Result<(), GitError> {
        let name = format!("refs/heads/{branch}");
        let name = check_ref(&name)?;
        let lease = format!("--force-with-lease={name}:{}", from.map_or("", |from| from.as_str()));
        let refspec = format!("{to}:{name}");
        let args = ["--quiet", "--no-verify", "--recurse-submodules=no", &lease];
        let args = [&args[..], &["--end-of-options", self.remote.url(), &refspec]].concat();
        Call::fetching(self.mirror.folder(), self.remote).run("push", &args).await?;
        Ok(())
    }

    /// The tree of `base` with the patch.
    async fn tree(&self, index: &Path, base: &CommitId, patch: &str) -> Result<String, GitError> {
        let call = Call::local(self.mirror.folder());
        let git = |name, args: &[&str], input: &str| {
            let program = call.program(name, args).env("GIT_INDEX_FILE", index);
            let read = program.input(input.as_bytes().to_vec()).read();
            async move { read.await.map_err(|error| call.failed(name, error)) }
        };
        git("read-tree", &["--end-of-options", base.as_str()], "").await?;
        let applied = git("apply", &["--cached", "--whitespace=nowarn", "-"], patch).await;
        applied.map_err(|error| match error {
            GitError::Failed { reason, .. } => {
                GitError::BadPatch(format!("the patch does not apply to {base}: {reason}"))
            }
            other => other,
        })?;
        let tree = git("write-tree", &[], "").await?;
        Ok(String::from_utf8_lossy(&tree).trim().to_owned())
    }

    async fn changed(&self, base: &CommitId, tree: &str) -> Result<Vec<ChangedFile>, GitError> {
        let args = ["-r", "-z", "--raw", "--no-renames", "--no-ext-diff", "--end-of-options"];
        let args = [&args[..], &[base.as_str(), tree, "--"]].concat();
        let answer = Call::local(self.mirror.folder()).run("diff-tree", &args).await?;
        let mut fields = answer.split(|byte| *byte == 0);
        let mut changed = Vec::new();
        while let (Some(head), Some(path)) = (fields.next(), fields.next()) {
            // `:OLD NEW OLD-ID NEW-ID STATUS`
            let head = String::from_utf8_lossy(head);
            let mode = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let path = std::str::from_utf8(path);
            let path = path.map_err(|_| GitError::BadPatch("a path is not UTF-8".to_owned()))?;
            changed.push(ChangedFile { path: path.to_owned(), mode });
            if changed.len() > MAX_CHANGED {
                let why = format!("the patch changes more than {MAX_CHANGED} files");
                return Err(GitError::BadPatch(why));
            }
        }
        Ok(changed)
    }

    /// The commit of a tree, with the time of `base`: so the same tree gives the same commit.
    async fn commit_tree(
        &self,
        base: &CommitId,
        tree: &str,
        message: &str,
    ) -> Result<CommitId, GitError> {
        let call = Call::local(self.mirror.folder());
        let args = ["--no-patch", "--format=%ct", "--end-of-options", base.as_str()];
        let time = call.run("show", &args).await?;
        let time = format!("@{} +0000", String::from_utf8_lossy(&time).trim());
        let mut git = call.program("commit-tree", &["-p", base.as_str(), "-F", "-", tree]);
        for who in ["AUTHOR", "COMMITTER"] {
            git = git.env(format!("GIT_{who}_NAME"), NAME);
            git = git.env(format!("GIT_{who}_EMAIL"), EMAIL);
            git = git.env(format!("GIT_{who}_DATE"), &time);
        }
        let made = git.input(message.as_bytes().to_vec()).read().await;
        let made = made.map_err(|error| call.failed("commit-tree", error))?;
        CommitId::new(String::from_utf8_lossy(&made).trim())
    }
}

//! The workspace of a commit as a tar stream, for runners.
//!
//! Links are in it as links: whoever unpacks must not let them lead outside. Files of any size pass
//! through without being held in memory.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    process::{ChildStderr, ChildStdout},
};

use crate::{
    git::{
        command::{Call, Git, complaints, reason},
        commit_id::CommitId,
        error::GitError,
        mirror::Mirror,
        remote::Remote,
    },
    limits::MAX_ARCHIVE_BYTES,
};

/// A tar stream. After its end, [`Archive::finish`] tells whether it is whole; dropped before, git is
/// killed.
#[derive(Debug)]
pub struct Archive {
    git: Git,
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    left: u64,
}

// === impl Mirror ===

impl Mirror {
    /// Streams the files of a commit as tar. Attributes of the repository that would leave files out
    /// or change them are not obeyed. With a remote, git gets contents that a mirror without blobs
    /// left out.
    ///
    /// # Errors
    /// The commit is not in the mirror, or git cannot be started.
    pub async fn archive(
        &self,
        commit: &CommitId,
        remote: Option<&Remote>,
    ) -> Result<Archive, GitError> {
        if !self.has(commit).await? {
            return Err(GitError::NoCommit(commit.to_string()));
        }
        let mut git = Call::with(&self.folder, remote)
            .start("archive", &["--format=tar", commit.as_str()])?;
        drop(git.child.stdin.take());
        let stderr = git.child.stderr.take();
        let stdout = git.child.stdout.take();
        let no_pipe = || GitError::Start(std::io::Error::other("git has no pipes"));
        Ok(Archive { stdout: stdout.ok_or_else(no_pipe)?, stderr, git, left: MAX_ARCHIVE_BYTES })
    }
}

// === impl Archive ===

impl Archive {
    /// Tells, after the stream has ended, whether git wrote all of it.
    ///
    /// # Errors
    /// Git failed: what was read is not the whole commit.
    pub async fn finish(mut self) -> Result<(), GitError> {
        let said = complaints(self.stderr.take()).await;
        let status = self.git.child.wait().await;
        let status = status.map_err(|source| self.git.broken(source))?;
        if status.success() {
            self.git.ended();
            return Ok(());
        }
        Err(GitError::Failed { command: "archive", reason: reason(&said, &status.to_string()) })
    }
}

impl AsyncRead for Archive {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stdout).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = polled {
            let count = buffer.filled().len().saturating_sub(before) as u64;
            let Some(left) = self.left.checked_sub(count) else {
                let message = format!("the commit has more than {MAX_ARCHIVE_BYTES} bytes");
                return Poll::Ready(Err(std::io::Error::other(message)));
            };
            self.left = left;
        }
        polled
    }
}

//! The workspace of a commit as a tar stream, for runners.
//!
//! Links are in it as links: the unpacker must not let them lead outside. Files of any size are
//! streamed.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use plue_runtime::foreign::process::Stream;
use tokio::io::{AsyncRead, ReadBuf};

use crate::git::files::measure;
use crate::{
    git::{command::Call, commit_id::CommitId, error::GitError, mirror::Mirror, remote::Remote},
    limits::MAX_ARCHIVE_BYTES,
};

const ARCHIVE: &str = "archive";

/// A tar stream. After its end, [`Archive::finish`] checks that it is whole; dropping it earlier
/// kills git.
#[derive(Debug)]
pub struct Archive(Stream);

pub(super) async fn archive(
    mirror: &Mirror,
    commit: &CommitId,
    remote: Option<&Remote>,
) -> Result<Archive, GitError> {
    mirror.archive_within(commit, remote, MAX_ARCHIVE_BYTES).await
}

pub(super) async fn archive_within(
    mirror: &Mirror,
    commit: &CommitId,
    remote: Option<&Remote>,
    bytes: u64,
) -> Result<Archive, GitError> {
    if !mirror.has(commit).await? {
        return Err(GitError::NoCommit(commit.to_string()));
    }
    measure(mirror, commit).await?;
    let call = Call::with(&mirror.folder, remote).at_most(bytes.min(MAX_ARCHIVE_BYTES));
    let git = call.program(ARCHIVE, &["--format=tar", commit.as_str()]);
    Ok(Archive(git.stream().map_err(|error| call.failed(ARCHIVE, error))?))
}

// === impl Archive ===

impl Archive {
    /// Checks, after the stream has ended, that git wrote all of it.
    ///
    /// # Errors
    /// Git failed: the bytes so far are not the whole commit.
    pub async fn finish(self) -> Result<(), GitError> {
        let ended = self.0.finish().await;
        ended.map_err(|error| GitError::Failed { command: ARCHIVE, reason: error.to_string() })
    }
}

impl AsyncRead for Archive {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

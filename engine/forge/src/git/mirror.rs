//! A bare mirror: creation, locked fetches, queries about refs.

use std::{
    fs::File,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use plue_runtime::Tasks;

use crate::{
    git::{
        archive::Archive,
        changes::{ChangedFiles, Since},
        checkout::Checkout,
        command::Call,
        commit_id::{CommitId, check_ref},
        error::GitError,
        files::{Entry, FileContent},
        lfs::Pointer,
        remote::Remote,
        submodules::Submodule,
    },
    limits::MAX_MESSAGE_BYTES,
};

/// Refs that keep commits of runs from being collected.
const KEPT: &str = "refs/plue/kept/";
/// Attributes of every file, against those of the repository: an archive holds what the commit holds.
const ATTRIBUTES: &str = "* -export-ignore -export-subst\n";

/// A bare repository of ours. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mirror {
    pub(super) folder: PathBuf,
    tasks: Tasks,
}

/// Refs and commits to fetch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FetchRequest {
    /// All branches and tags; what the remote no longer has, is removed.
    pub branches_and_tags: bool,
    /// Full refs, such as `refs/pull/7/head`.
    pub refs: Vec<String>,
    /// Commits by id, of which no ref may be left. Not every forge gives them.
    pub commits: Vec<CommitId>,
    /// Leave out the contents of files; git fetches them on demand.
    pub without_blobs: bool,
    /// Leave out commits that are further from the tips than so many.
    pub depth: Option<NonZeroU32>,
    /// The most bytes that one file of what comes may have.
    pub bytes: Option<u64>,
}

// === impl Mirror ===

impl Mirror {
    /// The mirror in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be used, or git refuses.
    pub async fn open(folder: impl Into<PathBuf>, tasks: Tasks) -> Result<Self, GitError> {
        let mirror = Self { folder: folder.into(), tasks };
        let unusable = |source| GitError::Folder { path: mirror.folder.clone(), source };
        std::fs::create_dir_all(&mirror.folder).map_err(unusable)?;
        let _lock = mirror.lock().await?;
        if !mirror.folder.join("HEAD").exists() {
            let args = ["--quiet", "--bare", "--template=", "--initial-branch=plue-none"];
            Call::local(&mirror.folder).run("init", &args).await?;
        }
        let info = mirror.folder.join("info");
        std::fs::create_dir_all(&info).map_err(unusable)?;
        let attributes = info.join("attributes");
        // Not rewritten while an archive is made with it.
        if !std::fs::read(&attributes).is_ok_and(|there| there == ATTRIBUTES.as_bytes()) {
            std::fs::write(&attributes, ATTRIBUTES).map_err(unusable)?;
        }
        Ok(mirror)
    }

    /// Folder of the mirror.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Fetches, one caller at a time on this machine, at most [`crate::limits::FETCH_TIMEOUT_S`]. Dropping the
    /// future ends git.
    ///
    /// # Errors
    /// A malformed ref, or git's own.
    pub async fn fetch(&self, remote: &Remote, want: &FetchRequest) -> Result<(), GitError> {
        let mut specs: Vec<String> = Vec::new();
        if want.branches_and_tags {
            specs.push("+refs/heads/*:refs/heads/*".to_owned());
            specs.push("+refs/tags/*:refs/tags/*".to_owned());
        }
        for name in &want.refs {
            let name = check_ref(name)?;
            specs.push(format!("+{name}:{name}"));
        }
        for commit in &want.commits {
            specs.push(format!("+{commit}:{KEPT}{commit}"));
        }
        if specs.is_empty() {
            return Ok(());
        }
        let mut args = vec!["--quiet", "--no-tags", "--no-write-fetch-head", "--force"];
        if want.branches_and_tags {
            args.push("--prune");
        }
        if want.without_blobs {
            args.push("--filter=blob:none");
        }
        let depth = want.depth.map(|depth| format!("--depth={depth}"));
        args.extend(depth.as_deref());
        args.extend(["--end-of-options", remote.url()]);
        args.extend(specs.iter().map(String::as_str));
        let _lock = self.lock().await?;
        // Within a limit all of it is one file.
        let settings: &[_] = match want.bytes {
            Some(_) => &[("fetch.unpackLimit", "1")],
            None => &[],
        };
        let call = Call { settings, ..Call::fetching(&self.folder, remote) };
        let mut git = call.program("fetch", &args);
        if let Some(bytes) = want.bytes {
            git = git.max_file(bytes);
        }
        git.read().await.map_err(|error| call.failed("fetch", error))?;
        Ok(())
    }

    /// True if the contents of all files of a commit are in the mirror.
    ///
    /// # Errors
    /// The commit is missing, or errors of git.
    pub async fn is_whole(&self, commit: &CommitId) -> Result<bool, GitError> {
        Ok(!self.is_partial() || self.missing(commit).await?.is_empty())
    }

    /// Gets the contents of a commit's files that a fetch without blobs left out, all with one
    /// question. Afterwards the commit can be read and archived without its remote.
    ///
    /// # Errors
    /// The commit is not there, or git's own.
    pub async fn complete(&self, commit: &CommitId, remote: &Remote) -> Result<(), GitError> {
        let _lock = self.lock().await?;
        // Another caller may have got them meanwhile.
        let missing = self.missing(commit).await?;
        if missing.is_empty() {
            return Ok(());
        }
        self.fetch_listed(&missing, remote).await
    }

    /// Fetches objects by their ids, one a line.
    pub(super) async fn fetch_objects(&self, ids: &str, remote: &Remote) -> Result<(), GitError> {
        let _lock = self.lock().await?;
        self.fetch_listed(ids, remote).await
    }

    async fn fetch_listed(&self, ids: &str, remote: &Remote) -> Result<(), GitError> {
        let args = ["--quiet", "--no-tags", "--no-write-fetch-head", "--filter=blob:none"];
        let args = [&args[..], &["--stdin", "--end-of-options", remote.url()]].concat();
        // Otherwise git would announce the commits of the mirror, and the remote would assume that
        // their files are here too.
        let settings = &[("fetch.negotiationAlgorithm", "noop")];
        let call = Call { settings, ..Call::fetching(&self.folder, remote) };
        call.run_with("fetch", &args, ids.as_bytes()).await?;
        Ok(())
    }

    /// True if a fetch left out blobs.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        let packs = std::fs::read_dir(self.folder.join("objects/pack"));
        let mut packs = packs.into_iter().flatten().flatten();
        packs.any(|pack| pack.path().extension().is_some_and(|end| end == "promisor"))
    }

    /// The ids of a commit's objects that are not here, one a line.
    async fn missing(&self, commit: &CommitId) -> Result<String, GitError> {
        let args = ["--objects", "--no-object-names", "--no-walk", "--missing=print"];
        let args = [&args[..], &["--end-of-options", commit.as_str()]].concat();
        let output = Call::local(&self.folder).run("rev-list", &args).await?;
        let output = String::from_utf8_lossy(&output);
        Ok(output
            .lines()
            .filter_map(|line| line.strip_prefix('?'))
            .fold(String::new(), |all, id| all + id + "\n"))
    }

    /// The commit behind a full ref, an annotated tag opened; none if there is no such ref.
    ///
    /// # Errors
    /// A malformed ref, or git's own.
    pub async fn resolve(&self, name: &str) -> Result<Option<CommitId>, GitError> {
        // Branches lead to commits only, and a loose ref goes before a packed one.
        if check_ref(name)?.starts_with("refs/heads/")
            && let Some(commit) = loose(&self.folder, name)
        {
            return Ok(Some(commit));
        }
        let name = format!("{}^{{commit}}", check_ref(name)?);
        self.rev_parse(&name).await
    }

    /// True if a commit is in the mirror.
    ///
    /// # Errors
    /// Errors of git.
    pub async fn has(&self, commit: &CommitId) -> Result<bool, GitError> {
        Ok(self.is_kept(commit) || self.rev_parse(&format!("{commit}^{{commit}}")).await?.is_some())
    }

    /// True if a branch or a tag leads to a commit: the mirror also has heads of pull requests,
    /// whose authors are untrusted.
    ///
    /// # Errors
    /// The commit is missing, or errors of git.
    pub async fn is_published(&self, commit: &CommitId) -> Result<bool, GitError> {
        let args = ["--count=1", "--format=%(refname)", "--contains", commit.as_str()];
        let args = [&args[..], &["refs/heads", "refs/tags"]].concat();
        let output = Call::local(&self.folder).run("for-each-ref", &args).await?;
        Ok(!output.is_empty())
    }

    /// Protects a commit from garbage collection, whatever happens to its branch.
    ///
    /// # Errors
    /// The commit is missing, or errors of git.
    pub async fn keep(&self, commit: &CommitId) -> Result<(), GitError> {
        if self.is_kept(commit) {
            return Ok(());
        }
        let _lock = self.lock().await?;
        let name = format!("{KEPT}{commit}");
        let args = ["--no-deref", name.as_str(), commit.as_str()];
        Call::local(&self.folder).run("update-ref", &args).await?;
        Ok(())
    }

    /// Lets go of a kept commit.
    ///
    /// # Errors
    /// Git's own.
    pub async fn release(&self, commit: &CommitId) -> Result<(), GitError> {
        let _lock = self.lock().await?;
        let name = format!("{KEPT}{commit}");
        Call::local(&self.folder).run("update-ref", &["-d", &name]).await?;
        Ok(())
    }

    /// True if a commit is protected, or was fetched by its id.
    #[must_use]
    pub fn is_kept(&self, commit: &CommitId) -> bool {
        loose(&self.folder, &format!("{KEPT}{commit}")).is_some()
    }

    /// The first line of a commit's message and the rest, for skip markers.
    ///
    /// # Errors
    /// The commit is not there, or git's own.
    pub async fn message(&self, commit: &CommitId) -> Result<String, GitError> {
        let args = ["--no-patch", "--format=%B", "--end-of-options", commit.as_str()];
        let call = Call::local(&self.folder).at_most(MAX_MESSAGE_BYTES);
        let output = call.run("show", &args).await?;
        Ok(String::from_utf8_lossy(&output).trim_end().to_owned())
    }

    pub(super) async fn rev_parse(&self, name: &str) -> Result<Option<CommitId>, GitError> {
        let args = ["--verify", "--quiet", "--end-of-options", name];
        match Call::local(&self.folder).run("rev-parse", &args).await {
            Ok(output) => CommitId::new(String::from_utf8_lossy(&output).trim()).map(Some),
            Err(GitError::Failed { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// The commits of the mirror whose parents are left out.
    pub(super) fn shallow_commits(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.join("shallow")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The lock of the mirror, across processes. It lies in the mirror and is released with the file.
    pub(super) async fn lock(&self) -> Result<File, GitError> {
        let path = self.folder.join("plue.lock");
        let locked = self.tasks.spawn_blocking(move || {
            let file = File::options().create(true).append(true).open(&path);
            let file = file.and_then(|file| file.lock().map(|()| file));
            file.map_err(|source| GitError::Folder { path, source })
        });
        locked.await.map_err(|_| GitError::Interrupted)?
    }

    /// Streams the files of a commit as tar. Attributes of the repository that would leave files out
    /// or change them are not obeyed. With a remote, git gets contents that a mirror without blobs
    /// left out.
    ///
    /// # Errors
    /// The commit is not in the mirror or has too many files, or git cannot be started.
    pub async fn archive(
        &self,
        commit: &CommitId,
        remote: Option<&Remote>,
    ) -> Result<Archive, GitError> {
        super::archive::archive(self, commit, remote).await
    }

    /// As [`Mirror::archive`], with at most so many bytes.
    ///
    /// # Errors
    /// As [`Mirror::archive`].
    pub async fn archive_within(
        &self,
        commit: &CommitId,
        remote: Option<&Remote>,
        bytes: u64,
    ) -> Result<Archive, GitError> {
        super::archive::archive_within(self, commit, remote, bytes).await
    }

    /// The files that differ between `after` and what it is compared with: for a push the commit
    /// before it, also after a forced push; for a new branch, and where the commit before is gone,
    /// the last common ancestor with the default branch; for a pull request that with the base.
    ///
    /// # Errors
    /// `after` is not in the mirror, or git's own.
    pub async fn changed_files(
        &self,
        since: Since<'_>,
        after: &CommitId,
    ) -> Result<ChangedFiles, GitError> {
        super::changes::changed_files(self, since, after).await
    }

    /// True if a commit equals another one or is its ancestor. Both must be in the mirror.
    ///
    /// # Errors
    /// Errors of git.
    pub async fn is_ancestor(&self, old: &CommitId, new: &CommitId) -> Result<bool, GitError> {
        super::changes::is_ancestor(self, old, new).await
    }

    /// The pointers of a commit among the files with the attribute `filter=lfs`. `index` is an index of the
    /// commit, from which attributes are read.
    ///
    /// # Errors
    /// More than [`MAX_LFS_OBJECTS`](crate::limits::MAX_LFS_OBJECTS); the commit is not in the mirror, or git's own.
    pub async fn lfs_pointers(
        &self,
        commit: &CommitId,
        index: &Path,
    ) -> Result<Vec<Pointer>, GitError> {
        super::lfs::lfs_pointers(self, commit, index).await
    }

    /// The address of the LFS server that a commit names in `.lfsconfig`, as it is written.
    ///
    /// # Errors
    /// The file cannot be read; git's own.
    pub async fn lfs_url(&self, commit: &CommitId) -> Result<Option<String>, GitError> {
        super::lfs::lfs_url(self, commit).await
    }

    /// Every entry of a commit, in git's order.
    ///
    /// # Errors
    /// The commit is not in the mirror, or git's own.
    pub async fn list(&self, commit: &CommitId) -> Result<Vec<Entry>, GitError> {
        super::files::list(self, commit).await
    }

    /// The contents of files of a commit, in the order of the request; those larger than `limit`
    /// (at most [`MAX_FILE_BYTES`](crate::limits::MAX_FILE_BYTES)) are not read. With a remote, git fetches contents that a mirror
    /// without blobs left out.
    ///
    /// # Errors
    /// The commit is not in the mirror, or errors of git.
    pub async fn read(
        &self,
        commit: &CommitId,
        paths: &[&str],
        limit: u64,
        remote: Option<&Remote>,
    ) -> Result<Vec<FileContent>, GitError> {
        super::files::read(self, commit, paths, limit, remote).await
    }

    /// Makes the `.git` directory of a checkout in a folder that must not exist. Contents that a
    /// mirror without blobs left out are fetched from the remote; without a remote, or if it does
    /// not have them, they stay out and the repository is a partial clone of its `origin`.
    ///
    /// # Errors
    /// The commit is not in the mirror, the history is over its limits, or errors of git.
    pub async fn check_out(
        &self,
        checkout: &Checkout,
        remote: Option<&Remote>,
        target: &Path,
    ) -> Result<(), GitError> {
        super::checkout::check_out(self, checkout, remote, target).await
    }

    /// The tags that a checkout may have, with what they lead to: a change of them is another checkout.
    ///
    /// # Errors
    /// Git's own.
    pub async fn tag_state(&self) -> Result<Vec<u8>, GitError> {
        super::checkout::tag_state(self).await
    }

    /// The submodules of a commit, without those of submodules.
    ///
    /// # Errors
    /// [`GitError::BadSubmodule`]: there are too many, one has no address, or a name or path is refused; the
    /// commit is not in the mirror, or git's own.
    pub async fn submodules(&self, commit: &CommitId) -> Result<Vec<Submodule>, GitError> {
        super::submodules::submodules(self, commit).await
    }
}

/// The commit in a loose ref of a repository's folder; `None` also if git stores its refs otherwise
/// or the ref leads to another one: then the caller queries git.
pub(super) fn loose(folder: &Path, name: &str) -> Option<CommitId> {
    let text = std::fs::read_to_string(folder.join(name)).ok()?;
    CommitId::new(text.trim_end()).ok()
}

//! Submodules of a workspace, and the order in which submodules and contents of Git LFS are fetched.
//!
//! The server fetches both, so that no credential reaches a workspace. Addresses in commits are untrusted
//! input: each is checked before the first request, and number, depth, bytes and time are bounded.
//! Submodules of untrusted commits are fetched without a credential.

use std::{collections::VecDeque, num::NonZeroU32, path::PathBuf, time::Duration};

use plue_executor::reach::{self, Guard, Unreached};
use plue_forge::{
    GitError,
    git::{
        Address, Checkout, CommitId, Credential, FetchRequest, History, Mirror, Remote,
        RepositoryPath, Submodule,
    },
};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use crate::{checkouts::Source, error::Error, files::Packed, workspaces::Workspaces};

mod redirect;

/// Folder of a mirror for the mirrors of its submodules.
pub(crate) const MODULES: &str = "plue-modules";
/// A file in the mirror of a submodule; its modification time is the last use.
pub(crate) const USED: &str = "plue.used";
/// Levels of nested submodules.
const MAX_DEPTH: usize = 8;
/// Redirects of one fetch.
const MAX_REDIRECTS: usize = 3;

/// Limits of one workspace on submodules and contents of Git LFS.
#[derive(Debug, Clone, Copy)]
struct Limits {
    submodules: usize,
    /// Bytes of the files of all submodules.
    bytes: u64,
    /// Bytes of one pack.
    pack: u64,
    /// Bytes of all contents of Git LFS.
    lfs: u64,
    within: Duration,
}

const TRUSTED: Limits = Limits {
    submodules: 256,
    bytes: 2 * 1024 * 1024 * 1024,
    pack: 2 * 1024 * 1024 * 1024,
    lfs: 10 * 1024 * 1024 * 1024,
    within: Duration::from_secs(15 * 60),
};
const UNTRUSTED: Limits = Limits {
    submodules: 32,
    bytes: 256 * 1024 * 1024,
    pack: 256 * 1024 * 1024,
    lfs: 1024 * 1024 * 1024,
    within: Duration::from_secs(3 * 60),
};

/// A repository of the workspace: the root or a submodule.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) mirror: Mirror,
    pub(crate) commit: CommitId,
    pub(crate) place: RepositoryPath,
    pub(crate) address: Address,
    depth: usize,
}

/// The fetches for one workspace.
#[derive(Debug)]
pub(crate) struct Filling<'a> {
    pub(crate) workspaces: &'a Workspaces,
    pub(crate) source: &'a Source<'a>,
    pub(crate) draft: &'a std::path::Path,
    /// The credential of the watched repository; `None` in runs of untrusted commits.
    pub(crate) credential: Option<Credential>,
    pub(crate) guard: Guard,
    limits: Limits,
    count: usize,
    bytes: u64,
    pub(crate) lfs_left: u64,
}

// === impl Workspaces ===

impl Workspaces {
    /// Adds the requested submodules and contents of Git LFS to a draft of a workspace that has its files and
    /// its `.git` directory.
    ///
    /// # Errors
    /// [`Error::Invalid`]: permanent for this commit; [`Error::Elsewhere`]: worth a retry.
    pub(crate) async fn populate(
        &self,
        source: &Source<'_>,
        draft: &std::path::Path,
    ) -> Result<(), Error> {
        if !source.asked.submodules && !source.asked.lfs {
            return Ok(());
        }
        let is_trusted = source.is_trusted;
        let limits = if is_trusted { TRUSTED } else { UNTRUSTED };
        let credential = match is_trusted {
            true => self.mirrors.credential(source.repo).await?,
            false => None,
        };
        // As for `call` steps: the operator's exceptions do not apply to untrusted commits.
        let guard = if is_trusted { self.reach.clone() } else { Guard::default() };
        let mut filling = Filling {
            workspaces: self,
            source,
            draft,
            credential,
            guard,
            limits,
            count: 0,
            bytes: 0,
            lfs_left: limits.lfs,
        };
        let filled = tokio::time::timeout(limits.within, Box::pin(filling.fill())).await;
        match filled {
            Ok(filled) => filled,
            Err(_elapsed) => Err(filling.passing(GitError::BadSubmodule(format!(
                "submodules and contents of Git LFS took longer than {} s",
                limits.within.as_secs()
            )))),
        }
    }
}

/// A permanent problem of the commit or the credential.
pub(crate) fn refused(error: &GitError) -> Error {
    Error::Invalid(vec![error.diagnostic()])
}

// === impl Filling ===

impl Filling<'_> {
    /// A transient problem. Untrusted commits are not retried: authors of pull requests would control the
    /// number of requests.
    pub(crate) fn passing(&self, error: GitError) -> Error {
        match self.source.is_trusted {
            true => Error::Elsewhere(error.to_string()),
            false => refused(&error),
        }
    }

    async fn fill(&mut self) -> Result<(), Error> {
        let url = &self.source.repo.url;
        let address = Address::read(url, url, url);
        let address = address.map_err(|why| refused(&GitError::BadRemote(why)))?;
        let mut nodes = VecDeque::from([Node {
            mirror: self.source.mirror.clone(),
            commit: self.source.commit.clone(),
            place: RepositoryPath::root(),
            address,
            depth: 0,
        }]);
        while let Some(node) = nodes.pop_front() {
            if self.source.asked.lfs {
                self.lfs(&node).await?;
            }
            if !self.source.asked.submodules {
                continue;
            }
            let submodules = node.mirror.submodules(&node.commit).await;
            for submodule in submodules.map_err(|error| self.judged(error))? {
                nodes.push_back(self.submodule(&node, submodule).await?);
            }
        }
        Ok(())
    }

    /// Classifies an error of git: permanent problems of the commit are [`Error::Invalid`].
    fn judged(&self, error: GitError) -> Error {
        if error.is_final() { refused(&error) } else { Error::Git(error) }
    }

    async fn submodule(&mut self, parent: &Node, submodule: Submodule) -> Result<Node, Error> {
        let place = parent.place.of(&submodule);
        let bad = |why: &str| refused(&named(&place.path, why));
        self.count += 1;
        let (most, depth) = (self.limits.submodules, parent.depth + 1);
        if self.count > most {
            return Err(bad(&format!("the checkout has more than {most} submodules")));
        }
        if depth > MAX_DEPTH {
            return Err(bad(&format!("it is nested deeper than {MAX_DEPTH} levels")));
        }
        let watched = &self.source.repo.url;
        let address = Address::read(&submodule.url, &parent.address.text(), watched);
        let address = address.map_err(|why| bad(&why))?;
        let mirror = self.mirrored(&place, &submodule, &address).await?;
        self.files(&place, &mirror, &submodule.commit).await?;
        let url = address.text();
        let checkout = Checkout {
            commit: submodule.commit.clone(),
            branch: None,
            remote_branches: Vec::new(),
            default_branch: String::new(),
            history: NonZeroU32::new(self.history()).map_or(History::All, History::Depth),
            tags: self.source.asked.tags,
            origin: url.clone(),
        };
        let git_dir = self.draft.join(&place.git_dir);
        let made = mirror.check_out(&checkout, None, &git_dir).await;
        made.map_err(|error| self.judged(error))?;
        let (draft, at) = (self.draft.to_owned(), place.clone());
        let (of, name) = (parent.place.clone(), submodule.name);
        self.on_disk(move || at.connect(&draft, (&of, &name), &url)).await?;
        Ok(Node { mirror, commit: submodule.commit, place, address, depth })
    }

    /// Depth of a submodule's history in commits; 0: unlimited.
    fn history(&self) -> u32 {
        self.source.asked.fetch_depth.unwrap_or(1)
    }

    /// A mirror with the commit of a submodule. Each watched repository has its own, and trusted and untrusted
    /// commits do not share one.
    async fn mirrored(
        &self,
        place: &RepositoryPath,
        submodule: &Submodule,
        address: &Address,
    ) -> Result<Mirror, Error> {
        let depth = self.history();
        let is_trusted = self.source.is_trusted;
        // A local repository may have been removed since.
        let judged = match address {
            Address::Folder(_) => Some(self.remote(place, address).await?),
            Address::Web { .. } => None,
        };
        let key = Sha256::digest(format!("{}\n{depth}\n{is_trusted}", address.text()));
        let key = key.get(..16).map(hex::encode).unwrap_or_default();
        let folder = self.source.mirror.folder().join(MODULES).join(format!("{key}.git"));
        let mirror = Mirror::open(&folder, self.workspaces.process.tasks.clone()).await?;
        let used = folder.join(USED);
        self.on_disk(move || std::fs::write(used, "")).await?;
        if mirror.is_kept(&submodule.commit) {
            return Ok(mirror);
        }
        let mut address = address.clone();
        let want = FetchRequest {
            branches_and_tags: depth == 0,
            commits: vec![submodule.commit.clone()],
            depth: NonZeroU32::new(depth),
            bytes: Some(self.limits.pack),
            ..FetchRequest::default()
        };
        let mut remote = match judged {
            Some(remote) => remote,
            None => self.remote(place, &address).await?,
        };
        for _ in 0..=MAX_REDIRECTS {
            let failed = match mirror.fetch(&remote, &want).await {
                Ok(()) => return Ok(mirror),
                Err(GitError::Failed { reason, .. }) => reason,
                Err(error) => return Err(self.failed(place, &error)),
            };
            if failed.contains("returned error: 30") {
                address = self.sent_on(place, &address).await?;
                remote = self.remote(place, &address).await?;
                continue;
            }
            if failed.contains("unadvertised object") {
                return self.through_branches(place, (&mirror, &remote), submodule).await;
            }
            return Err(self.failed(place, &GitError::Failed { command: "fetch", reason: failed }));
        }
        Err(refused(&named(&place.path, "its address is sent on too often")))
    }

    /// For servers that do not give a commit by its id.
    async fn through_branches(
        &self,
        place: &RepositoryPath,
        (mirror, remote): (&Mirror, &Remote),
        submodule: &Submodule,
    ) -> Result<Mirror, Error> {
        let bytes = Some(self.limits.pack);
        let want = FetchRequest { branches_and_tags: true, bytes, ..FetchRequest::default() };
        let fetched = mirror.fetch(remote, &want).await;
        fetched.map_err(|error| self.failed(place, &error))?;
        if !mirror.has(&submodule.commit).await? {
            let why = format!("no branch or tag has its commit {}", submodule.commit);
            return Err(refused(&named(&place.path, &why)));
        }
        mirror.keep(&submodule.commit).await?;
        Ok(mirror.clone())
    }

    /// The credential for an address: that of the watched repository, for its own host.
    pub(crate) fn credential_for(&self, address: &Address) -> Option<&Credential> {
        match address {
            Address::Web { is_own: true, .. } => self.credential.as_ref(),
            Address::Web { is_own: false, .. } | Address::Folder(_) => None,
        }
    }

    /// The remote of an address, after the check of its host.
    async fn remote(&self, place: &RepositoryPath, address: &Address) -> Result<Remote, Error> {
        let bad = |why: &str| refused(&named(&place.path, why));
        let credential = self.credential_for(address).cloned();
        let text = address.text();
        let remote = Remote::new_allowing_http(&text, credential);
        let remote = remote.map_err(|error| bad(&error.to_string()))?.without_redirects();
        match address {
            Address::Folder(path) if self.is_watched_sibling(path).await? => Ok(remote),
            Address::Folder(_) => Err(bad(
                "it is not a watched repository in the same folder of the server as this one",
            )),
            // The host of the watched repository itself is allowed.
            Address::Web { is_own: true, .. } => Ok(remote),
            Address::Web { host, port, .. } => match reach::resolve(&text, &self.guard).await {
                Ok((target, addresses)) => Ok(remote.pinned(target.host(), *port, &addresses)),
                Err(Unreached::Refused(why)) => Err(bad(&why.message)),
                Err(error @ (Unreached::Failed(_) | Unreached::TimedOut)) => {
                    Err(self.passing(named(&place.path, &format!("{host}: {error}"))))
                }
            },
        }
    }

    /// Whether a folder is another watched repository in the same parent folder. Steps could then read it, so
    /// untrusted commits never get one.
    async fn is_watched_sibling(&self, path: &std::path::Path) -> Result<bool, Error> {
        if !self.source.is_trusted {
            return Ok(false);
        }
        let rows = self.workspaces.store.repos().list().await?;
        let watched = rows.into_iter().filter(|row| row.forge == "local").map(|row| row.url);
        let watched: Vec<String> = watched.collect();
        let (path, own) = (path.to_owned(), self.source.repo.url.clone());
        self.on_disk(move || {
            let real = |path: &str| {
                PathBuf::from(path.strip_prefix("file://").unwrap_or(path)).canonicalize().ok()
            };
            let Some(found) = path.to_str().and_then(real) else { return Ok(false) };
            let parent = real(&own).and_then(|own| Some(own.parent()?.to_owned()));
            let is_sibling = parent.is_some_and(|folder| found.parent() == Some(folder.as_path()));
            Ok(is_sibling && watched.iter().any(|url| real(url).as_deref() == Some(&*found)))
        })
        .await
    }

    /// Unpacks the files of a submodule at its path.
    async fn files(
        &mut self,
        place: &RepositoryPath,
        mirror: &Mirror,
        commit: &CommitId,
    ) -> Result<(), Error> {
        let path = self.draft.with_added_extension("tar");
        let unusable = |source| Error::Folder { path: path.display().to_string(), source };
        let left = self.limits.bytes.saturating_sub(self.bytes);
        let mut archive = mirror.archive_within(commit, None, left).await;
        let archive = archive.as_mut().map_err(|error| self.failed(place, error))?;
        let mut file = tokio::fs::File::create(&path).await.map_err(unusable)?;
        let copied = tokio::io::copy(archive, &mut file).await;
        file.flush().await.map_err(unusable)?;
        let most = self.limits.bytes;
        self.bytes += copied.map_err(|error| {
            let why = format!("{error}; submodules have at most {most} bytes of files together");
            refused(&named(&place.path, &why))
        })?;
        let (draft, at, packed) = (self.draft.to_owned(), place.clone(), Packed::File(path));
        self.on_disk(move || {
            let folder = at.folder(&draft)?;
            packed.unpack(&folder)
        })
        .await
    }

    /// The error of a fetch, with the submodule's name. Never [`Error::Git`], which defers the whole queue of
    /// the repository.
    fn failed(&self, place: &RepositoryPath, error: &GitError) -> Error {
        let text = error.to_string();
        let words = |why: &str| named(&place.path, why);
        // Messages of git when index-pack exceeds its file size limit.
        let ended = ["signal 25", "File too large", "invalid index-pack output"];
        let is_too_large = ended.iter().any(|part| text.contains(part));
        if is_too_large {
            return refused(&words(&format!("its pack has more than {} bytes", self.limits.pack)));
        }
        // A refusal is permanent; a timeout or an overload is transient.
        let answers = ["not our ref", "could not read Username", "Authentication failed"];
        let answers = answers.iter().chain(&["not found", "returned error: 4", "does not appear"]);
        let is_busy = text.contains("error: 429") || text.contains("error: 408");
        let is_answer = !is_busy && answers.into_iter().any(|part| text.contains(part));
        let hint = match (is_answer, self.credential.is_some()) {
            (false, _) => "",
            (true, true) => "; the credential of the repository counts for its own host only",
            (true, false) => "; it was asked for without a credential",
        };
        let error = words(&format!("{text}{hint}"));
        if is_answer { refused(&error) } else { self.passing(error) }
    }

    pub(crate) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let done = self.workspaces.process.tasks.spawn_blocking(work).await;
        let failed = |source| Error::Folder { path: self.draft.display().to_string(), source };
        done.map_err(|_| Error::Stopped)?.map_err(failed)
    }
}

/// An error with the path of its submodule, shortened.
pub(crate) fn named(path: &str, why: &str) -> GitError {
    let path: String = path.chars().take(200).collect();
    GitError::BadSubmodule(format!("submodule {path:?}: {why}"))
}

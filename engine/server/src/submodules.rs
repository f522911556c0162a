//! Submodules of a workspace, and the order in which submodules and contents of Git LFS are fetched.
//!
//! The server fetches both, so that no credential reaches a workspace. What a commit names is foreign input:
//! addresses are judged before they are asked, and number, depth, bytes and time are bounded. A stranger's
//! commit is asked for without a credential.

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

use crate::{checkouts::Source, error::Error, files::Packed, server::Server};

mod redirect;

/// Folder of a mirror for those of submodules; they go with it.
pub(crate) const MODULES: &str = "plue-modules";
/// A file of such a mirror, whose time is that of its last use.
pub(crate) const USED: &str = "plue.used";
/// Submodules of submodules, so many levels.
const MAX_DEPTH: usize = 8;
/// Addresses that one fetch may be sent on to.
const MAX_REDIRECTS: usize = 3;

/// The most that one workspace may get beside its repository.
#[derive(Debug, Clone, Copy)]
struct Limits {
    submodules: usize,
    /// Files of all submodules together.
    bytes: u64,
    /// One pack.
    pack: u64,
    /// Contents of Git LFS together.
    lfs: u64,
    within: Duration,
}

const OWN: Limits = Limits {
    submodules: 256,
    bytes: 2 * 1024 * 1024 * 1024,
    pack: 2 * 1024 * 1024 * 1024,
    lfs: 10 * 1024 * 1024 * 1024,
    within: Duration::from_secs(15 * 60),
};
const STRANGERS: Limits = Limits {
    submodules: 32,
    bytes: 256 * 1024 * 1024,
    pack: 256 * 1024 * 1024,
    lfs: 1024 * 1024 * 1024,
    within: Duration::from_secs(3 * 60),
};

/// A repository of the workspace.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) mirror: Mirror,
    pub(crate) commit: CommitId,
    pub(crate) place: RepositoryPath,
    pub(crate) address: Address,
    depth: usize,
}

/// One workspace that is filled.
#[derive(Debug)]
pub(crate) struct Filling<'a> {
    pub(crate) server: &'a Server,
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

// === impl Server ===

impl Server {
    /// Puts the submodules and the contents of Git LFS that are asked for into a draft of a workspace, which
    /// has its files and its `.git` directory.
    ///
    /// # Errors
    /// [`Error::Invalid`]: they cannot be had as the commit is; [`Error::Elsewhere`]: not now.
    pub(crate) async fn populate(
        &self,
        source: &Source<'_>,
        draft: &std::path::Path,
    ) -> Result<(), Error> {
        if !source.asked.submodules && !source.asked.lfs {
            return Ok(());
        }
        let is_trusted = source.is_trusted;
        let limits = if is_trusted { OWN } else { STRANGERS };
        let credential = match is_trusted {
            true => self.credential(source.repo).await?,
            false => None,
        };
        // As with calls: the operator's exceptions are not for strangers.
        let guard = if is_trusted { self.parts().options.reach.clone() } else { Guard::default() };
        let mut filling = Filling {
            server: self,
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

/// A problem that stays as long as the commit and the credential do.
pub(crate) fn refused(error: &GitError) -> Error {
    Error::Invalid(vec![error.diagnostic()])
}

// === impl Filling ===

impl Filling<'_> {
    /// A problem that may pass. A stranger's commit is not tried again: authors of pull requests would decide
    /// how often this server asks.
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

    /// Problems of the commit are its own; all others are git's.
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

    /// Commits of a submodule's history; 0: all.
    fn history(&self) -> u32 {
        self.source.asked.fetch_depth.unwrap_or(1)
    }

    /// A mirror with the commit of a submodule. It belongs to one watched repository, and what its own commits
    /// got is apart from what strangers' commits got.
    async fn mirrored(
        &self,
        place: &RepositoryPath,
        submodule: &Submodule,
        address: &Address,
    ) -> Result<Mirror, Error> {
        let depth = self.history();
        let is_trusted = self.source.is_trusted;
        // A path may not be watched any more.
        let judged = match address {
            Address::Folder(_) => Some(self.remote(place, address).await?),
            Address::Web { .. } => None,
        };
        let key = Sha256::digest(format!("{}\n{depth}\n{is_trusted}", address.text()));
        let key = key.get(..16).map(hex::encode).unwrap_or_default();
        let folder = self.source.mirror.folder().join(MODULES).join(format!("{key}.git"));
        let mirror = Mirror::open(&folder, self.server.parts().tasks.clone()).await?;
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

    /// The remote behind an address, judged.
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
            // The mirror of the repository itself comes from there.
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

    /// Whether a folder is that of another watched repository beside this one. Steps of one may then read the
    /// other, so never for strangers.
    async fn is_watched_sibling(&self, path: &std::path::Path) -> Result<bool, Error> {
        if !self.source.is_trusted {
            return Ok(false);
        }
        let rows = self.server.store().repos().await?;
        let watched = rows.into_iter().filter(|row| row.forge == "local").map(|row| row.url);
        let watched: Vec<String> = watched.collect();
        let (path, own) = (path.to_owned(), self.source.repo.url.clone());
        self.on_disk(move || {
            let real = |path: &str| {
                PathBuf::from(path.strip_prefix("file://").unwrap_or(path)).canonicalize().ok()
            };
            let Some(found) = path.to_str().and_then(real) else { return Ok(false) };
            let beside = real(&own).and_then(|own| Some(own.parent()?.to_owned()));
            let is_beside = beside.is_some_and(|folder| found.parent() == Some(folder.as_path()));
            Ok(is_beside && watched.iter().any(|url| real(url).as_deref() == Some(&*found)))
        })
        .await
    }

    /// The files of a submodule, in its place.
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
        let (draft, at, packed) = (self.draft.to_owned(), place.clone(), Packed::There(path));
        self.on_disk(move || {
            let folder = at.folder(&draft)?;
            packed.unpack(&folder)
        })
        .await
    }

    /// The error of a fetch, with the submodule's name. Never [`Error::Git`]: by that the whole queue of the
    /// repository would wait for another server.
    fn failed(&self, place: &RepositoryPath, error: &GitError) -> Error {
        let text = error.to_string();
        let words = |why: &str| named(&place.path, why);
        // Git's words for an index-pack that the kernel has ended at the limit of its file.
        let ended = ["signal 25", "File too large", "invalid index-pack output"];
        let is_too_large = ended.iter().any(|part| text.contains(part));
        if is_too_large {
            return refused(&words(&format!("its pack has more than {} bytes", self.limits.pack)));
        }
        // The answer of a server stays; a silent one may come back.
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
        let done = self.server.parts().tasks.spawn_blocking(work).await;
        let failed = |source| Error::Folder { path: self.draft.display().to_string(), source };
        done.map_err(|_| Error::Stopped)?.map_err(failed)
    }
}

/// A problem of a submodule.
pub(crate) fn named(path: &str, why: &str) -> GitError {
    let path: String = path.chars().take(200).collect();
    GitError::BadSubmodule(format!("submodule {path:?}: {why}"))
}

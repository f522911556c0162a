//! Contents of Git LFS: fetched from the LFS server of a repository, verified, stored next to its mirror, and
//! written over their pointers.
//!
//! The protocol is the batch API of git-lfs with the basic transfer. The credential goes only to the host of the
//! watched repository; headers that a server requests for a download go only to that download.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use plue_executor::reach::{self, Request, Target};
use plue_forge::{
    GitError,
    git::{
        Address,
        lfs::{self, Pointer},
    },
};
use plue_runtime::confined_dir::ConfinedDir;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use crate::{
    error::Error,
    submodules::{Filling, Node, refused},
};

mod batch;

use batch::{Action, Answer, Ask};

/// Folder of a mirror for the contents of its pointers.
pub(crate) const OBJECTS: &str = "plue-lfs";
/// Objects of one batch request.
const BATCH: usize = 100;
/// Most downloads of one checkout at the same time.
const AT_ONCE: usize = 4;
/// Bytes of the response to a batch request.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
const BATCH_WITHIN: Duration = Duration::from_secs(60);
/// A download without a byte for this long is aborted.
const SILENCE: Duration = Duration::from_secs(60);
const MAX_REDIRECTS: usize = 3;
const MEDIA: &str = "application/vnd.git-lfs+json";

/// The source of contents.
enum LfsServer {
    /// An LFS server over HTTP.
    Web(Address),
    /// A repository of this machine.
    Folder(PathBuf),
}

// === impl Filling ===

impl Filling<'_> {
    /// Replaces the pointers of a repository by their contents.
    pub(crate) async fn lfs(&mut self, node: &Node) -> Result<(), Error> {
        let index = self.draft.join(&node.place.git_dir).join("index");
        let final_or_git = |error: GitError| match error.is_final() {
            true => refused(&error),
            false => Error::Git(error),
        };
        let pointers = node.mirror.lfs_pointers(&node.commit, &index).await;
        let pointers = pointers.map_err(final_or_git)?;
        if pointers.is_empty() {
            return Ok(());
        }
        let sum = lfs::total(&pointers, self.lfs_left).map_err(|error| refused(&error))?;
        self.lfs_left -= sum;
        let server = self.lfs_server(node).await?;
        let objects = self.object_folder(&server);
        let missing = {
            let (objects, wanted) = (objects.clone(), pointers.clone());
            let now = SystemTime::from(self.workspaces.process.clock.now());
            self.on_disk(move || missing(&objects, wanted, now)).await?
        };
        match &server {
            LfsServer::Folder(from) => {
                for pointer in missing {
                    self.copied(from, &objects, pointer).await?;
                }
            }
            LfsServer::Web(address) => {
                for batch in missing.chunks(BATCH) {
                    self.fetched_batch(address, &objects, batch).await?;
                }
            }
        }
        let folder = self.draft.join(&node.place.path);
        let git_dir = self.draft.join(&node.place.git_dir);
        self.on_disk(move || {
            put(&objects, &folder, &pointers)?;
            lfs::configure(&git_dir)
        })
        .await
    }

    async fn lfs_server(&self, node: &Node) -> Result<LfsServer, Error> {
        let bad = |why: &str| refused(&GitError::BadLfs(why.to_owned()));
        let named = node.mirror.lfs_url(&node.commit).await;
        let named = named.map_err(|error| match error {
            GitError::BadSubmodule(why) => bad(&why),
            other => Error::Git(other),
        })?;
        let own = node.address.text();
        let text = match (named, &node.address) {
            (Some(url), _) => url,
            (None, Address::Folder(path)) => return Ok(LfsServer::Folder(path.clone())),
            (None, Address::Web { .. }) if own.ends_with(".git") => format!("{own}/info/lfs"),
            (None, Address::Web { .. }) => format!("{own}.git/info/lfs"),
        };
        match Address::read(&text, &own, &self.source.repo.url) {
            Ok(address @ Address::Web { .. }) => Ok(LfsServer::Web(address)),
            Ok(Address::Folder(_)) => Err(bad("`.lfsconfig` names a folder, which is not read")),
            Err(why) => Err(bad(&format!("the LFS server of `.lfsconfig`: {why}"))),
        }
    }

    /// The folder for the contents of a server; trusted and untrusted commits do not share one.
    fn object_folder(&self, server: &LfsServer) -> PathBuf {
        let server = match server {
            LfsServer::Folder(path) => path.display().to_string(),
            LfsServer::Web(address) => address.text(),
        };
        let key = format!("{server}\n{}", self.source.is_trusted);
        let key = Sha256::digest(key);
        let key = key.get(..16).map(hex::encode).unwrap_or_default();
        self.source.mirror.folder().join(OBJECTS).join(key)
    }

    /// Copies a content from a repository of this machine.
    async fn copied(&self, from: &Path, objects: &Path, pointer: Pointer) -> Result<(), Error> {
        let (from, objects, part) = (from.to_owned(), objects.to_owned(), self.part(objects));
        let shown = shown(&pointer);
        let is_there = self
            .on_disk(move || {
                let oid = relative(&pointer.oid);
                let places = [from.join("lfs/objects"), from.join(".git/lfs/objects")];
                for place in places {
                    let Ok(confined) = ConfinedDir::open(&place) else { continue };
                    let Ok(file) = confined.read(oid.as_bytes()) else { continue };
                    let mut limited = file.take(pointer.size.saturating_add(1));
                    io::copy(&mut limited, &mut File::create(&part)?)?;
                    return take_over(&part, &objects, &pointer);
                }
                Ok(false)
            })
            .await?;
        let why = "the repository on the server has no such object in its lfs/objects";
        if is_there { Ok(()) } else { Err(refused(&GitError::BadLfs(format!("{shown}: {why}")))) }
    }

    async fn fetched_batch(
        &self,
        server: &Address,
        objects: &Path,
        batch: &[Pointer],
    ) -> Result<(), Error> {
        let answer = self.asked(server, batch).await?;
        let url = server.text();
        let bad = |pointer: &Pointer, why: &str| {
            refused(&GitError::BadLfs(format!("{}: {why}", shown(pointer))))
        };
        let mut downloads = Vec::with_capacity(batch.len());
        for pointer in batch {
            match answer.action(pointer) {
                Ok(action) => downloads.push((pointer, action)),
                Err(why) => return Err(bad(pointer, &format!("the LFS server {url} {why}"))),
            }
        }
        for some in downloads.chunks(AT_ONCE) {
            let all = some
                .iter()
                .map(|(pointer, action)| self.download(server, objects, pointer, action));
            futures::future::try_join_all(all).await?;
        }
        Ok(())
    }

    /// Sends a batch request.
    async fn asked(&self, server: &Address, batch: &[Pointer]) -> Result<Answer, Error> {
        let url = server.text();
        let bad = |why: &str| GitError::BadLfs(format!("the LFS server {url}: {why}"));
        let target = Target::parse(&format!("{url}/objects/batch"));
        let target = target.map_err(|error| refused(&bad(&error.to_string())))?;
        let mut headers = BTreeMap::from([
            ("accept".to_owned(), MEDIA.to_owned()),
            ("content-type".to_owned(), MEDIA.to_owned()),
        ]);
        if let Some(credential) = self.credential_for(server) {
            headers.insert("authorization".to_owned(), credential.basic());
        }
        let body = serde_json::to_vec(&Ask::of(batch)).map_err(|_| refused(&bad("no request")))?;
        let guard = self.guard_for(server);
        let exchange = async {
            let request =
                Request { method: "POST", target: &target, headers: &headers, body: Some(&body) };
            let mut response = reach::send(request, &guard).await.map_err(|error| match error {
                reach::Unreached::Refused(why) => refused(&bad(&why.message)),
                error @ (reach::Unreached::Failed(_) | reach::Unreached::TimedOut) => {
                    self.passing(bad(&error.to_string()))
                }
            })?;
            let status = response.status().as_u16();
            let mut text = Vec::new();
            while let Ok(Some(part)) = response.chunk().await {
                text.extend_from_slice(&part);
                if text.len() > MAX_ANSWER_BYTES {
                    return Err(refused(&bad("its answer is too long")));
                }
            }
            Ok((status, text))
        };
        let late = |_| self.passing(bad("no answer in time"));
        let (status, text) = tokio::time::timeout(BATCH_WITHIN, exchange).await.map_err(late)??;
        match status {
            200 => serde_json::from_slice(&text)
                .map_err(|_| refused(&bad("its answer is not that of a batch"))),
            408 | 429 | 500.. => Err(self.passing(bad(&format!("it answered {status}")))),
            401 | 403 | 404 if self.credential_for(server).is_none() => Err(refused(&bad(
                &format!("it answered {status}; it was asked without a credential"),
            ))),
            _ => Err(refused(&bad(&format!("it answered {status}")))),
        }
    }

    /// One object, into the folder of those that are objects.
    async fn download(
        &self,
        server: &Address,
        objects: &Path,
        pointer: &Pointer,
        action: &Action,
    ) -> Result<(), Error> {
        let bad = |why: &str| GitError::BadLfs(format!("{}: {why}", shown(pointer)));
        let part = self.part(objects);
        let made = async {
            self.streamed(server, (pointer, action), &part).await?;
            let (from, objects, wanted) = (part.clone(), objects.to_owned(), pointer.clone());
            match self.on_disk(move || take_over(&from, &objects, &wanted)).await? {
                true => Ok(()),
                false => Err(refused(&bad("the content does not match its pointer"))),
            }
        };
        let made = made.await;
        if made.is_err() {
            let _may_never_have_been = tokio::fs::remove_file(&part).await;
        }
        made
    }

    async fn streamed(
        &self,
        server: &Address,
        (pointer, action): (&Pointer, &Action),
        part: &Path,
    ) -> Result<(), Error> {
        let bad = |why: &str| GitError::BadLfs(format!("{}: {why}", shown(pointer)));
        let unusable = |source| Error::Folder { path: part.display().to_string(), source };
        let mut response = self.opened(server, pointer, action).await?;
        let mut file = tokio::fs::File::create(part).await.map_err(unusable)?;
        let mut count = 0_u64;
        loop {
            let chunk = tokio::time::timeout(SILENCE, response.chunk()).await;
            let chunk = chunk.map_err(|_| self.passing(bad("its download stopped")))?;
            let Some(chunk) = chunk.map_err(|_| self.passing(bad("its download broke off")))?
            else {
                break;
            };
            count = count.saturating_add(chunk.len() as u64);
            if count > pointer.size {
                return Err(refused(&bad("the content is longer than its pointer states")));
            }
            file.write_all(&chunk).await.map_err(unusable)?;
        }
        file.flush().await.map_err(unusable)
    }

    /// The answer to a download, redirects followed as far as they may lead.
    async fn opened(
        &self,
        server: &Address,
        pointer: &Pointer,
        action: &Action,
    ) -> Result<reqwest::Response, Error> {
        let bad = |why: &str| GitError::BadLfs(format!("{}: {why}", shown(pointer)));
        let guard = self.guard_for(server);
        let mut headers = action.headers();
        let mut target =
            Target::parse(&action.href).map_err(|error| refused(&bad(&error.to_string())))?;
        let watched = &self.source.repo.url;
        for _ in 0..=MAX_REDIRECTS {
            let place = Target::url(&target).origin().ascii_serialization();
            let is_own = matches!(
                Address::read(&format!("{place}/x"), watched, watched),
                Ok(Address::Web { is_own: true, .. })
            );
            if target.url().scheme() != "https" && !is_own {
                return Err(refused(&bad("its download is not encrypted")));
            }
            if is_own
                && !action.is_authenticated()
                && let Some(credential) = &self.credential
            {
                headers.entry("authorization".to_owned()).or_insert_with(|| credential.basic());
            }
            let request = Request { method: "GET", target: &target, headers: &headers, body: None };
            let sent = tokio::time::timeout(SILENCE, reach::send(request, &guard)).await;
            let sent = sent.map_err(|_| self.passing(bad("no answer in time")))?;
            let response = sent.map_err(|error| match error {
                reach::Unreached::Refused(why) => refused(&bad(&why.message)),
                error @ (reach::Unreached::Failed(_) | reach::Unreached::TimedOut) => {
                    self.passing(bad(&error.to_string()))
                }
            })?;
            match response.status().as_u16() {
                200 => return Ok(response),
                301 | 302 | 303 | 307 | 308 => {
                    let location = response.headers().get("location");
                    let location = location.and_then(|value| value.to_str().ok());
                    let next = location.and_then(|location| target.join(location).ok());
                    let next = next.ok_or_else(|| refused(&bad("its download leads nowhere")))?;
                    // Headers of a download are for the host that they were given for.
                    if next.url().origin() != target.url().origin() {
                        headers.clear();
                    }
                    target = next;
                }
                status @ (408 | 429 | 500..) => {
                    return Err(self.passing(bad(&format!("its download answered {status}"))));
                }
                status => return Err(refused(&bad(&format!("its download answered {status}")))),
            }
        }
        Err(refused(&bad("its download is sent on too often")))
    }

    /// An unused path for an unfinished file.
    fn part(&self, objects: &Path) -> PathBuf {
        objects.join(format!("part-{}", self.workspaces.process.ids.secret()))
    }
}

fn shown(pointer: &Pointer) -> String {
    let path: String = String::from_utf8_lossy(&pointer.path).chars().take(200).collect();
    format!("{path:?} ({:.10}…)", pointer.oid)
}

fn relative(oid: &str) -> String {
    let part = |range| oid.get(range).unwrap_or_default();
    format!("{}/{}/{oid}", part(0..2), part(2..4))
}

/// The pointers without a stored content, each content once. The use of stored ones is recorded.
fn missing(objects: &Path, wanted: Vec<Pointer>, now: SystemTime) -> io::Result<Vec<Pointer>> {
    std::fs::create_dir_all(objects)?;
    let mut seen = HashSet::new();
    let mut missing = Vec::new();
    for pointer in wanted {
        if !seen.insert(pointer.oid.clone()) {
            continue;
        }
        match File::options().append(true).open(objects.join(relative(&pointer.oid))) {
            Ok(file) => file.set_modified(now)?,
            Err(_) => missing.push(pointer),
        }
    }
    Ok(missing)
}

/// Stores a file if it is the content of a pointer, and removes it otherwise.
fn take_over(part: &Path, objects: &Path, pointer: &Pointer) -> io::Result<bool> {
    let mut hash = Sha256::new();
    let bytes = io::copy(&mut File::open(part)?, &mut hash)?;
    if bytes != pointer.size || hex::encode(hash.finalize()) != pointer.oid {
        std::fs::remove_file(part)?;
        return Ok(false);
    }
    let target = objects.join(relative(&pointer.oid));
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::rename(part, target)?;
    Ok(true)
}

/// Writes contents over pointers without following symbolic links of the commit.
fn put(objects: &Path, folder: &Path, pointers: &[Pointer]) -> io::Result<()> {
    let confined = ConfinedDir::open(folder)?;
    for pointer in pointers {
        let mut content = File::open(objects.join(relative(&pointer.oid)))?;
        let mode = if pointer.is_executable { 0o755 } else { 0o644 };
        confined.write(&pointer.path, mode, |file| io::copy(&mut content, file).map(drop))?;
    }
    Ok(())
}

//! The `.git` directory of a workspace, made from a mirror: refs, one pack and a configuration of ours.
//!
//! Steps may write to all of it, so objects are copied and never linked to the mirror's. No hook, no
//! credential and no setting of the repository or of a person gets in.

use std::{
    collections::HashSet,
    fmt::Write as _,
    io,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use crate::git::changes::merge_base;
use crate::{
    git::{
        checkout::picked::{Picked, Tag, ids, parse_tags},
        command::Call,
        commit_id::{CommitId, check_ref},
        error::GitError,
        mirror::Mirror,
        remote::Remote,
    },
    limits::{MAX_HISTORY_BYTES, MAX_WHOLE_BYTES},
};

mod picked;

/// The content of a workspace's repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The commit that `HEAD` points to.
    pub commit: CommitId,
    /// The branch that `HEAD` is attached to; `None` leaves it detached.
    pub branch: Option<String>,
    /// Branches of `origin`, each at a commit of the mirror.
    pub remote_branches: Vec<(String, CommitId)>,
    /// The branch that `origin/HEAD` leads to, if it is one of them.
    pub default_branch: String,
    /// The part of the history that it holds.
    pub history: History,
    /// True to include tags: with [`History::All`] all of them, else those of the included commits.
    pub tags: bool,
    /// The address that `origin` names; holds no credential, see [`Remote::new`].
    pub origin: String,
}

/// The part of a commit's history that a checkout holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum History {
    /// All commits. If the mirror is small and whole, also all contents; else only those of the
    /// commit, its first parent, the branches of `origin`, and their merge bases.
    Commits,
    /// All commits and tags with all contents.
    All,
    /// So many commits deep, with their contents.
    Depth(NonZeroU32),
}

pub(super) async fn check_out(
    mirror: &Mirror,
    checkout: &Checkout,
    remote: Option<&Remote>,
    target: &Path,
) -> Result<(), GitError> {
    if !mirror.has(&checkout.commit).await? {
        return Err(GitError::NoCommit(checkout.commit.to_string()));
    }
    let mut picked = picked_objects(mirror, checkout).await?;
    if let (Some(remote), false) = (remote, picked.missing.is_empty()) {
        match mirror.fetch_objects(&picked.missing, remote).await {
            Ok(()) => picked = picked_objects(mirror, checkout).await?,
            // `Commits` requires no more than the commit, whose own files are here.
            Err(_) if checkout.history == History::Commits => {}
            Err(error) => return Err(error),
        }
    }
    let unusable = |source| GitError::Folder { path: target.to_owned(), source };
    for folder in ["objects/pack", "objects/info", "refs/heads", "refs/tags", "info"] {
        std::fs::create_dir_all(target.join(folder)).map_err(unusable)?;
    }
    let pack = target.join("objects/pack/pack");
    let pack = pack.to_str().ok_or_else(|| unusable(io::ErrorKind::InvalidFilename.into()))?;
    let args = ["--quiet", "--window=0", "--delta-base-offset", pack];
    let call = Call::packing(&mirror.folder);
    let name = call.run_with("pack-objects", &args, picked.objects.as_bytes()).await?;
    if picked.is_partial {
        let name = String::from_utf8_lossy(&name);
        let mark = target.join(format!("objects/pack/pack-{}.promisor", name.trim()));
        std::fs::write(mark, "").map_err(unusable)?;
    }
    written(checkout, &picked, target).map_err(unusable)?;
    match Call::local(target).run("read-tree", &[checkout.commit.as_str()]).await {
        Err(GitError::Failed { reason, .. }) if reason.contains("invalid path") => {
            Err(GitError::BadTree(reason))
        }
        read => read.map(drop),
    }
}

pub(super) async fn tag_state(mirror: &Mirror) -> Result<Vec<u8>, GitError> {
    Call::local(&mirror.folder).run("for-each-ref", &[TAG_FORMAT, "refs/tags"]).await
}

/// The objects and tags of a checkout.
async fn picked_objects(mirror: &Mirror, checkout: &Checkout) -> Result<Picked, GitError> {
    match checkout.history {
        History::All => all(mirror, checkout).await,
        History::Depth(depth) => shallow(mirror, checkout, depth).await,
        History::Commits => match commit_history(mirror, checkout).await {
            // `Commits` does not require the history: the commit alone is better than no run.
            Err(GitError::TooLarge { .. }) => shallow(mirror, checkout, NonZeroU32::MIN).await,
            picked => picked,
        },
    }
}

async fn all(mirror: &Mirror, checkout: &Checkout) -> Result<Picked, GitError> {
    let tags = tags(mirror, checkout, &[]).await?;
    let tips = tips(checkout, &tags);
    let objects = objects(mirror, &["--missing=print"], &tips).await?;
    Ok(Picked::of(&objects, tags))
}

async fn commit_history(mirror: &Mirror, checkout: &Checkout) -> Result<Picked, GitError> {
    let merged: Vec<String> =
        commits(checkout).map(|commit| format!("--merged={commit}")).collect();
    let tags = tags(mirror, checkout, &merged).await?;
    let tips = tips(checkout, &tags);
    if is_small(mirror) {
        let objects = objects(mirror, &["--missing=print"], &tips).await?;
        return Ok(Picked::of(&objects, tags));
    }
    let history = objects(mirror, &["--filter=blob:none"], &tips).await?;
    let whole = ids(&with_contents(mirror, checkout).await?);
    let contents = objects(mirror, &["--no-walk=unsorted", "--missing=print"], &whole).await?;
    let mut picked = Picked::of(&[history, contents].concat(), tags);
    picked.is_partial = true;
    Ok(picked)
}

async fn shallow(
    mirror: &Mirror,
    checkout: &Checkout,
    depth: NonZeroU32,
) -> Result<Picked, GitError> {
    let first: Vec<CommitId> = commits(checkout).cloned().collect();
    let walk: &[&str] = if depth == NonZeroU32::MIN { &["--no-walk=unsorted"] } else { &[] };
    let args = [walk, &["--parents", "--stdin"]].concat();
    let call = Call::local(&mirror.folder).at_most(MAX_HISTORY_BYTES);
    let output = call.run_with("rev-list", &args, ids(&first).as_bytes()).await?;
    let (included, boundary) = picked::within(&String::from_utf8_lossy(&output), &first, depth);
    let there: HashSet<&str> = included.iter().map(String::as_str).collect();
    let mut tags = tags(mirror, checkout, &[]).await?;
    tags.retain(|tag| there.contains(tag.leads_to()));
    let mut wanted = included.join("\n") + "\n";
    wanted.extend(tags.iter().map(|tag| format!("{}\n", tag.object)));
    let objects = objects(mirror, &["--no-walk=unsorted", "--missing=print"], &wanted).await?;
    let mut picked = Picked::of(&objects, tags);
    picked.boundary = boundary;
    // The ends of the mirror itself.
    let ends = mirror.shallow_commits();
    picked.boundary.extend(ends.into_iter().filter(|end| there.contains(end.as_str())));
    Ok(picked)
}

/// The ids of the objects of commits, one a line; those that are not here begin with `?`.
async fn objects(mirror: &Mirror, how: &[&str], commits: &str) -> Result<String, GitError> {
    let args = [&["--objects", "--no-object-names"], how, &["--stdin"]].concat();
    let call = Call::local(&mirror.folder).at_most(MAX_HISTORY_BYTES);
    let output = call.run_with("rev-list", &args, commits.as_bytes()).await?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

async fn tags(mirror: &Mirror, checkout: &Checkout, of: &[String]) -> Result<Vec<Tag>, GitError> {
    if !checkout.tags {
        return Ok(Vec::new());
    }
    let mut args = vec![TAG_FORMAT];
    args.extend(of.iter().map(String::as_str));
    args.push("refs/tags");
    let output = Call::local(&mirror.folder).run("for-each-ref", &args).await?;
    Ok(parse_tags(&String::from_utf8_lossy(&output)))
}

/// The commits that a checkout of all commits has the contents of.
async fn with_contents(mirror: &Mirror, checkout: &Checkout) -> Result<Vec<CommitId>, GitError> {
    let mut whole: Vec<CommitId> = commits(checkout).cloned().collect();
    whole.extend(mirror.rev_parse(&format!("{}^1", checkout.commit)).await?);
    for (_, head) in &checkout.remote_branches {
        if *head != checkout.commit {
            whole.extend(merge_base(mirror, head.as_str(), &checkout.commit).await?);
        }
    }
    Ok(whole)
}

/// True if all contents are in the mirror and cheap to copy.
fn is_small(mirror: &Mirror) -> bool {
    let packs = std::fs::read_dir(mirror.folder.join("objects/pack"));
    let mut bytes = 0_u64;
    for pack in packs.into_iter().flatten().flatten() {
        if pack.path().extension().is_some_and(|end| end == "promisor") {
            return false;
        }
        bytes = bytes.saturating_add(pack.metadata().map_or(u64::MAX, |found| found.len()));
    }
    bytes <= MAX_WHOLE_BYTES
}

/// `for-each-ref`: the object, the commit behind it if it is another one, the name.
const TAG_FORMAT: &str = "--format=%(objectname) %(*objectname) %(refname)";

/// The commits that have a ref.
fn commits(checkout: &Checkout) -> impl Iterator<Item = &CommitId> {
    std::iter::once(&checkout.commit).chain(checkout.remote_branches.iter().map(|(_, head)| head))
}

/// The ids of everything that has a ref, one a line.
fn tips(checkout: &Checkout, tags: &[Tag]) -> String {
    let mut tips: String = commits(checkout).map(|commit| format!("{commit}\n")).collect();
    tips.extend(tags.iter().map(|tag| format!("{}\n", tag.object)));
    tips
}

/// Writes what git does not write itself.
fn written(checkout: &Checkout, picked: &Picked, target: &Path) -> io::Result<()> {
    let refused = |error: GitError| io::Error::other(error.to_string());
    let mut refs = String::new();
    let mut add = |name: String, id: &str| -> io::Result<()> {
        check_ref(&name).map_err(refused)?;
        let _infallible = writeln!(refs, "{id} {name}");
        Ok(())
    };
    let head = match &checkout.branch {
        Some(branch) => {
            add(format!("refs/heads/{branch}"), checkout.commit.as_str())?;
            format!("ref: refs/heads/{branch}\n")
        }
        None => format!("{}\n", checkout.commit),
    };
    for (branch, commit) in &checkout.remote_branches {
        add(format!("refs/remotes/origin/{branch}"), commit.as_str())?;
    }
    for tag in &picked.tags {
        add(tag.name.clone(), &tag.object)?;
    }
    std::fs::write(target.join("HEAD"), head)?;
    std::fs::write(target.join("packed-refs"), refs)?;
    std::fs::write(target.join("config"), config(checkout, picked.is_partial))?;
    if !picked.boundary.is_empty() {
        std::fs::write(target.join("shallow"), picked.boundary.join("\n") + "\n")?;
    }
    let default = &checkout.default_branch;
    if checkout.remote_branches.iter().any(|(branch, _)| branch == default) {
        let folder: PathBuf = target.join("refs/remotes/origin");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("HEAD"), format!("ref: refs/remotes/origin/{default}\n"))?;
    }
    Ok(())
}

/// The configuration of the repository.
fn config(checkout: &Checkout, is_partial: bool) -> String {
    let version = u8::from(is_partial);
    let mut text = format!(
        "[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = false\n\
         \tlogallrefupdates = true\n[gc]\n\tauto = 0\n[remote \"origin\"]\n\turl = {}\n\
         \tfetch = +refs/heads/*:refs/remotes/origin/*\n",
        quoted(&checkout.origin)
    );
    if is_partial {
        text.push_str("\tpromisor = true\n\tpartialclonefilter = blob:none\n");
        text.push_str("[extensions]\n\tpartialClone = origin\n");
    }
    if let Some(branch) = &checkout.branch
        && checkout.remote_branches.iter().any(|(name, _)| name == branch)
    {
        let merge = quoted(&format!("refs/heads/{branch}"));
        let section = quoted(branch);
        let _infallible =
            write!(text, "[branch {section}]\n\tremote = origin\n\tmerge = {merge}\n");
    }
    text
}

/// A value of git's configuration; neither an address nor a ref has a control character.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

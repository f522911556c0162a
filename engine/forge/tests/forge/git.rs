//! Mirrors of real repositories on this machine, friendly and hostile.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use plue_forge::{
    CommitId, GitError, Mirror, Remote,
    git::{ChangedFiles, EntryKind, FetchRequest, FileContent, Since},
};
use plue_runtime::Tasks;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;

/// A work tree that people commit to, and a mirror of it.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) mirror: Mirror,
}

pub(crate) fn want_all() -> FetchRequest {
    FetchRequest { branches_and_tags: true, ..FetchRequest::default() }
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        let mirror = Mirror::open(folder.path().join("mirror.git"), Tasks::new()).await.unwrap();
        let bench = Self { folder, mirror };
        bench.git(&["init", "-q", "-b", "main"]);
        bench
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) fn remote(&self) -> Remote {
        Remote::new(self.work().join(".git").to_str().unwrap(), None).unwrap()
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        git_in(&self.work(), args)
    }

    pub(crate) fn commit(&self, path: &str, text: impl AsRef<[u8]>) -> CommitId {
        let path = self.work().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self.commit_all()
    }

    fn commit_all(&self) -> CommitId {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "a message [skip ci]"]);
        self.head()
    }

    fn head(&self) -> CommitId {
        CommitId::new(&self.git(&["rev-parse", "HEAD"])).unwrap()
    }

    pub(crate) async fn fetch(&self) {
        self.mirror.fetch(&self.remote(), &want_all()).await.unwrap();
    }

    async fn pushed(&self, before: Option<&CommitId>, after: &CommitId) -> ChangedFiles {
        let since = Since::Push { before, default_branch: Some("refs/heads/main") };
        self.mirror.changed_files(since, after).await.unwrap()
    }
}

fn git_in(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.invalid"])
        .args(["-c", "protocol.file.allow=always"])
        .args(args)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn known(files: &[&str]) -> ChangedFiles {
    ChangedFiles::Known(files.iter().map(|&file| file.to_owned()).collect())
}

#[tokio::test]
async fn mirrors_follow_refs_and_drop_deleted_ones() {
    let bench = Bench::new().await;
    let first = bench.commit("a.txt", "1");
    bench.git(&["branch", "side"]);
    bench.git(&["tag", "-a", "v1", "-m", "annotated"]);
    bench.fetch().await;
    let find = async |name: &str| bench.mirror.resolve(name).await.unwrap();
    assert_eq!(find("refs/heads/side").await.as_ref(), Some(&first));
    assert_eq!(find("refs/tags/v1").await.as_ref(), Some(&first), "the tag is opened");
    bench.git(&["branch", "-D", "side"]);
    let second = bench.commit("a.txt", "2");
    bench.fetch().await;
    assert_eq!(find("refs/heads/side").await, None);
    assert_eq!(find("refs/heads/main").await, Some(second));
    assert_eq!(bench.mirror.message(&first).await.unwrap(), "a message [skip ci]");
    assert!(matches!(bench.mirror.resolve("main").await, Err(GitError::BadName(_))));
}

#[tokio::test]
async fn changed_files_are_those_between_before_and_after() {
    let bench = Bench::new().await;
    let first = bench.commit("a.txt", "1");
    bench.commit("b/ü.txt", "1");
    bench.git(&["mv", "a.txt", "c.txt"]);
    let third = bench.commit_all();
    bench.fetch().await;
    assert_eq!(bench.pushed(Some(&first), &third).await, known(&["a.txt", "b/ü.txt", "c.txt"]));
    assert_eq!(bench.pushed(Some(&third), &third).await, known(&[]));
    let gone = CommitId::new(&"ab".repeat(20)).unwrap();
    let since = Since::PullRequest { base: &third };
    let missing = bench.mirror.changed_files(since, &gone).await;
    assert!(matches!(missing, Err(GitError::NoCommit(_))), "{missing:?}");
}

#[tokio::test]
async fn new_branches_are_compared_with_the_default() {
    let bench = Bench::new().await;
    let first = bench.commit("a.txt", "1");
    bench.git(&["switch", "-qc", "side"]);
    bench.commit("side-1.txt", "1");
    let side = bench.commit("side-2.txt", "1");
    bench.git(&["switch", "-q", "main"]);
    let main = bench.commit("main-only.txt", "1");
    bench.fetch().await;
    assert_eq!(bench.pushed(None, &side).await, known(&["side-1.txt", "side-2.txt"]));
    // A "before" commit that does not exist, from an untrusted payload.
    let nowhere = CommitId::new(&"cd".repeat(20)).unwrap();
    assert_eq!(bench.pushed(Some(&nowhere), &side).await, known(&["side-1.txt", "side-2.txt"]));
    let since = Since::PullRequest { base: &main };
    let changed = bench.mirror.changed_files(since, &side).await.unwrap();
    assert_eq!(
        changed,
        known(&["side-1.txt", "side-2.txt"]),
        "the base's own changes do not count"
    );
    let since = Since::Push { before: None, default_branch: None };
    let changed = bench.mirror.changed_files(since, &first).await.unwrap();
    assert_eq!(changed, ChangedFiles::Unknown);
}

#[tokio::test]
async fn unrelated_branches_have_unknown_changes() {
    let bench = Bench::new().await;
    bench.commit("a.txt", "1");
    bench.git(&["switch", "-q", "--orphan", "other"]);
    let other = bench.commit("b.txt", "1");
    bench.fetch().await;
    assert_eq!(bench.pushed(None, &other).await, ChangedFiles::Unknown);
}

#[tokio::test]
async fn forced_pushes_are_compared_with_the_old_head() {
    let bench = Bench::new().await;
    bench.commit("a.txt", "1");
    let before = bench.commit("old.txt", "1");
    bench.fetch().await;
    bench.mirror.keep(&before).await.unwrap();
    bench.git(&["reset", "-q", "--hard", "HEAD~1"]);
    let after = bench.commit("new.txt", "1");
    bench.fetch().await;
    assert_eq!(bench.pushed(Some(&before), &after).await, known(&["new.txt", "old.txt"]));
    bench.mirror.release(&before).await.unwrap();
}

#[tokio::test]
async fn files_of_a_commit_are_listed_and_read() {
    let bench = Bench::new().await;
    std::os::unix::fs::symlink("/etc/passwd", bench.work().join("link")).unwrap();
    std::fs::write(bench.work().join("line\nbreak"), "odd").unwrap();
    std::fs::write(bench.work().join("big"), vec![b'x'; 2_000]).unwrap();
    std::fs::write(bench.work().join("empty"), "").unwrap();
    let commit = bench.commit("dir/file", b"a\0b\n\n");
    bench.fetch().await;
    let listed = bench.mirror.list(&commit).await.unwrap();
    let paths: Vec<&str> = listed.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["big", "dir/file", "empty", "line\nbreak", "link"]);
    assert_eq!(listed[4].kind, EntryKind::Link);
    let asked = ["dir/file", "big", "link", "line\nbreak", "nothing", "empty", "dir"];
    let read = bench.mirror.read(&commit, &asked, 1_000, None).await.unwrap();
    assert_eq!(
        read,
        [
            FileContent::Bytes(b"a\0b\n\n".to_vec()),
            FileContent::TooLarge(2_000),
            FileContent::Absent,
            FileContent::Bytes(b"odd".to_vec()),
            FileContent::Absent,
            FileContent::Bytes(Vec::new()),
            FileContent::Absent,
        ]
    );
}

async fn archived(mirror: &Mirror, commit: &CommitId, remote: Option<&Remote>) -> Vec<u8> {
    let mut archive = mirror.archive(commit, remote).await.unwrap();
    let mut bytes = Vec::new();
    archive.read_to_end(&mut bytes).await.unwrap();
    archive.finish().await.unwrap();
    bytes
}

/// Unpacks with tar and gives the contents by path.
fn unpacked(bytes: &[u8], folder: &Path) -> Vec<(String, Vec<u8>)> {
    let target = folder.join("unpacked");
    std::fs::create_dir_all(&target).unwrap();
    let file = folder.join("a.tar");
    std::fs::write(&file, bytes).unwrap();
    let status = Command::new("tar").arg("-xf").arg(&file).arg("-C").arg(&target).status();
    assert!(status.unwrap().success());
    let mut names: Vec<_> =
        std::fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let content = |name: std::ffi::OsString| {
        let bytes = std::fs::read(target.join(&name)).unwrap();
        (name.into_string().unwrap(), bytes)
    };
    names.into_iter().map(content).collect()
}

#[tokio::test]
async fn archives_ignore_export_attributes() {
    let bench = Bench::new().await;
    std::fs::write(bench.work().join("hidden"), "x").unwrap();
    std::fs::write(bench.work().join("subst"), "$Format:%H$").unwrap();
    let attributes = "hidden export-ignore\nsubst export-subst\n* filter=evil\n";
    let commit = bench.commit(".gitattributes", attributes);
    bench.fetch().await;
    let bytes = archived(&bench.mirror, &commit, None).await;
    let files = unpacked(&bytes, bench.folder.path());
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [".gitattributes", "hidden", "subst"]);
    assert_eq!(files[2].1, b"$Format:%H$");
}

#[tokio::test]
async fn blobless_mirrors_fetch_blobs_on_demand() {
    let bench = Bench::new().await;
    bench.git(&["config", "uploadpack.allowFilter", "true"]);
    bench.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let commit = bench.commit("a.txt", "content");
    let remote = Remote::new(&format!("file://{}", bench.work().join(".git").display()), None);
    let remote = remote.unwrap();
    let want = FetchRequest { without_blobs: true, ..want_all() };
    bench.mirror.fetch(&remote, &want).await.unwrap();
    let local = bench.mirror.read(&commit, &["a.txt"], 100, None).await.unwrap();
    assert_eq!(local, [FileContent::Absent]);
    let read = bench.mirror.read(&commit, &["a.txt"], 100, Some(&remote)).await.unwrap();
    assert_eq!(read, [FileContent::Bytes(b"content".to_vec())]);
    assert!(!archived(&bench.mirror, &commit, Some(&remote)).await.is_empty());
}

#[tokio::test]
async fn commits_fetch_their_own_blobs_in_one_request() {
    let bench = Bench::new().await;
    bench.git(&["config", "uploadpack.allowFilter", "true"]);
    let old = bench.commit("a.txt", "old");
    bench.commit("b.txt", "b");
    let new = bench.commit("a.txt", "new");
    let remote = Remote::new(&format!("file://{}", bench.work().join(".git").display()), None);
    let remote = remote.unwrap();
    let want = FetchRequest { without_blobs: true, ..want_all() };
    bench.mirror.fetch(&remote, &want).await.unwrap();
    bench.mirror.complete(&new, &remote).await.unwrap();
    let read = bench.mirror.read(&new, &["a.txt", "b.txt"], 100, None).await.unwrap();
    let bytes = |text: &str| FileContent::Bytes(text.as_bytes().to_vec());
    assert_eq!(read, [bytes("new"), bytes("b")]);
    assert!(!archived(&bench.mirror, &new, None).await.is_empty());
    let read = bench.mirror.read(&old, &["a.txt"], 100, None).await.unwrap();
    assert_eq!(read, [FileContent::Absent]);
    // All is in the mirror: no request goes out.
    let nowhere = Remote::new("https://127.0.0.1:1/x.git", None).unwrap();
    bench.mirror.complete(&new, &nowhere).await.unwrap();
    bench.mirror.complete(&old, &nowhere).await.unwrap_err();
}

#[tokio::test]
async fn unreferenced_commits_are_fetched_by_id() {
    let bench = Bench::new().await;
    bench.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    bench.commit("a.txt", "1");
    let lost = bench.commit("a.txt", "2");
    bench.git(&["reset", "-q", "--hard", "HEAD~1"]);
    bench.git(&["update-ref", "refs/pull/7/head", lost.as_str()]);
    bench.fetch().await;
    assert!(!bench.mirror.has(&lost).await.unwrap());
    let want = FetchRequest { commits: vec![lost.clone()], ..FetchRequest::default() };
    bench.mirror.fetch(&bench.remote(), &want).await.unwrap();
    assert!(bench.mirror.has(&lost).await.unwrap());
    let want =
        FetchRequest { refs: vec!["refs/pull/7/head".to_owned()], ..FetchRequest::default() };
    bench.mirror.fetch(&bench.remote(), &want).await.unwrap();
    assert_eq!(bench.mirror.resolve("refs/pull/7/head").await.unwrap(), Some(lost));
}

#[tokio::test]
async fn loose_local_branch_heads_are_read() {
    let bench = Bench::new().await;
    let first = bench.commit("a.txt", "1");
    let (branch, local) = (bench.git(&["branch", "--show-current"]), bench.remote());
    assert_eq!(local.local_head(branch.trim()), Some(first.clone()));
    bench.fetch().await;
    bench.mirror.keep(&first).await.unwrap();
    let second = bench.commit("a.txt", "2");
    assert_eq!(local.local_head(branch.trim()), Some(second.clone()));
    let name = format!("refs/heads/{}", branch.trim());
    assert_eq!(bench.mirror.resolve(&name).await.unwrap(), Some(first.clone()));
    bench.fetch().await;
    assert_eq!(bench.mirror.resolve(&name).await.unwrap(), Some(second.clone()));
    assert!(bench.mirror.has(&first).await.unwrap());
    bench.git(&["pack-refs", "--all", "--prune"]);
    assert_eq!(local.local_head(branch.trim()), None);
    for hostile in ["../heads/x", "", "a..b", "-x y"] {
        assert_eq!(local.local_head(hostile), None, "{hostile:?}");
    }
}

#[tokio::test]
async fn concurrent_fetches_wait_for_each_other() {
    let bench = Bench::new().await;
    for number in 0..5 {
        bench.commit("a.txt", number.to_string());
        bench.git(&["branch", &format!("b{number}")]);
    }
    let (remote, want) = (bench.remote(), want_all());
    let fetches = (0..6).map(|_| bench.mirror.fetch(&remote, &want));
    let done = futures_join(fetches).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert!(bench.mirror.resolve("refs/heads/b4").await.unwrap().is_some());
}

/// All futures at once, on this task.
async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|future| Box::pin(future)).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        waiting.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                done.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test]
async fn nothing_that_a_repository_configures_is_run() {
    let bench = Bench::new().await;
    let commit = bench.commit("a.txt", "1");
    let trap = bench.folder.path().join("trapped");
    let script = bench.folder.path().join("trap.sh");
    std::fs::write(&script, format!("#!/bin/sh\ntouch {}\n", trap.display())).unwrap();
    git_in(bench.folder.path(), &["--version"]);
    Command::new("chmod").arg("+x").arg(&script).status().unwrap();
    // Simulates a manipulated mirror.
    let folder = bench.mirror.folder();
    let hooks = folder.join("hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    for hook in ["reference-transaction", "post-update", "pre-auto-gc", "fsmonitor-watchman"] {
        std::fs::copy(&script, hooks.join(hook)).unwrap();
    }
    let shown = script.display().to_string();
    for key in ["core.fsmonitor", "core.alternateRefsCommand", "diff.external", "core.sshCommand"] {
        git_in(folder, &["config", key, &shown]);
    }
    git_in(folder, &["config", "filter.evil.smudge", &shown]);
    bench.fetch().await;
    bench.mirror.keep(&commit).await.unwrap();
    archived(&bench.mirror, &commit, None).await;
    bench.mirror.list(&commit).await.unwrap();
    bench.pushed(None, &commit).await;
    assert!(!trap.exists());
}

#[tokio::test]
async fn a_replaced_commit_is_read_as_it_is() {
    let bench = Bench::new().await;
    let honest = bench.commit("a.txt", "honest");
    let other = bench.commit("a.txt", "other");
    bench.git(&["update-ref", &format!("refs/replace/{honest}"), other.as_str()]);
    let want = FetchRequest { refs: vec![format!("refs/replace/{honest}")], ..want_all() };
    bench.mirror.fetch(&bench.remote(), &want).await.unwrap();
    let read = bench.mirror.read(&honest, &["a.txt"], 100, None).await.unwrap();
    assert_eq!(read, [FileContent::Bytes(b"honest".to_vec())]);
}

#[tokio::test]
async fn failed_fetches_report_the_cause_without_credential() {
    let bench = Bench::new().await;
    let nowhere = bench.folder.path().join("s3cret-token");
    let credential = plue_forge::git::Credential::new("x", "s3cret-token").unwrap();
    let remote = Remote::new(nowhere.to_str().unwrap(), Some(credential)).unwrap();
    let failed = bench.mirror.fetch(&remote, &want_all()).await.unwrap_err();
    let message = failed.to_string();
    assert!(message.contains("`git fetch` failed"), "{message}");
    assert!(!message.contains("s3cret-token"), "{message}");
}

#[tokio::test]
async fn outside_paths_and_submodules_are_no_files() {
    let bench = Bench::new().await;
    bench.commit("a.txt", "1");
    let inner = bench.head();
    let cache = format!("160000,{inner},sub");
    bench.git(&["update-index", "--add", "--cacheinfo", &cache]);
    bench.git(&["commit", "-qm", "a submodule"]);
    let commit = bench.head();
    bench.fetch().await;
    let read = bench.mirror.read(&commit, &["../a.txt", "/a.txt", "sub"], 100, None).await;
    assert_eq!(read.unwrap(), [FileContent::Absent, FileContent::Absent, FileContent::Absent]);
    assert_eq!(bench.mirror.list(&commit).await.unwrap()[1].kind, EntryKind::Submodule);
}

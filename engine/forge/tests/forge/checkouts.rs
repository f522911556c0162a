//! The `.git` directories that mirrors make for workspaces.

use std::{num::NonZeroU32, os::unix::fs::symlink, path::PathBuf, process::Command};

use plue_forge::{
    CommitId, GitError, Remote,
    git::{Checkout, FetchRequest, History},
};

use crate::git::{Bench, want_all};

/// A checkout of `main`.
fn checkout(commit: &CommitId, history: History) -> Checkout {
    Checkout {
        commit: commit.clone(),
        branch: Some("main".to_owned()),
        remote_branches: vec![("main".to_owned(), commit.clone())],
        default_branch: "main".to_owned(),
        history,
        tags: true,
        origin: "https://forge.invalid/acme/app.git".to_owned(),
    }
}

const fn depth(commits: u32) -> History {
    History::Depth(NonZeroU32::new(commits).unwrap())
}

/// Success and output of git in the workspace, without access to its remote.
fn asked(bench: &Bench, args: &[&str]) -> (bool, String) {
    let output = Command::new("git")
        .args(args)
        .current_dir(bench.folder.path().join("made"))
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).trim().to_owned())
}

fn git(bench: &Bench, args: &[&str]) -> String {
    let (is_ok, output) = asked(bench, args);
    assert!(is_ok, "git {args:?}: {output}");
    output
}

fn target(bench: &Bench) -> PathBuf {
    let folder = bench.folder.path().join("made");
    let _first = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    folder.join(".git")
}

/// Four commits, of which the second and the third have a tag.
async fn tagged() -> (Bench, CommitId) {
    let bench = Bench::new().await;
    bench.commit("a.txt", "1");
    bench.commit("a.txt", "2");
    bench.git(&["tag", "-a", "-m", "first", "v1"]);
    bench.commit("a.txt", "3");
    bench.git(&["tag", "plain"]);
    let head = bench.commit("b.txt", "b");
    bench.git(&["checkout", "-q", "-b", "other", "HEAD~1"]);
    bench.commit("c.txt", "c");
    bench.git(&["tag", "-a", "-m", "elsewhere", "v9"]);
    bench.fetch().await;
    (bench, head)
}

#[tokio::test]
async fn checkouts_are_clean_and_describe_themselves() {
    let (bench, head) = tagged().await;
    let target = target(&bench);
    bench.mirror.check_out(&checkout(&head, History::Commits), None, &target).await.unwrap();
    let made = target.parent().unwrap();
    std::fs::write(made.join("a.txt"), "3").unwrap();
    std::fs::write(made.join("b.txt"), "b").unwrap();
    assert_eq!(git(&bench, &["status", "--porcelain"]), "");
    assert_eq!(git(&bench, &["branch", "--show-current"]), "main");
    assert!(git(&bench, &["describe"]).starts_with("v1-2-g"));
    assert!(git(&bench, &["describe", "--tags"]).starts_with("plain-1-g"));
    assert_eq!(git(&bench, &["tag"]), "plain\nv1");
    assert_eq!(git(&bench, &["rev-list", "--count", "HEAD"]), "4");
    assert_eq!(git(&bench, &["rev-parse", "origin"]), head.as_str());
    assert_eq!(git(&bench, &["show", "HEAD~3:a.txt"]), "1");
    git(&bench, &["fsck", "--full", "--strict"]);
    let config = git(&bench, &["config", "--list", "--local"]);
    assert!(config.contains("remote.origin.url=https://forge.invalid/acme/app.git"), "{config}");
    assert!(config.contains("branch.main.merge=refs/heads/main"), "{config}");
}

#[tokio::test]
async fn depth_cuts_the_history_and_its_tags() {
    let (bench, head) = tagged().await;
    for (commits, tags) in [(1, ""), (2, "plain"), (3, "plain\nv1"), (4, "plain\nv1")] {
        let target = target(&bench);
        bench.mirror.check_out(&checkout(&head, depth(commits)), None, &target).await.unwrap();
        assert_eq!(git(&bench, &["rev-list", "--count", "HEAD"]), commits.to_string());
        assert_eq!(git(&bench, &["tag"]), tags);
        git(&bench, &["log", "-p", "--oneline"]);
        git(&bench, &["fsck", "--full", "--strict"]);
        assert_eq!(target.join("shallow").exists(), commits < 4);
    }
    let target = target(&bench);
    let without = Checkout { tags: false, ..checkout(&head, History::All) };
    bench.mirror.check_out(&without, None, &target).await.unwrap();
    assert_eq!(git(&bench, &["tag"]), "");
}

#[tokio::test]
async fn all_history_has_tags_of_other_branches() {
    let (bench, head) = tagged().await;
    let target = target(&bench);
    bench.mirror.check_out(&checkout(&head, History::All), None, &target).await.unwrap();
    assert_eq!(git(&bench, &["tag"]), "plain\nv1\nv9");
    assert_eq!(git(&bench, &["show", "v9:c.txt"]), "c");
    git(&bench, &["fsck", "--full", "--strict"]);
}

#[tokio::test]
async fn partial_mirrors_fetch_only_contents_in_use() {
    let (bench, head) = tagged().await;
    bench.git(&["config", "uploadpack.allowFilter", "true"]);
    let remote = format!("file://{}", bench.work().join(".git").display());
    let remote = Remote::new(&remote, None).unwrap();
    let mirror = bench.folder.path().join("partial.git");
    let mirror = plue_forge::Mirror::open(mirror, plue_runtime::Tasks::new()).await.unwrap();
    mirror.fetch(&remote, &FetchRequest { without_blobs: true, ..want_all() }).await.unwrap();
    mirror.complete(&head, &remote).await.unwrap();
    let made = |history| checkout(&head, history);
    let first = target(&bench);
    mirror.check_out(&made(History::Commits), Some(&remote), &first).await.unwrap();
    assert!(git(&bench, &["describe"]).starts_with("v1-2-g"));
    assert_eq!(git(&bench, &["diff", "--name-only", "HEAD~3", "HEAD"]), "a.txt\nb.txt");
    assert_eq!(git(&bench, &["show", "HEAD~1:a.txt"]), "3");
    assert!(!asked(&bench, &["show", "HEAD~3:a.txt"]).0, "contents of old commits came too");
    git(&bench, &["fsck", "--full"]);
    let second = target(&bench);
    mirror.check_out(&made(History::All), Some(&remote), &second).await.unwrap();
    assert_eq!(git(&bench, &["show", "HEAD~3:a.txt"]), "1");
    assert!(!git(&bench, &["config", "--list", "--local"]).contains("promisor"));
}

#[tokio::test]
async fn unreachable_remotes_do_not_stop_default_checkouts() {
    let (bench, head) = tagged().await;
    bench.git(&["config", "uploadpack.allowFilter", "true"]);
    let remote = format!("file://{}", bench.work().join(".git").display());
    let remote = Remote::new(&remote, None).unwrap();
    let mirror = bench.folder.path().join("partial.git");
    let mirror = plue_forge::Mirror::open(mirror, plue_runtime::Tasks::new()).await.unwrap();
    mirror.fetch(&remote, &FetchRequest { without_blobs: true, ..want_all() }).await.unwrap();
    mirror.complete(&head, &remote).await.unwrap();
    let nowhere = Remote::new("https://127.0.0.1:1/x.git", None).unwrap();
    let default = checkout(&head, History::Commits);
    mirror.check_out(&default, Some(&nowhere), &target(&bench)).await.unwrap();
    assert!(git(&bench, &["describe"]).starts_with("v1-2-g"));
    let all = checkout(&head, History::All);
    mirror.check_out(&all, Some(&nowhere), &target(&bench)).await.unwrap_err();
}

#[tokio::test]
async fn names_of_refs_cannot_write_configuration() {
    let bench = Bench::new().await;
    let head = bench.commit("a.txt", "1");
    let name = "a\"]fsmonitor=touch";
    bench.git(&["branch", name]);
    bench.fetch().await;
    let hostile = Checkout {
        branch: Some(name.to_owned()),
        remote_branches: vec![(name.to_owned(), head.clone())],
        ..checkout(&head, History::Commits)
    };
    bench.mirror.check_out(&hostile, None, &target(&bench)).await.unwrap();
    assert_eq!(git(&bench, &["branch", "--show-current"]), name);
    let keys = git(&bench, &["config", "--list", "--local", "--name-only"]);
    assert!(!keys.contains("core.fsmonitor"), "{keys}");
    let merge = git(&bench, &["rev-parse", "--abbrev-ref", "@{upstream}"]);
    assert_eq!(merge, format!("origin/{name}"));
}

/// A commit with a folder of this name, which `git add` would refuse.
fn forged(bench: &Bench, name: &str) -> CommitId {
    let folder = bench.work();
    std::fs::write(folder.join("config"), "[core]\n\tfsmonitor = touch pwned\n").unwrap();
    let blob = bench.git(&["hash-object", "-w", "config"]);
    let inner = format!("100644 blob {}\tconfig\n", blob.trim());
    let made = |text: &str| {
        std::fs::write(folder.join("tree"), text).unwrap();
        let script = "git mktree < tree";
        let output = Command::new("sh").args(["-c", script]).current_dir(&folder).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let inner = made(&inner);
    let tree = made(&format!("040000 tree {inner}\t{name}\n"));
    let commit = bench.git(&["commit-tree", "-m", "hostile", &tree]);
    bench.git(&["update-ref", "refs/heads/hostile", commit.trim()]);
    CommitId::new(commit.trim()).unwrap()
}

#[tokio::test]
async fn commits_with_a_git_directory_are_refused() {
    let bench = Bench::new().await;
    bench.commit("a.txt", "1");
    let commit = forged(&bench, ".git");
    bench.fetch().await;
    let made = checkout(&commit, History::Commits);
    let refused = bench.mirror.check_out(&made, None, &target(&bench)).await.unwrap_err();
    assert!(matches!(refused, GitError::BadTree(_)), "{refused}");
    assert!(refused.is_final());
}

#[tokio::test]
async fn links_and_attributes_leave_a_clean_checkout() {
    let bench = Bench::new().await;
    symlink("/etc/passwd", bench.work().join("link")).unwrap();
    std::fs::write(bench.work().join("lines"), "a\nb\n").unwrap();
    let attributes = "* filter=evil diff=evil\nlines text eol=crlf\n";
    let commit = bench.commit(".gitattributes", attributes);
    bench.fetch().await;
    let target = target(&bench);
    bench.mirror.check_out(&checkout(&commit, History::Commits), None, &target).await.unwrap();
    let made = target.parent().unwrap();
    symlink("/etc/passwd", made.join("link")).unwrap();
    std::fs::write(made.join(".gitattributes"), attributes).unwrap();
    std::fs::write(made.join("lines"), "a\r\nb\r\n").unwrap();
    assert_eq!(git(&bench, &["status", "--porcelain"]), "");
}

//! Repositories that name more than a machine can hold: git is stopped at the limits.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use plue_forge::{
    CommitId, GitError,
    git::{ChangedFiles, FileContent, Since},
    limits::{FETCH_MEMORY_BYTES, MAX_LISTED, MAX_MESSAGE_BYTES},
};
use plue_plan::budget::{Budget, Stopped, Unit};
use plue_runtime::foreign::{
    git,
    process::{ProcessError, ProcessLimits},
};

use crate::git::Bench;

/// Git's standard output in the work tree, with `input` as standard input.
fn made(bench: &Bench, args: &[&str], input: &str) -> String {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=Eve", "-c", "user.email=eve@example.invalid"]).args(args);
    git.current_dir(bench.work()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = git.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A commit of a tree, on the branch `bomb` of the remote.
async fn published(bench: &Bench, tree: &str, message: &str) -> CommitId {
    let commit = made(bench, &["commit-tree", tree], message);
    bench.git(&["update-ref", "refs/heads/bomb", &commit]);
    bench.fetch().await;
    CommitId::new(&commit).unwrap()
}

/// A tree that lists the tree below it `width` times, `depth` levels deep.
fn nested_tree(bench: &Bench, width: usize, depth: usize) -> String {
    let blob = made(bench, &["hash-object", "-w", "--stdin"], "x");
    let mut tree = made(bench, &["mktree"], &format!("100644 blob {blob}\tf\n"));
    for _ in 0..depth {
        let list = (0..width).fold(String::new(), |mut list, at| {
            writeln!(list, "040000 tree {tree}\td{at}").unwrap();
            list
        });
        tree = made(bench, &["mktree"], &list);
    }
    tree
}

fn stopped<T: std::fmt::Debug>(result: Result<T, GitError>) -> Stopped {
    match result {
        Err(error @ GitError::TooLarge { stopped, .. }) => {
            assert!(!error.is_temporary());
            assert_eq!(error.diagnostic().code.as_str(), "PLUE-F0020");
            stopped
        }
        other => panic!("not stopped: {other:?}"),
    }
}

#[tokio::test]
async fn tree_bombs_are_refused_by_every_read() {
    let bench = Bench::new().await;
    let first = bench.commit("a.txt", "1");
    let tree = nested_tree(&bench, 10, 12);
    let bomb = published(&bench, &tree, "bomb").await;
    let exhausted = Stopped::Exhausted { unit: Unit::Items, limit: MAX_LISTED as u64 };
    let mirror = &bench.mirror;
    assert_eq!(stopped(mirror.list(&bomb).await), exhausted);
    assert_eq!(stopped(mirror.read(&bomb, &["a"], 10, None).await), exhausted);
    assert_eq!(stopped(mirror.archive(&bomb, None).await), exhausted);
    let since = Since::Push { before: Some(&first), default_branch: None };
    assert_eq!(stopped(mirror.changed_files(since, &bomb).await), exhausted);
    // The push that takes it back is an honest one.
    let since = Since::Push { before: Some(&bomb), default_branch: None };
    assert_eq!(mirror.changed_files(since, &first).await.unwrap(), ChangedFiles::Unknown);
    assert_eq!(mirror.list(&first).await.unwrap().len(), 1);
}

#[tokio::test]
async fn paths_longer_than_any_are_refused() {
    let bench = Bench::new().await;
    bench.commit("a.txt", "1");
    let tree = nested_tree(&bench, 1, 1_500);
    let deep = published(&bench, &tree, "deep").await;
    assert_eq!(bench.mirror.list(&deep).await.unwrap().len(), 1);
    let blob = made(&bench, &["hash-object", "-w", "--stdin"], "x");
    let name = "n".repeat(70_000);
    let tree = made(&bench, &["mktree"], &format!("100644 blob {blob}\t{name}\n"));
    let long = published(&bench, &tree, "long").await;
    let limit = 64 * 1024;
    let exhausted = Stopped::Exhausted { unit: Unit::Bytes, limit };
    assert_eq!(stopped(bench.mirror.list(&long).await), exhausted);
}

#[tokio::test]
async fn messages_over_the_limit_are_refused() {
    let bench = Bench::new().await;
    bench.commit("a.txt", "1");
    let tree = bench.git(&["rev-parse", "HEAD^{tree}"]);
    let long = "x".repeat(MAX_MESSAGE_BYTES as usize - 10);
    let fits = published(&bench, &tree, &long).await;
    assert_eq!(bench.mirror.message(&fits).await.unwrap(), long);
    let bomb = published(&bench, &tree, &"x".repeat(8 * 1024 * 1024)).await;
    let exhausted = Stopped::Exhausted { unit: Unit::Bytes, limit: MAX_MESSAGE_BYTES };
    assert_eq!(stopped(bench.mirror.message(&bomb).await), exhausted);
}

#[tokio::test]
async fn floods_of_refs_are_fetched_and_asked_about() {
    let bench = Bench::new().await;
    let commit = bench.commit("a.txt", "1");
    let refs = (0..5_000).fold(String::new(), |mut refs, at| {
        writeln!(refs, "create refs/heads/flood/{at} {commit}").unwrap();
        refs
    });
    made(&bench, &["update-ref", "--stdin"], &refs);
    bench.fetch().await;
    assert!(bench.mirror.is_published(&commit).await.unwrap());
    let last = bench.mirror.resolve("refs/heads/flood/4999").await.unwrap();
    assert_eq!(last, Some(commit));
}

#[tokio::test]
async fn huge_files_are_never_read() {
    let bench = Bench::new().await;
    let commit = bench.commit("ci.plue.py", vec![b'#'; 80 * 1024 * 1024]);
    bench.fetch().await;
    let read = bench.mirror.read(&commit, &["ci.plue.py"], u64::MAX, None).await.unwrap();
    assert_eq!(read, [FileContent::TooLarge(80 * 1024 * 1024)]);
}

/// 1 KiB: a blob of 1 MiB, and a delta that repeats it 4,096 times.
const DELTA_BOMB: &[u8] = include_bytes!("../samples/delta_bomb.pack");

#[tokio::test]
async fn delta_bombs_end_at_the_memory_limit() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let limits = ProcessLimits {
        answer: Budget { bytes: 4_096, items: 1, steps: u64::MAX },
        wall: Duration::from_secs(600),
        cpu: Duration::from_secs(600),
        memory: FETCH_MEMORY_BYTES,
    };
    let git = |args: &[&str]| git::on_commits(limits, []).args(["--git-dir", folder]).args(args);
    git(&["init", "--quiet", "--bare"]).read().await.unwrap();
    let unpacked = git(&["index-pack", "--stdin"]).input(DELTA_BOMB.to_vec()).read().await;
    let Err(ProcessError::Failed(reason)) = unpacked else { panic!("{unpacked:?}") };
    assert!(reason.contains("Out of memory"), "{reason}");
}

#[tokio::test]
async fn floods_of_refs_are_fetched_and_listed() {
    const REFS: usize = 6_000;
    let bench = Bench::new().await;
    let commit = bench.commit("a.txt", "1");
    let refs = (0..REFS).fold(String::new(), |mut refs, at| {
        writeln!(refs, "create refs/heads/flood/{at} {commit}").unwrap();
        writeln!(refs, "create refs/tags/flood/{at} {commit}").unwrap();
        refs
    });
    made(&bench, &["update-ref", "--stdin"], &refs);
    bench.fetch().await;
    for name in ["refs/heads/flood/5999", "refs/tags/flood/5999"] {
        assert_eq!(bench.mirror.resolve(name).await.unwrap().as_ref(), Some(&commit), "{name}");
    }
}

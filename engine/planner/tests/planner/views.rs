//! Commits and work trees of real git repositories.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use plue_planner::{CommitView, GitCommit, ViewError, WorkTree, discover};
use plue_wire::eval::FileFact;

/// Runs git with a neutral identity.
fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn write(folder: &Path, path: &str, text: impl AsRef<[u8]>) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A repository with two commits and something uncommitted of each kind.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    git(at, &["init", "-q"]);
    write(at, ".gitignore", "ignored.txt\nbuild/\n");
    write(at, "ci.plue.py", "one");
    write(at, "src/a.rs", "a");
    write(at, "src/deep/b.rs", "b");
    write(at, "gone.txt", "gone");
    write(at, "ünï.txt", "x");
    std::os::unix::fs::symlink("/etc/passwd", at.join("link")).unwrap();
    std::os::unix::fs::symlink("/etc", at.join("etc")).unwrap();
    git(at, &["add", "-A"]);
    git(at, &["commit", "-qm", "one"]);
    write(at, "ci.plue.py", "two");
    write(at, "new.txt", "n");
    git(at, &["add", "-A"]);
    git(at, &["commit", "-qm", "two"]);
    write(at, "ci.plue.py", "three");
    write(at, "untracked.txt", "u");
    write(at, "ignored.txt", "secret");
    write(at, "build/x.plue.py", "x");
    std::fs::remove_file(at.join("gone.txt")).unwrap();
    folder
}

fn text(view: &dyn CommitView, path: &str) -> Option<String> {
    match view.read(path).unwrap() {
        FileFact::Text(text) => Some(text),
        FileFact::NotText => Some("(not text)".to_owned()),
        FileFact::Absent | FileFact::Present => None,
    }
}

#[test]
fn work_trees_show_tracked_and_addable_files() {
    let folder = repository();
    let view = WorkTree::new(folder.path());
    let all = view.matching(&|_| true).unwrap();
    assert_eq!(
        all,
        [
            ".gitignore",
            "ci.plue.py",
            "etc",
            "link",
            "new.txt",
            "src/a.rs",
            "src/deep/b.rs",
            "untracked.txt",
            "ünï.txt"
        ]
    );
    assert_eq!(text(&view, "./ci.plue.py").as_deref(), Some("three"));
    assert_eq!(text(&view, "untracked.txt").as_deref(), Some("u"));
    for hidden in
        ["ignored.txt", "gone.txt", ".git/config", "../x", "/etc/passwd", "etc/passwd", "build"]
    {
        assert_eq!(text(&view, hidden), None, "{hidden}");
        assert!(!view.exists(hidden).unwrap(), "{hidden}");
    }
    assert_eq!(text(&view, "link").as_deref(), Some("(not text)"));
    assert_eq!(text(&view, "src").as_deref(), Some("(not text)"));
    assert!(view.exists("src/deep").unwrap() && view.exists("src/a.rs").unwrap());
    assert_eq!(view.changed_files().unwrap(), ["ci.plue.py", "gone.txt", "untracked.txt"]);
}

#[test]
fn explicitly_named_ignored_files_are_read() {
    let folder = repository();
    let view = WorkTree::new(folder.path()).including("./ignored.txt");
    assert_eq!(text(&view, "ignored.txt").as_deref(), Some("secret"));
    assert_eq!(text(&view, "build/x.plue.py"), None);
}

#[test]
fn globs_stop_at_slashes_and_sort_results() {
    let folder = repository();
    for view in [
        &WorkTree::new(folder.path()) as &dyn CommitView,
        &GitCommit::open(folder.path(), "HEAD").unwrap(),
    ] {
        assert_eq!(view.glob("src/*.rs").unwrap(), ["src/a.rs"]);
        assert_eq!(view.glob("**/*.rs").unwrap(), ["src/a.rs", "src/deep/b.rs"]);
        assert_eq!(view.glob("*.py").unwrap(), ["ci.plue.py"]);
        assert_eq!(view.glob("./src/{a,z}.rs").unwrap(), ["src/a.rs"]);
        assert_eq!(view.glob("[").unwrap(), Vec::<String>::new());
        assert_eq!(view.glob("../*").unwrap(), Vec::<String>::new());
    }
}

#[test]
fn commit_views_exclude_the_work_tree() {
    let folder = repository();
    let first = GitCommit::open(folder.path(), "HEAD~1").unwrap();
    let second = GitCommit::open(folder.path(), "main").unwrap();
    assert_eq!(text(&first, "ci.plue.py").as_deref(), Some("one"));
    assert_eq!(text(&second, "ci.plue.py").as_deref(), Some("two"));
    assert_eq!(text(&second, "gone.txt").as_deref(), Some("gone"));
    assert_eq!(text(&second, "ünï.txt").as_deref(), Some("x"));
    assert_eq!(text(&second, "link").as_deref(), Some("(not text)"));
    assert_eq!(text(&second, "untracked.txt"), None);
    assert_eq!(text(&second, "etc/passwd"), None);
    assert!(first.exists("src").unwrap() && !first.exists("new.txt").unwrap());
    assert_eq!(second.files_in("src").unwrap(), ["src/a.rs"]);
    let all = second.matching(&|_| true).unwrap();
    assert_eq!(second.changed_files().unwrap(), all);
    let second = second.changed_since("HEAD~1").unwrap();
    assert_eq!(second.changed_files().unwrap(), ["ci.plue.py", "new.txt"]);
    assert_eq!(second.id().len(), 40);
}

#[test]
fn oversized_content_does_not_disturb_later_reads() {
    use plue_planner::view::Content;
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "-q"]);
    write(folder.path(), "big", vec![b'x'; 300_000]);
    write(folder.path(), "small", "s");
    write(folder.path(), "empty", "");
    git(folder.path(), &["add", "-A"]);
    git(folder.path(), &["commit", "-qm", "one"]);
    let commit = GitCommit::open(folder.path(), "HEAD").unwrap();
    let tree = WorkTree::new(folder.path());
    for view in [&commit as &dyn CommitView, &tree] {
        for _ in 0..2 {
            assert_eq!(view.content("big", 1_000).unwrap(), Content::TooLarge(300_000));
            assert_eq!(view.content("small", 1_000).unwrap(), Content::Bytes(b"s".to_vec()));
            assert_eq!(view.content("empty", 1_000).unwrap(), Content::Bytes(Vec::new()));
        }
    }
}

#[test]
fn missing_commits_and_repositories_are_named() {
    let folder = repository();
    let error = GitCommit::open(folder.path(), "nowhere").unwrap_err().to_string();
    assert!(error.contains("there is no commit `nowhere`"), "{error}");
    let error = GitCommit::open(folder.path(), "--help").unwrap_err().to_string();
    assert!(error.contains("there is no commit `--help`"), "{error}");
    assert!(GitCommit::open("/nowhere", "HEAD").is_err());
}

#[test]
fn a_folder_outside_git_is_taken_whole() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a/b.plue.py", "x");
    write(folder.path(), "c.txt", "x");
    std::os::unix::fs::symlink("/", folder.path().join("root")).unwrap();
    let view = WorkTree::new(folder.path());
    assert_eq!(view.matching(&|_| true).unwrap(), ["a/b.plue.py", "c.txt", "root"]);
    assert_eq!(view.changed_files().unwrap().len(), 3);
    assert_eq!(discover(&view).unwrap().files.len(), 1);
}

#[test]
fn wholly_ignored_folders_are_read_as_they_are() {
    let folder = repository();
    let view = WorkTree::new(folder.path().join("build"));
    assert_eq!(view.matching(&|_| true).unwrap(), ["x.plue.py"]);
}

#[test]
fn discovery_passes_over_ignored_and_excluded_folders() {
    let folder = repository();
    write(folder.path(), "node_modules/p/.plue.py", "x");
    write(folder.path(), "api/.plue.py", "x");
    write(folder.path(), ".claude/workflows/w.yaml", "x");
    let found = discover(&WorkTree::new(folder.path())).unwrap();
    let paths: Vec<_> = found.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, [".claude/workflows/w.yaml", "api/.plue.py", "ci.plue.py"]);
}

#[test]
fn a_repository_cannot_make_git_run_its_programs() {
    let folder = repository();
    let proof = folder.path().join("build/proof");
    let program = folder.path().join("build/evil.sh");
    write(folder.path(), "build/evil.sh", format!("#!/bin/sh\ntouch {}\n", proof.display()));
    Command::new("chmod").arg("+x").arg(&program).status().unwrap();
    let program = program.to_str().unwrap();
    for key in ["core.fsmonitor", "diff.external", "core.pager", "core.sshCommand"] {
        git(folder.path(), &["config", key, program]);
    }
    let tree = WorkTree::new(folder.path());
    tree.matching(&|_| true).unwrap();
    tree.changed_files().unwrap();
    let commit = GitCommit::open(folder.path(), "HEAD").unwrap().changed_since("HEAD~1").unwrap();
    commit.changed_files().unwrap();
    commit.read("ci.plue.py").unwrap();
    assert!(!proof.exists());
}

#[test]
fn tree_bombs_have_too_many_paths() {
    let folder = repository();
    let at = folder.path();
    let honest = git(at, &["rev-parse", "HEAD"]);
    let mut tree = git(at, &["rev-parse", "HEAD^{tree}"]);
    for _ in 0..12 {
        let list: String = (0..10).map(|at| format!("040000 tree {tree}\td{at}\n")).collect();
        tree = mktree(at, &list);
    }
    let bomb = git(at, &["commit-tree", "-m", "bomb", &tree]);
    let view = GitCommit::open(at, &bomb).unwrap().changed_since(&honest).unwrap();
    for result in [view.glob("**"), view.changed_files()] {
        assert!(matches!(result, Err(ViewError::TooManyPaths(_))), "{result:?}");
    }
    assert!(matches!(view.is_there("a"), Err(ViewError::TooManyPaths(_))));
    // The commit that takes it back changes all it has.
    let view = GitCommit::open(at, &honest).unwrap().changed_since(&bomb).unwrap();
    assert_eq!(view.changed_files().unwrap(), view.glob("**").unwrap());
}

fn mktree(folder: &Path, list: &str) -> String {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).arg("mktree").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = git.spawn().unwrap();
    child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

//! Submodules and pointers of Git LFS of real repositories, and their places in a workspace.

use std::{num::NonZeroU32, path::Path, process::Command};

use plue_forge::{
    CommitId, GitError, Mirror,
    git::{Checkout, FetchRequest, History, RepositoryPath},
};
use plue_runtime::Tasks;

use crate::git::{Bench, want_all};

const LINK: &str = "160000 commit a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1\tlib";

/// A commit of `lib` and this file as `.gitmodules`, by plumbing: porcelain refuses what is malformed.
fn recorded(bench: &Bench, mode: &str, text: &str) -> CommitId {
    let file = bench.folder.path().join("file");
    std::fs::write(&file, text).unwrap();
    let blob = bench.git(&["hash-object", "-w", file.to_str().unwrap()]);
    std::fs::write(&file, format!("{mode} blob {blob}\t.gitmodules\n{LINK}\n")).unwrap();
    let made = Command::new("git")
        .arg("mktree")
        .current_dir(bench.work())
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    let tree = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    let commit = bench.git(&["commit-tree", "-m", "x", &tree]);
    bench.git(&["update-ref", "refs/heads/main", &commit]);
    CommitId::new(&commit).unwrap()
}

/// A commit with the submodule `lib` and this `.gitmodules`.
async fn with_modules(text: &str) -> (Bench, CommitId) {
    let bench = Bench::new().await;
    let commit = recorded(&bench, "100644", text);
    bench.fetch().await;
    (bench, commit)
}

#[tokio::test]
async fn submodules_are_listed_with_their_addresses() {
    let text = "[submodule \"lib\"]\n\tpath = lib\n\turl = ../lib.git\n";
    let (bench, commit) = with_modules(text).await;
    let found = bench.mirror.submodules(&commit).await.unwrap();
    let [lib] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((&*lib.name, &*lib.path, &*lib.url), ("lib", "lib", "../lib.git"));
    assert_eq!(lib.commit.as_str(), "a1".repeat(20));
}

#[tokio::test]
async fn malformed_gitmodules_are_refused_and_include_nothing() {
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    let text = "[submodule \"lib\"]\n\tpath = lib\n\turl = ../lib.git\n";
    std::fs::write(elsewhere.path(), text).unwrap();
    let included = format!("[include]\n\tpath = {}\n", elsewhere.path().display());
    for text in ["[submodule", "", included.as_str()] {
        let (bench, commit) = with_modules(text).await;
        let refused = bench.mirror.submodules(&commit).await.unwrap_err();
        assert!(matches!(refused, GitError::BadSubmodule(_)), "{text}: {refused}");
        assert!(refused.is_final());
    }
}

#[tokio::test]
async fn gitmodules_that_are_links_are_not_read() {
    let bench = Bench::new().await;
    let text = "[submodule \"lib\"]\n\tpath = lib\n\turl = ../lib.git\n";
    let commit = recorded(&bench, "120000", text);
    bench.fetch().await;
    let refused = bench.mirror.submodules(&commit).await.unwrap_err();
    assert!(refused.to_string().contains("not in .gitmodules"), "{refused}");
}

fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git").args(args).current_dir(folder).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
    assert!(output.status.success(), "git {args:?}: {text}");
    text
}

#[tokio::test]
async fn shallow_mirrors_make_clean_shallow_submodules() {
    let lib = Bench::new().await;
    lib.commit("a.txt", "1");
    let head = lib.commit("a.txt", "2");
    let mirror = lib.folder.path().join("shallow.git");
    let mirror = Mirror::open(mirror, Tasks::new()).await.unwrap();
    let depth = NonZeroU32::new(1);
    let want = FetchRequest { commits: vec![head.clone()], depth, ..FetchRequest::default() };
    mirror.fetch(&lib.remote(), &want).await.unwrap();
    assert!(mirror.is_kept(&head));
    let folder = tempfile::tempdir().unwrap();
    let workspace = folder.path();
    git(workspace, &["init", "-q"]);
    let submodule = plue_forge::git::Submodule {
        name: "libs/a".to_owned(),
        path: "libs/a".to_owned(),
        url: String::new(),
        commit: head.clone(),
    };
    let place = RepositoryPath::root().of(&submodule);
    let checkout = Checkout {
        commit: head.clone(),
        branch: None,
        remote_branches: Vec::new(),
        default_branch: String::new(),
        history: History::Depth(NonZeroU32::MIN),
        tags: true,
        origin: "https://forge.invalid/acme/lib.git".to_owned(),
    };
    mirror.check_out(&checkout, None, &workspace.join(&place.git_dir)).await.unwrap();
    let files = place.folder(workspace).unwrap();
    std::fs::write(files.join("a.txt"), "2").unwrap();
    place.connect(workspace, (&RepositoryPath::root(), "libs/a"), &checkout.origin).unwrap();
    assert_eq!(git(&files, &["status", "--porcelain"]), "");
    assert_eq!(git(&files, &["rev-list", "--count", "HEAD"]), "1");
    assert_eq!(git(&files, &["fsck", "--no-progress"]), "");
    assert_eq!(git(&files, &["rev-parse", "--show-superproject-working-tree"]), "");
    // The workspace may be moved.
    let moved = workspace.join("moved");
    std::fs::create_dir(&moved).unwrap();
    for name in [".git", "libs"] {
        std::fs::rename(workspace.join(name), moved.join(name)).unwrap();
    }
    assert_eq!(git(&moved.join("libs/a"), &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn oversized_packs_end_their_fetch() {
    let bench = Bench::new().await;
    let mut state = 88_172_645_463_325_252_u64;
    let mut noise = Vec::new();
    for _ in 0..50_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend(state.to_le_bytes());
    }
    let head = bench.commit("noise.bin", noise);
    let mirror = bench.folder.path().join("small.git");
    let mirror = Mirror::open(mirror, Tasks::new()).await.unwrap();
    let want = FetchRequest {
        commits: vec![head.clone()],
        bytes: Some(64 * 1024),
        ..FetchRequest::default()
    };
    let refused = mirror.fetch(&bench.remote(), &want).await.unwrap_err();
    assert!(matches!(refused, GitError::Failed { .. }), "{refused}");
    let text = refused.to_string();
    let ended = ["signal 25", "File too large", "invalid index-pack output"];
    assert!(ended.iter().any(|part| text.contains(part)), "{text}");
    assert!(!mirror.is_kept(&head));
    assert!(!mirror.has(&head).await.unwrap(), "one file, and it is not whole");
}

#[tokio::test]
async fn pointers_are_those_of_files_with_the_filter() {
    let bench = Bench::new().await;
    let oid = "0f".repeat(32);
    let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12\n");
    bench.commit(".gitattributes", "*.bin filter=lfs\nplain.bin !filter\n");
    bench.commit("dir/a b.bin", &text);
    bench.commit("plain.bin", &text);
    bench.commit("a.txt", &text);
    bench.commit("no.bin", "x".repeat(200));
    bench.commit(".lfsconfig", "[lfs]\n\turl = https://lfs.example/x\n");
    let commit = CommitId::new(&bench.git(&["rev-parse", "HEAD"])).unwrap();
    bench.mirror.fetch(&bench.remote(), &want_all()).await.unwrap();
    let index = bench.work().join(".git/index");
    let found = bench.mirror.lfs_pointers(&commit, &index).await.unwrap();
    let [pointer] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((pointer.path.as_slice(), pointer.size), (b"dir/a b.bin".as_slice(), 12));
    assert_eq!(pointer.oid, oid);
    let url = bench.mirror.lfs_url(&commit).await.unwrap();
    assert_eq!(url.as_deref(), Some("https://lfs.example/x"));
}

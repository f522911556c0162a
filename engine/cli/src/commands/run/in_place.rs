//! Warnings about a work tree without what a checkout asks for: runs of this machine take the tree as it is.

use std::{io::Read as _, path::Path, time::Duration};

use plue_plan::{Plan, budget::Budget};
use plue_runtime::foreign::{git, process::ProcessLimits};

const LIMITS: ProcessLimits = ProcessLimits {
    answer: Budget { bytes: 64 * 1024 * 1024, items: 1_000_000, steps: u64::MAX },
    wall: Duration::from_secs(30),
    cpu: Duration::from_secs(30),
    memory: 512 * 1024 * 1024,
};
/// Files of Git LFS that are looked at.
const MAX_LOOKED_AT: usize = 10_000;
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

/// Warnings about submodules and contents of Git LFS that the plan asks for and the work tree lacks.
pub(super) async fn notes(plan: &Plan, repo: &Path) -> Vec<String> {
    let asked = plan.widest_checkout();
    let mut notes = Vec::new();
    if asked.submodules {
        let entries = listed(repo, &["-s"]).await;
        let paths =
            entries.iter().filter_map(|entry| entry.strip_prefix("160000 ")?.split_once('\t'));
        let absent = |path: &&str| repo.join(path).join(".git").symlink_metadata().is_err();
        if let Some(path) = paths.map(|(_, path)| path).find(absent) {
            notes.push(format!(
                "warning: submodule `{path}` is not checked out, and a run of this machine fetches none: \
                 run `git submodule update --init --recursive`"
            ));
        }
    }
    if asked.lfs {
        let files = listed(repo, &[":(attr:filter=lfs)"]).await;
        let mut files = files.iter().take(MAX_LOOKED_AT);
        if let Some(path) = files.find(|path| is_pointer(&repo.join(path))) {
            notes.push(format!(
                "warning: `{path}` is a pointer of Git LFS, and a run of this machine fetches no content: \
                 run `git lfs pull`"
            ));
        }
    }
    notes
}

/// Entries of the index; none where git does not answer.
async fn listed(repo: &Path, args: &[&str]) -> Vec<String> {
    let git = git::in_work_tree(LIMITS).arg("-C").arg(repo).args(["ls-files", "-z"]).args(args);
    let answer = git.read().await.unwrap_or_default();
    let entries = answer.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    entries.map(|entry| String::from_utf8_lossy(entry).into_owned()).collect()
}

fn is_pointer(path: &Path) -> bool {
    // Not through a link or into a pipe.
    if !path.symlink_metadata().is_ok_and(|found| found.is_file()) {
        return false;
    }
    let mut first = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(POINTER.len() as u64).read_to_end(&mut first));
    read.is_ok() && first == POINTER
}

//! Processes of the local pool, with a shell script in the place of `plue-runner`.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use plue_pool::{Error, PoolEvent};

use super::scripted::Bench;

/// A program that runs this script.
fn program(folder: &tempfile::TempDir, script: &str) -> PathBuf {
    let path = folder.path().join("runner");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn runners_that_keep_dying_are_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::with_runner(program(&folder, "echo broken libraries >&2; exit 1")).await;
    let mut lease = bench.lease().await;
    let failed = lease.next().await;
    let Some(PoolEvent::Failed(Error::Dying { deaths, last_words })) = failed else {
        panic!("{failed:?}")
    };
    assert_eq!((deaths, last_words.as_str()), (3, "broken libraries"));
    assert!(lease.next().await.is_none());
}

#[tokio::test]
async fn missing_runner_programs_fail_the_lease() {
    let bench = Bench::with_runner("/nowhere/plue-runner".into()).await;
    let mut lease = bench.lease().await;
    let failed = lease.next().await;
    assert!(matches!(failed, Some(PoolEvent::Failed(Error::Spawn { .. }))), "{failed:?}");
}

#[tokio::test]
async fn released_processes_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("pid");
    let script =
        format!("echo $$ > {0}.new; mv {0}.new {0}; while :; do sleep 1; done", ready.display());
    let bench = Bench::with_runner(program(&folder, &script)).await;
    let lease = bench.lease().await;
    let directory = bench.pool.directory(&lease.runner);
    let pid = loop {
        match fs::read_to_string(&ready) {
            Ok(pid) => break pid,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    lease.release().await;
    assert!(!directory.exists());
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
}

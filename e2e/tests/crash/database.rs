//! A database that does not do its part: locked, full, not writable.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use plue_flow::RunStatus;
use plue_store::{RunFilter, Store, StoreOptions};
use plue_testkit::{
    faults::{streams, violations},
    postgres::own::OwnServer,
};

use crate::bench::{Bench, until};

const SOURCE: &str = r#"
def workflow():
    gate = "echo x >> ran; echo before; touch up; until test -e go; do sleep 0.01; done; echo after"
    return Plan(name="Gated", steps=[
        Step.bash("gate", gate),
        Step.bash("last", "echo last", depends_on=["gate"]),
    ])
"#;

/// A step with sixteen megabytes of output.
const BIG: &str = r#"
def workflow():
    big = "echo x >> ran; head -c 12000000 /dev/urandom | base64 -w 76; echo end"
    return Plan(name="Big", steps=[Step.bash("big", big)])
"#;

/// Another program that holds the database until its standard input ends.
fn lock(bench: &Bench) -> Child {
    let program = "import sqlite3, sys\n\
                   db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)\n\
                   db.execute('BEGIN IMMEDIATE')\n\
                   print('locked', flush=True)\n\
                   sys.stdin.read()\n\
                   db.execute('ROLLBACK')\n";
    let mut child = Command::new("python3")
        .args(["-c", program])
        .arg(bench.database())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "locked\n");
    child
}

/// A file system with little room; needs root.
struct Disk(PathBuf);

impl Disk {
    fn small(folder: &Path) -> Option<Self> {
        Self::owned(folder, 0)
    }

    /// One that this user may write to.
    fn owned(folder: &Path, user: u32) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let disk = Self(folder.to_owned());
        let options = format!("size=8m,mode=700,uid={user}");
        disk.mount(&["-t", "tmpfs", "-o", &options, "plue-test"]).then_some(disk)
    }

    fn grow(&self) {
        assert!(self.mount(&["-o", "remount,size=256m"]));
    }

    fn mount(&self, args: &[&str]) -> bool {
        let mount = Command::new("mount").args(args).arg(&self.0).stderr(Stdio::null()).status();
        mount.is_ok_and(|status| status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        let _was_not_mounted = unmount.arg("-l").arg(&self.0).stderr(Stdio::null()).status();
    }
}

#[tokio::test]
async fn failure_case_16_locked_databases_cost_only_time() {
    let bench = Bench::new(SOURCE);
    let mut engine = bench.start(&["run"]);
    bench.appears("up").await;
    let mut holder = lock(&bench);
    bench.touch("go");
    // The step ends while nothing can be stored.
    bench.steps_end().await;
    holder.stdin.take().unwrap().flush().unwrap();
    assert!(holder.wait().unwrap().success());
    assert!(engine.wait().unwrap().success());
    let run = bench.run().await;
    assert_eq!(bench.lines("ran"), 1);
    assert_eq!(bench.logs(&run).await["gate"]["Stdout"], b"before\nafter\n");
    bench.nothing_is_left().await;
}

#[tokio::test]
async fn failure_case_20_full_databases_end_commands_with_5() {
    let bench = Bench::new(BIG);
    let Some(disk) = Disk::small(&bench.state()) else {
        eprintln!("skipped: a small file system cannot be mounted here");
        return;
    };
    let ended = bench.plue(&["run"]).ends(5);
    assert!(ended.stderr.contains("no space is left for the database"), "{}", ended.end());
    disk.grow();
    bench.plue(&["resume"]).ends(0);
    let run = bench.run().await;
    assert_eq!((bench.status(&run).await, bench.lines("ran")), (RunStatus::Success, 1));
    let log = &bench.logs(&run).await["big"]["Stdout"];
    assert_eq!(log.len(), 16_000_000 + 210_527 + 4);
    assert!(log.ends_with(b"\nend\n"));
    bench.nothing_is_left().await;
}

/// Postgres may not write one table any more. The command ends, the runner keeps the step's output, and
/// the next command continues.
#[tokio::test]
async fn failure_case_20_full_postgres_ends_commands_with_5() {
    let bench = Bench::new(BIG);
    let server = OwnServer::start();
    let folder = server.directory().join("small");
    let owner = std::fs::metadata(server.directory().join("data")).unwrap().uid();
    let Some(disk) = Disk::owned(&folder, owner) else {
        eprintln!("skipped: a small file system cannot be mounted here");
        return;
    };
    Store::open(StoreOptions::new(server.url())).await.unwrap().close().await;
    let place = format!("CREATE TABLESPACE small LOCATION '{}'", folder.display());
    server.psql(&[&place, "ALTER TABLE log_chunk SET TABLESPACE small"]);
    let ended = bench.plue(&["run", "--database", &server.url()]).ends(5);
    assert!(ended.stderr.contains("no space is left for the database"), "{}", ended.end());
    disk.grow();
    bench.plue(&["resume", "--database", &server.url()]).ends(0);
    let store = Store::open(StoreOptions::new(server.url()).existing()).await.unwrap();
    let runs = store.runs().list(&RunFilter::default()).await.unwrap();
    assert_eq!((runs.len(), runs[0].view.status), (1, RunStatus::Success));
    assert_eq!(bench.lines("ran"), 1);
    let wrong = violations(&store, &runs[0].id).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    let attempts = store.attempts().list(&runs[0].id, None).await.unwrap();
    assert_eq!(attempts.len(), 1);
    let log = &streams(&store, &attempts[0].claim.attempt).await["Stdout"];
    assert_eq!(log.len(), 16_000_000 + 210_527 + 4);
    assert!(log.ends_with(b"\nend\n"));
    store.close().await;
    until(|| bench.processes().is_empty()).await;
    server.stop();
}

#[tokio::test]
async fn unwritable_state_directories_end_commands_with_5() {
    let bench = Bench::new(SOURCE);
    std::fs::create_dir_all(bench.state().parent().unwrap()).unwrap();
    // A file in its place: not even root can write below it.
    std::fs::write(bench.state(), "").unwrap();
    bench.plue(&["run"]).ends(5);
    assert_eq!(bench.processes(), []);
}

#[tokio::test]
async fn foreign_database_files_end_commands_and_stay() {
    let bench = Bench::new(SOURCE);
    std::fs::create_dir_all(bench.state()).unwrap();
    let text = "this is no database, whatever its name says\n".repeat(100);
    std::fs::write(bench.database(), &text).unwrap();
    bench.plue(&["run"]).ends(5);
    assert_eq!(std::fs::read_to_string(bench.database()).unwrap(), text);
    assert_eq!(bench.processes(), []);
}

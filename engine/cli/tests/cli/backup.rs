//! Everything in one file, and back: compared row by row.

use std::{collections::BTreeMap, path::Path, process::Command};

use plue_testkit::postgres::Database;
use sha2::{Digest as _, Sha256};

use crate::support::Bench;

const WORKFLOW: &str = r#"
def workflow():
    return Plan(
        name="Kept",
        steps=[
            Step.bash("make", "head -c 300000 /dev/urandom > big.bin; echo made; echo $TOKEN",
                      artifacts=["big.bin"], secrets=["TOKEN"]),
            Step.bash("bad", "exit 3", depends_on=["make"]),
        ],
    )
"#;

/// A person's state worth keeping.
fn lived(bench: &Bench, set: impl Fn(&mut Command)) {
    let plue = |args: &[&str], code: i32| {
        let mut command = bench.command(args);
        set(&mut command);
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    };
    bench.write(".plue.py", WORKFLOW);
    bench.commit();
    bench.write("token", "hunter22hunter");
    plue(&["secret", "set", "TOKEN", "--global", "--from-file", "token"], 0);
    plue(&["token", "create", "--name", "me", "--role", "admin"], 0);
    plue(&["run", "-q"], 1);
    plue(&["run", "-q"], 1);
}

/// Every file below a folder, by its hash.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let list = Command::new("find").args([".", "-type", "f"]).current_dir(folder).output().unwrap();
    let names = String::from_utf8(list.stdout).unwrap();
    let hash = |name: &str| hex::encode(Sha256::digest(std::fs::read(folder.join(name)).unwrap()));
    names.lines().map(|name| (name.to_owned(), hash(name))).collect()
}

fn refusal(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a line of a dump is the trail's own of the restore, or counts its rows.
fn is_of_restore(line: &str) -> bool {
    let counts = ["sqlite_sequence VALUES('audit'", "'public.audit_seq_seq'"];
    line.contains("'database.restore'") || counts.iter().any(|count| line.contains(count))
}

#[test]
fn restored_sqlite_databases_equal_their_backups() {
    let bench = Bench::new();
    lived(&bench, |_| {});
    let file = bench.home().join("plue.backup");
    let file = file.to_str().unwrap();
    bench.plue(&["backup", file]).ends(0).reports(&["everything is in", "key"]);
    bench.plue(&["backup", file]).ends(2).reports(&["there already"]);
    let elsewhere = bench.home().join("elsewhere");
    let there = ["--state-dir", elsewhere.to_str().unwrap()];
    bench.plue(&[&there[..], &["restore", file]].concat()).ends(0).reports(&["restored"]);
    let dump = |state: &Path| {
        let mut shell = Command::new("sqlite3");
        let text = refusal(shell.arg("-readonly").arg(state.join("plue.db")).arg(".dump"));
        let lines = text.lines().filter(|line| !is_of_restore(line));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let kept = dump(&bench.state());
    assert!(kept.lines().count() > 60, "{kept}");
    assert_eq!(dump(&elsewhere), kept);
    let blobs = files(&bench.state().join("blobs"));
    assert!(!blobs.is_empty());
    assert_eq!(files(&elsewhere.join("blobs")), blobs);
    let logs = bench.plue(&["logs", "last"]).ends(0).stdout;
    assert_eq!(bench.plue(&[&there[..], &["logs", "last"]].concat()).ends(0).stdout, logs);
    bench.plue(&[&there[..], &["migrate"]].concat()).ends(0).shows(&["the tables are of version"]);
    // Nothing is overwritten, and nothing that is no backup is taken for one.
    bench.plue(&[&there[..], &["restore", file]].concat()).ends(2).reports(&["there already"]);
    bench.write("no.backup", "no");
    let third = bench.home().join("third");
    let third = ["--state-dir", third.to_str().unwrap(), "restore"];
    bench.plue(&[&third[..], &["no.backup"]].concat()).ends(2);
    let text = std::fs::read(file).unwrap();
    assert!(!text.windows(14).any(|part| part == b"hunter22hunter"));
}

#[test]
fn restored_postgres_databases_equal_their_backups() {
    let (here, there) = (Database::create(), Database::create());
    let bench = Bench::new();
    lived(&bench, |command| {
        command.env("PLUE_DATABASE", here.url());
    });
    let file = bench.home().join("plue.backup");
    let elsewhere = bench.home().join("elsewhere");
    let on = |database: &Database, args: &[&str]| {
        refusal(bench.command(args).env("PLUE_DATABASE", database.url()))
    };
    on(&here, &["backup", file.to_str().unwrap()]);
    let state = elsewhere.to_str().unwrap();
    on(&there, &["--state-dir", state, "restore", file.to_str().unwrap()]);
    let dump = |database: &Database| {
        let mut command = Command::new("pg_dump");
        command.args(["--no-owner", "--data-only", "--inserts", "--dbname", &database.url()]);
        let text = refusal(&mut command);
        let lines =
            text.lines().filter(|line| line.starts_with("INSERT") || line.contains("setval"));
        let lines = lines.filter(|line| !is_of_restore(line));
        let mut lines: Vec<_> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let kept = dump(&here);
    assert!(kept.len() > 40, "{}", kept.len());
    assert_eq!(dump(&there), kept);
    assert_eq!(files(&elsewhere.join("blobs")), files(&bench.state().join("blobs")));
    let sqlite = bench.plue(&["restore", file.to_str().unwrap()]).ends(2);
    sqlite.reports(&["the backup is of Postgres"]);
}

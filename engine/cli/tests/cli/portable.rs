//! `plue export` and `plue open`: a run elsewhere, byte for byte, and nothing but a run.

use std::{io::Read as _, path::Path};

use plue_testkit::postgres::Database;

use crate::support::{Bench, CliOutput};

const FLOW: &str = r#"
def workflow(ctx):
    ctx.read("read.txt")
    return Plan(name="Portable", on_failure="continue", steps=[
        Step.bash("a", "printf 'one\\0two\\xff\\n'; echo err >&2; echo n=1 > $PLUE_OUTPUT; head -c 200000 /dev/zero > zeros; echo t > t",
                  artifacts=["zeros", "t"]),
        Step.bash("b", "exit 3", depends_on=["a"], retry=Retry(max_attempts=2, delay="0s")),
        Step.bash("c", "true", depends_on=["b"]),
    ])
"#;

fn ended() -> (Bench, String) {
    let bench = Bench::with(FLOW);
    bench.write("read.txt", "was read");
    bench.plue(&["run"]).ends(1);
    let runs = bench.plue(&["runs", "--output", "json"]).ends(0).json();
    let run = runs["runs"][0]["id"].as_str().unwrap().to_owned();
    (bench, run)
}

fn logs(bench: &Bench, run: &str) -> Vec<Vec<u8>> {
    let commands: [&[&str]; 6] = [
        &["status", run, "--output", "json"],
        &["logs", run, "a"],
        &["logs", run, "b", "--attempt", "1"],
        &["explain", run, "--output", "json"],
        &["artifacts", run, "--output", "json"],
        &["artifacts", run, "--get", "zeros"],
    ];
    commands.iter().map(|args| bench.plue(args).ends(0).raw).collect()
}

#[test]
fn opened_runs_equal_the_exported_byte_for_byte() {
    let (bench, run) = ended();
    bench.plue(&["export", "last", "../run.plue"]).ends(0);
    bench.plue(&["export", "last", "../run.plue"]).ends(2).reports(&["--force"]);
    bench.plue(&["export", "last", "../again.plue"]).ends(0);
    let file = bench.repo().join("../run.plue");
    let bytes = std::fs::read(&file).unwrap();
    assert!(bytes == std::fs::read(bench.repo().join("../again.plue")).unwrap());

    let other = Bench::new();
    let path = file.to_str().unwrap();
    let summary = other.plue(&["open", path, "--check", "--output", "json"]).ends(0).json();
    assert_eq!((&summary["run"], &summary["imported"]), (&run.as_str().into(), &false.into()));
    assert_eq!(summary["sources"], serde_json::json!([".plue.py", "read.txt"]));
    assert_eq!(summary["missing"], serde_json::json!([]));
    other.plue(&["status", &run]).ends(4);
    other.plue(&["open", path]).ends(0).shows(&[&run]);
    assert!(logs(&bench, &run) == logs(&other, &run));
    other.plue(&["export", &run, "../back.plue"]).ends(0);
    assert!(std::fs::read(other.repo().join("../back.plue")).unwrap() == bytes);
    other.plue(&["open", path]).ends(2).reports(&["is here already"]);
    other.plue(&["retry", &run]).ends(2).reports(&["came from a file"]);
}

#[test]
fn runs_move_between_sqlite_and_postgres() {
    let (bench, run) = ended();
    bench.plue(&["export", "last", "../run.plue"]).ends(0);
    let file = bench.repo().join("../run.plue");
    let (database, other) = (Database::create(), Bench::new());
    let on_server = |args: &[&str]| {
        let mut command = other.command(args);
        command.env("PLUE_DATABASE", database.url());
        CliOutput::of(command.output().unwrap()).ends(0)
    };
    on_server(&["open", file.to_str().unwrap()]);
    on_server(&["status", &run]).shows(&["failed"]);
    on_server(&["export", &run, "../back.plue"]);
    let back = std::fs::read(other.repo().join("../back.plue")).unwrap();
    assert!(back == std::fs::read(file).unwrap());
}

/// An edit of the entries of a file.
type Change = fn(&mut Vec<(String, Vec<u8>)>);

/// Writes a copy of a file with edited entries.
fn tampered(from: &Path, to: &Path, change: impl Fn(&mut Vec<(String, Vec<u8>)>)) {
    let mut archive =
        tar::Archive::new(zstd::Decoder::new(std::fs::File::open(from).unwrap()).unwrap());
    let mut entries = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        entries.push((name, content));
    }
    change(&mut entries);
    let packed = zstd::Encoder::new(std::fs::File::create(to).unwrap(), 1).unwrap();
    let mut archive = tar::Builder::new(packed);
    for (name, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // Not through set_path, which refuses what an attacker writes.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, content.as_slice()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap();
}

#[test]
fn hostile_files_are_refused_and_store_nothing() {
    let (bench, _) = ended();
    bench.plue(&["export", "last", "../run.plue"]).ends(0);
    let file = bench.repo().join("../run.plue");
    let bad = bench.repo().join("../bad.plue");
    let other = Bench::new();
    let refused = |what: &str| {
        let output = other.plue(&["open", bad.to_str().unwrap()]).ends(2);
        output.reports(&["PLUE-C0012"]);
        other.plue(&["runs"]);
        assert!(!other.state().join("plue.db").exists(), "{what} has stored something");
    };
    let cases: [(&str, Change); 7] = [
        ("a path that leads outside", |entries| {
            entries.insert(1, ("../../evil".to_owned(), b"x".to_vec()));
        }),
        ("an absolute path", |entries| entries.insert(1, ("/tmp/evil".to_owned(), b"x".to_vec()))),
        ("a changed row", |entries| {
            let journal =
                entries.iter_mut().find(|(name, _)| name.starts_with("rows/journal")).unwrap();
            journal.1 = String::from_utf8(journal.1.clone())
                .unwrap()
                .replace("success", "failed!")
                .into_bytes();
        }),
        ("another run's rows", |entries| {
            let log =
                entries.iter_mut().find(|(name, _)| name.starts_with("rows/log_chunk")).unwrap();
            let text = String::from_utf8(log.1.clone()).unwrap();
            log.1 = text.replacen("[[\"", "[[\"other", 1).into_bytes();
        }),
        ("a changed blob", |entries| {
            let blob = entries.iter_mut().find(|(name, _)| name.starts_with("blobs/")).unwrap();
            blob.1.push(b'x');
        }),
        ("a part that is missing", |entries| {
            let at =
                entries.iter().position(|(name, _)| name.starts_with("rows/attempt/")).unwrap();
            entries.remove(at);
        }),
        ("no end", |entries| {
            entries.pop();
        }),
    ];
    for (what, change) in cases {
        tampered(&file, &bad, change);
        refused(what);
    }
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&bad, &whole[..whole.len() / 2]).unwrap();
    refused("half a file");
    std::fs::write(&bad, b"no archive at all").unwrap();
    refused("something else");
    let mut bomb = zstd::Encoder::new(std::fs::File::create(&bad).unwrap(), 1).unwrap();
    std::io::copy(&mut std::io::repeat(0).take(400 * 1024 * 1024), &mut bomb).unwrap();
    bomb.finish().unwrap();
    refused("a bomb");
}

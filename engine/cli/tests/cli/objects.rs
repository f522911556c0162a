//! An object store instead of a folder, as a person sees it.

use std::{path::Path, process::Command};

use plue_testkit::objects::{ACCESS_KEY, Objects, SECRET_KEY};

use crate::support::{Bench, CliOutput};

const KEEPING: &str = r#"
def workflow():
    return Plan(name="Keeping", steps=[
        Step.bash("make", "seq 30000 > out.txt; head -c 20M /dev/zero | tr '\\0' x > large.txt; echo made",
                  artifacts=["out.txt", "large.txt"]),
    ])
"#;

fn plue(bench: &Bench, objects: &Objects, args: &[&str]) -> CliOutput {
    let mut command = bench.command(args);
    command.envs(objects.settings(&bench.home()));
    CliOutput::of(command.output().unwrap())
}

fn places(state: &Path) -> String {
    let mut shell = Command::new("sqlite3");
    let output = shell.arg(state.join("plue.db")).arg("SELECT count(*) FROM place").output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
}

fn downloaded(bench: &Bench, objects: &Objects, there: &[&str], into: &str) {
    let args = [there, &["artifacts", "last", "--download", into]].concat();
    plue(bench, objects, &args).ends(0);
    let expected: String = (1..=30_000).map(|n| format!("{n}\n")).collect();
    let out = std::fs::read_to_string(bench.repo().join(into).join("out.txt")).unwrap();
    assert!(out == expected, "{} bytes", out.len());
    let large = std::fs::read(bench.repo().join(into).join("large.txt")).unwrap();
    assert!(large.len() == 20 << 20 && large.iter().all(|byte| *byte == b'x'));
}

#[test]
fn backups_copy_artifacts_from_bucket_to_bucket() {
    let (objects, others) = (Objects::start(), Objects::start());
    let bench = Bench::with(KEEPING);
    plue(&bench, &objects, &["run", "-q"]).ends(0);
    assert!(!bench.state().join("blobs").exists());
    assert!(objects.files().len() >= 2, "{:?}", objects.files());
    assert_eq!(objects.parts(), 0);
    downloaded(&bench, &objects, &[], "first");
    let file = bench.home().join("plue.backup");
    let file = file.to_str().unwrap();
    plue(&bench, &objects, &["backup", file]).ends(0);
    let there = bench.home().join("elsewhere");
    let there = ["--state-dir", there.to_str().unwrap()];
    plue(&bench, &others, &[&there[..], &["restore", file]].concat()).ends(0);
    // Another database than the one that it was: it owns nothing in a bucket that it did not fill.
    assert_eq!(places(&bench.state()), "1");
    assert_eq!(places(Path::new(there[1])), "0");
    drop(objects);
    downloaded(&bench, &others, &there, "second");
}

#[test]
fn backups_copy_content_between_folders_and_buckets() {
    let objects = Objects::start();
    let bench = Bench::with(KEEPING);
    bench.plue(&["run", "-q"]).ends(0);
    let (one, two) = (bench.home().join("one.backup"), bench.home().join("two.backup"));
    bench.plue(&["backup", one.to_str().unwrap()]).ends(0);
    let (there, back) = (bench.home().join("there"), bench.home().join("back"));
    let there = ["--state-dir", there.to_str().unwrap()];
    plue(&bench, &objects, &[&there[..], &["restore", one.to_str().unwrap()]].concat()).ends(0);
    downloaded(&bench, &objects, &there, "first");
    plue(&bench, &objects, &[&there[..], &["backup", two.to_str().unwrap()]].concat()).ends(0);
    let back = ["--state-dir", back.to_str().unwrap()];
    bench.plue(&[&back[..], &["restore", two.to_str().unwrap()]].concat()).ends(0);
    let args = [&back[..], &["artifacts", "last", "--download", "second"]].concat();
    bench.plue(&args).ends(0);
    let large = std::fs::metadata(bench.repo().join("second/large.txt")).unwrap();
    assert_eq!(large.len(), 20 << 20);
}

#[test]
fn doctor_checks_object_stores_without_printing_keys() {
    let objects = Objects::start();
    let bench = Bench::with(KEEPING);
    plue(&bench, &objects, &["doctor"]).shows(&["object store", "s3://plue-test/plue/test"]);
    assert_eq!(objects.files().len(), 0, "doctor leaves nothing");
    let shown = plue(&bench, &objects, &["config", "show", "--origin"]).ends(0);
    assert!(shown.stdout.contains("objects.secret_key_file"), "{}", shown.stdout);
    let mut wrong = bench.command(&["doctor"]);
    wrong.envs(objects.settings(&bench.home()));
    std::fs::write(bench.home().join("s3.key"), "another/text+of/a+key").unwrap();
    let refused = CliOutput::of(wrong.output().unwrap());
    assert_eq!(refused.code, 5, "{}", refused.stdout);
    let mut failing = bench.command(&["-v", "run"]);
    failing.envs(objects.settings(&bench.home()));
    std::fs::write(bench.home().join("s3.key"), "another/text+of/a+key").unwrap();
    let failed = CliOutput::of(failing.env("PLUE_LOG", "trace").output().unwrap());
    for output in [&shown, &refused, &failed] {
        for key in [ACCESS_KEY, SECRET_KEY, "another/text+of/a+key"] {
            assert!(!output.stdout.contains(key), "{}", output.stdout);
            assert!(!output.stderr.contains(key), "{}", output.stderr);
        }
    }
}

#[test]
fn incomplete_object_stores_are_refused_with_the_key() {
    let bench = Bench::with(KEEPING);
    for (settings, expected) in [
        (&[("PLUE_OBJECTS_URL", "https://b/p")][..], "objects.url"),
        (&[("PLUE_OBJECTS_LOGS", "true")], "objects.logs"),
        (&[("PLUE_OBJECTS_LOGS", "perhaps")], "true or false"),
        (
            &[("PLUE_OBJECTS_URL", "s3://b"), ("PLUE_OBJECTS_ENDPOINT", "http://127.0.0.1:1")],
            "objects.allow_http",
        ),
        (
            &[("PLUE_OBJECTS_URL", "s3://b"), ("PLUE_OBJECTS_ACCESS_KEY_FILE", "/none")],
            "objects.secret_key_file",
        ),
        (
            &[
                ("PLUE_OBJECTS_URL", "s3://b"),
                ("PLUE_OBJECTS_ACCESS_KEY_FILE", "/none"),
                ("PLUE_OBJECTS_SECRET_KEY_FILE", "/none"),
            ],
            "/none",
        ),
    ] {
        let mut command = bench.command(&["run", "-q"]);
        command.envs(settings.iter().copied());
        CliOutput::of(command.output().unwrap()).ends(2).reports(&[expected]);
    }
    // The configuration of a repository cannot send content anywhere.
    bench.write("plue.toml", "[objects]\nurl = \"s3://theirs\"\n");
    bench.plue(&["run", "-q"]).ends(2).reports(&["objects.url", "cannot be set by a repository"]);
}

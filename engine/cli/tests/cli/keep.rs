//! What is kept of steps: changes of the workspace, artifacts, caches, known results.

use crate::support::{Bench, Said};

fn read(bench: &Bench, path: &str) -> String {
    std::fs::read_to_string(bench.repo().join(path)).unwrap_or_else(|error| format!("{error}"))
}

fn workflow(steps: &str) -> String {
    format!("def workflow():\n    return Plan(name=\"Keep\", steps=[\n{steps}\n    ])\n")
}

fn explain(bench: &Bench, step: &str) -> Said {
    bench.plue(&["explain", "last", step]).ends(0)
}

#[test]
fn row_1_14_retry_from_a_step_puts_back_what_later_steps_changed() {
    let steps = r#"
        Step.bash("make", "echo made > made.txt; echo 1 >> log.txt"),
        Step.bash("bend", "echo bent > made.txt; echo 2 >> log.txt; mkdir -p out/deep; echo x > out/deep/x; rm keep.txt",
                  depends_on=["make"]),
        Step.bash("look", "cat made.txt log.txt; test -e passes", depends_on=["bend"]),
    "#;
    let bench = Bench::with(&workflow(steps));
    bench.write("keep.txt", "kept");
    bench.write("log.txt", "0\n");
    bench.plue(&["run"]).ends(1);
    assert_eq!(read(&bench, "made.txt"), "bent\n");
    // What a person does between two tries stays.
    bench.write("passes", "");
    bench.write("mine.txt", "my work");
    bench.plue(&["retry", "last", "--from", "bend"]).ends(0).tells(&["what they were before"]);
    assert_eq!(read(&bench, "log.txt"), "0\n1\n2\n", "not 0 1 2 2");
    assert_eq!(read(&bench, "mine.txt"), "my work");
    let log = bench.plue(&["logs", "last", "look"]).ends(0);
    log.shows(&["bent\n0\n1\n2\n"]);

    bench.plue(&["retry", "last", "--from", "make"]).ends(0);
    assert_eq!(read(&bench, "log.txt"), "0\n1\n2\n");
    bench.write("passes", "");
    bench.plue(&["retry", "last", "--from", "bend", "--keep-files"]).ends(1);
    bench.write("keep.txt", "kept");
    bench.plue(&["retry", "last", "--from", "bend", "--keep-files"]).ends(0);
    assert_eq!(read(&bench, "log.txt"), "0\n1\n2\n2\n2\n");
}

#[test]
fn row_1_14_retry_of_what_failed_starts_with_the_files_of_the_first_try() {
    let steps = r#"
        Step.bash("good", "echo good >> log.txt"),
        Step.bash("bad", "echo half >> log.txt; ln -s log.txt link; chmod +x log.txt; test -e passes", depends_on=["good"]),
    "#;
    let bench = Bench::with(&workflow(steps));
    bench.plue(&["run"]).ends(1);
    assert_eq!(read(&bench, "log.txt"), "good\nhalf\n");
    bench.write("passes", "");
    bench.plue(&["retry", "last"]).ends(0);
    assert_eq!(read(&bench, "log.txt"), "good\nhalf\n");
}

#[test]
fn what_a_person_changed_is_not_overwritten_unless_forced() {
    let steps = r#"
        Step.bash("make", "echo made > made.txt"),
        Step.bash("bend", "echo bent > made.txt; test -e passes", depends_on=["make"]),
    "#;
    let bench = Bench::with(&workflow(steps));
    bench.plue(&["run"]).ends(1);
    bench.write("passes", "");
    bench.write("made.txt", "hand-made");
    let refused = bench.plue(&["retry", "last"]).ends(4);
    refused.tells(&["PLUE-C0011", "made.txt", "--keep-files", "--force"]);
    assert_eq!(read(&bench, "made.txt"), "hand-made");
    let forced = bench.plue(&["retry", "last", "--force"]).ends(0);
    forced.tells(&["what was overwritten is in"]);
    let aside = bench.state().join("aside");
    let copy = std::fs::read_dir(aside).unwrap().next().unwrap().unwrap().path().join("made.txt");
    assert_eq!(std::fs::read_to_string(copy).unwrap(), "hand-made");
}

#[test]
fn checkpoints_can_be_turned_off() {
    let steps = r#"Step.bash("a", "echo 1 >> log.txt; test -e passes")"#;
    let bench = Bench::with(&workflow(steps));
    bench.write("plue.toml", "[checkpoints]\nmode = \"off\"\n");
    bench.plue(&["run"]).ends(1);
    bench.write("passes", "");
    bench.plue(&["retry", "last"]).ends(0);
    assert_eq!(read(&bench, "log.txt"), "1\n1\n");
}

#[test]
fn artifacts_are_listed_and_come_back_byte_for_byte() {
    let steps = r#"
        Step.bash("build", "mkdir -p out/sub; head -c 300000 /dev/zero | tr '\\0' x > out/big; echo small > out/sub/small; chmod +x out/sub/small; echo no > out/not.tmp; ln -s /etc/passwd out/passwd; ln -s /etc out/etc",
                  artifacts=["out", "!**/*.tmp", "absent/**"]),
        Step.bash("fails", "echo report > report.txt; exit 1", artifacts=["report.txt"]),
    "#;
    let bench = Bench::with(&workflow(steps));
    bench.plue(&["run"]).ends(1);
    let list = bench.plue(&["artifacts", "last", "--output", "json"]).ends(0).json();
    let found: Vec<_> = list["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["step"].as_str().unwrap(),
                one["path"].as_str().unwrap(),
                one["bytes"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [("build", "out/big", 300_000), ("build", "out/sub/small", 6), ("fails", "report.txt", 7)]
    );
    bench.plue(&["artifacts"]).ends(0).shows(&["out/big", "report.txt"]);
    let big = bench.plue(&["artifacts", "last", "--get", "out/big"]).ends(0);
    assert!(big.raw == vec![b'x'; 300_000]);
    bench.plue(&["artifacts", "last", "--get", "../x"]).ends(4);
    bench.plue(&["artifacts", "last", "--download", "../fetched"]).ends(0);
    let fetched = bench.repo().join("../fetched");
    assert_eq!(std::fs::read_to_string(fetched.join("out/sub/small")).unwrap(), "small\n");
    assert!(!fetched.join("out/passwd").exists());
    bench.plue(&["logs", "last"]).ends(0).tells(&[]);
}

#[test]
fn row_2_25_a_cache_is_filled_once_and_restored_where_nothing_is() {
    let steps = r#"
        Step.bash("deps", "if test -e deps/lib; then echo was there; else echo fetched; mkdir -p deps; cp lock deps/lib; ln -s lib deps/link; fi",
                  cache=Cache(key="deps-${hash_files('lock')}", paths=["deps"], restore=["deps-"])),
    "#;
    let bench = Bench::with(&workflow(steps));
    bench.write("lock", "one");
    bench.write(".gitignore", "deps\n");
    bench.plue(&["run"]).ends(0);
    explain(&bench, "deps").shows(&[
        "cache: miss for deps-",
        "nothing was saved under it",
        "cache: saved deps-",
    ]);
    std::fs::remove_dir_all(bench.repo().join("deps")).unwrap();
    bench.plue(&["run"]).ends(0);
    explain(&bench, "deps").shows(&["cache: hit deps-"]);
    bench.plue(&["logs", "last", "deps"]).ends(0).shows(&["was there"]);
    assert_eq!(std::fs::read_link(bench.repo().join("deps/link")).unwrap().to_str(), Some("lib"));
    // Another key: the newest of the prefix, and what is there is a person's own.
    bench.write("lock", "two");
    std::fs::remove_dir_all(bench.repo().join("deps")).unwrap();
    bench.plue(&["run"]).ends(0);
    explain(&bench, "deps").shows(&["no exact hit, restored deps-", "cache: saved deps-"]);
    assert_eq!(read(&bench, "deps/lib"), "one");
    bench.write("deps/lib", "mine");
    bench.plue(&["run"]).ends(0);
    explain(&bench, "deps").shows(&["left as it is, because it is there: deps"]);
    assert_eq!(read(&bench, "deps/lib"), "mine");
}

#[test]
fn row_2_25_an_evicted_cache_is_explained() {
    let steps = r#"
        Step.bash("deps", "mkdir -p deps; head -c 100000 /dev/urandom > deps/lib",
                  cache=Cache(key="deps", paths=["deps"])),
    "#;
    let bench = Bench::with(&workflow(steps));
    let small = |args: &[&str]| {
        let mut command = bench.command(args);
        command.env("PLUE_CACHE_QUOTA_BYTES", "1000");
        Said::of(command.output().unwrap()).ends(0)
    };
    small(&["run"]);
    small(&["run"]);
    explain(&bench, "deps").shows(&["cache: miss for deps: evicted at", "the quota of all caches"]);
}

#[test]
fn row_2_25_a_pull_request_from_elsewhere_fills_no_cache_that_others_read() {
    let steps = r#"
        Step.bash("deps", "test -e deps/lib || { mkdir -p deps; echo $FROM > deps/lib; }; cat deps/lib",
                  env={"FROM": ref("event", "type") if False else "x"},
                  cache=Cache(key="deps", paths=["deps"])),
    "#;
    let bench = Bench::with(&workflow(steps));
    bench.write("fork.json", r#"{"type": "pull_request", "repository": "o/r", "pull_request": {"number": 3, "fork": true,
        "base": {"ref": "main", "sha": "a"}, "head": {"ref": "x", "sha": "b", "repository": "stranger/r"}}}"#);
    bench.write("push.json", r#"{"type": "push", "repository": "o/r"}"#);
    let again = |event: &str| {
        let _absent = std::fs::remove_dir_all(bench.repo().join("deps"));
        bench.plue(&["run", "--event", event]).ends(0);
        explain(&bench, "deps").stdout
    };
    assert!(again("fork.json").contains("cache: saved"));
    assert!(again("fork.json").contains("cache: hit"));
    assert!(again("push.json").contains("cache: miss"), "a trusted run must not see it");
    assert!(again("push.json").contains("cache: hit"));
}

#[test]
fn row_2_25_a_pure_step_is_done_once_for_the_same_inputs() {
    let steps = r#"
        Step.bash("up", "echo word=$(cat word) > $PLUE_OUTPUT"),
        Step.bash("pure", "echo ran; mkdir -p out; tr a-z A-Z < src.txt > out/x; echo \"n=$WORD\" > $PLUE_OUTPUT",
                  depends_on=["up"], env={"WORD": ref("up", "word")}, pure=True, artifacts=["out/**"]),
        Step.bash("use", "cat out/x; echo got $N", depends_on=["pure"], env={"N": ref("pure", "n")}),
    "#;
    let bench = Bench::with(&workflow(steps));
    bench.write(".gitignore", "word\n");
    bench.write("src.txt", "text");
    bench.write("word", "one");
    let ran = || {
        let _absent = std::fs::remove_dir_all(bench.repo().join("out"));
        bench.plue(&["run"]).ends(0);
        let log = bench.plue(&["logs", "last", "pure"]).ends(0);
        let used = bench.plue(&["logs", "last", "use"]).ends(0).stdout;
        (log.stdout.contains("ran"), used)
    };
    assert_eq!(ran(), (true, "TEXTgot one\n".to_owned()));
    assert_eq!(ran(), (false, "TEXTgot one\n".to_owned()), "output and files of the first");
    explain(&bench, "pure").shows(&["pure: nothing has changed since step pure of run"]);
    let list = bench.plue(&["artifacts", "last", "--output", "json"]).ends(0).json();
    assert_eq!(list["artifacts"][0]["path"], "out/x");
    bench.write("src.txt", "other");
    assert_eq!(ran(), (true, "OTHERgot one\n".to_owned()), "a source has changed");
    bench.write("word", "two");
    assert_eq!(ran(), (true, "OTHERgot two\n".to_owned()), "an upstream output has changed");
    bench.write("word", "one");
    bench.write("src.txt", "text");
    assert_eq!(ran(), (false, "TEXTgot one\n".to_owned()), "as it was at first");
}

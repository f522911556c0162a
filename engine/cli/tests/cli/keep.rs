//! Results of steps that outlive them: changes of the workspace, artifacts, caches, reused results.

use crate::support::{Bench, CliOutput};

fn read(bench: &Bench, path: &str) -> String {
    std::fs::read_to_string(bench.repo().join(path)).unwrap_or_else(|error| format!("{error}"))
}

fn workflow(steps: &str) -> String {
    format!("def workflow():\n    return Plan(name=\"Keep\", steps=[\n{steps}\n    ])\n")
}

fn explain(bench: &Bench, step: &str) -> CliOutput {
    bench.plue(&["explain", "last", step]).ends(0)
}

#[test]
fn row_1_14_retries_from_a_step_undo_later_changes() {
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
    // Edits of the user between two attempts stay.
    bench.write("passes", "");
    bench.write("mine.txt", "my work");
    bench.plue(&["retry", "last", "--from", "bend"]).ends(0).reports(&["what they were before"]);
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
fn row_1_14_retries_start_with_the_first_files() {
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
fn edits_of_users_are_overwritten_only_if_forced() {
    let steps = r#"
        Step.bash("make", "echo made > made.txt"),
        Step.bash("bend", "echo bent > made.txt; test -e passes", depends_on=["make"]),
    "#;
    let bench = Bench::with(&workflow(steps));
    bench.plue(&["run"]).ends(1);
    bench.write("passes", "");
    bench.write("made.txt", "hand-made");
    let refused = bench.plue(&["retry", "last"]).ends(4);
    refused.reports(&["PLUE-C0011", "made.txt", "--keep-files", "--force"]);
    assert_eq!(read(&bench, "made.txt"), "hand-made");
    let forced = bench.plue(&["retry", "last", "--force"]).ends(0);
    forced.reports(&["what was overwritten is in"]);
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
fn artifacts_are_listed_and_restored_byte_for_byte() {
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
    bench.plue(&["logs", "last"]).ends(0).reports(&[]);
}

#[test]
fn row_2_25_caches_are_filled_once_and_restored() {
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
        CliOutput::of(command.output().unwrap()).ends(0)
    };
    small(&["run"]);
    small(&["run"]);
    explain(&bench, "deps").shows(&["cache: miss for deps: evicted at", "the quota of all caches"]);
}

#[test]
fn row_2_25_forks_fill_no_cache_of_others() {
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
fn row_2_25_pure_steps_run_once_per_input() {
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

#[test]
fn artifacts_that_cannot_be_kept_fail_the_step() {
    let steps = r#"
        Step.bash("many", "mkdir out; cd out; touch $(seq 10001)", artifacts=["out"]),
    "#;
    let bench = Bench::with(&workflow(steps));
    let run = bench.plue(&["run"]).ends(1);
    run.reports(&["PLUE-R0012", "more than 10000 files"]);
    explain(&bench, "many").shows(&["PLUE-R0012"]);
}

#[test]
fn artifact_rules_decide_on_missing_and_lost_files() {
    let steps = r#"
        Step.bash("none", "echo x > there", artifacts=Artifacts(["there", "nowhere/*", "!*.map"], missing="fail")),
        Step.bash("quiet", "true", artifacts=Artifacts(["silent/*"], missing="ignore")),
        Step.bash("noted", "echo y > mine", artifacts=["mine", "unwritten.xml"], depends_on=["quiet"]),
        Step.bash("many", "mkdir out; cd out; touch $(seq 10001)", artifacts=Artifacts(["out"], lost="warn")),
    "#;
    let bench =
        Bench::with(&workflow(steps).replace("\"Keep\",", "\"Keep\", on_failure=\"continue\","));
    let run = bench.plue(&["run"]).ends(1);
    run.reports(&[
        "PLUE-R0016: artifacts: nothing matches nowhere/*",
        "nothing matches unwritten.xml",
    ]);
    run.reports(&["PLUE-R0012", "more than 10000 files"]);
    assert!(!run.stderr.contains("silent/"), "{}", run.stderr);
    let status = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
    let ended = |id: &str| {
        let steps = status["steps"].as_array().unwrap().iter();
        steps.clone().find(|step| step["step"] == id).unwrap()["status"].clone()
    };
    assert_eq!(
        ["none", "quiet", "noted", "many"].map(ended),
        ["failed", "success", "success", "success"]
    );
    bench.plue(&["artifacts", "last", "--step", "none"]).ends(0).shows(&["there"]);
}

#[test]
fn default_rules_of_artifacts_change_no_hash() {
    let plan = |file: &str, source: &str| {
        let bench = Bench::new();
        bench.write(file, source);
        let plan = bench.plue(&["plan", file, "--output", "json"]).ends(0).stdout;
        plan.trim_end().to_owned()
    };
    let python = |artifacts: &str| {
        let step = format!("Step.bash('a', 'true', artifacts={artifacts})");
        plan(".plue.py", &workflow(&step))
    };
    let yaml = |artifacts: &str| {
        let tasks = format!("tasks:\n  - {{id: a, run: 'true', artifacts: {artifacts}}}\n");
        plan("a.plue.yaml", &format!("name: Keep\nsettings: {{max_parallel: unlimited}}\n{tasks}"))
    };
    let list = python("['x']");
    assert_eq!(list, python("Artifacts(['x'])"));
    assert_eq!(list, python("Artifacts(['x'], missing='warn', lost='fail')"));
    assert_eq!(list, yaml("[x]"));
    assert_eq!(list, yaml("{paths: [x], missing: warn, lost: fail}"));
    let strict = python("Artifacts(['x'], missing='fail')");
    assert_ne!(list, strict);
    assert_eq!(strict, yaml("{paths: [x], missing: fail}"));
}

#[test]
fn omitted_artifacts_are_reported_everywhere() {
    let steps = r#"
        Step.bash("links", "mkdir out; echo x > out/x; ln -s x out/link", artifacts=["out"]),
        Step.bash("none", "true", artifacts=["nowhere/*"]),
    "#;
    let bench = Bench::with(&workflow(steps));
    let warnings = ["1 left out, they are symbolic links: out/link", "nothing matches nowhere/*"];
    bench.plue(&["run"]).ends(0).reports(&warnings);
    bench.plue(&["status", "last"]).ends(0).shows(&warnings);
    bench.plue(&["logs", "last"]).ends(0).reports(&warnings);
    explain(&bench, "none").shows(&warnings[1..]);
    let status = bench.plue(&["status", "last", "--output", "json"]).ends(0);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["notes"].as_array().unwrap().len(), 2, "{status}");
}

#[test]
fn artifacts_keep_names_of_any_bytes() {
    use std::os::unix::ffi::OsStrExt as _;
    let steps = r#"
        Step.bash("odd", "mkdir out; echo odd > out/$'caf\\xe9'", artifacts=["out"]),
    "#;
    let bench = Bench::with(&workflow(steps));
    bench.plue(&["run"]).ends(0);
    bench.plue(&["artifacts", "last"]).ends(0).shows(&[r"out/caf\xe9"]);
    let folder = bench.home().join("got");
    bench.plue(&["artifacts", "last", "--download", folder.to_str().unwrap()]).ends(0);
    let name = std::ffi::OsStr::from_bytes(b"out/caf\xe9");
    assert_eq!(std::fs::read_to_string(folder.join(name)).unwrap(), "odd\n");
}

#[test]
fn services_that_die_fail_their_step() {
    let service = r#"python3 -c 'import socket; s = socket.create_server((\"127.0.0.1\", PORT)); s.accept(); s.accept()'"#;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let run = "exec 3<>/dev/tcp/127.0.0.1/PORT; sleep 3000";
    let steps = format!("Step.bash('asks', '{run}', services=[Service(\"{service}\", PORT)]),");
    let bench = Bench::with(&workflow(&steps.replace("PORT", &port)));
    bench.plue(&["run"]).ends(1).reports(&["PLUE-R0011", "while the step ran"]);
}

#[test]
fn services_on_one_port_are_refused() {
    let steps = "Step.bash('two', 'true', services=[Service('a', 5000), Service('b', 5000)]),";
    let bench = Bench::with(&workflow(steps));
    bench
        .plue(&["validate"])
        .ends(3)
        .reports(&["PLUE-P0068", "two services of the step have port 5000"]);
}

#[test]
fn the_clock_of_the_run_ends_its_steps() {
    let source = "def workflow():\n    return Plan(name='Late', timeout='1s', steps=[Step.bash('a', 'sleep 3000')])\n";
    let bench = Bench::with(source);
    for _ in 0..5 {
        bench.plue(&["run"]).ends(124);
        bench.plue(&["status", "last"]).ends(0).shows(&["timed_out", "cancelled"]);
    }
}

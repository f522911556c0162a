//! Promises of the first source document that only the whole of plue can keep.

use std::{fmt::Write as _, path::Path};

use plue_store::{Store, StoreOptions};
use sha2::{Digest as _, Sha256};

use crate::support::{Bench, CliOutput};

/// Kibibytes that engine and runner may hold while a step writes 100 MB: much less than the log.
const MEMORY_KIB: u64 = 256 * 1024;

/// Each line of the million, without its newline.
const LINE: &str = "0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopq";

#[test]
fn row_1_01_repositories_with_workflow_files_run_green() {
    let bench = Bench::with(
        r#"
def workflow():
    sizes = [1, 2, 3]
    return Plan(
        name="Green",
        steps=[
            *[Step.python(f"square-{n}", f"print({n} * {n})") for n in sizes],
            Step.bash("sum", "echo done", depends_on=[f"square-{n}" for n in sizes]),
        ],
    )
"#,
    );
    bench.plue(&["run"]).ends(0).reports(&["run success", "4 succeeded"]);
    assert_eq!(bench.plue(&["logs", "last", "square-3"]).ends(0).stdout, "9\n");
}

/// The evaluator's own tests cover the jail; this one, the error that users see and that the attempt
/// has no effect.
#[test]
fn row_1_02_workflow_files_reach_nothing_outside() {
    let attempts = [
        "open('/etc/passwd').read()",
        "open('pwned', 'w')",
        "__import__('os').system('touch pwned')",
        "eval('1')",
        "().__class__.__base__.__subclasses__()",
    ];
    let modules = ["os", "socket", "subprocess", "time", "random", "ctypes", "pathlib", "sys"];
    let imports = modules.map(|module| format!("import {module}"));
    for (at, attack) in attempts.iter().map(|text| format!("x = {text}")).chain(imports).enumerate()
    {
        let plan = r#"return Plan(name="x", steps=[Step.bash("a", "true")])"#;
        let bench = Bench::with(&format!("def workflow():\n    {attack}\n    {plan}\n"));
        bench.plue(&["plan"]).ends(3).reports(&[".plue.py:2:", "error[PLUE-E"]);
        assert!(!bench.repo().join("pwned").exists(), "{at}: {attack}");
    }
}

#[test]
fn row_1_08_all_problems_are_reported_with_hints() {
    let bench = Bench::with(
        r#"
def workflow():
    return Plan(
        name="Wrong",
        triggers=[Trigger.on_schedule("61 * * * *"), Trigger.on_push(branch="a..b")],
        steps=[
            Step.bash("test", "true", depends_on=["biuld"]),
            Step.bash("build", "true", timeout="soon"),
            Step.bash("build", ""),
            Step.bash("a", "true", depends_on=["b"]),
            Step.bash("b", "true", depends_on=["a"], when="steps.test.status =="),
        ],
    )
"#,
    );
    let output = bench.plue(&["validate", "--output", "json"]).ends(3);
    let problems = output.json()["diagnostics"].as_array().unwrap().clone();
    let mut lines: Vec<u64> =
        problems.iter().map(|problem| problem["span"]["line"].as_u64().unwrap()).collect();
    lines.sort_unstable();
    lines.dedup();
    for line in [5, 7, 8, 9, 11] {
        assert!(lines.contains(&line), "nothing about line {line}: {}", output.stdout);
    }
    assert!(problems.iter().all(|problem| problem["code"].as_str().unwrap().starts_with("PLUE-")));
    output.shows(&["did you mean `build`?", "a → b → a"]);
}

#[test]
fn row_1_11_local_runs_need_no_server_or_daemon() {
    let bench = Bench::with(
        r#"
def workflow():
    return Plan(name="Local", steps=[Step.bash("who", "echo $PPID; sleep 300 >&- 2>&- &")])
"#,
    );
    bench.plue(&["run"]).ends(0);
    let runner = bench.plue(&["logs", "last", "who"]).ends(0).stdout;
    assert!(!Path::new("/proc").join(runner.trim()).exists(), "the runner {runner} is still there");
    let workspace = bench.repo();
    let left = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let cwd = std::fs::read_link(entry.ok()?.path().join("cwd")).ok()?;
        cwd.starts_with(&workspace).then_some(cwd)
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn row_1_12_the_registry_discovers_validates_and_shows_triggers() {
    let bench = Bench::with(
        r#"
def workflow():
    return Plan(
        name="One",
        triggers=[Trigger.on_push(branch="main"), Trigger.on_schedule("0 3 * * *")],
        steps=[Step.bash("a", "true")],
    )
"#,
    );
    let two =
        "def workflow():\n    return Plan(name=\"Two\", steps=[Step.bash(\"a\", \"true\")])\n";
    bench.write("deploy/two.plue.py", two);
    bench.write("node_modules/x/three.plue.py", two);
    bench.write("broken.plue.py", "def workflow(:\n");
    bench.commit();
    let output = bench.plue(&["list"]);
    output.shows(&[
        "One",
        "push main",
        "schedule 0 3 * * *",
        "Two",
        "deploy/two.plue.py",
        "(broken)",
    ]);
    assert!(!output.stdout.contains("node_modules"));
}

#[test]
fn row_1_13_equal_files_give_equal_plans_everywhere() {
    let source = r#"
def workflow():
    names = sorted({"gamma", "alpha", "beta"})
    return Plan(name="Same", steps=[Step.bash(n, f"echo {n}") for n in names])
"#;
    let mut plans = Vec::new();
    for (zone, language) in [("UTC", "C"), ("Asia/Tokyo", "de_DE.UTF-8"), ("America/Lima", "tr_TR")]
    {
        let bench = Bench::with(source);
        let mut command = bench.command(&["plan", "--output", "json"]);
        command.env("TZ", zone).env("LANG", language).env("LC_ALL", language);
        plans.push(CliOutput::of(command.output().unwrap()).ends(0).stdout);
    }
    plans.dedup();
    assert_eq!(plans.len(), 1);
}

#[test]
fn row_1_31_huge_logs_are_stored_byte_for_byte() {
    assert_eq!(LINE.len(), 99);
    let bench = Bench::with(&format!(
        r#"
def workflow():
    return Plan(
        name="Long",
        steps=[
            Step.bash("write", "set +o pipefail; yes {LINE} | head -n 1000000"),
            Step.bash(
                "memory",
                "engine=$(awk '/^PPid/ {{print $2}}' /proc/$PPID/status)\n"
                "awk '/^VmHWM/ {{print $2}}' /proc/$PPID/status /proc/$engine/status",
                depends_on=["write"],
            ),
        ],
    )
"#
    ));
    bench.plue(&["run", "--quiet"]).ends(0);
    let written = bench.plue(&["logs", "last", "write"]).ends(0).raw;
    assert_eq!(written.len(), 100_000_000);
    let mut expected = Sha256::new();
    let thousand = format!("{LINE}\n").repeat(1_000);
    for _ in 0..1_000 {
        expected.update(&thousand);
    }
    assert_eq!(Sha256::digest(&written), expected.finalize());
    let memory = bench.plue(&["logs", "last", "memory"]).ends(0).stdout;
    let peaks: Vec<u64> = memory.lines().map(|line| line.parse().unwrap()).collect();
    let mut report = String::new();
    for (who, peak) in ["runner", "engine"].iter().zip(&peaks) {
        let _infallible = write!(report, "{who} {peak} KiB ");
    }
    assert!(peaks.len() == 2 && peaks.iter().all(|peak| *peak < MEMORY_KIB), "{report}");
    let tail = bench.plue(&["logs", "last", "write", "--tail", "2"]).ends(0).stdout;
    assert_eq!(tail, format!("{LINE}\n{LINE}\n"));
}

/// Each step fails if the other one runs at the same time.
#[test]
fn plans_cannot_exceed_the_configured_parallelism() {
    let bench = Bench::with(
        r#"
def workflow():
    alone = "mkdir busy; sleep 0.1; rmdir busy"
    return Plan(name="Alone", max_parallel=8, steps=[Step.bash(f"s{n}", alone) for n in range(3)])
"#,
    );
    let mut command = bench.command(&["run", "--max-parallel", "4"]);
    command.env("PLUE_MAX_PARALLEL", "1");
    CliOutput::of(command.output().unwrap()).ends(0);
}

#[test]
fn runs_past_retention_are_deleted_with_logs() {
    let bench = Bench::with(crate::support::SMALL);
    bench.plue(&["run"]).ends(0);
    bench.plue(&["run"]).ends(0);
    assert_eq!(bench.plue(&["runs", "--output", "jsonl"]).ends(0).stdout.lines().count(), 2);
    let mut command = bench.command(&["run"]);
    command.env("PLUE_RETENTION", "0s");
    CliOutput::of(command.output().unwrap()).ends(0);
    assert_eq!(bench.plue(&["runs", "--output", "jsonl"]).ends(0).stdout, "");
}

#[tokio::test]
async fn packed_logs_of_ended_runs_read_the_same() {
    let bench = Bench::with(
        r#"
def workflow():
    return Plan(name="Packed", steps=[Step.bash("count", "seq 1 200000")])
"#,
    );
    bench.plue(&["run", "--quiet"]).ends(0);
    let path = bench.state().join("plue.db");
    let store = Store::open(StoreOptions::sqlite(&path).read_only()).await.unwrap();
    assert_eq!(store.packed_logs().unpacked(10).await.unwrap(), []);
    let lines: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(bench.plue(&["logs", "last", "count"]).ends(0).stdout, lines);
}

#[test]
fn retries_print_only_their_own_attempts() {
    let bench = Bench::with(
        r#"
def workflow():
    return Plan(name="Twice", steps=[
        Step.bash("good", "echo once"),
        Step.bash("bad", "echo try $PLUE_VISIT; exit 1", depends_on=["good"]),
    ])
"#,
    );
    bench.plue(&["run"]).ends(1).reports(&["good | once", "bad  | try 1"]);
    let output = bench.plue(&["retry", "last"]).ends(1);
    output.reports(&["bad  | try 2", "bad  ✗"]);
    assert!(!output.stderr.contains("once"), "{}", output.stderr);
}

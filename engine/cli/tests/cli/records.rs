//! `runs`, `status`, `logs`, `explain` and `plan --verify` after a run.

use crate::support::{Bench, MIXED, SMALL};

#[test]
fn row_4_11_status_and_runs_show_what_happened() {
    let bench = Bench::with(MIXED);
    bench.plue(&["runs"]).ends(0).shows(&["RUN", "STATUS"]);
    bench.plue(&["status"]).ends(4).reports(&["nothing has run here yet"]);
    bench.plue(&["run"]).ends(1);
    let json = bench.plue(&["runs", "--output", "json"]).ends(0).json();
    let run = &json["runs"][0];
    assert_eq!((run["workflow"].as_str(), run["status"].as_str()), (Some("Mixed"), Some("failed")));
    assert_eq!(run["branch"], "main");
    let id = run["id"].as_str().unwrap();
    for name in ["last", id, &id[..20]] {
        let status = bench.plue(&["status", name, "--output", "json"]).ends(0).json();
        let steps = status["steps"].as_array().unwrap().clone();
        let states: Vec<_> = steps.iter().map(|step| step["status"].as_str().unwrap()).collect();
        assert_eq!(states, ["success", "success", "failed", "skipped", "skipped"]);
        assert_eq!(steps[2]["reason"], "exit status 3");
        assert_eq!(steps[2]["attempts"], 1);
    }
    let table = bench.plue(&["status"]).ends(0);
    table.shows(&[
        "workflow Mixed (.plue.py)",
        "✗  bad",
        "exit status 3",
        "its condition is false",
    ]);
    bench.plue(&["status", "01zzz"]).ends(4).reports(&["there is no run `01zzz`"]);
    assert_eq!(
        bench.plue(&["runs", "--status", "success", "--output", "jsonl"]).ends(0).stdout,
        ""
    );
    assert_eq!(
        bench
            .plue(&["runs", "--workflow", "Mixed", "--output", "jsonl"])
            .ends(0)
            .stdout
            .lines()
            .count(),
        1
    );
}

#[test]
fn logs_of_steps_are_stored_byte_for_byte() {
    let source = r#"
def workflow():
    return Plan(name="Bytes", steps=[Step.bash("b", "printf 'a\\r\\n\\033[31mred\\377\\000 end'")])
"#;
    let bench = Bench::with(source);
    bench.plue(&["run"]).ends(0);
    for args in [["logs", "last", "b"].as_slice(), &["logs", "last", "b", "-f"]] {
        assert_eq!(bench.plue(args).ends(0).raw, b"a\r\n\x1b[31mred\xff\0 end");
    }
}

#[test]
fn logs_of_runs_prefix_lines_with_steps() {
    let bench = Bench::with(MIXED);
    bench.plue(&["run"]).ends(1);
    bench.plue(&["logs", "last"]).ends(0).shows(&["test  | one\ntest  | two\n", "bad   | oops\n"]);
    assert_eq!(bench.plue(&["logs", "last", "test", "--tail", "1"]).ends(0).stdout, "two\n");
    assert_eq!(bench.plue(&["logs", "last", "--search", "oo"]).ends(0).stdout, "bad:1: oops\n");
    let json = bench.plue(&["logs", "last", "test", "--output", "json"]).ends(0).json();
    assert_eq!(json["lines"][1]["text"], "two");
    assert_eq!(json["lines"][1]["line"], 2);
    bench.plue(&["logs", "last", "tst"]).ends(4).reports(&["did you mean `test`?"]);
    bench.plue(&["logs", "last", "test", "--attempt", "2"]).ends(4).reports(&["no attempt 2"]);
    bench.plue(&["logs", "last", "-f"]).ends(0).shows(&["test   | two", "bad    ✗ failed"]);
}

#[test]
fn row_1_16_explain_gives_the_reason_of_each_step() {
    let bench = Bench::with(MIXED);
    bench.plue(&["run"]).ends(1);
    let output = bench.plue(&["explain"]).ends(0);
    output.shows(&["✗ bad failed", "exit status 3", "last lines of its log:\n      oops"]);
    output.shows(&[
        "when steps.test.status == 'failed' was false",
        "steps.test.status = \"success\"",
    ]);
    output.shows(&[
        "because bad failed: exit status 3",
        "after test success",
        "what to do next",
        "plue retry ",
    ]);
    let json = bench.plue(&["explain", "last", "behind", "--output", "json"]).ends(0).json();
    assert_eq!(json["steps"].as_array().unwrap().len(), 1);
    assert_eq!(json["steps"][0]["blocked_by"][0]["step"], "bad");
}

#[test]
fn explain_lists_attempts_and_times_of_retries() {
    let source = r#"
def workflow():
    return Plan(name="Flaky", steps=[
        Step.bash("flaky", 'test "$PLUE_ATTEMPT" = 2', retry=Retry(max_attempts=3, delay="1s")),
    ])
"#;
    let bench = Bench::with(source);
    bench.plue(&["run"]).ends(0);
    let output = bench.plue(&["explain", "last", "flaky"]).ends(0);
    output.shows(&[
        "attempt 1 at",
        "exit status 1",
        "attempt 2 was set for",
        "attempt 2 at",
        "success",
    ]);
}

#[test]
fn verification_plans_again_and_names_differences() {
    let source = r#"
def workflow(ctx):
    return Plan(name="Read", steps=[Step.bash("a", "echo " + ctx.read("word.txt").strip())])
"#;
    let bench = Bench::with(source);
    bench.write("word.txt", "blue\n");
    bench.commit();
    bench.plue(&["run", "--goal", "see it again"]).ends(0);
    bench.plue(&["plan", "--verify", "last"]).ends(0).shows(&["equal: commit "]);
    // The commit is unchanged; a run of the changed work tree differs.
    bench.write("word.txt", "red\n");
    bench.plue(&["plan", "--verify", "last"]).ends(0);
    bench.plue(&["run"]).ends(0);
    bench.plue(&["plan", "--verify", "last"]).ends(0).shows(&["equal: the work tree"]);
    bench.write("word.txt", "green\n");
    let document = bench.plue(&["plan", "--verify", "last", "--output", "json"]).ends(3).json();
    assert_eq!(document["equal"], false);
    assert_eq!(document["differences"][0]["what"], "word.txt");
}

#[test]
fn a_run_that_succeeded_needs_no_advice() {
    let bench = Bench::with(SMALL);
    bench.plue(&["run"]).ends(0);
    let output = bench.plue(&["explain"]).ends(0);
    output.shows(&["✓ hello success"]);
    assert!(!output.stdout.contains("what to do next"));
}

#[test]
fn logs_of_running_steps_are_followed() {
    let source = r#"
def workflow():
    return Plan(name="Long", steps=[
        Step.bash("long", "echo first; until [ -e go ]; do read -rt 0.05 <> <(:) || true; done; echo last"),
    ])
"#;
    let bench = Bench::with(source);
    let mut run = bench.command(&["run"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let has_started = || {
        let output = bench.plue(&["logs", "last", "long"]);
        output.code == 0 && output.stdout == "first\n"
    };
    while !has_started() {
        assert!(run.try_wait().unwrap().is_none(), "the run ended early");
    }
    let running = bench.plue(&["status", "--output", "json"]).ends(0).json();
    assert_eq!(running["steps"][0]["status"], "running");
    bench.plue(&["explain"]).ends(0).shows(&["● long running", "plue cancel "]);
    let mut follow = bench.command(&["logs", "last", "long", "-f"]);
    let follow = follow.stdout(std::process::Stdio::piped()).spawn().unwrap();
    bench.write("go", "");
    let followed = crate::support::CliOutput::of(follow.wait_with_output().unwrap()).ends(0);
    assert_eq!(followed.stdout, "first\nlast\n");
    assert!(run.wait().unwrap().success());
}

#[test]
fn explain_shows_the_visits_of_a_loop() {
    let source = r#"
def workflow():
    return Plan(name="Loop", steps=[
        Step.bash("work", 'echo "working $PLUE_VISIT"'),
        Step.bash("check", 'test "$PLUE_VISIT" = 2', depends_on=["work"],
                  on_failure=Goto("work", max_visits=3)),
    ])
"#;
    let bench = Bench::with(source);
    bench.plue(&["run"]).ends(0);
    let output = bench.plue(&["explain"]).ends(0);
    output.shows(&["it went back to `work`", "visit 1, attempt 1", "visit 2, attempt 1"]);
    let json = bench.plue(&["status", "--output", "json"]).ends(0).json();
    assert_eq!(json["steps"][0]["visit"], 2);
    assert_eq!(bench.plue(&["logs", "last", "work"]).ends(0).stdout, "working 2\n");
    let first = bench.plue(&["logs", "last", "work", "--visit", "1"]).ends(0);
    assert_eq!(first.stdout, "working 1\n");
    bench.plue(&["logs", "last", "work", "--visit", "3"]).ends(4).reports(&["no visit 3"]);
}

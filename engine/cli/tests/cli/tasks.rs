//! Tasks, reports, branches, orchestrations, and records as files.

use crate::{
    scripted::Scripted,
    support::{Bench, CliOutput, snapshot},
};

#[test]
fn row_4_12_tasks_are_created_and_listed_with_status() {
    let bench = Bench::new();
    bench.plue(&["plan", "list"]).ends(0).reports(&["there is no workflow"]);
    bench.plue(&["plan", "create", "sample_task"]).ends(0).shows(&["sample-task.plue.py"]);
    bench.plue(&["plan", "create", "sample_task"]).ends(2).reports(&["is there already"]);
    bench.plue(&["plan", "list"]).ends(0).shows(&["TASK", "sample_task", "never ran"]);
    bench.plue(&["plan", "status", "sample_task"]).ends(0).shows(&["never ran"]);
    bench.plue(&["plan", "status", "smple"]).ends(4).reports(&["plue plan list"]);
    bench.plue(&["build", "run", "sample_task"]).ends(0).reports(&["run success"]);
    let json = bench.plue(&["plan", "status", "sample_task", "--output", "json"]).ends(0).json();
    assert_eq!(json["tasks"][0]["run"]["status"], "success");
    let run = json["tasks"][0]["run"]["id"].as_str().unwrap().to_owned();
    bench.plue(&["plan", "status", "sample_task"]).ends(0).shows(&[&run, "ATTEMPTS", "report"]);
    bench.plue(&["plan", "list"]).ends(0).shows(&["success", &run]);
    // With a server, runs of this machine are not listed.
    bench
        .plue(&["plan", "list", "--server", "http://127.0.0.1:9"])
        .ends(5)
        .reports(&["does not answer"]);
    // `plue plan` of a workflow is what it was.
    bench.plue(&["plan", "sample_task"]).ends(0).shows(&["4 steps, 3 levels"]);
    bench.plue(&["plan"]).ends(0).shows(&["4 steps, 3 levels"]);
}

#[test]
fn row_4_13_runs_of_tasks_become_documents() {
    let bench = Bench::with(
        r#"
def workflow():
    return Plan(name="Docs | and", goal="Say `it`", on_failure="continue", outputs={"n": ref("a", "n")}, steps=[
        Step.bash("a", "echo '{\"n\": 1, \"t\": \"``` x\"}' > $PLUE_OUTPUT"),
        Step.bash("b", "echo said; exit 3", depends_on=["a"], on_failure="continue"),
    ])
"#,
    );
    bench.plue(&["doc", "generate", "last"]).ends(4);
    bench.plue(&["build", "run", "Docs | and"]).ends(0);
    let stdout = bench.plue(&["doc", "generate", "Docs | and"]).ends(0).stdout;
    let status = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut golden = stdout.clone();
    for (value, word) in [
        (text(&status["run"]["id"]), "RUN"),
        (text(&status["run"]["plan"]), "PLAN"),
        (text(&status["run"]["sha"]), "SHA"),
        (text(&status["run"]["started_at"]), "START"),
        (text(&status["run"]["ended_at"]), "END"),
    ] {
        assert!(golden.contains(&value), "{value} is not in {golden}");
        golden = golden.replace(&value, word);
    }
    for step in status["steps"].as_array().unwrap() {
        golden = golden.replace(&format!("| {} ms |", step["duration_ms"]), "| TOOK |");
    }
    let expected = "# Docs \\| and: success\n\n- goal: Say `it`\n- run: RUN\n- plan: PLAN\n- commit: SHA\n\
        - branch: main\n- started: START\n- ended: END\n\n## Steps\n\n\
        | step | status | visit | attempts | took | why |\n|---|---|---|---|---|---|\n\
        | a | success | 1 | 1 | TOOK |  |\n| b | failed | 1 | 1 | TOOK | exit status 3 |\n\n\
        ## Output of a\n\n````json\n{\n  \"n\": 1,\n  \"t\": \"``` x\"\n}\n````\n\n\
        ## Output of b\n\n```text\nsaid\n```\n\n\
        ## Outputs of the run\n\n```json\n{\n  \"n\": 1\n}\n```\n";
    assert_eq!(golden, expected);
    bench.plue(&["doc", "generate", "last", "--file", "report.md"]).ends(0);
    assert_eq!(std::fs::read_to_string(bench.repo().join("report.md")).unwrap(), stdout);
}

#[test]
fn row_4_14_a_task_gets_a_branch() {
    let bench = Bench::with(crate::support::SMALL);
    let branches = || {
        let mut git = std::process::Command::new("git");
        git.args(["branch", "--format=%(refname:short)"]).current_dir(bench.repo());
        String::from_utf8(git.output().unwrap().stdout).unwrap()
    };
    let dry = bench.plue(&["git", "branch", "create", "Small", "--dry-run"]).ends(0);
    assert_eq!((dry.stdout.as_str(), branches().as_str()), ("plue/small\n", "main\n"));
    bench.plue(&["git", "branch", "create", "Small"]).ends(0).shows(&["plue/small"]);
    assert_eq!(branches(), "main\nplue/small\n");
    bench.plue(&["git", "branch", "create", "Small"]).ends(2).reports(&["already exists"]);
    bench.plue(&["git", "branch", "create", "--", "-D"]).ends(4);
}

#[test]
fn row_4_15_agents_and_orchestrations_run_for_goals() {
    let bench = Bench::with(crate::support::SMALL);
    bench.plue(&["agent", "list"]).ends(0).shows(&["planner", "builder", "reviewer", "doc"]);
    let listed = bench.plue(&["orchestration", "list"]).ends(0);
    assert_eq!(listed.stdout, bench.plue(&["list"]).ends(0).stdout);
    bench.plue(&["orchestration", "run", "Small", "--goal", "Implement login"]).ends(0);
    bench.plue(&["status"]).ends(0).shows(&["Implement login"]);
}

#[test]
fn row_4_03_hello_multi_agent_runs_any_goal() {
    let bench = Bench::new();
    let turn = |text: &str| serde_json::json!({"content": [{"type": "text", "text": text}]});
    let turns = ["1. a form", "The form is there", "It is as planned", "README has it"].map(turn);
    let model = Scripted::new(&serde_json::json!({"turns": turns}));
    let run = ["orchestration", "run", "hello_multi_agent", "--goal", "Implement login endpoint"];
    let mut command = bench.command(&run);
    let output = CliOutput::of(model.with_key(&mut command).output().unwrap()).ends(0);
    output.reports(&["plan", "build", "review", "doc", "4 succeeded"]);
    assert_eq!(model.state()["violations"], serde_json::json!([]));
    // Every agent knows the goal and what those before it put out.
    let printed = bench.plue(&["transcript", "last", "--full"]).ends(0);
    assert_eq!(printed.stdout.matches("Implement login endpoint").count(), 4, "{}", printed.stdout);
    let doc = bench.plue(&["transcript", "last", "doc", "--full"]).ends(0);
    doc.shows(&["1. a form", "The form is there", "It is as planned", "README has it"]);
    bench.plue(&["run", "hello_multi_agent"]).ends(2).reports(&["needs a goal", "--goal"]);
    bench.plue(&["list"]).ends(0).reports(&["hello_multi_agent"]);
}

#[test]
fn row_4_18_records_are_written_as_a_tree_of_files() {
    let bench = Bench::with(crate::support::SMALL);
    bench.write("other.plue.py", crate::support::SMALL.replace("Small", "Other One"));
    bench.plue(&["run", "Small"]).ends(0);
    bench.plue(&["run", "Small", "--goal", "more"]).ends(0);
    bench.plue(&["run", "Other One"]).ends(0);
    let records = bench.home().join("records");
    bench.plue(&["export", "all", records.to_str().unwrap(), "--layout", "files"]).ends(0);
    let listed = bench.plue(&["runs", "--output", "json"]).ends(0).json();
    let time = |at: usize| {
        let run = &listed["runs"][at];
        let created = run["created_at"].as_str().unwrap().replace(':', "-");
        format!("{created}-{}.json", run["id"].as_str().unwrap())
    };
    let mut expected = vec![
        format!("orchestrations/small/{}", time(1)),
        format!("runs/other-one/{}", time(0)),
        "runs/other-one/last.json".to_owned(),
        format!("runs/small/{}", time(2)),
        format!("runs/small/{}", time(1)),
        "runs/small/last.json".to_owned(),
        "tasks/other-one.json".to_owned(),
        "tasks/small.json".to_owned(),
    ];
    expected.sort();
    let found = snapshot(&records);
    let paths = found.iter().map(|(path, _)| path.strip_prefix(&records).unwrap());
    let paths: Vec<_> = paths.map(|path| path.to_str().unwrap().to_owned()).collect();
    assert_eq!(paths, expected);
    let read = |path: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(records.join(path)).unwrap()).unwrap()
    };
    assert_eq!(read("runs/small/last.json")["run"], listed["runs"][1]);
    assert_eq!(read("tasks/small.json")["last"], listed["runs"][1]);
    let status = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
    assert_eq!(read("runs/other-one/last.json"), status);
    assert!(!bench.repo().join("runs").exists());
}

//! `plue replay`: recorded answers instead of a model, and the first difference from the recording.

use serde_json::{Value as Json, json};

use crate::{
    scripted::Scripted,
    support::{Bench, CliOutput},
};

/// A Claude step between two others; the agent changes a file that the last step reads.
const WORKFLOW: &str = "def workflow():
    return Plan(name='Fix', steps=[
        Step.bash('first', 'echo one'),
        Step.llm('fix', prompt='Fix it.', tools=['bash', 'read', 'write'], depends_on=['first']),
        Step.bash('last', 'grep -q good code.txt', depends_on=['fix']),
    ])
";

fn calls(name: &str, input: Json, id: &str) -> Json {
    json!({ "text": "Next.", "tool_calls": [{ "name": name, "input": input, "id": id }] })
}

/// Reads the file, overwrites it, looks at it.
fn script() -> Json {
    json!([
        calls("read", json!({ "path": "code.txt" }), "toolu_A"),
        calls("write", json!({ "path": "code.txt", "content": "good\n" }), "toolu_B"),
        calls("bash", json!({ "command": "cat code.txt extra.txt" }), "toolu_C"),
        { "text": "Fixed." },
    ])
}

/// A recorded run of the workflow, whose Claude is gone.
fn recorded() -> (Bench, String) {
    let bench = Bench::with(WORKFLOW);
    bench.write("code.txt", "bad\n");
    bench.write("extra.txt", "same\n");
    bench.commit();
    let claude = Scripted::new(&script());
    claude.plue(&bench, &["run"]).ends(0);
    assert_eq!(claude.state()["requests"], 4);
    drop(claude);
    let document = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
    (bench, document["run"]["id"].as_str().unwrap().to_owned())
}

fn code(bench: &Bench) -> String {
    std::fs::read_to_string(bench.repo().join("code.txt")).unwrap()
}

#[test]
fn replays_need_neither_model_nor_key() {
    let (bench, run) = recorded();
    assert_eq!(code(&bench), "good\n");
    let replay = bench.plue(&["replay", &run, "--output", "json"]).ends(0);
    replay.reports(&["no model is called", "1 files", "what was overwritten is in"]);
    let document = replay.json();
    assert_eq!(
        (&document["equal"], &document["answers"], &document["of"]),
        (&json!(true), &json!(4), &json!(run))
    );
    assert_eq!(code(&bench), "good\n");
    let again = document["run"].as_str().unwrap();
    let document = bench.plue(&["status", again, "--output", "json"]).ends(0).json();
    assert_eq!(document["run"]["status"], "success", "{document}");
    assert!(document.get("usage").is_none(), "a replay costs nothing: {document}");
    bench.plue(&["transcript", again, "fix"]).ends(0).shows(&[
        "▸ write",
        "Fixed.",
        "$0.0000 so far",
    ]);
    bench.plue(&["logs", again, "fix"]).ends(0).shows(&["▸ bash", "Fixed."]);
    bench.plue(&["replay", &run, "--pinned"]).ends(0).shows(&["as recorded: 4 answers of run "]);
    bench.plue(&["replay", again]).ends(0).shows(&["as recorded: 4 answers"]);
}

#[test]
fn changed_results_end_the_replay() {
    let (bench, run) = recorded();
    bench.write("extra.txt", "other\n");
    let replay = bench.plue(&["replay", &run]).ends(1);
    replay.shows(&[
        "PLUE-L0016: step `fix`, turn 4: the result of `bash` (toolu_C) differs",
        "  recorded: \"good\\nsame",
        "  now:      \"good\\nother",
    ]);
    let document = bench.plue(&["replay", &run, "--output", "jsonl"]).ends(1).json();
    assert_eq!((&document["equal"], &document["answers"]), (&json!(false), &json!(3)));
    assert_eq!(
        (&document["divergence"]["step"], &document["divergence"]["turn"]),
        (&json!("fix"), &json!(4))
    );
    let replay = document["run"].as_str().unwrap();
    bench.plue(&["explain", replay, "fix"]).shows(&["PLUE-L0016"]);
    let status = bench.plue(&["status", replay, "--output", "json"]).ends(0).json();
    assert_eq!(status["steps"][2]["status"], "skipped", "nothing goes on behind it: {status}");
}

#[test]
fn divergences_stop_the_whole_replay() {
    let source = "def workflow():
    return Plan(name='Ask', on_failure='continue', steps=[
        Step.llm('ask', prompt='Look.'),
        Step.bash('other', 'if test -e slow; then sleep 900; fi'),
    ])
";
    let bench = Bench::with(source);
    let claude = Scripted::new(&json!([{ "text": "Fine." }]));
    claude.plue(&bench, &["run"]).ends(0);
    bench.write("slow", "");
    bench.write(".plue.py", source.replace("Look.", "Look up."));
    bench.plue(&["replay", "last"]).ends(1).shows(&["step `ask`, turn 1: the prompt differs"]);
    let document = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
    assert_eq!(document["run"]["status"], "cancelled", "{document}");
    assert_eq!(document["steps"][1]["status"], "cancelled", "{document}");
}

#[test]
fn changed_prompts_end_replays_unless_pinned() {
    let (bench, run) = recorded();
    bench.write(".plue.py", WORKFLOW.replace("Fix it.", "Fix it well."));
    let replay = bench.plue(&["replay", &run]).ends(1);
    replay.shows(&["step `fix`, turn 1: the prompt differs", "\"Fix it.\"", "\"Fix it well.\""]);
    bench.plue(&["replay", &run, "--pinned"]).ends(0);
    bench.write(".plue.py", WORKFLOW.replace("'write'", "'write', 'grep'"));
    bench.plue(&["replay", &run]).ends(1).shows(&["turn 1: the list of tools differs", "grep"]);
    bench.write(".plue.py", WORKFLOW.replace("grep -q good", "grep -q bad"));
    let replay = bench.plue(&["replay", &run]).ends(1);
    replay.shows(&["step `last`: the end of the step differs", "\"success\"", "\"failed\""]);
}

#[test]
fn replays_keep_files_that_were_changed_since() {
    let (bench, run) = recorded();
    bench.write("code.txt", "mine\n");
    let refused = bench.plue(&["replay", &run]).ends(4);
    refused.reports(&["PLUE-C0011", "code.txt"]);
    assert_eq!(code(&bench), "mine\n");
    let kept = bench.plue(&["replay", &run, "--keep-files"]).ends(1);
    kept.shows(&["turn 2: the result of `read` (toolu_A) differs", "mine"]);
    bench.plue(&["replay", &run, "--force"]).ends(0);
}

#[test]
fn replays_stay_replays() {
    let (bench, run) = recorded();
    bench.write("extra.txt", "other\n");
    bench.plue(&["replay", &run]).ends(1);
    let claude = Scripted::new(&json!([{ "text": "Never asked." }]));
    let mut retry = bench.command(&["retry", "last"]);
    CliOutput::of(claude.with_key(&mut retry).output().unwrap()).ends(1);
    bench.plue(&["explain", "last", "fix"]).shows(&["PLUE-L0016"]);
    assert_eq!(claude.state()["requests"], 0, "a replay never becomes a run that costs money");
    bench
        .plue(&["replay", &run, "--server", "http://127.0.0.1:1"])
        .ends(2)
        .reports(&["this machine's"]);
    bench.plue(&["replay", "nothing"]).ends(4);
}

#[test]
fn children_are_replayed_from_their_own_recordings() {
    let bench = Bench::new();
    bench.write(
        "child.plue.py",
        "def workflow():
    return Plan(name='Child', steps=[Step.llm('ask', prompt='Look.')])
",
    );
    bench.write(
        "parent.plue.py",
        "def workflow():
    one = Step.workflow('one', 'Child')
    return Plan(name='Parent', steps=[one, Step.workflow('two', 'Child', depends_on=[one])])
",
    );
    bench.commit();
    let claude = Scripted::new(&json!([{ "text": "1" }, { "text": "2" }]));
    claude.plue(&bench, &["run", "Parent"]).ends(0);
    drop(claude);
    let document = bench.plue(&["replay", "last", "--output", "json"]).ends(0).json();
    assert_eq!((&document["equal"], &document["answers"]), (&json!(true), &json!(2)));
    bench.write(
        "child.plue.py",
        "def workflow():
    return Plan(name='Child', steps=[Step.llm('ask', prompt='Look up.')])
",
    );
    let replay = bench.plue(&["replay", "last"]).ends(1);
    replay.shows(&["PLUE-L0016: step `one/ask`, turn 1: the prompt differs"]);
}

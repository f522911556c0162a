//! Rows of sources 002 and 003 that only the whole of plue can keep: the real programs, from a file in
//! YAML to what a later command finds.

use plue_plan::RunId;
use plue_store::{RunFilter, Store, StoreOptions};
use serde_json::{Value as Json, json};

use crate::support::{Bench, snapshot};

/// The journal of the newest run, as it is stored.
async fn journal(bench: &Bench) -> (RunId, Vec<Json>) {
    let path = bench.state().join("plue.db");
    let store = Store::open(StoreOptions::sqlite(&path).read_only()).await.unwrap();
    let newest = store.runs().list(&RunFilter::default()).await.unwrap().remove(0).id;
    let stored = store.runs().load(&newest).await.unwrap().unwrap();
    let facts = stored.journal.iter().map(|(_, fact)| serde_json::to_value(fact).unwrap());
    (newest, facts.collect())
}

/// A journal without what is another one each time: ids, times, who worked.
fn way(run: &RunId, facts: Vec<Json>) -> Vec<String> {
    let cleaned = facts.into_iter().filter(|fact| fact["fact"] != "attempt_assigned");
    cleaned
        .map(|mut fact| {
            for key in ["began", "runner", "at"] {
                fact.as_object_mut().unwrap().remove(key);
            }
            fact.to_string().replace(run.as_str(), "RUN")
        })
        .collect()
}

/// One thing of each objective. Each of the three `side` tasks waits for the other two, so that they end
/// only if they run at the same time.
const OBJECTIVES: &str = r#"
version: "1.0"
name: Objectives
tasks:
  - id: plan
    agent: shell
    parameters: {run: 'echo "sides=3" >> "$PLUE_OUTPUT"'}
  - &side
    id: one
    agent: shell
    dependencies: [plan]
    timeout: 60
    parameters: {run: 'touch "at.$PLUE_STEP_ID"; until test -e at.one -a -e at.two -a -e at.three; do sleep 0.01; done'}
  - {<<: *side, id: two}
  - {<<: *side, id: three}
  - id: only-if-two
    agent: shell
    dependencies: [one, two, three]
    condition: int(plan.output.sides) == 2
    parameters: {run: "touch never"}
  - id: recovers
    agent: shell
    dependencies: [one, two, three]
    retry: {max_attempts: 2, delay: 0}
    parameters: {run: 'test "$PLUE_ATTEMPT" = 2'}
  - id: gives-up
    agent: shell
    dependencies: [recovers]
    on_failure: skip
    parameters: {run: "exit 3"}
  - id: last
    agent: shell
    dependencies: [gives-up, only-if-two]
    parameters: {run: "echo done"}
"#;

#[test]
fn row_2_02_the_six_objectives_are_met_by_one_flow() {
    let bench = Bench::new();
    // A declarative format, and an engine for it; parallel and conditional; errors and recovery.
    bench.write("objectives.plue.yaml", OBJECTIVES);
    bench.plue(&["validate"]).ends(0);
    bench.plue(&["run", "--max-parallel", "3"]).ends(0);
    let status = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
    let steps = status["steps"].as_array().unwrap();
    let ends: Vec<_> = steps.iter().map(|step| (&step["step"], &step["status"])).collect();
    assert_eq!(
        json!(ends),
        json!([
            ["plan", "success"],
            ["one", "success"],
            ["two", "success"],
            ["three", "success"],
            ["only-if-two", "skipped"],
            ["recovers", "success"],
            ["gives-up", "skipped"],
            ["last", "success"],
        ])
    );
    assert!(!bench.repo().join("never").exists());
    // Watched and drawn.
    bench.plue(&["explain", "last", "recovers"]).ends(0).shows(&["attempt 1", "attempt 2"]);
    bench
        .plue(&["explain", "last", "only-if-two"])
        .ends(0)
        .shows(&["int(steps.plan.output.sides)"]);
    let drawn = bench.plue(&["plan", "--output", "mermaid"]).ends(0).stdout;
    assert!(drawn.contains("flowchart") && drawn.contains("gives-up"), "{drawn}");
    // And templates to begin with.
    let made = bench.plue(&["template", "new", "full-stack-feature"]).ends(0).stdout;
    bench.plue(&["validate", made.trim()]).ends(0);
}

#[tokio::test]
async fn row_2_04_all_state_changes_of_tasks_are_recorded() {
    let bench = Bench::new();
    bench.write(
        "states.plue.yaml",
        "name: States\ntasks:\n\
         \x20 - {id: a, run: 'test $PLUE_ATTEMPT = 2', retry: {max_attempts: 2, delay: 0}}\n\
         \x20 - {id: b, run: 'false', on_failure: skip, dependencies: [a]}\n\
         \x20 - {id: c, run: 'false', dependencies: [b]}\n\
         \x20 - {id: d, run: 'true', dependencies: [c]}\n",
    );
    bench.plue(&["run"]).ends(1);
    let (_, facts) = journal(&bench).await;
    let names = facts.iter().filter(|fact| fact["fact"] != "attempt_assigned").map(|fact| {
        let text = |key: &str| fact[key].as_str().unwrap_or_default().to_owned();
        let end = fact["outcome"]["outcome"].as_str().unwrap_or_default();
        let words = [text("step"), text("fact"), text("status"), end.to_owned()];
        words.iter().filter(|word| !word.is_empty()).cloned().collect::<Vec<_>>().join(" ")
    });
    let names: Vec<String> = names.collect();
    assert_eq!(
        names,
        [
            "run_created",
            "run_started",
            "a attempt_queued",
            "a attempt_started",
            "a attempt_ended exit",
            "a retry_scheduled",
            "a attempt_queued",
            "a attempt_started",
            "a attempt_ended success",
            "a step_ended success",
            "b attempt_queued",
            "b attempt_started",
            "b attempt_ended exit",
            "b step_ended skipped",
            "c attempt_queued",
            "c attempt_started",
            "c attempt_ended exit",
            "c step_ended failed",
            "d step_ended skipped",
            "run_ended failed",
        ]
    );
}

#[test]
fn row_2_06_outputs_of_agents_keep_their_types() {
    let bench = Bench::new();
    bench.write(
        "context.plue.yaml",
        r#"
name: Context
context:
  variables: {team: "a $(touch pwned) b", limit: 3}
tasks:
  - id: research
    agent: shell
    parameters:
      run: |
        echo x >> ran.research
        echo '{"files": ["a b", "c"], "deep": {"n": 2}, "ok": true, "text": "1.10"}' > "$PLUE_OUTPUT"
  - id: code
    agent: shell
    dependencies: [research]
    parameters:
      run: 'printf "%s|" "$FILES" "$NEXT" "$OK" "$TEXT" "$TEAM" "$LINE"; test -e goes'
      FILES: ${research.output.files}
      NEXT: ${research.output.deep.n + limit}
      OK: ${research.output.ok}
      TEXT: ${research.output.text}
      TEAM: ${team}
      LINE: "${fn:uppercase(research.output.files[0])} of ${team}"
"#,
    );
    bench.plue(&["run"]).ends(1);
    let expected = "[\"a b\",\"c\"]|5|true|1.10|a $(touch pwned) b|A B of a $(touch pwned) b|";
    assert_eq!(bench.plue(&["logs", "last", "code"]).ends(0).stdout, expected);
    // The first process is gone; what the first agent handed on is not.
    bench.write("goes", "");
    bench.plue(&["retry", "last"]).ends(0);
    assert_eq!(bench.plue(&["logs", "last", "code"]).ends(0).stdout, expected);
    let ran = std::fs::read_to_string(bench.repo().join("ran.research")).unwrap();
    assert_eq!(ran, "x\n", "research was not asked again");
    let status = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
    assert_eq!(status["steps"][0]["output"]["deep"], json!({"n": 2}));
    assert!(!bench.repo().join("pwned").exists());
}

#[test]
fn row_2_10_workflows_of_agents_have_the_usual_commands() {
    let bench = Bench::new();
    let text = "name: Agents\ntasks:\n  - {id: a, agent: shell, parameters: {run: echo hi}}\n  - {id: b, agent: planner, dependencies: [a], condition: 'false'}\n";
    bench.write(".claude/workflows/agents.yaml", text);
    let help = bench.plue(&["--help"]).ends(0).stdout;
    for (command, args) in [
        ("list", vec![]),
        ("validate", vec!["agents"]),
        ("plan", vec!["agents"]),
        ("run", vec!["agents"]),
        ("status", vec!["last"]),
        ("logs", vec!["last", "a"]),
        ("explain", vec!["last"]),
        ("runs", vec![]),
        ("rerun", vec!["last"]),
        ("template", vec!["list"]),
        ("agent", vec!["list"]),
    ] {
        let row = format!("\n  {command} ");
        assert!(help.contains(&row), "{command} is not in {help}");
        let output = bench.plue(&[&[command], args.as_slice()].concat()).ends(0);
        let expected = match command {
            "validate" | "run" | "rerun" => {
                assert_eq!(output.stdout, "");
                continue;
            }
            "template" => "bug-fix",
            "agent" => "planner",
            "logs" => "hi",
            "explain" => "✓ a success",
            _ => "Agents",
        };
        output.shows(&[expected]);
    }
    assert_eq!(bench.plue(&["runs", "--output", "jsonl"]).ends(0).stdout.lines().count(), 2);
}

#[test]
fn row_2_28_workflows_and_state_use_the_folders_of_claude() {
    let bench = Bench::new();
    let text = "name: Recorded\ntasks:\n  - {id: a, run: echo 1 >> log}\n  - {id: b, run: 'echo 2 >> log; test -e goes', dependencies: [a]}\n";
    bench.write(".claude/workflows/kept.yaml", text);
    let plue =
        |args: &[&str]| bench.plue(&[args, &["--state-dir", ".claude/workflow-state"]].concat());
    plue(&["run"]).ends(1);
    assert!(bench.repo().join(".claude/workflow-state/plue.db").is_file());
    assert_eq!(snapshot(&bench.home()), [], "nothing is anywhere else");
    plue(&["status"]).ends(0).shows(&["Recorded"]);
    bench.plue(&["status"]).ends(4);
    // Going back to the files of before leaves the state alone, which lies in the workspace.
    bench.write("goes", "");
    plue(&["retry", "last"]).ends(0);
    assert_eq!(std::fs::read_to_string(bench.repo().join("log")).unwrap(), "1\n2\n");
    assert_eq!(plue(&["runs", "--output", "jsonl"]).ends(0).stdout.lines().count(), 1);
    // Files written there are no workflows, like other state.
    plue(&["list", "--output", "json"]).ends(0).shows(&["kept.yaml"]);
}

/// The reviewer is content in the visit that is asked for.
const LOOP: &str = r#"
name: Loop
settings: {max_parallel: 1}
inputs: {content_at: {type: integer, required: true}}
tasks:
  - {id: specs, run: 'echo "pages=3" >> "$PLUE_OUTPUT"'}
  - {id: code, run: 'echo "visit=$PLUE_VISIT" >> "$PLUE_OUTPUT"', dependencies: [specs]}
  - id: review
    run: 'test "$PLUE_VISIT" -ge "$AT"'
    env: {AT: "${content_at}"}
    dependencies: [code]
    on_failure: {goto: code, max_visits: 3}
  - {id: tell, run: echo "$V", env: {V: "${code.output.visit}"}, dependencies: [review]}
"#;

#[tokio::test]
async fn row_3_02_equal_inputs_take_equal_paths_everywhere() {
    let mut ways = Vec::new();
    for content_at in ["2", "2", "3", "9"] {
        let bench = Bench::new();
        bench.write("loop.plue.yaml", LOOP);
        let input = format!("content_at={content_at}");
        let code = i32::from(content_at == "9");
        bench.plue(&["run", "--input", &input]).ends(code);
        let (run, facts) = journal(&bench).await;
        ways.push(way(&run, facts));
    }
    assert_eq!(ways[0], ways[1]);
    let loops = |way: &[String]| way.iter().filter(|fact| fact.contains("looped_back")).count();
    let counted: Vec<_> = ways.iter().map(|way| loops(way)).collect();
    assert_eq!(counted, [1, 1, 2, 2], "another input, another way");
    // A failure is explicit: which step, and that it was the bound of the loop.
    assert!(ways[3].iter().any(|fact| fact.contains("loop_exhausted")), "{:#?}", ways[3]);
}

/// Prints how many sockets of the runner accept data from others, of how many.
const SOCKETS: &str = r#"
of=0
for inode in $(ls -l /proc/$PPID/fd | sed -n 's/.*socket:\[\([0-9]*\)\].*/\1/p'); do
  of=$((of + 1))
  awk -v i="$inode" '$7 == i && $4 == "00010000"' /proc/net/unix
  awk -v i="$inode" '$10 == i && $4 == "0A"' /proc/net/tcp /proc/net/tcp6
done
echo "sockets $of"
"#;

#[test]
fn row_3_03_workers_know_only_inputs_of_the_hub() {
    let bench = Bench::new();
    let parts = json!({"name": "Hub", "tasks": [
        {"id": "speaker", "run": "echo word=sesame >> $PLUE_OUTPUT; env", "env": {"ONLY_MINE": "sesame"}},
        {"id": "told", "run": "env", "env": {"WORD": "${speaker.output.word}"}, "dependencies": ["speaker"]},
        {"id": "bare", "run": "env", "dependencies": ["speaker"]},
        {"id": "sockets", "run": SOCKETS},
    ]});
    bench.write("hub.plue.json", parts.to_string());
    bench.plue(&["run"]).ends(0);
    let log = |step: &str| bench.plue(&["logs", "last", step]).ends(0).stdout;
    // One socket at least: that to the engine, which the runner itself has opened.
    let sockets = log("sockets");
    let (listening, count) = sockets.trim().rsplit_once("sockets ").unwrap();
    assert_eq!(listening, "", "somebody could call the runner");
    assert!(count.parse::<u32>().unwrap() >= 1, "{sockets}");
    assert!(log("told").contains("WORD=sesame\n"));
    assert!(!log("bare").contains("sesame"));
    // The environment of a worker names neither the engine nor other workers.
    let allowed = ["PLUE_RUN_ID", "PLUE_STEP_ID", "PLUE_ATTEMPT", "PLUE_VISIT", "PLUE_OUTPUT"]
        .into_iter()
        .chain(["PLUE_IDEMPOTENCY_KEY", "PLUE_WORKSPACE", "PLUE_EVENT_PATH", "PLUE_SHA"])
        .chain(["PLUE_REF", "PLUE_BRANCH", "PLUE", "CI", "PATH", "HOME", "USER", "LOGNAME"])
        .chain(["SHELL", "LANG", "TZ", "TMPDIR", "PWD", "OLDPWD", "SHLVL", "_"]);
    let allowed: Vec<&str> = allowed.collect();
    for line in log("bare").lines() {
        let name = line.split('=').next().unwrap();
        assert!(allowed.contains(&name) || name.starts_with("LC_"), "{line}");
    }
    // A worker reads only the outputs of its dependencies.
    let mut early = parts.clone();
    early["tasks"][3]["env"] = json!({"WORD": "${speaker.output.word}"});
    bench.write("hub.plue.json", early.to_string());
    bench.plue(&["validate"]).ends(3).reports(&["PLUE-P0030", "reads `speaker`"]);
}

/// Names of branches, titles and names of files are untrusted.
#[test]
fn row_2_21_untrusted_names_reach_steps_as_data() {
    let bench = Bench::new();
    let evil = |n: u32| format!("$(touch pwned{n})`touch pwned{n}`;touch pwned{n} #'\"");
    bench.write(&format!("files/{}", "`touch pwned1`;touch pwned1;$(touch pwned1).txt"), "x");
    bench.write(
        "named.plue.yaml",
        r#"
name: Named
tasks:
  - id: a
    run: 'printf "%s|" "$BRANCH" "$TITLE" "$PLUE_BRANCH" "$BOTH"'
    env:
      BRANCH: ${event.branch}
      TITLE: ${event.pull_request.title}
      BOTH: "of ${event.branch}: ${event.pull_request.title}"
"#,
    );
    bench.write(
        "files.plue.py",
        r#"
def workflow(ctx):
    files = ctx.glob("files/*")
    return Plan(name="Files", steps=[
        *[Step.bash(f"s{at}", 'printf %s "$FILE"; test -f "$FILE"', env={"FILE": file}) for at, file in enumerate(files)],
    ])
"#,
    );
    bench.commit();
    let side = json!({"ref": "main", "sha": "a"});
    let head = json!({"ref": evil(2), "sha": "b", "repository": "o/r"});
    let event = json!({"type": "pull_request", "branch": evil(2), "repository": "o/r",
        "pull_request": {"number": 1, "title": evil(3), "base": side, "head": head}});
    bench.write("event.json", event.to_string());
    bench.plue(&["run", "named", "--event", "event.json"]).ends(0);
    let (branch, title) = (evil(2), evil(3));
    let expected = format!("{branch}|{title}|{branch}|of {branch}: {title}|");
    assert_eq!(bench.plue(&["logs", "last", "a"]).ends(0).stdout, expected);
    bench.plue(&["run", "files"]).ends(0);
    bench.plue(&["logs", "last", "s0"]).ends(0).shows(&["`touch pwned1`"]);
    let made: Vec<_> = snapshot(&bench.repo())
        .into_iter()
        .filter(|(path, _)| path.file_name().unwrap().to_string_lossy().starts_with("pwned"))
        .collect();
    assert_eq!(made, []);
}

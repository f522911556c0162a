//! Plans that ask for images, principals and the audit trail, sources of secrets, problems of
//! plans, names of steps, and lists of runs.

use serde_json::Value as Json;

use crate::{
    serve::Served,
    support::{Bench, SMALL},
};

const WITH_IMAGE: &str = r#"
def workflow():
    return Plan(name="Boxed", image="node:24", triggers=[Trigger.on_push(branch="main")], steps=[
        Step.bash("a", "true"),
        Step.bash("b", "true", image="python:3.14-slim"),
    ])
"#;

#[test]
fn container_images_are_refused_everywhere() {
    let bench = Bench::with(WITH_IMAGE);
    for command in ["plan", "validate", "run"] {
        let output = bench.plue(&[command, ".plue.py"]).ends(3);
        output.reports(&[
            "PLUE-P0080",
            "`node:24`",
            "step `b`",
            "`python:3.14-slim`",
            "docker run",
        ]);
    }
    bench.plue(&["runs", "--output", "json"]).ends(0).shows(&["\"runs\": []"]);
    bench.write("y.plue.yaml", "name: y\nimage: node:24\ntasks: [{id: a, run: \"true\"}]\n");
    bench.plue(&["run", "y.plue.yaml"]).ends(3).reports(&["PLUE-P0080", "y.plue.yaml:2:8"]);
}

#[test]
fn a_server_shows_that_it_refuses_images() {
    let served = Served::start();
    served.bench.write(".plue.py", WITH_IMAGE);
    served.push();
    let events = || {
        served
            .bench
            .plue(&["event", "list", "--repo", "acme/app", "--output", "json"])
            .ends(0)
            .stdout
    };
    while !events().contains("starts no containers") {}
    assert_eq!(served.get("/api/v1/runs")["items"], Json::Array(Vec::new()));
}

#[test]
fn approvers_are_users_of_the_machine_not_variables() {
    let source = r#"
def workflow():
    return Plan(name="Ask", steps=[Step.approval("ask", message="?", approvers=["ada"])])
"#;
    let bench = Bench::with(source);
    bench.plue(&["run", "--no-wait"]).ends(6);
    // `USER` is `ada` on this bench.
    bench.plue(&["approve", "last", "ask"]).ends(4).reports(&["you may not answer", "$USER"]);
    let name = std::process::Command::new("id").arg("-un").output().unwrap().stdout;
    let name = String::from_utf8(name).unwrap();
    let own = source.replace("ada", name.trim());
    bench.write(".plue.py", own);
    bench.plue(&["run", "--no-wait"]).ends(6);
    bench.plue(&["approve", "last", "ask"]).ends(0);
}

/// The actions of the audit trail, in order.
fn actions(bench: &Bench) -> Vec<String> {
    let trail = bench.plue(&["audit", "--output", "json"]).ends(0).json();
    let rows = trail["audit"].as_array().unwrap();
    let text = |row: &Json, key: &str| row[key].as_str().unwrap().to_owned();
    assert!(rows.iter().all(|row| text(row, "principal").starts_with("local:")), "{rows:?}");
    rows.iter().map(|row| text(row, "action")).collect()
}

#[test]
fn local_commands_leave_audit_rows() {
    let bench = Bench::with(
        "def workflow():\n    return Plan(name='A', steps=[Step.approval('ask', message='?'), \
         Step.bash('no', 'false', depends_on=['ask'])])\n",
    );
    let bare = bench.home().join("app.git");
    let bare = bare.to_str().unwrap();
    bench.git(&["init", "-q", "--bare", "-b", "main", bare]);
    bench.plue(&["migrate"]).ends(0);
    bench.plue(&["repo", "add", "acme/app", bare]).ends(0);
    bench.plue(&["repo", "webhook", "acme/app"]).ends(0);
    let made = bench.plue(&["token", "create", "--name", "t", "--role", "reader"]).ends(0);
    let id = made.stderr.split(' ').nth(1).unwrap().to_owned();
    bench.plue(&["token", "rm", &id]).ends(0);
    bench.plue_reading(&["secret", "set", "KEY"], "hunter22hunter").ends(0);
    bench.plue(&["secret", "rotate"]).ends(0);
    bench.plue(&["secret", "rm", "KEY"]).ends(0);
    let hook = ["webhook", "add", "https://hook.example/x", "--event", "run.ended"];
    bench.plue(&hook).ends(0);
    bench.plue(&["event", "emit", "built"]).ends(0);
    bench.plue(&["event", "send", "built", "--repo", "acme/app"]).ends(0);
    bench.plue(&["run", ".plue.py", "--no-wait"]).ends(6);
    bench.plue(&["approve", "last", "ask"]).ends(0);
    bench.plue(&["resume", "last"]).ends(1);
    bench.plue(&["retry", "last"]).ends(1);
    bench.write("small.plue.py", SMALL);
    bench.plue(&["run", "small.plue.py"]).ends(0);
    bench.plue(&["rerun", "last"]).ends(0);
    bench.plue(&["repo", "rm", "acme/app"]).ends(0);
    assert_eq!(
        actions(&bench),
        [
            "database.migrate",
            "repo.add",
            "repo.webhook",
            "token.create",
            "token.remove",
            "secret.set",
            "secret.rotate",
            "secret.remove",
            "webhook.add",
            "event.emit",
            "event.send",
            "run.create",
            "run.decide",
            "run.retry",
            "run.create",
            "run.rerun",
            "repo.remove",
        ]
    );
    let last = bench.plue(&["audit", "-n", "1", "--output", "jsonl"]).ends(0);
    assert_eq!(last.json()["action"], "repo.remove");
    let first = bench.plue(&["audit", "--after", "1", "-n", "1", "--output", "jsonl"]).ends(0);
    assert_eq!(first.json()["action"], "repo.add");
    bench.plue(&["audit"]).ends(0).shows(&["secret.rotate", "acme/app"]);
}

#[test]
fn declared_secret_sources_serve_local_runs() {
    let bench = Bench::new();
    let source = "name: s\ncontext:\n  secrets: {TOKEN: \"env:MY_TOKEN\", KEY: \"file:key.txt\"}\n\
                  tasks:\n  - {id: a, run: 'echo \"${#TOKEN} ${#KEY} $TOKEN\"', secrets: [TOKEN, KEY]}\n";
    bench.write("s.plue.yaml", source);
    bench.commit();
    let missing = bench.plue(&["run", "s.plue.yaml"]).ends(4);
    missing.reports(&["PLUE-C0009", "`env:MY_TOKEN` is not there", "`file:key.txt` is not there"]);
    bench.write("key.txt", "12345678\n");
    let mut command = bench.command(&["run", "s.plue.yaml"]);
    let ran =
        crate::support::CliOutput::of(command.env("MY_TOKEN", "hunter22hunter").output().unwrap());
    ran.ends(0);
    let log = bench.plue(&["logs", "last", "a"]).ends(0);
    assert_eq!(log.stdout, "14 8 ***\n");
    // A stored secret takes precedence over the declared source.
    bench.plue_reading(&["secret", "set", "TOKEN"], "stored-and-longer-value").ends(0);
    bench.plue(&["run", "s.plue.yaml"]).ends(0);
    bench.plue(&["logs", "last", "a"]).ends(0).shows(&["23 8 ***"]);
}

/// Problems of the language, of the plan, of an expression and of a prompt.
const EVERY_KIND: &str = r#"
import os

def workflow():
    print(undefined_thing)
    return Plan(name="All", runner="big pool", steps=[
        Step.bash("a", "true", depends_on="b"),
        Step.bash("b", "true", needs=["nowhere"], when="1 +"),
        Step.bash("c", 5, timeout="soon", env={"X": os.environ["HOME"]}),
        Step.llm("d", prompt=Prompt("broken", files=[]), retries=3),
        Step.bash("e", "echo", when="steps.zz.status == 'success'"),
    ])
"#;

const EVERY_KIND_YAML: &str = "name: all\nrunner: big pool\ntasks:\n  - {id: a, run: 5}\n  \
    - {id: b, run: \"true\", condition: \"1 +\", needs: [a]}\n  \
    - {id: d, prompt: broken, uses: llm, nothing: 1}\n";

const BROKEN_PROMPT: &str = "---\nname: broken\n---\n{{#if files}}\n";

#[test]
fn row_1_08_every_kind_of_problem_is_shown_at_once() {
    let bench = Bench::new();
    bench.write(".plue.py", EVERY_KIND);
    bench.write(".plue/prompts/broken.md", BROKEN_PROMPT);
    bench.write("other.plue.py", "def workflow():\n    return Plan('x', step=[])\n");
    bench.write(
        "third.plue.yaml",
        "name: t\nx: 1\ntasks:\n  - {id: a, run: 'true', condition: '1 +'}\n  \
         - {id: l, uses: llm, prompt: {name: broken}}\n",
    );
    bench.commit();
    let of_first = [
        "PLUE-E0017", // import os
        "PLUE-E0020", // undefined_thing
        "PLUE-E0034", // depends_on="b"
        "PLUE-E0030", // needs=, retries=
        "`needs`",
        "`retries`",
        "PLUE-E0033", // 5 as a command
        "PLUE-P0057", // the pool
        "PLUE-P0029", // 1 +
        "PLUE-P0024", // soon
        "PLUE-P0012", // nowhere
        "PLUE-P0031", // zz
        "PLUE-T0008", // the prompt
    ];
    for command in ["validate", "plan", "run"] {
        bench.plue(&[command, ".plue.py"]).ends(3).reports(&of_first);
    }
    let all = bench.plue(&["validate"]).ends(3);
    all.reports(&of_first);
    all.reports(&["other.plue.py:2:12", "`step`", "third.plue.yaml:2:1", "PLUE-S0018"]);
    let found = bench.plue(&["validate", "--output", "json"]).ends(3).json();
    let codes: Vec<&str> = found["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem["code"].as_str().unwrap())
        .collect();
    // Each once, although two files name the prompt.
    assert_eq!(codes.iter().filter(|code| **code == "PLUE-E0017").count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == "PLUE-T0008").count(), 1, "{codes:?}");
    // Errors in a draft cause no follow-up errors: no step is missing, nothing is empty.
    for code in ["PLUE-P0016", "PLUE-P0022", "PLUE-P0010", "PLUE-P0011", "PLUE-E0026", "PLUE-E0036"]
    {
        assert!(!codes.contains(&code), "{code} in {codes:?}");
    }
    bench.write("y.plue.yaml", EVERY_KIND_YAML);
    let yaml = bench.plue(&["validate", "y.plue.yaml"]).ends(3);
    yaml.reports(&["PLUE-S0020", "PLUE-S0018", "PLUE-P0029", "PLUE-P0057"]);
}

#[test]
fn exceptions_of_constructors_can_be_caught() {
    let source = "def workflow():\n    try:\n        Step.bash('a')\n    except TypeError:\n        \
                  pass\n    return Plan('x', steps=[Step.bash('b', 'true')])\n";
    Bench::with(source).plue(&["plan"]).ends(0);
}

#[test]
fn functions_as_a_matrix_and_asynchronous_ones_run() {
    let bench = Bench::with(
        r#"
def first(n=1):
    import os
    return {"n": n, "cwd": bool(os.getcwd())}

async def second():
    import asyncio
    await asyncio.sleep(0)
    with open("second.txt", "w") as file:
        file.write("done")
    return "later"

def workflow():
    jobs = {"one": first, "two": second}
    return Plan(name="Matrix", steps=[
        *[Step.python(n, f) for n, f in jobs.items()],
        Step.bash("end", 'cat second.txt; echo " $A"', env={"A": ref("two")},
                  depends_on=["one", "two"]),
    ])
"#,
    );
    bench.plue(&["run"]).ends(0);
    assert_eq!(bench.plue(&["logs", "last", "end"]).ends(0).stdout, "done later\n");
    bench.write("bad.plue.py", "async def workflow():\n    return None\n");
    bench.plue(&["plan", "bad.plue.py"]).ends(3).reports(&["`async def`", "code of a step"]);
}

#[test]
fn sentences_hold_values_of_the_run() {
    let bench = Bench::with(
        r#"
def workflow():
    tag = ref("v", "tag")
    return Plan(name="Say", outputs={"said": f"{tag} is out"}, steps=[
        Step.bash("v", 'echo tag=1.2 > "$PLUE_OUTPUT"'),
        Step.approval("ask", message=f"Release {tag}? costs ${{HOME}}", depends_on=["v"]),
        Step.bash("say", 'echo "$TEXT / $OTHER"', depends_on=["ask"],
                  env={"TEXT": "Release %s" % tag, "OTHER": template("v${steps.v.output.tag}")}),
    ])
"#,
    );
    bench
        .plue(&["plan", "--output", "json"])
        .ends(0)
        .shows(&[r#"{"$template":"Release ${steps.v.output.tag}? costs $${HOME}"}"#]);
    bench.plue(&["run", "--no-wait"]).ends(6);
    let approvals = bench.plue(&["approvals", "--output", "json"]).ends(0).json();
    assert_eq!(approvals["approvals"][0]["message"], "Release 1.2? costs ${HOME}");
    bench.plue(&["approve", "last", "ask"]).ends(0);
    bench.plue(&["resume", "last"]).ends(0);
    assert_eq!(bench.plue(&["logs", "last", "say"]).stdout, "Release 1.2 / v1.2\n");
    for (wrong, hint) in [
        ("Step.bash('a', f\"echo {ref('v')}\")", "env="),
        ("Step.bash('a', 'true', env={'A': f\"{secret('TOKEN')}\"})", "secret"),
        ("Step.bash(f\"{ref('v')}\", 'true')", "reference"),
        ("Step.bash('a', 'true', name=f\"{secret('TOKEN')}\")", "secret"),
    ] {
        let source = format!("def workflow():\n    return Plan('x', steps=[{wrong}])\n");
        bench.write("wrong.plue.py", source);
        bench.plue(&["plan", "wrong.plue.py"]).ends(3).reports(&["PLUE-E0043", hint]);
    }
}

const NAMED: &str = r#"
def workflow():
    tag = ref("v", "tag")
    return Plan(name="Names", steps=[
        Step.bash("v", 'echo tag=1.2 > "$PLUE_OUTPUT"'),
        Step.bash("ship", "true", name=f"Release {tag}", depends_on=["v"]),
        Step.bash("odd", "true", name=f"Odd {ref('v', 'tag.none')}", depends_on=["v"]),
        Step.bash("loop", '[ "$PLUE_VISIT" = 2 ]', name=template("Visit ${visit} of $${N}"),
                  on_failure=Goto("loop", max_visits=2)),
        Step.approval("ask", name=template("Go with ${steps.v.output.tag}?"), depends_on=["v"]),
        Step.bash("late", "true", name=tag, depends_on=["ask"]),
    ])
"#;

/// The same tasks in YAML.
const NAMED_YAML: &str = r#"
name: Names
settings: {max_parallel: unlimited}
tasks:
  - {id: v, run: 'echo tag=1.2 > "$PLUE_OUTPUT"'}
  - {id: ship, run: "true", name: "Release ${v.output.tag}", dependencies: [v]}
  - {id: odd, run: "true", name: "Odd ${v.output.tag.none}", dependencies: [v]}
  - id: loop
    run: '[ "$PLUE_VISIT" = 2 ]'
    name: Visit ${visit} of $${N}
    on_failure: {goto: loop, max_visits: 2}
  - {id: ask, uses: approval, name: "Go with ${v.output.tag}?", dependencies: [v]}
  - {id: late, run: "true", name: "${v.output.tag}", dependencies: [ask]}
"#;

#[test]
fn names_hold_values_of_the_run() {
    let bench = Bench::with(NAMED);
    bench.write("same.plue.yaml", NAMED_YAML);
    bench.commit();
    let plan = |file: &str| bench.plue(&["plan", file, "--output", "json"]).ends(0).stdout;
    assert_eq!(plan(".plue.py"), plan("same.plue.yaml"));
    let mut python = std::process::Command::new("python3");
    python.args(["-m", "plue", ".plue.py"]).current_dir(bench.repo());
    python.env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/../../python"));
    let stdout = String::from_utf8(python.output().unwrap().stdout).unwrap();
    assert_eq!(stdout, plan(".plue.py"));
    for file in [".plue.py", "same.plue.yaml"] {
        bench.plue(&["run", file, "--no-wait", "--todo", "TODO.md"]).ends(6);
        let todo = std::fs::read_to_string(bench.repo().join("TODO.md")).unwrap();
        assert!(todo.contains("- [x] ship: Release 1.2\n"), "{todo}");
        let name = |id: &str| {
            let status = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
            let steps = status["steps"].as_array().unwrap().iter();
            steps.filter(|step| step["step"] == id).map(|step| step["name"].clone()).next().unwrap()
        };
        let names = ["v", "ship", "odd", "loop", "ask", "late"].map(name);
        let written = "${steps.v.output.tag}";
        let expected = serde_json::json!([
            null,
            "Release 1.2",
            "Odd ${steps.v.output.tag.none}",
            "Visit 2 of ${N}",
            "Go with 1.2?",
            written,
        ]);
        assert_eq!(serde_json::json!(names), expected);
        bench.plue(&["status"]).ends(0).shows(&["ship · Release 1.2", "late · ${steps.v"]);
        let why = "its name is shown as written: `steps.v.output.tag.none` is not there";
        bench.plue(&["explain", "last", "odd"]).ends(0).shows(&["odd · Odd ${", why]);
        bench.plue(&["approve", "last", "ask"]).ends(0);
        bench.plue(&["resume", "last"]).ends(0);
        assert_eq!(name("late"), "1.2");
        bench.plue(&["explain", "last", "late"]).ends(0).shows(&["late · 1.2 success"]);
    }
    for (name, reason) in [
        ("f\"{ref('b')}\"", "PLUE-P0030"),
        ("template('v${steps.b.output +}')", "at position"),
        ("template('a${visit}' * 99)", "PLUE-P0007"),
    ] {
        let source = format!(
            "def workflow():\n    return Plan('x', steps=[Step.bash('a', 'true', name={name}), Step.bash('b', 'true')])\n"
        );
        bench.write("wrong.plue.py", source);
        bench.plue(&["plan", "wrong.plue.py"]).ends(3).reports(&[reason]);
    }
}

#[test]
fn runs_are_listed_by_branch_event_and_time() {
    let source = r#"
def workflow(ctx):
    return Plan(name="In", inputs={"n": Input(type="integer", default=1)}, steps=[
        Step.bash("a", "echo n is $N", name="Say it", env={"N": str(ctx.inputs.get("n", 0))}),
        Step.bash("b", "echo never", when="false"),
    ])
"#;
    let bench = Bench::with(source);
    bench.plue(&["run", "--input", "n=4"]).ends(0);
    let count = |args: &[&str]| {
        let runs = bench.plue(&[&["runs", "--output", "json"], args].concat()).ends(0).json();
        runs["runs"].as_array().unwrap().len()
    };
    assert_eq!(count(&["--branch", "main", "--event", "manual", "--since", "1h"]), 1);
    assert_eq!(count(&["--branch", "other"]), 0);
    assert_eq!(count(&["--event", "push"]), 0);
    assert_eq!(count(&["--since", "2999-01-01"]), 0);
    assert_eq!(count(&["--repo", "acme/none"]), 0);
    bench.plue(&["runs", "--event", "pushed"]).ends(2).reports(&["pull_request"]);
    bench.plue(&["rerun", "last", "--input", "n=9"]).ends(0);
    assert_eq!(bench.plue(&["logs", "last", "a"]).stdout, "n is 9\n");
    // The name of a step is shown, and no attempt of one that never ran.
    let status = bench.plue(&["status"]).ends(0);
    status.shows(&["a · Say it"]);
    let line = status.stdout.lines().find(|line| line.contains(" b ")).unwrap();
    assert!(!line.contains('1') && !line.contains('0'), "{line}");
    bench.plue(&["run", "--rev", "main"]).ends(2).reports(&["--server"]);
}

#[test]
fn what_a_server_has_is_listed_as_here() {
    let served = Served::start();
    served.bench.write(
        ".plue.py",
        "def workflow():\n    return Plan(name='Timed', triggers=[Trigger.on_push(branch='main'), \
         Trigger.on_schedule('0 3 * * *')], steps=[Step.approval('ask', message='go?')])\n",
    );
    served.push();
    while served.get("/api/v1/approvals")["items"] == serde_json::json!([]) {}
    for args in [
        &["approvals"][..],
        &["approvals", "--output", "json"],
        &["approvals", "--repo", "acme/none"],
        &["schedules"],
        &["schedules", "--repo", "acme/app", "--output", "json"],
        &["pools"],
        &["usage", "--from", "2020-01-01", "--to", "2999-01-01", "--output", "json"],
        &["usage", "--by", "workflow", "--from", "2020-01-01", "--to", "2999-01-01"],
        &["usage", "--by", "organisation", "--from", "2020-01-01", "--to", "2999-01-01"],
        &["audit", "-n", "3", "--output", "json"],
    ] {
        let (here, there) = (served.bench.plue(args), served.remotely(args));
        assert_eq!(there.code, here.code, "{args:?}: {}{}", there.stdout, there.stderr);
        assert_eq!(there.stdout, here.stdout, "{args:?}");
    }
    // Time passes between the two.
    let pushed = ["runs", "--repo", "acme/app", "--event", "push", "--since", "1d"];
    for output in [served.bench.plue(&pushed), served.remotely(&pushed)] {
        output.ends(0).shows(&["waiting", "Timed", "main"]);
    }
    served.bench.plue(&["schedules"]).ends(0).shows(&["0 3 * * *", "Timed"]);
    served.remotely(&["runners"]).ends(0);
    served.remotely(&["run", "Timed", "--rev", "none"]).ends(4).reports(&["none"]);
}

#[test]
fn downloads_and_missing_files_are_named() {
    let bench = Bench::with(
        "def workflow():\n    return Plan('Keep', steps=[Step.bash('a', 'echo x > out.txt', \
         artifacts=['out.txt'])])\n",
    );
    bench.plue(&["run"]).ends(0);
    bench.plue(&["artifacts", "last", "--download", "../got"]).ends(0);
    bench.plue(&["artifacts", "last", "--download", "../got"]).ends(0);
    std::fs::write(bench.home().join("../got/out.txt"), "mine").unwrap();
    let refused = bench.plue(&["artifacts", "last", "--download", "../got"]).ends(2);
    refused.reports(&["out.txt", "--force"]);
    bench.plue(&["artifacts", "last", "--download", "../got", "--force"]).ends(0);
    let got = bench.home().join("../got/out.txt");
    assert_eq!(std::fs::read_to_string(&got).unwrap(), "x\n");
    // A pipe in its place is not read, and gives way.
    std::fs::remove_file(&got).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&got).status().unwrap().success());
    bench.plue(&["artifacts", "last", "--download", "../got"]).ends(2).reports(&["--force"]);
    bench.plue(&["artifacts", "last", "--download", "../got", "--force"]).ends(0);
    assert_eq!(std::fs::read_to_string(&got).unwrap(), "x\n");
    bench.plue(&["open", "nothing.plue"]).ends(4).reports(&["PLUE-C0005", "nothing.plue"]);
}

/// The step writes on once plue has read what it wrote: then there is an order to be kept.
#[test]
fn logs_keep_the_order_of_both_outputs() {
    let bench = Bench::with(
        r#"
CODE = """
import array, fcntl, os, termios
def unread(fd):
    left = array.array('i', [0])
    fcntl.ioctl(fd, termios.FIONREAD, left)
    return left[0]
for number in range(200):
    fd = 1 + number % 2
    os.write(fd, b'%d\\n' % number)
    while unread(fd):
        pass
"""

def workflow():
    return Plan("Both", steps=[Step.python("both", CODE)])
"#,
    );
    bench.plue(&["run"]).ends(0);
    let numbers = || (0..200).map(|number| number.to_string());
    let log = bench.plue(&["logs", "last", "both"]).ends(0);
    assert_eq!(log.stdout.lines().collect::<Vec<_>>(), numbers().collect::<Vec<_>>());
    let lines = bench.plue(&["logs", "last", "--output", "json"]).ends(0).json();
    let texts = lines["lines"].as_array().unwrap().iter();
    let texts: Vec<_> = texts.map(|line| line["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts, numbers().collect::<Vec<_>>());
}

#[test]
fn validation_reads_the_code_of_steps() {
    let bench = Bench::with(
        r#"
def workflow():
    return Plan("Code", steps=[
        Step.bash("quote", "echo 'open"),
        Step.bash("fine", "echo ${HOME} ${steps.quote.output}"),
        Step.python("code", "def f(:\n  pass"),
        Step.python("gone", script="scripts/none.py"),
        Step.approval("ask", message="Release ${steps.fine.output}?"),
    ])
"#,
    );
    let output = bench.plue(&["validate"]).ends(3);
    output.reports(&["PLUE-C0014", "step `quote`", "step `code`", "PLUE-C0015", "scripts/none.py"]);
    output.reports(&["PLUE-E0230", "step `ask`: `${…}` is not evaluated in `message`"]);
    assert!(!output.stderr.contains("step `fine`: the command"), "{}", output.stderr);
}

#[test]
fn step_code_is_checked_in_invalid_files() {
    // One file fails while it is evaluated, one when its plan is checked, one when it is read.
    let raises = r#"
def workflow():
    return Plan("Raises", steps=[
        Step.bash("alone", "echo a", depends_on="quote"),
        Step.bash("quote", "echo 'open"),
        Step.python("gone", script="scripts/none.py"),
    ])
"#;
    let bench = Bench::with(raises);
    let checked = r#"
def workflow():
    return Plan("Checked", steps=[
        Step.bash("a", "true", depends_on=["nobody"], cache=Cache(key="k", paths=[".git"])),
        Step.python("code", "def f(:\n  pass"),
    ])
"#;
    bench.write("checked.plue.py", checked);
    let read = "name: Read\ntasks: [{id: a, run: \"if true; then\", dependencies: [none]}]\n";
    bench.write("read.plue.yaml", read);
    let output = bench.plue(&["validate"]).ends(3);
    output.reports(&["step `quote`: the command does not parse", "PLUE-C0015", "scripts/none.py"]);
    output.reports(&["nobody", "PLUE-P0078", "step `code`: the code does not parse"]);
    output.reports(&["step `a`: the command does not parse", "none"]);
    let found = bench.plue(&["validate", "--output", "json"]).ends(3).json();
    let of = |file: &str| {
        let all = found["diagnostics"].as_array().unwrap().iter();
        let of_file = all.filter(|problem| problem["span"]["file"] == file);
        of_file.map(|problem| problem["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let expected = [&[][..], &["PLUE-C0014"], &["PLUE-C0015"]].concat();
    assert_eq!(of(".plue.py")[1..], expected, "{found}");
    assert_eq!(of("checked.plue.py").len(), 3, "{found}");
    assert_eq!(of("read.plue.yaml").len(), 2, "{found}");
}

//! Explicit defaults give the same plan as omitted ones, in every language.

use std::process::Command;

use crate::support::Bench;

const BARE: &str = r#"
def workflow():
    return Plan(
        name="D",
        inputs={"env": Input()},
        triggers=[Trigger.on_schedule("0 3 * * *"), Trigger.on_manual(inputs={"where": Input()})],
        concurrency=Concurrency("g"),
        steps=[
            Step.bash("a", "true", retry=Retry()),
            Step.python("p", "pass"),
            Step.approval("ask", message="go?"),
            Step.negotiate("n", ["x", "y"], {"type": "object"}),
            Step.call("c", "https://example.com/"),
            Step.wait("w", duration="1m"),
        ],
    )
"#;

const EXPLICIT: &str = r#"
def workflow():
    common = dict(depends_on=[], name=None, when=None, env={}, secrets=[], on_failure="fail", resources={},
                  artifacts=[], services=[], pure=False, interactive=False)
    return Plan(
        name="D", description=None, goal=None, env={}, runner=None, image=None, timeout=3600, max_parallel=None,
        on_failure="stop", hooks=Hooks(on_start=[], on_success=[], on_failure=[], on_complete=[]), outputs={},
        tags=[],
        inputs={"env": Input("string", required=False, choices=[])},
        triggers=[
            Trigger.on_schedule("0 3 * * *", tz="UTC", misfire="run_once"),
            Trigger.on_manual(inputs={"where": Input(type="string")}),
        ],
        concurrency=Concurrency("g", cancel_in_progress=False),
        steps=[
            Step.bash("a", "true", shell="bash",
                      retry=Retry(max_attempts=3, delay="5000ms", backoff="fixed", on=[]), **common),
            Step.python("p", "pass", args=[], **common),
            Step.approval("ask", message="go?", approvers=[], quorum=1, on_timeout="reject", **common),
            Step.negotiate("n", ["x", "y"], {"type": "object"}, accept="all", **common),
            Step.call("c", "https://example.com/", headers={}, callback=True, **common),
            Step.wait("w", duration="1m", **common),
        ],
    )
"#;

const BARE_YAML: &str = r#"
name: D
inputs: {env: {}}
triggers:
  - {on: schedule, cron: "0 3 * * *"}
  - {on: manual, inputs: {where: {}}}
concurrency: {group: g}
settings: {max_parallel: unlimited}
tasks:
  - {id: a, run: "true", retry: {}}
  - {id: p, python: pass}
  - {id: ask, uses: approval, message: "go?"}
  - {id: n, uses: negotiate, parties: [x, y], subject: {type: object}}
  - {id: c, uses: call, url: "https://example.com/"}
  - {id: w, uses: wait, duration: 1m}
"#;

const EXPLICIT_YAML: &str = r#"
version: "1.0"
name: D
metadata: {tags: []}
settings: {max_parallel: unlimited, timeout: 60m, on_failure: stop}
env: {}
outputs: {}
inputs: {env: {type: string, required: false, choices: []}}
triggers:
  - {on: schedule, cron: "0 3 * * *", tz: UTC, misfire: run_once}
  - {on: manual, inputs: {where: {type: string}}}
concurrency: {group: g, cancel_in_progress: false}
hooks: {on_start: [], on_success: [], on_failure: [], on_complete: []}
tasks:
  - id: a
    run: "true"
    shell: bash
    retry: {max_attempts: 3, delay: 5, backoff: fixed, on: []}
    dependencies: []
    env: {}
    secrets: []
    on_failure: fail
    resources: {}
    artifacts: []
    services: []
    pure: false
    interactive: false
  - {id: p, python: pass, args: []}
  - {id: ask, uses: approval, message: "go?", approvers: [], quorum: 1, on_timeout: reject}
  - {id: n, uses: negotiate, parties: [x, y], subject: {type: object}, accept: all}
  - {id: c, uses: call, url: "https://example.com/", headers: {}, callback: true}
  - {id: w, uses: wait, duration: 1m}
"#;

#[test]
fn row_2_01_explicit_defaults_change_no_hash() {
    let bench = Bench::new();
    let files = [
        ("bare.plue.py", BARE),
        ("explicit.plue.py", EXPLICIT),
        ("bare.plue.yaml", BARE_YAML),
        ("explicit.plue.yaml", EXPLICIT_YAML),
    ];
    let mut plans = Vec::new();
    for (name, text) in files {
        bench.write(name, text);
        let plan = bench.plue(&["plan", name, "--output", "json"]).ends(0).stdout;
        plans.push((name, plan));
    }
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../python");
    for name in ["bare.plue.py", "explicit.plue.py"] {
        let mut python = Command::new("python3");
        python.args(["-m", "plue", name]).current_dir(bench.repo()).env("PYTHONPATH", root);
        let output = python.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        plans.push(("python -m plue", String::from_utf8(output.stdout).unwrap()));
    }
    for (name, plan) in &plans {
        assert_eq!(*plan, plans[0].1, "{name}");
    }
}

#[test]
fn durations_other_than_defaults_stay_as_written() {
    let bench = Bench::new();
    for (text, written) in [("\"61m\"", "61m"), ("3601", "3601s"), ("\"1h1ms\"", "1h1ms")] {
        let plan = format!(
            "def workflow():\n    return Plan('D', timeout={text}, steps=[Step.bash('a', 'x')])\n"
        );
        bench.write("t.plue.py", plan);
        let plan = bench.plue(&["plan", "t.plue.py", "--output", "json"]).ends(0).json();
        assert_eq!(plan["timeout"], written);
    }
}

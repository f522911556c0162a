//! Work that outsiders hand to the server itself: schemas, trees and replies that grow without end. The
//! server answers meanwhile, an honest push ends green, also after a restart.

use std::{fmt::Write as _, io::Write as _, process::Stdio};

use serde_json::json;

use crate::{
    serve::{Served, WORKFLOW},
    support::Bench,
};

/// Schemas without a bound, as a workflow file writes them.
const UNBOUNDED: [&str; 7] = [
    r##"{"$defs": {"n": {"anyOf": [{"items": {"$ref": "#/$defs/n"}}] * 10}}, "$ref": "#/$defs/n"}"##,
    r##"{"allOf": [{"additionalProperties": {"$ref": "#"}}, {"items": {"$ref": "#"}}]}"##,
    r##"{"oneOf": [{"if": {"items": {"$ref": "#"}}, "then": {"$ref": "#"}}]}"##,
    r##"{"dependentSchemas": {"a": {"$ref": "#"}}, "unevaluatedProperties": False}"##,
    r##"{"patternProperties": {str(at): True for at in range(2000)}}"##,
    r##"{"propertyNames": {"pattern": "(a|a)*" * 400}}"##,
    r##"{"allOf": [{"allOf": [{"allOf": [{"type": "string"}] * 20}] * 20}] * 20}"##,
];

fn step_with(schema: &str) -> String {
    format!(
        "def workflow():\n    return Plan(\"Bomb\", triggers=[Trigger.on_push()],\n        \
         steps=[Step.bash(\"a\", \"true\", outputs={schema})])\n"
    )
}

fn is_well(served: &Served) {
    let (status, body) = served.ask("GET", "/healthz", None);
    assert_eq!(status, 200, "{body}");
}

/// An honest push, and its run as the newest of so many.
fn honest_push_succeeds(served: &Served, count: usize) {
    let bench = &served.bench;
    bench.write(".plue.py", WORKFLOW);
    bench.write("src/app.txt", format!("honest {count}\n"));
    served.push();
    let run = served.run(count);
    assert_eq!((&run["status"], &run["workflow"]), (&json!("success"), &json!("CI")), "{run}");
}

#[test]
fn schemas_without_a_bound_are_refused_by_validate() {
    let bench = Bench::new();
    for schema in UNBOUNDED {
        bench.write(".plue.py", step_with(schema));
        bench.plue(&["validate"]).ends(3).reports(&["PLUE-P0072"]);
    }
}

#[test]
fn schema_bombs_do_not_stop_a_server() {
    let mut served = Served::start();
    for schema in UNBOUNDED {
        served.bench.write(".plue.py", step_with(schema));
        served.push();
        is_well(&served);
    }
    honest_push_succeeds(&served, 1);
    served.server.kill().unwrap();
    served.server.wait().unwrap();
    served.serve();
    is_well(&served);
    honest_push_succeeds(&served, 2);
}

#[test]
fn costly_outputs_fail_their_step_for_good() {
    let source = r#"
GIVE = """import json, os
with open(os.environ["PLUE_OUTPUT"], "w") as file:
    json.dump({"w": ["other %d" % at for at in range(50000)]}, file)
"""

def workflow():
    words = ["word %d" % at for at in range(9000)]
    schema = {"properties": {"w": {"items": {"enum": words}}}}
    return Plan("Costly", triggers=[Trigger.on_push(branch="main")],
        steps=[Step.bash("a", "python3 -c '%s'" % GIVE, outputs=schema)])
"#;
    let mut served = Served::start();
    served.bench.write(".plue.py", source);
    served.push();
    let run = served.run(1);
    is_well(&served);
    assert_eq!(run["status"], "failed", "{run}");
    let id = run["id"].as_str().unwrap();
    served.bench.plue(&["explain", id]).ends(0).shows(&["PLUE-P0073"]);
    served.server.kill().unwrap();
    served.server.wait().unwrap();
    served.serve();
    honest_push_succeeds(&served, 2);
}

/// Pushes a commit whose tree lists the tree below it ten times, twelve levels deep: 10^12 paths in
/// thirteen objects. The commit has a workflow file, so that the server looks.
fn push_tree_bomb(bench: &Bench) -> String {
    let blob = made(bench, &["hash-object", "-w", "--stdin"], "x\n");
    let mut tree = made(bench, &["mktree"], &format!("100644 blob {blob}\tf\n"));
    for _ in 0..12 {
        let list = (0..10).fold(String::new(), |mut list, at| {
            writeln!(list, "040000 tree {tree}\td{at}").unwrap();
            list
        });
        tree = made(bench, &["mktree"], &list);
    }
    let file = made(bench, &["hash-object", "-w", "--stdin"], WORKFLOW);
    let list = format!("100644 blob {file}\t.plue.py\n040000 tree {tree}\tsrc\n");
    let root = made(bench, &["mktree"], &list);
    let names = ["-c", "user.name=Eve", "-c", "user.email=eve@example.invalid"];
    let args = [&names[..], &["commit-tree", "-m", "bomb", &root]].concat();
    let commit = made(bench, &args, "");
    bench.git(&["push", "-q", "--force", "origin", &format!("{commit}:refs/heads/main")]);
    commit
}

/// The id that git prints.
fn made(bench: &Bench, args: &[&str], input: &str) -> String {
    let mut git = std::process::Command::new("git");
    git.args(args).current_dir(bench.repo()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = git.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The most memory that a process has had, in MiB.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn tree_bombs_do_not_stop_a_server() {
    let mut served = Served::start();
    honest_push_succeeds(&served, 1);
    push_tree_bomb(&served.bench);
    is_well(&served);
    served.bench.git(&["push", "-q", "--force", "origin", "HEAD:main"]);
    honest_push_succeeds(&served, 2);
    assert!(peak_memory(served.server.id()) < 400, "{} MiB", peak_memory(served.server.id()));
    served.server.kill().unwrap();
    served.server.wait().unwrap();
    push_tree_bomb(&served.bench);
    served.serve();
    is_well(&served);
    served.bench.git(&["push", "-q", "--force", "origin", "HEAD:main"]);
    honest_push_succeeds(&served, 3);
    assert!(peak_memory(served.server.id()) < 400, "{} MiB", peak_memory(served.server.id()));
}

//! The package `python/plue` makes the same plans as the engine, byte for byte.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::Bench;

/// `q_enum_str_mixin` prints an `Enum` member of a text type, which versions of Python spell differently.
const OTHER_PYTHON: [&str; 1] = ["q_enum_str_mixin.plue.py"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries
        .filter(|path| path.to_str().is_some_and(|path| path.ends_with(".plue.py")))
        .collect();
    found.sort();
    found
}

/// The plans that the engine and Python print for a workflow.
fn both(bench: &Bench, file: &str) -> (String, String) {
    let event = bench.home().join("event.json");
    std::fs::write(&event, r#"{"type": "manual"}"#).unwrap();
    let event = event.to_str().unwrap();
    let engine = bench.plue(&["plan", file, "--event", event, "--output", "json"]).ends(0).stdout;
    let mut python = Command::new("python3");
    python.args(["-m", "plue", file, "--event", event]).current_dir(bench.repo());
    let python = python.env("PYTHONPATH", root().join("python")).output().unwrap();
    let stderr = String::from_utf8_lossy(&python.stderr).into_owned();
    assert!(python.status.success(), "{file}: {stderr}");
    (engine, String::from_utf8(python.stdout).unwrap())
}

#[test]
fn package_and_engine_plan_workflows_byte_for_byte() {
    let bench = Bench::new();
    let templates = files(&root().join("engine/cli/templates"));
    let all = files(&root().join("evaluator/tests/benign")).into_iter().chain(templates);
    let mut count = 0;
    for path in all {
        let name = path.file_name().unwrap().to_str().unwrap();
        if OTHER_PYTHON.contains(&name) {
            continue;
        }
        bench.write(".plue.py", std::fs::read_to_string(&path).unwrap().replace("@@", ""));
        let (engine, python) = both(&bench, ".plue.py");
        assert_eq!(engine, python, "{name}");
        count += 1;
    }
    assert!(count > 100, "only {count} files");
}

#[test]
fn package_and_engine_plan_examples_byte_for_byte() {
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.join(".plue.py").exists() {
            continue;
        }
        let bench = Bench::new();
        let copied = Command::new("cp").arg("-r").arg(folder.join(".")).arg(bench.repo()).status();
        assert!(copied.unwrap().success());
        bench.commit();
        let (engine, python) = both(&bench, ".plue.py");
        assert_eq!(engine, python, "{}", folder.display());
    }
}

#[test]
fn modules_several_plans_and_functions_work_in_both() {
    let bench = Bench::new();
    bench.write(
        ".plue/lib/shared.py",
        "def test_step(name):\n    return Step.bash(name, 'make ' + name)\n",
    );
    bench.write(
        "all.plue.py",
        r#"
from plue import Plan, Step, ref
from shared import test_step

def greet(who="you"):
    """Says
      hello."""
    text = f"""hello
  {who}"""
    return {"said": text}

def workflow():
    unit = test_step("unit")
    hello = Step.python("hello", greet, args=["me"], depends_on=[unit])
    return [
        Plan(name="one", steps=[unit, hello, Step.bash("tell", "echo $X", env={"X": hello.output("said"), "Y": ref("unit")}, depends_on=[hello, "unit"])]),
        Plan(name="two", steps=[Step.bash("a-b", "true", timeout=90), Step.bash("c", "true", when="steps['a-b'].status == 'success'", depends_on=["a-b"])]),
    ]
"#,
    );
    let (engine, python) = both(&bench, "all.plue.py");
    assert_eq!(engine, python);
    assert_eq!(engine.lines().count(), 2);
}

//! Plans of earlier commands: used while everything they were made from is the same, and only then.

use std::path::Path;

use crate::support::Bench;

/// A step for each line of a file.
const LINES: &str = r#"
def workflow(ctx):
    names = ctx.read("names.txt").split()
    return Plan(name="Lines", steps=[Step.bash(name, f"echo this is {name}") for name in names])
"#;

/// The steps of a run of the only workflow.
fn steps(bench: &Bench) -> Vec<String> {
    bench.plue(&["run", "--quiet"]).ends(0);
    let document = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
    let steps = document["steps"].as_array().unwrap();
    steps.iter().map(|step| step["step"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn cached_plans_expire_with_changes_of_their_files() {
    let bench = Bench::with(LINES);
    bench.write("names.txt", "one two");
    bench.commit();
    assert_eq!(steps(&bench), ["one", "two"]);
    assert_eq!(steps(&bench), ["one", "two"]);
    bench.write("names.txt", "one three");
    assert_eq!(steps(&bench), ["one", "three"]);
    bench.write("names.txt", "one two");
    assert_eq!(steps(&bench), ["one", "two"]);
    bench.write(".plue.py", LINES.replace("this is", "here is"));
    bench.plue(&["run"]).ends(0);
    bench.plue(&["logs", "last", "one"]).ends(0).shows(&["here is one"]);
}

#[test]
fn cached_plans_need_no_evaluator() {
    let bench = Bench::with(LINES);
    bench.write("names.txt", "one");
    bench.commit();
    // A program of its own, so that it can be broken without being changed.
    let broken = bench.home().join("broken");
    let script = bench.home().join("evaluator");
    let real = Path::new(env!("CARGO_BIN_EXE_plue")).with_file_name("plue-evaluator");
    let text = format!(
        "#!/bin/sh\ntest -e {} && exit 1\nexec {} \"$@\"\n",
        broken.display(),
        real.display()
    );
    std::fs::write(&script, text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, mode).unwrap();
    let run = || {
        let mut command = bench.command(&["run", "--quiet"]);
        command.env("PLUE_EVALUATOR_BINARY", &script);
        command.output().unwrap().status.code()
    };
    assert_eq!(run(), Some(0));
    std::fs::write(&broken, "").unwrap();
    assert_eq!(run(), Some(0), "its plan is kept");
    bench.write("names.txt", "one two");
    assert_ne!(run(), Some(0), "there is no evaluator for a new one");
}

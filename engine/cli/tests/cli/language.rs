//! The language as newcomers write it: arguments, patterns, caches, links, steps that kill their runner.

use crate::support::Bench;

fn workflow(steps: &str) -> String {
    format!("def workflow():\n    return Plan(name=\"Lang\", steps=[\n{steps}\n    ])\n")
}

const ARGUMENTS: &str = r#"
def add(a, b, more):
    print("sum", a + b, more["deep"][0], type(b).__name__)

async def later(text):
    print("later", text.upper())

def workflow():
    first = Step.python("first", "import json, os; json.dump({'n': 7, 's': 'x y'}, open(os.environ['PLUE_OUTPUT'], 'w'))")
    n = ref("first", "n")
    return Plan(name="Args", steps=[
        first,
        *[Step.python(name, call, args=[3, n, {"deep": [n]}], depends_on=[first])
          for name, call in {"one": add, "two": add}.items()],
        Step.python("async", later, args=[ref("first", "s")], depends_on=[first]),
        Step.python("code", "import sys; print(sys.argv[1:])", args=[1, True, n, "$(x)"], depends_on=[first]),
        Step.python("script", script="show.py", args=[2.5, template("n=${steps.first.output.n}")], depends_on=[first]),
    ])
"#;

#[test]
fn arguments_of_functions_keep_their_types() {
    let bench = Bench::with(ARGUMENTS);
    bench.write("show.py", "import sys\nprint('script', sys.argv[1:])\n");
    bench.plue(&["run"]).ends(0);
    let log = |step: &str| bench.plue(&["logs", "last", step]).ends(0).stdout;
    assert_eq!(log("one"), "sum 10 7 int\n");
    assert_eq!(log("two"), "sum 10 7 int\n");
    assert_eq!(log("async"), "later X Y\n");
    assert_eq!(log("code"), "['1', 'true', '7', '$(x)']\n");
    assert_eq!(log("script"), "script ['2.5', 'n=7']\n");
}

#[test]
fn arguments_in_yaml_are_the_same_plan() {
    let bench = Bench::new();
    let python = workflow(
        r#"
        Step.bash("v", "echo n=7 > $PLUE_OUTPUT"),
        Step.python("p", "pass", args=[1, "two", ref("v", "n")], depends_on=["v"]),
    "#,
    );
    bench.write("a.plue.py", python);
    bench.write(
        "b.plue.yaml",
        "name: Lang\nsettings: {max_parallel: unlimited}\ntasks:\n  - {id: v, run: 'echo n=7 > $PLUE_OUTPUT'}\n  - {id: p, python: pass, args: [1, two, '${v.output.n}'], dependencies: [v]}\n",
    );
    bench.commit();
    let plan = |file: &str| bench.plue(&["plan", file, "--output", "json"]).ends(0).stdout;
    assert_eq!(plan("a.plue.py"), plan("b.plue.yaml"));
}

#[test]
fn secrets_are_no_arguments() {
    let steps = r#"Step.python("p", script="p.py", args=[secret("TOKEN")])"#;
    let bench = Bench::with(&workflow(steps));
    bench.plue(&["validate"]).ends(3).reports(&["PLUE-P0077", "secrets"]);
}

#[test]
fn arguments_read_only_earlier_steps() {
    let steps = r#"Step.bash("late", "true"), Step.python("p", "pass", args=[ref("late")])"#;
    let bench = Bench::with(&workflow(steps));
    bench.plue(&["validate"]).ends(3).reports(&["PLUE-P0030", "`args` reads `late`"]);
}

#[test]
fn caches_that_stay_empty_are_refused() {
    let paths = [".", "./", ".git", "a/.git/x", "$HOME/.npm", "node_modules/*", "{a,b}"];
    let steps: Vec<String> = (0..)
        .zip(paths)
        .map(|(at, path)| {
            format!("Step.bash('s{at}', 'true', cache=Cache(key='k', paths=['ok', '{path}'])),")
        })
        .collect();
    let bench = Bench::with(&workflow(&steps.join("\n")));
    let output = bench.plue(&["validate"]).ends(3);
    assert_eq!(output.stderr.matches("PLUE-P0078").count(), paths.len(), "{}", output.stderr);
    output.reports(&[
        "is the whole workspace",
        "lies in `.git`",
        "which only a shell reads",
        "is a glob",
    ]);
}

#[test]
fn brackets_in_names_are_matched_by_sets() {
    let steps = r#"Step.bash("a", "mkdir out; touch 'out/[x].txt' out/x.txt", artifacts=["out/[[]x[]].txt"])"#;
    let bench = Bench::with(&workflow(steps));
    bench.plue(&["run"]).ends(0);
    let list = bench.plue(&["artifacts", "last", "--output", "json"]).ends(0).json();
    let paths: Vec<&str> = list["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|artifact| artifact["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["out/[x].txt"]);
}

#[test]
fn steps_that_kill_the_runner_are_named() {
    let bench = Bench::with(&workflow(r#"Step.bash("killer", "kill -9 $PPID; sleep 3000")"#));
    bench
        .plue(&["run"])
        .ends(1)
        .reports(&["killer", "no other step ran then, so this one may have killed it"]);
}

#[test]
fn linked_workflow_files_are_refused_by_name() {
    let bench = Bench::with(&workflow(r#"Step.bash("a", "true")"#));
    std::os::unix::fs::symlink(".plue.py", bench.repo().join("linked.plue.py")).unwrap();
    bench.commit();
    let link = "`linked.plue.py` is a symbolic link";
    bench.plue(&["validate"]).ends(3).reports(&[link, "put the file itself there"]);
    bench.plue(&["list"]).ends(0).shows(&[link]);
}

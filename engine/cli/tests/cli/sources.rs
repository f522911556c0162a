//! `list`, `plan`, `validate` and what `run` refuses, on repositories good and bad.

use sha2::{Digest as _, Sha256};

use crate::support::{Bench, MIXED, SMALL};

#[test]
fn row_4_11_list_shows_workflows_and_the_broken_ones_too() {
    let bench = Bench::with(MIXED);
    bench.write("broken.plue.py", "def workflow(:\n");
    bench.write("notes.plue.py", b"# caf\xe9\n");
    let output = bench.plue(&["list"]).ends(0);
    output.shows(&[
        "NAME",
        "Mixed",
        "push main",
        ".plue.py",
        "(broken)",
        "broken.plue.py",
        "notes.plue.py",
    ]);
    let json = bench.plue(&["list", "--output", "json"]).ends(0).json();
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["workflows"][0]["name"], "Mixed");
    assert_eq!(json["workflows"][0]["steps"], 5);
    assert_eq!(json["workflows"][1]["name"], serde_json::Value::Null);
    assert_eq!(json["workflows"][1]["diagnostics"][0]["span"]["file"], "broken.plue.py");
    assert_eq!(json["workflows"][2]["diagnostics"][0]["code"], "PLUE-E0213");
}

#[test]
fn empty_repositories_list_and_plan_nothing() {
    let bench = Bench::new();
    bench.plue(&["list"]).ends(0).reports(&["there is no workflow"]);
    for command in ["plan", "validate", "run"] {
        bench.plue(&[command]).ends(4).reports(&["there is no workflow", ".plue.py"]);
    }
}

#[test]
fn the_canonical_ir_is_printed_as_hashed() {
    let bench = Bench::with(SMALL);
    let json = bench.plue(&["plan", "--output", "json"]).ends(0);
    let hash = hex::encode(Sha256::digest(&json.raw));
    bench.plue(&["plan"]).ends(0).shows(&["Small", "hello", &format!("sha256:{hash}"), ".plue.py"]);
    bench.write("b.plue.py", SMALL.replace("Small", "Other"));
    let both = bench.plue(&["plan", "--output", "json"]).ends(0);
    assert_eq!(both.stdout.lines().count(), 2);
    assert_eq!(both.stdout.lines().next().unwrap(), json.stdout);
}

#[test]
fn a_plan_is_drawn_in_every_format() {
    let bench = Bench::with(MIXED);
    for (format, text) in [("mermaid", "flowchart"), ("dot", "digraph"), ("svg", "<svg")] {
        bench.plue(&["plan", "--output", format]).ends(0).shows(&[text]);
    }
    bench.write("b.plue.py", SMALL);
    bench.plue(&["plan", "--output", "svg"]).ends(2).reports(&["name the workflow"]);
    bench.plue(&["plan", "b", "--output", "svg"]).ends(0).shows(&["<svg"]);
}

#[test]
fn row_1_26_problems_of_all_files_have_locations() {
    let bench = Bench::with(MIXED);
    bench.write("a.plue.py", "def workflow():\n    return Plan(name='x', steps=[\n");
    bench.write("b.plue.py", "def workflow():\n    return 7\n");
    bench.write("c.plue.py", "def workflow():\n    return Pln(name='x')\n");
    bench.write("d.plue.py", b"x = '\xff'\n");
    bench.write(
        "e.plue.py",
        "def workflow():\n    return Plan(name='e', steps=[\n        Step.bash('a', 'x', depends_on=['b']),\n        Step.bash('c', ''),\n    ])\n",
    );
    let output = bench.plue(&["validate"]).ends(3);
    output.reports(&[
        "a.plue.py:",
        "b.plue.py:",
        "c.plue.py:2:12",
        "d.plue.py:1:6",
        "^",
        "did you mean `Plan`?",
    ]);
    output.reports(&["PLUE-P0012", "PLUE-P0022", "6 files"]);
    assert_eq!(output.stdout, "");
    let json = bench.plue(&["validate", "--output", "json"]).ends(3).json();
    assert_eq!(json["files"].as_array().unwrap().len(), 6);
    assert!(json["diagnostics"].as_array().unwrap().len() >= 6);
    // The good file is untouched by the others.
    bench.plue(&["validate", ".plue.py"]).ends(0).reports(&["1 file: 0 errors, 0 warnings"]);
    bench.plue(&["plan"]).ends(3).shows(&["Mixed"]);
}

#[test]
fn unreadable_files_are_reported_and_hide_no_others() {
    let bench = Bench::with(SMALL);
    std::os::unix::fs::symlink("/etc/hostname", bench.repo().join("link.plue.py")).unwrap();
    bench.plue(&["list"]).ends(0).shows(&["Small", "(broken)", "link.plue.py"]);
    bench.plue(&["plan", "link.plue.py"]).ends(3).reports(&["link.plue.py", "symbolic link"]);
    bench.plue(&["plan", "missing.plue.py"]).ends(4).reports(&["PLUE-E0218", "missing.plue.py"]);
}

#[test]
fn unknown_roles_warn_in_validate_and_fail_run() {
    let source = "def workflow():\n    return Plan(name='r', steps=[\n        Step.llm('review', 'look', role='critic'),\n    ])\n";
    let bench = Bench::with(source);
    let output = bench.plue(&["validate"]).ends(0);
    output.reports(&["warning[PLUE-C0008]", "critic", ".plue.py:3:9", ".plue/roles/critic.md"]);
    bench.plue(&["run"]).ends(3).reports(&["error[PLUE-C0008]"]);
    assert!(
        bench.plue(&["runs", "--output", "json"]).ends(0).json()["runs"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    bench.write(".plue/roles/critic.md", "---\nname: critic\n---\nBe critical.\n");
    assert!(!bench.plue(&["validate"]).ends(0).stderr.contains("PLUE-C0008"));
    // A role that comes with plue needs no file, by whatever spelling.
    for role in ["reviewer", "researcher", "PRODUCT_MANAGER"] {
        bench.write(".plue.py", source.replace("critic", role));
        assert!(!bench.plue(&["validate"]).ends(0).stderr.contains("PLUE-C0008"), "{role}");
    }
    // A role file that is none is an error of its own.
    bench.write(".plue/roles/reviewer.md", "---\n---\nBe critical.\n");
    bench.write(".plue.py", source.replace("critic", "reviewer"));
    bench.plue(&["validate"]).ends(3).reports(&["error[PLUE-T0005]", ".plue/roles/reviewer.md"]);
}

#[test]
fn one_of_several_workflows_must_be_named() {
    let bench = Bench::with(SMALL);
    bench.write("ci.plue.py", SMALL.replace("Small", "Continuous"));
    bench.plue(&["run"]).ends(2).reports(&["2 workflow files", "ci.plue.py"]);
    bench.plue(&["run", "cii"]).ends(4).reports(&["did you mean `ci`?"]);
    bench.plue(&["plan", "Continuous"]).ends(0).shows(&["Continuous", "ci.plue.py"]);
    let two = "def workflow():\n    return [Plan(name=n, steps=[Step.bash('a', 'true')]) for n in ('x', 'y')]\n";
    bench.write("two.plue.py", two);
    bench.plue(&["run", "two"]).ends(2).reports(&["2 plans", "`x`, `y`"]);
    bench.plue(&["run", "y"]).ends(0);
}

#[test]
fn a_file_of_another_repository_is_planned_there() {
    let (bench, other) = (Bench::new(), Bench::with(SMALL));
    let file = other.repo().join(".plue.py");
    bench.plue(&["plan", file.to_str().unwrap()]).ends(0).shows(&["Small"]);
    let repo = other.repo();
    bench.plue(&["plan", "--repo", repo.to_str().unwrap(), ".plue.py"]).ends(0).shows(&["Small"]);
    bench.plue(&["plan", "--repo", "nowhere"]).ends(4).reports(&["nowhere"]);
    bench.plue(&["run", repo.to_str().unwrap()]).ends(2).reports(&["is a directory", "--repo"]);
}

#[test]
fn the_default_event_comes_from_git() {
    let source = "def workflow(ctx):\n    e = ctx.event\n    return Plan(name=f'{e.type} {e.branch} {e.actor} {len(e.sha)} {e.repository} {e.default_branch}', steps=[Step.bash('a', 'true')])\n";
    let bench = Bench::new();
    bench.write("w.plue.py", source.replace("len(e.sha)", "e.sha"));
    bench.git(&["remote", "add", "origin", "git@forge.invalid:acme/shop.git"]);
    bench.plue(&["plan", "w"]).ends(0).shows(&["manual None ada None acme/shop"]);
    bench.write("w.plue.py", source);
    bench.commit();
    bench.git(&["config", "user.name", "Grace"]);
    bench.plue(&["plan", "w"]).ends(0).shows(&["manual main Grace 40 acme/shop main"]);
    let event = r#"{"type": "push", "branch": "dev", "sha": "abc", "actor": "bot"}"#;
    bench
        .plue_reading(&["plan", "w", "--event", "-"], event)
        .ends(0)
        .shows(&["push dev bot 3 None None"]);
    let output = bench.plue_reading(&["plan", "w", "--event", "-"], r#"{"type": "psh"}"#).ends(2);
    output.reports(&["PLUE-C0007", "plue schema event"]);
    bench.plue(&["plan", "w", "--event", "no.json"]).ends(4).reports(&["no.json"]);
}

#[test]
fn inputs_have_the_types_that_the_plan_declares() {
    let source = r#"
def workflow(ctx):
    env = ctx.inputs.get("env", "none")
    return Plan(name="in " + env, inputs={
        "env": Input(default="dev", choices=["dev", "prod"]),
        "count": Input(type="integer", required=True),
    }, steps=[Step.bash("a", "true")])
"#;
    let bench = Bench::with(source);
    bench.plue(&["plan"]).ends(0).shows(&[
        "in dev",
        "env: string = \"dev\"",
        "count: integer, required",
    ]);
    bench.plue(&["plan", "--input", "env=prod"]).ends(0).shows(&["in prod"]);
    bench.plue(&["run"]).ends(2).reports(&["PLUE-C0006", "`count`", "--input count="]);
    let wrong = bench.plue(&["run", "--input", "count=x", "--input", "evn=dev"]).ends(2);
    wrong.reports(&["expected a whole number", "did you mean `env`?"]);
    bench.plue(&["run", "--input", "count"]).ends(2).reports(&["KEY=VALUE"]);
    bench.plue(&["run", "--input", "count=3"]).ends(0).reports(&["in dev"]);
}

#[test]
fn a_plan_is_compared_with_another_commit() {
    let bench = Bench::with(SMALL);
    bench.plue(&["plan", "--diff", "HEAD"]).ends(0).shows(&["Small", "as in HEAD"]);
    bench.write(".plue.py", SMALL.replace("echo hello", "echo bye"));
    bench.write("new.plue.py", SMALL.replace("Small", "New"));
    let output = bench.plue(&["plan", "--diff", "HEAD"]).ends(0);
    output.shows(&["step hello", "echo bye", "New", "new since HEAD"]);
    let json = bench.plue(&["plan", "--diff", "HEAD", "--output", "json"]).ends(0).json();
    assert_eq!(json["plans"][0]["diff"]["changes"][0]["name"], "hello");
    bench.plue(&["plan", "--diff", "nonsense"]).ends(4).reports(&["nonsense"]);
}

#[test]
fn row_1_25_all_workflow_files_yield_plans() {
    let bench = Bench::with(MIXED);
    for path in ["api/.plue.py", "deep/er/nightly.plue.py", "node_modules/x/no.plue.py"] {
        bench.write(path, SMALL.replace("Small", path));
    }
    bench.write(".plue/lib/shared.py", "WORD = 'from the module'\n");
    let with_module =
        SMALL.replace("Small", "Mod").replace("def workflow", "import shared\ndef workflow");
    bench.write("mod.plue.py", with_module.replace("echo hello", "echo \" + shared.WORD + \""));
    let json = bench.plue(&["list", "--output", "json"]).ends(0).json();
    let names: Vec<_> =
        json["workflows"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["Mixed", "api/.plue.py", "deep/er/nightly.plue.py", "Mod"]);
    bench.plue(&["plan", "mod", "--output", "json"]).ends(0).shows(&["from the module"]);
}

#[test]
fn changed_files_count_from_the_event_commit() {
    let source = "def workflow(ctx):\n    return Plan(name='changed ' + ' '.join(ctx.changed_files), steps=[Step.bash('a', 'true')])\n";
    let bench = Bench::with(source);
    bench.write("one.txt", "1");
    bench.commit();
    bench.plue(&["plan"]).ends(0).shows(&["changed "]);
    bench.write("two.txt", "2");
    bench.plue(&["plan"]).ends(0).shows(&["changed two.txt"]);
    let event = r#"{"type": "push", "before": "HEAD~1"}"#;
    let output = bench.plue_reading(&["plan", "--event", "-"], event).ends(0);
    output.shows(&["changed one.txt two.txt"]);
}

#[test]
fn row_4_11_the_sample_runs_anywhere_unless_overridden() {
    let bench = Bench::new();
    let output = bench.plue(&["run", "sample"]).ends(0);
    output.reports(&["hello from run", "files lie here"]);
    bench.plue(&["plan", "sample"]).ends(0).shows(&["4 steps, 3 levels"]);
    bench.plue(&["plan", "--verify", "last"]).ends(0).shows(&["equal"]);
    bench.plue(&["list"]).ends(0).reports(&["there is no workflow"]);
    bench.write("sample.plue.py", SMALL.replace("Small", "My own"));
    bench.plue(&["plan", "sample"]).ends(0).shows(&["My own"]);
}

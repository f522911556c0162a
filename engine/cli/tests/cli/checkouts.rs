//! Workspaces of a server's runs are Git repositories, as `actions/checkout` users expect them.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::{
    forge::{Forge, Served as Watched},
    forks::own_isolation,
    serve::Served,
};

/// A workflow whose only step runs these Git commands in its workspace.
fn workflow(options: &str, commands: &str) -> String {
    format!(
        "def workflow():\n    return Plan(name=\"CI\", triggers=[Trigger.on_push(branches=[\"**\"]), \
         Trigger.on_push(tag=\"v*\"), Trigger.on_pull_request()],{options} \
         steps=[Step.bash(\"test\", r\"\"\"{commands}\"\"\")])\n"
    )
}

const ASKED: &str = "
    git status --porcelain
    echo branch $(git branch --show-current)
    git describe --always
    git log --format=%s
    git diff --name-only origin/main
";

/// A repository of three commits; the second has the tag `v1.0`.
fn tagged(served: &Served, source: &str) {
    served.bench.write(".plue.py", source);
    served.bench.write("a.txt", "1\n");
    served.bench.commit();
    served.bench.write("a.txt", "2\n");
    served.bench.commit();
    let ada = ["-c", "user.name=Ada", "-c", "user.email=ada@example.invalid"];
    served.bench.git(&[&ada[..], &["tag", "-a", "-m", "release", "v1.0"]].concat());
    served.bench.git(&["push", "-q", "origin", "HEAD:main"]);
    served.run(1);
    served.bench.git(&["push", "-q", "origin", "v1.0"]);
}

#[test]
fn plans_and_steps_choose_history_and_tags() {
    let served = Served::start();
    let asked = "git rev-list --count HEAD; git tag; git rev-parse --is-shallow-repository";
    tagged(&served, &workflow(" checkout=Checkout(fetch_depth=1, tags=False),", asked));
    let run = served.run(2);
    let log = served.log_of(&run, "test");
    success(&run, &log);
    assert_eq!(log, "1\ntrue\n");
    // One workspace for the run: the step that asks for more gets it.
    let whole = workflow(" checkout=Checkout(fetch_depth=1),", asked);
    let whole = whole.replace("\"\"\")]", "\"\"\", checkout=Checkout(fetch_depth=0))]");
    served.bench.write(".plue.py", whole);
    served.bench.commit();
    served.bench.git(&["push", "-q", "origin", "HEAD:main"]);
    let run = served.run(3);
    let log = served.log_of(&run, "test");
    success(&run, &log);
    assert_eq!(log, "3\nv1.0\nfalse\n");
}

fn success(run: &Json, log: &str) {
    assert_eq!(run["status"], "success", "{log}");
}

#[test]
fn pushes_have_a_branch_a_history_and_tags() {
    let served = Served::start();
    tagged(&served, &workflow("", ASKED));
    let run = served.run(2);
    let log = served.log_of(&run, "test");
    success(&run, &log);
    // A tag leaves the head detached, and `describe` prints it.
    assert!(log.starts_with("branch\nv1.0\n"), "{log}");
    served.bench.git(&["checkout", "-q", "-b", "topic/one"]);
    served.bench.write("b.txt", "b\n");
    served.bench.commit();
    served.bench.git(&["push", "-q", "origin", "HEAD"]);
    let run = served.run(3);
    let log = served.log_of(&run, "test");
    success(&run, &log);
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], "branch topic/one");
    assert!(lines[1].starts_with("v1.0-1-g"), "{log}");
    assert_eq!((lines.len(), lines.last()), (6, Some(&"b.txt")), "{log}");
}

#[test]
fn reruns_have_the_same_repository() {
    let served = Served::start();
    tagged(&served, &workflow("", ASKED));
    let run = served.run(2);
    let first = served.log_of(&run, "test");
    let path = format!("/api/v1/runs/{}/rerun", run["id"].as_str().unwrap());
    let (status, body) = served.ask("POST", &path, Some(&serde_json::json!({})));
    assert!((200..300).contains(&status), "{status} {body}");
    let again = served.run(3);
    assert_eq!(served.log_of(&again, "test"), first);
}

/// All files of a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() && !path.is_symlink() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

#[test]
fn workspaces_have_no_hook_and_no_credential() {
    let served = Served::start();
    served.bench.write(".plue.py", workflow("", "git config --list --local; git remote -v"));
    served.push();
    let run = served.run(1);
    let log = served.log_of(&run, "test");
    success(&run, &log);
    assert!(!log.contains("extraheader") && !log.contains("credential"), "{log}");
    let workspace = served.bench.state().join("workspaces").join(run["id"].as_str().unwrap());
    let files = files(&workspace.join(".git"));
    assert!(!files.iter().any(|file| file.starts_with(workspace.join(".git/hooks"))), "{files:?}");
    for file in files {
        let content = std::fs::read(&file).unwrap();
        let is_there = content.windows(14).any(|part| part == b"hunter22hunter");
        assert!(!is_there, "{}", file.display());
    }
}

#[test]
fn forks_have_their_pull_request_and_its_base() {
    let forge = Forge::start();
    let served = Watched::start(&forge);
    if !own_isolation(&served.bench) {
        return;
    }
    let commands = "git status --porcelain; git branch --show-current; git describe --tags;
        git diff --name-only origin/main...";
    served.bench.write(".plue.py", workflow("", commands));
    served.bench.write("a.txt", "1\n");
    let base = served.push("refs/heads/main");
    served.bench.git(&["tag", "v1"]);
    served.bench.git(&["push", "-q", "origin", "v1"]);
    served.bench.write("b.txt", "a stranger's\n");
    let head = served.push("refs/pull/7/head");
    served.deliver("d1", "opened", "eve/app", (&base, &head));
    forge.status(&head, "plue/required", "success");
    let log = served.bench.plue(&["logs", "last", "test"]).ends(0).stdout;
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines[1].starts_with("v1-1-g"), "{log}");
    assert_eq!((lines[0], lines[2], lines.len()), ("pull/7", "b.txt", 3), "{log}");
}

/// Child runs are planned by the server from the workspace, in which steps have written.
#[test]
fn configuration_of_steps_runs_nothing_in_the_server() {
    let served = Served::start();
    let marker = served.bench.home().join("pwned");
    let marker = marker.display();
    let hostile = format!(
        "git config core.fsmonitor 'touch {marker}'; git config filter.x.clean 'touch {marker}; cat'
         git config filter.x.required true; git config diff.external 'touch {marker}'
         echo '* filter=x' > .git/info/attributes; sleep 0; touch a.txt"
    );
    served.bench.write(
        ".plue.py",
        format!(
            "def workflow():\n    return Plan(name=\"CI\", triggers=[Trigger.on_push()], steps=[\
             Step.bash(\"test\", r\"\"\"{hostile}\"\"\"), \
             Step.workflow(\"child\", \"inner\", depends_on=[\"test\"])])\n"
        ),
    );
    let inner = "def workflow(ctx):\n    return Plan(name=\"inner\", \
                 steps=[Step.bash(\"show\", f\"echo {len(ctx.changed_files)}\")])\n";
    served.bench.write("inner.plue.py", inner);
    served.bench.write("a.txt", "1\n");
    served.push();
    let run = loop {
        let runs = served.get("/api/v1/runs");
        let runs = runs["items"].as_array().unwrap();
        if let Some(run) =
            runs.iter().find(|run| run["workflow"] == "CI" && run["ended_at"].is_string())
        {
            break run.clone();
        }
    };
    assert_eq!(run["status"], "success", "{run}");
    assert!(!served.bench.home().join("pwned").exists());
}

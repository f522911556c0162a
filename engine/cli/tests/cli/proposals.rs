//! From a push over an agent to a commit on a branch of plue and its pull request, and nothing else.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value as Json, json};

use crate::{
    deliveries::outcome,
    forge::{Forge, Served, repository},
    scripted::Scripted,
    support::Bench,
};

const FIX: &str = r#"
def workflow():
    fix = Step.llm("fix", prompt="Fix the greeting.", tools=["write"], max_turns=4,
                   output={"type": "object", "properties": {"title": {"type": "string"}, "body": {"type": "string"}}})
    diff = Step.bash("diff", "git add -AN . && git diff HEAD", depends_on=[fix])
    propose = Step.plugin("propose", "forge", patch=diff.output(), paths=["*.txt"],
                          pull_request=fix.output(), depends_on=[diff])
    return Plan(name="Fix", triggers=[Trigger.on_push(branch="main")], steps=[fix, diff, propose])
"#;
const CI: &str = r#"
def workflow():
    return Plan(name="CI", triggers=[Trigger.on_push()], steps=[Step.bash("test", "true")])
"#;

/// A model that writes a file and describes the change.
fn writes(path: &str, content: &str) -> [Json; 2] {
    let title = json!({ "title": "Greet @all", "body": "Fixes #7 ![x](https://evil.example/)" });
    let call = json!({ "name": "write", "input": { "path": path, "content": content } });
    [json!({ "tool_calls": [call] }), json!({ "text": title.to_string() })]
}

fn served(forge: &Forge, claude: &Scripted) -> Served {
    let mut served = Served::with(forge, "[pools.untrusted]\nmode = \"off\"\n");
    let key = [("ANTHROPIC_API_KEY", "sk-ant-canary"), ("ANTHROPIC_BASE_URL", &*claude.url)];
    served.dies_and_another_begins_with(&key);
    served.bench.write(".plue/fix.plue.py", FIX);
    served.bench.write(".plue/ci.plue.py", CI);
    served
}

fn pushed(served: &Served, id: &str, branch: &str, before: &str, after: &str) {
    let body = json!({
        "ref": format!("refs/heads/{branch}"), "before": before, "after": after,
        "created": false, "deleted": false, "forced": false, "commits": [],
        "repository": repository("acme/app", 8), "sender": {"login": "ada", "type": "User"},
    });
    let sent = served.send(("push", id), &served.hook, &body);
    assert!(sent.starts_with("HTTP/1.1 202"), "{sent}");
}

fn shown(served: &Served, what: &str) -> String {
    let bare = served.bench.home().join("app.git");
    served.bench.git(&[
        "--git-dir",
        bare.to_str().unwrap(),
        "show",
        "-s",
        "--format=%H %P %s",
        what,
    ])
}

#[test]
fn patches_of_agents_become_one_pull_request() {
    let answers = [writes("hello.txt", "Hello\n"), writes("hello.txt", "Hello, all\n")];
    let (forge, claude) = (Forge::start(), Scripted::new(&Json::from(answers.concat())));
    let served = served(&forge, &claude);
    let mut before = "0".repeat(40);
    for at in 0..2 {
        served.bench.write("app.py", format!("version = {at}\n"));
        let head = served.push("refs/heads/main");
        pushed(&served, &format!("d{at}"), "main", &before, &head);
        forge.status(&head, "plue / Fix", "success");
        let commit = shown(&served, "plue/fix-propose");
        assert!(commit.contains(&format!(" {head} Greet @\u{200b}all")), "{commit}");
        before = head;
    }
    let pulls = forge.pulls();
    assert_eq!(pulls.len(), 1, "{pulls:?}");
    let (title, body) = (&pulls[0]["title"], pulls[0]["body"].as_str().unwrap());
    assert_eq!(title, "Greet @\u{200b}all");
    assert!(!body.contains("![") && !body.contains("https://") && !body.contains("#7"), "{body}");
    assert_eq!(
        (&pulls[0]["head"]["ref"], &pulls[0]["base"]["ref"]),
        (&json!("plue/fix-propose"), &json!("main"))
    );

    // The code of a model is untrusted until people merge it.
    let commit = shown(&served, "plue/fix-propose")[..40].to_owned();
    pushed(&served, "own", "plue/fix-propose", &"0".repeat(40), &commit);
    let (_, note) = outcome(&served, "acme/app", "own");
    assert!(note.contains("a maintainer must let"), "{note}");
}

#[test]
fn patches_outside_of_their_paths_are_refused() {
    let answers = [writes("app.py", "evil = 1\n"), writes(".plue/ci.plue.py", "x")].concat();
    let (forge, claude) = (Forge::start(), Scripted::new(&Json::from(answers)));
    let served = served(&forge, &claude);
    for at in 0..2 {
        served.bench.write("version.md", format!("{at}\n"));
        let head = served.push("refs/heads/main");
        pushed(&served, &format!("d{at}"), "main", &"0".repeat(40), &head);
        let text = forge.status(&head, "plue / Fix", "failure");
        assert!(text.contains("PLUE-R0018"), "{text}");
    }
    assert!(forge.pulls().is_empty());
    let bare = served.bench.home().join("app.git");
    let branches =
        served.bench.git(&["--git-dir", bare.to_str().unwrap(), "branch", "--list", "plue/*"]);
    assert_eq!(branches.trim(), "");
}

#[test]
fn local_runs_show_the_commit_they_would_push() {
    let claude = Scripted::new(&Json::from(writes("hello.txt", "Hello\n").to_vec()));
    let bench = Bench::with(FIX);
    let run = claude.plue(&bench, &["run"]).ends(0);
    run.reports(&[
        "propose would write to the forge",
        "push a commit to plue/fix-propose",
        "+Hello",
    ]);
}

/// Lets pushes of the repository wait in this hook until the file `go` is there.
fn holds_pushes(served: &Served, hook: &str) {
    let home = served.bench.home();
    let script = home.join("app.git/hooks").join(hook);
    let (up, go) = (home.join("up"), home.join("go"));
    let text = format!(
        "#!/bin/sh\ncat > /dev/null\ntouch {}\nuntil test -e {}; do sleep 0.02; done\n",
        up.display(),
        go.display()
    );
    std::fs::create_dir_all(script.parent().unwrap()).unwrap();
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn is_pushing(served: &Served) {
    while !served.bench.home().join("up").exists() {
        std::thread::yield_now();
    }
}

/// Kills the server at a point of its change; the next one applies the change once.
#[track_caller]
fn one_change_over_a_death(hook: &str, point: impl Fn(&Served, &Forge, &Scripted)) {
    let mut answers = writes("hello.txt", "Hello\n");
    // An answer that is not stored is asked for again.
    answers[1]["repeat"] = json!(2);
    let (forge, claude) = (Forge::start(), Scripted::new(&Json::from(answers.to_vec())));
    let mut served = served(&forge, &claude);
    served.bench.write("app.py", "version = 0\n");
    let head = served.push("refs/heads/main");
    if !hook.is_empty() {
        holds_pushes(&served, hook);
    }
    pushed(&served, "d0", "main", &"0".repeat(40), &head);
    point(&served, &forge, &claude);
    let key = [("ANTHROPIC_API_KEY", "sk-ant-canary"), ("ANTHROPIC_BASE_URL", &*claude.url)];
    served.dies_and_another_begins_with(&key);
    // A push of the dead server may still go on, next to that of the new one.
    std::fs::write(served.bench.home().join("go"), "").unwrap();
    // Reports of the dead server may come later than the end of the run.
    forge.answers_until(|| {
        let runs = served.bench.plue(&["runs", "--output", "json"]).ends(0).json();
        let fix = runs["runs"].as_array().unwrap().iter().find(|run| run["workflow"] == "Fix");
        fix.is_some_and(|run| run["status"] == "success")
    });
    assert_eq!(forge.pulls().len(), 1, "{:?}", forge.pulls());
    let bare = served.bench.home().join("app.git");
    let bare = bare.to_str().unwrap();
    let git = |args: &[&str]| served.bench.git(&[&["--git-dir", bare], args].concat());
    assert_eq!(git(&["rev-list", "main..plue/fix-propose", "--count"]).trim(), "1");
    assert_eq!(git(&["rev-parse", "plue/fix-propose^"]).trim(), head);
    assert_eq!(git(&["branch", "--list", "plue/*"]).lines().count(), 1);
    let requests = claude.state()["requests"].as_u64().unwrap();
    let most = if hook.is_empty() { 3 } else { 2 };
    assert!(requests <= most, "{requests} answers were asked for");
}

#[test]
fn servers_killed_before_a_push_change_once() {
    one_change_over_a_death("", |_, _, claude| {
        while claude.state()["requests"] != 2 {
            std::thread::yield_now();
        }
    });
}

#[test]
fn servers_killed_in_a_push_change_once() {
    one_change_over_a_death("pre-receive", |served, _, _| is_pushing(served));
}

#[test]
fn servers_killed_behind_a_push_change_once() {
    one_change_over_a_death("post-receive", |served, _, _| is_pushing(served));
}

#[test]
fn servers_killed_behind_a_pull_request_change_once() {
    one_change_over_a_death("", |_, forge, _| forge.has_pull());
}

#[test]
fn apps_push_with_tokens_for_changes() {
    let answers = Json::from(writes("hello.txt", "Hello\n").to_vec());
    let (forge, claude) = (Forge::start(), Scripted::new(&answers));
    let app = ("--app-key", include_str!("../../../forge/tests/forge/app-key.pem"));
    let config = "[pools.untrusted]\nmode = \"off\"\n";
    let mut served = Served::known_by(&forge, config, app, &["--app-id", "12345"]);
    let key = [("ANTHROPIC_API_KEY", "sk-ant-canary"), ("ANTHROPIC_BASE_URL", &*claude.url)];
    served.dies_and_another_begins_with(&key);
    served.bench.write(".plue/fix.plue.py", FIX);
    let head = served.push("refs/heads/main");
    pushed(&served, "d0", "main", &"0".repeat(40), &head);
    forge.has_pull();
    let rights: Vec<_> = forge.granted().iter().map(|one| one["permissions"].clone()).collect();
    assert_eq!(rights[0]["contents"], "read", "{rights:?}");
    let of_change = json!({ "contents": "write", "pull_requests": "write" });
    assert_eq!(rights.last(), Some(&of_change), "{rights:?}");
}

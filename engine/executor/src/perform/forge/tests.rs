//! Checks of proposals: fields that a model must not set are refused before any request to a forge.

use std::path::PathBuf;

use plue_forge::git::ChangedFile;
use plue_plan::{
    Action,
    event::EventType,
    event::{Branch, PullRequest},
};

use super::*;

fn step(config: Json) -> Step {
    let plugin = json!({ "id": "post", "kind": "plugin", "plugin": "forge", "config": config });
    serde_json::from_value(plugin).unwrap()
}

fn event() -> Event {
    let mut event = Event::new(EventType::PullRequest);
    event.repository = Some("acme/app".to_owned());
    event.sha = Some("ab".repeat(20));
    let base = Default::default();
    let head = Branch { git_ref: "feature".to_owned(), ..Branch::default() };
    let title = String::new();
    let labels = Vec::new();
    event.pull_request =
        Some(PullRequest { number: 7, title, draft: false, labels, base, head, fork: false });
    event
}

fn check(config: Json, event: &Event, origin: &Origin) -> Result<Proposed, String> {
    let step = step(config);
    let Action::Plugin(plugin) = &step.action else { panic!("{step:?}") };
    let (workflow, repository, sha) = ("Review", Some("acme/app"), event.sha.as_deref());
    let run = ForgeRun { workflow, repository, sha, event, origin, is_dry: false };
    proposed(&step, plugin, &Scope::new(), &run)
}

fn own() -> Origin {
    Origin::at(PathBuf::from("/w"))
}

fn findings() -> Json {
    json!({ "findings": [
        { "id": "a", "path": "a.py", "line": 1, "severity": "error", "body": "@all ![x](http://e)" },
    ] })
}

fn refusal(config: Json) -> String {
    let why = check(config, &event(), &own()).unwrap_err();
    assert!(why.starts_with("PLUE-R0018: "), "{why}");
    why
}

#[test]
fn proposals_become_one_change_of_the_events_thread() {
    let config = json!({
        "comment": findings(), "title": "Review of Claude",
        "labels": { "add": ["bug"] }, "allowed_labels": ["bug", "doc"],
    });
    let proposed = check(config.clone(), &event(), &own()).unwrap();
    let change = &proposed.change;
    assert_eq!((&*change.repository, change.thread), ("acme/app", Some(Thread::PullRequest(7))));
    assert_eq!(change.add, ["bug"]);
    let (key, text) = change.comment.as_ref().unwrap();
    assert!(text.starts_with("### Review of Claude\n"), "{text}");
    assert!(!text.contains("@all") && !text.contains("![") && !text.contains("http://"), "{text}");
    let again = check(config, &event(), &own()).unwrap();
    assert_eq!(again.change.comment.unwrap().0, *key, "the key stays");
    let (outcome, output) = proposed
        .clone()
        .ended(Ok(ForgeApplied::Done(ForgeResult { comment: Some(42), ..ForgeResult::default() })));
    assert_eq!((outcome, &output["comment_id"]), (Outcome::Success, &json!(42)));
    assert_eq!(proposed.shown().1["dry_run"], true);
}

#[test]
fn labels_come_from_the_list_of_the_step() {
    let labels =
        |add: Json, allowed: Json| json!({ "labels": { "add": add }, "allowed_labels": allowed });
    assert!(refusal(labels(json!(["approved"]), json!(["bug"]))).contains("`allowed_labels`"));
    assert!(refusal(labels(json!(["a,b"]), json!(["a,b"]))).contains("is no label"));
    assert!(refusal(json!({ "labels": { "add": ["bug"] } })).contains("`allowed_labels`"));
    let many: Vec<String> = (0..11).map(|at| at.to_string()).collect();
    assert!(refusal(labels(json!(many), json!(many))).contains("more than 10"));
    let from_a_model = json!({ "$expr": "steps.x.output" });
    assert!(refusal(labels(json!(["a"]), from_a_model)).contains("must stand in the plan"));
}

#[test]
fn fields_that_do_not_fit_are_refused() {
    assert!(refusal(json!({})).contains("neither `comment` nor `labels` nor `patch`"));
    assert!(refusal(json!({ "comments": findings() })).contains("`comments` is none of"));
    assert!(refusal(json!({ "comment": { "text": "x" } })).contains("`comment`"));
    assert!(refusal(json!({ "comment": { "$secret": "TOKEN" } })).contains("secret"));
    let title = json!({ "comment": findings(), "title": { "$expr": "event.sha" } });
    assert!(refusal(title).contains("must stand in the plan"));
}

#[test]
fn forks_children_and_other_repositories_write_nothing() {
    let config = json!({ "comment": findings() });
    let mut event = event();
    let untrusted = Origin { untrusted: true, ..own() };
    let why = check(config.clone(), &event, &untrusted).unwrap_err();
    assert!(why.contains("forks"), "{why}");
    event.pull_request.as_mut().unwrap().fork = true;
    assert!(check(config.clone(), &event, &own()).unwrap_err().contains("forks"));
    event.pull_request.as_mut().unwrap().fork = false;
    event.repository = Some("acme/other".to_owned());
    assert!(check(config.clone(), &event, &own()).unwrap_err().contains("another repository"));
    let push = Event { kind: EventType::Push, repository: None, pull_request: None, ..event };
    assert!(check(config, &push, &own()).unwrap_err().contains("no pull request and no issue"));
}

fn patching(more: Json) -> Json {
    let diff =
        "diff --git a/docs/a.md b/docs/a.md\n--- a/docs/a.md\n+++ b/docs/a.md\n@@ -1 +1 @@\n-a\n+b";
    let mut config = json!({ "patch": diff, "paths": ["docs/**", "*.md"] });
    let fields = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(fields);
    config
}

fn patch_on(event: &Event) -> Result<PatchChange, String> {
    Ok(check(patching(json!({})), event, &own())?.change.patch.unwrap())
}

#[test]
fn patches_go_to_branches_of_plue() {
    let pull = json!({ "title": "Fixes #7 for @all", "body": "![x](http://e)" });
    let config = patching(json!({ "pull_request": pull, "branch": "docs" }));
    let patch = check(config, &event(), &own()).unwrap().change.patch.unwrap();
    assert_eq!((&*patch.branch, &*patch.base_branch), ("plue/docs-pr-7", "feature"));
    assert!(patch.follows_base && patch.patch.ends_with("+b\n"), "{patch:?}");
    assert_eq!(patch.message, "Fixes #\u{200b}7 for @\u{200b}all");
    let (title, text) = patch.pull_request.unwrap();
    assert_eq!(title, "Fixes #\u{200b}7 for @\u{200b}all");
    assert!(!text.contains("![") && text.contains("Review"), "{text}");

    let on = |kind, branch: Option<&str>| Event {
        pull_request: None,
        kind,
        branch: branch.map(str::to_owned),
        default_branch: Some("main".to_owned()),
        ..event()
    };
    let push = patch_on(&on(EventType::Push, Some("main"))).unwrap();
    assert_eq!((&*push.branch, push.follows_base), ("plue/review-post", true));
    let nightly = patch_on(&on(EventType::Schedule, None)).unwrap();
    assert_eq!((&*nightly.base_branch, nightly.follows_base), ("main", false));
    let other = patch_on(&on(EventType::Push, Some("v1"))).unwrap();
    assert!(other.branch.starts_with("plue/review-post-") && other.branch != nightly.branch);
    let tag = Event { tag: Some("v1".to_owned()), ..on(EventType::Push, None) };
    assert!(patch_on(&tag).unwrap_err().contains("a tag"));
    let proposed = on(EventType::Push, Some("plue/review-post"));
    assert!(patch_on(&proposed).unwrap_err().contains("branches that plue pushed"));
}

#[test]
fn files_of_patches_are_those_of_the_plan() {
    let patch = patch_on(&event()).unwrap();
    let check = |path: &str, mode: &str| {
        let file = ChangedFile { path: path.to_owned(), mode: mode.to_owned() };
        patch.check(&[file])
    };
    for (path, mode) in [("docs/a.md", "100644"), ("docs/b/c.sh", "100755"), ("a.md", "000000")] {
        assert_eq!(check(path, mode), Ok(()), "{path}");
    }
    for (path, mode) in [
        ("src/a.rs", "100644"),
        ("docs/link", "120000"),
        ("docs/module", "160000"),
        ("docs/x.plue.py", "100644"),
        ("docs/.Claude/agents/x.md", "100644"),
        ("docs/.plue/prompts/x.md", "100644"),
        ("CLAUDE.md", "100644"),
        ("docs/a\nb.md", "100644"),
        ("docs/a\u{200b}b.md", "100644"),
    ] {
        assert!(check(path, mode).is_err(), "{path:?} {mode}");
    }
    let many = vec![ChangedFile { path: "docs/a.md".to_owned(), mode: "100644".to_owned() }; 101];
    assert!(patch.check(&many).unwrap_err().contains("more than 100"));
}

#[test]
fn patches_that_do_not_fit_are_refused() {
    for (more, why) in [
        (json!({ "paths": [] }), "`paths`"),
        (json!({ "paths": ["["] }), "`paths`"),
        (json!({ "paths": { "$expr": "steps.x.output" } }), "must stand in the plan"),
        (json!({ "branch": "../x" }), "`branch`"),
        (json!({ "patch": "" }), "is empty"),
        (json!({ "patch": "no diff" }), "no unified diff"),
        (json!({ "patch": "diff --git a/x b/x\nGIT binary patch\n" }), "binary"),
        (json!({ "pull_request": { "title": " " } }), "title"),
        (json!({ "pull_request": { "title": "x", "labels": [] } }), "unknown field"),
        (json!({ "patch": { "$secret": "TOKEN" } }), "secret"),
    ] {
        let refused = refusal(patching(more));
        assert!(refused.contains(why), "{refused}");
    }
    let mut proposed = check(patching(json!({})), &event(), &own()).unwrap();
    let secrets = Secrets::new([&b"docs/a.md"[..]]);
    assert!(proposed.mask(&secrets).unwrap_err().contains("secret"));
    let no_commit = Event { sha: None, ..event() };
    assert!(patch_on(&no_commit).unwrap_err().contains("commit"));
}

#[test]
fn trimmed_ends_of_diffs_are_restored() {
    let trimmed =
        "diff --git a/docs/a b/docs/a\n--- a/docs/a\n+++ b/docs/a\n@@ -1,4 +1,4 @@\n-a\n+b\n c";
    let config = patching(json!({ "patch": trimmed }));
    let patch = check(config, &event(), &own()).unwrap().change.patch.unwrap();
    assert!(patch.patch.ends_with("+b\n c\n \n \n"), "{:?}", patch.patch);
}

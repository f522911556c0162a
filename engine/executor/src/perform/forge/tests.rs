//! Checks of proposals: fields that a model must not set are refused before any request to a forge.

use std::path::PathBuf;

use plue_plan::{Action, event::EventType, event::PullRequest};

use super::*;

fn step(config: Json) -> Step {
    let plugin = json!({ "id": "post", "kind": "plugin", "plugin": "forge", "config": config });
    serde_json::from_value(plugin).unwrap()
}

fn event() -> Event {
    let mut event = Event::new(EventType::PullRequest);
    event.repository = Some("acme/app".to_owned());
    event.sha = Some("ab".repeat(20));
    let (base, head) = (Default::default(), Default::default());
    let title = String::new();
    let labels = Vec::new();
    event.pull_request =
        Some(PullRequest { number: 7, title, draft: false, labels, base, head, fork: false });
    event
}

fn check(config: Json, event: &Event, origin: &Origin) -> Result<Proposed, String> {
    let step = step(config);
    let Action::Plugin(plugin) = &step.action else { panic!("{step:?}") };
    let (workflow, repository) = ("Review", Some("acme/app"));
    let run = ForgeRun { workflow, repository, event, origin, is_dry: false };
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
    assert_eq!((&*change.repository, change.thread), ("acme/app", Thread::PullRequest(7)));
    assert_eq!(change.add, ["bug"]);
    let (key, text) = change.comment.as_ref().unwrap();
    assert!(text.starts_with("### Review of Claude\n"), "{text}");
    assert!(!text.contains("@all") && !text.contains("![") && !text.contains("http://"), "{text}");
    let again = check(config, &event(), &own()).unwrap();
    assert_eq!(again.change.comment.unwrap().0, *key, "the key stays");
    let (outcome, output) = proposed.clone().ended(Ok(ForgeApplied::Done(Some(42))));
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
    assert!(refusal(json!({})).contains("neither `comment` nor `labels`"));
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

//! Triggers against events, case by case, and what holds for all of them.

use plue_plan::{
    Event, Trigger,
    event::{Branch, Comment, EventType, Issue, PullRequest, ScheduleTick},
};
use proptest::prelude::*;

use super::{TriggerVerdict, decide};
use crate::{
    match_input::{Changed, MatchInput},
    spelled::spelled,
    why_not::WhyNot,
};

fn trigger(json: &str) -> Trigger {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn fires(json: &str, event: &Event) -> bool {
    decide(&trigger(json), &MatchInput::new(event)).fires()
}

fn branch(name: &str) -> Event {
    Event {
        branch: Some(name.to_owned()),
        git_ref: Some(format!("refs/heads/{name}")),
        ..Event::new(EventType::Push)
    }
}

fn tag(name: &str) -> Event {
    Event { tag: Some(name.to_owned()), ..Event::new(EventType::Push) }
}

fn pull_request(action: &str, base: &str) -> Event {
    let pull_request = PullRequest {
        number: 7,
        title: String::new(),
        draft: false,
        labels: Vec::new(),
        base: Branch { git_ref: base.to_owned(), ..Branch::default() },
        head: Branch { git_ref: "main".to_owned(), ..Branch::default() },
        fork: false,
    };
    Event {
        action: Some(action.to_owned()),
        pull_request: Some(pull_request),
        ..Event::new(EventType::PullRequest)
    }
}

fn issue(action: &str, labels: &[&str]) -> Event {
    let labels = labels.iter().map(|&label| label.to_owned()).collect();
    Event {
        action: Some(action.to_owned()),
        issue: Some(Issue { number: 1, labels, ..Issue::default() }),
        ..Event::new(EventType::Issue)
    }
}

fn comment(action: &str, body: &str) -> Event {
    Event {
        action: Some(action.to_owned()),
        comment: Some(Comment { body: body.to_owned(), author: "ada".to_owned() }),
        ..Event::new(EventType::IssueComment)
    }
}

fn named(kind: EventType, key: &str, name: &str) -> Event {
    Event { payload: [(key.to_owned(), name.into())].into(), ..Event::new(kind) }
}

#[test]
fn row_1_12_a_push_fires_by_its_branch_or_tag() {
    for (json, event, expected) in [
        (r#"{"on":"push"}"#, branch("main"), true),
        (r#"{"on":"push"}"#, tag("v1"), true),
        (r#"{"on":"push"}"#, branch("gh-readonly-queue/main/pr-7-ab"), true),
        (r#"{"on":"push","branches":["main"]}"#, branch("main"), true),
        (r#"{"on":"push","branches":["main"]}"#, branch("mainline"), false),
        (r#"{"on":"push","branches":["main"]}"#, branch("gh-readonly-queue/main/pr-7-ab"), false),
        (r#"{"on":"push","branches":["main"]}"#, tag("main"), false),
        (r#"{"on":"push","branches":["**"]}"#, tag("v1"), false),
        (r#"{"on":"push","tags":["v*"]}"#, tag("v1"), true),
        (r#"{"on":"push","tags":["v*"]}"#, tag("x1"), false),
        (r#"{"on":"push","tags":["v*"]}"#, branch("v1"), false),
        (r#"{"on":"push","branches":["main"],"tags":["v*"]}"#, tag("v1"), true),
        (r#"{"on":"push","branches":["main"],"tags":["v*"]}"#, branch("main"), true),
        (r#"{"on":"push","branches":["!wip/**","**"]}"#, branch("wip/x"), true),
        (r#"{"on":"push","branches":["**","!wip/**"]}"#, branch("wip/x"), false),
        (r#"{"on":"push","branches":["!wip/**"]}"#, branch("main"), true),
        (r#"{"on":"push"}"#, Event::new(EventType::Push), false),
        (r#"{"on":"push"}"#, pull_request("opened", "main"), false),
    ] {
        assert_eq!(fires(json, &event), expected, "{json} {event:?}");
    }
}

#[test]
fn row_1_12_pull_requests_fire_by_action_and_base() {
    let default = r#"{"on":"pull_request"}"#;
    let ready = r#"{"on":"pull_request","types":["ready_for_review"]}"#;
    let queue = r#"{"on":"pull_request","types":["merge_group"]}"#;
    for (json, event, expected) in [
        (default, pull_request("opened", "main"), true),
        (default, pull_request("synchronize", "main"), true),
        (default, pull_request("reopened", "main"), true),
        (default, pull_request("ready_for_review", "main"), false),
        (default, pull_request("labeled", "main"), false),
        (default, pull_request("closed", "main"), false),
        (default, pull_request("checks_requested", "main"), false),
        (ready, pull_request("ready_for_review", "main"), true),
        (ready, pull_request("opened", "main"), false),
        (queue, pull_request("checks_requested", "main"), true),
        (
            r#"{"on":"pull_request","types":["synchronized"]}"#,
            pull_request("synchronize", "x"),
            true,
        ),
        (r#"{"on":"pull_request","types":["update"]}"#, pull_request("synchronize", "x"), true),
        (r#"{"on":"pull_request","types":["open"]}"#, pull_request("opened", "x"), true),
        (r#"{"on":"pull_request","branches":["main"]}"#, pull_request("opened", "main"), true),
        // The head of this pull request is called `main`; the base counts.
        (r#"{"on":"pull_request","branches":["main"]}"#, pull_request("opened", "next"), false),
        (
            r#"{"on":"pull_request","branches":["release/*"]}"#,
            pull_request("opened", "release/1"),
            true,
        ),
    ] {
        assert_eq!(fires(json, &event), expected, "{json} {event:?}");
    }
}

#[test]
fn row_1_27_issues_and_comments_fire_by_action_and_text() {
    for (json, event, expected) in [
        (r#"{"on":"issue"}"#, issue("opened", &[]), true),
        (r#"{"on":"issue"}"#, issue("labeled", &["bug"]), false),
        (
            r#"{"on":"issue","types":["labeled"],"labels":["bug"]}"#,
            issue("labeled", &["bug"]),
            true,
        ),
        (
            r#"{"on":"issue","types":["labeled"],"labels":["bug"]}"#,
            issue("labeled", &["ui"]),
            false,
        ),
        (r#"{"on":"issue","labels":["bug","ui"]}"#, issue("opened", &["x", "ui"]), true),
        (r#"{"on":"issue_comment"}"#, comment("created", "hi"), true),
        (r#"{"on":"issue_comment"}"#, comment("edited", "hi"), false),
        (r#"{"on":"issue_comment"}"#, comment("deleted", "hi"), false),
        (r#"{"on":"issue_comment","contains":"/run"}"#, comment("created", "please /run it"), true),
        (r#"{"on":"issue_comment","contains":"/run"}"#, comment("created", "hi"), false),
    ] {
        assert_eq!(fires(json, &event), expected, "{json} {event:?}");
    }
}

#[test]
fn the_other_events_fire_by_their_name() {
    let tick = ScheduleTick { cron: "0 0 * * *".to_owned(), ..ScheduleTick::default() };
    let tick = Event { schedule: Some(tick), ..Event::new(EventType::Schedule) };
    let ended = named(EventType::Workflow, "workflow", "CI");
    let ended = Event { action: Some("success".to_owned()), ..ended };
    let called = |name: &str| {
        // A field of the sender's is not the name of the hook.
        let event = named(EventType::Webhook, "name", "deploy");
        Event { action: Some(name.to_owned()), ..event }
    };
    for (json, event, expected) in [
        (r#"{"on":"schedule","cron":"0 0 * * *"}"#, &tick, true),
        (r#"{"on":"schedule","cron":"1 0 * * *"}"#, &tick, false),
        (r#"{"on":"manual"}"#, &Event::new(EventType::Manual), true),
        (r#"{"on":"manual"}"#, &branch("main"), false),
        (r#"{"on":"webhook","name":"deploy"}"#, &called("deploy"), true),
        (r#"{"on":"webhook","name":"deploy"}"#, &called("x"), false),
        (r#"{"on":"event","topic":"t"}"#, &named(EventType::Event, "topic", "t"), true),
        (r#"{"on":"workflow","name":"CI"}"#, &ended, true),
        (r#"{"on":"workflow","name":"CI","outcome":"success"}"#, &ended, true),
        (r#"{"on":"workflow","name":"CI","outcome":"failed"}"#, &ended, false),
        (r#"{"on":"workflow","name":"Other"}"#, &ended, false),
    ] {
        assert_eq!(fires(json, event), expected, "{json}");
    }
}

#[test]
fn messages_fire_on_their_condition_with_reasons() {
    let mut event = named(EventType::Event, "topic", "built");
    event.payload.insert("version".to_owned(), serde_json::json!(3));
    event.actor = Some("ann".to_owned());
    let result_of = |when: &str| {
        let trigger = Trigger::Event { topic: "built".to_owned(), when: Some(when.to_owned()) };
        match decide(&trigger, &MatchInput::new(&event)) {
            TriggerVerdict::Fires => "fires".to_owned(),
            TriggerVerdict::Not(why) => why.to_string(),
        }
    };
    assert_eq!(result_of("event.payload.version > 2 && event.actor == 'ann'"), "fires");
    assert_eq!(result_of("event.payload.topic == 'built' && event.type == 'event'"), "fires");
    assert_eq!(
        result_of("event.payload.version > 3"),
        "its condition is false: event.payload.version > 3"
    );
    for bad in ["event.payload.nothing.there", "event.payload.version > 'x'", "1 +", "inputs.x"] {
        let message = result_of(bad);
        assert!(message.starts_with("its condition cannot be evaluated: "), "{bad}: {message}");
    }
    // Another topic is not even asked.
    let other = Trigger::Event { topic: "x".to_owned(), when: Some("1 +".to_owned()) };
    let why = decide(&other, &MatchInput::new(&event));
    assert!(matches!(why, TriggerVerdict::Not(WhyNot::Name { .. })), "{why:?}");
}

#[test]
fn path_filters_look_at_the_changed_files() {
    let (event, tagged) = (branch("main"), tag("v1"));
    let only = r#"{"on":"push","paths":["src/**","!src/**/*.md"]}"#;
    let ignore = r#"{"on":"push","paths_ignore":["docs/**","*.md"]}"#;
    for (json, files, expected) in [
        (only, &["src/a.rs"][..], true),
        (only, &["src/x/a.md"], false),
        (only, &["src/a.md", "src/a.rs"], true),
        (only, &["docs/a"], false),
        (only, &[], false),
        (ignore, &["docs/a"], false),
        (ignore, &["docs/a", "README.md"], false),
        (ignore, &["docs/a", "src/a.rs"], true),
        (ignore, &[], true),
    ] {
        let files: Vec<String> = files.iter().map(|&file| file.to_owned()).collect();
        let changed = Changed::Files(&files);
        let found =
            |event| decide(&trigger(json), &MatchInput { changed, ..MatchInput::new(event) });
        assert_eq!(found(&event).fires(), expected, "{json} {files:?}");
        assert!(found(&tagged).fires(), "a tag changes no file: {json}");
    }
    assert!(fires(only, &event), "unknown files let everything through");
}

#[test]
fn skip_markers_hold_for_pushes_and_pull_requests() {
    let skipped = |json: &str, event: &Event| {
        let input = MatchInput { message: Some("docs [skip ci]"), ..MatchInput::new(event) };
        matches!(decide(&trigger(json), &input), TriggerVerdict::Not(WhyNot::SkipMarker { .. }))
    };
    assert!(skipped(r#"{"on":"push"}"#, &branch("main")));
    assert!(skipped(r#"{"on":"pull_request"}"#, &pull_request("opened", "main")));
    assert!(!skipped(r#"{"on":"manual"}"#, &Event::new(EventType::Manual)));
    assert!(!skipped(r#"{"on":"issue_comment"}"#, &comment("created", "hi")));
}

#[test]
fn a_pattern_that_cannot_be_read_fires_nothing() {
    let found =
        decide(&trigger(r#"{"on":"push","branches":["[z-a]"]}"#), &MatchInput::new(&branch("z")));
    assert!(matches!(found, TriggerVerdict::Not(WhyNot::BadPattern { .. })), "{found:?}");
}

#[test]
fn triggers_are_spelled_as_people_write_them() {
    for (json, expected) in [
        (r#"{"on":"push"}"#, "on_push()"),
        (r#"{"on":"push","branches":["main"]}"#, r#"on_push(branch="main")"#),
        (
            r#"{"on":"push","branches":["a","b"],"tags":["v*"]}"#,
            r#"on_push(branches=["a", "b"], tag="v*")"#,
        ),
        (r#"{"on":"pull_request"}"#, "on_pull_request()"),
        (r#"{"on":"pull_request","branches":["main"]}"#, r#"on_pull_request(base="main")"#),
        (r#"{"on":"issue_comment","contains":"a\"b"}"#, r#"on_issue_comment(contains="a\"b")"#),
        (
            r#"{"on":"schedule","cron":"0 0 * * *","tz":"Europe/Berlin"}"#,
            r#"on_schedule("0 0 * * *", tz="Europe/Berlin")"#,
        ),
        (r#"{"on":"manual"}"#, "on_manual()"),
    ] {
        assert_eq!(spelled(&trigger(json)), expected);
    }
}

fn any_trigger() -> impl Strategy<Value = Trigger> {
    let patterns = || prop::collection::vec("[!]?[ab*/]{1,4}", 0..3);
    let push = (patterns(), patterns(), patterns(), patterns());
    let push = push.prop_map(|(branches, tags, paths, paths_ignore)| Trigger::Push {
        branches,
        tags,
        paths,
        paths_ignore,
    });
    let pull = (patterns(), patterns());
    let pull = pull.prop_map(|(branches, paths)| Trigger::PullRequest {
        types: Vec::new(),
        branches,
        paths,
    });
    prop_oneof![push, pull]
}

proptest! {
    #[test]
    fn a_deleted_ref_fires_nothing(trigger in any_trigger(), name in "[ab/]{1,5}") {
        for event in [branch(&name), tag(&name), pull_request("opened", &name)] {
            let gone = MatchInput { deleted: true, ..MatchInput::new(&event) };
            prop_assert!(!decide(&trigger, &gone).fires());
        }
    }

    #[test]
    fn branch_patterns_alone_never_fire_for_a_tag(
        branches in prop::collection::vec("[ab*/]{1,4}", 1..3),
        name in "[ab/]{1,5}",
    ) {
        let trigger = Trigger::Push { branches, tags: vec![], paths: vec![], paths_ignore: vec![] };
        prop_assert!(!decide(&trigger, &MatchInput::new(&tag(&name))).fires());
    }

    /// To know less about the changed files never turns a run into none.
    #[test]
    fn unknown_files_fire_whenever_known_ones_do(
        trigger in any_trigger(),
        name in "[ab/]{1,5}",
        files in prop::collection::vec("[ab/]{1,5}", 0..4),
    ) {
        for event in [branch(&name), pull_request("opened", &name)] {
            let known = MatchInput { changed: Changed::Files(&files), ..MatchInput::new(&event) };
            if decide(&trigger, &known).fires() {
                prop_assert!(decide(&trigger, &MatchInput::new(&event)).fires());
            }
        }
    }
}

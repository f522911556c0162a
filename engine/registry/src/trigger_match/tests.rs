//! Every plan reports, with a reason that a person can act on.

use plue_plan::{Event, Trigger, event::EventType};

use super::{TriggerMatch, match_triggers};
use crate::match_input::{Changed, MatchInput};

fn trigger(json: &str) -> Trigger {
    serde_json::from_str(json).unwrap()
}

fn push_to(branch: &str) -> Event {
    Event { branch: Some(branch.to_owned()), ..Event::new(EventType::Push) }
}

#[test]
fn the_first_trigger_that_fires_is_named() {
    let triggers = [
        trigger(r#"{"on":"schedule","cron":"0 0 * * *"}"#),
        trigger(r#"{"on":"push","branches":["next"]}"#),
        trigger(r#"{"on":"push"}"#),
    ];
    let found = match_triggers(&triggers, &MatchInput::new(&push_to("main")));
    assert_eq!(found, TriggerMatch::Fires { trigger: 2 });
}

#[test]
fn skipped_plans_have_a_reason_and_succeed() {
    let triggers = [trigger(r#"{"on":"push","branches":["next"],"paths":["src/**"]}"#)];
    let event = push_to("main");
    let found = match_triggers(&triggers, &MatchInput::new(&event));
    let reason = "the branch `main` fits none of `next`".to_owned();
    assert_eq!(found, TriggerMatch::Skipped { reason, concerned: true });
    let event = push_to("next");
    let files = ["docs/a.md".to_owned()];
    let input = MatchInput { changed: Changed::Files(&files), ..MatchInput::new(&event) };
    let reason = "none of 1 changed files fits `src/**`".to_owned();
    assert_eq!(
        match_triggers(&triggers, &input),
        TriggerMatch::Skipped { reason, concerned: true }
    );
}

#[test]
fn plans_without_a_matching_trigger_report_too() {
    let triggers = [trigger(r#"{"on":"manual"}"#)];
    let found = match_triggers(&triggers, &MatchInput::new(&push_to("main")));
    let reason = "no trigger of the plan is for push events".to_owned();
    assert_eq!(found, TriggerMatch::Skipped { reason, concerned: false });
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["conclusion"], "skipped");
}

#[test]
fn floods_of_patterns_do_not_run() {
    let event = push_to("main");
    let patterns: Vec<String> = (0..400).map(|at| format!("src/{at}/**")).collect();
    let push = |paths: &[String], branches: &[String]| Trigger::Push {
        branches: branches.to_vec(),
        tags: Vec::new(),
        paths: paths.to_vec(),
        paths_ignore: Vec::new(),
    };
    let many: Vec<String> = (0..100_000).map(|at| format!("lib/{at}/file.rs")).collect();
    let few = &many[..1_000];
    let with = |files| MatchInput { changed: Changed::Files(files), ..MatchInput::new(&event) };
    let skipped = |found: &TriggerMatch| matches!(found, TriggerMatch::Skipped { reason, .. } if reason.contains("too many"));
    assert!(!skipped(&match_triggers(&[push(&patterns, &[])], &with(few))));
    assert!(skipped(&match_triggers(&[push(&patterns, &[])], &with(&many))));
    // The sum counts, however it is spread over triggers and plans of other events cost nothing.
    let spread: Vec<Trigger> =
        patterns.iter().map(|one| push(std::slice::from_ref(one), &[])).collect();
    assert!(skipped(&match_triggers(&spread, &with(&many))));
    let branches: Vec<String> = (0..30_000).map(|at| format!("release/{at}")).collect();
    assert!(skipped(&match_triggers(&[push(&[], &branches)], &with(&[]))));
    let other = Event::new(EventType::Manual);
    assert!(!skipped(&match_triggers(&[push(&[], &branches)], &MatchInput::new(&other))));
}

#[test]
fn honest_patterns_run_with_a_large_change() {
    let event = push_to("main");
    let files: Vec<String> = (0..50_000).map(|at| format!("src/module{at}/file.rs")).collect();
    let paths: Vec<String> = (0..20).map(|at| format!("src/module{at}/**/*.rs")).collect();
    let push = Trigger::Push {
        branches: vec!["main".to_owned()],
        tags: Vec::new(),
        paths,
        paths_ignore: vec!["docs/**".to_owned()],
    };
    let input = MatchInput { changed: Changed::Files(&files), ..MatchInput::new(&event) };
    assert_eq!(match_triggers(&[push], &input), TriggerMatch::Fires { trigger: 0 });
}

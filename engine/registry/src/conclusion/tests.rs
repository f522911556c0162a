//! Every plan reports, with a reason that a person can act on.

use plue_plan::{Event, Trigger, event::EventType};

use super::{Conclusion, conclude};
use crate::happening::{Changed, Happening};

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
    let found = conclude(&triggers, &Happening::new(&push_to("main")));
    assert_eq!(found, Conclusion::Runs { trigger: 2 });
}

#[test]
fn a_skipped_plan_says_why_and_counts_as_success() {
    let triggers = [trigger(r#"{"on":"push","branches":["next"],"paths":["src/**"]}"#)];
    let event = push_to("main");
    let found = conclude(&triggers, &Happening::new(&event));
    let reason = "the branch `main` fits none of `next`".to_owned();
    assert_eq!(found, Conclusion::Skipped { reason, concerned: true });
    let event = push_to("next");
    let files = ["docs/a.md".to_owned()];
    let happening = Happening { changed: Changed::Files(&files), ..Happening::new(&event) };
    let reason = "none of 1 changed files fits `src/**`".to_owned();
    assert_eq!(conclude(&triggers, &happening), Conclusion::Skipped { reason, concerned: true });
}

#[test]
fn a_plan_without_a_trigger_for_the_event_reports_too() {
    let triggers = [trigger(r#"{"on":"manual"}"#)];
    let found = conclude(&triggers, &Happening::new(&push_to("main")));
    let reason = "no trigger of the plan is for push events".to_owned();
    assert_eq!(found, Conclusion::Skipped { reason, concerned: false });
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["conclusion"], "skipped");
}

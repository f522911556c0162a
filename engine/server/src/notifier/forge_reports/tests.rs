//! Detection of changes, the summary of all plans, and the backoff.

use plue_forge::feedback::{Outcome, PlanChange, PlanReport};

use super::*;

fn standing(name: &str, state: State, is_final: bool) -> Standing {
    Standing {
        state,
        description: format!("{name} is {state:?}"),
        report: PlanReport {
            name: name.to_owned(),
            file: "ci.plue.py".to_owned(),
            outcome: Outcome::Running,
            change: PlanChange::Unchanged,
            url: None,
            took: None,
            steps: Vec::new(),
            tests: None,
        },
        annotations: Vec::new(),
        is_final,
    }
}

fn all(states: &[State]) -> (State, String) {
    let named = ["a", "b", "c", "d"].iter().zip(states);
    let list: Vec<_> =
        named.map(|(name, state)| ((*name).to_owned(), standing(name, *state, true))).collect();
    let all = of_all(&list).unwrap();
    (all.state, all.description)
}

#[test]
fn the_summary_names_the_worst_plan() {
    assert_eq!(of_all(&[]), None);
    let fine = (State::Success, "2 of 2 plans fine".to_owned());
    assert_eq!(all(&[State::Skipped, State::Skipped]), fine);
    assert_eq!(all(&[State::Success, State::Skipped]), fine);
    let (state, text) = all(&[State::Success, State::Failure, State::Running]);
    assert_eq!((state, text.as_str()), (State::Failure, "1 of 3 plans fine; b: b is Failure"));
    assert_eq!(all(&[State::Success, State::Running, State::Pending]).0, State::Running);
    assert_eq!(all(&[State::Success, State::Cancelled, State::Running]).0, State::Cancelled);
}

#[test]
fn only_changes_are_reported() {
    let list = vec![("x".to_owned(), standing("x", State::Running, false))];
    let mut current =
        CurrentState { standings: list, comment: Some("text".to_owned()), is_final: false };
    let mut reported = StatusReport::default();
    assert!(reported.differs_from(&current));
    let report_of = |one: &Standing| ContextReport { reported: fingerprint(one), check: None };
    reported.contexts.insert("x".to_owned(), report_of(&current.standings[0].1));
    reported.contexts.insert(REQUIRED.to_owned(), report_of(&of_all(&current.standings).unwrap()));
    assert!(reported.differs_from(&current));
    reported.comment = Some((1, digest("text")));
    assert!(!reported.differs_from(&current));
    current.comment = Some("another".to_owned());
    assert!(reported.differs_from(&current));
    current.comment = None;
    current.standings[0].1.state = State::Success;
    assert!(reported.differs_from(&current));
}

#[test]
fn backoff_grows_and_refusals_are_permanent() {
    let later = |retry_after| SendError::Forge(FeedbackError::Later { status: 503, retry_after });
    let wait = |failures, error: &SendError| {
        StatusReport { failures, ..StatusReport::default() }.wait(error)
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let own = SendError::Own(Error::Stopped);
    assert_eq!(wait(1, &own), seconds(5));
    assert_eq!(wait(2, &own), seconds(10));
    assert_eq!(wait(20, &own), seconds(600));
    assert_eq!(wait(24, &own), None);
    assert_eq!(wait(1, &later(seconds(3_600))), seconds(3_600));
    let refused = FeedbackError::Refused { what: "a status", status: 403, reason: "no".to_owned() };
    assert_eq!(wait(1, &SendError::Forge(refused)), None);
}

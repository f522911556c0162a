//! What is said, what is not said again, and how long an ill forge is waited for.

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
fn one_status_stands_for_all_and_names_the_worst() {
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
fn what_was_said_is_not_said_again() {
    let list = vec![("x".to_owned(), standing("x", State::Running, false))];
    let mut news = News { standings: list, comment: Some("text".to_owned()), is_final: false };
    let mut told = Told::default();
    assert!(told.lacks(&news));
    let said_of = |one: &Standing| Context { said: said(one), check: None };
    told.contexts.insert("x".to_owned(), said_of(&news.standings[0].1));
    told.contexts.insert(REQUIRED.to_owned(), said_of(&of_all(&news.standings).unwrap()));
    assert!(told.lacks(&news));
    told.comment = Some((1, digest("text")));
    assert!(!told.lacks(&news));
    news.comment = Some("another".to_owned());
    assert!(told.lacks(&news));
    news.comment = None;
    news.standings[0].1.state = State::Success;
    assert!(told.lacks(&news));
}

#[test]
fn waits_grow_and_a_refusal_is_final() {
    let later = |retry_after| SayError::Forge(FeedbackError::Later { status: 503, retry_after });
    let wait = |failures, error: &SayError| Told { failures, ..Told::default() }.wait(error);
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let own = SayError::Own(Error::Stopped);
    assert_eq!(wait(1, &own), seconds(5));
    assert_eq!(wait(2, &own), seconds(10));
    assert_eq!(wait(20, &own), seconds(600));
    assert_eq!(wait(24, &own), None);
    assert_eq!(wait(1, &later(seconds(3_600))), seconds(3_600));
    let refused = FeedbackError::Refused { what: "a status", status: 403, reason: "no".to_owned() };
    assert_eq!(wait(1, &SayError::Forge(refused)), None);
}

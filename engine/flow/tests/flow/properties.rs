//! Properties of every plan and every order of events. `Player` checks after each input that the
//! journal folds to the same state, that an interrupted run continues the same way, that open
//! effects are exactly the open work, and that `max_parallel` holds.

use std::collections::BTreeMap;

use plue_flow::{
    Fact, RunStatus, StepStatus,
    fact::{Outcome, Reason},
};
use plue_plan::policy::OnFailure;
use proptest::prelude::*;

use crate::{
    chance::{Case, Features, case, play},
    player::Player,
    reference::Naive,
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn row_1_14_every_run_ends_from_any_prefix(case in case(Features::All)) {
        let player = play(&case, &mut |_| {});
        prop_assert!(player.run.is_finished());
    }

    #[test]
    fn row_1_29_steps_start_after_all_their_dependencies(case in case(Features::All)) {
        let mut seen = 0;
        play(&case, &mut |player| {
            for at in seen..player.journal.len() {
                starts_rightly(player, at);
            }
            seen = player.journal.len();
        });
    }

    #[test]
    fn row_2_22_runs_match_a_naive_interpreter(case in case(Features::Plain)) {
        agrees(&case);
    }
}

/// Each attempt in the journal that was queued at `at` had its dependencies behind it.
fn starts_rightly(player: &Player, at: usize) {
    let Fact::AttemptQueued { step, number: 1, .. } = &player.journal[at].1 else {
        return;
    };
    let reopened = player.journal.iter().any(|(_, fact)| matches!(fact, Fact::RunReopened { .. }));
    let mut ends = BTreeMap::new();
    for (_, fact) in &player.journal[..at] {
        if let Fact::StepEnded { step, status, reason, .. } = fact {
            ends.insert(step, (*status, reason.clone()));
        }
        if let Fact::LoopedBack { steps, .. } | Fact::RunReopened { steps, .. } = fact {
            for step in steps {
                ends.remove(step);
            }
        }
    }
    let plan = player.run.plan();
    for above in &plan.step(step).unwrap().depends_on {
        let (status, reason) = ends.get(above).unwrap_or_else(|| panic!("{above} is open"));
        // With `skip` a failed step is shown as skipped, but an exhausted loop stays `failed`.
        let made_up = matches!(
            plan.step(above).unwrap().options.on_failure,
            OnFailure::Continue | OnFailure::Skip
        );
        let well = match status {
            StepStatus::Success => true,
            StepStatus::Failed | StepStatus::TimedOut => made_up,
            StepStatus::Skipped => matches!(
                reason,
                Some(
                    Reason::ConditionFalse
                        | Reason::ConditionError { .. }
                        | Reason::FailedButSkipped
                        | Reason::NotSelected
                )
            ),
            StepStatus::Cancelled
            | StepStatus::Pending
            | StepStatus::Queued
            | StepStatus::Running
            | StepStatus::Waiting => false,
        };
        // `retry --from` starts a step regardless of its dependencies' results.
        assert!(well || reopened, "{step} began after {above}: {status}, {reason:?}");
    }
}

/// Plays the case on both; cancelled, timed-out, selected and reopened runs are left to the others.
fn agrees(case: &Case) {
    let tame = |choice: &u8| choice % 240;
    let mut case = case.clone();
    case.choices = case.choices.iter().map(tame).collect();
    if let Some(first) = case.choices.first_mut() {
        *first = 0;
    }
    let mut naive = Naive::new(&case.steps, &case.more);
    let mut seen = 0;
    let mut first_start = None;
    let mut done = false;
    play(&case, &mut |player| {
        let reopens = |fact: &(_, Fact)| matches!(fact.1, Fact::RunReopened { .. });
        done |= player.journal.iter().any(reopens);
        if done {
            return;
        }
        let start = *first_start.get_or_insert(player.now);
        naive.now_s = player.now.duration_since(start).as_secs();
        for (_, fact) in &player.journal[seen..] {
            apply(&mut naive, fact);
        }
        naive.settle();
        seen = player.journal.len();
        let timed_out = player.journal.iter().any(|(_, fact)| *fact == Fact::RunTimedOut);
        if !timed_out {
            assert_eq!(player.statuses(), naive.statuses(), "{:#?}", player.journal);
        }
        done |= timed_out || player.run.status() == RunStatus::Cancelled;
    });
}

fn apply(naive: &mut Naive, fact: &Fact) {
    if let Fact::ConditionEvaluated { step, value, .. } = fact {
        naive.answered(step.as_str(), value.clone().map_err(drop));
    }
    if let Fact::AttemptAssigned { step, .. } = fact {
        naive.assigned(step.as_str());
    }
    if let Fact::AttemptRequeued { step, .. } = fact {
        naive.requeued(step.as_str());
    }
    if let Fact::AttemptStarted { step, .. } = fact {
        naive.started(step.as_str());
    }
    if let Fact::AttemptEnded { step, outcome, .. } = fact {
        let kind = match outcome {
            Outcome::Success => "success".to_owned(),
            Outcome::Exit { code, .. } => format!("exit:{code}"),
            Outcome::TimedOut => "timeout".to_owned(),
            Outcome::Cancelled => "cancelled".to_owned(),
            Outcome::Refused { .. } | Outcome::Failed { .. } | Outcome::Rejected { .. } => {
                "refused".to_owned()
            }
            Outcome::Infra { .. } => "infra".to_owned(),
        };
        // The naive interpreter withdraws by itself what the run withdrew.
        if naive.is_open(step.as_str()) {
            naive.ended(step.as_str(), &kind);
        }
    }
}

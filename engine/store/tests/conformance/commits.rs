//! Advancing runs: all or nothing, on the journal that the decision knew.

use plue_flow::{AttemptStatus, Fact, RunStatus, StepStatus, fact::Outcome};
use plue_plan::{AttemptId, RunId, RunnerId};
use plue_store::{AttemptEnd, CancelRequest, Refused};
use plue_wire::runner::{Claim, EventKind, Fence, ResultVerdict};

use crate::support::{
    assign, at, commit, event, new_attempt, queued_fact, stale, stdout, step_view, success,
};

fn refused(claim: &Claim, verdict: ResultVerdict) -> Refused {
    Refused::Result { claim: claim.clone(), verdict }
}

on_each_store! {
    async fn a_commit_writes_journal_and_rows_together(world) {
        let run = world.queued("r1", "a1").await;
        let stored = world.store.runs().load(&run).await.unwrap().unwrap();
        assert_eq!(stored.run.seq, 2);
        assert_eq!(stored.run.view.status, RunStatus::Running);
        assert_eq!(stored.journal[1], (at(6), queued_fact("a1")));
        assert_eq!(stored.source.inputs, serde_json::json!({"who": "wörld\u{0}"}));
        let steps = world.store.runs().steps(&run).await.unwrap();
        assert_eq!(steps[0].view, step_view(StepStatus::Queued));
        let attempts = world.store.attempts().list(&run, Some(&"build".into())).await.unwrap();
        assert_eq!(attempts[0].state, AttemptStatus::Queued);
        assert_eq!(attempts[0].claim.fence, Fence(0));
    }

    async fn a_decision_on_an_old_journal_is_refused_and_leaves_nothing(world) {
        let run = world.queued("r1", "a1").await;
        let mut late = commit(&run, 1, RunStatus::Failed);
        late.facts.push(Fact::RunStarted);
        late.attempts.push(new_attempt("a2"));
        late.steps.push(step_view(StepStatus::Failed));
        let answer = world.store.runs().commit(late).await.unwrap();
        assert_eq!(answer, Err(Refused::Stale { seq: 2 }));
        let stored = world.store.runs().load(&run).await.unwrap().unwrap();
        assert_eq!((stored.run.view.status, stored.journal.len()), (RunStatus::Running, 2));
        assert_eq!(world.store.attempts().list(&run, None).await.unwrap().len(), 1);
        assert_eq!(world.store.runs().steps(&run).await.unwrap()[0].view.status, StepStatus::Queued);
    }

    async fn a_commit_to_a_run_that_is_not_there_is_refused(world) {
        let mut none = commit(&RunId::new("nope"), 0, RunStatus::Running);
        assert_eq!(world.store.runs().commit(none.clone()).await.unwrap(), Err(Refused::NoRun));
        none.assign_to = Some(assign("nobody", 1));
        assert_eq!(world.store.runs().commit(none).await.unwrap(), Err(Refused::NoRun));
    }

    async fn a_run_is_created_once(world) {
        let run = world.created("r1").await;
        let (new, first) = world.new_run("r1").await;
        let again = world.store.runs().create(new, first).await.unwrap();
        assert_eq!(again, Err(Refused::Stale { seq: 1 }));
        assert_eq!(world.store.runs().load(&run).await.unwrap().unwrap().journal.len(), 1);
    }

    async fn two_writers_of_one_run_never_both_win(world) {
        let run = world.created("r1").await;
        let (one, two) = (world.store.clone(), world.another().await);
        let mut wins = [0_u64; 2];
        for round in 0..50_u64 {
            let seq = 1 + round;
            let mut a = commit(&run, seq, RunStatus::Running);
            a.facts.push(Fact::RunStarted);
            let b = a.clone();
            let (a, b) = tokio::join!(one.runs().commit(a), two.runs().commit(b));
            let won = [a.unwrap().is_ok(), b.unwrap().is_ok()];
            assert_ne!(won[0], won[1], "round {round}");
            wins[usize::from(won[1])] += 1;
        }
        assert_eq!(world.store.runs().get(&run).await.unwrap().unwrap().seq, 51);
        assert_eq!(wins[0] + wins[1], 50);
    }

    async fn many_commits_at_once_all_hold(world) {
        let mut runs = Vec::new();
        for n in 0..20 {
            runs.push(world.created(&format!("r{n:02}")).await);
        }
        let commits = runs.iter().map(|run| {
            let mut next = commit(run, 1, RunStatus::Running);
            next.facts = vec![Fact::RunStarted, Fact::RunStarted];
            world.store.runs().commit(next)
        });
        for answer in futures::future::join_all(commits).await {
            assert_eq!(answer.unwrap().unwrap().seq, 3);
        }
    }

    async fn a_statement_that_fails_takes_only_its_own_commit_with_it(world) {
        let good = world.created("r1").await;
        let bad = world.queued("r2", "a1").await;
        let mut fails = commit(&bad, 2, RunStatus::Running);
        // The id of an attempt is taken already.
        fails.attempts.push(new_attempt("a1"));
        let mut holds = commit(&good, 1, RunStatus::Running);
        holds.facts.push(Fact::RunStarted);
        let (fails, holds) =
            tokio::join!(world.store.runs().commit(fails), world.store.runs().commit(holds));
        assert!(fails.is_err());
        assert_eq!(holds.unwrap().unwrap().seq, 2);
        assert_eq!(world.store.runs().get(&bad).await.unwrap().unwrap().seq, 2);
    }

    async fn a_commit_assigns_new_attempts_to_a_runner_that_waits(world) {
        let run = world.created("r1").await;
        let epoch = world.runner("w1", Some(&run)).await;
        let mut next = commit(&run, 1, RunStatus::Running);
        next.attempts = vec![new_attempt("a1"), new_attempt("a2"), new_attempt("a3")];
        next.assign_to = Some(plue_store::Assign { max: 2, ..assign("w1", epoch) });
        let committed = world.store.runs().commit(next).await.unwrap().unwrap();
        let ids: Vec<_> = committed.assigned.iter().map(|claim| claim.attempt.as_str()).collect();
        assert_eq!(ids, ["a1", "a2"]);
        assert!(committed.assigned[0].fence < committed.assigned[1].fence);
        let held = world.store.attempts().claims_of(&RunnerId::new("w1")).await.unwrap();
        let held: Vec<_> = held.into_iter().map(|row| row.claim).collect();
        assert_eq!(held, committed.assigned);
        let third = world.store.attempts().get(&AttemptId::new("a3")).await.unwrap().unwrap();
        assert_eq!(third.state, AttemptStatus::Queued);
    }

    async fn a_new_run_may_be_assigned_at_once(world) {
        let (new, mut first) = world.new_run("r1").await;
        let epoch = world.runner("w1", None).await;
        first.attempts.push(new_attempt("a1"));
        first.assign_to = Some(assign("w1", epoch));
        let committed = world.store.runs().create(new, first).await.unwrap().unwrap();
        assert_eq!(committed.assigned.len(), 1);
        let runner = world.store.runners().get(&RunnerId::new("w1")).await.unwrap().unwrap();
        assert_eq!(runner.group, Some(RunId::new("r1")));
    }

    async fn fences_only_grow(world) {
        let mut last = 0;
        for n in 0..4 {
            let run = world.created(&format!("r{n}")).await;
            let epoch = world.runner(&format!("w{n}"), Some(&run)).await;
            let mut next = commit(&run, 1, RunStatus::Running);
            next.attempts = vec![new_attempt(&format!("a{n}")), new_attempt(&format!("b{n}"))];
            next.assign_to = Some(assign(&format!("w{n}"), epoch));
            for claim in world.store.runs().commit(next).await.unwrap().unwrap().assigned {
                assert!(claim.fence.0 > last);
                last = claim.fence.0;
            }
        }
    }

    async fn a_result_is_recorded_with_the_events_that_came_with_it(world) {
        let claim = world.started("r1", "a1").await;
        let mut end = success(&claim, 3);
        end.tail.push(stdout(&claim, 2, b"done\n"));
        world.end(&RunId::new("r1"), 2, end).await.unwrap();
        let row = world.store.attempts().get(&claim.attempt).await.unwrap().unwrap();
        assert_eq!(row.state, AttemptStatus::Done);
        assert_eq!(row.outcome, Some(Outcome::Success));
        assert_eq!((row.ack_seq, row.log_bytes, row.pid), (3, 5, Some(77)));
        assert_eq!(row.ended_at, Some(at(6)));
        assert!(world.store.attempts().claims_of(row.runner.as_ref().unwrap()).await.unwrap().is_empty());
    }

    async fn the_whole_life_of_a_short_attempt_fits_into_one_tail(world) {
        let run = world.queued("r1", "a1").await;
        let epoch = world.runner("w1", Some(&run)).await;
        let claimed = world.store.attempts().claim(&RunnerId::new("w1"), epoch, 1, at(10)).await.unwrap();
        let claim = claimed[0].claim.clone();
        let mut end = success(&claim, 3);
        end.tail = vec![
            event(&claim, 1, EventKind::Started { pid: 9 }),
            stdout(&claim, 2, b"x"),
        ];
        world.end(&run, 2, end).await.unwrap();
        let row = world.store.attempts().get(&claim.attempt).await.unwrap().unwrap();
        assert_eq!((row.pid, row.started_at), (Some(9), Some(at(11))));
    }

    async fn failure_case_08_a_result_sent_twice_is_recorded_once(world) {
        let claim = world.started("r1", "a1").await;
        let run = RunId::new("r1");
        world.end(&run, 2, success(&claim, 2)).await.unwrap();
        let other = world.another().await;
        let mut again = commit(&run, 3, RunStatus::Success);
        again.facts.push(Fact::RunStarted);
        again.ends.push(success(&claim, 2));
        let answer = other.runs().commit(again).await.unwrap();
        assert_eq!(answer, Err(refused(&claim, ResultVerdict::Duplicate)));
        assert_eq!(world.store.runs().get(&run).await.unwrap().unwrap().seq, 3);
    }

    async fn failure_case_09_a_result_before_its_events_is_needed_again(world) {
        let claim = world.started("r1", "a1").await;
        let run = RunId::new("r1");
        let early = world.end(&run, 2, success(&claim, 4)).await;
        assert_eq!(early, Err(refused(&claim, ResultVerdict::Need(2))));
        let mut gap = success(&claim, 4);
        gap.tail.push(stdout(&claim, 3, b"late"));
        let early = world.end(&run, 2, gap).await;
        assert_eq!(early, Err(refused(&claim, ResultVerdict::Need(2))));
        let mut whole = success(&claim, 4);
        whole.tail = vec![stdout(&claim, 2, b"a"), stdout(&claim, 3, b"b")];
        world.end(&run, 2, whole).await.unwrap();
        let row = world.store.attempts().get(&claim.attempt).await.unwrap().unwrap();
        assert_eq!(row.log_bytes, 2);
    }

    async fn a_stale_fence_is_refused(world) {
        let claim = world.started("r1", "a1").await;
        let old = stale(&claim);
        let answer = world.end(&RunId::new("r1"), 2, success(&old, 2)).await;
        assert_eq!(answer, Err(refused(&old, ResultVerdict::Fenced)));
        let events = vec![(old.clone(), vec![stdout(&old, 2, b"zombie")])];
        assert_eq!(world.store.journal().append(events).await.unwrap()[0].ack_seq, None);
        assert_eq!(world.store.logs().stat(&claim.attempt).await.unwrap().unwrap().bytes, 0);
    }

    async fn failure_case_06_a_zombie_that_returns_after_the_rerun_changes_nothing(world) {
        let zombie = world.started("r1", "a1").await;
        let run = RunId::new("r1");
        let mut lost = success(&zombie, 0);
        lost.seq = None;
        lost.status = AttemptStatus::Lost;
        lost.outcome = Outcome::Infra { message: "lease over".to_owned() };
        world.end(&run, 2, lost).await.unwrap();
        let events = vec![(zombie.clone(), vec![stdout(&zombie, 2, b"I live")])];
        assert_eq!(world.store.journal().append(events).await.unwrap()[0].ack_seq, None);
        let answer = world.end(&run, 3, success(&zombie, 2)).await;
        assert_eq!(answer, Err(refused(&zombie, ResultVerdict::Fenced)));
        let row = world.store.attempts().get(&zombie.attempt).await.unwrap().unwrap();
        assert_eq!((row.state, row.log_bytes), (AttemptStatus::Lost, 0));
    }

    async fn failure_case_05_an_attempt_whose_runner_died_before_the_start_is_queued_again(world) {
        let run = world.queued("r1", "a1").await;
        let epoch = world.runner("w1", Some(&run)).await;
        let first = world.store.attempts().claim(&RunnerId::new("w1"), epoch, 1, at(10)).await.unwrap();
        let old = first[0].claim.clone();
        let note = event(&old, 1, EventKind::Note("preparing".to_owned()));
        world.store.journal().append(vec![(old.clone(), vec![note])]).await.unwrap();
        let lost = world.store.runners().gone(&RunnerId::new("w1"), "killed", at(12)).await.unwrap();
        assert_eq!(lost[0].claim, old);
        let mut again = commit(&run, 2, RunStatus::Running);
        again.requeue.push(old.clone());
        world.store.runs().commit(again.clone()).await.unwrap().unwrap();
        assert_eq!(
            world.store.runs().commit(again).await.unwrap(),
            Err(refused(&old, ResultVerdict::Fenced))
        );
        let epoch = world.runner("w2", Some(&run)).await;
        let second = world.store.attempts().claim(&RunnerId::new("w2"), epoch, 1, at(13)).await.unwrap();
        let new = second[0].claim.clone();
        assert_eq!((new.attempt.as_str(), second[0].number), ("a1", 1));
        assert!(new.fence > old.fence);
        let started = vec![event(&new, 1, EventKind::Started { pid: 1 })];
        let acked = world.store.journal().append(vec![(new, started)]).await.unwrap();
        assert_eq!(acked[0].ack_seq, Some(1));
    }

    async fn failure_case_10_cancel_and_result_have_exactly_one_outcome(world) {
        for (n, result_first) in [true, false].into_iter().enumerate() {
            let run = format!("r{n}");
            let claim = world.started(&run, &format!("a{n}")).await;
            let run = RunId::new(run);
            let cancelled = AttemptEnd {
                seq: None,
                status: AttemptStatus::Cancelled,
                outcome: Outcome::Cancelled,
                ..success(&claim, 0)
            };
            let result = success(&claim, 2);
            let (first, second) =
                if result_first { (result, cancelled) } else { (cancelled, result) };
            let wins = first.status;
            world.end(&run, 2, first).await.unwrap();
            assert!(world.end(&run, 3, second).await.is_err());
            let row = world.store.attempts().get(&claim.attempt).await.unwrap().unwrap();
            assert_eq!(row.state, wins);
        }
    }

    async fn failure_case_11_an_attempt_cancelled_while_queued_is_never_assigned(world) {
        let run = world.queued("r1", "a1").await;
        let mut cancel = commit(&run, 2, RunStatus::Running);
        cancel.cancels.push(AttemptId::new("a1"));
        world.store.runs().commit(cancel.clone()).await.unwrap().unwrap();
        let epoch = world.runner("w1", Some(&run)).await;
        let got = world.store.attempts().claim(&RunnerId::new("w1"), epoch, 5, at(10)).await.unwrap();
        assert!(got.is_empty());
        let attempt = AttemptId::new("a1");
        assert_eq!(world.store.runs().commit(cancel).await.unwrap(), Err(Refused::NotQueued { attempt }));
    }

    async fn an_attempt_that_a_runner_has_is_not_cancelled_behind_its_back(world) {
        let claim = world.started("r1", "a1").await;
        let mut cancel = commit(&RunId::new("r1"), 2, RunStatus::Running);
        cancel.cancels.push(claim.attempt.clone());
        let attempt = claim.attempt.clone();
        assert_eq!(world.store.runs().commit(cancel).await.unwrap(), Err(Refused::NotQueued { attempt }));
        let row = world.store.attempts().get(&claim.attempt).await.unwrap().unwrap();
        assert_eq!(row.state, AttemptStatus::Running);
    }

    async fn a_request_that_a_run_outlived_does_not_stop_it_when_it_goes_on(world) {
        let run = world.created("r1").await;
        let ask = async || {
            let request = CancelRequest { by: "ann".to_owned(), kill: false };
            world.store.cancels().request(&run, request, at(7)).await.unwrap();
        };
        let mut end = commit(&run, 1, RunStatus::Failed);
        end.facts.push(Fact::RunEnded { status: RunStatus::Failed, reason: None });
        world.store.runs().commit(end).await.unwrap().unwrap();
        ask().await;
        let mut again = commit(&run, 2, RunStatus::Running);
        again.facts.push(Fact::RunReopened { by: "ann".to_owned(), steps: Vec::new() });
        world.store.runs().commit(again).await.unwrap().unwrap();
        assert_eq!(world.store.cancels().get(&run).await.unwrap(), None);
        ask().await;
        assert!(world.store.cancels().get(&run).await.unwrap().is_some(), "asked since");
    }

    async fn a_kill_that_is_asked_for_while_a_milder_request_is_answered_stays(world) {
        let run = world.created("r1").await;
        let ask = async |kill: bool| {
            let request = CancelRequest { by: "ann".to_owned(), kill };
            world.store.cancels().request(&run, request, at(7)).await.unwrap();
        };
        let open = async || world.store.cancels().get(&run).await.unwrap();
        ask(false).await;
        let mild = open().await;
        ask(true).await;
        let mut next = commit(&run, 1, RunStatus::Running);
        next.facts.push(Fact::RunStarted);
        next.answers_request = mild.clone();
        world.store.runs().commit(next.clone()).await.unwrap().unwrap();
        world.store.cancels().forget(&run, &mild.unwrap()).await.unwrap();
        let kill = open().await;
        assert!(kill.as_ref().is_some_and(|request| request.kill), "{kill:?}");
        (next.expect_seq, next.answers_request) = (2, kill);
        world.store.runs().commit(next).await.unwrap().unwrap();
        assert_eq!(open().await, None);
    }
}

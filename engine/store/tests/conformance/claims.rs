//! Runners, sessions, and who gets which attempt.

use std::collections::BTreeSet;

use plue_flow::{AttemptStatus, RunStatus};
use plue_plan::{RunId, RunnerId};
use plue_store::{Error, RunnerState};
use plue_wire::runner::EventKind;

use crate::support::{assign, at, commit, engine, event, new_attempt, success};

fn runner(id: &str) -> RunnerId {
    RunnerId::new(id)
}

on_each_store! {
    async fn failure_case_01_one_queued_attempt_raced_by_many_has_one_winner(world) {
        let (one, two) = (world.store.clone(), world.another().await);
        let mut idle = Vec::new();
        for n in 0..8 {
            let name = format!("w{n}");
            idle.push((runner(&name), world.runner(&name, None).await));
        }
        for round in 0..200 {
            let run = world.queued(&format!("r{round}"), &format!("a{round}")).await;
            let claims = idle.iter().enumerate().map(|(n, (id, epoch))| {
                let store = if n % 2 == 0 { &one } else { &two };
                async move { (n, store.attempts().claim(id, *epoch, 1, at(10)).await.unwrap()) }
            });
            let answers = futures::future::join_all(claims).await;
            let won: Vec<_> = answers.iter().filter(|(_, claims)| !claims.is_empty()).collect();
            assert_eq!(won.len(), 1, "round {round}: {won:?}");
            let (winner, claim) = (won[0].0, &won[0].1[0]);
            let row = world.store.attempts().get(&claim.claim.attempt).await.unwrap().unwrap();
            assert_eq!((row.claim, row.run), (claim.claim.clone(), run));
            // It works for that run only: somebody new takes its place in the next round.
            let name = format!("after{round}");
            idle[winner] = (runner(&name), world.runner(&name, None).await);
        }
    }

    async fn failure_case_02_a_session_that_was_followed_by_another_gets_nothing(world) {
        let run = world.queued("r1", "a1").await;
        let old = world.runner("w1", Some(&run)).await;
        let other = world.another().await;
        let new = other.runners().greet(&runner("w1"), "hash", "boot", at(4)).await.unwrap();
        assert_eq!(new, old + 1);
        assert!(world.store.attempts().claim(&runner("w1"), old, 1, at(10)).await.unwrap().is_empty());
        assert!(!world.store.runners().ready(&runner("w1"), old, at(5)).await.unwrap());
        let mut next = commit(&run, 2, RunStatus::Running);
        next.attempts.push(new_attempt("a2"));
        next.assign_to = Some(assign("w1", old));
        let committed = world.store.runs().commit(next).await.unwrap().unwrap();
        assert!(committed.assigned.is_empty(), "the attempt is queued, not assigned");
        assert_eq!(other.attempts().claim(&runner("w1"), new, 5, at(10)).await.unwrap().len(), 2);
    }

    async fn a_runner_changes_its_run_only_from_the_one_it_has_and_without_attempts(world) {
        let one = world.queued("r1", "a1").await;
        let two = world.queued("r2", "a2").await;
        let epoch = world.runner("w1", None).await;
        let bind = |from: Option<RunId>, to: RunId| {
            let store = world.store.clone();
            async move { store.runners().bind(&runner("w1"), from.as_ref(), &to).await.unwrap() }
        };
        assert!(!bind(Some(two.clone()), one.clone()).await, "it works for nobody");
        assert!(bind(None, two.clone()).await);
        assert!(!bind(None, one.clone()).await, "it works for another run");
        let claimed = world.store.attempts().claim(&runner("w1"), epoch, 8, at(10)).await.unwrap();
        assert_eq!(claimed.iter().map(|one| &one.run).collect::<Vec<_>>(), [&two]);
        assert!(!bind(Some(two.clone()), one.clone()).await, "it has an attempt");
        let claim = claimed[0].claim.clone();
        world.end(&two, 2, success(&claim, 1)).await.unwrap();
        assert!(bind(Some(two.clone()), one.clone()).await);
        let claimed = world.store.attempts().claim(&runner("w1"), epoch, 8, at(11)).await.unwrap();
        assert_eq!(claimed.iter().map(|one| &one.run).collect::<Vec<_>>(), [&one]);
        world.store.runners().gone(&runner("w1"), "test", at(12)).await.unwrap();
        assert!(!bind(Some(one), two).await, "it is gone");
    }

    async fn many_claimers_share_a_queue_without_overlap(world) {
        let run = world.created("r1").await;
        let mut next = commit(&run, 1, RunStatus::Running);
        next.attempts = (0..40).map(|n| new_attempt(&format!("a{n:02}"))).collect();
        world.store.runs().commit(next).await.unwrap().unwrap();
        let (one, two) = (world.store.clone(), world.another().await);
        let mut tasks = Vec::new();
        for n in 0..4 {
            let id = format!("w{n}");
            let epoch = world.runner(&id, Some(&run)).await;
            let store = if n % 2 == 0 { one.clone() } else { two.clone() };
            tasks.push(async move {
                let mut mine = Vec::new();
                for _ in 0..20 {
                    let got = store.attempts().claim(&runner(&id), epoch, 3, at(10)).await.unwrap();
                    mine.extend(got.into_iter().map(|one| one.claim));
                }
                mine
            });
        }
        let all: Vec<_> = futures::future::join_all(tasks).await.into_iter().flatten().collect();
        let attempts: BTreeSet<_> = all.iter().map(|claim| claim.attempt.clone()).collect();
        let fences: BTreeSet<_> = all.iter().map(|claim| claim.fence).collect();
        assert_eq!((all.len(), attempts.len(), fences.len()), (40, 40, 40));
    }

    async fn a_runner_keeps_to_one_run(world) {
        world.queued("r1", "a1").await;
        let second = world.queued("r2", "b1").await;
        let epoch = world.runner("w1", None).await;
        let got = world.store.attempts().claim(&runner("w1"), epoch, 8, at(10)).await.unwrap();
        assert_eq!(got.len(), 1, "not both runs at once");
        assert_eq!(got[0].run.as_str(), "r1");
        assert!(world.store.attempts().claim(&runner("w1"), epoch, 8, at(10)).await.unwrap().is_empty());
        let row = world.store.runners().get(&runner("w1")).await.unwrap().unwrap();
        assert_eq!((row.state, row.group), (RunnerState::Claimed, Some(RunId::new("r1"))));
        let epoch = world.runner("w2", Some(&second)).await;
        let got = world.store.attempts().claim(&runner("w2"), epoch, 8, at(10)).await.unwrap();
        assert_eq!(got[0].claim.attempt.as_str(), "b1");
    }

    async fn attempts_are_claimed_by_priority_and_not_before_their_time(world) {
        let run = world.created("r1").await;
        let mut next = commit(&run, 1, RunStatus::Running);
        let mut late = new_attempt("a1");
        late.not_before = at(100);
        let mut urgent = new_attempt("a3");
        urgent.priority = -1;
        let mut elsewhere = new_attempt("a4");
        elsewhere.pool = "gpu".to_owned();
        next.attempts = vec![late, new_attempt("a2"), urgent, elsewhere];
        world.store.runs().commit(next).await.unwrap().unwrap();
        let epoch = world.runner("w1", Some(&run)).await;
        let ids = |got: Vec<plue_store::ClaimedAttempt>| -> Vec<String> {
            got.into_iter().map(|one| one.claim.attempt.as_str().to_owned()).collect()
        };
        let now = world.store.attempts().claim(&runner("w1"), epoch, 8, at(99)).await.unwrap();
        assert_eq!(ids(now), ["a3", "a2"]);
        let later = world.store.attempts().claim(&runner("w1"), epoch, 8, at(100)).await.unwrap();
        assert_eq!(ids(later), ["a1"]);
    }

    async fn attempts_of_an_ended_run_are_not_claimed(world) {
        let run = world.queued("r1", "a1").await;
        world.store.runs().commit(commit(&run, 2, RunStatus::Cancelled)).await.unwrap().unwrap();
        let epoch = world.runner("w1", Some(&run)).await;
        assert!(world.store.attempts().claim(&runner("w1"), epoch, 8, at(10)).await.unwrap().is_empty());
    }

    async fn a_hello_needs_row_token_and_the_same_process(world) {
        let hello = |id: &'static str, token: &'static str, boot: &'static str| {
            let store = world.store.clone();
            async move { store.runners().greet(&runner(id), token, boot, at(9)).await }
        };
        world.runner("w1", None).await;
        for (id, token, boot) in
            [("w0", "hash", "boot"), ("w1", "guess", "boot"), ("w1", "hash", "restarted")]
        {
            let answer = hello(id, token, boot).await;
            assert!(matches!(answer, Err(Error::UnknownRunner(_))), "{id} {token} {boot}");
        }
        assert_eq!(hello("w1", "hash", "boot").await.unwrap(), 2);
        world.store.runners().gone(&runner("w1"), "killed", at(10)).await.unwrap();
        assert!(hello("w1", "hash", "boot").await.is_err());
        assert_eq!(world.store.runners().list(None).await.unwrap(), []);
    }

    async fn failure_case_03_what_a_runner_holds_is_known_after_a_crash(world) {
        let run = world.queued("r1", "a1").await;
        let epoch = world.runner("w1", Some(&run)).await;
        let got = world.store.attempts().claim(&runner("w1"), epoch, 1, at(10)).await.unwrap();
        // The engine dies here, before it has sent anything.
        let next = world.another().await;
        next.runners().greet(&runner("w1"), "hash", "boot", at(11)).await.unwrap();
        let held = next.attempts().claims_of(&runner("w1")).await.unwrap();
        assert_eq!(held.len(), 1);
        assert_eq!((&held[0].claim, held[0].state), (&got[0].claim, AttemptStatus::Assigned));
    }

    async fn a_runner_that_is_gone_leaves_the_list_of_what_is_lost(world) {
        let claim = world.started("r1", "a1").await;
        let id = runner("runner-of-a1");
        let lost = world.store.runners().gone(&id, "killed", at(20)).await.unwrap();
        assert_eq!(lost.len(), 1);
        assert_eq!((&lost[0].claim, lost[0].state), (&claim, AttemptStatus::Running));
        let row = world.store.runners().get(&id).await.unwrap().unwrap();
        assert_eq!((row.state, row.reason.as_deref()), (RunnerState::Gone, Some("killed")));
        // Its last words still count until the run decides: the fence has not moved.
        world.end(&RunId::new("r1"), 2, success(&claim, 2)).await.unwrap();
    }

    async fn signs_of_life_are_kept(world) {
        world.runner("w1", None).await;
        world.runner("w2", None).await;
        world.store.runners().seen(vec![runner("w1")], at(50)).await.unwrap();
        let rows = world.store.runners().list(None).await.unwrap();
        assert_eq!((rows[0].seen_at, rows[1].seen_at), (at(50), at(3)));
    }

    async fn events_of_many_attempts_are_taken_together(world) {
        let (one, two) = (world.started("r1", "a1").await, world.started("r2", "a2").await);
        let note = |claim, seq| event(claim, seq, EventKind::Note("hi".to_owned()));
        let batch = vec![
            (one.clone(), vec![note(&one, 1), note(&one, 2), note(&one, 3)]),
            (two.clone(), vec![note(&two, 3)]),
        ];
        let acked: Vec<_> = world.store.journal().append(batch.clone()).await.unwrap();
        let acked: Vec<_> = acked.into_iter().map(|one| one.ack_seq).collect();
        assert_eq!(acked, [Some(3), Some(1)], "known events and those behind a gap are left out");
        let again = world.store.journal().append(batch).await.unwrap();
        assert_eq!(again[0].ack_seq, Some(3));
    }

    async fn engines_come_and_go(world) {
        for new in [engine("e1", 7, at(1)), engine("e2", 8, at(2))] {
            world.store.engines().start(new).await.unwrap();
        }
        assert!(world.store.engines().seen("e1", at(3)).await.unwrap());
        assert!(!world.store.engines().expire("e1", 0).await.unwrap(), "it was seen since");
        assert!(world.store.engines().end("e2").await.unwrap());
        assert!(!world.store.engines().seen("e2", at(4)).await.unwrap());
        let engines = world.store.engines().list().await.unwrap();
        assert_eq!(engines.len(), 1);
        assert_eq!((engines[0].pid, engines[0].started_at, engines[0].seen_at), (7, at(1), at(3)));
    }
}

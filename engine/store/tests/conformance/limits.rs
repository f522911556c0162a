//! Large runs, many attempts, odd texts.

use plue_flow::{Fact, RunStatus, StepStatus, fact::Reason};
use plue_plan::{AttemptId, RunId, RunnerId};
use plue_store::{Assign, Refused};

use crate::support::{assign, at, commit, new_attempt, step_view, success};

on_each_store! {
    async fn a_run_of_five_thousand_steps_is_created_in_one_commit(world) {
        let (new, mut first) = world.new_run("r1").await;
        first.steps = (0..5_000)
            .map(|n| {
                let mut view = step_view(StepStatus::Pending);
                view.step = format!("s{n:04}").as_str().into();
                view
            })
            .collect();
        let id = new.id.clone();
        world.store.runs().create(new, first.clone()).await.unwrap().unwrap();
        let mut steps = first.steps;
        let stored = world.store.runs().steps(&id).await.unwrap();
        assert!(stored.iter().map(|row| &row.view).eq(&steps));
        let mut next = commit(&id, 1, RunStatus::Running);
        for view in &mut steps {
            view.status = StepStatus::Skipped;
            view.reason = Some(Reason::NotSelected);
        }
        next.steps = steps.clone();
        next.facts = vec![Fact::RunStarted; 3_000];
        world.store.runs().commit(next).await.unwrap().unwrap();
        let stored = world.store.runs().steps(&id).await.unwrap();
        assert!(stored.iter().map(|row| &row.view).eq(&steps));
        assert_eq!(world.store.runs().load(&id).await.unwrap().unwrap().journal.len(), 3_001);
    }

    async fn at_most_sixty_four_attempts_are_assigned_at_once(world) {
        let run = world.created("r1").await;
        let epoch = world.runner("w1", Some(&run)).await;
        let mut next = commit(&run, 1, RunStatus::Running);
        next.attempts = (0..150).map(|n| new_attempt(&format!("a{n:03}"))).collect();
        let runner = RunnerId::new("w1");
        next.assign_to = Some(Assign { runner: runner.clone(), epoch, max: usize::MAX });
        let committed = world.store.runs().commit(next).await.unwrap().unwrap();
        assert_eq!(committed.assigned.len(), 64);
        let more = world.store.attempts().claim(&runner, epoch, usize::MAX, at(10)).await.unwrap();
        assert_eq!(more.len(), 64);
        let rest = world.store.attempts().claim(&runner, epoch, usize::MAX, at(10)).await.unwrap();
        assert_eq!(rest.len(), 22);
        let rows = world.store.attempts().claims_of(&runner).await.unwrap();
        assert!(rows.windows(2).all(|two| two[0].claim.fence < two[1].claim.fence));
    }

    async fn a_runner_that_may_take_nothing_gets_nothing(world) {
        let run = world.created("r1").await;
        let other = world.created("r2").await;
        let epoch = world.runner("elsewhere", Some(&other)).await;
        let runner = RunnerId::new("warming");
        world.store.runners().register(&runner, "local", "t", None, at(1)).await.unwrap();
        let warming = world.store.runners().greet(&runner, "t", "b", at(2)).await.unwrap();
        let draining = world.runner("draining", Some(&run)).await;
        world.store.runners().draining(&RunnerId::new("draining"), at(4)).await.unwrap();
        let offers = [("elsewhere", epoch), ("warming", warming), ("draining", draining)];
        for (seq, (runner, epoch)) in (1..).zip(offers) {
            let mut next = commit(&run, seq, RunStatus::Running);
            next.facts.push(Fact::RunStarted);
            next.attempts.push(new_attempt(runner));
            next.assign_to = Some(assign(runner, epoch));
            let committed = world.store.runs().commit(next).await.unwrap().unwrap();
            assert!(committed.assigned.is_empty(), "{runner}");
            let id = RunnerId::new(runner);
            assert!(world.store.attempts().claim(&id, epoch, 9, at(10)).await.unwrap().is_empty(), "{runner}");
        }
    }

    async fn many_attempts_end_in_one_commit_or_none_does(world) {
        let run = world.created("r1").await;
        let epoch = world.runner("w1", Some(&run)).await;
        let mut next = commit(&run, 1, RunStatus::Running);
        next.attempts = (0..10).map(|n| new_attempt(&format!("a{n}"))).collect();
        next.assign_to = Some(Assign { max: 10, ..assign("w1", epoch) });
        let claims = world.store.runs().commit(next).await.unwrap().unwrap().assigned;
        let mut end = commit(&run, 1, RunStatus::Success);
        end.ends = claims.iter().map(|claim| success(claim, 1)).collect();
        let mut bad = end.clone();
        bad.ends[9].seq = Some(3);
        let refused = world.store.runs().commit(bad).await.unwrap().unwrap_err();
        assert!(matches!(refused, Refused::Result { .. }), "{refused}");
        assert_eq!(world.store.attempts().claims_of(&RunnerId::new("w1")).await.unwrap().len(), 10);
        world.store.runs().commit(end).await.unwrap().unwrap();
        assert_eq!(world.store.attempts().claims_of(&RunnerId::new("w1")).await.unwrap().len(), 0);
    }

    async fn an_output_of_a_mebibyte_comes_back(world) {
        let run = world.created("r1").await;
        let mut next = commit(&run, 1, RunStatus::Running);
        let mut view = step_view(StepStatus::Success);
        view.output = serde_json::json!({"text": "ü\u{0}\n".repeat(300_000)});
        next.steps.push(view.clone());
        world.store.runs().commit(next).await.unwrap().unwrap();
        assert_eq!(world.store.runs().steps(&run).await.unwrap()[0].view, view);
    }

    async fn a_nul_in_a_reason_is_shown_as_a_replacement(world) {
        let run = world.created("r1").await;
        let mut next = commit(&run, 1, RunStatus::Failed);
        next.view.reason = Some("a\u{0}b '; DROP TABLE run; --".to_owned());
        world.store.runs().commit(next).await.unwrap().unwrap();
        let reason = world.store.runs().get(&run).await.unwrap().unwrap().view.reason;
        assert_eq!(reason.as_deref(), Some("a\u{fffd}b '; DROP TABLE run; --"));
    }

    async fn empty_calls_cost_nothing_and_break_nothing(world) {
        assert_eq!(world.store.journal().append(Vec::new()).await.unwrap(), []);
        world.store.runners().seen(Vec::new(), at(1)).await.unwrap();
        world.store.packed_logs().pack(&AttemptId::new("nope")).await.unwrap();
        assert_eq!(world.store.runs().steps(&RunId::new("nope")).await.unwrap(), []);
        let none = world.store.attempts().claim(&RunnerId::new("nope"), 1, 5, at(1)).await.unwrap();
        assert!(none.is_empty());
        let gone = world.store.runners().gone(&RunnerId::new("nope"), "?", at(1)).await.unwrap();
        assert!(gone.is_empty());
    }

    async fn a_run_without_its_plan_is_not_created(world) {
        let (mut new, first) = world.new_run("r1").await;
        new.plan = crate::support::plan("never stored").hash;
        assert!(world.store.runs().create(new, first).await.is_err());
        assert_eq!(world.store.runs().get(&RunId::new("r1")).await.unwrap(), None);
    }
}

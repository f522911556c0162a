//! Transcripts of Claude steps, and budgets that many agents draw from at once.

use plue_plan::{AttemptId, RunId, StepId};
use plue_store::usage::claude::{CallSettlement, NewCall, NewFacts, Reserved, SpendScope};
use serde_json::{Value as Json, json};

use crate::support::at;

fn call(id: &str, amount: u64, limit: Option<u64>) -> NewCall {
    let scope = |name: &str, of_run, limit| SpendScope { name: name.to_owned(), of_run, limit };
    NewCall {
        id: id.to_owned(),
        run: RunId::new("r1"),
        step: StepId::new("a"),
        attempt: AttemptId::new("a1"),
        model: "m".to_owned(),
        amount,
        scopes: vec![scope("step r1 a", true, None), scope("repo x 2026-11", false, limit)],
        at: at(1),
    }
}

fn facts(first: u64, facts: Vec<Json>, settlement: Option<CallSettlement>) -> NewFacts {
    let (run, attempt) = (RunId::new("r1"), AttemptId::new("a1"));
    NewFacts { run, attempt, first, facts, settlement, at: at(2) }
}

fn settled(call: &str, cost: Option<u64>) -> CallSettlement {
    let usage = json!({
        "input_tokens": 7, "output_tokens": 3,
        "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1,
    });
    CallSettlement { call: call.to_owned(), cost, usage }
}

on_each_store! {
    async fn agents_at_once_pass_no_budget(world) {
        world.queued("r1", "a1").await;
        let stores = [world.store.clone(), world.another().await];
        let calls = (0..200).map(|at| {
            let (store, id) = (&stores[at % 2], format!("c{at}"));
            async move { store.reserve_call(call(&id, 7, Some(1_000))).await.unwrap() }
        });
        let answers = futures::future::join_all(calls).await;
        let reserved = answers.iter().filter(|answer| **answer == Reserved::Yes).count();
        assert_eq!(reserved, 142);
        assert_eq!(world.store.spent("repo x 2026-11").await.unwrap(), 994);
        let refused = answers.into_iter().find(|answer| *answer != Reserved::Yes).unwrap();
        assert!(matches!(refused, Reserved::No { scope, left } if scope == "repo x 2026-11" && left < 1_000));
    }

    async fn calls_are_settled_once(world) {
        let store = &world.store;
        world.queued("r1", "a1").await;
        for id in ["c1", "c2"] {
            store.reserve_call(call(id, 100, Some(1_000))).await.unwrap();
        }
        let first = facts(1, vec![json!({"fact": "x"})], Some(settled("c1", Some(60))));
        assert!(store.append_transcript(first.clone()).await.unwrap());
        assert!(!store.append_transcript(first).await.unwrap(), "the number is taken");
        let again = facts(2, Vec::new(), Some(settled("c1", Some(60))));
        assert!(store.append_transcript(again).await.unwrap());
        assert_eq!(store.spent("repo x 2026-11").await.unwrap(), 160);
        assert_eq!(store.spent("step r1 a").await.unwrap(), 160);
        let unknown = facts(2, vec![json!({"fact": "y"})], Some(settled("c2", None)));
        assert!(store.append_transcript(unknown).await.unwrap());
        assert_eq!(store.spent("step r1 a").await.unwrap(), 160, "the reservation stays");
        let spend = store.spend_of(&RunId::new("r1")).await.unwrap().remove(0);
        assert_eq!((spend.calls, spend.cost), (2, 160));
        assert_eq!((spend.input_tokens, spend.output_tokens), (14, 6));
        assert_eq!((spend.cache_read_tokens, spend.cache_write_tokens), (4, 2));
    }

    async fn transcripts_have_one_writer(world) {
        let store = &world.store;
        world.queued("r1", "a1").await;
        let two = vec![json!({"n": 1}), json!({"n": 2})];
        assert!(store.append_transcript(facts(1, two.clone(), None)).await.unwrap());
        let another = world.another().await;
        let three = || facts(3, vec![json!({"n": 3})], None);
        let (one, other) =
            tokio::join!(store.append_transcript(three()), another.append_transcript(three()));
        let wrote = [one, other].into_iter().filter(|one| matches!(one, Ok(true))).count();
        assert_eq!(wrote, 1);
        let stored = store.transcript(&AttemptId::new("a1")).await.unwrap();
        assert_eq!(stored, [json!({"n": 1}), json!({"n": 2}), json!({"n": 3})]);
        let second = store.transcript_after(&AttemptId::new("a1"), 1, 1).await.unwrap();
        assert_eq!((second.len(), second[0].seq, &second[0].fact), (1, 2, &json!({"n": 2})));
        assert!(store.transcript_after(&AttemptId::new("a1"), 3, 9).await.unwrap().is_empty());
    }

    async fn refused_calls_reserve_nothing(world) {
        let store = &world.store;
        world.queued("r1", "a1").await;
        assert_eq!(store.reserve_call(call("c1", 600, Some(1_000))).await.unwrap(), Reserved::Yes);
        let refused = store.reserve_call(call("c2", 401, Some(1_000))).await.unwrap();
        let scope = "repo x 2026-11".to_owned();
        assert_eq!(refused, Reserved::No { scope, left: 400 });
        assert_eq!(store.spent("step r1 a").await.unwrap(), 600);
        assert_eq!(store.spend_of(&RunId::new("r1")).await.unwrap()[0].calls, 1);
        assert_eq!(store.reserve_call(call("c3", 400, Some(1_000))).await.unwrap(), Reserved::Yes);
        assert_eq!(store.spent("repo x 2026-11").await.unwrap(), 1_000);
        assert_eq!(store.spent("repo y 2026-11").await.unwrap(), 0);
    }

    async fn costs_above_a_reservation_count(world) {
        let store = &world.store;
        world.queued("r1", "a1").await;
        store.reserve_call(call("c1", 100, None)).await.unwrap();
        let dearer = facts(1, Vec::new(), Some(settled("c1", Some(130))));
        assert!(store.append_transcript(dearer).await.unwrap());
        assert_eq!(store.spent("step r1 a").await.unwrap(), 130);
        store.reserve_call(call("c2", 100, None)).await.unwrap();
        let free = facts(1, Vec::new(), Some(settled("c2", Some(0))));
        assert!(store.append_transcript(free).await.unwrap());
        assert_eq!(store.spent("step r1 a").await.unwrap(), 130);
    }

    async fn steps_are_summed_apart(world) {
        let store = &world.store;
        let run = world.queued("r1", "a1").await;
        store.reserve_call(call("c1", 100, None)).await.unwrap();
        let other = NewCall { step: StepId::new("b"), ..call("c2", 30, None) };
        store.reserve_call(other).await.unwrap();
        let kept = facts(1, vec![json!({"n": 1})], Some(settled("c2", Some(20))));
        assert!(store.append_transcript(kept).await.unwrap());
        let spend = store.spend_of(&run).await.unwrap();
        let sums: Vec<_> = spend.iter().map(|sum| (sum.step.as_str(), sum.cost)).collect();
        assert_eq!(sums, [("a", 100), ("b", 20)]);
        assert_eq!((spend[0].output_tokens, spend[1].output_tokens), (0, 3));
        assert_eq!(store.spend_of(&RunId::new("r2")).await.unwrap(), []);
        assert_eq!(store.transcript(&AttemptId::new("a2")).await.unwrap(), Vec::<Json>::new());
    }
}

//! Transcripts of Claude steps, and budgets that many agents draw from at once.

use plue_plan::{AttemptId, RunId, StepId};
use plue_store::usage::claude::{
    CallSettlement, NewCall, NewFacts, Reserved, SpendLife, SpendScope, SpendUnit, Spent,
};
use serde_json::{Value as Json, json};

use crate::support::at;

/// The repository's budget in a month.
const REPO: &str = "repo x 2026-11";

fn of_run(name: &str, limit: Option<u64>) -> SpendScope {
    let (life, unit) = (SpendLife::Run(RunId::new("r1")), SpendUnit::Money);
    SpendScope { name: name.to_owned(), life, unit, limit }
}

fn of_month(name: &str, limit: Option<u64>) -> SpendScope {
    SpendScope { life: SpendLife::Until(at(100)), ..of_run(name, limit) }
}

fn of_tokens(name: &str, limit: u64) -> SpendScope {
    SpendScope { unit: SpendUnit::Tokens, ..of_run(name, Some(limit)) }
}

fn call(id: &str, amount: u64, limit: Option<u64>) -> NewCall {
    NewCall {
        id: id.to_owned(),
        run: RunId::new("r1"),
        step: StepId::new("a"),
        attempt: AttemptId::new("a1"),
        model: "m".to_owned(),
        amount,
        tokens: 40,
        scopes: vec![of_run("step r1 a", None), of_month(REPO, limit)],
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

fn spent(spent: u64, reserved: u64) -> Spent {
    Spent { spent, reserved }
}

fn refused(scope: &str, limit: u64, spent: Spent) -> Reserved {
    Reserved::No { scope: scope.to_owned(), limit, spent }
}

on_each_store! {
    async fn agents_at_once_pass_no_budget(world) {
        world.queued("r1", "a1").await;
        let stores = [world.store.clone(), world.another().await];
        let calls = (0..200).map(|at| {
            let (store, id) = (&stores[at % 2], format!("c{at}"));
            async move { store.claude().reserve_call(call(&id, 7, Some(1_000))).await.unwrap() }
        });
        let answers = futures::future::join_all(calls).await;
        let reserved = answers.iter().filter(|answer| **answer == Reserved::Yes).count();
        assert_eq!(reserved, 142);
        assert_eq!(world.store.claude().spent(REPO).await.unwrap(), spent(0, 994));
        let last = answers.into_iter().find(|answer| *answer != Reserved::Yes).unwrap();
        assert_eq!(last, refused(REPO, 1_000, spent(0, 994)));
    }

    async fn no_budget_of_a_chain_is_passed(world) {
        world.queued("r1", "a1").await;
        let stores = [world.store.clone(), world.another().await];
        // Four workflows of two repositories of one organisation: each budget refuses some of the calls.
        // Names come in another order than links of the chain.
        let chain = |at: usize| {
            let (repo, workflow) = (at % 2, at % 4);
            vec![
                of_run(&format!("step {at}"), Some(70)),
                of_run("run r1", Some(2_000)),
                of_month(&format!("workflow {workflow}"), Some(250)),
                of_month(&format!("repo {repo}"), Some(480)),
                of_month("organisation o", Some(950)),
            ]
        };
        let calls = (0..200_usize).map(|at| {
            let (store, id) = (&stores[at % 2], format!("c{at}"));
            let new = NewCall { scopes: chain(at), ..call(&id, 7, None) };
            async move {
                if store.claude().reserve_call(new).await.unwrap() != Reserved::Yes {
                    return 0;
                }
                // Whole, smaller and unknown costs, settled while others reserve.
                let cost = [Some(7), Some(3), None][at % 3];
                let attempt = AttemptId::new(format!("t{at}"));
                let settlement = Some(settled(&id, cost));
                let new = NewFacts { attempt, ..facts(1, Vec::new(), settlement) };
                assert!(store.transcripts().append(new).await.unwrap());
                cost.unwrap_or(7)
            }
        });
        let paid: u64 = futures::future::join_all(calls).await.into_iter().sum();
        assert_eq!(world.store.claude().spent("organisation o").await.unwrap().total(), paid);
        assert!(paid > 600, "{paid}");
        for scope in (0..200).flat_map(chain) {
            let total = world.store.claude().spent(&scope.name).await.unwrap().total();
            assert!(total <= scope.limit.unwrap(), "{}: {total}", scope.name);
        }
    }

    async fn tokens_are_reserved_and_settled_beside_money(world) {
        let store = &world.store;
        world.queued("r1", "a1").await;
        let scopes = || vec![of_run("run r1", Some(1_000)), of_tokens("tokens run r1", 100)];
        let of = |id: &str| NewCall { scopes: scopes(), ..call(id, 7, None) };
        for id in ["c1", "c2"] {
            assert_eq!(store.claude().reserve_call(of(id)).await.unwrap(), Reserved::Yes);
        }
        let third = store.claude().reserve_call(of("c3")).await.unwrap();
        assert_eq!(third, refused("tokens run r1", 100, spent(0, 80)));
        assert_eq!(store.claude().spent("run r1").await.unwrap(), spent(0, 14), "nothing of it is reserved");
        // 13 tokens in four directions, and a call whose cost stays unknown.
        assert!(store.transcripts().append(facts(1, Vec::new(), Some(settled("c1", Some(5))))).await.unwrap());
        assert!(store.transcripts().append(facts(1, Vec::new(), Some(settled("c2", None)))).await.unwrap());
        assert_eq!(store.claude().spent("tokens run r1").await.unwrap(), spent(13, 40));
        assert_eq!(store.claude().spent("run r1").await.unwrap(), spent(5, 7));
        assert_eq!(store.claude().reserve_call(of("c4")).await.unwrap(), Reserved::Yes);
        assert_eq!(store.claude().spent("tokens run r1").await.unwrap(), spent(13, 80));
    }

    async fn agents_at_once_pass_no_budget_of_tokens(world) {
        world.queued("r1", "a1").await;
        let stores = [world.store.clone(), world.another().await];
        // Agents of one step: each has a slice, all together have less than their slices.
        let calls = (0..200_usize).map(|at| {
            let (store, id) = (&stores[at % 2], format!("c{at}"));
            let slice = of_run(&format!("agent a1~{}", at % 16), Some(70));
            let scopes = vec![slice, of_run("step r1 a", Some(1_000)), of_tokens("tokens run r1", 4_000)];
            let new = NewCall { scopes, ..call(&id, 7, None) };
            async move { store.claude().reserve_call(new).await.unwrap() }
        });
        let answers = futures::future::join_all(calls).await;
        let reserved = answers.iter().filter(|answer| **answer == Reserved::Yes).count();
        assert_eq!(reserved, 100, "of 142 for the step's money and 160 for the slices");
        assert_eq!(world.store.claude().spent("tokens run r1").await.unwrap(), spent(0, 4_000));
        assert_eq!(world.store.claude().spent("step r1 a").await.unwrap(), spent(0, 700));
        for at in 0..16 {
            let slice = world.store.claude().spent(&format!("agent a1~{at}")).await.unwrap();
            assert!(slice.total() <= 70, "{slice:?}");
        }
    }

    async fn the_first_exhausted_budget_of_a_chain_is_named(world) {
        let store = &world.store;
        world.queued("r1", "a1").await;
        let scopes = vec![
            of_run("step", Some(1_000)),
            of_month("workflow", Some(120)),
            of_month("organisation", Some(110)),
        ];
        let of_chain = |id, amount| NewCall { scopes: scopes.clone(), ..call(id, amount, None) };
        for id in ["c1", "c2"] {
            assert_eq!(store.claude().reserve_call(of_chain(id, 50)).await.unwrap(), Reserved::Yes);
        }
        let first = facts(1, Vec::new(), Some(settled("c1", Some(30))));
        assert!(store.transcripts().append(first).await.unwrap());
        let third = store.claude().reserve_call(of_chain("c3", 41)).await.unwrap();
        assert_eq!(third, refused("workflow", 120, spent(30, 50)));
        let third = store.claude().reserve_call(of_chain("c3", 31)).await.unwrap();
        assert_eq!(third, refused("organisation", 110, spent(30, 50)));
        assert_eq!(store.claude().spent("step").await.unwrap(), spent(30, 50));
        assert_eq!(store.claude().reserve_call(of_chain("c3", 30)).await.unwrap(), Reserved::Yes);
    }

    async fn old_periods_are_pruned(world) {
        let store = &world.store;
        world.queued("r1", "a1").await;
        store.claude().reserve_call(call("c1", 10, None)).await.unwrap();
        store.claude().prune_spend(at(100)).await.unwrap();
        assert_eq!(store.claude().spent(REPO).await.unwrap(), spent(0, 10), "it ends then");
        store.claude().prune_spend(at(101)).await.unwrap();
        assert_eq!(store.claude().spent(REPO).await.unwrap(), spent(0, 0));
        assert_eq!(store.claude().spent("step r1 a").await.unwrap(), spent(0, 10), "it goes with its run");
        let late = facts(1, Vec::new(), Some(settled("c1", Some(4))));
        assert!(store.transcripts().append(late).await.unwrap());
        assert_eq!(store.claude().spent("step r1 a").await.unwrap(), spent(4, 0));
    }

    async fn budgets_of_deleted_runs_refuse_nothing(world) {
        let store = &world.store;
        world.queued("r1", "a1").await;
        let life = SpendLife::Run(RunId::new("gone"));
        let gone = SpendScope { life, ..of_run("run gone", Some(1)) };
        let scopes = vec![of_run("run r1", Some(100)), gone];
        let new = NewCall { scopes, ..call("c1", 10, None) };
        assert_eq!(store.claude().reserve_call(new).await.unwrap(), Reserved::Yes);
        assert_eq!(store.claude().spent("run gone").await.unwrap(), Spent::default());
        assert_eq!(store.claude().spent("run r1").await.unwrap(), spent(0, 10));
    }

    async fn absurd_amounts_overflow_nothing(world) {
        let store = &world.store;
        world.queued("r1", "a1").await;
        for id in ["c1", "c2", "c3"] {
            assert_eq!(store.claude().reserve_call(call(id, u64::MAX, None)).await.unwrap(), Reserved::Yes);
        }
        let tokens = json!({ "input_tokens": u64::MAX, "output_tokens": u64::MAX });
        let absurd = CallSettlement { usage: tokens, ..settled("c1", Some(u64::MAX)) };
        assert!(store.transcripts().append(facts(1, Vec::new(), Some(absurd))).await.unwrap());
        assert!(store.claude().spent(REPO).await.unwrap().spent > 0);
        assert!(store.claude().spend_of(&RunId::new("r1")).await.unwrap()[0].spend.input_tokens > 0);
        let no = store.claude().reserve_call(call("c4", u64::MAX, Some(u64::MAX - 1))).await.unwrap();
        assert!(matches!(no, Reserved::No { .. }));
    }

    async fn calls_are_settled_once(world) {
        let store = &world.store;
        world.queued("r1", "a1").await;
        for id in ["c1", "c2"] {
            store.claude().reserve_call(call(id, 100, Some(1_000))).await.unwrap();
        }
        let first = facts(1, vec![json!({"fact": "x"})], Some(settled("c1", Some(60))));
        assert!(store.transcripts().append(first.clone()).await.unwrap());
        assert!(!store.transcripts().append(first).await.unwrap(), "the number is taken");
        let again = facts(2, Vec::new(), Some(settled("c1", Some(60))));
        assert!(store.transcripts().append(again).await.unwrap());
        assert_eq!(store.claude().spent(REPO).await.unwrap(), spent(60, 100));
        assert_eq!(store.claude().spent("step r1 a").await.unwrap(), spent(60, 100));
        let unknown = facts(2, vec![json!({"fact": "y"})], Some(settled("c2", None)));
        assert!(store.transcripts().append(unknown).await.unwrap());
        assert_eq!(store.claude().spent("step r1 a").await.unwrap(), spent(60, 100), "the reservation stays");
        let spend = store.claude().spend_of(&RunId::new("r1")).await.unwrap().remove(0).spend;
        assert_eq!((spend.calls, spend.cost), (2, 160));
        assert_eq!((spend.input_tokens, spend.output_tokens), (14, 6));
        assert_eq!((spend.cache_read_tokens, spend.cache_write_tokens), (4, 2));
    }

    async fn transcripts_have_one_writer(world) {
        let store = &world.store;
        world.queued("r1", "a1").await;
        let two = vec![json!({"n": 1}), json!({"n": 2})];
        assert!(store.transcripts().append(facts(1, two.clone(), None)).await.unwrap());
        let another = world.another().await;
        let three = || facts(3, vec![json!({"n": 3})], None);
        let (one, other) =
            tokio::join!(store.transcripts().append(three()), another.transcripts().append(three()));
        let wrote = [one, other].into_iter().filter(|one| matches!(one, Ok(true))).count();
        assert_eq!(wrote, 1);
        let stored = store.transcripts().of(&AttemptId::new("a1")).await.unwrap();
        assert_eq!(stored, [json!({"n": 1}), json!({"n": 2}), json!({"n": 3})]);
        let second = store.transcripts().after(&AttemptId::new("a1"), 1, 1).await.unwrap();
        assert_eq!((second.len(), second[0].seq, &second[0].fact), (1, 2, &json!({"n": 2})));
        assert!(store.transcripts().after(&AttemptId::new("a1"), 3, 9).await.unwrap().is_empty());
    }

    async fn refused_calls_reserve_nothing(world) {
        let store = &world.store;
        world.queued("r1", "a1").await;
        assert_eq!(store.claude().reserve_call(call("c1", 600, Some(1_000))).await.unwrap(), Reserved::Yes);
        let second = store.claude().reserve_call(call("c2", 401, Some(1_000))).await.unwrap();
        assert_eq!(second, refused(REPO, 1_000, spent(0, 600)));
        assert_eq!(store.claude().spent("step r1 a").await.unwrap(), spent(0, 600));
        assert_eq!(store.claude().spend_of(&RunId::new("r1")).await.unwrap()[0].spend.calls, 1);
        assert_eq!(store.claude().reserve_call(call("c3", 400, Some(1_000))).await.unwrap(), Reserved::Yes);
        assert_eq!(store.claude().spent(REPO).await.unwrap(), spent(0, 1_000));
        assert_eq!(store.claude().spent("repo y 2026-11").await.unwrap(), spent(0, 0));
    }

    async fn costs_above_a_reservation_count(world) {
        let store = &world.store;
        world.queued("r1", "a1").await;
        store.claude().reserve_call(call("c1", 100, None)).await.unwrap();
        let dearer = facts(1, Vec::new(), Some(settled("c1", Some(130))));
        assert!(store.transcripts().append(dearer).await.unwrap());
        assert_eq!(store.claude().spent("step r1 a").await.unwrap(), spent(130, 0));
        store.claude().reserve_call(call("c2", 100, None)).await.unwrap();
        let free = facts(1, Vec::new(), Some(settled("c2", Some(0))));
        assert!(store.transcripts().append(free).await.unwrap());
        assert_eq!(store.claude().spent("step r1 a").await.unwrap(), spent(130, 0));
    }

    async fn steps_are_summed_apart(world) {
        let store = &world.store;
        let run = world.queued("r1", "a1").await;
        store.claude().reserve_call(call("c1", 100, None)).await.unwrap();
        let other = NewCall { step: StepId::new("b"), ..call("c2", 30, None) };
        store.claude().reserve_call(other).await.unwrap();
        let kept = facts(1, vec![json!({"n": 1})], Some(settled("c2", Some(20))));
        assert!(store.transcripts().append(kept).await.unwrap());
        let spend = store.claude().spend_of(&run).await.unwrap();
        let sums: Vec<_> = spend.iter().map(|sum| (sum.step.as_str(), sum.spend.cost)).collect();
        assert_eq!(sums, [("a", 100), ("b", 20)]);
        assert_eq!((spend[0].spend.output_tokens, spend[1].spend.output_tokens), (0, 3));
        assert_eq!(store.claude().spend_of(&RunId::new("r2")).await.unwrap(), []);
        assert_eq!(store.transcripts().of(&AttemptId::new("a2")).await.unwrap(), Vec::<Json>::new());
    }
}

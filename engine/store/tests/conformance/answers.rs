//! What runs wait for: answers of people, callbacks, messages on topics, turns in a group.

use jiff::Timestamp;
use plue_flow::Decision;
use plue_plan::{AttemptId, RunId};
use plue_store::{CallbackAnswered, TurnRequest, TurnState, decision::CallDecision};
use serde_json::{Map, json};

use crate::support::World;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn yes(by: &str) -> Decision {
    let fields = Map::from_iter([("env".to_owned(), json!("prod"))]);
    Decision { by: by.to_owned(), approve: true, fields, comment: Some("ok".to_owned()) }
}

fn turn(run: &RunId, second: i64, left_behind: &[&RunId]) -> TurnRequest {
    TurnRequest {
        run: run.clone(),
        group: "deploy".to_owned(),
        at: at(second),
        seen_since: at(second - 60),
        driven: Vec::new(),
        left_behind: left_behind.iter().map(|run| (*run).clone()).collect(),
    }
}

async fn runs(world: &World, count: usize) -> Vec<RunId> {
    let mut runs = Vec::new();
    for n in 0..count {
        runs.push(world.created(&format!("r{n}")).await);
    }
    runs
}

on_each_store! {
    async fn an_answer_is_kept_once_for_each_person_until_it_is_forgotten(world) {
        let run = world.created("r").await;
        let attempt = AttemptId::new("r:ask:1:1");
        let store = &world.store;
        assert!(store.decisions().record(&run, &attempt, yes("ann"), at(1)).await.unwrap());
        assert!(!store.decisions().record(&run, &attempt, yes("ann"), at(2)).await.unwrap());
        assert!(store.decisions().record(&run, &attempt, yes("bob"), at(3)).await.unwrap());
        let there = world.another().await;
        let kept = there.decisions().list(&run).await.unwrap();
        assert_eq!(kept, [(attempt.clone(), yes("ann")), (attempt.clone(), yes("bob"))]);
        let told = vec![(attempt.clone(), "ann".to_owned())];
        there.decisions().forget(told).await.unwrap();
        assert_eq!(store.decisions().list(&run).await.unwrap(), [(attempt, yes("bob"))]);
    }

    async fn the_first_decision_about_a_call_counts_and_stays(world) {
        let run = world.created("r").await;
        let (attempt, other) = (AttemptId::new("r:fix:1:1"), AttemptId::new("r:fix:1:2"));
        let of = |call: &str, by: &str, second| {
            CallDecision { call: call.to_owned(), decision: yes(by), at: at(second) }
        };
        let (store, there) = (&world.store, world.another().await);
        let first = of("toolu_B", "ann", 2);
        assert_eq!(store.decisions().record_for_call(&run, &attempt, first.clone()).await.unwrap(), None);
        let second = there.decisions().record_for_call(&run, &attempt, of("toolu_B", "bob", 3)).await;
        assert_eq!(second.unwrap().as_deref(), Some("ann"));
        let earlier = of("toolu_A", "bob", 1);
        assert_eq!(there.decisions().record_for_call(&run, &attempt, earlier.clone()).await.unwrap(), None);
        let elsewhere = store.decisions().record_for_call(&run, &other, of("toolu_B", "bob", 4)).await;
        assert_eq!(elsewhere.unwrap(), None, "ids are of one attempt");
        assert_eq!(store.decisions().for_calls_of(&attempt).await.unwrap(), [earlier, first]);
    }

    async fn of_two_people_at_once_one_decides_about_a_call(world) {
        let run = world.created("r").await;
        let attempt = AttemptId::new("r:fix:1:1");
        let stores = [world.store.clone(), world.another().await];
        let names: Vec<String> = (0..8).map(|n| format!("p{n}")).collect();
        let decided = names.iter().enumerate().map(|(n, name)| {
            let decision =
                CallDecision { call: "toolu_A".to_owned(), decision: yes(name), at: at(5) };
            stores[n % 2].decisions().record_for_call(&run, &attempt, decision)
        });
        let decided = futures::future::join_all(decided).await;
        let firsts = decided.iter().filter(|one| one.as_ref().unwrap().is_none());
        assert_eq!(firsts.count(), 1, "{decided:?}");
        let kept = world.store.decisions().for_calls_of(&attempt).await.unwrap();
        assert_eq!(kept.len(), 1);
        let by = &kept[0].decision.by;
        assert!(decided.iter().flatten().flatten().all(|first| first == by), "{decided:?}");
    }

    async fn of_many_answers_with_one_token_one_is_taken(world) {
        let run = world.created("r").await;
        let attempt = AttemptId::new("r:call:1:1");
        world.store.callbacks().add("h1", &run, &attempt, at(100)).await.unwrap();
        let stores = [world.store.clone(), world.another().await];
        let answers = (0..8).map(|n| stores[n % 2].callbacks().answer("h1", json!(n), at(5)));
        let answers = futures::future::join_all(answers).await;
        let taken = answers.iter().filter(|answer| {
            matches!(answer.as_ref().unwrap(), CallbackAnswered::Taken { run: of } if *of == run)
        });
        assert_eq!(taken.count(), 1, "{answers:?}");
        assert_eq!(world.store.callbacks().answers(&run).await.unwrap().len(), 1);
    }

    async fn a_second_token_of_an_answered_call_is_a_duplicate(world) {
        let run = world.created("r").await;
        let attempt = AttemptId::new("r:call:1:1");
        let store = &world.store;
        store.callbacks().add("h1", &run, &attempt, at(100)).await.unwrap();
        store.callbacks().add("h2", &run, &attempt, at(100)).await.unwrap();
        let taken = CallbackAnswered::Taken { run: run.clone() };
        assert_eq!(store.callbacks().answer("h2", json!(1), at(5)).await.unwrap(), taken);
        let again = CallbackAnswered::Duplicate { run: run.clone() };
        assert_eq!(store.callbacks().answer("h1", json!(2), at(5)).await.unwrap(), again);
        assert_eq!(store.callbacks().answers(&run).await.unwrap(), [(attempt, json!(1))]);
    }

    async fn a_late_or_unknown_token_answers_nothing(world) {
        let run = world.created("r").await;
        let attempt = AttemptId::new("r:call:1:1");
        world.store.callbacks().add("h1", &run, &attempt, at(100)).await.unwrap();
        let late = world.store.callbacks().answer("h1", json!(1), at(100)).await.unwrap();
        assert_eq!(late, CallbackAnswered::Expired);
        let unknown = world.store.callbacks().answer("h9", json!(1), at(1)).await.unwrap();
        assert_eq!(unknown, CallbackAnswered::Unknown);
        assert_eq!(world.store.callbacks().answers(&run).await.unwrap(), []);
    }

    async fn messages_come_in_order_after_a_number_and_since_a_time(world) {
        let store = &world.store;
        for second in 1..=4 {
            store.topics().emit("t", json!({"n": second}), "ann", at(second)).await.unwrap();
            store.topics().emit("other", json!(null), "ann", at(second)).await.unwrap();
        }
        let all = store.topics().messages("t", 0, at(2), 10).await.unwrap();
        let told: Vec<_> = all.iter().map(|event| event.data["n"].clone()).collect();
        assert_eq!(told, [json!(2), json!(3), json!(4)]);
        let rest = store.topics().messages("t", all[0].id, at(0), 1).await.unwrap();
        assert_eq!(rest, all[1..2]);
    }

    async fn turns_are_taken_in_the_order_in_which_runs_were_asked_for(world) {
        let runs = runs(&world, 3).await;
        let (store, there) = (&world.store, world.another().await);
        // The third entered first, but was asked for last.
        for n in [2, 0, 1] {
            let asked = at(i64::try_from(n).unwrap());
            there.groups().join(&runs[n], "deploy", asked, at(10)).await.unwrap();
        }
        let behind = TurnState::Behind(runs[0].clone());
        assert_eq!(store.groups().take_turn(turn(&runs[1], 10, &[])).await.unwrap(), behind);
        let mine = TurnState::Mine { from: Vec::new() };
        assert_eq!(there.groups().take_turn(turn(&runs[0], 10, &[])).await.unwrap(), mine);
        assert_eq!(there.groups().take_turn(turn(&runs[0], 11, &[])).await.unwrap(), mine);
        store.groups().leave(&runs[0]).await.unwrap();
        let behind = TurnState::Behind(runs[1].clone());
        assert_eq!(store.groups().take_turn(turn(&runs[2], 12, &[])).await.unwrap(), behind);
        assert_eq!(store.groups().take_turn(turn(&runs[1], 12, &[])).await.unwrap(), mine);
        assert_eq!(store.groups().of_run(&runs[1]).await.unwrap().as_deref(), Some("deploy"));
    }

    async fn of_many_who_ask_at_once_one_has_the_turn(world) {
        let runs = runs(&world, 6).await;
        let stores = [world.store.clone(), world.another().await];
        for run in &runs {
            world.store.groups().join(run, "deploy", at(0), at(10)).await.unwrap();
        }
        let asks = runs.iter().enumerate().map(|(n, run)| stores[n % 2].groups().take_turn(turn(run, 10, &[])));
        let answers = futures::future::join_all(asks).await;
        let mine = answers.iter().filter(|turn| matches!(turn, Ok(TurnState::Mine { .. })));
        assert_eq!(mine.count(), 1, "{answers:?}");
    }

    async fn a_turn_that_nobody_uses_goes_to_the_next(world) {
        let runs = runs(&world, 2).await;
        let store = &world.store;
        for run in &runs {
            store.groups().join(run, "deploy", at(0), at(10)).await.unwrap();
        }
        let (first, second) = (&runs[0], &runs[1]);
        store.groups().take_turn(turn(first, 10, &[])).await.unwrap();
        let behind = TurnState::Behind(first.clone());
        assert_eq!(store.groups().take_turn(turn(second, 20, &[])).await.unwrap(), behind);
        let taken = TurnState::Mine { from: vec![first.clone()] };
        assert_eq!(store.groups().take_turn(turn(second, 20, &[first])).await.unwrap(), taken);
        // Who was left behind and is taken up queues again.
        let behind = TurnState::Behind(second.clone());
        assert_eq!(store.groups().take_turn(turn(first, 21, &[])).await.unwrap(), behind);
        // Whoever is driven keeps his turn, however far apart the clocks are.
        let driven = TurnRequest { driven: vec![second.clone()], ..turn(first, 200, &[]) };
        assert_eq!(store.groups().take_turn(driven).await.unwrap(), behind);
        // The same without a word for over a minute.
        let later = TurnState::Mine { from: vec![second.clone()] };
        assert_eq!(store.groups().take_turn(turn(first, 200, &[])).await.unwrap(), later);
    }
}

//! What starts runs without a forge: messages for a repository and ends of runs, in the inbox.

use jiff::Timestamp;
use plue_flow::{Fact, RunStatus};
use plue_plan::RunId;
use plue_store::{DeliveryRow, DeliveryState, Received, RegisteredRow, RepoRow};
use serde_json::{Value as Json, json};

use crate::support::{at, commit, plan};

on_each_store! {
    async fn a_message_for_a_repository_reaches_its_runs_and_those_of_no_other(world) {
        let store = &world.store;
        let told = |n: u64| Some(("t".to_owned(), json!(n)));
        assert!(store.topics().receive("a/b", delivery("one"), told(1), "ann").await.unwrap());
        assert!(!store.topics().receive("a/b", delivery("one"), told(2), "ann").await.unwrap());
        assert!(store.topics().receive("a/b", delivery("quiet"), None, "ann").await.unwrap());
        store.topics().emit("t", json!(3), "bob", at(8)).await.unwrap();
        let found = async |repo: Option<&str>| {
            let found = store.topics().messages_for(repo, "t", (0, at(0)), 10).await.unwrap();
            found.into_iter().map(|message| message.data).collect::<Vec<_>>()
        };
        assert_eq!(found(Some("a/b")).await, [json!(1), json!(3)]);
        assert_eq!(found(Some("c/d")).await, [json!(3)]);
        assert_eq!(found(None).await, [json!(3)]);
    }

    async fn of_many_that_send_the_same_message_at_once_one_is_the_first(world) {
        let stores = [world.store.clone(), world.another().await];
        let told = || Some(("t".to_owned(), json!(1)));
        let sent = (0..20).map(|n| stores[n % 2].topics().receive("a/b", delivery("one"), told(), "ann"));
        let sent = futures::future::join_all(sent).await;
        assert_eq!(sent.into_iter().filter(|sent| *sent.as_ref().unwrap()).count(), 1);
        let found = world.store.topics().messages_for(Some("a/b"), "t", (0, at(0)), 10).await.unwrap();
        assert_eq!(found.len(), 1);
    }

    async fn the_end_of_a_run_is_in_the_inbox_if_a_plan_of_its_repository_follows_runs(world) {
        let store = &world.store;
        let end = async |run: &str, seq: u64| {
            let mut end = commit(&RunId::new(run), seq, RunStatus::Failed);
            end.facts.push(Fact::RunEnded { status: RunStatus::Failed, reason: None });
            store.runs().commit(end).await.unwrap().unwrap();
        };
        let came = async || {
            let came = store.deliveries().list("hook", None, 10).await.unwrap();
            came.into_iter().map(|one| format!("{} {}", one.forge, one.id)).collect::<Vec<_>>()
        };
        for run in ["r1", "r2", "r3"] {
            world.created(run).await;
        }
        // Nobody watches its repository; then no plan follows.
        end("r1", 1).await;
        store.repos().add(&watched()).await.unwrap();
        store.repos().register_plans("a/b", vec![registered(json!({"on": "push"}))], at(2)).await.unwrap();
        end("r2", 1).await;
        assert_eq!(came().await, [""; 0]);
        let follows = registered(json!({"on": "workflow", "name": "x"}));
        store.repos().register_plans("a/b", vec![follows], at(3)).await.unwrap();
        end("r3", 1).await;
        assert_eq!(came().await, ["workflow r3:2"]);
        let kept = store.deliveries().get("workflow", "hook", "r3:2").await.unwrap().unwrap();
        let body: Json = serde_json::from_slice(&kept.body).unwrap();
        assert_eq!(body, json!({"run": "r3", "outcome": "failed"}));
        assert_eq!(store.deliveries().unprocessed(10).await.unwrap(), [kept]);
        // It goes on, and ends again.
        end("r3", 2).await;
        assert_eq!(came().await, ["workflow r3:3", "workflow r3:2"]);
    }

    async fn deliveries_of_which_nothing_came_keep_no_body_until_they_come_again(world) {
        let store = &world.store;
        let sent = |id: &str| DeliveryRow { body: b"{\"x\":1}".to_vec(), ..delivery(id) };
        let body = async |id: &str| store.deliveries().get("event", "hook", id).await.unwrap().unwrap().body;
        for (id, state) in [("talk", DeliveryState::Ignored), ("push", DeliveryState::Done)] {
            store.deliveries().receive_signed(sent(id), None).await.unwrap();
            store.deliveries().settle_one(&sent(id), state, "settled").await.unwrap();
        }
        assert_eq!((body("talk").await, body("push").await), (Vec::new(), sent("push").body));
        assert_eq!(store.deliveries().receive_signed(sent("talk"), None).await.unwrap(), Received::Again);
        assert_eq!(body("talk").await, sent("talk").body);
        assert_eq!(store.deliveries().receive_signed(sent("push"), None).await.unwrap(), Received::Known);
    }

    async fn a_backlog_is_more_than_so_many_that_wait_in_one_queue(world) {
        let store = &world.store;
        for n in 0..3 {
            store.deliveries().receive(delivery(&format!("d{n}"))).await.unwrap();
        }
        store.deliveries().receive(DeliveryRow { hook: "other".to_owned(), ..delivery("x") }).await.unwrap();
        assert!(store.delivery_queues().has_backlog("hook", 2).await.unwrap());
        assert!(!store.delivery_queues().has_backlog("hook", 3).await.unwrap());
        store.deliveries().settle_one(&delivery("d0"), DeliveryState::Done, "").await.unwrap();
        assert!(!store.delivery_queues().has_backlog("hook", 2).await.unwrap());
    }

    async fn what_came_is_listed_newest_first_by_pages_without_a_gap(world) {
        let store = &world.store;
        for n in 0..5 {
            let row = DeliveryRow { received_at: at(n / 2), ..delivery(&format!("d{n}")) };
            store.deliveries().receive(row).await.unwrap();
        }
        let other = DeliveryRow { hook: "other".to_owned(), ..delivery("x") };
        store.deliveries().receive(other).await.unwrap();
        let mut seen = Vec::new();
        let mut last: Option<(Timestamp, String)> = None;
        loop {
            let before = last.as_ref().map(|(at, id)| (*at, id.as_str()));
            let page = store.deliveries().list("hook", before, 2).await.unwrap();
            let Some(end) = page.last() else { break };
            last = Some((end.received_at, end.id.clone()));
            seen.extend(page.into_iter().map(|one| one.id));
        }
        assert_eq!(seen, ["d4", "d3", "d2", "d1", "d0"]);
    }
}

fn delivery(id: &str) -> DeliveryRow {
    DeliveryRow {
        forge: "event".to_owned(),
        hook: "hook".to_owned(),
        id: id.to_owned(),
        headers: json!({}),
        body: b"{}".to_vec(),
        received_at: at(7),
        state: DeliveryState::New,
        note: None,
    }
}

fn watched() -> RepoRow {
    RepoRow {
        name: "a/b".to_owned(),
        forge: "local".to_owned(),
        url: "/srv/git/app.git".to_owned(),
        hook: "hook".to_owned(),
        default_branch: "main".to_owned(),
        added_by: "ann".to_owned(),
        added_at: at(1),
    }
}

fn registered(trigger: Json) -> RegisteredRow {
    RegisteredRow {
        repo: "a/b".to_owned(),
        file: "ci.plue.py".to_owned(),
        workflow: "ci".to_owned(),
        sha: "1".to_owned(),
        plan: plan("ci").hash,
        triggers: vec![serde_json::from_value(trigger).unwrap()],
    }
}

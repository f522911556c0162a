//! Who is told of what: deliveries are made with the facts, claimed by one, and go with time.

use plue_flow::{Awaited, Decision, Fact, RunStatus, StepStatus};
use plue_plan::{AttemptId, RunId};
use plue_store::{
    Refused, Store,
    webhook::{
        DeliveryRow, DeliveryState, Disable, EVENTS, MAX_WEBHOOKS, Page, SettleOutcome, Settled,
        WebhookRow,
    },
};

use crate::support::{at, commit};

async fn hook(store: &Store, id: &str, repo: Option<&str>, events: &[&str]) {
    let row = WebhookRow {
        id: id.to_owned(),
        url: "https://hooks.example/plue".to_owned(),
        events: events.iter().map(|event| (*event).to_owned()).collect(),
        repo: repo.map(str::to_owned),
        description: "chat".to_owned(),
        created_by: "ann".to_owned(),
        created_at: at(0),
        both_until: None,
        failing_since: None,
        disabled: None,
    };
    assert!(store.webhooks().add(&row).await.unwrap());
    assert_eq!(store.webhooks().get(id).await.unwrap(), Some(row));
}

async fn rows(store: &Store, hook: &str) -> Vec<DeliveryRow> {
    let page = Page { limit: 1_000, ..Page::default() };
    let mut rows = store.webhooks().deliveries(hook, &page).await.unwrap();
    rows.sort_by_key(|row| row.fact.as_ref().map(|(_, seq)| *seq));
    rows
}

async fn events(store: &Store, hook: &str) -> Vec<String> {
    rows(store, hook).await.into_iter().map(|row| row.event).collect()
}

async fn claim(store: &Store, hook: &str, now: i64, limit: u32) -> Vec<DeliveryRow> {
    store.webhooks().claim(hook, (at(now), at(now + 20)), limit).await.unwrap()
}

fn settled(state: DeliveryState, next: i64, disable: Option<&str>) -> Settled {
    let (status, note) = (Some(500), Some("no".to_owned()));
    let disable = disable.map(|reason| Disable { reason: reason.to_owned(), failing_since: None });
    Settled { state, at: at(50), next_at: at(next), status, note, disable }
}

fn facts() -> Vec<Fact> {
    let (step, attempt) = (|| "ask".into(), || AttemptId::new("a"));
    let what = |what| Fact::AttemptWaiting {
        step: step(),
        attempt: attempt(),
        what,
        until: None,
        name: None,
    };
    let asked = Awaited::Decision { message: None, approvers: Vec::new(), quorum: 1 };
    let (by, fields) = ("ada".to_owned(), serde_json::Map::new());
    let decision = Decision { by, approve: true, fields, comment: None };
    vec![
        Fact::RunStarted,
        what(asked),
        what(Awaited::Time),
        Fact::DecisionMade { step: step(), attempt: attempt(), decision },
        Fact::StepEnded { step: step(), visit: 1, status: StepStatus::Success, reason: None },
        Fact::RunEnded { status: RunStatus::Success, reason: None },
        Fact::RunReopened { by: "ann".to_owned(), steps: Vec::new() },
    ]
}

on_each_store! {
    async fn each_fact_that_others_are_told_of_is_put_down_for_whom_it_concerns(world) {
        let store = &world.store;
        hook(store, "all", None, &EVENTS).await;
        hook(store, "own", Some("a/b"), &["run.created", "run.ended"]).await;
        hook(store, "foreign", Some("a/bb"), &EVENTS).await;
        let run = world.created("r1").await;
        let mut next = commit(&run, 1, RunStatus::Success);
        next.facts = facts();
        store.runs().commit(next).await.unwrap().unwrap();
        let expected = [
            "run.created", "run.started", "approval.requested", "approval.decided", "step.ended",
            "run.ended", "run.reopened",
        ];
        assert_eq!(events(store, "all").await, expected);
        assert_eq!(events(store, "own").await, ["run.created", "run.ended"]);
        assert_eq!(events(store, "foreign").await, [""; 0]);
        let all = rows(store, "all").await;
        let ids: Vec<_> = all.iter().map(|row| row.message.as_str()).collect();
        let expected =
            ["msg_r1_1", "msg_r1_2", "msg_r1_3", "msg_r1_5", "msg_r1_6", "msg_r1_7", "msg_r1_8"];
        assert_eq!(ids, expected, "the place in the journal names the message");
        assert_eq!(all[1].fact, Some((run, 2)));
        assert_eq!((all[1].state, all[1].tries), (DeliveryState::Open, 0));
        assert_eq!((all[1].created_at, all[1].next_at), (at(6), at(6)));
    }

    async fn what_is_not_committed_is_told_to_nobody(world) {
        let store = &world.store;
        hook(store, "all", None, &EVENTS).await;
        let run = world.created("r1").await;
        let mut stale = commit(&run, 7, RunStatus::Running);
        stale.facts.push(Fact::RunStarted);
        assert_eq!(store.runs().commit(stale).await.unwrap(), Err(Refused::Stale { seq: 1 }));
        let (new, first) = world.new_run("r1").await;
        assert_eq!(store.runs().create(new, first).await.unwrap(), Err(Refused::Stale { seq: 1 }));
        assert_eq!(events(store, "all").await, ["run.created"]);
    }

    async fn more_facts_than_fit_one_statement_are_all_told(world) {
        let store = &world.store;
        hook(store, "all", None, &["step.ended"]).await;
        let run = world.created("r1").await;
        let mut next = commit(&run, 1, RunStatus::Running);
        next.facts = (0..300)
            .map(|n| Fact::StepEnded {
                step: format!("s{n}").as_str().into(),
                visit: 1,
                status: StepStatus::Skipped,
                reason: None,
            })
            .collect();
        store.runs().commit(next).await.unwrap().unwrap();
        assert_eq!(events(store, "all").await.len(), 300);
        let page = Page { limit: 120, ..Page::default() };
        let mut seen = store.webhooks().deliveries("all", &page).await.unwrap();
        while let Some(last) = seen.last().cloned() {
            let before = Some((last.created_at, last.message));
            let more = Page { before, ..page.clone() };
            let more = store.webhooks().deliveries("all", &more).await.unwrap();
            if more.is_empty() {
                break;
            }
            seen.extend(more);
        }
        let ids: std::collections::BTreeSet<_> = seen.iter().map(|row| &row.message).collect();
        assert_eq!((seen.len(), ids.len()), (300, 300));
    }

    async fn a_delivery_is_claimed_by_one_until_its_time_and_settled_by_him(world) {
        let store = &world.store;
        hook(store, "h", None, &["run.created"]).await;
        for run in ["r1", "r2", "r3"] {
            world.created(run).await;
        }
        assert!(store.webhooks().due(at(5)).await.unwrap().is_empty());
        assert_eq!(store.webhooks().due(at(6)).await.unwrap(), ["h"]);
        let other = world.another().await;
        let (one, two) = tokio::join!(claim(store, "h", 6, 2), claim(&other, "h", 6, 2));
        let mut ids: Vec<_> = one.iter().chain(&two).map(|row| row.message.clone()).collect();
        ids.extend(claim(store, "h", 6, 9).await.into_iter().map(|row| row.message));
        ids.sort();
        assert_eq!(ids, ["msg_r1_1", "msg_r2_1", "msg_r3_1"], "each once");
        assert!(store.webhooks().due(at(25)).await.unwrap().is_empty());
        let again = claim(&other, "h", 26, 1).await.remove(0);
        let first = one.iter().chain(&two).find(|row| row.message == again.message);
        let late = first.map_or_else(|| again.clone(), Clone::clone);
        let done = settled(DeliveryState::Delivered, 0, None);
        if late.version < again.version {
            let outcome = store.webhooks().settle(&late, &done).await.unwrap();
            assert_eq!(outcome, SettleOutcome::Superseded, "his claim is over");
        }
        for outcome in [SettleOutcome::Recorded, SettleOutcome::Superseded] {
            assert_eq!(store.webhooks().settle(&again, &done).await.unwrap(), outcome);
        }
        let row = store.webhooks().delivery("h", &again.message).await.unwrap().unwrap();
        assert_eq!((row.state, row.tries, row.status), (DeliveryState::Delivered, 1, Some(500)));
        assert_eq!((row.tried_at, row.note.as_deref()), (Some(at(50)), Some("no")));
        other.close().await;
    }

    async fn what_failed_is_due_again_at_its_time_and_whenever_somebody_asks(world) {
        let store = &world.store;
        hook(store, "h", None, &["run.created"]).await;
        world.created("r1").await;
        let row = claim(store, "h", 6, 1).await.remove(0);
        let later = settled(DeliveryState::Open, 90, None);
        let outcome = store.webhooks().settle(&row, &later).await.unwrap();
        assert_eq!(outcome, SettleOutcome::Recorded);
        assert_eq!(store.webhooks().get("h").await.unwrap().unwrap().failing_since, Some(at(50)));
        assert!(claim(store, "h", 89, 9).await.is_empty());
        let row = claim(store, "h", 90, 9).await.remove(0);
        let outcome = store.webhooks().settle(&row, &settled(DeliveryState::Failed, 0, None)).await.unwrap();
        assert_eq!(outcome, SettleOutcome::Recorded);
        assert!(claim(store, "h", 9_999, 9).await.is_empty());
        assert!(store.webhooks().replay("h", "msg_r1_1", at(100)).await.unwrap());
        assert!(!store.webhooks().replay("h", "msg_r9_1", at(100)).await.unwrap());
        let row = claim(store, "h", 100, 9).await.remove(0);
        assert_eq!((row.message.as_str(), row.tries), ("msg_r1_1", 0));
        let done = settled(DeliveryState::Delivered, 0, None);
        let outcome = store.webhooks().settle(&row, &done).await.unwrap();
        assert_eq!(outcome, SettleOutcome::Recorded);
        assert_eq!(store.webhooks().get("h").await.unwrap().unwrap().failing_since, None);
        store.webhooks().ping("h", "msg_x", at(110)).await.unwrap();
        let ping = claim(store, "h", 110, 9).await.remove(0);
        assert_eq!((ping.event.as_str(), ping.fact), ("ping", None));
    }

    async fn a_disabled_webhook_is_told_nothing_until_it_is_enabled(world) {
        let store = &world.store;
        hook(store, "h", None, &["run.created"]).await;
        hook(store, "other", None, &["run.created"]).await;
        world.created("r1").await;
        world.created("r2").await;
        let row = claim(store, "h", 6, 1).await.remove(0);
        let gone = settled(DeliveryState::Failed, 0, Some("it answered 410 Gone"));
        let outcome = store.webhooks().settle(&row, &gone).await.unwrap();
        assert_eq!(outcome, SettleOutcome::Disabled);
        let disabled = store.webhooks().get("h").await.unwrap().unwrap().disabled;
        assert_eq!(disabled, Some((at(50), "it answered 410 Gone".to_owned())));
        assert!(rows(store, "h").await.iter().all(|row| row.state == DeliveryState::Failed));
        world.created("r3").await;
        assert_eq!(rows(store, "h").await.len(), 2);
        assert_eq!(rows(store, "other").await.len(), 3);
        assert_eq!(store.webhooks().due(at(99)).await.unwrap(), ["other"]);
        store.webhooks().enable("h").await.unwrap();
        world.created("r4").await;
        let open = Page { state: Some(DeliveryState::Open), limit: 9, ..Page::default() };
        let open = store.webhooks().deliveries("h", &open).await.unwrap();
        assert_eq!(open.len(), 1);
        assert_eq!(open[0].message, "msg_r4_1");
    }

    async fn a_webhook_is_not_disabled_for_its_silence_once_something_came_through(world) {
        let store = &world.store;
        hook(store, "h", None, &["run.created"]).await;
        for run in ["r1", "r2", "r3", "r4"] {
            world.created(run).await;
        }
        let mut claimed = claim(store, "h", 6, 3).await.into_iter();
        let mut settle = async |settled: Settled| {
            let row = claimed.next().unwrap();
            let outcome = store.webhooks().settle(&row, &settled).await.unwrap();
            assert_eq!(outcome, SettleOutcome::Recorded);
            store.webhooks().get("h").await.unwrap().unwrap()
        };
        let seen = settle(settled(DeliveryState::Open, 90, None)).await.failing_since;
        assert_eq!(seen, Some(at(50)));
        settle(settled(DeliveryState::Delivered, 0, None)).await;
        let silence = Disable { reason: "silent".to_owned(), failing_since: seen };
        let given_up =
            Settled { disable: Some(silence), ..settled(DeliveryState::Open, 90, None) };
        assert_eq!(settle(Settled { at: at(60), ..given_up.clone() }).await.disabled, None);
        let row = claim(store, "h", 6, 1).await.remove(0);
        assert_eq!(row.state, DeliveryState::Open, "the others are still to be sent");
        let open = |row: &DeliveryRow| row.state == DeliveryState::Open && row.next_at == at(90);
        let open = rows(store, "h").await.into_iter().filter(open).count();
        assert_eq!(open, 2, "this one is sent again as well");
        let since = store.webhooks().get("h").await.unwrap().unwrap().failing_since;
        let silence = Disable { reason: "silent".to_owned(), failing_since: since };
        let given_up = Settled { disable: Some(silence), ..given_up };
        let outcome = store.webhooks().settle(&row, &given_up).await.unwrap();
        assert_eq!(outcome, SettleOutcome::Disabled);
        assert!(store.webhooks().get("h").await.unwrap().unwrap().disabled.is_some());
        let open = rows(store, "h").await.into_iter().filter(|row| row.state == DeliveryState::Open);
        assert_eq!(open.count(), 0, "nothing is sent any more");
    }

    async fn deliveries_go_with_their_run_their_webhook_and_with_time(world) {
        let store = &world.store;
        hook(store, "h", None, &["run.created"]).await;
        hook(store, "g", None, &["run.created"]).await;
        let run = world.created("r1").await;
        world.created("r2").await;
        let mut end = commit(&run, 1, RunStatus::Success);
        end.facts.push(Fact::RunStarted);
        store.runs().commit(end).await.unwrap().unwrap();
        assert!(store.retention().delete_run(&RunId::new("r1")).await.unwrap());
        assert_eq!(rows(store, "h").await.len(), 1);
        assert!(store.webhooks().remove("g").await.unwrap());
        assert!(!store.webhooks().remove("g").await.unwrap());
        assert!(rows(store, "g").await.is_empty());
        let row = claim(store, "h", 6, 1).await.remove(0);
        store.retention().prune(at(500)).await.unwrap();
        assert_eq!(rows(store, "h").await.len(), 1, "it is not sent yet");
        let done = settled(DeliveryState::Delivered, 0, None);
        let outcome = store.webhooks().settle(&row, &done).await.unwrap();
        assert_eq!(outcome, SettleOutcome::Recorded);
        store.retention().prune(at(6)).await.unwrap();
        assert_eq!(rows(store, "h").await.len(), 1, "it is not old yet");
        store.retention().prune(at(7)).await.unwrap();
        assert!(rows(store, "h").await.is_empty());
    }

    async fn there_are_not_more_webhooks_than_a_commit_can_bear(world) {
        let store = &world.store;
        for n in 0..MAX_WEBHOOKS {
            hook(store, &format!("h{n}"), None, &["run.ended"]).await;
        }
        let one = store.webhooks().get("h0").await.unwrap().unwrap();
        let more = WebhookRow { id: "more".to_owned(), ..one };
        assert!(!store.webhooks().add(&more).await.unwrap());
        assert_eq!(store.webhooks().list().await.unwrap().len() as u64, MAX_WEBHOOKS);
        let run = world.created("r1").await;
        let mut end = commit(&run, 1, RunStatus::Success);
        end.facts.push(Fact::RunEnded { status: RunStatus::Success, reason: None });
        store.runs().commit(end).await.unwrap().unwrap();
        assert_eq!(store.webhooks().due(at(6)).await.unwrap().len() as u64, MAX_WEBHOOKS);
    }
}

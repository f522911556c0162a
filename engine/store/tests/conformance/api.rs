//! What the API keeps: tokens, deliveries, idempotency keys, the audit trail.

use jiff::Timestamp;
use plue_store::{
    AuditRow, DeliveryRow, DeliveryState, Reservation, SessionRow, Store, TokenRow,
    delivery::{ClaimedDelivery, Settlement},
};
use serde_json::json;

use crate::support::engine;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn delivery(id: &str) -> DeliveryRow {
    DeliveryRow {
        forge: "github".to_owned(),
        hook: "main".to_owned(),
        id: id.to_owned(),
        headers: json!({"x-github-event": "push"}),
        body: b"{\"a\": \xff\0}".to_vec(),
        received_at: at(5),
        state: DeliveryState::New,
        note: None,
    }
}

fn token(id: &str, hash: &str) -> TokenRow {
    TokenRow {
        id: id.to_owned(),
        hash: hash.to_owned(),
        name: "deploys".to_owned(),
        role: "writer".to_owned(),
        repo: Some("acme/app".to_owned()),
        created_by: "root".to_owned(),
        created_at: at(1),
        expires_at: Some(at(100)),
        used_at: None,
    }
}

async fn claim(store: &Store, hook: &str, engine: &str) -> Option<ClaimedDelivery> {
    store.delivery_queues().claim(hook, Some(engine), at(9)).await.unwrap()
}

/// Id of the claimed delivery and its count of started attempts.
fn said(claimed: Option<&ClaimedDelivery>) -> Option<(String, u32)> {
    claimed.map(|claimed| (claimed.row.id.clone(), claimed.begun))
}

on_each_store! {
    async fn a_delivery_is_kept_once_however_often_it_comes(world) {
        let (here, there) = (&world.store, world.another().await);
        assert!(here.deliveries().receive(delivery("one")).await.unwrap());
        assert!(!here.deliveries().receive(delivery("one")).await.unwrap());
        assert!(!there.deliveries().receive(delivery("one")).await.unwrap());
        let other_hook = DeliveryRow { hook: "other".to_owned(), ..delivery("one") };
        assert!(there.deliveries().receive(other_hook).await.unwrap());
        let open = there.deliveries().unprocessed(10).await.unwrap();
        assert_eq!(open.len(), 2);
        assert!(open.contains(&delivery("one")), "byte for byte: {open:?}");
    }

    async fn of_many_equal_deliveries_at_once_one_is_new(world) {
        let stores = [world.store.clone(), world.another().await];
        let tries = (0..16).map(|n| stores[n % 2].deliveries().receive(delivery("same")));
        let answers = futures::future::join_all(tries).await;
        assert_eq!(answers.into_iter().filter(|fresh| *fresh.as_ref().unwrap()).count(), 1);
    }

    async fn one_engine_at_a_time_works_on_a_queue(world) {
        let (here, there) = (&world.store, world.another().await);
        for name in ["e1", "e2"] {
            here.engines().start(engine(name, 1, at(0))).await.unwrap();
        }
        let second = DeliveryRow { received_at: at(6), ..delivery("two") };
        for row in [delivery("one"), second, DeliveryRow { hook: "other".to_owned(), ..delivery("x") }] {
            here.deliveries().receive(row).await.unwrap();
        }
        let (mine, theirs) = tokio::join!(claim(here, "main", "e1"), claim(&there, "main", "e2"));
        let one = Some(("one".to_owned(), 1));
        let told = (said(mine.as_ref()), said(theirs.as_ref()));
        assert!(told == (one.clone(), None) || told == (None, one.clone()), "{told:?}");
        assert_eq!(claim(here, "main", "e1").await, None);
        assert_eq!(said(claim(here, "other", "e1").await.as_ref()), Some(("x".to_owned(), 1)));
        here.delivery_queues().release(&mine.or(theirs).unwrap()).await.unwrap();
        assert_eq!(said(claim(here, "main", "e2").await.as_ref()), one, "released work has not begun");
        for name in ["e1", "e2"] {
            here.engines().end(name).await.unwrap();
        }
        assert_eq!(claim(here, "main", "e1").await, None, "the engine is gone");
        here.engines().start(engine("e3", 1, at(0))).await.unwrap();
        let held = claim(here, "main", "e3").await;
        assert_eq!(said(held.as_ref()), Some(("one".to_owned(), 2)), "its engine died");
        here.deliveries().settle_one(&held.unwrap(), DeliveryState::Done, "").await.unwrap();
        assert_eq!(said(claim(here, "main", "e3").await.as_ref()), Some(("two".to_owned(), 1)));
    }

    async fn an_engine_that_was_buried_records_nothing_of_what_another_one_has_in_hand(world) {
        let store = &world.store;
        for name in ["e1", "e2"] {
            store.engines().start(engine(name, 1, at(0))).await.unwrap();
        }
        store.deliveries().receive(delivery("one")).await.unwrap();
        let late = claim(store, "main", "e1").await.unwrap();
        assert!(store.engines().end("e1").await.unwrap());
        let held = claim(store, "main", "e2").await.unwrap();
        store.delivery_queues().release(&late).await.unwrap();
        store.delivery_queues().put_off(&late, at(50), "put off").await.unwrap();
        store.delivery_queues().defer(&late, at(50), "deferred").await.unwrap();
        store.deliveries().settle_one(&late, DeliveryState::Done, "settled").await.unwrap();
        let note = Settlement::new(DeliveryState::Done, "held".to_owned());
        assert!(store.untrusted().settle_held(&late, ("a/b", "s1"), (&note, false), at(9)).await.unwrap());
        assert_eq!(store.untrusted().allow("a/b", "s1", "ann", at(9)).await.unwrap(), 0, "nothing is held");
        let row = store.deliveries().get("github", "main", "one").await.unwrap().unwrap();
        assert_eq!((row.state, row.note), (DeliveryState::New, None));
        assert_eq!(claim(store, "main", "e2").await, None, "it is in hand");
        store.delivery_queues().release(&held).await.unwrap();
        assert_eq!(claim(store, "main", "e2").await, Some(held));
    }

    async fn two_engines_that_ask_at_once_never_share_a_queue(world) {
        let (here, there) = (&world.store, world.another().await);
        for name in ["e1", "e2"] {
            here.engines().start(engine(name, 1, at(0))).await.unwrap();
        }
        for n in 0..24 {
            let hook = format!("no-repository-{n}");
            for id in ["one", "two", "three"] {
                here.deliveries().receive(DeliveryRow { hook: hook.clone(), ..delivery(id) }).await.unwrap();
            }
            let (mine, theirs) = tokio::join!(
                here.delivery_queues().claim(&hook, Some("e1"), at(9)),
                there.delivery_queues().claim(&hook, Some("e2"), at(9)),
            );
            let claims = [mine.unwrap(), theirs.unwrap()];
            assert_eq!(claims.iter().flatten().count(), 1, "{hook}: {claims:?}");
        }
    }

    async fn deferred_deliveries_let_others_go_first(world) {
        let store = &world.store;
        let second = DeliveryRow { received_at: at(6), ..delivery("two") };
        for row in [delivery("one"), second.clone()] {
            store.deliveries().receive(row).await.unwrap();
        }
        let claim = async |now: i64| {
            let claimed = store.delivery_queues().claim("main", None, at(now)).await.unwrap();
            claimed.map(|claimed| (claimed.row.id, claimed.tries, claimed.begun))
        };
        assert_eq!(claim(9).await, Some(("one".to_owned(), 0, 1)));
        store.delivery_queues().defer(&delivery("one"), at(20), "try 1 failed").await.unwrap();
        let shown = store.deliveries().list("main", None, 10).await.unwrap();
        let one = shown.iter().find(|shown| shown.id == "one").unwrap();
        assert_eq!((one.tries, one.next_at), (1, Some(at(20))));
        assert_eq!(one.note.as_deref(), Some("try 1 failed"));
        assert_eq!(claim(9).await, Some(("two".to_owned(), 0, 1)));
        store.delivery_queues().put_off(&second, at(30), "the work panicked").await.unwrap();
        assert_eq!(claim(19).await, None);
        assert_eq!(store.delivery_queues().waiting(at(19)).await.unwrap(), []);
        let waiting = store.delivery_queues().waiting(at(20)).await.unwrap();
        assert_eq!(waiting.len(), 1);
        assert!(waiting[0].has_failed && waiting[0].queue == "main");
        assert_eq!(claim(20).await, Some(("one".to_owned(), 1, 1)));
        store.deliveries().settle_one(&delivery("one"), DeliveryState::Done, "").await.unwrap();
        assert_eq!(claim(30).await, Some(("two".to_owned(), 0, 2)), "it began before");
    }

    async fn each_queue_waits_with_the_oldest_delivery_that_is_due(world) {
        let store = &world.store;
        let put = async |hook: &str, id: &str, second: i64| {
            let row =
                DeliveryRow { hook: hook.to_owned(), received_at: at(second), ..delivery(id) };
            store.deliveries().receive(row.clone()).await.unwrap();
            row
        };
        let waiting = async |now: i64| -> Vec<(String, Timestamp, bool)> {
            let all = store.delivery_queues().waiting(at(now)).await.unwrap();
            all.into_iter().map(|one| (one.queue, one.oldest, one.has_failed)).collect()
        };
        assert_eq!(waiting(9).await, []);
        for n in 1..=3 {
            put("a", &format!("a{n}"), n).await;
        }
        put("b", "b1", 4).await;
        let settled = put("c", "c1", 5).await;
        store.deliveries().settle_one(&settled, DeliveryState::Done, "").await.unwrap();
        let of = |queue: &str, oldest, has_failed| (queue.to_owned(), at(oldest), has_failed);
        assert_eq!(waiting(9).await, [of("a", 1, false), of("b", 4, false)]);
        let claimed = store.delivery_queues().claim("a", None, at(9)).await.unwrap().unwrap();
        store.delivery_queues().defer(&claimed, at(20), "no").await.unwrap();
        assert_eq!(waiting(9).await, [of("a", 2, false), of("b", 4, false)]);
        assert_eq!(waiting(20).await, [of("a", 1, true), of("b", 4, false)]);
        store.delivery_queues().defer_queue("github", "b", at(30)).await.unwrap();
        assert_eq!(waiting(20).await, [of("a", 1, true)], "all of b are put off");
    }

    async fn a_queue_is_deferred_for_one_forge(world) {
        let store = &world.store;
        let message = DeliveryRow { forge: "event".to_owned(), ..delivery("m") };
        for row in [delivery("one"), message] {
            store.deliveries().receive(row).await.unwrap();
        }
        store.delivery_queues().defer_queue("github", "main", at(20)).await.unwrap();
        let claimed = store.delivery_queues().claim("main", None, at(9)).await.unwrap().unwrap();
        assert_eq!(claimed.row.id, "m");
    }

    async fn failed_and_deferred_deliveries_can_be_retried(world) {
        let store = &world.store;
        assert!(!store.delivery_queues().retry("main", "one").await.unwrap(), "there is none");
        store.deliveries().receive(delivery("one")).await.unwrap();
        store.deliveries().settle_one(&delivery("one"), DeliveryState::Done, "").await.unwrap();
        assert!(!store.delivery_queues().retry("main", "one").await.unwrap(), "it is done");
        store.deliveries().settle_one(&delivery("one"), DeliveryState::Failed, "set aside").await.unwrap();
        assert!(store.delivery_queues().retry("main", "one").await.unwrap());
        store.delivery_queues().defer(&delivery("one"), at(50), "").await.unwrap();
        assert!(store.delivery_queues().retry("main", "one").await.unwrap());
        let claimed = store.delivery_queues().claim("main", None, at(9)).await.unwrap().unwrap();
        assert_eq!((claimed.tries, claimed.begun), (0, 1));
        assert!(!store.delivery_queues().retry("main", "one").await.unwrap(), "it is in hand");
    }

    async fn a_settled_delivery_is_not_new_and_is_not_taken_again(world) {
        world.store.deliveries().receive(delivery("one")).await.unwrap();
        let state = DeliveryState::Ignored;
        world.store.deliveries().settle_one(&delivery("one"), state, "a star").await.unwrap();
        assert_eq!(world.store.deliveries().unprocessed(10).await.unwrap(), []);
        assert!(!world.store.deliveries().receive(delivery("one")).await.unwrap());
        let kept = world.store.deliveries().get("github", "main", "one").await.unwrap().unwrap();
        assert_eq!((kept.state, kept.note.as_deref()), (state, Some("a star")));
    }

    async fn a_token_is_found_by_its_hash_until_it_is_removed(world) {
        let store = &world.store;
        store.tokens().create(&token("t1", "aa")).await.unwrap();
        store.tokens().create(&token("t2", "bb")).await.unwrap();
        assert!(store.tokens().create(&token("t3", "aa")).await.is_err(), "one hash, two tokens");
        assert_eq!(store.tokens().by_hash("aa").await.unwrap(), Some(token("t1", "aa")));
        store.tokens().used("t1", at(7)).await.unwrap();
        let used = store.tokens().by_hash("aa").await.unwrap().unwrap().used_at;
        assert_eq!(used, Some(at(7)));
        assert!(store.tokens().remove("t1").await.unwrap());
        assert!(!store.tokens().remove("t1").await.unwrap());
        assert_eq!(store.tokens().by_hash("aa").await.unwrap(), None);
        assert_eq!(store.tokens().list().await.unwrap(), [token("t2", "bb")]);
    }

    async fn a_key_stands_for_what_it_was_reserved_for_first(world) {
        let stores = [world.store.clone(), world.another().await];
        let wanted = |n: usize| Reservation { request: "r".to_owned(), subject: format!("s{n}") };
        let tries = (0..8).map(|n| stores[n % 2].idempotency().reserve("ann", "k", wanted(n), at(1)));
        let answers = futures::future::join_all(tries).await;
        let first = answers[0].as_ref().unwrap();
        assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == first), "{answers:?}");
        let other = world.store.idempotency().reserve("bob", "k", wanted(9), at(1)).await.unwrap();
        assert_eq!(other, wanted(9), "keys belong to who sent them");
    }

    async fn the_audit_trail_keeps_its_order(world) {
        let row = |n: i64| AuditRow {
            seq: 0,
            at: at(n),
            principal: "ann".to_owned(),
            action: "run.cancel".to_owned(),
            subject: format!("r{n}"),
            repo: None,
            detail: json!({"kill": false}),
        };
        for n in 0..3 {
            world.store.audit().add(&row(n)).await.unwrap();
        }
        let all = world.store.audit().after(0, 10).await.unwrap();
        let subjects: Vec<_> = all.iter().map(|row| row.subject.as_str()).collect();
        assert_eq!(subjects, ["r0", "r1", "r2"]);
        let rest = world.store.audit().after(all[0].seq, 1).await.unwrap();
        assert_eq!(rest.len(), 1);
        assert_eq!(AuditRow { seq: 0, ..rest[0].clone() }, row(1));
    }

    async fn a_session_lives_as_long_as_it_may_and_not_longer_than_its_token(world) {
        let store = &world.store;
        let token = token("t-s", "h-s");
        store.tokens().create(&token).await.unwrap();
        let session = |hash: &str, end: i64| SessionRow {
            hash: hash.to_owned(),
            token_id: token.id.clone(),
            created_at: at(10),
            expires_at: at(end),
        };
        store.sessions().create(&session("a", 20)).await.unwrap();
        let found = store.sessions().by_hash("a", at(19)).await.unwrap().unwrap();
        assert_eq!((found.0, found.1.name), (session("a", 20), token.name.clone()));
        assert_eq!(store.sessions().by_hash("a", at(20)).await.unwrap(), None);
        assert_eq!(store.sessions().by_hash("b", at(11)).await.unwrap(), None);
        store.sessions().create(&session("b", 90)).await.unwrap();
        store.sessions().remove("b").await.unwrap();
        assert_eq!(store.sessions().by_hash("b", at(11)).await.unwrap(), None);
        assert!(store.tokens().remove(&token.id).await.unwrap());
        assert_eq!(store.sessions().by_hash("a", at(11)).await.unwrap(), None);
        assert!(store.sessions().create(&session("c", 90)).await.is_err(), "nobody's");
    }
}

//! What the API keeps: tokens, deliveries, idempotency keys, the audit trail.

use jiff::Timestamp;
use plue_store::{AuditRow, DeliveryRow, DeliveryState, Reservation, SessionRow, TokenRow};
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

on_each_store! {
    async fn a_delivery_is_kept_once_however_often_it_comes(world) {
        let (here, there) = (&world.store, world.another().await);
        assert!(here.receive(delivery("one")).await.unwrap());
        assert!(!here.receive(delivery("one")).await.unwrap());
        assert!(!there.receive(delivery("one")).await.unwrap());
        let other_hook = DeliveryRow { hook: "other".to_owned(), ..delivery("one") };
        assert!(there.receive(other_hook).await.unwrap());
        let open = there.new_deliveries(10).await.unwrap();
        assert_eq!(open.len(), 2);
        assert!(open.contains(&delivery("one")), "byte for byte: {open:?}");
    }

    async fn of_many_equal_deliveries_at_once_one_is_new(world) {
        let stores = [world.store.clone(), world.another().await];
        let tries = (0..16).map(|n| stores[n % 2].receive(delivery("same")));
        let answers = futures::future::join_all(tries).await;
        assert_eq!(answers.into_iter().filter(|fresh| *fresh.as_ref().unwrap()).count(), 1);
    }

    async fn a_delivery_is_worked_on_by_one_engine_until_that_is_buried(world) {
        let (here, there) = (&world.store, world.another().await);
        for name in ["e1", "e2"] {
            here.engine_start(engine(name, 1, at(0))).await.unwrap();
        }
        here.receive(delivery("one")).await.unwrap();
        here.receive(delivery("two")).await.unwrap();
        let (mine, theirs) =
            tokio::join!(here.take_deliveries("e1", 2), there.take_deliveries("e2", 2));
        let (mine, theirs) = (mine.unwrap().unwrap(), theirs.unwrap().unwrap());
        assert_eq!(mine.len() + theirs.len(), 2, "{mine:?} {theirs:?}");
        assert_eq!(here.take_deliveries("e1", 2).await.unwrap().unwrap(), []);
        for name in ["e1", "e2"] {
            here.engine_end(name).await.unwrap();
        }
        here.engine_start(engine("e3", 1, at(0))).await.unwrap();
        let again = here.take_deliveries("e3", 2).await.unwrap().unwrap();
        assert_eq!(again.len(), 2);
        here.untake_delivery(&again[0]).await.unwrap();
        assert_eq!(here.take_deliveries("e3", 2).await.unwrap().unwrap(), again[..1]);
    }

    async fn a_settled_delivery_is_not_new_and_is_not_taken_again(world) {
        world.store.receive(delivery("one")).await.unwrap();
        let state = DeliveryState::Ignored;
        world.store.settle_delivery(&delivery("one"), state, "a star").await.unwrap();
        assert_eq!(world.store.new_deliveries(10).await.unwrap(), []);
        assert!(!world.store.receive(delivery("one")).await.unwrap());
        let kept = world.store.delivery("github", "main", "one").await.unwrap().unwrap();
        assert_eq!((kept.state, kept.note.as_deref()), (state, Some("a star")));
    }

    async fn a_token_is_found_by_its_hash_until_it_is_removed(world) {
        let store = &world.store;
        store.token_create(&token("t1", "aa")).await.unwrap();
        store.token_create(&token("t2", "bb")).await.unwrap();
        assert!(store.token_create(&token("t3", "aa")).await.is_err(), "one hash, two tokens");
        assert_eq!(store.token_by_hash("aa").await.unwrap(), Some(token("t1", "aa")));
        store.token_used("t1", at(7)).await.unwrap();
        let used = store.token_by_hash("aa").await.unwrap().unwrap().used_at;
        assert_eq!(used, Some(at(7)));
        assert!(store.token_remove("t1").await.unwrap());
        assert!(!store.token_remove("t1").await.unwrap());
        assert_eq!(store.token_by_hash("aa").await.unwrap(), None);
        assert_eq!(store.tokens().await.unwrap(), [token("t2", "bb")]);
    }

    async fn a_key_stands_for_what_it_was_reserved_for_first(world) {
        let stores = [world.store.clone(), world.another().await];
        let wanted = |n: usize| Reservation { request: "r".to_owned(), subject: format!("s{n}") };
        let tries = (0..8).map(|n| stores[n % 2].reserve("ann", "k", wanted(n), at(1)));
        let answers = futures::future::join_all(tries).await;
        let first = answers[0].as_ref().unwrap();
        assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == first), "{answers:?}");
        let other = world.store.reserve("bob", "k", wanted(9), at(1)).await.unwrap();
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
            world.store.audit(&row(n)).await.unwrap();
        }
        let all = world.store.audit_after(0, 10).await.unwrap();
        let subjects: Vec<_> = all.iter().map(|row| row.subject.as_str()).collect();
        assert_eq!(subjects, ["r0", "r1", "r2"]);
        let rest = world.store.audit_after(all[0].seq, 1).await.unwrap();
        assert_eq!(rest.len(), 1);
        assert_eq!(AuditRow { seq: 0, ..rest[0].clone() }, row(1));
    }

    async fn a_session_lives_as_long_as_it_may_and_not_longer_than_its_token(world) {
        let store = &world.store;
        let token = token("t-s", "h-s");
        store.token_create(&token).await.unwrap();
        let session = |hash: &str, end: i64| SessionRow {
            hash: hash.to_owned(),
            token_id: token.id.clone(),
            created_at: at(10),
            expires_at: at(end),
        };
        store.session_create(&session("a", 20)).await.unwrap();
        let found = store.session_by_hash("a", at(19)).await.unwrap().unwrap();
        assert_eq!((found.0, found.1.name), (session("a", 20), token.name.clone()));
        assert_eq!(store.session_by_hash("a", at(20)).await.unwrap(), None);
        assert_eq!(store.session_by_hash("b", at(11)).await.unwrap(), None);
        store.session_create(&session("b", 90)).await.unwrap();
        store.session_remove("b").await.unwrap();
        assert_eq!(store.session_by_hash("b", at(11)).await.unwrap(), None);
        assert!(store.token_remove(&token.id).await.unwrap());
        assert_eq!(store.session_by_hash("a", at(11)).await.unwrap(), None);
        assert!(store.session_create(&session("c", 90)).await.is_err(), "nobody's");
    }
}

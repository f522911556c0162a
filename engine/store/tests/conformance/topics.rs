//! Messages on topics, for those who follow them by number: none is missed, none comes twice.

use std::cell::Cell;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::support::{World, at};

/// What a follower gets who takes `page` messages at a time until there are none.
async fn follow(world: &World, topic: &str, after: &mut u64, page: u32) -> Vec<Json> {
    let mut taken = Vec::new();
    loop {
        let some =
            world.store.topics().messages(topic, *after, Timestamp::MIN, page).await.unwrap();
        let Some(last) = some.last() else { return taken };
        assert!(some.len() <= page as usize && some[0].id > *after);
        *after = last.id;
        taken.extend(some.into_iter().map(|event| event.data));
    }
}

on_each_store! {
    async fn who_follows_a_topic_while_many_write_gets_every_message_once(world) {
        let stores = [world.store.clone(), world.another().await];
        let sent = (0..60).map(|n| stores[n % 2].topics().emit("t", json!(n), "ann", at(1)));
        let is_over = Cell::new(false);
        let (mut after, mut taken) = (0, Vec::new());
        let send = async {
            for sent in futures::future::join_all(sent).await {
                sent.unwrap();
            }
            is_over.set(true);
        };
        let take = async {
            while !is_over.get() {
                taken.extend(follow(&world, "t", &mut after, 7).await);
                tokio::task::yield_now().await;
            }
            taken.extend(follow(&world, "t", &mut after, 7).await);
        };
        futures::join!(send, take);
        taken.sort_by_key(Json::as_u64);
        assert_eq!(taken, (0..60).map(|n| json!(n)).collect::<Vec<_>>());
    }

    async fn a_message_comes_back_as_it_was_sent_and_on_its_topic_only(world) {
        let data = json!({"text": "wörld \" ' $1 \u{1f980}", "n": [1, null, {"a": 1.5}]});
        world.store.topics().emit("a/b%", data.clone(), "ann", at(7)).await.unwrap();
        let there = world.another().await;
        let found = there.topics().messages("a/b%", 0, at(7), 10).await.unwrap();
        assert_eq!((found.len(), &found[0].data), (1, &data));
        assert_eq!((found[0].topic.as_str(), found[0].by.as_str(), found[0].at), ("a/b%", "ann", at(7)));
        for other in ["a/b", "a/b%%", "A/B%", "%", ""] {
            assert_eq!(there.topics().messages(other, 0, at(0), 10).await.unwrap(), [], "{other}");
        }
        assert_eq!(there.topics().messages("a/b%", 0, at(8), 10).await.unwrap(), [], "it is too old");
        assert_eq!(there.topics().messages("a/b%", found[0].id, at(0), 10).await.unwrap(), []);
        assert_eq!(there.topics().messages("a/b%", 0, at(0), 0).await.unwrap(), []);
    }

    async fn a_message_wakes_whoever_waits_for_one(world) {
        let run = world.created("r1").await;
        let mut told = world.store.changes_of(&run);
        told.mark_unchanged();
        world.store.topics().emit("t", json!(1), "ann", at(1)).await.unwrap();
        told.changed().await.unwrap();
    }
}

mod postgres_only {
    use sqlx::{Connection as _, PgConnection};

    use super::*;

    /// A transaction that has its number and is slow to commit.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_message_with_a_lower_number_never_comes_after_one_with_a_higher_number() {
        let world = World::postgres().await;
        let mut connection = PgConnection::connect(&world.options().url).await.unwrap();
        let mut slow = connection.begin().await.unwrap();
        let insert = "INSERT INTO topic_event (topic, data, emitted_by, emitted_at) \
                      VALUES ('t', '\"slow\"', 'ann', 0)";
        sqlx::query(insert).execute(&mut *slow).await.unwrap();
        let waiting = "SELECT count(*) FROM pg_locks \
                       WHERE relation = 'topic_event'::regclass AND NOT granted";
        let mut quick = Box::pin(world.store.topics().emit("t", json!("quick"), "bob", at(1)));
        let mut is_sent = false;
        // It is sent before the slow one, or waits for it.
        while !is_sent && world.sql(waiting).trim() == "0" {
            is_sent = futures::poll!(quick.as_mut()).is_ready();
        }
        let mut after = 0;
        let mut taken = follow(&world, "t", &mut after, 10).await;
        slow.commit().await.unwrap();
        if !is_sent {
            quick.await.unwrap();
        }
        taken.extend(follow(&world, "t", &mut after, 10).await);
        assert_eq!(taken, [json!("slow"), json!("quick")]);
    }

    #[tokio::test]
    async fn who_reads_messages_does_not_wait_for_who_writes_one() {
        let world = World::postgres().await;
        world.store.topics().emit("t", json!(1), "ann", at(1)).await.unwrap();
        let mut connection = PgConnection::connect(&world.options().url).await.unwrap();
        let mut writer = connection.begin().await.unwrap();
        let lock = "LOCK TABLE topic_event IN SHARE ROW EXCLUSIVE MODE";
        sqlx::query(lock).execute(&mut *writer).await.unwrap();
        assert_eq!(follow(&world, "t", &mut 0, 10).await, [json!(1)]);
        writer.rollback().await.unwrap();
    }
}

//! Registered runners: tokens, the states of their rows, and the run that has one.

use plue_flow::executor::ExecutorState;
use plue_plan::RunnerId;
use plue_store::{
    Error, REMOTE_POOL, RunnerKind, RunnerState,
    runner::{NewRegistered, RELEASED, RegistrationToken, Removal},
};

use crate::support::{World, at};

fn token(hash: &str) -> RegistrationToken {
    RegistrationToken {
        id: format!("id of {hash}"),
        hash: hash.to_owned(),
        pool: "lab".to_owned(),
        labels: vec!["gpu".to_owned()],
        created_by: "ada".to_owned(),
        created_at: at(1),
        expires_at: at(100),
        used_at: None,
    }
}

fn new(id: &str) -> NewRegistered {
    NewRegistered {
        id: RunnerId::new(id),
        name: "machine".to_owned(),
        labels: vec!["gpu".to_owned(), "own".to_owned()],
        credential_hash: "hash".to_owned(),
    }
}

async fn registered(world: &World, id: &str) -> RunnerId {
    world.store.registrations().create(&token(id)).await.unwrap();
    world.store.registrations().register(id, new(id), at(2)).await.unwrap().unwrap();
    RunnerId::new(id)
}

/// A session that is ready: its epoch.
async fn connected(world: &World, id: &RunnerId, boot: &str) -> u64 {
    let epoch = world.store.runners().greet(id, "hash", boot, at(3)).await.unwrap();
    assert!(world.store.runners().ready(id, epoch, at(3)).await.unwrap());
    epoch
}

async fn state(world: &World, id: &RunnerId) -> ExecutorState {
    world.store.runners().get(id).await.unwrap().unwrap().executor_state()
}

on_each_store! {
    async fn tokens_are_used_once_before_they_expire(world) {
        let store = &world.store;
        store.registrations().create(&token("t")).await.unwrap();
        assert_eq!(store.registrations().register("other", new("a"), at(2)).await.unwrap(), None);
        assert_eq!(store.registrations().register("t", new("a"), at(100)).await.unwrap(), None);
        let tries = ["a", "b", "c", "d"].map(|id| store.registrations().register("t", new(id), at(2)));
        let used = futures::future::join_all(tries).await;
        let used: Vec<_> = used.into_iter().filter_map(|one| one.unwrap()).collect();
        assert_eq!(used.len(), 1, "{used:?}");
        assert_eq!(used[0].labels, ["gpu", "own"]);
        let rows = store.runners().list(None).await.unwrap();
        let [row] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((row.kind, row.pool.as_str()), (RunnerKind::Registered, "lab"));
        assert_eq!((row.name.as_deref(), &row.labels), (Some("machine"), &used[0].labels));
        assert!(row.answers_to(["gpu", "lab"].into_iter()));
    }

    async fn row_0_07_executors_go_through_their_states(world) {
        let id = registered(&world, "r").await;
        let store = &world.store;
        assert_eq!(state(&world, &id).await, ExecutorState::Registered);
        let run = world.queued("run", "a").await;
        connected(&world, &id, "boot").await;
        assert_eq!(state(&world, &id).await, ExecutorState::Idle);
        assert!(store.runners().bind(&id, None, &run).await.unwrap());
        assert_eq!(state(&world, &id).await, ExecutorState::Running);
        // Illegal: it is claimed by another run, or removed, while it works.
        let other = world.queued("other", "b").await;
        assert!(!store.runners().bind(&id, None, &other).await.unwrap());
        assert_eq!(store.registrations().remove(&id, at(5)).await.unwrap(), Removal::Busy(run.clone()));
        store.runners().gone(&id, "it did not come back", at(6)).await.unwrap();
        assert_eq!(state(&world, &id).await, ExecutorState::Failed);
        connected(&world, &id, "boot").await;
        assert_eq!(state(&world, &id).await, ExecutorState::Idle);
        assert!(store.runners().bind(&id, None, &other).await.unwrap());
        store.runners().gone(&id, RELEASED, at(7)).await.unwrap();
        assert_eq!(state(&world, &id).await, ExecutorState::Idle);
        assert_eq!(store.registrations().remove(&id, at(8)).await.unwrap(), Removal::Removed);
        assert_eq!(state(&world, &id).await, ExecutorState::Deregistered);
        assert_eq!(store.registrations().remove(&id, at(9)).await.unwrap(), Removal::Unknown);
        let refused = store.runners().greet(&id, "hash", "boot", at(9)).await;
        assert!(matches!(refused, Err(Error::UnknownRunner(_))), "{refused:?}");
        assert_eq!(store.registrations().credential(&id).await.unwrap(), None);
    }

    async fn released_runners_have_stale_sessions(world) {
        let id = registered(&world, "r").await;
        let run = world.queued("run", "a").await;
        let epoch = connected(&world, &id, "boot").await;
        assert!(world.store.runners().bind(&id, None, &run).await.unwrap());
        world.store.runners().gone(&id, RELEASED, at(5)).await.unwrap();
        assert!(!world.store.runners().ready(&id, epoch, at(6)).await.unwrap());
        assert!(world.store.attempts().claim(&id, epoch, 1, at(6)).await.unwrap().is_empty());
        let row = world.store.runners().get(&id).await.unwrap().unwrap();
        assert_eq!((row.state, row.group), (RunnerState::Warming, None));
    }

    async fn only_free_machines_may_lose_their_directory(world) {
        let id = registered(&world, "r").await;
        connected(&world, &id, "first").await;
        connected(&world, &id, "second").await;
        let run = world.queued("run", "a").await;
        assert!(world.store.runners().bind(&id, None, &run).await.unwrap());
        let refused = world.store.runners().greet(&id, "hash", "third", at(5)).await;
        assert!(matches!(refused, Err(Error::UnknownRunner(_))), "{refused:?}");
        world.store.runners().greet(&id, "hash", "second", at(5)).await.unwrap();
    }

    async fn one_free_machine_raced_by_runs_has_one_run(world) {
        let id = registered(&world, "r").await;
        let (one, two) = (world.store.clone(), world.another().await);
        for round in 0..50 {
            connected(&world, &id, "boot").await;
            let runs = [world.queued(&format!("a{round}"), &format!("x{round}")).await,
                        world.queued(&format!("b{round}"), &format!("y{round}")).await];
            let (first, second) = tokio::join!(
                one.runners().bind(&id, None, &runs[0]),
                two.runners().bind(&id, None, &runs[1]),
            );
            assert!(first.unwrap() != second.unwrap(), "round {round}");
            world.store.runners().gone(&id, RELEASED, at(5)).await.unwrap();
        }
    }

    async fn draining_is_stored_and_taken_back(world) {
        let id = registered(&world, "r").await;
        for draining in [true, false] {
            assert!(world.store.registrations().drain(&id, draining).await.unwrap());
            assert_eq!(world.store.runners().get(&id).await.unwrap().unwrap().draining, draining);
        }
        assert!(!world.store.registrations().drain(&RunnerId::new("none"), true).await.unwrap());
    }

    async fn bound_machines_claim_remote_attempts_of_their_run(world) {
        let id = registered(&world, "r").await;
        let ours = world.queued_in("ours", "a", REMOTE_POOL).await;
        world.queued_in("theirs", "b", REMOTE_POOL).await;
        // Of a pool of this machine: never for another one.
        world.queued_in("local", "c", "lab").await;
        let epoch = connected(&world, &id, "boot").await;
        assert!(world.store.runners().bind(&id, None, &ours).await.unwrap());
        let claimed = world.store.attempts().claim(&id, epoch, 8, at(5)).await.unwrap();
        let [one] = claimed.as_slice() else { panic!("{claimed:?}") };
        assert_eq!((&one.run, one.claim.attempt.as_str()), (&ours, "a"));
        assert!(world.store.attempts().claim(&id, epoch, 8, at(5)).await.unwrap().is_empty());
        // Its attempts are lost with it, and the machine is free for another run.
        let lost = world.store.runners().gone(&id, "it did not come back", at(6)).await.unwrap();
        assert_eq!(lost.len(), 1, "{lost:?}");
        let row = world.store.runners().get(&id).await.unwrap().unwrap();
        assert_eq!((row.state, row.group), (RunnerState::Warming, None));
    }

    async fn expired_tokens_are_deleted_by_the_next(world) {
        world.store.registrations().create(&token("old")).await.unwrap();
        let later = RegistrationToken {
            created_at: at(200),
            expires_at: at(300),
            ..token("new")
        };
        world.store.registrations().create(&later).await.unwrap();
        // Before its end by this clock, but it is not there any more.
        let used = world.store.registrations().register("old", new("a"), at(2)).await.unwrap();
        assert_eq!(used, None);
        let used = world.store.registrations().register("new", new("a"), at(201)).await.unwrap();
        assert_eq!(used.unwrap().used_at, Some(at(201)));
    }
}

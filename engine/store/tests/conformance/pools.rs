//! Pools of pods: leases, bounded creation, warm runners, each decided by one compare-and-set.

use std::collections::BTreeSet;

use jiff::Timestamp;
use plue_plan::{RunId, RunnerId};
use plue_store::{
    REMOTE_POOL, RunnerKind, RunnerState, Store,
    pool::{
        NewPodRunner, NewPool, PodCreated, PodGone, PoolChange, PoolKind, Reusable, RunnerDemand,
        TakeWarm,
    },
};

use crate::support::{World, at, engine, success};

/// Races of two engines for one runner each.
const RACES: u32 = 150;

fn runner(id: impl ToString) -> RunnerId {
    RunnerId::new(id.to_string())
}

fn new_pod(id: impl ToString, fence: u64, target: u32, max: u32) -> NewPodRunner {
    NewPodRunner {
        runner: runner(id),
        pool: "warm".to_owned(),
        fence,
        template: "t1".to_owned(),
        token_hash: "hash".to_owned(),
        labels: vec!["gpu".to_owned()],
        target,
        max,
        at: at(1),
    }
}

fn take(run: &str, scope: &str) -> TakeWarm {
    TakeWarm {
        pool: "warm".to_owned(),
        run: RunId::new(run),
        scope: scope.to_owned(),
        among: None,
        at: at(9),
    }
}

/// A pool that this engine leads: the fence.
async fn led(world: &World) -> u64 {
    world.store.engines().start(engine("e1", 1, at(0))).await.unwrap();
    world.store.pools().lead("warm", "e1").await.unwrap().unwrap()
}

/// Registers a runner whose session is ready.
async fn warm(store: &Store, id: &str, fence: u64) {
    let created = store.pods().create(new_pod(id, fence, u32::MAX, u32::MAX)).await.unwrap();
    assert_eq!(created, PodCreated::Inserted);
    let epoch = store.runners().greet(&runner(id), "hash", "boot", at(2)).await.unwrap();
    assert!(store.runners().ready(&runner(id), epoch, at(3)).await.unwrap());
}

on_each_store! {
    async fn pools_have_one_manager_until_it_expires(world) {
        assert_eq!(world.store.pools().lead("warm", "e1").await.unwrap(), None, "not registered");
        let first = led(&world).await;
        let other = world.another().await;
        other.engines().start(engine("e2", 1, at(0))).await.unwrap();
        assert_eq!(other.pools().lead("warm", "e2").await.unwrap(), None);
        assert_eq!(world.store.pools().lead("warm", "e1").await.unwrap(), Some(first));
        assert!(other.engines().end("e1").await.unwrap());
        assert_eq!(other.pools().lead("warm", "e2").await.unwrap(), Some(first + 1));
        assert_eq!(world.store.pools().lead("warm", "e1").await.unwrap(), None);
    }

    async fn racing_managers_lead_one_at_a_time(world) {
        let other = world.another().await;
        for name in ["e1", "e2"] {
            world.store.engines().start(engine(name, 1, at(0))).await.unwrap();
        }
        for round in 0..50 {
            let pool = format!("p{round}");
            let (one, two) =
                tokio::join!(world.store.pools().lead(&pool, "e1"), other.pools().lead(&pool, "e2"));
            let (one, two) = (one.unwrap(), two.unwrap());
            assert!(one.is_some() != two.is_some(), "round {round}: {one:?} {two:?}");
        }
    }

    async fn failure_case_38_superseded_managers_create_nothing(world) {
        let first = led(&world).await;
        let other = world.another().await;
        other.engines().start(engine("e2", 1, at(0))).await.unwrap();
        other.engines().end("e1").await.unwrap();
        let second = other.pools().lead("warm", "e2").await.unwrap().unwrap();
        let old = world.store.pods().create(new_pod("a", first, 9, 9)).await.unwrap();
        assert_eq!(old, PodCreated::Fenced);
        let new = other.pods().create(new_pod("a", second, 9, 9)).await.unwrap();
        assert_eq!(new, PodCreated::Inserted);
        assert_eq!(world.store.pods().list("warm").await.unwrap().len(), 1);
    }

    async fn creations_stop_at_target_and_maximum(world) {
        let fence = led(&world).await;
        let other = world.another().await;
        let creates = (0..20).map(|n| {
            let store = if n % 2 == 0 { &world.store } else { &other };
            store.pods().create(new_pod(n, fence, 5, 9))
        });
        let answers = futures::future::join_all(creates).await;
        let inserted = answers.into_iter().filter(|one| *one.as_ref().unwrap() == PodCreated::Inserted);
        assert_eq!(inserted.count(), 5);
        for row in world.store.pods().list("warm").await.unwrap() {
            let epoch = world.store.runners().greet(&row.runner, "hash", "b", at(2)).await.unwrap();
            world.store.runners().ready(&row.runner, epoch, at(2)).await.unwrap();
            world.store.pods().take_warm(take(row.runner.as_str(), "own:a")).await.unwrap().unwrap();
        }
        for n in 20..30 {
            let created = world.store.pods().create(new_pod(n, fence, 50, 9)).await.unwrap();
            let expected = if n < 24 { PodCreated::Inserted } else { PodCreated::Enough };
            assert_eq!(created, expected, "busy runners count towards the maximum: {n}");
        }
    }

    async fn pods_are_recorded_once(world) {
        let fence = led(&world).await;
        world.store.pods().create(new_pod("a", fence, 9, 9)).await.unwrap();
        assert!(world.store.pods().bound(&runner("a"), "u1").await.unwrap());
        assert!(world.store.pods().bound(&runner("a"), "u1").await.unwrap());
        assert!(!world.store.pods().bound(&runner("a"), "u2").await.unwrap());
        assert!(!world.store.pods().bound(&runner("b"), "u1").await.unwrap());
        let rows = world.store.pods().list("warm").await.unwrap();
        assert_eq!(rows[0].pod_uid.as_deref(), Some("u1"));
    }

    async fn failure_case_42_drains_and_claims_have_one_winner(world) {
        let fence = led(&world).await;
        let other = world.another().await;
        for round in 0..50 {
            let id = format!("w{round}");
            warm(&world.store, &id, fence).await;
            let target = runner(&id);
            let (drained, taken) = tokio::join!(
                world.store.pods().drain(&target, "not needed", at(5)),
                other.pods().take_warm(take(&format!("r{round}"), "own:a")),
            );
            let (drained, taken) = (drained.unwrap(), taken.unwrap());
            assert!(drained != taken.is_some(), "round {round}: {drained} {taken:?}");
            let row = world.store.runners().get(&target).await.unwrap().unwrap();
            let expected = if drained { RunnerState::Draining } else { RunnerState::Claimed };
            assert_eq!(row.state, expected);
        }
    }

    async fn runners_are_given_up_only_as_seen(world) {
        let fence = led(&world).await;
        warm(&world.store, "a", fence).await;
        let gone = |uid: Option<&str>, unclaimed| PodGone {
            runner: runner("a"),
            pod_uid: uid.map(str::to_owned),
            unclaimed,
            reason: "its pod is gone".to_owned(),
            at: at(7),
        };
        world.store.pods().bound(&runner("a"), "u1").await.unwrap();
        assert!(!world.store.pods().gone(gone(None, true)).await.unwrap(), "it has a pod by now");
        assert!(!world.store.pods().gone(gone(Some("u0"), false)).await.unwrap());
        world.store.pods().take_warm(take("r1", "own:a")).await.unwrap().unwrap();
        assert!(!world.store.pods().gone(gone(Some("u1"), true)).await.unwrap(), "a run has it");
        assert!(world.store.pods().gone(gone(Some("u1"), false)).await.unwrap());
        assert!(!world.store.pods().gone(gone(Some("u1"), false)).await.unwrap());
        let row = world.store.runners().get(&runner("a")).await.unwrap().unwrap();
        assert_eq!((row.state, row.reason.as_deref()), (RunnerState::Gone, Some("its pod is gone")));
        assert!(!world.store.pods().bound(&runner("a"), "u1").await.unwrap());
    }

    async fn warm_runners_have_one_winner_each(world) {
        let fence = led(&world).await;
        let other = world.another().await;
        for n in 0..100 {
            warm(&world.store, &format!("w{n:03}"), fence).await;
        }
        let takes = (0..120).map(|n| {
            let store = if n % 2 == 0 { &world.store } else { &other };
            store.pods().take_warm(take(&format!("r{n}"), "own:a"))
        });
        let taken = futures::future::join_all(takes).await;
        let taken: Vec<_> = taken.into_iter().filter_map(Result::unwrap).collect();
        let distinct: BTreeSet<_> = taken.iter().collect();
        assert_eq!((taken.len(), distinct.len()), (100, 100));
    }

    async fn reuse_stays_inside_scope_and_bounds(world) {
        let fence = led(&world).await;
        warm(&world.store, "a", fence).await;
        let reuse = |run: &str, uses| Reusable {
            runner: runner("a"),
            run: RunId::new(run),
            uses,
            at: at(20),
        };
        world.store.pods().take_warm(take("r1", "own:a")).await.unwrap().unwrap();
        assert!(!world.store.pods().reuse(reuse("r2", 9)).await.unwrap(), "it works for r1");
        assert!(!world.store.pods().reuse(reuse("r1", 1)).await.unwrap(), "one use is all");
        assert!(world.store.pods().reuse(reuse("r1", 2)).await.unwrap());
        assert_eq!(world.store.pods().take_warm(take("r2", "own:b")).await.unwrap(), None);
        assert_eq!(world.store.pods().take_warm(take("r2", "untrusted:a")).await.unwrap(), None);
        let again = world.store.pods().take_warm(take("r2", "own:a")).await.unwrap();
        assert_eq!(again, Some(runner("a")));
        assert!(!world.store.pods().reuse(reuse("r2", 2)).await.unwrap(), "used up");
    }

    async fn runners_with_attempts_are_not_reused(world) {
        let fence = led(&world).await;
        let run = world.queued_in("r1", "a1", REMOTE_POOL).await;
        assert_eq!(world.store.pools().arrivals("warm", at(5)).await.unwrap(), 0);
        warm(&world.store, "a", fence).await;
        world.store.pods().take_warm(take("r1", "own:a")).await.unwrap().unwrap();
        assert_eq!(world.store.pools().arrivals("warm", at(5)).await.unwrap(), 1);
        assert_eq!(world.store.pools().arrivals("warm", at(50)).await.unwrap(), 0);
        let epoch = world.store.runners().get(&runner("a")).await.unwrap().unwrap().epoch;
        let claimed = world.store.attempts().claim(&runner("a"), epoch, 4, at(10)).await.unwrap();
        assert_eq!(claimed.len(), 1);
        let reuse = Reusable { runner: runner("a"), run: run.clone(), uses: 9, at: at(20) };
        assert!(!world.store.pods().reuse(reuse.clone()).await.unwrap());
        world.end(&run, 2, success(&claimed[0].claim, 1)).await.unwrap();
        assert!(world.store.pods().reuse(reuse).await.unwrap());
    }

    async fn pods_have_kind_and_labels(world) {
        let fence = led(&world).await;
        warm(&world.store, "a", fence).await;
        let row = world.store.runners().get(&runner("a")).await.unwrap().unwrap();
        assert_eq!((row.kind, &*row.labels), (RunnerKind::Pod, &["gpu".to_owned()][..]));
        assert!(row.answers_to(["warm", "gpu"].into_iter()) && !row.is_untrusted());
        let run = world.queued_in("r1", "a1", REMOTE_POOL).await;
        assert!(world.store.runners().bind(&runner("a"), None, &run).await.unwrap());
        // A binding counts as an arrival: pools are sized by these.
        assert_eq!(world.store.pools().arrivals("warm", Timestamp::UNIX_EPOCH).await.unwrap(), 1);
        // A pod is for one run: it does not come back.
        world.store.runners().gone(&runner("a"), "released", at(6)).await.unwrap();
        assert!(world.store.runners().greet(&runner("a"), "hash", "boot", at(7)).await.is_err());
        assert!(world.store.pods().list("warm").await.unwrap().is_empty());
    }

    async fn demand_is_that_of_registered_engines(world) {
        let demand = |names: &[&str], waiting| RunnerDemand {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            waiting,
        };
        let store = &world.store;
        store.engines().start(engine("e1", 1, at(0))).await.unwrap();
        store.engines().start(engine("e2", 2, at(0))).await.unwrap();
        store.demand().report("e1", vec![demand(&["gpu"], 2), demand(&["default"], 1)]).await.unwrap();
        store.demand().report("e2", vec![demand(&["gpu"], 5)]).await.unwrap();
        store.demand().report("e1", vec![demand(&["gpu"], 3)]).await.unwrap();
        let all = store.demand().list().await.unwrap();
        assert_eq!(all, [demand(&["gpu"], 3), demand(&["gpu"], 5)]);
        // The runs of an engine that is gone are those of others.
        store.engines().end("e2").await.unwrap();
        assert_eq!(store.demand().list().await.unwrap(), [demand(&["gpu"], 3)]);
        store.demand().report("e1", Vec::new()).await.unwrap();
        assert!(store.demand().list().await.unwrap().is_empty());
    }

    async fn operators_change_pools(world) {
        let new = NewPool {
            name: "warm".to_owned(),
            kind: PoolKind::Kubernetes,
            spec: "{}".to_owned(),
            template: "t1".to_owned(),
            at: at(1),
        };
        world.store.pools().put(new.clone()).await.unwrap();
        let scale = PoolChange::Scale { min_idle: Some(3), max: None };
        assert!(world.store.pools().change("warm", scale, at(2)).await.unwrap());
        assert!(world.store.pools().change("warm", PoolChange::Drain(true), at(3)).await.unwrap());
        assert!(!world.store.pools().change("cold", scale, at(2)).await.unwrap());
        world.store.pools().set_degraded("warm", Some("ErrImagePull")).await.unwrap();
        world.store.pools().put(NewPool { template: "t2".to_owned(), ..new }).await.unwrap();
        let pools = world.store.pools().list().await.unwrap();
        let [pool] = &pools[..] else { panic!("{pools:?}") };
        assert_eq!((pool.min_idle, pool.max, pool.draining), (Some(3), None, true));
        assert_eq!((pool.template.as_str(), pool.degraded.as_deref()), ("t2", Some("ErrImagePull")));
    }

    async fn failure_case_01_races_for_warm_runners_have_one_winner(world) {
        let fence = led(&world).await;
        let other = world.another().await;
        for round in 0..RACES {
            warm(&world.store, &format!("w{round}"), fence).await;
            let (one, two) = tokio::join!(
                world.store.pods().take_warm(take(&format!("r{round}"), "own:a")),
                other.pods().take_warm(take(&format!("s{round}"), "own:a")),
            );
            let (one, two) = (one.unwrap(), two.unwrap());
            assert!(one.is_some() != two.is_some(), "round {round}: {one:?} {two:?}");
        }
    }

    async fn only_named_candidates_are_taken(world) {
        let fence = led(&world).await;
        for name in ["a", "b"] {
            warm(&world.store, name, fence).await;
        }
        let among = |names: &[&str]| TakeWarm {
            among: Some(names.iter().map(runner).collect()),
            ..take("r1", "own:a")
        };
        assert_eq!(world.store.pods().take_warm(among(&[])).await.unwrap(), None);
        assert_eq!(world.store.pods().take_warm(among(&["c"])).await.unwrap(), None);
        let taken = world.store.pods().take_warm(among(&["b", "c"])).await.unwrap();
        assert_eq!(taken, Some(runner("b")));
        assert_eq!(world.store.pods().take_warm(among(&["b"])).await.unwrap(), None);
    }

    async fn runners_of_other_pools_are_not_taken(world) {
        let fence = led(&world).await;
        warm(&world.store, "a", fence).await;
        let elsewhere = TakeWarm { pool: "cold".to_owned(), ..take("r1", "own:a") };
        assert_eq!(world.store.pods().take_warm(elsewhere).await.unwrap(), None);
        assert!(world.store.pods().list("cold").await.unwrap().is_empty());
    }

    async fn draining_runners_are_not_taken(world) {
        let fence = led(&world).await;
        warm(&world.store, "a", fence).await;
        assert!(world.store.pods().drain(&runner("a"), "not needed", at(5)).await.unwrap());
        assert!(!world.store.pods().drain(&runner("a"), "not needed", at(6)).await.unwrap());
        assert_eq!(world.store.pods().take_warm(take("r1", "own:a")).await.unwrap(), None);
        let row = world.store.runners().get(&runner("a")).await.unwrap().unwrap();
        assert_eq!(row.reason.as_deref(), Some("not needed"));
    }

    async fn warming_runners_are_not_taken(world) {
        let fence = led(&world).await;
        world.store.pods().create(new_pod("a", fence, 9, 9)).await.unwrap();
        assert_eq!(world.store.pods().take_warm(take("r1", "own:a")).await.unwrap(), None);
        assert!(world.store.pods().drain(&runner("a"), "its node is full", at(5)).await.unwrap());
    }

    async fn runners_that_are_gone_are_not_listed(world) {
        let fence = led(&world).await;
        world.store.pods().create(new_pod("a", fence, 9, 9)).await.unwrap();
        world.store.pods().create(new_pod("b", fence, 9, 9)).await.unwrap();
        let gone = PodGone {
            runner: runner("a"),
            pod_uid: None,
            unclaimed: true,
            reason: "quota".to_owned(),
            at: at(4),
        };
        assert!(world.store.pods().gone(gone).await.unwrap());
        let rows = world.store.pods().list("warm").await.unwrap();
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((&row.runner, row.state), (&runner("b"), RunnerState::Warming));
        assert_eq!((row.group.clone(), row.pod_uid.clone()), (None, None));
        assert_eq!((row.template.as_str(), row.registered_at), ("t1", at(1)));
    }
    async fn unmanaged_pools_get_no_runners(world) {
        let created = world.store.pods().create(new_pod("a", 0, 9, 9)).await.unwrap();
        assert_eq!(created, PodCreated::Fenced);
        let fence = led(&world).await;
        let elsewhere = NewPodRunner { pool: "cold".to_owned(), ..new_pod("a", fence, 9, 9) };
        assert_eq!(world.store.pods().create(elsewhere).await.unwrap(), PodCreated::Fenced);
        let ahead = world.store.pods().create(new_pod("a", fence + 1, 9, 9)).await.unwrap();
        assert_eq!(ahead, PodCreated::Fenced);
        assert!(world.store.pods().list("warm").await.unwrap().is_empty());
    }

    async fn racing_pods_of_one_runner_have_one_record(world) {
        let fence = led(&world).await;
        let other = world.another().await;
        for round in 0..20 {
            let id = runner(round);
            world.store.pods().create(new_pod(round, fence, 99, 99)).await.unwrap();
            let (one, two) =
                tokio::join!(world.store.pods().bound(&id, "u1"), other.pods().bound(&id, "u2"));
            let (one, two) = (one.unwrap(), two.unwrap());
            assert!(one != two, "round {round}: {one} {two}");
            let rows = world.store.pods().list("warm").await.unwrap();
            let row = rows.iter().find(|row| row.runner == id).unwrap();
            assert_eq!(row.pod_uid.as_deref(), Some(if one { "u1" } else { "u2" }));
        }
    }

    async fn leases_of_pools_are_independent(world) {
        let first = led(&world).await;
        let other = world.another().await;
        other.engines().start(engine("e2", 1, at(0))).await.unwrap();
        let second = other.pools().lead("cold", "e2").await.unwrap();
        assert_eq!((first, second), (1, Some(1)));
        assert_eq!(world.store.pools().lead("cold", "e1").await.unwrap(), None);
        world.store.engines().end("e2").await.unwrap();
        assert_eq!(world.store.pools().lead("cold", "e1").await.unwrap(), Some(2));
        assert_eq!(world.store.pools().lead("warm", "e1").await.unwrap(), Some(1));
    }
}

#[test]
fn kinds_are_those_of_the_schema() {
    for kind in PoolKind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(*kind));
    }
}

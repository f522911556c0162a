//! What only Postgres has: wake-ups between engines.

mod postgres {
    use plue_flow::{Fact, RunStatus};

    use crate::support::{World, commit};

    #[tokio::test]
    async fn a_commit_of_one_engine_wakes_another() {
        let world = World::postgres().await;
        let other = world.another().await;
        let run = world.created("r1").await;
        let mut told = other.changes_of(&run);
        // The listener may still be connecting; each commit is told anew.
        let seq = 1;
        loop {
            told.mark_unchanged();
            world
                .store
                .runs()
                .commit(commit(&run, seq, RunStatus::Running))
                .await
                .unwrap()
                .unwrap();
            let wait = std::time::Duration::from_millis(500);
            if tokio::time::timeout(wait, told.changed()).await.is_ok() {
                return;
            }
        }
    }

    #[tokio::test]
    async fn a_closed_store_ends_its_tasks() {
        let world = World::postgres().await;
        let other = world.another().await;
        other.close().await;
        assert!(world.store.runs().unfinished().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn connections_that_were_cut_are_replaced_without_an_error() {
        let world = World::postgres().await;
        let run = world.created("r1").await;
        let cut = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        for seq in 1..4 {
            assert_ne!(world.sql(cut).trim(), "0");
            let mut next = commit(&run, seq, RunStatus::Running);
            next.facts.push(Fact::RunStarted);
            world.store.runs().commit(next).await.unwrap().unwrap();
            assert_ne!(world.sql(cut).trim(), "0");
            assert_eq!(world.store.runs().get(&run).await.unwrap().unwrap().seq, seq + 1);
        }
    }
}

//! What only Postgres has: wake-ups between engines.

mod postgres {
    use plue_flow::RunStatus;

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
            world.store.commit(commit(&run, seq, RunStatus::Running)).await.unwrap().unwrap();
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
        assert!(world.store.unfinished_runs().await.unwrap().is_empty());
    }
}

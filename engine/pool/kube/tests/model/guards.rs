//! Guards of the pool, each with a model that lacks it. A guard whose model is not found faulty is
//! useless, or the model is.

use crate::{
    explore::{Explored, explore},
    world::{Budget, Pool},
};

/// A rule that keeps the pool sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// A runner is inserted only under the current lease of the pool.
    InsertFenced,
    /// A runner is inserted only while there are too few, counted in the same transaction.
    InsertCounts,
    /// An idle runner is taken out of service before its pod is deleted.
    DrainBeforeDelete,
    /// A runner is taken out of service only while no run has it.
    DrainComparesClaim,
    /// A pod is deleted only with its uid as precondition.
    DeleteByUid,
    /// Rows are read before pods.
    RowsReadFirst,
    /// The row of an orphan is read again before its pod is deleted.
    OrphansReadAgain,
    /// A runner is given up only while its row has the pod that was missed.
    GoneComparesPod,
    /// Pods of another owner are left alone.
    OwnerChecked,
    /// Pods without a row are deleted.
    OrphansCollected,
    /// An ended pod ends its runner.
    EndedPodsNoticed,
}

const CALM: Budget = Budget {
    claims: 0,
    pod_ends: 0,
    takeovers: 0,
    crashes: 0,
    lost_replies: 0,
    foreign_pods: 0,
    lost_rows: 0,
    resizes: 0,
};

/// Small worlds, smallest first.
const WORLDS: [(&str, Budget); 7] = [
    ("a run, a resize", Budget { claims: 1, resizes: 1, ..CALM }),
    ("a pod ends", Budget { claims: 1, pod_ends: 1, ..CALM }),
    ("lost replies and work", Budget { claims: 1, lost_replies: 1, crashes: 1, ..CALM }),
    ("a lost row", Budget { claims: 1, lost_rows: 1, ..CALM }),
    ("a foreign pod", Budget { claims: 1, foreign_pods: 1, resizes: 1, ..CALM }),
    ("a paused manager", Budget { claims: 1, takeovers: 1, ..CALM }),
    ("a paused manager, a resize", Budget { takeovers: 1, resizes: 1, ..CALM }),
];

fn counterexample(without: &[Guard]) -> Option<(String, Vec<String>)> {
    WORLDS.iter().find_map(|(_, budget)| {
        let pool = Pool { without: without.to_vec(), budget: *budget };
        match explore(&pool) {
            Explored::Sound(_) => None,
            Explored::Fault { property, way } => Some((property, way)),
        }
    })
}

fn whole(at: usize) {
    let (name, budget) = WORLDS[at];
    match explore(&Pool { without: Vec::new(), budget }) {
        Explored::Sound(states) => println!("{name}: {states} states"),
        Explored::Fault { property, way } => panic!("{name}: {property}\n{}", way.join("\n")),
    }
}

macro_rules! sound {
    ($($name:ident: $world:literal),+ $(,)?) => {
        $(#[test]
        fn $name() {
            whole($world);
        })+
    };
}

macro_rules! faulty {
    ($($name:ident: $guard:ident => $property:literal),+ $(,)?) => {
        $(#[test]
        fn $name() {
            let found = counterexample(&[Guard::$guard]);
            let (property, way) = found.expect("without this guard nothing goes wrong");
            println!("{property}, in {} steps:\n{}", way.len(), way.join("\n"));
            assert!(property.contains($property), "{property}\n{}", way.join("\n"));
        })+
    };
}

sound! {
    pool_is_sound_with_runs_and_resizes: 0,
    pool_is_sound_when_pods_end: 1,
    pool_is_sound_when_replies_are_lost: 2,
    pool_is_sound_when_rows_are_lost: 3,
    pool_is_sound_next_to_foreign_pods: 4,
    pool_is_sound_with_paused_managers: 5,
    pool_is_sound_with_paused_managers_and_resizes: 6,
}

faulty! {
    without_fenced_inserts_paused_managers_create: InsertFenced => "superseded",
    without_counted_inserts_pools_overfill: InsertCounts => "maximum",
    without_drains_before_deletes_runs_lose_pods: DrainBeforeDelete => "claimed runner is deleted",
    without_compared_drains_runs_lose_runners: DrainComparesClaim => "drained",
    without_uid_preconditions_foreign_pods_are_deleted: DeleteByUid => "foreign",
    without_rows_first_living_runners_are_lost: RowsReadFirst => "given up",
    without_second_reads_living_pods_are_deleted: OrphansReadAgain => "deleted",
    without_compared_pods_living_runners_are_lost: GoneComparesPod => "given up",
    without_owner_checks_foreign_pods_are_deleted: OwnerChecked => "foreign",
    without_orphan_collection_the_pool_never_settles: OrphansCollected => "never settles",
    without_ended_pods_the_pool_never_settles: EndedPodsNoticed => "never settles",
}

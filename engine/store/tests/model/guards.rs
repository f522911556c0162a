//! The guards of the protocol, each with a model that lacks it. A model without a guard that is not found
//! faulty says that either the guard or the model is useless.

use super::{
    explore::{Found, explore},
    protocol::{Budget, Protocol, World},
};

/// What keeps the protocol sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// An attempt is given away only while it is queued.
    ClaimOnce,
    /// Only the last session of a runner gets work for it.
    ClaimEpoch,
    /// An assignment is sent after it was committed.
    CommitBeforeAssign,
    /// What was assigned and is not with its runner is sent again when it dials in.
    AssignAgain,
    /// A runner takes no fence twice, and none below the last one.
    LastFence,
    /// Events count only under the fence of the last assignment.
    EventFence,
    /// Events of a session count only until the next one is told how much is stored.
    EventEpoch,
    /// An event that is stored is not stored again.
    NoDuplicates,
    /// An event behind a gap is not stored.
    NoGaps,
    /// An acknowledgement is sent after the commit.
    AckAfterCommit,
    /// A result counts only under the fence of the last assignment.
    ResultFence,
    /// A result counts only with every event before it.
    CompleteResult,
    /// A result counts once.
    OneResult,
    /// An attempt that is queued again keeps nothing of its last run.
    RequeueForgets,
    /// Attempts of a runner that was given up are settled by whoever comes, not only by who did it.
    Orphans,
}

/// No engine, no runner dies, and so on.
const CALM: Budget = Budget { engine_deaths: 0, runner_deaths: 0, breaks: 0, give_ups: 0 };

/// Small worlds, smallest first, each with something that goes wrong.
const WORLDS: [(&str, World); 6] = [
    ("nothing goes wrong", World { engines: 1, runners: 1, budget: CALM }),
    (
        "a runner dies",
        World { engines: 1, runners: 1, budget: Budget { runner_deaths: 1, ..CALM } },
    ),
    (
        "two engines, a broken connection",
        World { engines: 2, runners: 1, budget: Budget { breaks: 1, ..CALM } },
    ),
    (
        "two engines, one dies, and a runner",
        World {
            engines: 2,
            runners: 1,
            budget: Budget { engine_deaths: 1, runner_deaths: 1, ..CALM },
        },
    ),
    (
        "two runners, one given up though it lives",
        World { engines: 1, runners: 2, budget: Budget { give_ups: 1, ..CALM } },
    ),
    (
        "an engine dies that gave a runner up",
        World { engines: 1, runners: 2, budget: Budget { engine_deaths: 1, give_ups: 1, ..CALM } },
    ),
];

fn look(without: Option<Guard>, world: World) -> Found {
    explore(&Protocol { without, world })
}

/// The first world in which the model without the guard is found faulty.
fn counterexample(guard: Guard) -> (String, Vec<String>) {
    let found = WORLDS.iter().find_map(|(_, world)| match look(Some(guard), *world) {
        Found::Sound(_) => None,
        Found::Fault { what, way } => Some((what, way)),
    });
    found.unwrap_or_else(|| panic!("without {guard:?} nothing goes wrong: what is it for?"))
}

fn whole(at: usize) {
    let (name, world) = WORLDS[at];
    match look(None, world) {
        Found::Sound(states) => println!("{name}: {states} states"),
        Found::Fault { what, way } => panic!("{name}: {what}\n{}", way.join("\n")),
    }
}

#[test]
fn the_protocol_is_sound_when_nothing_goes_wrong() {
    whole(0);
}

#[test]
fn the_protocol_is_sound_when_a_runner_dies() {
    whole(1);
}

#[test]
fn the_protocol_is_sound_when_a_connection_breaks_between_two_engines() {
    whole(2);
}

#[test]
fn the_protocol_is_sound_when_an_engine_of_two_dies_and_a_runner() {
    whole(3);
}

#[test]
fn the_protocol_is_sound_when_a_runner_is_given_up_that_lives() {
    whole(4);
}

#[test]
fn the_protocol_is_sound_when_an_engine_dies_that_gave_a_runner_up() {
    whole(5);
}

macro_rules! faulty {
    ($($name:ident: $guard:ident => $what:literal),+ $(,)?) => {
        $(#[test]
        fn $name() {
            let (what, way) = counterexample(Guard::$guard);
            println!("{what}, in {} steps:\n{}", way.len(), way.join("\n"));
            assert!(what.contains($what), "{what}\n{}", way.join("\n"));
        })+
    };
}

faulty! {
    without_the_claims_compare_and_set_it_fails: ClaimOnce => "",
    without_the_claims_epoch_it_fails: ClaimEpoch => "",
    without_the_commit_before_an_assignment_it_fails: CommitBeforeAssign => "",
    without_assigning_again_it_fails: AssignAgain => "",
    without_the_runners_last_fence_it_fails: LastFence => "",
    without_the_fence_of_events_it_fails: EventFence => "",
    without_the_epoch_of_events_it_fails: EventEpoch => "never ends",
    without_leaving_out_duplicates_it_fails: NoDuplicates => "",
    without_leaving_out_what_is_behind_a_gap_it_fails: NoGaps => "",
    without_the_commit_before_an_acknowledgement_it_fails: AckAfterCommit => "",
    without_the_fence_of_results_it_fails: ResultFence => "",
    without_complete_results_it_fails: CompleteResult => "",
    without_counting_results_once_it_fails: OneResult => "",
    without_forgetting_when_queued_again_it_fails: RequeueForgets => "",
    without_settling_orphans_it_fails: Orphans => "",
}

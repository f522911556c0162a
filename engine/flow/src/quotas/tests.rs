//! Tables of who is driven next, and why the others wait.

use super::*;

const SIX: Quotas = Quotas { max_runs: 6, per_repo: 3, per_pull_request: 2, untrusted: 3 };

/// `a`: a run of repository `a`; `a#7`: one of its pull request 7 from a fork.
fn lane(text: &str) -> Lane {
    let (repo, fork) = text.split_once('#').map_or((text, None), |(repo, n)| (repo, Some(n)));
    Lane { repo: Some(repo.to_owned()), fork: fork.map(|n| n.parse().unwrap()) }
}

fn busy(lanes: &[&str]) -> Busy {
    let mut busy = Busy::default();
    for one in lanes {
        busy.add(&lane(one), 1);
    }
    busy
}

fn candidates(lanes: &[&str]) -> Vec<Candidate<usize>> {
    let one = |(run, text): (usize, &&str)| {
        let is_cancelled = text.ends_with('!');
        Candidate { lane: lane(text.trim_end_matches('!')), is_cancelled, run }
    };
    lanes.iter().enumerate().map(one).collect()
}

/// Name, busy lanes, waiting lanes, room, and the indices of the waiting that are next.
type Case =
    (&'static str, &'static [&'static str], &'static [&'static str], usize, &'static [usize]);

#[test]
fn repositories_and_forks_take_turns() {
    let table: &[Case] = &[
        ("repositories in turn, oldest first", &[], &["a", "a", "a", "b"], 3, &[0, 3, 1]),
        ("busy repositories come later", &["a"], &["a", "a", "b"], 2, &[2, 0]),
        ("a repository stops at its quota", &["a"], &["a", "a", "a"], 6, &[0, 1]),
        ("forks come last within a turn", &[], &["a#1", "a"], 1, &[1]),
        ("forks are not starved by a busy repository", &["a", "a"], &["a", "a#1"], 1, &[1]),
        ("a pull request stops at its quota", &[], &["a#1", "a#1", "a#1"], 6, &[0, 1]),
        ("pull requests of two repositories differ", &["a#1", "a#1"], &["a#1", "b#1"], 6, &[1]),
        ("forks stop at their quota", &[], &["a#1", "a#2", "a#3", "a#4"], 6, &[0, 1, 2]),
        ("forks of repositories take turns", &[], &["a#1", "a#2", "b#1"], 2, &[0, 2]),
        ("forks do not count for their repository", &["a#1", "a#2", "a#3"], &["a"], 6, &[0]),
        ("a run that only ends needs no place", &["a", "a", "a"], &["a", "a!"], 0, &[1]),
        ("nothing without room", &[], &["a", "a#1"], 0, &[]),
    ];
    for (what, taken, waiting, room, expected) in table {
        let chosen = next(candidates(waiting), busy(taken), &SIX, *room, None);
        assert_eq!(chosen, *expected, "{what}");
    }
}

#[test]
fn a_full_disk_holds_forks_only() {
    let waiting = candidates(&["a#1", "a", "b#2!"]);
    assert_eq!(next(waiting, Busy::default(), &SIX, 6, Some("1 GiB left")), [2, 1]);
    let waits = Busy::default().in_the_way(&lane("a#1"), &SIX, Some("1 GiB left")).unwrap();
    assert!(waits.to_string().ends_with("nearly full: 1 GiB left"), "{waits}");
}

#[test]
fn defaults_leave_places_for_others() {
    let table = [(1, (1, 1, 1)), (2, (1, 1, 1)), (4, (2, 2, 2)), (16, (8, 2, 4)), (64, (32, 2, 4))];
    for (max_runs, expected) in table {
        let quotas = Quotas::of(max_runs);
        let found = (quotas.per_repo, quotas.per_pull_request, quotas.untrusted);
        assert_eq!(found, expected, "{max_runs}");
    }
}

#[test]
fn reasons_name_the_bound() {
    let table = [
        (busy(&["a", "a", "a"]), "a", "--max-runs-per-repo"),
        (busy(&["a#1", "a#1"]), "a#1", "limits.untrusted_runs_per_pull_request"),
        (busy(&["a#1", "b#1", "c#1"]), "d#1", "limits.untrusted_runs)"),
    ];
    for (busy, text, named) in table {
        let waits = busy.in_the_way(&lane(text), &SIX, None).unwrap().to_string();
        assert!(waits.contains(named), "{waits}");
    }
    assert!(Waits::Place { max_runs: 6 }.to_string().contains("--max-runs 6"));
    assert_eq!(Busy::default().in_the_way(&lane("a"), &SIX, None), None);
}

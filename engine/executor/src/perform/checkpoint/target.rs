//! The state that each path should have before some steps run again. Pure.
//!
//! Goes backwards through the checkpoints: changes that only those steps can have made are undone; the first
//! change by others, or outside of any checkpoint, ends the search.

use std::collections::{BTreeMap, BTreeSet};

use plue_plan::StepId;
use plue_wire::outputs::{Change, Entry};

/// The changes between two checkpoints of a workspace.
#[derive(Debug, Clone)]
pub(super) struct Interval {
    /// Steps with a process in this time.
    pub(super) steps: Vec<StepId>,
    /// The changes are those of a restore.
    pub(super) is_restore: bool,
    /// One change for each path.
    pub(super) changes: Vec<Change>,
}

/// A path to be restored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    pub(super) path: Vec<u8>,
    /// The entry that the run left; `None`: nothing.
    pub(super) last: Option<Entry>,
    /// The entry to restore; `None`: nothing.
    pub(super) wanted: Option<Entry>,
}

/// The result of [`targets`].
#[derive(Debug, Default)]
pub(super) struct RestoreTargets {
    /// Sorted by path.
    pub(super) targets: Vec<Target>,
    /// Paths that steps which run again changed together with others.
    pub(super) shared: Vec<String>,
}

/// The paths to restore before the steps `again` run.
pub(super) fn targets(intervals: &[Interval], again: &[StepId]) -> RestoreTargets {
    let again: BTreeSet<&StepId> = again.iter().collect();
    let mut paths: BTreeMap<&[u8], Vec<(&Interval, &Change)>> = BTreeMap::new();
    for interval in intervals {
        for change in &interval.changes {
            paths.entry(change.path.0.as_slice()).or_default().push((interval, change));
        }
    }
    let mut found = RestoreTargets::default();
    for (path, changes) in paths {
        let Some((_, newest)) = changes.last() else { continue };
        let mut wanted = &newest.after;
        let mut is_shared = false;
        for (interval, change) in changes.iter().rev() {
            if !fits(&change.after, wanted) {
                break;
            }
            if !interval.is_undone(&again) {
                is_shared = interval.steps.iter().any(|step| again.contains(step));
                break;
            }
            wanted = &change.before;
        }
        if is_shared {
            found.shared.push(String::from_utf8_lossy(path).into_owned());
        }
        if !fits(wanted, &newest.after) {
            let (last, wanted) = (newest.after.clone(), wanted.clone());
            found.targets.push(Target { path: path.to_vec(), last, wanted });
        }
    }
    found
}

// === impl Interval ===

impl Interval {
    /// Whether only steps that run again can have made the changes.
    fn is_undone(&self, again: &BTreeSet<&StepId>) -> bool {
        self.is_restore
            || (!self.steps.is_empty() && self.steps.iter().all(|step| again.contains(step)))
    }
}

fn fits(one: &Option<Entry>, other: &Option<Entry>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => one == other || one.is_same(other),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use plue_wire::{eval::Bytes, outputs::BlobHash};

    use super::*;

    fn file(n: u8) -> Option<Entry> {
        (n > 0).then_some(Entry::File {
            mode: 0o644,
            size: 1,
            hash: Some(BlobHash([n; 32])),
            kept: true,
        })
    }

    /// `steps` changed path `p` from `before` to `after`; 0 is nothing; `!` stands for a restore.
    fn interval(steps: &str, before: u8, after: u8) -> Interval {
        let names = steps.chars().filter(|c| *c != '!');
        let change =
            Change { path: Bytes(b"p".to_vec()), before: file(before), after: file(after) };
        Interval {
            steps: names.map(|c| StepId::new(c.to_string())).collect(),
            is_restore: steps == "!",
            changes: vec![change],
        }
    }

    fn wanted(intervals: &[Interval], again: &str) -> Result<Option<Entry>, bool> {
        let again: Vec<_> = again.chars().map(|c| StepId::new(c.to_string())).collect();
        let found = targets(intervals, &again);
        match found.targets.into_iter().next() {
            Some(target) => Ok(target.wanted),
            None => Err(!found.shared.is_empty()),
        }
    }

    #[test]
    fn only_changes_of_retried_steps_are_undone() {
        let run = [interval("a", 1, 2), interval("b", 2, 3), interval("c", 3, 4)];
        assert_eq!(wanted(&run, "c"), Ok(file(3)));
        assert_eq!(wanted(&run, "bc"), Ok(file(2)));
        assert_eq!(wanted(&run, "abc"), Ok(file(1)));
        assert_eq!(wanted(&run, "ab"), Err(false), "c came later and stays");
        assert_eq!(wanted(&[interval("a", 0, 1)], "a"), Ok(None), "a new file goes");
    }

    #[test]
    fn shared_changes_are_left_and_reported() {
        let run = [interval("a", 1, 2), interval("bc", 2, 3)];
        assert_eq!(wanted(&run, "c"), Err(true));
        assert_eq!(wanted(&run, "bc"), Ok(file(2)));
        assert_eq!(wanted(&run, "a"), Err(false));
    }

    #[test]
    fn unknown_changes_end_the_search() {
        let run = [interval("a", 1, 2), interval("b", 7, 3)];
        assert_eq!(wanted(&run, "ab"), Ok(file(7)));
    }

    #[test]
    fn earlier_restores_do_not_hide_older_content() {
        let run =
            [interval("a", 1, 2), interval("b", 2, 3), interval("!", 3, 2), interval("b", 2, 4)];
        assert_eq!(wanted(&run, "b"), Ok(file(2)));
        assert_eq!(wanted(&run, "ab"), Ok(file(1)));
    }

    #[test]
    fn unchanged_files_need_no_restore() {
        let run = [interval("b", 2, 3), interval("!", 3, 2)];
        assert_eq!(wanted(&run, "b"), Err(false));
    }
}

//! The names that runs ask runners for, and the runs that wait.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{Mutex, PoisonError},
};

use plue_plan::RunId;
use plue_store::RunnerRow;

use crate::local::UNTRUSTED_POOL;

/// Names that one runner must have, each as its pool, its own name or a label. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(BTreeSet<String>);

/// Runs without a runner.
#[derive(Debug, Default)]
pub(super) struct Demand(Mutex<HashMap<RunId, Selector>>);

// === impl Selector ===

impl Selector {
    /// These names; `None` without one.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = String>) -> Option<Self> {
        let names: BTreeSet<String> = names.into_iter().collect();
        (!names.is_empty()).then_some(Self(names))
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether a runner has all the names and gets further runs. A pod for untrusted runs is only for runs
    /// that ask for [`UNTRUSTED_POOL`], as all untrusted ones do.
    #[must_use]
    pub fn matches(&self, row: &RunnerRow) -> bool {
        let is_fit = row.is_untrusted() == self.is_untrusted();
        super::is_remote(row) && !row.draining && is_fit && row.answers_to(self.names())
    }

    fn is_untrusted(&self) -> bool {
        self.0.contains(UNTRUSTED_POOL)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.names().map(|name| format!("`{name}`")).collect();
        f.write_str(&names.join(", "))
    }
}

// === impl Demand ===

impl Demand {
    pub(super) fn note(&self, run: &RunId, selector: Option<&Selector>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match selector {
            Some(selector) => drop(waiting.insert(run.clone(), selector.clone())),
            None => drop(waiting.remove(run)),
        }
    }

    pub(super) fn by_selector(&self) -> Vec<(Selector, usize)> {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = BTreeMap::new();
        for selector in waiting.values() {
            *counts.entry(selector.clone()).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use plue_plan::RunnerId;
    use plue_store::{RunnerKind, RunnerState};

    use super::*;

    fn row(kind: RunnerKind, labels: &[&str]) -> RunnerRow {
        RunnerRow {
            id: RunnerId::new("r"),
            pool: "lab".to_owned(),
            state: RunnerState::Ready,
            epoch: 1,
            group: None,
            registered_at: Timestamp::UNIX_EPOCH,
            seen_at: Timestamp::UNIX_EPOCH,
            reason: None,
            kind,
            name: Some("ada".to_owned()),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            draining: false,
        }
    }

    #[test]
    fn runners_answer_to_pool_name_and_labels() {
        let ours = row(RunnerKind::Registered, &["gpu", "arch=arm64"]);
        let cases = [
            (vec!["gpu"], true),
            (vec!["lab", "gpu"], true),
            (vec!["ada"], true),
            (vec!["arch=arm64"], true),
            (vec!["gpu", "fpga"], false),
            (vec!["GPU"], false),
        ];
        for (names, fits) in cases {
            let selector = Selector::new(names.iter().map(|name| (*name).to_owned())).unwrap();
            assert_eq!(selector.matches(&ours), fits, "{names:?}");
        }
        let selector = Selector::new(["gpu".to_owned()]).unwrap();
        assert!(!selector.matches(&row(RunnerKind::Process, &["gpu"])), "a local process");
        assert!(!selector.matches(&RunnerRow { draining: true, ..ours }));
        assert_eq!(Selector::new([]), None);
    }

    #[test]
    fn untrusted_runs_get_pods_of_their_own() {
        let selector = |names: &[&str]| Selector::new(names.iter().map(|name| (*name).to_owned()));
        let (own, untrusted) =
            (selector(&["gpu"]).unwrap(), selector(&["untrusted", "gpu"]).unwrap());
        let pod = |labels: &[&str]| row(RunnerKind::Pod, labels);
        assert!(own.matches(&pod(&["gpu"])) && !untrusted.matches(&pod(&["gpu"])));
        assert!(!own.matches(&pod(&["gpu", "untrusted"])));
        assert!(untrusted.matches(&pod(&["gpu", "untrusted"])));
        // The label of a machine that is registered is no promise of isolation.
        assert!(!untrusted.matches(&row(RunnerKind::Registered, &["gpu", "untrusted"])));
    }

    #[test]
    fn waiting_runs_are_counted_by_selector() {
        let demand = Demand::default();
        let gpu = Selector::new(["gpu".to_owned()]).unwrap();
        for run in ["a", "b", "b"] {
            demand.note(&RunId::new(run), Some(&gpu));
        }
        assert_eq!(demand.by_selector(), [(gpu, 2)]);
        demand.note(&RunId::new("a"), None);
        demand.note(&RunId::new("b"), None);
        assert!(demand.by_selector().is_empty());
    }
}

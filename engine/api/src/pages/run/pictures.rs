//! Laid-out plans, kept by hash: states change, the picture does not move.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use plue_dashboard::Placed;
use plue_picture::placed::placed;
use plue_plan::{Plan, PlanHash};

/// Pictures that are kept.
const MAX_KEPT: usize = 32;
/// Nodes of all kept pictures together.
const MAX_NODES: usize = 20_000;

/// The kept pictures, the newest last.
#[derive(Debug, Default)]
pub(crate) struct Pictures(Mutex<VecDeque<Kept>>);

#[derive(Debug)]
struct Kept {
    plan: PlanHash,
    open: BTreeSet<String>,
    placed: Arc<Placed>,
}

// === impl Pictures ===

impl Pictures {
    /// The picture of a plan with these groups open.
    pub(crate) fn of(&self, hash: &PlanHash, plan: &Plan, open: &BTreeSet<String>) -> Arc<Placed> {
        let known = self
            .lock()
            .iter()
            .find(|kept| kept.plan == *hash && kept.open == *open)
            .map(|kept| Arc::clone(&kept.placed));
        if let Some(known) = known {
            return known;
        }
        // Without the lock: two who come at once both lay it out, which is cheap and rare.
        let names: BTreeSet<&str> = open.iter().map(String::as_str).collect();
        let placed = Arc::new(placed(plan, &names));
        let mut all = self.lock();
        all.push_back(Kept { plan: *hash, open: open.clone(), placed: Arc::clone(&placed) });
        while all.len() > MAX_KEPT || (all.len() > 1 && nodes(&all) > MAX_NODES) {
            all.pop_front();
        }
        placed
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nodes(all: &VecDeque<Kept>) -> usize {
    all.iter().map(|kept| kept.placed.nodes.len()).sum()
}

#[cfg(test)]
mod tests {
    use plue_plan::canonical::HashedPlan;

    use super::*;

    fn plan(steps: usize) -> HashedPlan {
        let steps: Vec<String> = (0..steps)
            .map(|at| format!(r#"{{"id":"s{at}x{at}","kind":"bash","run":"x"}}"#))
            .collect();
        let json =
            format!(r#"{{"version":1,"name":"p{}","steps":[{}]}}"#, steps.len(), steps.join(","));
        HashedPlan::new(Plan::from_json(json.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn pictures_are_laid_out_once() {
        let (pictures, plan, open) = (Pictures::default(), plan(3), BTreeSet::new());
        let first = pictures.of(&plan.hash, &plan.plan, &open);
        assert!(Arc::ptr_eq(&first, &pictures.of(&plan.hash, &plan.plan, &open)));
        let opened = BTreeSet::from(["s0x0".to_owned()]);
        assert!(!Arc::ptr_eq(&first, &pictures.of(&plan.hash, &plan.plan, &opened)));
    }

    #[test]
    fn kept_pictures_are_bounded() {
        let pictures = Pictures::default();
        for steps in 1..=MAX_KEPT + 10 {
            let plan = plan(steps);
            pictures.of(&plan.hash, &plan.plan, &BTreeSet::new());
        }
        assert_eq!(pictures.lock().len(), MAX_KEPT);
    }
}

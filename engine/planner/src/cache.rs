//! Plan cache: in memory, and behind a hook in the store.
//!
//! The key is everything known beforehand (sources, event, inputs, evaluator); an entry is valid
//! only while the facts that its evaluation requested are the same in the commit at hand.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use plue_plan::{Diagnostic, Plan, PlanHash, canonical::HashedPlan, validate::SourceMap};
use serde::{Deserialize, Serialize};

use crate::{judge::PlannedWorkflow, planner::Evaluated, read_set::ReadSet};

/// Maximum of entries in memory.
const MAX_ENTRIES: usize = 256;
/// Bytes of plans in memory.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Invalid files in memory.
const MAX_INVALID: usize = 2_048;
/// Problems of one invalid file; one with more is evaluated again.
const MAX_KEPT_PROBLEMS: usize = 32;
/// Bytes of their messages.
const MAX_PROBLEM_BYTES: usize = 16 * 1024;
/// Problems of a file that are found before `workflow` is called, which alone sees the event.
const STATIC: [&str; 11] = [
    "PLUE-E0001",
    "PLUE-E0002",
    "PLUE-E0003",
    "PLUE-E0004",
    "PLUE-E0005",
    "PLUE-E0006",
    "PLUE-E0007",
    "PLUE-E0009",
    "PLUE-E0011",
    "PLUE-E0022",
    "PLUE-E0023",
];
/// Version of the stored form; another one is not read.
const VERSION: u32 = 2;

/// The key of an entry: SHA-256.
pub(crate) type Key = [u8; 32];

/// A cache that outlives the process. It may forget anything at any time.
pub trait PlanCache: Send + Sync + std::fmt::Debug {
    /// The bytes stored under a key of 64 hexadecimal digits.
    fn get<'c>(&'c self, key: &'c str) -> Boxed<'c, Option<Vec<u8>>>;

    /// Stores bytes under a key. Failing is not worth an error.
    fn put<'c>(&'c self, key: &'c str, value: Vec<u8>) -> Boxed<'c, ()>;
}

/// A future of a trait object.
pub type Boxed<'c, T> = Pin<Box<dyn Future<Output = T> + Send + 'c>>;

/// The stored form of an entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CachedPlans {
    version: u32,
    read_set: ReadSet,
    printed: String,
    plans: Vec<CachedPlan>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CachedPlan {
    hash: PlanHash,
    plan_json: String,
    places: SourceMap,
    warnings: Vec<Diagnostic>,
}

/// The entries in memory; the least recently used one goes first.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Entries>);

/// Problems of invalid files, by key and commit; the least recently used entry goes first.
#[derive(Debug, Default)]
pub(crate) struct Invalid(Mutex<Problems>);

#[derive(Debug, Default)]
struct Problems {
    by_key: HashMap<Key, (u64, Vec<Diagnostic>)>,
    /// Grows with every use.
    now: u64,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<Key, Entry>,
    /// Grows with every use.
    now: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    used: u64,
    bytes: usize,
    evaluated: Evaluated,
}

// === impl Memory ===

impl Memory {
    pub(crate) fn get(&self, key: &Key) -> Option<Evaluated> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.now += 1;
        let now = entries.now;
        let entry = entries.by_key.get_mut(key)?;
        entry.used = now;
        Some(entry.evaluated.clone())
    }

    pub(crate) fn put(&self, key: Key, evaluated: Evaluated) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.remove(&key);
        let bytes = evaluated.workflows.iter().map(|w| 2 * w.hashed.bytes.len() + 4_096).sum();
        if bytes > MAX_BYTES {
            return;
        }
        while entries.by_key.len() >= MAX_ENTRIES || entries.bytes + bytes > MAX_BYTES {
            let oldest = entries.by_key.iter().min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(key, _)| *key) else {
                break;
            };
            entries.remove(&oldest);
        }
        entries.now += 1;
        entries.bytes += bytes;
        let used = entries.now;
        entries.by_key.insert(key, Entry { used, bytes, evaluated });
    }
}

// === impl Invalid ===

impl Invalid {
    pub(crate) fn get(&self, key: &Key) -> Option<Vec<Diagnostic>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.now += 1;
        let now = kept.now;
        let (used, problems) = kept.by_key.get_mut(key)?;
        *used = now;
        Some(problems.clone())
    }

    pub(crate) fn put(&self, key: Key, problems: &[Diagnostic]) {
        let bytes: usize = problems.iter().map(|one| one.message.len()).sum();
        if problems.len() > MAX_KEPT_PROBLEMS || bytes > MAX_PROBLEM_BYTES {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.by_key.len() >= MAX_INVALID {
            let oldest = kept.by_key.iter().min_by_key(|(_, (used, _))| *used);
            let oldest = oldest.map(|(key, _)| *key).unwrap_or_default();
            kept.by_key.remove(&oldest);
        }
        kept.now += 1;
        let used = kept.now;
        kept.by_key.insert(key, (used, problems.to_vec()));
    }
}

// === impl Entries ===

impl Entries {
    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.by_key.remove(key) {
            self.bytes -= entry.bytes;
        }
    }
}

// === impl CachedPlans ===

impl CachedPlans {
    pub(crate) fn of(evaluated: &Evaluated) -> Self {
        let plans = evaluated.workflows.iter().map(|workflow| CachedPlan {
            hash: workflow.hashed.hash,
            plan_json: String::from_utf8_lossy(&workflow.hashed.bytes).into_owned(),
            places: workflow.places.clone(),
            warnings: workflow.warnings.clone(),
        });
        Self {
            version: VERSION,
            read_set: (*evaluated.read_set).clone(),
            printed: evaluated.printed.clone(),
            plans: plans.collect(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// A stored entry, if it is whole: a plan must still have its hash.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Vec<PlannedWorkflow>, ReadSet, String)> {
        let cached: Self = serde_json::from_slice(bytes).ok()?;
        let workflows = cached.plans.into_iter().map(|cached| {
            let plan = Plan::from_json(cached.plan_json.as_bytes()).ok()?;
            let hashed = HashedPlan::new(plan).ok().filter(|s| s.hash == cached.hash)?;
            Some(PlannedWorkflow { hashed, places: cached.places, warnings: cached.warnings })
        });
        let workflows = workflows.collect::<Option<Vec<_>>>()?;
        (cached.version == VERSION).then_some((workflows, cached.read_set, cached.printed))
    }
}

/// True if a file with this problem is invalid for every event.
pub(crate) fn is_static(problem: &Diagnostic) -> bool {
    STATIC.contains(&problem.code.as_str())
}

impl Evaluated {
    pub(crate) fn from_stored(bytes: &[u8]) -> Option<Self> {
        let (workflows, read_set, printed) = CachedPlans::decode(bytes)?;
        Some(Self {
            workflows: workflows.into(),
            read_set: Arc::new(read_set),
            printed,
            usage: plue_wire::eval::Usage::default(),
            rounds: 0,
            origin: crate::planner::PlanSource::Stored,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;

    #[test]
    fn invalid_files_are_kept_up_to_a_limit() {
        let (kept, of) = (Invalid::default(), |n: usize| {
            let mut key = Key::default();
            key[..8].copy_from_slice(&n.to_le_bytes());
            key
        });
        let problem = |text: String| vec![Diagnostic::error(codes::CRASHED, text)];
        for n in 0..MAX_INVALID {
            kept.put(of(n), &problem(n.to_string()));
        }
        assert!(kept.get(&of(0)).is_some());
        kept.put(of(MAX_INVALID), &problem("new".to_owned()));
        assert!(kept.get(&of(1)).is_none(), "the least recently used one is gone");
        assert!(kept.get(&of(0)).is_some() && kept.get(&of(MAX_INVALID)).is_some());
        kept.put(of(7_777), &problem("x".repeat(MAX_PROBLEM_BYTES + 1)));
        assert!(kept.get(&of(7_777)).is_none(), "too large to be kept");
    }
}

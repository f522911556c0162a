//! The tests of one attempt while its files are read: counted against the budget, each test once.

use std::collections::HashMap;

use plue_plan::budget::{Meter, Stopped};

use crate::{
    case::{TestCase, TestStatus},
    text,
};

/// The tests that were read so far.
pub(crate) struct Collector<'m> {
    pub(crate) meter: &'m Meter,
    cases: Vec<TestCase>,
    by_key: HashMap<u64, usize>,
}

// === impl Collector ===

impl<'m> Collector<'m> {
    pub(crate) fn new(meter: &'m Meter) -> Self {
        Self { meter, cases: Vec::new(), by_key: HashMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.cases.len()
    }

    /// Adds a test with names cut to their limits. Of several results for one test the worst counts: a writer
    /// that lists a failure and a success of the same name may mean two tests.
    ///
    /// # Errors
    /// The budget is exhausted.
    pub(crate) fn add(&mut self, mut case: TestCase) -> Result<(), Stopped> {
        case.suite = text::name(&case.suite);
        case.name = text::name(&case.name);
        case.file = case.file.map(|file| text::name(&file)).filter(|file| !file.is_empty());
        if !matches!(case.status, TestStatus::Failed | TestStatus::Flaky) {
            case.message = String::new();
            case.output = String::new();
        }
        let key = case.key();
        if let Some(known) = self.by_key.get(&key).and_then(|at| self.cases.get_mut(*at)) {
            if case.status > known.status {
                *known = case;
            }
            return self.meter.steps(1);
        }
        self.meter.items(1)?;
        self.by_key.insert(key, self.cases.len());
        self.cases.push(case);
        Ok(())
    }

    pub(crate) fn finish(self) -> Vec<TestCase> {
        self.cases
    }
}

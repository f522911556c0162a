//! The budget of a computation on foreign input: bytes, items and steps, and a signal to stop.
//!
//! Pure: the meter counts what its user reports. Deadlines belong to `plue_runtime::foreign`, which
//! makes the meters of a server and stops them. A computation that cannot report its steps, because
//! it is a library's, has a bound proven before it starts (see [`crate::json_schema`]).

use std::{cell::Cell, fmt};

/// Steps between two looks at the stop signal.
const STEPS_PER_LOOK: u64 = 1_024;

/// The most that one computation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes read or produced.
    pub bytes: u64,
    /// Things made or listed: paths, entries, plans.
    pub items: u64,
    /// Elementary operations, each tens of nanoseconds.
    pub steps: u64,
}

/// The unit in which a budget ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, limited by [`Budget::bytes`].
    Bytes,
    /// Things made or listed, limited by [`Budget::items`].
    Items,
    /// Elementary operations, limited by [`Budget::steps`].
    Steps,
}

/// The reason that a computation was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// It used more than its budget.
    #[error("budget exhausted: more than {limit} {unit}")]
    Exhausted {
        /// The unit that ran out.
        unit: Unit,
        /// The budget's limit in this unit.
        limit: u64,
    },
    /// It ran past its deadline, or its caller no longer waits for the result.
    #[error("budget exhausted: stopped at its deadline")]
    Deadline,
}

/// Counts the use of one budget on one thread.
pub struct Meter {
    budget: Budget,
    bytes: Cell<u64>,
    items: Cell<u64>,
    steps: Cell<u64>,
    next_look: Cell<u64>,
    must_stop: Option<Box<dyn Fn() -> bool>>,
}

// === impl Budget ===

impl Budget {
    /// A budget of steps alone.
    #[must_use]
    pub const fn of_steps(steps: u64) -> Self {
        Self { bytes: u64::MAX, items: u64::MAX, steps }
    }
}

// === impl Meter ===

impl Meter {
    /// A meter without a deadline.
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        let zero = || Cell::new(0);
        let next_look = Cell::new(STEPS_PER_LOOK);
        Self { budget, bytes: zero(), items: zero(), steps: zero(), next_look, must_stop: None }
    }

    /// A meter that stops the computation soon after `must_stop` returns true.
    #[must_use]
    pub fn stoppable(budget: Budget, must_stop: impl Fn() -> bool + 'static) -> Self {
        Self { must_stop: Some(Box::new(must_stop)), ..Self::new(budget) }
    }

    /// Counts bytes.
    ///
    /// # Errors
    /// The budget is exhausted.
    pub fn bytes(&self, count: usize) -> Result<(), Stopped> {
        count_up(&self.bytes, count as u64, self.budget.bytes, Unit::Bytes)
    }

    /// Counts items.
    ///
    /// # Errors
    /// The budget is exhausted.
    pub fn items(&self, count: usize) -> Result<(), Stopped> {
        count_up(&self.items, count as u64, self.budget.items, Unit::Items)
    }

    /// Counts steps, and now and then looks whether it is time to stop.
    ///
    /// # Errors
    /// The budget is exhausted, or the deadline has passed.
    pub fn steps(&self, count: u64) -> Result<(), Stopped> {
        count_up(&self.steps, count, self.budget.steps, Unit::Steps)?;
        let used = self.steps.get();
        if used < self.next_look.get() {
            return Ok(());
        }
        self.next_look.set(used.saturating_add(STEPS_PER_LOOK));
        self.look()
    }

    /// Looks at once whether it is time to stop: before and after work that counts no steps.
    ///
    /// # Errors
    /// The deadline has passed.
    pub fn look(&self) -> Result<(), Stopped> {
        match &self.must_stop {
            Some(must_stop) if must_stop() => Err(Stopped::Deadline),
            Some(_) | None => Ok(()),
        }
    }

    /// The steps counted so far.
    #[must_use]
    pub const fn steps_used(&self) -> u64 {
        self.steps.get()
    }
}

fn count_up(used: &Cell<u64>, count: u64, limit: u64, unit: Unit) -> Result<(), Stopped> {
    let sum = used.get().saturating_add(count);
    used.set(sum);
    if sum > limit { Err(Stopped::Exhausted { unit, limit }) } else { Ok(()) }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Meter");
        debug.field("budget", &self.budget).field("steps", &self.steps.get());
        debug.finish_non_exhaustive()
    }
}

// === impl Unit ===

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Items => "items",
            Self::Steps => "steps",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn each_unit_runs_out_on_its_own() {
        let meter = Meter::new(Budget { bytes: 10, items: 2, steps: 3 });
        assert_eq!(meter.bytes(10), Ok(()));
        assert_eq!(meter.items(2), Ok(()));
        assert_eq!(meter.steps(3), Ok(()));
        let over = |unit, limit| Err(Stopped::Exhausted { unit, limit });
        assert_eq!(meter.bytes(1), over(Unit::Bytes, 10));
        assert_eq!(meter.items(1), over(Unit::Items, 2));
        assert_eq!(meter.steps(1), over(Unit::Steps, 3));
        assert_eq!(meter.steps(u64::MAX), over(Unit::Steps, 3));
    }

    #[test]
    fn stop_signals_are_seen_within_one_look() {
        let stop = Rc::new(Cell::new(false));
        let seen = Rc::clone(&stop);
        let meter = Meter::stoppable(Budget::of_steps(u64::MAX), move || seen.get());
        assert_eq!(meter.steps(10 * STEPS_PER_LOOK), Ok(()));
        stop.set(true);
        assert_eq!(meter.look(), Err(Stopped::Deadline));
        let stopped = (0..=STEPS_PER_LOOK).find_map(|_| meter.steps(1).err());
        assert_eq!(stopped, Some(Stopped::Deadline));
    }

    #[test]
    fn exhaustion_names_the_limit() {
        let stopped = Meter::new(Budget::of_steps(7)).steps(8).unwrap_err();
        assert_eq!(stopped.to_string(), "budget exhausted: more than 7 steps");
    }
}

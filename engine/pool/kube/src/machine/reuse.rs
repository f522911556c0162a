//! Use of one runner by several runs: opt-in, and only inside one scope.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::size::is_over;

/// Bounds of reuse. A pool without them ends each runner after one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reuse {
    /// Runs of one runner at most.
    pub uses: u32,
    /// Age of a runner at most.
    pub age: SignedDuration,
}

/// The runs that may share a runner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// Repository of the runs.
    pub repository: String,
    /// Their commits are those of maintainers.
    pub trusted: bool,
}

/// History of a runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerUse {
    /// Scope of its runs so far; `None` before the first.
    pub scope: Option<Scope>,
    /// Number of its runs so far.
    pub uses: u32,
    /// Time of its registration.
    pub registered_at: Timestamp,
    /// Hash of the template its pod was made from.
    pub template: String,
}

/// The reason that a runner gets no further run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReusable {
    /// The pool does not reuse runners.
    Off,
    /// It has worked for another repository or trust level.
    OtherScope,
    /// Runs of untrusted commits never share a runner.
    Untrusted,
    /// It has had all its runs.
    UsedUp,
    /// It is too old.
    TooOld,
    /// The template of the pool has changed.
    OldTemplate,
}

// === impl Reuse ===

impl Reuse {
    /// Whether a runner may work for a further run of this scope.
    ///
    /// # Errors
    /// The reason that it may not.
    pub fn check(
        pool: Option<&Self>,
        runner: &RunnerUse,
        scope: &Scope,
        template: &str,
        now: Timestamp,
    ) -> Result<(), NotReusable> {
        let Some(used_for) = &runner.scope else { return Ok(()) };
        let Some(bounds) = pool else { return Err(NotReusable::Off) };
        if !scope.trusted || !used_for.trusted {
            return Err(NotReusable::Untrusted);
        }
        if used_for != scope {
            return Err(NotReusable::OtherScope);
        }
        if runner.uses >= bounds.uses {
            return Err(NotReusable::UsedUp);
        }
        if is_over(runner.registered_at, bounds.age, now) {
            return Err(NotReusable::TooOld);
        }
        if runner.template == template { Ok(()) } else { Err(NotReusable::OldTemplate) }
    }
}

// === impl Scope ===

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trust = if self.trusted { "own" } else { "untrusted" };
        write!(formatter, "{trust}:{}", self.repository)
    }
}

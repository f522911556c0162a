//! The closed sets of states. Their texts are stored and shown, so they never change meaning.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}")]
pub struct UnknownStatus {
    /// Kind of status that was expected.
    pub what: &'static str,
    /// Text that names no status.
    pub text: String,
}

macro_rules! statuses {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }
     terminal: [$($terminal:ident),+ $(,)?]) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// All states, in order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The text in the database and in records.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// True if no state follows this one.
            #[must_use]
            pub const fn is_terminal(self) -> bool {
                matches!(self, $(Self::$terminal)|+)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownStatus;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|status| status.as_str() == text)
                    .ok_or_else(|| UnknownStatus { what: $what, text: text.to_owned() })
            }
        }
    };
}

statuses! {
    /// The state of a run.
    RunStatus, "run status" {
        /// The run is recorded; nothing has started.
        Queued = "queued",
        /// Steps run or are about to.
        Running = "running",
        /// Nothing runs; a decision, an event or a time is waited for.
        Waiting = "waiting",
        /// Every step ended well enough.
        Success = "success",
        /// A step failed and nothing made up for it.
        Failed = "failed",
        /// A principal cancelled the run.
        Cancelled = "cancelled",
        /// It took longer than its timeout.
        TimedOut = "timed_out",
    }
    terminal: [Success, Failed, Cancelled, TimedOut]
}

statuses! {
    /// The state of a step in its current visit (`docs/reference/semantics.md`).
    StepStatus, "step status" {
        /// Waits for the steps it depends on.
        Pending = "pending",
        /// An attempt waits for a runner.
        Queued = "queued",
        /// An attempt is running.
        Running = "running",
        /// A pause before a retry, a decision or an event is waited for.
        Waiting = "waiting",
        /// The last attempt of the step succeeded.
        Success = "success",
        /// The step failed for good.
        Failed = "failed",
        /// Did not run, or failed with `on_failure="skip"`.
        Skipped = "skipped",
        /// The run was cancelled.
        Cancelled = "cancelled",
        /// Its last attempt took longer than its timeout.
        TimedOut = "timed_out",
    }
    terminal: [Success, Failed, Skipped, Cancelled, TimedOut]
}

impl StepStatus {
    /// The state as one of five words: `PENDING`, `RUNNING`, `SUCCESS`, `FAILED`,
    /// `SKIPPED`. A view only; nothing is stored or decided by it.
    #[must_use]
    pub const fn of_five(self) -> &'static str {
        match self {
            Self::Pending | Self::Queued => "PENDING",
            Self::Running | Self::Waiting => "RUNNING",
            Self::Success => "SUCCESS",
            Self::Failed | Self::TimedOut | Self::Cancelled => "FAILED",
            Self::Skipped => "SKIPPED",
        }
    }
}

statuses! {
    /// The state of an attempt.
    AttemptStatus, "attempt status" {
        /// Waits for a runner.
        Queued = "queued",
        /// A runner has it; its process was not seen yet.
        Assigned = "assigned",
        /// The process is running.
        Running = "running",
        /// The attempt ended; its outcome has the result.
        Done = "done",
        /// Its runner is gone.
        Lost = "lost",
        /// Stopped before a process ran.
        Cancelled = "cancelled",
    }
    terminal: [Done, Lost, Cancelled]
}

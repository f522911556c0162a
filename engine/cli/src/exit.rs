//! Exit codes: a documented, stable part of the command line (`docs/reference/cli.md`).

use std::process::ExitCode;

/// The exit code of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command or run succeeded.
    Ok,
    /// A run failed or was cancelled.
    RunFailed,
    /// The command line is wrong.
    Usage,
    /// A plan is invalid.
    PlanInvalid,
    /// Not found, or not allowed.
    NotFound,
    /// The machine, the database or a server did not do its part.
    Infrastructure,
    /// A decision is waited for (`--no-wait`).
    WaitingForDecision,
    /// A budget is used up.
    BudgetExhausted,
    /// Denied by a policy of the operator.
    DeniedByPolicy,
    /// A run took longer than its timeout.
    TimedOut,
    /// Ended by an interrupt signal.
    Interrupted,
}

// === impl Exit ===

impl Exit {
    /// The number the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::RunFailed => 1,
            Self::Usage => 2,
            Self::PlanInvalid => 3,
            Self::NotFound => 4,
            Self::Infrastructure => 5,
            Self::WaitingForDecision => 6,
            Self::BudgetExhausted => 7,
            Self::DeniedByPolicy => 8,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

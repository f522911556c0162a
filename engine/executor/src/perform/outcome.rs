//! Exits of processes as outcomes of attempts.

use plue_flow::fact::Outcome;
use plue_wire::runner::Exit;

/// Death by signal *n* has the exit code `128 + n`, as in shells.
const SIGNAL_BASE: i32 = 128;

/// The outcome of an exit that a runner reports.
pub(crate) fn outcome(exit: &Exit) -> Outcome {
    match exit {
        Exit::Code(0) => Outcome::Success,
        Exit::Code(code) => Outcome::Exit { code: *code, signal: None },
        Exit::Signal(signal) => Outcome::Exit { code: SIGNAL_BASE + signal, signal: Some(*signal) },
        Exit::TimedOut => Outcome::TimedOut,
        Exit::Cancelled => Outcome::Cancelled,
        Exit::Refused(message) => Outcome::Refused { message: message.clone() },
        Exit::Infra(message) => Outcome::Infra { message: message.clone() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_exit_code_of_shells() {
        assert_eq!(outcome(&Exit::Signal(9)), Outcome::Exit { code: 137, signal: Some(9) });
    }

    #[test]
    fn only_status_zero_is_success() {
        assert_eq!(outcome(&Exit::Code(0)), Outcome::Success);
        assert_eq!(outcome(&Exit::Code(3)), Outcome::Exit { code: 3, signal: None });
        assert_ne!(outcome(&Exit::TimedOut), Outcome::Success);
    }
}

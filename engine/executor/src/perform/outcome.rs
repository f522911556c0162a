//! How a process ended, in the words of the flow.

use plue_flow::fact::Outcome;
use plue_wire::runner::Exit;

/// Shells report a death by signal *n* as status `128 + n`, and so do we.
const SIGNAL_BASE: i32 = 128;

/// Translates a runner's word for the end of an attempt.
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
    fn a_signal_is_the_status_a_shell_would_show() {
        assert_eq!(outcome(&Exit::Signal(9)), Outcome::Exit { code: 137, signal: Some(9) });
    }

    #[test]
    fn only_status_zero_is_success() {
        assert_eq!(outcome(&Exit::Code(0)), Outcome::Success);
        assert_eq!(outcome(&Exit::Code(3)), Outcome::Exit { code: 3, signal: None });
        assert_ne!(outcome(&Exit::TimedOut), Outcome::Success);
    }
}

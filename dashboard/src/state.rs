//! States of runs and steps as pages show them: a word, a class for the colour, and an icon whose shape
//! differs as well.

use maud::{Markup, html};

/// State of a run or a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Not ready: others come first.
    Pending,
    /// Ready, waits for a runner or a driver.
    Queued,
    /// At work on a runner.
    Running,
    /// Waits for people, a time, an event or another run.
    Waiting,
    /// Ended, and all went well.
    Success,
    /// Ended with a failure.
    Failed,
    /// Left out by its condition.
    Skipped,
    /// Stopped because a person asked.
    Cancelled,
    /// Stopped by its time limit.
    TimedOut,
}

// === impl State ===

impl State {
    /// All states, in the order of a life.
    pub const ALL: &'static [Self] = &[
        Self::Pending,
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Success,
        Self::Failed,
        Self::Skipped,
        Self::Cancelled,
        Self::TimedOut,
    ];

    /// The state of a status word of the engine; an unknown word is pending.
    #[must_use]
    pub fn of(status: &str) -> Self {
        let found = Self::ALL.iter().find(|state| state.as_str() == status);
        found.copied().unwrap_or(Self::Pending)
    }

    /// The status word of the engine.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
        }
    }

    /// The word on pages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Queued => "Queued",
            Self::Running => "Running",
            Self::Waiting => "Waiting",
            Self::Success => "Passed",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
            Self::Cancelled => "Cancelled",
            Self::TimedOut => "Timed out",
        }
    }

    /// Class of its colour: `good`, `bad`, `busy`, `wait` or `idle`.
    #[must_use]
    pub const fn tone(self) -> &'static str {
        match self {
            Self::Success => "good",
            Self::Failed | Self::TimedOut => "bad",
            Self::Running => "busy",
            Self::Waiting | Self::Queued => "wait",
            Self::Pending | Self::Skipped | Self::Cancelled => "idle",
        }
    }

    /// Whether it can still change by itself.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Queued | Self::Running | Self::Waiting)
    }

    /// Path of the icon in a square of 16.
    #[must_use]
    pub const fn shape(self) -> &'static str {
        match self {
            // An empty ring.
            Self::Pending => "M8 2.5a5.5 5.5 0 1 1 0 11a5.5 5.5 0 0 1 0-11z",
            // A clock.
            Self::Queued => "M8 2.5a5.5 5.5 0 1 1 0 11a5.5 5.5 0 0 1 0-11zM8 5v3.2l2.2 1.6",
            // Three quarters of a ring; it turns.
            Self::Running => "M8 2.5a5.5 5.5 0 1 1-5.5 5.5",
            // Two bars.
            Self::Waiting => "M5.5 3.5v9M10.5 3.5v9",
            // A tick.
            Self::Success => "M3 8.5l3.3 3.3L13 4.8",
            // A cross.
            Self::Failed => "M4 4l8 8M12 4l-8 8",
            // A bent arrow over a dot.
            Self::Skipped => "M3 8a5 5 0 0 1 9.5-1.5M12.8 3v3.8H9",
            // A ring with a stroke through it.
            Self::Cancelled => "M8 2.5a5.5 5.5 0 1 1 0 11a5.5 5.5 0 0 1 0-11zM4.2 4.2l7.6 7.6",
            // An hourglass.
            Self::TimedOut => "M4 2.5h8M4 13.5h8M5 2.5c0 3 6 8 6 11M11 2.5c0 3-6 8-6 11",
        }
    }

    /// The icon with the word for those who do not see it.
    #[must_use]
    pub fn icon(self) -> Markup {
        html! {
            span class={ "icon " (self.tone()) " is-" (self.as_str()) } title=(self.word()) {
                (self.glyph())
                span.hidden { (self.word()) }
            }
        }
    }

    /// The icon with the word after it.
    #[must_use]
    pub fn mark(self) -> Markup {
        html! {
            span class={ "mark " (self.tone()) " is-" (self.as_str()) } {
                (self.glyph()) (self.word())
            }
        }
    }

    /// The icon alone, hidden from assistive technology.
    #[must_use]
    pub fn glyph(self) -> Markup {
        html! {
            svg.glyph viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" {
                path d=(self.shape()) {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn states_differ_in_shape_and_in_word() {
        let shapes: HashSet<_> = State::ALL.iter().map(|state| state.shape()).collect();
        let words: HashSet<_> = State::ALL.iter().map(|state| state.word()).collect();
        assert_eq!((shapes.len(), words.len()), (State::ALL.len(), State::ALL.len()));
    }

    #[test]
    fn status_words_are_read_back() {
        for state in State::ALL {
            assert_eq!(State::of(state.as_str()), *state);
        }
        assert_eq!(State::of("<b>"), State::Pending);
    }
}

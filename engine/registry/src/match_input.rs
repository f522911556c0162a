//! Input of trigger matching: the event, and facts that an event does not hold.

use plue_plan::Event;

/// The files that an event changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Changed<'a> {
    /// Git did not answer, or was not asked. Path filters then let everything through: to run too
    /// often costs minutes, to run too rarely costs trust.
    #[default]
    Unknown,
    /// These, relative to the repository; not the payload's list, which forges cut.
    Files(&'a [String]),
}

/// An event that may start plans.
#[derive(Debug, Clone, Copy)]
pub struct MatchInput<'a> {
    /// The event that triggers are matched with.
    pub event: &'a Event,
    /// The files it changed.
    pub changed: Changed<'a>,
    /// The message of the newest commit, for skip markers.
    pub message: Option<&'a str>,
    /// Whether the ref is gone. Nothing fires then.
    pub deleted: bool,
}

// === impl MatchInput ===

impl<'a> MatchInput<'a> {
    /// An event of which nothing else is known.
    #[must_use]
    pub const fn new(event: &'a Event) -> Self {
        Self { event, changed: Changed::Unknown, message: None, deleted: false }
    }
}

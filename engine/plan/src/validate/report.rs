//! Problems of a plan with their source locations and "did you mean".
//!
//! Must not decide what a problem is. Bounded: a hostile plan must not turn 16 MiB of IR into
//! gigabytes of messages or hours of edit distances.

use std::fmt;

use crate::{
    codes,
    diagnostic::{Code, Diagnostic, Related, Span},
    id::StepId,
    shown::shown,
    validate::SourceMap,
};

/// Problems listed at most; the rest is counted.
pub const MAX_PROBLEMS: usize = 10_000;
/// Pairs of characters that the search for near names compares in one validation, about a tenth of a
/// second: enough for hundreds of slips in a plan of any size.
const MAX_COMPARED: usize = 30_000_000;
/// Bytes of a name for which a near one is looked for.
const MAX_COMPARED_NAME: usize = 256;
/// Characters of foreign text that a message quotes.
const QUOTED_CHARS: usize = 80;

/// Subject of a problem.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Plan,
    /// A step, and which one of those with the same id.
    Step(&'a StepId, usize),
    Trigger(usize),
}

/// A part of the plan: names it in messages and knows its place.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    subject: Subject<'a>,
    places: &'a SourceMap,
}

/// The problems found so far.
pub(super) struct Report {
    found: Vec<Diagnostic>,
    dropped: usize,
    /// Pairs of characters that may still be compared.
    compared_left: usize,
}

/// A foreign text in a message: in backquotes, escaped, shortened.
pub(super) struct Quoted<'a>(pub(super) &'a str);

// === impl Site ===

impl<'a> Site<'a> {
    pub(super) fn plan(places: &'a SourceMap) -> Self {
        let subject = Subject::Plan;
        Self { subject, places }
    }

    pub(super) fn step(places: &'a SourceMap, id: &'a StepId, occurrence: usize) -> Self {
        let subject = Subject::Step(id, occurrence);
        Self { subject, places }
    }

    pub(super) fn trigger(places: &'a SourceMap, index: usize) -> Self {
        let subject = Subject::Trigger(index);
        Self { subject, places }
    }

    pub(super) fn span(&self) -> Option<Span> {
        let of_plan = self.places.plan.as_ref();
        match self.subject {
            Subject::Plan => of_plan,
            Subject::Step(id, occurrence) => {
                let spans = self.places.steps.get(id);
                spans.and_then(|spans| spans.get(occurrence).or(spans.first()))
            }
            Subject::Trigger(index) => self.places.triggers.get(&index),
        }
        .or(of_plan)
        .cloned()
    }

    pub(super) fn related(&self, message: impl Into<String>) -> Option<Related> {
        let message = message.into();
        self.span().map(|span| Related { message, span })
    }

    /// An error about this part; the message begins with its name.
    pub(super) fn error(&self, code: Code, what: impl fmt::Display) -> Diagnostic {
        Diagnostic::error(code, format!("{self}{what}")).at(self.span())
    }
}

impl fmt::Display for Site<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject {
            Subject::Plan => Ok(()),
            Subject::Step(id, _) => write!(f, "step {}: ", Quoted(id.as_str())),
            Subject::Trigger(index) => write!(f, "trigger {}: ", index + 1),
        }
    }
}

// === impl Report ===

impl Report {
    pub(super) fn new() -> Self {
        Self { found: Vec::new(), dropped: 0, compared_left: MAX_COMPARED }
    }

    pub(super) fn push(&mut self, problem: Diagnostic) {
        if self.found.len() < MAX_PROBLEMS {
            self.found.push(problem);
        } else {
            self.dropped += 1;
        }
    }

    /// Adds a "did you mean" if a known name is near, else the text of `otherwise`.
    pub(super) fn push_near<'n>(
        &mut self,
        problem: Diagnostic,
        name: &str,
        known: impl Iterator<Item = &'n str>,
        otherwise: &str,
    ) {
        let near = nearest_within(&mut self.compared_left, name, known);
        self.push(match near {
            Some(near) => problem.hint(format!("did you mean {}?", Quoted(near))),
            None if otherwise.is_empty() => problem,
            None => problem.hint(otherwise),
        });
    }

    /// All problems, by place; those of one place in the order in which they were found.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|problem| {
            let span = problem.span.as_ref();
            span.map(|span| (span.line, span.column))
        });
        if self.dropped > 0 {
            self.found.push(Diagnostic::error(
                codes::MORE_PROBLEMS,
                format!("{} more problems are not listed", self.dropped),
            ));
        }
        self.found
    }
}

// === impl Quoted ===

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", shown(self.0, QUOTED_CHARS))
    }
}

/// The known name with the fewest edits to `name`, if they are few enough for a slip.
pub(crate) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let mut left = MAX_COMPARED;
    nearest_within(&mut left, name, known)
}

fn nearest_within<'n>(
    compared_left: &mut usize,
    name: &str,
    known: impl Iterator<Item = &'n str>,
) -> Option<&'n str> {
    if name.len() > MAX_COMPARED_NAME {
        return None;
    }
    let length = name.chars().count();
    let allowed = (length / 3).max(1);
    let lower = name.to_lowercase();
    let mut best = None;
    for other in known {
        let near_length = other.chars().count().abs_diff(length) <= allowed;
        if !near_length || other == name {
            continue;
        }
        *compared_left = compared_left.checked_sub(name.len() * other.len())?;
        let edits = strsim::damerau_levenshtein(&lower, &other.to_lowercase());
        if edits <= allowed && best.is_none_or(|(fewest, _)| edits < fewest) {
            best = Some((edits, other));
        }
    }
    best.map(|(_, other)| other)
}

//! What a registered plan reports for an event: every plan reports, so that a required check never
//! waits for a plan that had nothing to do.

use plue_plan::Trigger;
use serde::Serialize;

use crate::{
    happening::Happening,
    matching::{Verdict, kind, verdicts},
    why_not::words,
};

/// What a plan does about an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "conclusion", rename_all = "snake_case")]
pub enum Conclusion {
    /// It runs, because of the trigger at this place of its list.
    Runs {
        /// The first trigger that fires, counted from 0.
        trigger: usize,
    },
    /// It does not run, which counts as success.
    Skipped {
        /// Why, in words for people.
        reason: String,
        /// Whether a trigger of the plan is for this type of event at all. A plan with schedules only
        /// need not clutter each pull request.
        concerned: bool,
    },
}

/// What a plan with these triggers does.
#[must_use]
pub fn conclude(triggers: &[Trigger], happening: &Happening<'_>) -> Conclusion {
    let found = verdicts(triggers, happening);
    if let Some(trigger) = found.iter().position(Verdict::fires) {
        return Conclusion::Runs { trigger };
    }
    let event = happening.event.kind;
    let asked = triggers.iter().zip(&found).filter(|(trigger, _)| kind(trigger) == event);
    let mut reasons: Vec<String> = Vec::new();
    for (_, verdict) in asked {
        if let Verdict::Not(why) = verdict {
            let reason = why.to_string();
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }
    let concerned = !reasons.is_empty();
    if !concerned {
        reasons.push(format!("no trigger of the plan is for {} events", words(event)));
    }
    Conclusion::Skipped { reason: reasons.join("; "), concerned }
}

#[cfg(test)]
mod tests;

//! Result of a registered plan for an event: every plan reports one, so that a required check never
//! waits for a plan that had nothing to do.

use plue_plan::Trigger;
use serde::Serialize;

use crate::{
    match_input::{Changed, MatchInput},
    matching::{TriggerVerdict, kind, verdicts},
    why_not::words,
};

/// Steps of matching one event with the patterns of one plan: below two seconds.
const MAX_MATCH_STEPS: u64 = 400_000_000;
/// Steps of compiling a short pattern.
const COMPILE_STEPS: u64 = 20_000;
/// Bytes of a pattern that count as one state.
const BYTES_PER_STATE: u64 = 32;

/// Result of a plan for an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "conclusion", rename_all = "snake_case")]
pub enum TriggerMatch {
    /// It runs because of this trigger.
    #[serde(rename = "runs")]
    Fires {
        /// The first trigger that fires, counted from 0.
        trigger: usize,
    },
    /// It does not run, which counts as success.
    Skipped {
        /// The reason, in words for people.
        reason: String,
        /// Whether a trigger of the plan is for this type of event at all. A plan with schedules only
        /// need not clutter each pull request.
        concerned: bool,
    },
}

/// An upper bound of the steps of matching: every pattern is compiled, and those of paths look at each
/// file that changed.
fn cost(triggers: &[Trigger], input: &MatchInput<'_>) -> u64 {
    let files = match input.changed {
        Changed::Files(files) => files,
        Changed::Unknown => &[],
    };
    let bytes: u64 = files.iter().map(|file| 8 + file.len() as u64).sum();
    let steps = |pattern: &String, bytes: u64| {
        let states = 1 + pattern.len() as u64 / BYTES_PER_STATE;
        states.saturating_mul(COMPILE_STEPS.saturating_add(bytes))
    };
    let concerned = triggers.iter().filter(|trigger| kind(trigger) == input.event.kind);
    let none: &[String] = &[];
    let all = concerned.flat_map(|trigger| {
        let (names, paths) = match trigger {
            Trigger::Push { branches, tags, paths, paths_ignore } => {
                ([branches.as_slice(), tags], [paths.as_slice(), paths_ignore])
            }
            Trigger::PullRequest { branches, paths, .. } => ([branches, none], [paths, none]),
            Trigger::Issue { .. }
            | Trigger::IssueComment { .. }
            | Trigger::Schedule { .. }
            | Trigger::Manual { .. }
            | Trigger::Webhook { .. }
            | Trigger::Event { .. }
            | Trigger::Workflow { .. } => ([none, none], [none, none]),
        };
        let names = names.into_iter().flatten().map(move |pattern| steps(pattern, 0));
        names.chain(paths.into_iter().flatten().map(move |pattern| steps(pattern, bytes)))
    });
    all.fold(0, u64::saturating_add)
}

/// Decides whether a plan with these triggers runs; it does not if its patterns take too long.
#[must_use]
pub fn match_triggers(triggers: &[Trigger], input: &MatchInput<'_>) -> TriggerMatch {
    if cost(triggers, input) > MAX_MATCH_STEPS {
        let reason = "its patterns are too many for the files that changed".to_owned();
        return TriggerMatch::Skipped { reason, concerned: true };
    }
    let found = verdicts(triggers, input);
    if let Some(trigger) = found.iter().position(TriggerVerdict::fires) {
        return TriggerMatch::Fires { trigger };
    }
    let event = input.event.kind;
    let asked = triggers.iter().zip(&found).filter(|(trigger, _)| kind(trigger) == event);
    let mut reasons: Vec<String> = Vec::new();
    for (_, verdict) in asked {
        if let TriggerVerdict::Not(why) = verdict {
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
    TriggerMatch::Skipped { reason: reasons.join("; "), concerned }
}

#[cfg(test)]
mod tests;

//! The performer of each kind of step, and refusals of kinds that this engine cannot perform.

use plue_flow::fact::Outcome;
use plue_plan::Action;

use super::forge::FORGE;

/// The performer of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Performer {
    /// The attempt has a row, a fence and a log.
    Runner,
    /// An answer from outside ends the attempt.
    Outside,
    /// A task of this engine.
    Engine,
    /// The attempt is refused.
    None,
}

/// The performer of steps of this kind, in an engine with or without a key for Claude.
pub(crate) fn performer(action: &Action, has_claude: bool) -> Performer {
    match action {
        Action::Bash(_) | Action::Python(_) => Performer::Runner,
        Action::Llm(_) if has_claude => Performer::Runner,
        Action::Approval(_) | Action::Wait(_) => Performer::Outside,
        Action::Workflow(_) | Action::Call(_) => Performer::Engine,
        Action::Plugin(plugin) if plugin.plugin == FORGE => Performer::Engine,
        Action::Llm(_) | Action::Negotiate(_) | Action::Plugin(_) => Performer::None,
    }
}

/// The answer for a kind that this engine cannot perform.
pub(crate) fn refusal(action: &Action, has_claude: bool) -> Option<Outcome> {
    let message = match action {
        Action::Bash(_)
        | Action::Python(_)
        | Action::Approval(_)
        | Action::Workflow(_)
        | Action::Call(_)
        | Action::Wait(_) => return None,
        Action::Llm(_) if has_claude => return None,
        Action::Plugin(plugin) if plugin.plugin == FORGE => return None,
        Action::Llm(_) => crate::claude::no_key(),
        Action::Plugin(plugin) => {
            format!("no plugin provides `{}`; plue itself has `{FORGE}`", plugin.plugin)
        }
        Action::Negotiate(_) => {
            format!("this build of plue cannot run `{}` steps yet", action.kind())
        }
    };
    Some(Outcome::Refused { message })
}

#[cfg(test)]
mod tests {
    use plue_plan::action::Bash;

    use super::*;

    #[test]
    fn steps_for_runners_are_not_refused() {
        let bash = Action::Bash(Bash { run: "true".to_owned(), shell: "bash".to_owned() });
        assert_eq!(refusal(&bash, false), None);
        assert_eq!(performer(&bash, false), Performer::Runner);
    }

    #[test]
    fn only_steps_without_performer_are_refused() {
        let plugin =
            plue_plan::action::Plugin { plugin: "x".to_owned(), config: Default::default() };
        let actions = [
            Action::Plugin(plugin),
            Action::Wait(plue_plan::action::Wait::default()),
            Action::Workflow(plue_plan::action::Workflow::default()),
        ];
        for action in actions {
            let no_performer = performer(&action, false) == Performer::None;
            assert_eq!(refusal(&action, false).is_some(), no_performer, "{}", action.kind());
        }
    }
}
